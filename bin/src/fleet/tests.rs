//! The fleet over real processes. Every test ends what it started, also when it fails.

mod adoption;
mod children;
mod proof;
mod remotes;

use std::fs;
use std::net::TcpListener;

use rustix::process::{Pid, kill_process};
use serde_json::Value;
use smol::block_on;
use tempfile::TempDir;

use super::*;
use crate::config::{Group, Policy, ProbeSpec, RestarterSpec, Service};

/// A state of its own with one group, and what a test wants to know about it.
struct Rig {
    folder: TempDir,
    config: Config,
    pool: BlockingPool,
}

impl Rig {
    /// Children that run a shell script.
    fn children(count: u16, script: &str) -> Self {
        let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        Self::over(RestarterSpec::Process {
            argv,
            count,
            first_port: free_port(),
        })
    }

    fn over(restarter: RestarterSpec) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let count = match restarter {
            RestarterSpec::Process { count, .. } => count,
            RestarterSpec::Command { .. } => 1,
        };
        let group = Group {
            name: "web".to_owned(),
            armed: true,
            targets: (1..=count).map(target).collect(),
            policy: Policy::default(),
            restarter,
            probe: None,
            boot_id: None,
        };
        let config = Config {
            service: Service {
                state: folder.path().join("state.db"),
                ..Service::default()
            },
            groups: vec![group],
            ..Config::default()
        };
        let pool = BlockingPool::builder().name("fleet").threads(2).build();
        Self {
            folder,
            config,
            pool,
        }
    }

    fn probed(mut self, expect: u16) -> Self {
        self.config.groups[0].probe = Some(ProbeSpec {
            url: "http://127.0.0.1:{port}/healthz".to_owned(),
            every: Duration::from_millis(10),
            expect,
            timeout: LONG,
        });
        self
    }

    async fn open(&self) -> Fleet {
        self.try_open().await.unwrap()
    }

    async fn try_open(&self) -> Result<Fleet, FleetError> {
        Fleet::open(Arc::new(self.config.clone()), self.pool.clone()).await
    }

    /// A file of the first child.
    fn file(&self, extension: &str) -> PathBuf {
        let folder = children_folder(&self.config.service.state);
        folder.join(format!("web-1.{extension}"))
    }

    fn record(&self) -> Value {
        serde_json::from_slice(&fs::read(self.file("child")).unwrap()).unwrap()
    }

    /// The starts of the first child.
    fn starts(&self) -> Vec<Identity> {
        let text = fs::read_to_string(self.file("starts")).unwrap();
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// A path that scripts can write to.
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let folder = children_folder(&self.config.service.state);
        let Ok(entries) = fs::read_dir(folder) else {
            return;
        };
        let mut nonces = Vec::new();
        for entry in entries {
            let text = fs::read(entry.unwrap().path()).unwrap();
            if let Ok(record) = serde_json::from_slice::<record::Record>(&text) {
                nonces.extend(record.process.map(|process| process.nonce));
                nonces.extend(record.next);
            }
        }
        let nonces: Vec<&str> = nonces.iter().map(String::as_str).collect();
        for (stat, _) in procfs::find_by_nonce(&nonces).unwrap() {
            running::kill(stat.pid, stat.started).unwrap();
        }
    }
}

fn target(number: u16) -> Target {
    Target::parse(&format!("web-{number}")).unwrap()
}

fn first() -> Target {
    target(1)
}

fn soon() -> Instant {
    Instant::now() + LONG
}

fn pid_of(identity: &Identity) -> u32 {
    match identity {
        Identity::Process { pid, .. } => *pid,
        Identity::Boot { .. } => panic!("{identity} is no process"),
    }
}

fn is_dead(pid: u32) -> bool {
    procfs::stat(pid).unwrap().is_none_or(|stat| stat.is_dead())
}

/// Sends a signal as a stranger would.
fn send(pid: u32, signal: rustix::process::Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Waits for something that will surely come.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let patience = soon();
    while !is_so() {
        assert!(Instant::now() < patience, "{what}");
        async_io::Timer::after(Duration::from_millis(2)).await;
    }
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Lives until it is told to end.
const SLEEP: &str = "exec sleep 1000";
/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);
