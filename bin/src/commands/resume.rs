//! `mandrill resume`: lets a lost target take requests again.

use jiff::Timestamp;
use serde_json::json;

use super::{requests, restart};
use crate::cli::ResumeArgs;
use crate::config;
use crate::exit::Failure;
use crate::journal::Journal;
use crate::output::{Stdout, rfc3339};

pub(super) fn run(args: &ResumeArgs, is_json: bool, stdout: &Stdout) -> Result<(), Failure> {
    let config = config::load(&args.config.config)?;
    let names = std::slice::from_ref(&args.target);
    let targets = restart::known_targets(&config, names, &args.config.config)?;
    let Some(target) = targets.first() else {
        return Ok(());
    };
    let state = &config.service.state;
    // Looked at first: without a journal nothing was ever lost, and none is made to say so.
    let was_lost = match requests::journal(&config.service)? {
        None => false,
        Some(_) => {
            let journal = Journal::open(state).map_err(requests::broken)?;
            let was_lost = journal.resume(target).map_err(requests::broken)?;
            journal.close().map_err(requests::broken)?;
            was_lost
        }
    };
    if is_json {
        let at = rfc3339(Timestamp::now());
        stdout.json(&json!({
            "event": "resumed", "id": null, "target": target, "at": at, "was_lost": was_lost,
        }));
    } else if was_lost {
        stdout.line(&format!("{target} takes requests again"));
    } else {
        stdout.line(&format!("{target} was not lost; nothing to do"));
    }
    Ok(())
}
