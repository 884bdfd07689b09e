//! What `status` shows of a service that runs.

use std::process::Stdio;

use serde_json::Value;

use crate::place::{CONFIG, Place};
use crate::service::{Service, until};

#[test]
fn a_child_that_is_down_is_shown_with_the_reason() {
    // Its children end as soon as they are started.
    let place = Place::new(CONFIG);
    let mut command = place.command(&["run"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let service = Service::start(&place, command);
    let target = || place.run(&["status", "--json"]).json()[0]["targets"][0].clone();

    until("the child has ended", || target()["state"] == "down");
    let (told, shown) = (target(), place.run(&["status"]).stdout);
    assert_eq!(service.stop().code(), Some(0));

    let detail = told["detail"].as_str().unwrap();
    assert!(detail.contains(" exited with code 0 after "), "{told}");
    let row = shown.lines().find(|line| line.starts_with("web-1 "));
    assert!(row.unwrap().ends_with(detail), "{shown}");
    assert_eq!(target()["detail"], Value::Null, "no daemon knows it");
}
