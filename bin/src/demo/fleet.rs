//! The demo's hosts: well-behaved ones, and with `--chaos` three that are not.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

use crate::config::{Group, Policy, ProbeSpec, RestarterSpec};
use crate::exit::Failure;
use crate::target::Target;

/// The demo's groups, on free ports.
pub(super) fn groups(hosts: u16, chaos: bool, folder: &Path) -> Result<Vec<Group>, Failure> {
    let bad_hosts: &[(&str, &[&str])] = if chaos { BAD_HOSTS } else { &[] };
    let count = hosts + u16::try_from(bad_hosts.len()).unwrap_or_default();
    let first_port = ports(count, folder)?;
    let program = std::env::current_exe()
        .map_err(|error| Failure::failed(format!("cannot find this program: {error}")))?;
    let mut argv = vec![program.to_string_lossy().into_owned()];
    argv.extend(["demo-child", "--port", "{port}"].map(str::to_owned));
    let mut groups = vec![group(
        "demo",
        &argv,
        hosts,
        first_port,
        Duration::from_secs(10),
    )?];
    for ((name, flags), port) in bad_hosts.iter().zip(first_port + hosts..) {
        let mut argv = argv.clone();
        argv.extend(flags.iter().map(|flag| (*flag).to_owned()));
        if flags.contains(&"--fail-after-starts") {
            let marker = folder.join(format!("{name}.marker"));
            argv.extend(["--marker".to_owned(), marker.to_string_lossy().into_owned()]);
        }
        groups.push(group(name, &argv, 1, port, Duration::from_secs(4))?);
    }
    Ok(groups)
}

fn group(
    name: &str,
    argv: &[String],
    count: u16,
    first_port: u16,
    timeout: Duration,
) -> Result<Group, Failure> {
    let targets = (1..=count)
        .map(|number| Target::parse(&format!("{name}-{number}")))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Failure::failed(error.to_string()))?;
    Ok(Group {
        name: name.to_owned(),
        armed: false,
        targets,
        policy: Policy {
            cooldown: Duration::from_secs(1),
            max_concurrent: 2,
            spacing: Duration::ZERO,
            settle: Duration::from_millis(200),
            timeout,
        },
        restarter: RestarterSpec::Process {
            argv: argv.to_vec(),
            count,
            first_port,
        },
        probe: Some(ProbeSpec {
            url: "http://127.0.0.1:{port}/healthz".to_owned(),
            every: Duration::from_millis(50),
            expect: 200,
            timeout: Duration::from_secs(1),
        }),
        boot_id: None,
    })
}

/// The ports of the demo before in this folder while its hosts still live, else free ones.
fn ports(count: u16, folder: &Path) -> Result<u16, Failure> {
    let file = folder.join("ports");
    let saved = std::fs::read_to_string(&file).unwrap_or_default();
    let mut words = saved.split_whitespace().map(str::parse::<u16>);
    if let (Some(Ok(first)), Some(Ok(saved_count))) = (words.next(), words.next())
        && saved_count == count
        && is_any_taken(first, count)
    {
        return Ok(first);
    }
    let first = free_ports(count)?;
    std::fs::write(&file, format!("{first} {count}\n"))
        .map_err(|error| Failure::store(format!("{}: {error}", file.display())))?;
    Ok(first)
}

fn is_any_taken(first: u16, count: u16) -> bool {
    (first..first.saturating_add(count))
        .any(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err())
}

/// Finds `count` neighbouring ports that nobody listens on now.
fn free_ports(count: u16) -> Result<u16, Failure> {
    for _ in 0..TRIES {
        let first = fastrand::u16(PORTS.0..PORTS.1 - count);
        let taken = (first..first + count)
            .map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)))
            .collect::<Result<Vec<_>, _>>();
        if taken.is_ok() {
            return Ok(first);
        }
    }
    Err(Failure::failed(format!(
        "no {count} neighbouring ports between {} and {} are free; try fewer --hosts",
        PORTS.0, PORTS.1
    )))
}

/// The hosts of `--chaos`: one that is deaf to SIGTERM, one that comes back ill for ever, and one
/// that ends as soon as it is restarted.
const BAD_HOSTS: &[(&str, &[&str])] = &[
    ("deaf", &["--ignore-term"]),
    (
        "gone",
        &["--fail-after-starts", "1", "--failure", "unhealthy"],
    ),
    ("broken", &["--fail-after-starts", "1", "--failure", "exit"]),
];
/// Above the well-known ports, below those that Linux gives to outgoing connections.
const PORTS: (u16, u16) = (10_000, 32_000);
const TRIES: u32 = 50;
