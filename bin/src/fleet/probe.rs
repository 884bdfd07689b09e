//! Asking a target whether it is healthy, over HTTP, with async sockets only.
//!
//! One question is one connection and one `GET`. Redirects are not followed: the status that was
//! asked for is the one that counts. Host names are looked up on the pool, as the system's resolver
//! blocks.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use async_io::{Async, Timer};
use futures::future::{Either, select};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use mayhem_bridge::BlockingPool;
use smol_hyper::rt::FuturesIo;

use super::work;
use crate::config::ProbeSpec;
use crate::output::escape;
use crate::target::Target;

/// How one target's health is asked.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    url: Uri,
    host: String,
    port: u16,
    expect: u16,
    timeout: Duration,
    /// From one question to the next.
    pub(super) every: Duration,
}

impl Probe {
    /// Fills in `{target}` and `{port}`.
    ///
    /// # Errors
    ///
    /// Why it is no address that can be asked.
    pub(super) fn new(
        spec: &ProbeSpec,
        target: &Target,
        port: Option<u16>,
    ) -> Result<Self, String> {
        let port = port.map(|port| port.to_string()).unwrap_or_default();
        let text = spec.url.replace("{target}", target.as_str());
        let text = text.replace("{port}", &port);
        let wrong = |why: &str| format!("{}: {why}", escape(&text));
        let url: Uri = text.parse().map_err(|error| wrong(&format!("{error}")))?;
        if url.scheme_str() != Some("http") {
            return Err(wrong("only http:// can be asked"));
        }
        let host = url.host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| wrong("it names no host"))?;
        Ok(Self {
            // A literal IPv6 address stands in brackets in a URL, and nowhere else.
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port_u16().unwrap_or(80),
            expect: spec.expect,
            timeout: spec.timeout,
            every: spec.every,
            url,
        })
    }

    /// Asks once; the answer must be there before `deadline` and within the probe's own timeout.
    ///
    /// # Errors
    ///
    /// What was wrong with the answer, or why there was none.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future closes the connection.
    pub(super) async fn ask(&self, pool: &BlockingPool, deadline: Instant) -> Result<(), String> {
        let deadline = deadline.min(Instant::now() + self.timeout);
        let asking = std::pin::pin!(self.status(pool));
        let status = match select(asking, Timer::at(deadline)).await {
            Either::Left((status, _)) => status?,
            Either::Right(_) => return Err(format!("{}: no answer in time", self.url)),
        };
        match status.as_u16() == self.expect {
            true => Ok(()),
            false => Err(format!("{} answers {}", self.url, status.as_u16())),
        }
    }

    async fn status(&self, pool: &BlockingPool) -> Result<StatusCode, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", self.url);
        let stream = self.connect(pool).await?;
        let connection = http1::handshake(FuturesIo::new(stream)).await;
        let (mut sender, connection) = connection.map_err(|error| failed(&error))?;
        let authority = self
            .url
            .authority()
            .map_or("", |authority| authority.as_str());
        let path = self.url.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::get(path)
            .header(HOST, authority)
            .header(USER_AGENT, "mandrill")
            .header(CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|error| failed(&error))?;
        let answer = std::pin::pin!(sender.send_request(request));
        match select(answer, std::pin::pin!(connection)).await {
            Either::Left((answer, _)) => answer
                .map(|answer| answer.status())
                .map_err(|error| failed(&error)),
            // The connection may end in the same moment as it brings the answer.
            Either::Right((_, answer)) => answer
                .await
                .map(|answer| answer.status())
                .map_err(|error| failed(&error)),
        }
    }

    async fn connect(&self, pool: &BlockingPool) -> Result<Async<TcpStream>, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", self.url);
        let addresses = match self.host.parse() {
            Ok(address) => vec![SocketAddr::new(address, self.port)],
            Err(_) => {
                let (host, port) = (self.host.clone(), self.port);
                let looked_up = work(pool, "look up a host", move || {
                    (host.as_str(), port).to_socket_addrs().map(Vec::from_iter)
                });
                let addresses = looked_up.await.map_err(|error| failed(&error))?;
                addresses.map_err(|error| failed(&error))?
            }
        };
        let mut last = "its name has no address".to_owned();
        for address in addresses {
            match Async::<TcpStream>::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = failed(&error),
            }
        }
        Err(last)
    }
}

#[cfg(test)]
mod tests;
