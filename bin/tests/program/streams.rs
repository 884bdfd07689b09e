//! What becomes of the service when nobody reads what it says.

use std::io::{PipeReader, PipeWriter, Write};

use std::process::Stdio;

use crate::place::Place;
use crate::service::{FLEET, Service};
use rustix::fs::{OFlags, fcntl_setfl};

#[test]
fn a_log_that_nobody_reads_stops_neither_the_service_nor_its_end() {
    let place = Place::new(FLEET);
    let (_reader, full) = full_pipe();
    let mut command = place.command(&["-vv", "run"]);
    command.stdout(Stdio::null()).stderr(full);

    let service = Service::start(&place, command);
    let restart = place.run(&["restart", "web-1", "--reason", "test", "--wait"]);
    let ended = service.stop();

    assert_eq!(restart.code, Some(0), "{}", restart.stderr);
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn events_that_nobody_reads_stop_neither_the_service_nor_its_end() {
    let place = Place::new(FLEET);
    let (_reader, full) = full_pipe();
    let mut command = place.command(&["run", "--json"]);
    command.stdout(full).stderr(Stdio::null());

    let service = Service::start(&place, command);
    let restart = place.run(&["restart", "web-1", "--reason", "test", "--wait"]);
    let ended = service.stop();

    assert_eq!(restart.code, Some(0), "{}", restart.stderr);
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn readers_that_went_away_leave_the_service_running() {
    let place = Place::new(FLEET);
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = place.command(&["-vv", "run", "--json"]);
    command.stdout(closed.try_clone().unwrap()).stderr(closed);

    let service = Service::start(&place, command);
    let restart = place.run(&["restart", "web-1", "--reason", "test", "--wait"]);
    let ended = service.stop();

    assert_eq!(restart.code, Some(0), "{}", restart.stderr);
    assert_eq!(ended.code(), Some(0));
}

/// A pipe without room for one more byte.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
    while writer.write(&[b'x'; 4096]).is_ok() {}
    while writer.write(b"x").is_ok() {}
    fcntl_setfl(&writer, OFlags::empty()).unwrap();
    (reader, writer)
}
