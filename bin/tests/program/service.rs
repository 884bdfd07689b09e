//! The service, run beside a test and ended with it.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::place::Place;

/// Three children that need no port, and a policy in a hurry.
pub(crate) const FLEET: &str = r#"
[policy]
cooldown = "0s"
spacing = "0s"
settle = "0s"

[[group]]
name = "web"
restarter = { kind = "process", argv = ["sleep", "1000"], count = 3, first_port = 7701 }
"#;

/// A service that is up.
pub(crate) struct Service(Option<Child>);

impl Service {
    /// Starts `command`, which runs the service of `place`, and waits until it answers.
    pub(crate) fn start(place: &Place, mut command: Command) -> Self {
        let service = Self(Some(command.stdin(Stdio::null()).spawn().unwrap()));
        until("the service answers", || {
            // At every moment of its start: a reader finds either nothing or all of a new file.
            let status = place.run(&["status", "--json"]);
            assert_eq!(status.code, Some(0), "{}", status.stderr);
            status.json()[0]["threads"] != serde_json::json!([])
        });
        service
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(mut self) -> ExitStatus {
        let mut child = self.0.take().unwrap();
        signal(&child, Signal::TERM);
        let mut ended = None;
        until("the service ends", || {
            ended = child.try_wait().unwrap();
            ended.is_some()
        });
        ended.unwrap()
    }

    /// Ends it as a crash would; its children live on.
    pub(crate) fn kill(mut self) {
        let mut child = self.0.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // A test that failed half-way: a clean stop takes the children along, two more signals end
        // what cannot stop.
        let Some(mut child) = self.0.take() else {
            return;
        };
        for _ in 0..3 {
            signal(&child, Signal::TERM);
            let patience = Instant::now() + Duration::from_secs(5);
            while Instant::now() < patience {
                if let Ok(Some(_)) = child.try_wait() {
                    return;
                }
                thread::sleep(LOOK_EVERY);
            }
        }
    }
}

/// Waits for something that will surely come.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < patience, "{what}");
        thread::sleep(LOOK_EVERY);
    }
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

const LOOK_EVERY: Duration = Duration::from_millis(10);
