//! Reads one `[[group]]`, and what must hold between the groups.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::check::policy;
use super::findings::Findings;
use super::parts::{self, Placeholder};
use super::section::{self, Section};
use super::{Config, Group, RestarterSpec};
use crate::target::Target;

/// The longest group name: with `-N` it is still one label of a host name.
const NAME_BYTES_MAX: usize = 63;

/// A group and where its parts stand.
pub(super) struct Found {
    pub(super) group: Group,
    name_span: Range<usize>,
    target_spans: Vec<Range<usize>>,
}

/// Reads a group. One with problems is returned as far as it was understood, so that those between
/// groups are found too; `None` when it is no table.
pub(super) fn read(
    findings: &mut Findings<'_>,
    value: &Spanned<DeValue<'_>>,
    config: &Config,
) -> Option<Found> {
    let given = value
        .get_ref()
        .get("name")
        .and_then(|name| name.get_ref().as_str());
    let place = match given {
        Some(name) => format!(
            "group \"{}\"",
            name.chars().take(NAME_BYTES_MAX).collect::<String>()
        ),
        None => "[[group]]".to_owned(),
    };
    let section = Section::open(findings, &place, value, section::GROUP)?;
    name(findings, &section);
    let own_policy = policy(findings, &section, &config.policy);
    let armed = section.boolean(findings, "armed").unwrap_or(false);
    let spec = match section.value("restarter") {
        Some(value) => parts::restarter(findings, value, &own_policy),
        None => {
            let advice = "it says how a target is restarted: \
                restarter = { kind = \"process\" or \"command\", argv = [..], .. }";
            section.missing(findings, "restarter", advice);
            None
        }
    };
    let spec = spec.unwrap_or_else(|| guess(&section));
    let is_process = matches!(spec, RestarterSpec::Process { .. });
    let mut group = Group {
        name: given.unwrap_or_default().to_owned(),
        armed,
        targets: Vec::new(),
        policy: own_policy,
        restarter: spec,
        probe: section
            .value("probe")
            .and_then(|value| parts::probe(findings, value, is_process)),
        boot_id: None,
    };
    let target_spans = if is_process {
        children(findings, &section, &mut group)
    } else {
        hosts(findings, &section, &mut group)
    };
    warn(findings, &section, &group, config);
    Some(Found {
        group,
        name_span: section.span_of("name"),
        target_spans,
    })
}

/// Names, targets and ports are each used once.
pub(super) fn check_together(findings: &mut Findings<'_>, found: &[Found]) {
    let mut names = HashMap::new();
    let mut targets = HashMap::new();
    let mut ports: Vec<(Range<u32>, &str)> = Vec::new();
    for Found {
        group,
        name_span,
        target_spans,
    } in found
    {
        let name = group.name.as_str();
        if !name.is_empty() && names.insert(name, ()).is_some() {
            let message = format!("there are two groups \"{name}\"; give each its own name");
            findings.problem(name_span.clone(), &message, None);
        }
        for (target, span) in group.targets.iter().zip(target_spans) {
            if let Some(other) = targets.insert(target, name) {
                let message = format!(
                    "target \"{target}\" is listed already (group \"{other}\"); list it once"
                );
                findings.problem(span.clone(), &message, None);
            }
        }
        if let RestarterSpec::Process {
            count, first_port, ..
        } = group.restarter
        {
            let own = u32::from(first_port)..u32::from(first_port) + u32::from(count);
            let taken = ports
                .iter()
                .find(|(other, _)| other.start < own.end && own.start < other.end);
            if let Some((_, other)) = taken {
                let (first, last) = (own.start, own.end - 1);
                let message = format!(
                    "ports {first} to {last} of group \"{name}\" overlap those of group \"{other}\""
                );
                findings.problem(name_span.clone(), &message, None);
            }
            ports.push((own, name));
        }
    }
}

fn name(findings: &mut Findings<'_>, section: &Section<'_, '_>) {
    if section.value("name").is_none() {
        section.missing(findings, "name", "every group has one");
    }
    let Some(name) = section.string(findings, "name") else {
        return;
    };
    if let Err(error) = Target::parse(name) {
        let what = error.to_string().replace("a target name", "a group name");
        section.wrong(findings, "name", &what);
    } else if name.len() > NAME_BYTES_MAX {
        section.wrong(findings, "name", &format!("at most {NAME_BYTES_MAX} bytes"));
    }
}

/// Stands for a restarter that could not be read, in a config that is thrown away: who lists
/// targets meant a command.
fn guess(section: &Section<'_, '_>) -> RestarterSpec {
    if section.value("targets").is_some() {
        RestarterSpec::Command {
            argv: Vec::new(),
            timeout: Duration::ZERO,
        }
    } else {
        RestarterSpec::Process {
            argv: Vec::new(),
            count: 0,
            first_port: 0,
        }
    }
}

/// The targets of a process group: nobody lists them, they are counted.
fn children(
    findings: &mut Findings<'_>,
    section: &Section<'_, '_>,
    group: &mut Group,
) -> Vec<Range<usize>> {
    if section.value("targets").is_some() {
        let what = "mandrill names the children of a process group itself, NAME-1 to NAME-COUNT";
        section.wrong(findings, "targets", what);
    }
    if section.value("boot_id").is_some() {
        let what = "a child is identified by its pid and start time; leave this out";
        section.wrong(findings, "boot_id", what);
    }
    if let RestarterSpec::Process { count, .. } = group.restarter {
        // A name that is wrong has been reported, and gives no targets.
        let child = |number| Target::parse(&format!("{}-{number}", group.name)).ok();
        group.targets = (1..=count).filter_map(child).collect();
    }
    vec![section.span_of("name"); group.targets.len()]
}

/// The targets of a command group, and how each is told from its own past.
fn hosts(
    findings: &mut Findings<'_>,
    section: &Section<'_, '_>,
    group: &mut Group,
) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    if section.value("targets").is_none() {
        section.missing(findings, "targets", "list the hosts that may be restarted");
    }
    let listed = section.strings(findings, "targets");
    if listed.as_ref().is_some_and(Vec::is_empty) {
        section.wrong(findings, "targets", "list at least one host");
    }
    for (name, span) in listed.unwrap_or_default() {
        match Target::parse(name) {
            Ok(target) => {
                group.targets.push(target);
                spans.push(span);
            }
            Err(error) => {
                let message = format!("`targets` in {}: \"{name}\": {error}", section.place);
                findings.problem(span, &message, None);
            }
        }
    }
    let Some(value) = section.value("boot_id") else {
        let advice = "a restart counts only when the boot identity read before and after it \
            differ, so say how to read it: boot_id = { argv = [..] }";
        section.missing(findings, "boot_id", advice);
        return spans;
    };
    if let Some(section) = Section::open(findings, "boot_id", value, section::BOOT_ID) {
        group.boot_id = parts::argv(findings, &section, Placeholder::Target);
    }
    spans
}

/// What is allowed, and probably not meant.
fn warn(findings: &mut Findings<'_>, section: &Section<'_, '_>, group: &Group, config: &Config) {
    let is_process = matches!(group.restarter, RestarterSpec::Process { .. });
    if is_process && section.value("armed").is_some() {
        let message = format!(
            "`armed` in {} changes nothing: mandrill spawns it",
            section.place
        );
        findings.warning(section.span_of("armed"), &message);
    }
    if !is_process && group.armed && !config.service.armed {
        let message = format!(
            "{} is armed and stays a dry run all the same until [service] armed = true",
            section.place
        );
        findings.warning(section.span_of("armed"), &message);
    }
    let (own, common) = (&group.policy, &config.policy);
    let loosened = [
        ("cooldown", own.cooldown < common.cooldown),
        ("max_concurrent", own.max_concurrent > common.max_concurrent),
        ("spacing", own.spacing < common.spacing),
        ("settle", own.settle < common.settle),
        ("timeout", own.timeout > common.timeout),
    ];
    for (key, _) in loosened.iter().filter(|(_, is_looser)| *is_looser) {
        let message = format!("{} loosens `{key}` of [policy]", section.place);
        findings.warning(section.span_of(key), &message);
    }
    if own.timeout > config.source.max_lease {
        let message = format!(
            "`timeout` of {} is longer than max_lease of [source]: \
            a slow restart is delivered twice (and carried out once)",
            section.place
        );
        findings.warning(section.span_of("timeout"), &message);
    }
}
