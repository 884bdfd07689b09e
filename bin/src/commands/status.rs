//! `mandrill status`: the daemon, the targets, the queue, the open intents and the threads.
//!
//! What is durable is read from the state's files. What only the daemon knows (what its children do
//! right now, its threads) it is asked for, and without one the files and `/proc` have to do.

use std::collections::HashMap;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use super::{history, requests};
use crate::cli::StatusArgs;
use crate::config::{self, Config};
use crate::control;
use crate::exit::Failure;
use crate::fleet::{Fleet, HostState, Identity, Liveness};
use crate::journal::{Intent, Journal, TargetRow};
use crate::lock::{self, Holder};
use crate::output::{Stdout, Table, escape};
use crate::target::Target;

pub(super) fn run(args: &StatusArgs, is_json: bool, stdout: &Stdout) -> Result<(), Failure> {
    let config = config::load(&args.config.config)?;
    let status = Status::read(&config)?;
    if is_json {
        stdout.json(&status);
    } else {
        stdout.text(&status.text());
    }
    Ok(())
}

#[derive(Serialize)]
struct Status {
    daemon: Option<Holder>,
    /// What the daemon's consumer says of itself; null when the daemon is not up or not reached.
    consumer: Value,
    targets: Vec<TargetStatus>,
    strays: Vec<Stray>,
    queue: Queue,
    open_intents: Vec<OpenIntent>,
    threads: Vec<Value>,
}

#[derive(Serialize)]
struct TargetStatus {
    name: Target,
    group: String,
    state: String,
    /// Why it is down, when that is known.
    detail: Option<String>,
    before: Option<Value>,
    last_restart: Option<Timestamp>,
    cooldown_until: Option<Timestamp>,
}

/// A child that lives although the config has it no longer.
#[derive(Serialize)]
struct Stray {
    name: Target,
    before: Identity,
}

#[derive(Serialize)]
struct Queue {
    ready: u64,
    leased: u64,
    delayed: u64,
    dead: u64,
}

#[derive(Serialize)]
struct OpenIntent {
    id: String,
    target: Target,
    before: Option<Identity>,
    opened_at: Timestamp,
    started_at: Option<Timestamp>,
}

impl Status {
    fn read(config: &Config) -> Result<Self, Failure> {
        let state = &config.service.state;
        let daemon = lock::holder(state);
        let mut answer = match daemon {
            Some(_) => ask(config, state),
            None => Value::Null,
        };
        let threads = match answer["threads"].take() {
            Value::Array(threads) => threads,
            _ => Vec::new(),
        };
        // Before the journal: what left the queue meanwhile has its row there.
        let stats = requests::stats(&config.service)?;
        let queue = Queue {
            ready: stats.ready,
            leased: stats.leased,
            delayed: stats.delayed,
            dead: stats.dead,
        };
        let journal = requests::journal(&config.service)?;
        let intents = match &journal {
            Some(journal) => journal.open_intents().map_err(requests::broken)?,
            None => Vec::new(),
        };
        Ok(Self {
            daemon,
            consumer: answer["consumer"].take(),
            targets: targets(config, &answer, journal.as_ref())?,
            strays: Fleet::strays(state, config)
                .into_iter()
                .map(|(name, before)| Stray { name, before })
                .collect(),
            queue,
            open_intents: intents.into_iter().map(OpenIntent::from).collect(),
            threads,
        })
    }

    fn text(&self) -> String {
        let mut text = match &self.daemon {
            Some(daemon) => {
                let since = history::moment(Some(daemon.since));
                format!("daemon: pid {}, since {since}\n", daemon.pid)
            }
            None => "daemon: not running\n".to_owned(),
        };
        text.push_str(&consumer(&self.consumer));
        let Queue {
            ready,
            leased,
            delayed,
            dead,
        } = self.queue;
        text.push_str(&format!(
            "queue: {ready} ready, {leased} leased, {delayed} delayed, {dead} dead\n\n"
        ));
        let mut targets = Table::new([
            "TARGET",
            "GROUP",
            "STATE",
            "IDENTITY",
            "LAST RESTART",
            "COOLDOWN UNTIL",
            "DETAIL",
        ]);
        for target in &self.targets {
            targets.row([
                target.name.as_str(),
                &target.group,
                &target.state,
                &target
                    .before
                    .as_ref()
                    .map_or_else(|| "-".to_owned(), identity),
                &history::moment(target.last_restart),
                &history::moment(target.cooldown_until),
                target.detail.as_deref().unwrap_or_default(),
            ]);
        }
        text.push_str(&targets.to_string());
        if !self.strays.is_empty() {
            let mut strays = Table::new(["NOT IN THE CONFIG, STILL RUNNING", "IDENTITY"]);
            for stray in &self.strays {
                strays.row([stray.name.as_str(), &stray.before.to_string()]);
            }
            text.push_str(&format!("\n{strays}"));
        }
        if !self.open_intents.is_empty() {
            let mut intents = Table::new(["OPEN INTENT", "TARGET", "SINCE"]);
            for intent in &self.open_intents {
                let since = history::moment(Some(intent.opened_at));
                intents.row([&intent.id, intent.target.as_str(), &since]);
            }
            text.push_str(&format!("\n{intents}"));
        }
        if !self.threads.is_empty() {
            let mut threads = Table::new(["THREAD", "OWNER", "JOB", "STATE", "AGE"]);
            for thread in &self.threads {
                let field = |name: &str| thread[name].as_str().unwrap_or("-").to_owned();
                threads.row([
                    &field("name"),
                    &field("owner"),
                    &field("job"),
                    &field("state"),
                    &age(&thread["age_ms"]),
                ]);
            }
            text.push_str(&format!("\n{threads}"));
        }
        text
    }
}

impl From<Intent> for OpenIntent {
    fn from(intent: Intent) -> Self {
        Self {
            id: intent.id,
            target: intent.target,
            before: intent.before,
            opened_at: intent.opened_at,
            started_at: intent.started_at,
        }
    }
}

/// What the daemon says of itself; null when it does not answer.
fn ask(config: &Config, state: &Path) -> Value {
    let path = match &config.listen.control {
        Some(path) => path.clone(),
        None => control::default_path(state),
    };
    control::query(&path, "status").unwrap_or(Value::Null)
}

fn targets(
    config: &Config,
    answer: &Value,
    journal: Option<&Journal>,
) -> Result<Vec<TargetStatus>, Failure> {
    let rows = match journal {
        Some(journal) => journal.targets().map_err(requests::broken)?,
        None => Vec::new(),
    };
    let rows: HashMap<&Target, &TargetRow> = rows.iter().map(|row| (&row.target, row)).collect();
    let told = states_told(answer);
    let seen: HashMap<Target, _> = match told.is_empty() {
        true => Fleet::observe(&config.service.state, config)
            .into_iter()
            .collect(),
        false => HashMap::new(),
    };
    let now = Timestamp::now();
    let status = |(group, target): (&config::Group, &Target)| {
        let row = rows.get(target);
        let told = told.get(target.as_str()).cloned();
        let seen = || seen.get(target).map(Told::from);
        let Told {
            mut state,
            detail,
            before,
        } = told.or_else(seen).unwrap_or_default();
        if row.is_some_and(|row| row.lost_since.is_some()) {
            state = "lost".to_owned();
        }
        TargetStatus {
            name: target.clone(),
            group: group.name.clone(),
            state,
            detail,
            before,
            last_restart: row.and_then(|row| row.last_restart),
            cooldown_until: row.and_then(|row| row.cooldown_until(&group.policy, now)),
        }
    };
    Ok(config.targets().map(status).collect())
}

/// What is known of a target's state, from the daemon or without it.
#[derive(Clone)]
struct Told {
    state: String,
    detail: Option<String>,
    before: Option<Value>,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            state: Liveness::Unknown.to_string(),
            detail: None,
            before: None,
        }
    }
}

impl From<&HostState> for Told {
    fn from(seen: &HostState) -> Self {
        let before = seen.identity.as_ref();
        Self {
            state: seen.liveness.to_string(),
            detail: seen.detail.clone(),
            // Two shapes of numbers and strings; JSON holds them all.
            before: before.and_then(|own| serde_json::to_value(own).ok()),
        }
    }
}

/// What a daemon's answer says of each target.
fn states_told(answer: &Value) -> HashMap<&str, Told> {
    let told = answer["targets"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    told.iter()
        .filter_map(|target| {
            let before = Some(target["before"].clone()).filter(|before| !before.is_null());
            let told = Told {
                state: target["state"].as_str()?.to_owned(),
                detail: target["detail"].as_str().map(str::to_owned),
                before,
            };
            Some((target["name"].as_str()?, told))
        })
        .collect()
}

/// How the consumer does, for a person; nothing when it did not say.
fn consumer(told: &Value) -> String {
    let Some(phase) = told["phase"].as_str() else {
        return String::new();
    };
    let count = |name: &str| told[name].as_u64().unwrap_or_default();
    let mut text = format!(
        "consumer: {}, {} handling, {} waiting",
        escape(phase),
        count("handling"),
        count("waiting")
    );
    if let (Some(waited), Some(handled)) = (
        told["waited_p99_ms"].as_u64(),
        told["handled_p99_ms"].as_u64(),
    ) {
        text.push_str(&format!(
            "; 99 of 100 requests waited up to {waited} ms and took up to {handled} ms"
        ));
    }
    text.push('\n');
    let troubles = told["trouble"].as_array().map(Vec::as_slice);
    for trouble in troubles
        .unwrap_or_default()
        .iter()
        .filter_map(Value::as_str)
    {
        text.push_str(&format!("consumer: NOT HEALTHY: {}\n", escape(trouble)));
    }
    text
}

/// How long a thread has been in its state, for a person: to the second.
fn age(age_ms: &Value) -> String {
    let seconds = age_ms.as_u64().map(|age_ms| age_ms / 1000);
    match seconds.and_then(|seconds| i64::try_from(seconds).ok()) {
        Some(seconds) => format!("{:#}", SignedDuration::from_secs(seconds)),
        None => "-".to_owned(),
    }
}

/// An identity for a person.
fn identity(value: &Value) -> String {
    match serde_json::from_value::<Identity>(value.clone()) {
        Ok(identity) => identity.to_string(),
        Err(_) => escape(&value.to_string()).into_owned(),
    }
}
