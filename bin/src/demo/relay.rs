//! The demo's side of its publisher: starts it, relays its lines, and ends it.

use std::path::Path;
use std::pin::pin;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use async_io::{Async, Timer};
use futures::future::{self, Either};
use futures::io::BufReader;
use futures::{AsyncBufReadExt as _, StreamExt as _};
use serde_json::Value;

use crate::cli::DemoArgs;
use crate::config::Config;
use crate::exit::Failure;
use crate::service::Announcer;

/// How long the publisher may take to end when it is asked to.
const END_MAX: Duration = Duration::from_millis(500);

/// The command line of the publisher.
pub(super) fn command(program: &Path, config: &Config, args: &DemoArgs, seed: u64) -> Command {
    let mut command = Command::new(program);
    command
        .arg("demo-publish")
        .arg("--state")
        .arg(&config.service.state);
    for (_, target) in config.targets() {
        command.args(["--target", target.as_str()]);
    }
    let per_second = args.rate.interval.as_secs_f64().recip();
    command
        .args(["--rate", &format!("{per_second}/s")])
        .args(["--for", &format!("{}ms", args.length.as_millis())])
        .args(["--seed", &seed.to_string()]);
    command
}

/// The publisher, running. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Publisher {
    child: Child,
    /// Closed to ask it to end.
    stdin: Option<ChildStdin>,
    stdout: Async<ChildStdout>,
    announcer: Announcer,
}

impl Publisher {
    /// Starts it in a process group of its own, so that a Ctrl-C in the terminal reaches only the
    /// demo, which then asks it to end.
    pub(super) fn start(mut command: Command, announcer: Announcer) -> Result<Self, Failure> {
        use std::os::unix::process::CommandExt as _;
        let failed = |error| Failure::failed(format!("cannot start the publisher: {error}"));
        let mut child = command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let stdin = child.stdin.take();
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| failed(std::io::ErrorKind::BrokenPipe.into()));
        let stdout = stdout.and_then(|stdout| Async::new(stdout).map_err(failed))?;
        Ok(Self {
            child,
            stdin,
            stdout,
            announcer,
        })
    }

    /// Relays what it publishes until it ends by itself, or `stop` does and it was asked to end.
    /// Returns the published ids.
    pub(super) async fn relay(
        mut self,
        stop: impl Future<Output = ()>,
    ) -> Result<Vec<String>, Failure> {
        let mut ids = Vec::new();
        let mut stop = pin!(stop);
        let mut is_asked = false;
        let Self {
            child,
            stdin,
            stdout,
            announcer,
        } = &mut self;
        let mut lines = BufReader::new(stdout).lines();
        loop {
            let line = if is_asked {
                match future::select(lines.next(), pin!(Timer::after(END_MAX))).await {
                    Either::Left((line, _)) => line,
                    Either::Right(_) => None,
                }
            } else {
                match future::select(lines.next(), stop.as_mut()).await {
                    Either::Left((line, _)) => line,
                    Either::Right(((), _)) => {
                        is_asked = true;
                        *stdin = None;
                        continue;
                    }
                }
            };
            let Some(Ok(line)) = line else { break };
            let Ok(event) = serde_json::from_str::<Value>(&line) else {
                continue;
            };
            if let (Some(id), Some(target)) = (event["id"].as_str(), event["target"].as_str()) {
                announcer.published(id, target, &event);
                ids.push(id.to_owned());
            }
        }
        let ended = child.try_wait();
        match ended {
            Ok(Some(status)) if !status.success() && !is_asked => {
                Err(Failure::failed(format!("the publisher failed: {status}")))
            }
            _ => Ok(ids),
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // Ignored: it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
