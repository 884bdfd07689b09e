//! Children: started, restarted behind a fence, stopped, dead.

use rustix::process::Signal;

use super::*;

#[test]
fn a_missing_child_is_started_recorded_and_logged() {
    let rig = Rig::children(3, SLEEP);
    block_on(async {
        let fleet = rig.open().await;

        let identity = fleet.identity(&first()).await.unwrap().unwrap();

        let states = fleet.states();
        assert_eq!(states.len(), 3);
        assert!(
            states
                .iter()
                .all(|(_, state)| state.liveness == Liveness::Up)
        );
        assert_eq!(rig.starts(), std::slice::from_ref(&identity));
        let record = rig.record();
        assert_eq!(record["process"]["pid"], pid_of(&identity));
        assert_eq!(record["next"], Value::Null);
        assert!(fleet.is_healthy(&first()).await);
        assert_eq!(fleet.stop_all(soon()).await, []);
    });
}

#[test]
fn a_child_leads_its_own_group_and_has_nothing_of_ours() {
    let rig = Rig::children(1, SLEEP);
    block_on(async {
        let fleet = rig.open().await;
        let pid = pid_of(&fleet.identity(&first()).await.unwrap().unwrap());

        let stat = procfs::stat(pid).unwrap().unwrap();
        let folder = fs::read_link(format!("/proc/{pid}/cwd")).unwrap();
        let files = [0, 1, 2].map(|file| fs::read_link(format!("/proc/{pid}/fd/{file}")).unwrap());

        assert_eq!(stat.group, pid);
        assert_eq!(folder, Path::new("/"));
        assert!(files.iter().all(|file| file == Path::new("/dev/null")));
        fleet.stop_all(soon()).await;
    });
}

#[test]
fn a_restart_replaces_the_process_and_is_proven() {
    let rig = Rig::children(2, SLEEP);
    block_on(async {
        let fleet = rig.open().await;
        let before = fleet.identity(&first()).await.unwrap();
        let other = fleet.identity(&target(2)).await.unwrap();

        fleet
            .restart(&first(), before.as_ref(), Some("id"), soon())
            .await
            .unwrap();
        let settle = Duration::from_millis(20);
        let after = fleet
            .verify(&first(), before.as_ref(), settle, soon())
            .await
            .unwrap();

        assert_eq!(fleet.identity(&first()).await.unwrap(), Some(after.clone()));
        assert_eq!(rig.starts(), [before.clone().unwrap(), after]);
        assert!(is_dead(pid_of(&before.unwrap())));
        assert_eq!(fleet.identity(&target(2)).await.unwrap(), other);
        fleet.stop_all(soon()).await;
    });
}

#[test]
fn a_child_that_ignores_sigterm_is_killed() {
    let rig = Rig::children(
        1,
        "trap '' TERM; echo > {port}; while :; do sleep 1000; done",
    );
    let ready = rig.path("ready");
    let rig = with_file(rig, &ready);
    block_on(async {
        let fleet = rig.open().await;
        until("the child is deaf", || ready.exists()).await;
        let before = fleet.identity(&first()).await.unwrap();

        let deadline = Instant::now() + Duration::from_secs(2);
        fleet
            .restart(&first(), before.as_ref(), None, deadline)
            .await
            .unwrap();

        assert!(is_dead(pid_of(&before.unwrap())));
        assert_eq!(rig.starts().len(), 2);
        fleet.stop_all(Instant::now()).await;
    });
}

#[test]
fn another_incarnation_is_left_alone() {
    let rig = Rig::children(1, SLEEP);
    block_on(async {
        let fleet = rig.open().await;
        let present = fleet.identity(&first()).await.unwrap().unwrap();
        let Identity::Process { pid, started } = present else {
            panic!("a child is a process");
        };
        let earlier = Identity::Process {
            pid,
            started: started - 1,
        };

        for before in [Some(&earlier), None] {
            let refused = fleet.restart(&first(), before, None, soon()).await;

            let Err(RestartError::Changed { present: found }) = refused else {
                panic!("{refused:?}");
            };
            assert_eq!(found, present);
        }
        assert_eq!(fleet.identity(&first()).await.unwrap(), Some(present));
        assert_eq!(rig.starts().len(), 1);
        fleet.stop_all(soon()).await;
    });
}

#[test]
fn two_restarts_of_one_incarnation_have_one_effect() {
    let rig = Rig::children(1, SLEEP);
    block_on(async {
        let fleet = rig.open().await;
        let before = fleet.identity(&first()).await.unwrap();

        let target = first();
        let restart = || fleet.restart(&target, before.as_ref(), None, soon());
        let (one, other) = futures::future::join(restart(), restart()).await;

        assert!(one.is_ok(), "{one:?}");
        assert!(
            matches!(other, Err(RestartError::Changed { .. })),
            "{other:?}"
        );
        assert_eq!(rig.starts().len(), 2);
        fleet.stop_all(soon()).await;
    });
}

#[test]
fn a_restart_that_was_dropped_after_its_kill_is_finished_by_the_next() {
    let rig = Rig::children(1, SLEEP);
    block_on(async {
        let fleet = rig.open().await;
        let before = fleet.identity(&first()).await.unwrap();
        send(pid_of(before.as_ref().unwrap()), Signal::KILL);
        until("it is dead", || fleet.states()[0].1.identity.is_none()).await;

        fleet
            .restart(&first(), before.as_ref(), None, soon())
            .await
            .unwrap();

        assert_eq!(rig.starts().len(), 2);
        fleet.stop_all(soon()).await;
    });
}

#[test]
fn the_death_of_the_new_child_does_not_open_the_fence_again() {
    let rig = Rig::children(1, SLEEP);
    block_on(async {
        let fleet = rig.open().await;
        let before = fleet.identity(&first()).await.unwrap();
        let restart = async || fleet.restart(&first(), before.as_ref(), None, soon()).await;
        restart().await.unwrap();
        let after = fleet.identity(&first()).await.unwrap().unwrap();
        send(pid_of(&after), Signal::KILL);
        until("it is dead", || fleet.states()[0].1.identity.is_none()).await;

        let again = restart().await;

        assert!(matches!(again, Err(RestartError::Changed { present }) if present == after));
        assert_eq!(rig.starts().len(), 2);
        // A new request is about a child that is down, and that is what it says.
        fleet.restart(&first(), None, None, soon()).await.unwrap();
        assert_eq!(rig.starts().len(), 3);
        fleet.stop_all(soon()).await;
    });
}

#[test]
fn a_child_that_dies_by_itself_is_down_and_reaped_and_not_started_again() {
    let rig = Rig::children(1, SLEEP);
    block_on(async {
        let fleet = rig.open().await;
        let watching = smol::spawn({
            let fleet = fleet.clone();
            async move { fleet.watch().await }
        });
        let pid = pid_of(&fleet.identity(&first()).await.unwrap().unwrap());

        send(pid, Signal::KILL);
        until("it is reaped", || procfs::stat(pid).unwrap().is_none()).await;

        let (_, state) = fleet.states().remove(0);
        assert_eq!((state.liveness, state.identity), (Liveness::Down, None));
        let detail = state.detail.unwrap();
        assert!(detail.contains("was ended by signal 9"), "{detail}");
        assert_eq!(fleet.identity(&first()).await.unwrap(), None);
        assert!(!fleet.is_healthy(&first()).await);
        assert_eq!(rig.starts().len(), 1);
        fleet.stop_all(soon()).await;
        watching.await;
    });
}

#[test]
fn what_a_child_left_in_its_group_is_gone_before_the_next_starts() {
    let rig = Rig::children(1, "sleep 1000 & echo $! > {port}; exec sleep 1000");
    let file = rig.path("left");
    let rig = with_file(rig, &file);
    block_on(async {
        let fleet = rig.open().await;
        until("it is written", || {
            fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n'))
        })
        .await;
        let left = fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        let before = fleet.identity(&first()).await.unwrap();

        fleet
            .restart(&first(), before.as_ref(), None, soon())
            .await
            .unwrap();

        assert!(is_dead(left));
        fleet.stop_all(soon()).await;
    });
}

#[test]
fn a_program_that_is_gone_is_found_out_while_the_child_lives() {
    let rig = Rig::children(1, SLEEP);
    let program = rig.path("program");
    std::os::unix::fs::symlink("/bin/sh", &program).unwrap();
    let rig = with_argv(rig, &[program.to_str().unwrap(), "-c", SLEEP]);
    block_on(async {
        let fleet = rig.open().await;
        let before = fleet.identity(&first()).await.unwrap();
        fs::remove_file(&program).unwrap();

        let failed = fleet
            .restart(&first(), before.as_ref(), None, soon())
            .await
            .unwrap_err();

        assert!(matches!(failed, RestartError::Failed(_)), "{failed}");
        assert!(failed.to_string().contains("program"), "{failed}");
        assert_eq!(fleet.identity(&first()).await.unwrap(), before);
        fleet.stop_all(soon()).await;
    });
}

#[test]
fn a_child_that_cannot_be_started_is_down_and_says_why() {
    let rig = with_argv(Rig::children(2, SLEEP), &["/no/such/program"]);
    block_on(async {
        let fleet = rig.open().await;

        let (_, state) = fleet.states().remove(1);
        assert_eq!(state.liveness, Liveness::Down);
        let detail = state.detail.unwrap();
        assert!(detail.contains("/no/such/program"), "{detail}");
        let proof = fleet.verify(&first(), None, Duration::ZERO, soon()).await;
        assert!(matches!(proof, Err(VerifyError::Failed(_))), "{proof:?}");
    });
}

#[test]
fn a_folder_that_cannot_be_written_stops_a_restart_before_the_kill() {
    let rig = Rig::children(1, SLEEP);
    block_on(async {
        let fleet = rig.open().await;
        let before = fleet.identity(&first()).await.unwrap();
        // A folder in the new record's place: root may write into a read-only one.
        fs::create_dir(rig.file("child.new")).unwrap();

        let refused = fleet.restart(&first(), before.as_ref(), None, soon()).await;

        assert!(
            matches!(refused, Err(RestartError::Files { .. })),
            "{refused:?}"
        );
        assert_eq!(fleet.identity(&first()).await.unwrap(), before);
        fs::remove_dir(rig.file("child.new")).unwrap();
        fleet.stop_all(soon()).await;
    });
}

#[test]
fn a_stop_leaves_nothing_and_lets_nothing_start() {
    let rig = Rig::children(3, "trap '' TERM; sleep 1000 & while :; do sleep 1000; done");
    block_on(async {
        let fleet = rig.open().await;
        let before = fleet.identity(&first()).await.unwrap();
        let nonce = rig.record()["process"]["nonce"].clone();

        let left = fleet
            .stop_all(Instant::now() + Duration::from_millis(100))
            .await;

        assert_eq!(left, []);
        let nonce = nonce.as_str().unwrap();
        assert_eq!(procfs::find_by_nonce(&[nonce]).unwrap(), []);
        let refused = fleet.restart(&first(), before.as_ref(), None, soon()).await;
        assert!(matches!(refused, Err(RestartError::Closed)), "{refused:?}");
        let states = fleet.states();
        assert!(
            states
                .iter()
                .all(|(_, state)| state.liveness == Liveness::Down)
        );
    });
}

#[test]
fn an_unknown_target_is_refused() {
    let rig = Rig::children(1, SLEEP);
    block_on(async {
        let fleet = rig.open().await;

        let refused = fleet.identity(&target(2)).await;

        assert!(matches!(refused, Err(FleetError::UnknownTarget(_))));
        assert!(!fleet.is_healthy(&target(2)).await);
        fleet.stop_all(soon()).await;
    });
}

/// Puts a file's path where the script says `{port}`.
fn with_file(mut rig: Rig, file: &Path) -> Rig {
    if let RestarterSpec::Process { argv, .. } = &mut rig.config.groups[0].restarter {
        argv[2] = argv[2].replace("{port}", file.to_str().unwrap());
    }
    rig
}

fn with_argv(mut rig: Rig, words: &[&str]) -> Rig {
    if let RestarterSpec::Process { argv, .. } = &mut rig.config.groups[0].restarter {
        *argv = words.iter().map(|&word| word.to_owned()).collect();
    }
    rig
}
