//! `mandrill check-config`: every problem of a config, or the policy that each group gets.

use std::path::Path;

use serde_json::{Value, json};

use crate::cli::CheckConfigArgs;
use crate::config::{self, Checked, Config, Group, Problem, RestarterSpec, duration};
use crate::exit::{Exit, Failure};
use crate::output::{Stdout, Table, escape};

pub(super) fn run(args: &CheckConfigArgs, is_json: bool, stdout: &Stdout) -> Result<(), Failure> {
    let checked = config::load_checked(&args.file)?;
    if is_json {
        stdout.json(&object(&args.file, &checked));
    } else {
        stdout.text(&text(&args.file, &checked));
    }
    match checked.problems.len() {
        0 => Ok(()),
        count => {
            let noun = if count == 1 { "problem" } else { "problems" };
            let message = format!("{}: {count} {noun}", args.file.display());
            Err(Failure::new(Exit::Usage, message))
        }
    }
}

fn text(file: &Path, checked: &Checked) -> String {
    let file = escape(&file.to_string_lossy()).into_owned();
    let mut text = String::new();
    for problem in &checked.problems {
        text.push_str(&format!("{file}:{}: {problem}\n", problem.line));
    }
    for warning in &checked.warnings {
        text.push_str(&format!("{file}:{}: warning: {warning}\n", warning.line));
    }
    if let Some(config) = &checked.config {
        text.push_str(&policies(&file, config));
    }
    text
}

fn policies(file: &str, config: &Config) -> String {
    let targets = config.targets().count();
    let state = config.service.state.to_string_lossy();
    let mut table = Table::new([
        "GROUP",
        "TARGETS",
        "RESTARTER",
        "LIVE",
        "COOLDOWN",
        "CONCURRENT",
        "SPACING",
        "SETTLE",
        "TIMEOUT",
        "PROBE",
    ]);
    for group in &config.groups {
        let policy = &group.policy;
        table.row([
            &group.name,
            &group.targets.len().to_string(),
            kind(group),
            if config.is_live(group) {
                "yes"
            } else {
                "dry run"
            },
            &duration::show(policy.cooldown),
            &policy.max_concurrent.to_string(),
            &duration::show(policy.spacing),
            &duration::show(policy.settle),
            &duration::show(policy.timeout),
            group.probe.as_ref().map_or("none", |probe| &probe.url),
        ]);
    }
    format!(
        "{file} is fine: {targets} targets, state {}\n{table}",
        escape(&state)
    )
}

fn object(file: &Path, checked: &Checked) -> Value {
    let groups = checked.config.as_ref().map(|config| {
        let group = |group| effective(config, group);
        config.groups.iter().map(group).collect::<Vec<_>>()
    });
    json!({
        "file": file.to_string_lossy(),
        "ok": checked.problems.is_empty(),
        "problems": listed(file, &checked.problems),
        "warnings": listed(file, &checked.warnings),
        "state": checked.config.as_ref().map(|config| config.service.state.to_string_lossy()),
        "groups": groups.unwrap_or_default(),
    })
}

fn listed(file: &Path, problems: &[Problem]) -> Vec<Value> {
    let one = |problem: &Problem| {
        json!({
            "file": file.to_string_lossy(),
            "line": problem.line,
            "message": problem.message,
            "suggestion": problem.suggestion,
        })
    };
    problems.iter().map(one).collect()
}

fn effective(config: &Config, group: &Group) -> Value {
    json!({
        "name": group.name,
        "restarter": kind(group),
        "live": config.is_live(group),
        "targets": group.targets,
        "cooldown": duration::show(group.policy.cooldown),
        "max_concurrent": group.policy.max_concurrent,
        "spacing": duration::show(group.policy.spacing),
        "settle": duration::show(group.policy.settle),
        "timeout": duration::show(group.policy.timeout),
        "probe": group.probe.as_ref().map(|probe| &probe.url),
    })
}

fn kind(group: &Group) -> &'static str {
    match group.restarter {
        RestarterSpec::Process { .. } => "process",
        RestarterSpec::Command { .. } => "command",
    }
}
