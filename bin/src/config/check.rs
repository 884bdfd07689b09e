//! Reads a whole document: every table in turn, then what must hold between them.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::findings::{Findings, Problem};
use super::group::{self, Found};
use super::section::{self, Section};
use super::{Config, Listen, Policy, Service, Source, duration};

/// What came of reading a config.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The config, when nothing is wrong with it.
    pub config: Option<Config>,
    /// What is wrong, in the order of the lines.
    pub problems: Vec<Problem>,
    /// What is allowed and worth a look, in the order of the lines.
    pub warnings: Vec<Problem>,
}

/// Reads a config. Relative paths in it start at `folder`, where its file is.
pub fn check(text: &str, folder: &Path) -> Checked {
    let mut findings = Findings::new(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let span = error.span().unwrap_or_default();
        findings.syntax(
            span,
            &format!("this is no TOML: {}", error.message().trim()),
        );
    }
    let config = self::document(&mut findings, document.get_ref(), folder);
    let (problems, warnings) = findings.finish();
    Checked {
        config: problems.is_empty().then_some(config),
        problems,
        warnings,
    }
}

fn document(findings: &mut Findings<'_>, table: &DeTable<'_>, folder: &Path) -> Config {
    let known = section::DOCUMENT;
    let document = Section::over(findings, "the config", table, Range::default(), known);
    let mut config = Config::default();
    if let Some(value) = document.value("service") {
        config.service = service(findings, value);
    }
    config.service.state = resolve(folder, &config.service.state);
    if let Some(value) = document.value("source") {
        config.source = source(findings, value);
    }
    if let Some(value) = document.value("policy") {
        let section = Section::open(findings, "[policy]", value, section::POLICY);
        config.policy = section.map_or_else(Policy::default, |section| {
            policy(findings, &section, &Policy::default())
        });
    }
    if let Some(value) = document.value("listen") {
        config.listen = listen(findings, value, folder);
    }
    let mut found = Vec::new();
    match document.value("group") {
        None => findings.missing(
            Range::default(),
            "there is no [[group]], so nothing can be restarted; `mandrill init` writes an example",
        ),
        Some(value) => match value.get_ref().as_array() {
            None => {
                let message = "a group is written [[group]], with two brackets";
                findings.problem(value.span(), message, None);
            }
            Some(groups) => {
                for group in groups.iter() {
                    found.extend(group::read(findings, group, &config));
                }
            }
        },
    }
    group::check_together(findings, &found);
    config.groups = found.into_iter().map(|Found { group, .. }| group).collect();
    config
}

fn service(findings: &mut Findings<'_>, value: &Spanned<DeValue<'_>>) -> Service {
    let mut service = Service::default();
    let Some(section) = Section::open(findings, "[service]", value, section::SERVICE) else {
        return service;
    };
    if let Some(state) = section.string(findings, "state") {
        if state.is_empty() || state.ends_with('/') || state.contains('\0') {
            section.wrong(findings, "state", "expected the path of a file");
        }
        service.state = PathBuf::from(state);
    }
    if let Some(grace) = section.duration(findings, "grace", Duration::ZERO) {
        service.grace = grace;
    }
    service.armed = section.boolean(findings, "armed").unwrap_or(service.armed);
    service
}

fn source(findings: &mut Findings<'_>, value: &Spanned<DeValue<'_>>) -> Source {
    let mut source = Source::default();
    let Some(section) = Section::open(findings, "[source]", value, section::SOURCE) else {
        return source;
    };
    section.word(findings, "kind", &["embedded"]);
    if let Some(lease) = section.duration(findings, "lease", LEASE_MIN) {
        source.lease = lease;
    }
    if let Some(lease) = section.duration(findings, "max_lease", LEASE_MIN) {
        source.max_lease = lease;
    }
    if let Some(count) = section.integer(findings, "max_in_flight", 1..=10_000) {
        source.max_in_flight = count;
    }
    if let Some(count) = section.integer(findings, "max_deliveries", 1..=1000) {
        source.max_deliveries = count;
    }
    if source.lease > source.max_lease {
        let longest = duration::show(source.max_lease);
        let key = if section.value("lease").is_some() {
            "lease"
        } else {
            "max_lease"
        };
        section.wrong(
            findings,
            key,
            &format!("a lease is at most max_lease, {longest}"),
        );
    }
    source
}

/// The policy's keys of a table, which a group has too; `inherited` is what the others get.
pub(super) fn policy(
    findings: &mut Findings<'_>,
    section: &Section<'_, '_>,
    inherited: &Policy,
) -> Policy {
    let mut time = |key, least, inherited: Duration| {
        section.duration(findings, key, least).unwrap_or(inherited)
    };
    let cooldown = time("cooldown", Duration::ZERO, inherited.cooldown);
    let spacing = time("spacing", Duration::ZERO, inherited.spacing);
    let settle = time("settle", Duration::ZERO, inherited.settle);
    let timeout = time("timeout", TIMEOUT_MIN, inherited.timeout);
    let max_concurrent = section
        .integer(findings, "max_concurrent", 1..=10_000)
        .unwrap_or(inherited.max_concurrent);
    let is_own = ["timeout", "settle"]
        .iter()
        .any(|key| section.value(key).is_some());
    // What a group only inherits has been reported at its source.
    if timeout <= settle && is_own {
        let key = if section.value("timeout").is_some() {
            "timeout"
        } else {
            "settle"
        };
        let (timeout, settle) = (duration::show(timeout), duration::show(settle));
        let message = format!(
            "timeout ({timeout}) must be longer than settle ({settle}), \
            or no restart is ever verified"
        );
        section.wrong(findings, key, &message);
    }
    Policy {
        cooldown,
        max_concurrent,
        spacing,
        settle,
        timeout,
    }
}

fn listen(findings: &mut Findings<'_>, value: &Spanned<DeValue<'_>>, folder: &Path) -> Listen {
    let mut listen = Listen::default();
    let Some(section) = Section::open(findings, "[listen]", value, section::LISTEN) else {
        return listen;
    };
    let Some(address) = section.string(findings, "control") else {
        return listen;
    };
    match address.strip_prefix("unix:") {
        Some(path) if !path.is_empty() && !path.contains('\0') => {
            let path = resolve(folder, Path::new(path));
            if path.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
                let message = format!("a socket's path has at most {SOCKET_PATH_BYTES_MAX} bytes");
                section.wrong(findings, "control", &message);
            }
            listen.control = Some(path);
        }
        _ => section.wrong(findings, "control", "expected \"unix:PATH\""),
    }
    listen
}

/// A path of the config, from where the program stands.
fn resolve(folder: &Path, path: &Path) -> PathBuf {
    folder.join(path.strip_prefix(".").unwrap_or(path))
}

/// Extensions are sent at a third of it, and must have time to arrive.
const LEASE_MIN: Duration = Duration::from_secs(1);
/// Below it nothing could even be asked once.
const TIMEOUT_MIN: Duration = Duration::from_millis(10);
/// `sun_path` of unix(7), without the final NUL.
const SOCKET_PATH_BYTES_MAX: usize = 107;
