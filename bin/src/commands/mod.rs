//! The commands: each reads its config, does one thing and prints what came of it.
//!
//! Those about requests work on the state's files, whether a daemon is running or not. `run` and
//! `demo` only start the service; everything that runs for longer lives there.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use jiff::Timestamp;
use serde_json::json;

use crate::cli::{Cli, Command, Common};
use crate::exit::{Exit, Failure};
use crate::logging::{self, Format};
use crate::output::{Stdout, json_line, rfc3339};
use crate::service::{self, RunOptions, Signals};
use crate::{config, demo, demo_child};

mod check_config;
mod history;
mod init;
mod requests;
mod restart;
mod resume;
mod status;

/// The whole program: reads the command line, does what it says, and tells how it ended.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => {
            // Ignored: nobody is there to read the help or the complaint.
            let _ = answer.print();
            let exit = if answer.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            };
            return exit.into();
        }
    };
    if let Command::DemoChild(args) = &cli.command {
        return demo_child::run(args);
    }
    let errors = match cli.command {
        // Neither stops because nobody reads its log.
        Command::Run(_) | Command::Demo(_) => Stdout::errors().queued(),
        _ => Stdout::errors(),
    };
    logging::start(cli.common.log, cli.common.verbosity(), errors.clone());
    let stdout = Stdout::new();
    let done = dispatch(cli.command, &cli.common, &stdout).and_then(|()| stdout.finish());
    let exit = match done {
        Ok(()) => Exit::Done,
        Err(failure) => {
            report(&failure, cli.common.log, &errors);
            failure.exit()
        }
    };
    // Ignored: whoever reads nothing misses the last lines too.
    let _ = errors.flush(FLUSH_MAX);
    exit.into()
}

fn dispatch(command: Command, common: &Common, stdout: &Stdout) -> Result<(), Failure> {
    let is_json = common.json;
    match command {
        // Signals first: whoever stops us in the very first moment finds nothing begun.
        Command::Demo(args) => demo::run(&args, Signals::install()?, is_json),
        Command::Run(args) => {
            let signals = Signals::install()?;
            let config = config::load(&args.config.config)?;
            service::run(config, signals, RunOptions { json: is_json })
        }
        Command::DemoPublish(args) => demo::publish(&args),
        // Answered before: a child of the demo has no logger and no failures of ours.
        Command::DemoChild(_) => Ok(()),
        Command::Init(args) => init::run(&args, is_json, stdout),
        Command::CheckConfig(args) => check_config::run(&args, is_json, stdout),
        Command::Restart(args) => restart::run(&args, is_json, stdout),
        Command::Status(args) => status::run(&args, is_json, stdout),
        Command::History(args) => history::run(&args, is_json, stdout),
        Command::Resume(args) => resume::run(&args, is_json, stdout),
    }
}

/// Says in one line on standard error why the program did not end well.
fn report(failure: &Failure, format: Format, errors: &Stdout) {
    if failure.message().is_empty() {
        return;
    }
    let line = match format {
        Format::Text => format!("mandrill: {}\n", failure.message()),
        Format::Json => json_line(&json!({
            "at": rfc3339(Timestamp::now()),
            "level": "error",
            "module": "mandrill",
            "message": failure.message(),
        })),
    };
    errors.text(&line);
}

/// How long a slow reader of standard error is waited for at the end.
const FLUSH_MAX: Duration = Duration::from_millis(300);
