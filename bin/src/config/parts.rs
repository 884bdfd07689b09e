//! Reads what a group is made of: its restarter, its probe, and their argvs.

use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::findings::{Findings, closest};
use super::section::{self, Section};
use super::url::UrlTemplate;
use super::{Policy, ProbeSpec, RestarterSpec, duration};

/// Reads a restarter; `None` when there is no saying which kind it is. In one with problems the
/// parts that could not be read are empty.
pub(super) fn restarter(
    findings: &mut Findings<'_>,
    value: &Spanned<DeValue<'_>>,
    policy: &Policy,
) -> Option<RestarterSpec> {
    let kind = value
        .get_ref()
        .get("kind")
        .and_then(|kind| kind.get_ref().as_str());
    let (place, known) = match kind {
        Some("process") => ("a process restarter", section::PROCESS),
        Some("command") => ("a command restarter", section::COMMAND),
        _ => ("the restarter", RESTARTER),
    };
    let section = Section::open(findings, place, value, known)?;
    if section.value("kind").is_none() {
        section.missing(findings, "kind", "it is \"process\" or \"command\"");
    }
    match section.word(findings, "kind", &["process", "command"]) {
        Some("process") => Some(process(findings, &section)),
        Some(_) => Some(command(findings, &section, policy)),
        None => None,
    }
}

fn process(findings: &mut Findings<'_>, section: &Section<'_, '_>) -> RestarterSpec {
    let argv = argv(findings, section, Placeholder::Port).unwrap_or_default();
    for key in ["count", "first_port"] {
        if section.value(key).is_none() {
            section.missing(findings, key, "give it a number");
        }
    }
    let count: u16 = section.integer(findings, "count", 1..=1000).unwrap_or(0);
    let first_port: u16 = section
        .integer(findings, "first_port", 1..=65_535)
        .unwrap_or(0);
    if u32::from(first_port) + u32::from(count) > 65_536 {
        section.wrong(
            findings,
            "first_port",
            "the last child's port would be above 65535",
        );
    }
    RestarterSpec::Process {
        argv,
        count,
        first_port,
    }
}

fn command(
    findings: &mut Findings<'_>,
    section: &Section<'_, '_>,
    policy: &Policy,
) -> RestarterSpec {
    let argv = argv(findings, section, Placeholder::Target).unwrap_or_default();
    let timeout = section
        .duration(findings, "timeout", Duration::from_millis(1))
        .unwrap_or_else(|| COMMAND_TIMEOUT.min(policy.timeout));
    if timeout > policy.timeout {
        let most = duration::show(policy.timeout);
        section.wrong(
            findings,
            "timeout",
            &format!("at most the group's own timeout, {most}"),
        );
    }
    RestarterSpec::Command { argv, timeout }
}

/// Reads a probe.
pub(super) fn probe(
    findings: &mut Findings<'_>,
    value: &Spanned<DeValue<'_>>,
    is_process: bool,
) -> Option<ProbeSpec> {
    let section = Section::open(findings, "the probe", value, section::PROBE)?;
    if section.value("kind").is_none() {
        section.missing(findings, "kind", "it is \"http\"");
    }
    section.word(findings, "kind", &["http"]);
    let least = Duration::from_millis(10);
    let every = section
        .duration(findings, "every", least)
        .unwrap_or(PROBE_TIME);
    let timeout = section
        .duration(findings, "timeout", least)
        .unwrap_or(PROBE_TIME);
    let expect = section
        .integer(findings, "expect", 100..=599)
        .unwrap_or(200);
    if section.value("url").is_none() {
        section.missing(findings, "url", "such as \"http://{target}/healthz\"");
    }
    let url = section.string(findings, "url")?;
    match UrlTemplate::parse(url) {
        Err(what) => section.wrong(findings, "url", &what),
        Ok(template) if template.needs_port() && !is_process => {
            section.wrong(
                findings,
                "url",
                "only the children of a process group have a {port}",
            );
        }
        Ok(_) => {}
    }
    Some(ProbeSpec {
        url: url.to_owned(),
        every,
        expect,
        timeout,
    })
}

/// What is replaced in an argv.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Placeholder {
    /// `{port}`, anywhere in an argument: it is a number.
    Port,
    /// `{target}`, only as a whole argument.
    Target,
}

/// An argv: a program and its arguments, for exec and never for a shell.
pub(super) fn argv(
    findings: &mut Findings<'_>,
    section: &Section<'_, '_>,
    replaced: Placeholder,
) -> Option<Vec<String>> {
    if section.value("argv").is_none() {
        let advice = "it is the program and its arguments: argv = [\"program\", \"argument\"]";
        section.missing(findings, "argv", advice);
    }
    let listed = section.strings(findings, "argv")?;
    if listed.first().is_none_or(|(program, _)| program.is_empty()) {
        section.wrong(
            findings,
            "argv",
            "the first string is the program to execute",
        );
        return None;
    }
    let own = if replaced == Placeholder::Port {
        "port"
    } else {
        "target"
    };
    for (index, (argument, span)) in listed.iter().enumerate() {
        for word in placeholders(argument) {
            let is_whole = argument.len() == word.len() + 2;
            let what = if word != own {
                format!("`{{{word}}}` is not replaced here, only `{{{own}}}` is")
            } else if index == 0 {
                "the program itself is fixed; nothing is replaced in it".to_owned()
            } else if replaced == Placeholder::Target && !is_whole {
                "`{target}` must be an argument of its own; there is no shell".to_owned()
            } else {
                continue;
            };
            let message = format!("`argv` in {}: {what}", section.place);
            findings.problem(
                span.clone(),
                &message,
                closest(word, [own]).filter(|_| word != own),
            );
        }
        if argument.contains('\0') {
            let message = format!("`argv` in {}: an argument cannot hold a NUL", section.place);
            findings.problem(span.clone(), &message, None);
        }
    }
    let names_target = listed.iter().any(|(argument, _)| *argument == "{target}");
    if replaced == Placeholder::Target && !names_target {
        let message = format!(
            "`argv` in {} has no {{target}}: it is the same for all",
            section.place
        );
        findings.warning(section.span_of("argv"), &message);
    }
    Some(
        listed
            .iter()
            .map(|(argument, _)| (*argument).to_owned())
            .collect(),
    )
}

/// Every `{word}` in a text.
fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|rest| {
        let (word, _) = rest.split_once('}')?;
        let is_word = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        (!word.is_empty() && word.bytes().all(is_word)).then_some(word)
    })
}

/// All keys a restarter of an unknown kind may have.
const RESTARTER: &[&str] = &["kind", "argv", "count", "first_port", "timeout"];
/// How long a restart command may take when the group does not say.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a probe asks, and how long it waits, when the group does not say.
const PROBE_TIME: Duration = Duration::from_secs(1);
