//! `mandrill demo`: the whole service on this machine, with real parts, in half a minute.
//!
//! The fleet is real child processes, the publisher is another process, the queue and the journal
//! are the durable ones. Only the policy is in a hurry.

mod fleet;
mod progress;
mod publisher;
mod relay;

pub use self::publisher::run as publish;

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future;
use tempfile::TempDir;

use self::relay::Publisher;
use crate::cli::DemoArgs;
use crate::config::{Config, Service, Source};
use crate::exit::{Exit, Failure};
use crate::output::Stdout;
use crate::service::{self, Announcer, Chaos, Companion, Setup, Signals, Style};

/// Runs the demo for its time, or until it is told to stop.
///
/// The caller has installed the `signals`.
///
/// # Errors
///
/// [`Failure`] with the exit code, as [`service::run`].
///
/// # Blocking
///
/// For as long as the demo runs.
pub fn run(args: &DemoArgs, signals: Signals, json: bool) -> Result<(), Failure> {
    let folder = Folder::new(args.state.as_deref())?;
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    let config = Config {
        service: Service {
            state: folder.path.join("mandrill.db"),
            ..Service::default()
        },
        source: Source {
            lease: LEASE,
            ..Source::default()
        },
        groups: fleet::groups(args.hosts, args.chaos, &folder.path)?,
        ..Config::default()
    };
    let config = Arc::new(config);
    let stdout = Stdout::new().queued();
    let style = match (json, stdout.is_terminal()) {
        (true, _) => Style::Json,
        (false, true) => Style::Live,
        (false, false) => Style::Lines,
    };
    let announcer = Announcer::new(stdout, style);
    introduce(&announcer, &config, args, seed);
    let companion = companion(&announcer, &config, args, seed)?;
    let setup = Setup {
        config,
        signals,
        announcer: announcer.clone(),
        chaos: args.chaos.then_some(Chaos),
    };
    let ended = service::serve(setup, Some(companion));
    folder.close(&ended);
    ended.and_then(|()| announcer.stdout().finish())
}

/// The publisher and the progress line; the demo ends with the publisher, or when nobody reads.
fn companion(
    announcer: &Announcer,
    config: &Config,
    args: &DemoArgs,
    seed: u64,
) -> Result<Companion, Failure> {
    let announcer = announcer.clone();
    let program = std::env::current_exe()
        .map_err(|error| Failure::failed(format!("cannot find this program: {error}")))?;
    let command = relay::command(&program, config, args, seed);
    let length = args.length;
    Ok(Box::new(move |stopping| {
        async move {
            let publisher = Publisher::start(command, announcer.clone())?;
            let progress = pin!(progress::show(&announcer, length));
            let closed = pin!(progress::until_closed(&announcer));
            // Nothing is ever sent: that the waiting ends is the message.
            let stopping = pin!(stopping.recv());
            let stop = future::select(stopping, closed).map(drop);
            publisher
                .relay(future::select(progress, stop).map(drop))
                .await
        }
        .boxed_local()
    }))
}

fn introduce(announcer: &Announcer, config: &Config, args: &DemoArgs, seed: u64) {
    if announcer.style() == Style::Json {
        return;
    }
    let hosts = config.targets().count();
    announcer.stdout().text(&format!(
        "{hosts} hosts are real processes; one request every {} ms for {} s; seed {seed}\n\
         state: {}\n\n",
        args.rate.interval.as_millis(),
        args.length.as_secs_f32(),
        config.service.state.display()
    ));
}

/// Where the state is kept.
struct Folder {
    path: PathBuf,
    temporary: Option<TempDir>,
}

impl Folder {
    fn new(state: Option<&Path>) -> Result<Self, Failure> {
        let unusable = |path: &Path, error: &dyn std::fmt::Display| {
            Failure::store(format!(
                "{}: cannot be used for the demo's state: {error}; name another with --state",
                path.display()
            ))
        };
        if let Some(path) = state {
            std::fs::create_dir_all(path).map_err(|error| unusable(path, &error))?;
            let path = path
                .canonicalize()
                .map_err(|error| unusable(path, &error))?;
            return Ok(Self {
                path,
                temporary: None,
            });
        }
        let temporary = tempfile::Builder::new()
            .prefix("mandrill-demo-")
            .tempdir()
            .map_err(|error| unusable(&std::env::temp_dir(), &error))?;
        Ok(Self {
            path: temporary.path().to_owned(),
            temporary: Some(temporary),
        })
    }

    /// Removes a temporary folder, unless work was handed back: then its children still live.
    fn close(self, ended: &Result<(), Failure>) {
        let Some(temporary) = self.temporary else {
            return;
        };
        if ended
            .as_ref()
            .is_err_and(|failure| failure.exit() == Exit::HandedBack)
        {
            let path = temporary.keep();
            log::warn!(
                "the hosts still run; to finish: mandrill demo --state {} --for 1s",
                path.display()
            );
        }
    }
}

/// Short, so that a demo that was killed shows its redeliveries soon.
const LEASE: Duration = Duration::from_secs(10);
