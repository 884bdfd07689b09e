//! `mandrill history`: every request and what became of it.

use jiff::Timestamp;

use super::requests;
use crate::cli::HistoryArgs;
use crate::config;
use crate::exit::Failure;
use crate::journal::{HistoryFilter, HistoryRow};
use crate::output::{Stdout, Table};
use crate::target::Target;

pub(super) fn run(args: &HistoryArgs, is_json: bool, stdout: &Stdout) -> Result<(), Failure> {
    let config = config::load(&args.config.config)?;
    let target = match &args.target {
        None => None,
        Some(name) => Some(
            Target::parse(name)
                .map_err(|error| Failure::usage(format!("--target {name}: {error}")))?,
        ),
    };
    let filter = HistoryFilter {
        target,
        since: args.since,
        outcome: None,
    };
    let rows = requests::rows(&config.service, &filter)?;
    if !is_json {
        stdout.text(&table(&rows));
        return Ok(());
    }
    for row in &rows {
        if stdout.is_closed() {
            break;
        }
        stdout.json(row);
    }
    Ok(())
}

/// Requests for a person.
pub(super) fn table(rows: &[HistoryRow]) -> String {
    if rows.is_empty() {
        return "no requests\n".to_owned();
    }
    let mut table = Table::new([
        "REQUESTED",
        "TARGET",
        "OUTCOME",
        "FINISHED",
        "TRIES",
        "BEFORE",
        "AFTER",
        "BY",
        "REASON",
        "ID",
        "DETAIL",
    ]);
    for row in rows {
        let identity = |identity: &Option<_>| identity.as_ref().map(ToString::to_string);
        table.row([
            &moment(row.requested_at),
            row.target.as_deref().unwrap_or("-"),
            row.outcome.as_str(),
            &moment(row.finished_at),
            &row.attempts.to_string(),
            identity(&row.before).as_deref().unwrap_or("-"),
            identity(&row.after).as_deref().unwrap_or("-"),
            row.by.as_deref().unwrap_or("-"),
            row.reason.as_deref().unwrap_or("-"),
            &row.id,
            row.detail.as_deref().unwrap_or(""),
        ]);
    }
    table.to_string()
}

/// A moment for a person, to the second.
pub(super) fn moment(moment: Option<Timestamp>) -> String {
    moment.map_or_else(|| "-".to_owned(), |moment| format!("{moment:.0}"))
}
