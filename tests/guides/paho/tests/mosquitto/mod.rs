//! A mosquitto of our own on a free port of the loopback, killed by its pid when dropped.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A running broker.
pub(crate) struct Mosquitto {
    process: Child,
    port: u16,
    #[expect(
        dead_code,
        reason = "held for its drop, which removes the broker's files"
    )]
    folder: tempfile::TempDir,
}

impl Mosquitto {
    /// Starts one, and waits until it takes connections.
    pub(crate) fn start() -> Self {
        // A port that was free a moment ago may be taken: then mosquitto ends, and another is
        // tried.
        (0..10)
            .find_map(|_| Self::try_start(free_port()))
            .expect("mosquitto found no port")
    }

    /// Where it listens.
    pub(crate) fn uri(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    fn try_start(port: u16) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("mosquitto.conf");
        let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n");
        fs::write(&config, text).expect("written");
        let process = Command::new(program())
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto is installed but does not start");
        let mut broker = Self {
            process,
            port,
            folder,
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if broker.process.try_wait().expect("our child").is_some() {
                return None;
            }
            assert!(
                Instant::now() < deadline,
                "mosquitto does not listen within a minute"
            );
            // Only to leave the processor to others; the connection decides.
            thread::sleep(Duration::from_millis(5));
        }
        Some(broker)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // Ignored: it has ended already, which is all we want.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that nobody has at this moment.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Debian puts it where only root looks for programs.
fn program() -> &'static str {
    let is_there = |path: &&str| Path::new(path).is_file();
    let known = [
        "/usr/sbin/mosquitto",
        "/usr/local/sbin/mosquitto",
        "/usr/bin/mosquitto",
    ];
    known.into_iter().find(is_there).expect(
        "no mosquitto: this test needs a real broker. On Debian: sudo apt-get install mosquitto",
    )
}
