//! Real processes for the rigs: a folder, a config, the daemon, the command line, what they leave.
//!
//! Everything is seen from outside: exit codes, JSON on stdout, files with a documented form, and
//! `/proc`. Every rig has its own folder and its own ports, so that rigs run side by side, and
//! stops by pid whatever it started, also when it fails.

mod daemon;
mod history;
mod ports;
mod process;
mod settings;
mod space;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub use daemon::{Daemon, Ended};
pub use history::History;
pub use process::Start;
pub use settings::Settings;
pub use space::Space;

use ports::Ports;

/// How long a command may take before the rig fails: far more than any honest one needs.
pub const COMMAND_MAX: Duration = Duration::from_secs(60);

/// One service with everything that belongs to it.
#[derive(Debug)]
pub struct Rig {
    binary: PathBuf,
    settings: Settings,
    ports: Ports,
    space: Option<Space>,
    // Last: the folder goes after what lives in it.
    folder: TempDir,
}

impl Rig {
    /// A folder with a `mandrill.toml` made from `settings`; `binary` is the program under test.
    pub fn new(binary: &str, settings: Settings) -> Self {
        Self::build(binary, settings, None)
    }

    /// The same, in a file system of its own with room for `bytes`; `None` where the machine does
    /// not let us have one.
    pub fn in_small_space(binary: &str, settings: Settings, bytes: u64) -> Option<Self> {
        let folder = TempDir::new().expect("a temporary folder");
        let space = Space::mount(folder.path(), bytes)?;
        Some(Self::build_in(folder, binary, settings, Some(space)))
    }

    fn build(binary: &str, settings: Settings, space: Option<Space>) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        Self::build_in(folder, binary, settings, space)
    }

    fn build_in(folder: TempDir, binary: &str, settings: Settings, space: Option<Space>) -> Self {
        let ports = Ports::take();
        let rig = Self {
            binary: binary.into(),
            settings,
            ports,
            space,
            folder,
        };
        rig.write_config(
            &rig.settings
                .render(&rig.binary, rig.folder.path(), rig.ports.first()),
        );
        rig
    }

    /// Replaces the config's text.
    pub fn write_config(&self, text: &str) {
        fs::write(self.file("mandrill.toml"), text).expect("the folder can be written");
    }

    /// Adds a group of `count` children, started with more `flags`, and returns its targets.
    ///
    /// Only for rigs without a group of their own: it takes the same ports.
    pub fn group(&self, name: &str, count: u16, flags: &[&str]) -> Vec<String> {
        let marker = self
            .folder
            .path()
            .join(format!("{name}.marker"))
            .display()
            .to_string();
        let flags = [flags, &["--marker", &marker]].concat();
        let group = settings::group(name, &self.binary, count, self.ports.first(), &flags);
        let config = fs::read_to_string(self.file("mandrill.toml")).expect("the config is there");
        self.write_config(&(config + &group));
        (1..=count)
            .map(|number| format!("{name}-{number}"))
            .collect()
    }

    /// The path of a file of the folder, as this process sees it.
    pub fn file(&self, name: &str) -> PathBuf {
        match &self.space {
            Some(space) => space.seen_from_outside(self.folder.path()).join(name),
            None => self.folder.path().join(name),
        }
    }

    /// The file system the folder is in, when it is one of its own.
    pub fn space(&self) -> Option<&Space> {
        self.space.as_ref()
    }

    /// The path the service calls its state.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("mandrill.db")
    }

    /// A file or folder of the state: `""`, `".queue"`, `".lock"`, `".children"`.
    pub fn state_file(&self, suffix: &str) -> PathBuf {
        self.file(&format!("mandrill.db{suffix}"))
    }

    /// Everything in the folder apart from what the rig put there, sorted.
    pub fn traces(&self) -> Vec<String> {
        let entries = fs::read_dir(self.file("")).expect("the folder can be read");
        let mut names: Vec<String> = entries
            .filter_map(Result::ok)
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name != "mandrill.toml" && !name.ends_with(daemon::LOG))
            .collect();
        names.sort();
        names
    }

    /// Starts `mandrill run`.
    pub fn daemon(&self) -> Daemon {
        self.daemon_with(&[])
    }

    /// Starts `mandrill run` with more in its environment.
    pub fn daemon_with(&self, environment: &[(&str, &str)]) -> Daemon {
        let config = self.config();
        let mut command = self.command(&["run", "--json", "-c", &config]);
        command.envs(environment.iter().copied());
        Daemon::spawn(command, self.folder.path())
    }

    /// Starts `mandrill run` and returns once it reports itself and no child is missing.
    pub fn daemon_ready(&self) -> Daemon {
        self.ready(self.daemon())
    }

    /// Waits until `daemon` answers `status` as itself and all its children run.
    pub fn ready(&self, mut daemon: Daemon) -> Daemon {
        until(
            "the daemon answers and its children run",
            COMMAND_MAX,
            || {
                daemon.assert_running();
                let status = self.status();
                let is_itself = status["daemon"]["pid"] == daemon.pid();
                let all_run = self
                    .targets()
                    .iter()
                    .all(|target| self.running(target).is_some());
                (is_itself && all_run).then_some(())
            },
        );
        daemon
    }

    /// Runs a command line to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        daemon::to_end(self.command(arguments), COMMAND_MAX)
    }

    /// Requests restarts and returns the ids that were published.
    pub fn restart(&self, targets: &[&str]) -> Vec<String> {
        let config = self.config();
        let mut arguments = vec!["restart"];
        arguments.extend(targets);
        arguments.extend(["--reason", "rig", "--json", "-c", &config]);
        let ended = self.run(&arguments);
        assert_eq!(ended.code, Some(0), "restart: {}", ended.stderr);
        let ids: Vec<String> = ended
            .lines()
            .iter()
            .map(|line| text(&line["id"]).to_owned())
            .collect();
        assert_eq!(
            ids.len(),
            targets.len(),
            "one line per target: {}",
            ended.stdout
        );
        ids
    }

    /// What `mandrill status --json` says.
    pub fn status(&self) -> Value {
        let ended = self.run(&["status", "--json", "-c", &self.config()]);
        assert_eq!(ended.code, Some(0), "status: {}", ended.stderr);
        serde_json::from_str(&ended.stdout).expect("status prints one JSON object")
    }

    /// What `mandrill history --json` says.
    pub fn history(&self) -> History {
        let ended = self.run(&["history", "--json", "-c", &self.config()]);
        assert_eq!(ended.code, Some(0), "history: {}", ended.stderr);
        History::new(ended.lines())
    }

    /// Waits until nothing is queued, leased, delayed or open.
    pub fn await_quiet(&self, daemon: &mut Daemon, limit: Duration) {
        until("the queue is empty and no intent is open", limit, || {
            daemon.assert_running();
            let status = self.status();
            let queue = &status["queue"];
            let waiting = ["ready", "leased", "delayed"].map(|state| queue[state].as_u64());
            let is_quiet =
                waiting == [Some(0); 3] && status["open_intents"] == Value::Array(vec![]);
            is_quiet.then_some(())
        });
    }

    /// The targets of the rig's group of children.
    pub fn targets(&self) -> Vec<String> {
        self.settings.targets()
    }

    /// The start log of a target's child.
    pub fn starts(&self, target: &str) -> Vec<Start> {
        process::starts(
            &self
                .state_file(".children")
                .join(format!("{target}.starts")),
        )
    }

    /// The target's child, if the last one started is alive.
    pub fn running(&self, target: &str) -> Option<Start> {
        self.starts(target).pop().filter(Start::is_alive)
    }

    /// What the daemon started last wrote for people.
    pub fn last_log(&self) -> String {
        self.logs().pop().expect("a daemon was started")
    }

    /// Processes whose command line names this rig's folder or one of its ports.
    pub fn processes(&self) -> Vec<u32> {
        let mut words = vec![self.folder.path().display().to_string()];
        words.extend(self.ports.all().map(|port| format!("--port {port} ")));
        process::naming(&words)
    }

    /// The logs of the daemons, in the order in which they were started.
    pub fn logs(&self) -> Vec<String> {
        let read = |path| fs::read_to_string(path).expect("a log is UTF-8");
        daemon::logs(self.folder.path())
            .into_iter()
            .map(read)
            .collect()
    }

    /// The program under test with `arguments`, in the rig's file system and folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match &self.space {
            Some(space) => space.command(&self.binary),
            None => Command::new(&self.binary),
        };
        command
            .args(arguments)
            .stdin(Stdio::null())
            .env_remove("MANDRILL_FAULT");
        command
    }

    /// The path of the config as the program is told.
    pub fn config(&self) -> String {
        self.folder
            .path()
            .join("mandrill.toml")
            .display()
            .to_string()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for start in process::all_starts(&self.state_file(".children")) {
            start.kill_group();
        }
        if std::thread::panicking() {
            show_logs(self.folder.path());
        }
    }
}

/// Asks `poll` again and again until it has an answer; fails when `limit` has passed.
pub fn until<T>(what: &str, limit: Duration, mut poll: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = poll() {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "waited {limit:?} and in vain: {what}"
        );
        // Only paces the questions; the verdict is the answer or the deadline.
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The text of a JSON string.
pub fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("a string, not {value}"))
}

/// The last lines each daemon of a failed rig wrote for people.
fn show_logs(folder: &Path) {
    let paths = daemon::logs(folder);
    for path in &paths[paths.len().saturating_sub(3)..] {
        let log = fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(30)..];
        eprintln!("-- {}\n{}", path.display(), last.join("\n"));
    }
}
