//! Targets that a command restarts.

use super::*;

/// A rig with one target whose boot identity stands in the file `boot`.
fn rig(script: &str) -> Rig {
    let argv = ["/bin/sh", "-c", script, "sh", "{target}"].map(str::to_owned);
    let mut rig = Rig::over(RestarterSpec::Command {
        argv: argv.to_vec(),
        timeout: LONG,
    });
    let folder = rig.folder.path().to_str().unwrap().to_owned();
    let group = &mut rig.config.groups[0];
    if let RestarterSpec::Command { argv, .. } = &mut group.restarter {
        argv[2] = argv[2].replace("DIR", &folder);
    }
    group.boot_id = Some(vec!["/bin/cat".to_owned(), format!("{folder}/boot")]);
    fs::write(rig.path("boot"), "one\n").unwrap();
    rig
}

fn boot(boot_id: &str) -> Identity {
    Identity::Boot {
        boot_id: boot_id.to_owned(),
    }
}

#[test]
fn a_command_restarts_and_another_boot_identity_proves_it() {
    let rig = rig("echo $1 $MANDRILL_TARGET $MANDRILL_REQUEST > DIR/told; echo two > DIR/boot");
    block_on(async {
        let fleet = rig.open().await;
        let before = fleet.identity(&first()).await.unwrap();
        assert_eq!(before, Some(boot("one")));

        fleet
            .restart(&first(), before.as_ref(), Some("id-1"), soon())
            .await
            .unwrap();
        let after = fleet
            .verify(&first(), before.as_ref(), Duration::ZERO, soon())
            .await;

        assert_eq!(after, Ok(boot("two")));
        let told = fs::read_to_string(rig.path("told")).unwrap();
        assert_eq!(told, "web-1 web-1 id-1\n");
        let (_, state) = fleet.states().remove(0);
        assert_eq!(state.liveness, Liveness::Unknown);
        assert_eq!(state.identity, Some(boot("two")));
        assert!(fleet.is_healthy(&first()).await);
    });
}

#[test]
fn a_changed_or_unknown_identity_keeps_the_command_from_running() {
    let rig = rig("echo > DIR/ran");
    block_on(async {
        let fleet = rig.open().await;

        let changed = fleet
            .restart(&first(), Some(&boot("zero")), None, soon())
            .await;
        let unproven = fleet.restart(&first(), None, None, soon()).await;
        fs::remove_file(rig.path("boot")).unwrap();
        let unknown = fleet
            .restart(&first(), Some(&boot("one")), None, soon())
            .await;

        assert!(
            matches!(changed, Err(RestartError::Changed { .. })),
            "{changed:?}"
        );
        assert!(
            matches!(unproven, Err(RestartError::Unknown(_))),
            "{unproven:?}"
        );
        assert!(
            matches!(unknown, Err(RestartError::Unknown(_))),
            "{unknown:?}"
        );
        assert!(!rig.path("ran").exists());
        let identity = fleet.identity(&first()).await;
        assert!(
            matches!(identity, Err(FleetError::Unknown(_))),
            "{identity:?}"
        );
        assert!(!fleet.is_healthy(&first()).await);
    });
}

#[test]
fn a_command_that_fails_says_its_last_line() {
    let rig = rig("echo first >&2; printf 'no \\033[2Jroute\\n' >&2; exit 255");
    block_on(async {
        let fleet = rig.open().await;

        let failed = fleet
            .restart(&first(), Some(&boot("one")), None, soon())
            .await
            .unwrap_err();

        let text = failed.to_string();
        assert_eq!(text, "the command exited with code 255: no \\u{1b}[2Jroute");
    });
}

#[test]
fn a_command_is_killed_when_its_time_is_over() {
    let mut rig = rig("sleep 1000 & wait");
    if let RestarterSpec::Command { timeout, .. } = &mut rig.config.groups[0].restarter {
        *timeout = Duration::from_millis(100);
    }
    block_on(async {
        let fleet = rig.open().await;

        let failed = fleet
            .restart(&first(), Some(&boot("one")), None, soon())
            .await
            .unwrap_err();

        let text = failed.to_string();
        assert_eq!(text, "the command did not end in time and was killed");
    });
}

#[test]
fn the_same_boot_identity_at_the_deadline_is_a_failure() {
    let rig = rig("true");
    block_on(async {
        let fleet = rig.open().await;
        let deadline = Instant::now() + Duration::from_millis(100);

        let proof = fleet
            .verify(&first(), Some(&boot("one")), Duration::ZERO, deadline)
            .await;

        assert!(matches!(proof, Err(VerifyError::Failed(_))), "{proof:?}");
    });
}

#[test]
fn a_target_that_does_not_come_back_is_lost_and_never_taken_for_changed() {
    let rig = rig("true");
    fs::remove_file(rig.path("boot")).unwrap();
    block_on(async {
        let fleet = rig.open().await;
        let deadline = Instant::now() + Duration::from_millis(100);

        let proof = fleet
            .verify(&first(), Some(&boot("one")), Duration::ZERO, deadline)
            .await;

        assert!(matches!(proof, Err(VerifyError::Lost(_))), "{proof:?}");
    });
}

#[test]
fn what_is_no_short_line_is_no_boot_identity() {
    let rig = rig("true");
    block_on(async {
        let fleet = rig.open().await;
        let flood = "x".repeat(100_000);
        for printed in ["", "\n", "one\ntwo\n", "a\tb", "a\u{1b}b", &flood] {
            fs::write(rig.path("boot"), printed).unwrap();

            let identity = fleet.identity(&first()).await;

            assert!(
                matches!(identity, Err(FleetError::Unknown(_))),
                "{identity:?}"
            );
        }
    });
}

#[test]
fn a_lost_target_is_told_by_its_last_answer_and_not_by_a_question_that_was_cut_off() {
    let mut rig = rig("true").probed(200);
    let asked = rig.path("asked");
    let asked = asked.display();
    let script =
        format!("[ -e {asked} ] && exec sleep 1000; echo > {asked}; echo gone >&2; exit 1");
    let boot_id = ["/bin/sh", "-c", &script].map(str::to_owned);
    rig.config.groups[0].boot_id = Some(boot_id.to_vec());
    block_on(async {
        let fleet = rig.open().await;

        let deadline = Instant::now() + Duration::from_secs(1);
        let proof = fleet
            .verify(&first(), Some(&boot("one")), Duration::ZERO, deadline)
            .await;

        let Err(VerifyError::Lost(detail)) = proof else {
            panic!("{proof:?}");
        };
        assert_eq!(detail, "the boot_id command exited with code 1: gone");
    });
}

#[test]
fn what_a_command_of_before_a_crash_left_running_is_killed_with_its_group() {
    let rig = rig("true");
    let own = format!("leftover-{}", std::process::id());
    let command = |request: &str| {
        use std::os::unix::process::CommandExt as _;
        std::process::Command::new("/bin/sh")
            .args(["-c", "/bin/sleep 1000 & wait"])
            .env("MANDRILL_REQUEST", request)
            .process_group(0)
            .spawn()
            .unwrap()
    };
    let other = format!("{own}-other");
    let (mut leftover, mut stranger) = (command(&own), command(&other));
    block_on(async {
        let fleet = rig.open().await;
        let count = |request: &str| {
            let carriers = procfs::find_by_variable("MANDRILL_REQUEST", &[request]);
            carriers.unwrap().len()
        };
        until("both commands run", || count(&own) + count(&other) == 4).await;

        fleet.end_leftover(&first(), &own).await;
        let left = (count(&own), count(&other));
        fleet.end_leftover(&first(), &other).await;

        assert_eq!(left, (0, 2));
        assert!(leftover.wait().unwrap().code().is_none());
        assert!(stranger.wait().unwrap().code().is_none());
    });
}
