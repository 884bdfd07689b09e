use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Config, Policy, RestarterSpec, check, load, load_checked};
use crate::exit::Exit;
use crate::target::Target;

const WHOLE: &str = r#"
[service]
state = "./state/m.db"
grace = "5s"
armed = true
[source]
kind = "embedded"
lease = "30s"
max_lease = "1h"
max_in_flight = 8
max_deliveries = 3
[policy]
cooldown = "1d"
settle = "2s"
[listen]
control = "unix:./m.sock"
[[group]]
name = "demo"
restarter = { kind = "process", argv = ["child", "--port={port}"], count = 3, first_port = 7701 }
probe = { kind = "http", url = "http://127.0.0.1:{port}/healthz", every = "200ms" }
cooldown = "20s"
[[group]]
name = "web"
armed = true
targets = ["web-1.example.net", "web-2.example.net"]
restarter = { kind = "command", argv = ["reboot-host", "--", "{target}"], timeout = "2m" }
boot_id = { argv = ["read-boot-id", "--", "{target}"] }
probe = { kind = "http", url = "http://{target}:8080/", expect = 204, timeout = "3s" }
max_concurrent = 2
"#;

fn problems(text: &str) -> Vec<String> {
    let show = |problem: &super::Problem| format!("{}: {problem}", problem.line);
    check(text, Path::new(""))
        .problems
        .iter()
        .map(show)
        .collect()
}

fn valid(text: &str) -> Config {
    let checked = check(text, Path::new("/etc/mandrill"));
    assert_eq!(checked.problems, []);
    checked.config.unwrap()
}

#[test]
fn every_key_is_read_and_groups_inherit_the_policy() {
    let config = valid(WHOLE);

    assert_eq!(
        config.service.state,
        PathBuf::from("/etc/mandrill/state/m.db")
    );
    assert_eq!(
        config.service.beside(".lock"),
        PathBuf::from("/etc/mandrill/state/m.db.lock")
    );
    assert_eq!(config.service.grace, Duration::from_secs(5));
    assert_eq!(config.source.max_lease, Duration::from_secs(3600));
    assert_eq!(
        (config.source.max_in_flight, config.source.max_deliveries),
        (8, 3)
    );
    assert_eq!(
        config.listen.control,
        Some(PathBuf::from("/etc/mandrill/m.sock"))
    );
    let demo = &config.groups[0];
    assert_eq!(demo.policy.cooldown, Duration::from_secs(20));
    assert_eq!(demo.policy.settle, Duration::from_secs(2));
    assert_eq!(demo.policy.spacing, Policy::default().spacing);
    assert_eq!(demo.probe.as_ref().unwrap().expect, 200);
    let web = &config.groups[1];
    assert_eq!(web.policy.max_concurrent, 2);
    assert_eq!(web.boot_id.as_ref().unwrap()[2], "{target}");
    let timeout = Duration::from_secs(120);
    assert!(matches!(&web.restarter, RestarterSpec::Command { timeout: t, .. } if *t == timeout));
    assert!(config.is_live(demo) && config.is_live(web));
}

#[test]
fn children_are_counted_and_have_ports() {
    let config = valid(WHOLE);
    let third = Target::parse("demo-3").unwrap();
    let host = Target::parse("web-1.example.net").unwrap();

    assert_eq!(config.port_of(&third), Some(7703));
    assert_eq!(
        config
            .lookup(&third)
            .map(|(group, index)| (group.name.as_str(), index)),
        Some(("demo", 2))
    );
    assert_eq!(config.port_of(&host), None);
    assert!(config.lookup(&Target::parse("demo-4").unwrap()).is_none());
    assert_eq!(config.targets().count(), 5);
}

#[test]
fn what_is_not_said_has_the_documented_default() {
    let config = valid(
        "[[group]]\nname = \"g\"\nrestarter = { kind = \"process\", argv = [\"x\"], count = 1, \
         first_port = 1 }",
    );

    assert_eq!(
        config.service.state,
        PathBuf::from("/etc/mandrill/mandrill.db")
    );
    assert_eq!(config.service.grace, Duration::from_secs(25));
    assert!(!config.service.armed);
    let policy = &config.groups[0].policy;
    assert_eq!(policy.cooldown, Duration::from_secs(7 * 86_400));
    assert_eq!(
        (policy.max_concurrent, policy.spacing),
        (1, Duration::from_secs(30))
    );
    assert_eq!(
        (policy.settle, policy.timeout),
        (Duration::from_secs(20), Duration::from_secs(600))
    );
    assert_eq!(
        (config.source.lease, config.source.max_lease),
        (Duration::from_secs(60), Duration::from_secs(1800))
    );
    assert_eq!(
        (config.source.max_in_flight, config.source.max_deliveries),
        (32, 5)
    );
}

#[test]
fn a_foreign_group_is_live_only_with_both_keys() {
    let mut config = valid(WHOLE);
    config.service.armed = false;
    assert!(!config.is_live(&config.groups[1]));
    assert!(config.is_live(&config.groups[0]));

    config.service.armed = true;
    config.groups[1].armed = false;
    assert!(!config.is_live(&config.groups[1]));
}

#[test]
fn every_problem_is_reported_with_its_line_and_what_was_meant() {
    let text = r#"[service]
stat = "x"
grace = 25
[source]
kind = "nats"
lease = "2h"
cooldown = "1h"
[polcy]
[policy]
cooldwn = "1h"
settle = "20 bananas"
max_concurrent = 0
[[group]]
name = "Web"
targets = ["a", "-b", "a"]
restarter = { kind = "comand", argv = ["x"] }
[[group]]
name = "api"
targets = []
restarter = { kind = "command", argv = ["ssh", "root@{target}"], timeout = "1h" }
probe = { kind = "http", url = "https://{target}/", expect = 99 }
"#;

    assert_eq!(
        problems(text),
        [
            "2: unknown key `stat` in [service]; did you mean `state`?",
            "3: `grace` in [service]: expected a time such as \"25s\", not an integer",
            "5: `kind` in [source] is \"embedded\", not \"nats\"",
            "6: `lease` in [source]: a lease is at most max_lease, 30m",
            "7: unknown key `cooldown` in [source]; it belongs to [policy]",
            "8: unknown key `polcy` in the config; did you mean `policy`?",
            "10: unknown key `cooldwn` in [policy]; did you mean `cooldown`?",
            "11: `settle` in [policy]: expected a time such as \"500ms\", \"25s\", \
             \"1h30m\" or \"7d\"",
            "12: `max_concurrent` in [policy]: expected 1 to 10000",
            "13: `boot_id` is missing in group \"Web\"; a restart counts only when the boot \
             identity read before and after it differ, so say how to read it: boot_id = { argv = \
             [..] }",
            "14: `name` in group \"Web\": a group name has only a-z, 0-9, '.', '_' and \
             '-' (see byte 1)",
            "15: `targets` in group \"Web\": \"-b\": a target name starts with a-z or 0-9",
            "15: target \"a\" is listed already (group \"Web\"); list it once",
            "16: `kind` in the restarter is \"process\" or \"command\", not \"comand\"; did you \
             mean `command`?",
            "17: `boot_id` is missing in group \"api\"; a restart counts only when the boot \
             identity read before and after it differ, so say how to read it: boot_id = { argv = \
             [..] }",
            "19: `targets` in group \"api\": list at least one host",
            "20: `argv` in a command restarter: `{target}` must be an argument of its own; there \
             is no shell",
            "20: `timeout` in a command restarter: at most the group's own timeout, 10m",
            "21: `expect` in the probe: expected 100 to 599",
            "21: `url` in the probe: expected an address that starts with http://",
        ]
    );
}

#[test]
fn what_must_hold_between_groups_is_checked() {
    let process = |name: &str, first: u16| {
        format!(
            "[[group]]\nname = \"{name}\"\nrestarter = {{ kind = \"process\", argv = [\"x\"], \
             count = 3, first_port = {first} }}\n"
        )
    };
    let command = r#"[[group]]
name = "web"
targets = ["b-2", "w", "w"]
restarter = { kind = "command", argv = ["x", "{target}"] }
boot_id = { argv = ["y", "{target}"] }
"#;
    let text = [
        process("a", 100),
        process("b", 102),
        process("a", 200),
        command.into(),
    ]
    .concat();

    assert_eq!(
        problems(&text),
        [
            "5: ports 102 to 104 of group \"b\" overlap those of group \"a\"",
            "8: there are two groups \"a\"; give each its own name",
            "8: target \"a-1\" is listed already (group \"a\"); list it once",
            "8: target \"a-2\" is listed already (group \"a\"); list it once",
            "8: target \"a-3\" is listed already (group \"a\"); list it once",
            "12: target \"b-2\" is listed already (group \"b\"); list it once",
            "12: target \"w\" is listed already (group \"web\"); list it once",
        ]
    );
}

#[test]
fn a_policy_that_contradicts_itself_is_reported_where_it_stands_and_not_by_its_heirs() {
    let common = "[policy]\nsettle = \"10m\"\ntimeout = \"1m\"\n";
    let heir = "[[group]]\nname = \"a\"\n\
                restarter = { kind = \"process\", argv = [\"x\"], count = 1, first_port = 7701 }\n";

    let of_common = problems(&format!("{common}{heir}"));
    let of_group = problems(&format!("{heir}settle = \"11m\"\n"));

    assert_eq!((of_common.len(), of_group.len()), (1, 1));
    assert!(of_common[0].starts_with("3: `timeout` in [policy]"));
    assert!(of_group[0].starts_with("4: `settle` in group \"a\""));
}

#[test]
fn a_process_group_refuses_what_only_hosts_have() {
    let text = r#"[[group]]
name = "g"
targets = ["x"]
boot_id = { argv = ["x"] }
restarter = { kind = "process", argv = ["{port}", "{target}", "{prot}"],
    count = 9, first_port = 65530, timeout = "1s" }
"#;

    let found = problems(text);

    assert!(found[0].starts_with("3: `targets`"), "{found:#?}");
    assert!(found[1].starts_with("4: `boot_id`"), "{found:#?}");
    assert_eq!(
        found[2..],
        [
            "5: `argv` in a process restarter: the program itself is fixed; nothing is \
             replaced in it",
            "5: `argv` in a process restarter: `{target}` is not replaced here, only `{port}` is",
            "5: `argv` in a process restarter: `{prot}` is not replaced here, only `{port}` is; \
             did you mean `port`?",
            "6: unknown key `timeout` in a process restarter; it belongs to [policy]",
            "6: `first_port` in a process restarter: the last child's port would be above 65535",
        ]
    );
}

#[test]
fn syntax_errors_have_their_lines_and_hide_nothing_else() {
    let found = problems("[service]\ngrace = \nstate = \"x\"\n[[group]\nstat = 1\n");

    assert!(found.len() >= 2, "{found:#?}");
    assert!(found[0].starts_with("2: this is no TOML"), "{found:#?}");
    assert!(
        found
            .iter()
            .any(|problem| problem.starts_with("4: this is no TOML")),
        "{found:#?}"
    );
}

#[test]
fn an_empty_config_says_what_to_do() {
    assert_eq!(
        problems(""),
        [
            "1: there is no [[group]], so nothing can be restarted; `mandrill init` writes an \
             example"
        ]
    );
    assert_eq!(
        problems("[group]\nname = \"x\""),
        ["1: a group is written [[group]], with two brackets"]
    );
}

#[test]
fn loosened_rules_and_missing_keys_are_warnings() {
    let text = WHOLE.replace("armed = true\n[source]", "[source]");
    let checked = check(&text, Path::new(""));

    let warnings: Vec<_> = checked.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "group \"demo\" loosens `cooldown` of [policy]",
            "group \"web\" is armed and stays a dry run all the same until [service] armed = true",
            "group \"web\" loosens `max_concurrent` of [policy]",
        ]
    );
    assert!(checked.config.is_some());
}

#[test]
fn files_that_are_no_config_are_one_line_and_exit_2() {
    let folder = tempfile::tempdir().unwrap();
    let noise: Vec<u8> = (0..4096_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    for (name, bytes) in [
        ("noise", noise),
        ("nul", vec![0; 100]),
        ("database", b"SQLite format 3\0\x10\0".to_vec()),
        ("large", vec![b'#'; 2 << 20]),
        ("deep", format!("a = {}", "[".repeat(100_000)).into_bytes()),
        ("controls", b"\x1b[2J = 1".to_vec()),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();

        let failure = load(&path).unwrap_err();

        assert_eq!(failure.exit(), Exit::Usage, "{name}");
        let message = failure.message();
        assert!(
            message.contains(name) && !message.contains(char::is_control),
            "{name}: {message}"
        );
    }
    let missing = load_checked(&folder.path().join("missing")).unwrap_err();
    assert!(missing.message().contains("mandrill init"), "{missing}");
    assert_eq!(load_checked(folder.path()).unwrap_err().exit(), Exit::Usage);
}

#[test]
fn no_mutilation_of_a_config_makes_the_reader_panic() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..3000 {
        let mut bytes = WHOLE.as_bytes().to_vec();
        for _ in 0..random.usize(1..8) {
            let at = random.usize(..bytes.len());
            match random.u8(..4) {
                0 => bytes[at] = random.u8(..),
                1 => bytes.truncate(at.max(1)),
                2 => bytes.insert(at, *random.choice(b"[]{}\"'=.,#\n\\0-9").unwrap()),
                _ => {
                    let end = random.usize(at..bytes.len());
                    let piece = bytes[at..end].to_vec();
                    let to = random.usize(..bytes.len());
                    bytes.splice(to..to, piece);
                }
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        let checked = check(&text, Path::new(""));
        assert_eq!(checked.config.is_none(), !checked.problems.is_empty());
        let lines = text.lines().count().max(1) + 1;
        assert!(
            checked
                .problems
                .iter()
                .all(|problem| (1..=lines).contains(&problem.line))
        );
    }
}
