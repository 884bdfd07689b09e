//! The service as a process, and commands run to their end.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::until;

/// A running `mandrill run`. Dropping it kills the process; its children are the rig's to stop.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    output: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

/// A process that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error; empty for a daemon, whose log is a file of the rig.
    pub stderr: String,
    /// How long it was waited for.
    pub took: Duration,
}

impl Ended {
    /// Standard output as JSON lines.
    pub fn lines(&self) -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        self.stdout.lines().map(parse).collect()
    }

    /// The last line, which is the summary.
    pub fn summary(&self) -> Value {
        let last = self.lines().pop().expect("the daemon printed something");
        assert_eq!(
            last["event"], "summary",
            "the last line is the summary: {last}"
        );
        last
    }
}

impl Daemon {
    pub(super) fn spawn(mut command: Command, folder: &Path) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        // Relaxed: it only makes the name of a file unique.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let log = folder.join(format!("daemon-{number:06}{LOG}"));
        let log = File::create(log).expect("a log file");
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the program under test starts");
        let output = Arc::new(Mutex::new(String::new()));
        let stdout = child.stdout.take().expect("stdout is a pipe");
        let reader = std::thread::spawn({
            let output = Arc::clone(&output);
            move || read(stdout, &output)
        });
        Self {
            child,
            output,
            reader: Some(reader),
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid())
            .ok()
            .and_then(Pid::from_raw)
            .expect("a child's pid");
        // The child has not been waited for, so that the pid is still its own.
        kill_process(pid, signal).expect("our own child can be signalled");
    }

    /// Fails when the process has ended.
    pub fn assert_running(&mut self) {
        let ended = self.child.try_wait().expect("our own child can be asked");
        assert!(
            ended.is_none(),
            "the daemon ended: {ended:?}\n{}",
            self.output()
        );
    }

    /// Whether the process has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("our own child can be asked")
            .is_some()
    }

    /// Waits for an event on its output that `is_it` knows.
    pub fn await_event(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        until(what, super::COMMAND_MAX, || {
            let output = self.output();
            let whole = output.rsplit_once('\n').map_or("", |(whole, _)| whole);
            whole
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .find(&is_it)
        })
    }

    /// Waits for its end.
    pub fn wait(mut self, limit: Duration) -> Ended {
        let began = Instant::now();
        let status = wait(&mut self.child, limit).unwrap_or_else(|| {
            panic!(
                "the daemon is still there after {limit:?}:\n{}",
                self.output()
            );
        });
        let took = began.elapsed();
        let reader = self.reader.take();
        // A child that had inherited the pipe would keep it open.
        until(
            "the daemon's stdout closes with it",
            super::COMMAND_MAX,
            || {
                reader
                    .as_ref()
                    .is_none_or(JoinHandle::is_finished)
                    .then_some(())
            },
        );
        ended(status, self.output(), String::new(), took)
    }

    /// Kills it, as the out-of-memory killer would, and waits until it is gone.
    pub fn kill(self) {
        self.signal(Signal::KILL);
        self.wait(super::COMMAND_MAX);
    }

    /// Asks it to stop, once, and waits for its end.
    pub fn stop(self, limit: Duration) -> Ended {
        self.signal(Signal::TERM);
        self.wait(limit)
    }

    fn output(&self) -> String {
        self.output
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .clone()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Ignored, both: it has ended already, most of the time.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The daemons' logs in `folder`, oldest first.
pub(super) fn logs(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    let is_log = |path: &PathBuf| path.to_string_lossy().ends_with(LOG);
    let mut logs: Vec<PathBuf> = paths.filter(is_log).collect();
    logs.sort();
    logs
}

/// How the name of a log ends.
pub(super) const LOG: &str = ".stderr";

/// Runs a command to its end; fails when that takes longer than `limit`.
pub(super) fn to_end(mut command: Command, limit: Duration) -> Ended {
    let began = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program under test starts");
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let status = wait(&mut child, limit);
    if status.is_none() {
        // Ignored: the failure below tells more.
        let _ = child.kill();
        let _ = child.wait();
    }
    let join = |reader: JoinHandle<Vec<u8>>| {
        let bytes = reader.join().expect("a reader does not panic");
        String::from_utf8(bytes).expect("output is UTF-8")
    };
    let (stdout, stderr) = (join(stdout), join(stderr));
    let status = status.unwrap_or_else(|| panic!("{command:?}: not done in {limit:?}: {stderr}"));
    ended(status, stdout, stderr, began.elapsed())
}

fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().expect("our own child can be waited for") {
            return Some(status);
        }
        if Instant::now() > deadline {
            return None;
        }
        // Only paces the questions.
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn ended(status: ExitStatus, stdout: String, stderr: String, took: Duration) -> Ended {
    Ended {
        code: status.code(),
        signal: status.signal(),
        stdout,
        stderr,
        took,
    }
}

fn read(stdout: ChildStdout, output: &Mutex<String>) {
    for line in BufReader::new(stdout).lines() {
        let line = line.expect("output is UTF-8");
        let mut output = output
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        output.push_str(&line);
        output.push('\n');
    }
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    let mut pipe = pipe.expect("a pipe was asked for");
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("a pipe can be read");
        bytes
    })
}
