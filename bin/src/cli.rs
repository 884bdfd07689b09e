//! The command line: what can be said, and what each part means.
//!
//! Only shapes are checked here. Whether a target exists is for the commands, which know the
//! config.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};
use jiff::Timestamp;

use crate::config::duration;
use crate::demo_child;
use crate::logging::Format;

/// Restarts the hosts of a fleet on request, one message at a time, with nothing lost.
#[derive(Debug, Parser)]
#[command(name = "mandrill", version, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What every command knows.
    #[command(flatten)]
    pub common: Common,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// Print JSON, one object per line, on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// How log lines on standard error look
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub log: Format,
    /// Log more; repeat for even more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Log less; repeat for even less
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub quiet: u8,
}

impl Common {
    /// How much to log, 0 in the middle.
    pub fn verbosity(&self) -> i8 {
        let level = |count: u8| i8::try_from(count).unwrap_or(i8::MAX);
        level(self.verbose).saturating_sub(level(self.quiet))
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show it all: a fleet of real processes, a publisher, and the service between them
    #[command(after_help = DEMO_EXAMPLES)]
    Demo(DemoArgs),
    /// Write a mandrill.toml that works as it is, with comments
    #[command(after_help = INIT_EXAMPLES)]
    Init(InitArgs),
    /// Report every problem of a config, or the policy each group gets
    #[command(after_help = CHECK_EXAMPLES)]
    CheckConfig(CheckConfigArgs),
    /// Run the service until it is told to stop
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArgs),
    /// Ask for targets to be restarted; the request is durable when this returns
    #[command(after_help = RESTART_EXAMPLES)]
    Restart(RestartArgs),
    /// Show the daemon, the targets, the queue and the threads
    #[command(after_help = STATUS_EXAMPLES)]
    Status(StatusArgs),
    /// Show every request and what became of it
    #[command(after_help = HISTORY_EXAMPLES)]
    History(HistoryArgs),
    /// Let a lost target take requests again
    #[command(after_help = RESUME_EXAMPLES)]
    Resume(ResumeArgs),
    /// One host of the demo's fleet
    #[command(hide = true, after_help = DEMO_CHILD_EXAMPLES)]
    DemoChild(demo_child::Args),
    /// The demo's publisher
    #[command(hide = true, after_help = DEMO_PUBLISH_EXAMPLES)]
    DemoPublish(DemoPublishArgs),
}

/// Which config a command reads.
#[derive(Clone, Debug, Args)]
pub struct ConfigArg {
    /// The config to read
    #[arg(
        short = 'c',
        long = "config",
        default_value = "./mandrill.toml",
        value_name = "FILE"
    )]
    pub config: PathBuf,
}

/// Arguments of `demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// How many hosts
    #[arg(long, default_value_t = 5, value_name = "N")]
    #[arg(allow_negative_numbers = true, value_parser = whole::<u16>(1..=500))]
    pub hosts: u16,
    /// How many requests per time: 2/s, 30/m, 100/h
    #[arg(long, default_value = "2/s")]
    #[arg(allow_hyphen_values = true, value_parser = Rate::parse)]
    pub rate: Rate,
    /// How long requests are published
    #[arg(long = "for", default_value = "30s", value_name = "TIME")]
    #[arg(allow_hyphen_values = true, value_parser = duration::parse)]
    pub length: Duration,
    /// Makes the requests the same every time
    #[arg(long, value_name = "N")]
    #[arg(allow_negative_numbers = true, value_parser = whole::<u64>(0..=u64::MAX))]
    pub seed: Option<u64>,
    /// Add hosts that ignore SIGTERM, never come back or fail, and handlers that panic
    #[arg(long)]
    pub chaos: bool,
    /// Keep the state here instead of in a temporary directory
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

/// Arguments of `init`.
#[derive(Clone, Debug, Args)]
pub struct InitArgs {
    /// The file to write
    #[arg(default_value = "./mandrill.toml", value_name = "FILE")]
    pub file: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    pub force: bool,
    /// Print the config instead of writing it
    #[arg(long, conflicts_with = "force")]
    pub stdout: bool,
}

/// Arguments of `check-config`.
#[derive(Clone, Debug, Args)]
pub struct CheckConfigArgs {
    /// The config to check
    #[arg(default_value = "./mandrill.toml", value_name = "FILE")]
    pub file: PathBuf,
}

/// Arguments of `run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Which config.
    #[command(flatten)]
    pub config: ConfigArg,
}

/// Arguments of `restart`.
#[derive(Clone, Debug, Args)]
pub struct RestartArgs {
    /// Which config.
    #[command(flatten)]
    pub config: ConfigArg,
    /// What to restart
    #[arg(required = true, value_name = "TARGET")]
    pub targets: Vec<String>,
    /// Why; kept with the request
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Wait for the outcome of each request and print it
    #[arg(long)]
    pub wait: bool,
    /// How long to wait
    #[arg(long, default_value = "60s", value_name = "TIME")]
    #[arg(allow_hyphen_values = true, value_parser = duration::parse)]
    pub timeout: Duration,
}

/// Arguments of `status`.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// Which config.
    #[command(flatten)]
    pub config: ConfigArg,
}

/// Arguments of `history`.
#[derive(Clone, Debug, Args)]
pub struct HistoryArgs {
    /// Which config.
    #[command(flatten)]
    pub config: ConfigArg,
    /// Only requests for this target
    #[arg(long, value_name = "TARGET")]
    pub target: Option<String>,
    /// Only requests that ended since then or are still open: 1h, 7d, or 2026-01-31T09:30:00Z
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = since)]
    pub since: Option<Timestamp>,
}

/// Arguments of `resume`.
#[derive(Clone, Debug, Args)]
pub struct ResumeArgs {
    /// Which config.
    #[command(flatten)]
    pub config: ConfigArg,
    /// Which target
    #[arg(value_name = "TARGET")]
    pub target: String,
}

/// Arguments of the hidden `demo-publish`.
#[derive(Clone, Debug, Args)]
pub struct DemoPublishArgs {
    /// The demo's state file
    #[arg(long, value_name = "FILE")]
    pub state: PathBuf,
    /// A target of the demo; repeat for each
    #[arg(long = "target", required = true, value_name = "TARGET")]
    pub targets: Vec<String>,
    /// How many requests per time
    #[arg(long, default_value = "2/s")]
    #[arg(allow_hyphen_values = true, value_parser = Rate::parse)]
    pub rate: Rate,
    /// How long
    #[arg(long = "for", default_value = "30s", value_name = "TIME")]
    #[arg(allow_hyphen_values = true, value_parser = duration::parse)]
    pub length: Duration,
    /// Makes the requests the same every time
    #[arg(long, default_value_t = 0, value_name = "N")]
    #[arg(allow_negative_numbers = true, value_parser = whole::<u64>(0..=u64::MAX))]
    pub seed: u64,
}

/// So many per time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// From one to the next.
    pub interval: Duration,
}

impl Rate {
    /// Reads `2/s`, `0.5/s`, `30/m` or `100/h`.
    ///
    /// # Errors
    ///
    /// What is expected instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || "expected so many per time, such as 2/s, 30/m or 100/h".to_owned();
        let (count, unit) = text.split_once('/').ok_or_else(expected)?;
        let unit = match unit {
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(expected()),
        };
        let count: f64 = count.parse().map_err(|_| expected())?;
        let per_second = count / unit;
        if !(1e-4..=RATE_PER_SECOND_MAX).contains(&per_second) {
            return Err(format!("expected between 1/h and {RATE_PER_SECOND_MAX}/s"));
        }
        let interval = Duration::from_secs_f64(per_second.recip());
        Ok(Self { interval })
    }
}

/// Reads a whole number that is one of `range`, and otherwise says what is expected.
pub(crate) fn whole<T: TryFrom<u64>>(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        let number = number.and_then(|number| T::try_from(number).ok());
        let (first, last) = (range.start(), range.end());
        number.ok_or_else(|| format!("expected a whole number from {first} to {last}"))
    }
}

fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    let ago = duration::parse(text)
        .map_err(|error| format!("{error}; a moment is written as 2026-01-31T09:30:00Z"))?;
    // Longer ago than time goes back means: everything.
    Ok(Timestamp::now().checked_sub(ago).unwrap_or(Timestamp::MIN))
}

/// More than one machine's fleet of children could ever show.
const RATE_PER_SECOND_MAX: f64 = 1000.0;

const EXAMPLES: &str = "Examples:
  mandrill demo                                  see it work, on this machine, in 30 seconds
  mandrill init && mandrill run                  a service of your own
  mandrill restart demo-1 --reason 'new kernel'  in another terminal

Exit codes: 0 done, 1 error, 2 usage, config or unknown target, 3 blocked by policy,
4 store unusable or held by another daemon, 5 timed out waiting, 6 stopped with work handed back";
const DEMO_EXAMPLES: &str = "Examples:
  mandrill demo
  mandrill demo --hosts 20 --rate 10/s --for 1m
  mandrill demo --chaos --seed 7
  mandrill demo --json | jq -c 'select(.event == \"restarted\")'";
const INIT_EXAMPLES: &str = "Examples:
  mandrill init
  mandrill init /etc/mandrill/mandrill.toml
  mandrill init --stdout | less";
const CHECK_EXAMPLES: &str = "Examples:
  mandrill check-config mandrill.toml
  mandrill check-config mandrill.toml --json";
const RUN_EXAMPLES: &str = "Examples:
  mandrill run
  mandrill run -c /etc/mandrill/mandrill.toml --log json
  mandrill run --json | jq -c 'select(.event == \"failed\" or .event == \"lost\")'

The first SIGINT, SIGTERM or SIGHUP drains within the config's grace, the second hands back what is
left at once, the third ends the process.";
const RESTART_EXAMPLES: &str = "Examples:
  mandrill restart web-1 --reason 'memory leak'
  mandrill restart web-1 web-2 --reason 'new kernel' --wait --timeout 15m
  mandrill restart web-1 --reason test --json | jq -r .id";
const STATUS_EXAMPLES: &str = "Examples:
  mandrill status
  mandrill status --json | jq '.targets[] | select(.state != \"up\")'";
const HISTORY_EXAMPLES: &str = "Examples:
  mandrill history
  mandrill history --target web-1 --since 7d
  mandrill history --json | jq -c 'select(.outcome == \"blocked\") | [.target, .until]'";
const RESUME_EXAMPLES: &str = "Examples:
  mandrill resume web-1";
const DEMO_CHILD_EXAMPLES: &str = "Examples:
  mandrill demo-child --port 7701";
const DEMO_PUBLISH_EXAMPLES: &str = "Examples:
  mandrill demo-publish --state /srv/demo/mandrill.db --target demo-1 --rate 2/s --for 30s";

#[cfg(test)]
mod tests;
