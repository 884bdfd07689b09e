use std::time::Duration;

use clap::{CommandFactory, Parser};

use super::{Cli, Command, Rate};

#[test]
fn the_definition_is_sound_and_every_command_has_examples() {
    let mut command = Cli::command();
    command.clone().debug_assert();
    for subcommand in command.get_subcommands_mut() {
        if subcommand.get_name() == "help" {
            continue;
        }
        let help = subcommand.render_long_help().to_string();
        assert!(help.contains("Examples:"), "{}", subcommand.get_name());
    }
    assert!(command.render_long_help().to_string().contains("Examples:"));
}

#[test]
fn rates_are_so_many_per_time() {
    let interval = |text| Rate::parse(text).map(|rate| rate.interval);
    assert_eq!(interval("2/s"), Ok(Duration::from_millis(500)));
    assert_eq!(interval("30/m"), Ok(Duration::from_secs(2)));
    assert_eq!(interval("0.5/s"), Ok(Duration::from_secs(2)));
    for wrong in [
        "", "2", "2/", "/s", "2/d", "0/s", "-1/s", "NaN/s", "inf/s", "1e9/s",
    ] {
        assert!(interval(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_number_or_a_time_that_cannot_be_is_told_with_what_is_expected_instead() {
    let time = "expected a time such as \"500ms\", \"25s\", \"1h30m\" or \"7d\"";
    let seeds = "expected a whole number from 0 to 18446744073709551615";
    for (line, expected) in [
        ("demo --seed abc", seeds),
        ("demo --seed -1", seeds),
        ("demo --seed 18446744073709551616", seeds),
        ("demo --hosts many", "expected a whole number from 1 to 500"),
        ("demo --hosts 0", "expected a whole number from 1 to 500"),
        (
            "demo --hosts 65537",
            "expected a whole number from 1 to 500",
        ),
        ("demo --hosts 2.5", "expected a whole number from 1 to 500"),
        ("demo --rate often", "such as 2/s, 30/m or 100/h"),
        ("demo --rate -1/s", "expected between 1/h and 1000/s"),
        ("demo --for long", time),
        ("demo --for -1s", "a time cannot be negative"),
        (
            "restart a --reason b --timeout -1s",
            "a time cannot be negative",
        ),
        (
            "history --since -5m",
            "a time cannot be negative; a moment is written as",
        ),
        (
            "history --since now",
            "a moment is written as 2026-01-31T09:30:00Z",
        ),
        ("demo-publish --state a --target b --seed x", seeds),
        (
            "demo-child --port 65536",
            "expected a whole number from 0 to 65535",
        ),
        (
            "demo-child --port 1 --marker a --fail-after-starts x",
            seeds,
        ),
    ] {
        let words = std::iter::once("mandrill").chain(line.split(' '));
        let told = Cli::try_parse_from(words).expect_err(line).to_string();

        let first = told.lines().next().unwrap_or_default();
        let (before, wrong) = line.rsplit_once(' ').unwrap_or_default();
        let (_, option) = before.rsplit_once(' ').unwrap_or_default();
        assert!(
            first.contains(&format!("'{wrong}' for '{option} <")),
            "{told}"
        );
        assert!(first.contains(expected), "{line}: {told}");
    }
}

#[test]
fn restart_needs_targets_and_a_reason() {
    assert!(Cli::try_parse_from(["mandrill", "restart", "--reason", "x"]).is_err());
    assert!(Cli::try_parse_from(["mandrill", "restart", "web-1"]).is_err());
    let cli = Cli::try_parse_from([
        "mandrill", "restart", "web-1", "web-2", "--reason", "x", "--json", "--wait",
    ])
    .unwrap();
    let Command::Restart(args) = cli.command else {
        panic!("a restart")
    };
    assert_eq!(args.targets, ["web-1", "web-2"]);
    assert!(args.wait && cli.common.json);
    assert_eq!(args.timeout, Duration::from_secs(60));
}

#[test]
fn since_is_a_time_ago_or_a_moment() {
    for since in ["1h", "7d", "2026-01-31T09:30:00Z"] {
        let cli = Cli::try_parse_from(["mandrill", "history", "--since", since]);
        assert!(cli.is_ok(), "{since}");
    }
    let cli = Cli::try_parse_from(["mandrill", "history", "--since", "yesterday"]);
    assert_eq!(cli.unwrap_err().exit_code(), 2);
}
