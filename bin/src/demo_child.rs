//! `mandrill demo-child`: a small host to be restarted, for the demo and for trying out a config.
//!
//! It answers `GET /healthz` on one port of the loopback address and ends by SIGTERM. On request it
//! is a bad host: deaf to SIGTERM, or broken from some start on.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use signal_hook::consts::SIGTERM;

use crate::cli::whole;

/// What the child is told.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct Args {
    /// The port of 127.0.0.1 to answer on
    #[arg(long)]
    #[arg(allow_negative_numbers = true, value_parser = whole::<u16>(0..=u16::MAX.into()))]
    pub port: u16,
    /// Do not end by SIGTERM
    #[arg(long)]
    pub ignore_term: bool,
    /// Be well for this many starts, and then broken
    #[arg(long, value_name = "N", requires = "marker")]
    #[arg(allow_negative_numbers = true, value_parser = whole::<u64>(0..=u64::MAX))]
    pub fail_after_starts: Option<u64>,
    /// The file that counts the starts; an absolute path
    #[arg(long, value_name = "FILE")]
    pub marker: Option<PathBuf>,
    /// What broken means
    #[arg(long, value_enum, default_value_t)]
    pub failure: Failure,
}

/// How a broken child behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Failure {
    /// It answers that it is not healthy
    #[default]
    Unhealthy,
    /// It ends at once with exit code 1
    Exit,
}

/// Answers until the process is ended.
///
/// # Blocking
///
/// For ever, unless the port or the marker cannot be had; then standard error says why.
pub fn run(args: &Args) -> ExitCode {
    match serve(args) {
        Ok(never) => match never {},
        Err(end) => {
            // Ignored: as a child of the service there is nobody to read it.
            let _ = writeln!(io::stderr(), "mandrill demo-child: {end}");
            ExitCode::FAILURE
        }
    }
}

fn serve(args: &Args) -> Result<std::convert::Infallible, End> {
    if args.ignore_term {
        // Nobody reads the flag: to have the signal caught is all that is wanted.
        let caught = signal_hook::flag::register(SIGTERM, Arc::new(AtomicBool::new(false)));
        caught.map_err(End::Signals)?;
    }
    let is_broken = match (args.fail_after_starts, &args.marker) {
        (Some(good_starts), Some(marker)) => count_start(marker)? > good_starts,
        _ => false,
    };
    if is_broken && args.failure == Failure::Exit {
        return Err(End::Told);
    }
    // The standard library sets SO_REUSEADDR, so that connections of the child before, which linger
    // for a minute, do not keep the port.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port))
        .map_err(|error| End::Port(args.port, error))?;
    let open_count = Arc::new(AtomicUsize::new(0));
    loop {
        let Ok((stream, _)) = listener.accept() else {
            // Out of file descriptors, most likely: give the open connections time to end.
            thread::sleep(ACCEPT_PAUSE);
            continue;
        };
        // Relaxed: a counter on its own; it is only read to stay bounded.
        if open_count.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            open_count.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let counted = Arc::clone(&open_count);
        let answering = thread::Builder::new().spawn(move || {
            // Ignored: whoever asked is gone, and that is their business.
            let _ = answer(stream, is_broken);
            counted.fetch_sub(1, Ordering::Relaxed);
        });
        if answering.is_err() {
            open_count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn answer(mut stream: TcpStream, is_broken: bool) -> io::Result<()> {
    let deadline = Instant::now() + ANSWER_WITHIN;
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || head.len() > HEAD_BYTES_MAX {
            return Ok(());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut chunk)? {
            0 => return Ok(()),
            length => head.extend_from_slice(&chunk[..length]),
        }
    }
    let (status, body) = match first_line(&head) {
        ("GET", "/healthz") if is_broken => ("503 Service Unavailable", "broken\n"),
        ("GET", "/healthz") => ("200 OK", "ok\n"),
        ("GET", _) => ("404 Not Found", "there is only /healthz\n"),
        _ => ("405 Method Not Allowed", "there is only GET\n"),
    };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes())
}

/// The method and the path of a request, without its query.
fn first_line(head: &[u8]) -> (&str, &str) {
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let line = str::from_utf8(line).unwrap_or_default();
    let mut words = line.split(' ');
    let method = words.next().unwrap_or_default();
    let path = words.next().unwrap_or_default();
    (method, path.split('?').next().unwrap_or_default())
}

/// Notes a start, one byte each, and says which one it is, from 1.
fn count_start(marker: &Path) -> Result<u64, End> {
    let count = || {
        let mut file = OpenOptions::new().append(true).create(true).open(marker)?;
        file.write_all(b".")?;
        Ok(file.metadata()?.len())
    };
    count().map_err(|error| End::Marker(marker.to_owned(), error))
}

/// Why the child ends.
enum End {
    Port(u16, io::Error),
    Marker(PathBuf, io::Error),
    Signals(io::Error),
    Told,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port, error) if error.kind() == io::ErrorKind::AddrInUse => {
                write!(f, "port {port} is taken by another process; choose another")
            }
            Self::Port(port, error) => write!(f, "cannot listen on port {port}: {error}"),
            Self::Marker(path, error) => write!(f, "{}: cannot count: {error}", path.display()),
            Self::Signals(error) => write!(f, "cannot catch SIGTERM: {error}"),
            Self::Told => f.write_str("broken, as it was told to be"),
        }
    }
}

const CONNECTIONS_MAX: usize = 64;
const HEAD_BYTES_MAX: usize = 8 * 1024;
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests;
