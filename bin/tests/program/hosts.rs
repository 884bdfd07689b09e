//! Hosts that a command restarts: shell scripts stand for them, and a file holds each one's boot
//! identity.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use serde_json::Value;

use crate::place::{Ended, Place};
use crate::service::{Service, until};

#[test]
fn a_lost_host_takes_no_requests_until_it_is_healthy_again() {
    let fleet = Fleet::new("2s", "rm -f $HOST");
    let service = fleet.start();

    let lost = fleet.restart();
    let blocked = fleet.restart();
    fleet.boot("two");
    fleet.behaves("echo three > $HOST");
    let back = fleet.restart();
    assert_eq!(service.stop().code(), Some(0));

    assert_eq!((lost.code, outcome(&lost)), (Some(1), "lost".to_owned()));
    assert_eq!(
        (blocked.code, outcome(&blocked)),
        (Some(3), "blocked".to_owned())
    );
    assert_eq!(
        (back.code, outcome(&back)),
        (Some(0), "verified".to_owned())
    );
}

#[test]
fn a_host_that_still_boots_after_a_crash_of_the_service_is_waited_for_and_not_restarted_again() {
    let fleet = Fleet::new("60s", "rm -f $HOST; echo >> $HOST.runs");
    let service = fleet.start();
    let published = fleet.place.run(&["restart", "web", "--reason", "test"]);
    assert_eq!(published.code, Some(0), "{}", published.stderr);
    until("the command has run", || fleet.runs() == 1);
    service.kill();

    let service = fleet.start();
    let open = fleet.history();
    fleet.boot("two");
    until("there is an outcome", || {
        fleet.history()["outcome"] != "open"
    });
    assert_eq!(service.stop().code(), Some(0));

    assert_eq!(open["outcome"], "open");
    let row = fleet.history();
    assert_eq!(row["outcome"], "verified", "{row}");
    assert_eq!(row["after"]["boot_id"], "two");
    assert_eq!(fleet.runs(), 1);
}

#[test]
fn a_command_that_ran_before_a_crash_gets_its_verdict_though_the_host_is_disarmed_since() {
    let fleet = Fleet::new("60s", "echo >> $HOST.runs; exec sleep 2");
    let service = fleet.start();
    fleet.place.run(&["restart", "web", "--reason", "test"]);
    until("the command has run", || fleet.runs() == 1);
    service.kill();
    fleet.boot("two");
    fleet.configure("armed = true", "armed = false");

    let service = fleet.start();
    until("there is an outcome", || {
        fleet.history()["outcome"] != "open"
    });
    let dry = fleet.restart();
    assert_eq!(service.stop().code(), Some(0));

    assert_eq!(fleet.history()["outcome"], "verified");
    assert_eq!((dry.code, outcome(&dry)), (Some(3), "blocked".to_owned()));
    assert_eq!(fleet.runs(), 1);
}

/// One host, `web`, and what its restart does.
struct Fleet {
    place: Place,
}

impl Fleet {
    fn new(timeout: &str, restart: &str) -> Self {
        let place = Place::empty();
        let folder = place.folder.path().to_str().unwrap();
        let config = CONFIG.replace("DIR", folder).replace("TIMEOUT", timeout);
        fs::write(place.folder.path().join("mandrill.toml"), config).unwrap();
        let fleet = Self { place };
        fleet.boot("one");
        fleet.behaves(restart);
        fleet
    }

    fn configure(&self, from: &str, to: &str) {
        let path = self.place.folder.path().join("mandrill.toml");
        let config = fs::read_to_string(&path).unwrap();
        fs::write(&path, config.replace(from, to)).unwrap();
    }

    /// From now on a restart runs this script.
    fn behaves(&self, script: &str) {
        let host = self.place.folder.path().join("web");
        let script = format!("#!/bin/sh\nHOST={}\n{script}\n", host.display());
        // Written aside: a script that is being written cannot be executed.
        let path = self.place.folder.path().join("reboot");
        let aside = path.with_extension("new");
        fs::write(&aside, script).unwrap();
        fs::set_permissions(&aside, fs::Permissions::from_mode(0o700)).unwrap();
        fs::rename(&aside, &path).unwrap();
    }

    /// The host is up with this boot identity.
    fn boot(&self, boot_id: &str) {
        fs::write(self.place.folder.path().join("web"), boot_id).unwrap();
    }

    fn runs(&self) -> usize {
        let path = self.place.folder.path().join("web.runs");
        fs::read_to_string(path).map_or(0, |text| text.lines().count())
    }

    fn start(&self) -> Service {
        let mut command = self.place.command(&["run"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Service::start(&self.place, command)
    }

    fn restart(&self) -> Ended {
        let arguments = ["restart", "web", "--reason", "test", "--wait", "--json"];
        self.place.run(&arguments)
    }

    fn history(&self) -> Value {
        self.place.run(&["history", "--json"]).json().remove(0)
    }
}

fn outcome(ended: &Ended) -> String {
    let lines = ended.json();
    lines[1]["outcome"].as_str().unwrap().to_owned()
}

const CONFIG: &str = r#"
[service]
armed = true

[policy]
cooldown = "0s"
spacing = "0s"
settle = "0s"
timeout = "TIMEOUT"

[[group]]
name = "hosts"
armed = true
targets = ["web"]
restarter = { kind = "command", argv = ["DIR/reboot", "{target}"], timeout = "2s" }
boot_id = { argv = ["cat", "DIR/web"] }
"#;
