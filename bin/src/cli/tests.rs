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
