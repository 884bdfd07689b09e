//! What a daemon finds that starts after a crash.

use rustix::process::Signal;

use super::*;

#[test]
fn children_outlive_their_fleet_and_are_adopted() {
    let rig = Rig::children(3, SLEEP);
    block_on(async {
        let fleet = rig.open().await;
        let before = fleet.states();
        drop(fleet);

        let fleet = rig.open().await;

        assert_eq!(fleet.states(), before);
        assert_eq!(rig.starts().len(), 1);
        fleet.stop_all(soon()).await;
    });
}

#[test]
fn an_adopted_child_is_restarted_and_watched_like_any_other() {
    let rig = Rig::children(1, SLEEP);
    block_on(async {
        drop(rig.open().await);
        let fleet = rig.open().await;
        let before = fleet.identity(&first()).await.unwrap();

        fleet
            .restart(&first(), before.as_ref(), None, soon())
            .await
            .unwrap();
        drop(fleet);
        let fleet = rig.open().await;
        let after = fleet.identity(&first()).await.unwrap().unwrap();
        send(pid_of(&after), Signal::KILL);

        until("it is dead", || fleet.states()[0].1.identity.is_none()).await;
        assert_eq!(rig.starts().len(), 2);
    });
}

#[test]
fn a_child_that_left_the_config_is_reported_left_alone_and_ended_by_a_clean_stop() {
    let mut rig = Rig::children(2, SLEEP);
    block_on(async {
        drop(rig.open().await);
        let group = &mut rig.config.groups[0];
        group.targets.truncate(1);
        if let RestarterSpec::Process { count, .. } = &mut group.restarter {
            *count = 1;
        }
        let state = rig.config.service.state.clone();

        let fleet = rig.open().await;

        let strays = Fleet::strays(&state, &rig.config);
        let [(name, Identity::Process { pid, .. })] = strays.as_slice() else {
            panic!("{strays:?}");
        };
        assert_eq!(*name, target(2));
        assert!(!is_dead(*pid));
        let identity = fleet.identity(name).await;
        assert!(matches!(identity, Err(FleetError::UnknownTarget(_))));
        assert_eq!(fleet.stop_all(soon()).await, []);
        assert!(is_dead(*pid));
        assert_eq!(Fleet::strays(&state, &rig.config), []);
    });
}

#[test]
fn a_child_whose_number_was_never_recorded_is_found_by_its_nonce() {
    let rig = Rig::children(1, SLEEP);
    block_on(async {
        let fleet = rig.open().await;
        let before = fleet.identity(&first()).await.unwrap().unwrap();
        drop(fleet);
        let mut record = rig.record();
        record["next"] = record["process"]["nonce"].take();
        record["process"] = Value::Null;
        fs::write(rig.file("child"), record.to_string()).unwrap();
        fs::remove_file(rig.file("starts")).unwrap();

        let seen = Fleet::observe(&rig.config.service.state, &rig.config);
        let fleet = rig.open().await;

        assert_eq!(seen[0].1.identity.as_ref(), Some(&before));
        assert_eq!(
            fleet.identity(&first()).await.unwrap(),
            Some(before.clone())
        );
        assert_eq!(rig.record()["process"]["pid"], pid_of(&before));
        assert_eq!(rig.starts(), [before]);
        fleet.stop_all(soon()).await;
    });
}

#[test]
fn a_nonce_that_nobody_carries_leaves_the_child_that_lives() {
    let rig = Rig::children(1, SLEEP);
    block_on(async {
        let fleet = rig.open().await;
        let before = fleet.identity(&first()).await.unwrap();
        drop(fleet);
        let mut record = rig.record();
        record["next"] = "killed-before-the-kill".into();
        fs::write(rig.file("child"), record.to_string()).unwrap();

        let fleet = rig.open().await;

        assert_eq!(fleet.identity(&first()).await.unwrap(), before);
        assert_eq!(rig.starts().len(), 1);
        fleet.stop_all(soon()).await;
    });
}

#[test]
fn a_process_with_the_same_number_and_another_start_is_not_ours() {
    let rig = Rig::children(1, SLEEP);
    block_on(async {
        let fleet = rig.open().await;
        let before = fleet.identity(&first()).await.unwrap().unwrap();
        let nonce = rig.record()["process"]["nonce"].clone();
        drop(fleet);
        let mut record = rig.record();
        record["process"]["started"] = 1.into();
        record["process"]["nonce"] = "another".into();
        fs::write(rig.file("child"), record.to_string()).unwrap();

        let fleet = rig.open().await;

        let after = fleet.identity(&first()).await.unwrap().unwrap();
        assert_ne!(after, before);
        assert!(!is_dead(pid_of(&before)));
        fleet.stop_all(soon()).await;
        kill_carriers(&nonce);
    });
}

#[test]
fn of_another_boot_of_the_machine_nothing_lives() {
    let rig = Rig::children(1, SLEEP);
    block_on(async {
        let fleet = rig.open().await;
        let before = fleet.identity(&first()).await.unwrap().unwrap();
        let mut record = rig.record();
        let nonce = record["process"]["nonce"].clone();
        drop(fleet);
        record["boot_id"] = "another boot".into();
        fs::write(rig.file("child"), record.to_string()).unwrap();

        let seen = Fleet::observe(&rig.config.service.state, &rig.config);
        let fleet = rig.open().await;

        assert_eq!(seen[0].1.liveness, Liveness::Down);
        assert_ne!(
            fleet.identity(&first()).await.unwrap(),
            Some(before.clone())
        );
        assert!(!is_dead(pid_of(&before)));
        fleet.stop_all(soon()).await;
        kill_carriers(&nonce);
    });
}

#[test]
fn a_zombie_is_dead_and_its_place_is_filled() {
    let rig = Rig::children(1, SLEEP);
    block_on(async {
        let fleet = rig.open().await;
        let before = fleet.identity(&first()).await.unwrap().unwrap();
        drop(fleet);
        // It is this process's own child and nobody reaps it.
        send(pid_of(&before), Signal::KILL);
        until("it is a zombie", || {
            let stat = procfs::stat(pid_of(&before)).unwrap();
            stat.is_some_and(|stat| stat.state == b'Z')
        })
        .await;

        let seen = Fleet::observe(&rig.config.service.state, &rig.config);
        let fleet = rig.open().await;

        assert_eq!(seen[0].1.liveness, Liveness::Down);
        let after = fleet.identity(&first()).await.unwrap().unwrap();
        assert_ne!(after, before);
        assert_eq!(rig.starts(), [before, after]);
        fleet.stop_all(soon()).await;
    });
}

#[test]
fn the_fence_is_remembered_over_a_crash() {
    let rig = Rig::children(1, SLEEP);
    block_on(async {
        let fleet = rig.open().await;
        let before = fleet.identity(&first()).await.unwrap();
        fleet
            .restart(&first(), before.as_ref(), None, soon())
            .await
            .unwrap();
        drop(fleet);

        let fleet = rig.open().await;
        let again = fleet.restart(&first(), before.as_ref(), None, soon()).await;

        assert!(
            matches!(again, Err(RestartError::Changed { .. })),
            "{again:?}"
        );
        assert_eq!(rig.starts().len(), 2);
        fleet.stop_all(soon()).await;
    });
}

#[test]
fn after_a_clean_stop_everything_is_started_anew() {
    let rig = Rig::children(2, SLEEP);
    block_on(async {
        let fleet = rig.open().await;
        fleet.stop_all(soon()).await;
        drop(fleet);

        let fleet = rig.open().await;

        assert!(
            fleet
                .states()
                .iter()
                .all(|(_, state)| state.identity.is_some())
        );
        assert_eq!(rig.starts().len(), 2);
        fleet.stop_all(soon()).await;
    });
}

#[test]
fn a_record_that_is_garbage_stops_the_fleet_and_names_the_file() {
    let rig = Rig::children(1, SLEEP);
    block_on(async {
        rig.open().await.stop_all(soon()).await;
        fs::write(rig.file("child"), "garbage").unwrap();

        let error = rig.try_open().await.unwrap_err();

        assert!(error.to_string().contains("web-1.child"), "{error}");
        let seen = Fleet::observe(&rig.config.service.state, &rig.config);
        assert_eq!(seen[0].1.liveness, Liveness::Unknown);
    });
}

#[test]
fn to_observe_starts_nothing() {
    let rig = Rig::children(2, SLEEP);

    let seen = Fleet::observe(&rig.config.service.state, &rig.config);

    assert!(
        seen.iter()
            .all(|(_, state)| state.liveness == Liveness::Down)
    );
    assert!(!children_folder(&rig.config.service.state).exists());
}

fn kill_carriers(nonce: &Value) {
    for (stat, _) in procfs::find_by_nonce(&[nonce.as_str().unwrap()]).unwrap() {
        running::kill(stat.pid, stat.started).unwrap();
    }
}
