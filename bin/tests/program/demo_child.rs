//! `mandrill demo-child` as a process of its own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A child that is killed when the test is over.
struct DemoChild(Child);

impl DemoChild {
    fn start(port: u16, flags: &[&str]) -> Self {
        Self(command(port, flags).spawn().unwrap())
    }

    fn send(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for DemoChild {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn command(port: u16, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mandrill"));
    command
        .args(["demo-child", "--port", &port.to_string()])
        .args(flags)
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    command
}

fn run(port: u16, flags: &[&str]) -> Output {
    command(port, flags).output().unwrap()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Asks until there is an answer, and gives its status.
fn status(port: u16) -> u16 {
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < patience, "no answer on port {port}");
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
            std::thread::yield_now();
            continue;
        };
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        return answer.split(' ').nth(1).unwrap().parse().unwrap();
    }
}

#[test]
fn it_is_healthy_and_ends_by_sigterm() {
    let port = free_port();
    let mut child = DemoChild::start(port, &[]);
    assert_eq!(status(port), 200);

    child.send(Signal::TERM);

    let end = child.0.wait().unwrap();
    assert_eq!(end.signal(), Some(Signal::TERM.as_raw()));
}

#[test]
fn the_next_one_has_the_port_at_once() {
    let port = free_port();
    for _ in 0..5 {
        let child = DemoChild::start(port, &[]);
        assert_eq!(status(port), 200);
        drop(child);
    }
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();

    let output = run(port, &[]);

    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains(&format!("port {port} is taken")), "{text}");
}

#[test]
fn a_deaf_child_lives_on_after_sigterm() {
    let port = free_port();
    let mut child = DemoChild::start(port, &["--ignore-term"]);
    assert_eq!(status(port), 200);

    child.send(Signal::TERM);

    assert_eq!(status(port), 200);
    assert!(child.0.try_wait().unwrap().is_none());
}

#[test]
fn it_breaks_after_as_many_starts_as_it_was_told() {
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("marker");
    let marker = marker.to_str().unwrap();
    let flags = ["--fail-after-starts", "1", "--marker", marker];
    let port = free_port();

    let first = DemoChild::start(port, &flags);
    assert_eq!(status(port), 200);
    drop(first);
    let second = DemoChild::start(port, &flags);
    assert_eq!(status(port), 503);
    drop(second);
    let exiting = [&flags[..], &["--failure", "exit"]].concat();
    let third = run(port, &exiting);

    assert_eq!(third.status.code(), Some(1));
}
