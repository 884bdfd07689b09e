//! The control socket: how `mandrill status` asks a running daemon what only it knows.
//!
//! One line of JSON in, one line of JSON out, over a unix socket of mode 0600. Only the daemon's
//! own user and root are answered. What is durable (requests, verdicts, the queue) is read from the
//! files instead, so that every command works with the daemon down.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::{self, Either};
use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use serde_json::{Value, json};
use smol::net::unix::{UnixListener, UnixStream};

/// The longest request line, in bytes; the longest answer is bounded by the fleet's size.
const REQUEST_BYTES_MAX: usize = 4096;
/// How long one exchange may take.
const EXCHANGE_MAX: Duration = Duration::from_secs(2);

/// The socket's path when the config names none: beside the state file.
pub fn default_path(state: &Path) -> PathBuf {
    let mut path = state.as_os_str().to_owned();
    path.push(".sock");
    path.into()
}

/// Asks the daemon behind `path`; `None` when nobody answers there.
///
/// # Blocking
///
/// Blocks for at most two seconds.
pub fn query(path: &Path, verb: &str) -> Option<Value> {
    let mut stream = BlockingStream::connect(path).ok()?;
    stream.set_read_timeout(Some(EXCHANGE_MAX)).ok()?;
    stream.set_write_timeout(Some(EXCHANGE_MAX)).ok()?;
    stream
        .write_all(format!("{}\n", json!({ "verb": verb })).as_bytes())
        .ok()?;
    let mut line = String::new();
    // 16 MiB: far above any honest answer, and a bound for a dishonest one.
    BufReader::new(stream.take(16 << 20))
        .read_line(&mut line)
        .ok()?;
    serde_json::from_str(&line).ok()
}

/// The listening side. Dropping it removes the socket's file.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Control {
    /// Listens at `path`, replacing a socket that an earlier daemon left behind.
    ///
    /// The caller holds the state's lock, so nobody else can be listening there.
    ///
    /// # Errors
    ///
    /// When the path is taken by something that is no socket, is too long for a socket (107 bytes),
    /// or its folder cannot be written.
    pub fn listen(path: &Path) -> std::io::Result<Self> {
        use std::os::unix::fs::FileTypeExt as _;
        match std::fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path)?,
            Ok(_) => {
                return Err(std::io::Error::other(
                    "something that is no socket is there",
                ));
            }
            Err(_) => {}
        }
        let listener = UnixListener::bind(path)?;
        let control = Self {
            listener,
            path: path.to_owned(),
        };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(control)
    }

    /// Answers requests, one at a time, until it is dropped.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: an exchange under way is cut off, and the asker reads the durable files
    /// instead.
    pub async fn serve(&self, answer: impl Fn() -> Value) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let exchange = std::pin::pin!(exchange(stream, &answer));
                    let timer = async_io::Timer::after(EXCHANGE_MAX);
                    if let Either::Left((Err(error), _)) = future::select(exchange, timer).await {
                        log::debug!("control: {error}");
                    }
                }
                Err(error) => {
                    // Out of descriptors, most likely: wait instead of spinning on the error.
                    log::warn!("control: cannot accept: {error}");
                    async_io::Timer::after(Duration::from_millis(200)).await;
                }
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // Ignored: a leftover socket file is replaced by the next daemon.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn exchange(mut stream: UnixStream, answer: &impl Fn() -> Value) -> std::io::Result<()> {
    let peer = rustix::net::sockopt::socket_peercred(&stream)?;
    let own = rustix::process::geteuid();
    if peer.uid != own && !peer.uid.is_root() {
        return stream.write_all(b"{\"error\":\"not your daemon\"}\n").await;
    }
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < REQUEST_BYTES_MAX && stream.read(&mut byte).await? == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    let verb = serde_json::from_slice::<Value>(&line).ok();
    let verb = verb.as_ref().and_then(|request| request["verb"].as_str());
    let reply = match verb {
        Some("status") => answer(),
        _ => json!({ "error": "unknown verb; this daemon knows: status" }),
    };
    stream.write_all(format!("{reply}\n").as_bytes()).await?;
    stream.close().await
}
