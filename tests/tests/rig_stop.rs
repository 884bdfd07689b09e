//! What signals do to a running service.

use std::time::Duration;

use mayhem_tests::rig::{Daemon, Rig, Settings, text, until};
use rustix::process::Signal;

#[test]
fn a_signal_in_mid_restart_lets_it_finish_and_exits_0() {
    let rig = rig(Settings {
        settle: "1s",
        ..Settings::default()
    });
    let daemon = rig.daemon_ready();
    let ids = rig.restart(&["web-1"]);
    await_second_start(&rig, "web-1");

    let ended = daemon.stop(Duration::from_secs(10));

    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    let summary = ended.summary();
    assert_eq!(summary["outstanding"], 0, "{summary}");
    assert_eq!(summary["balanced"], true, "{summary}");
    assert_eq!(summary["restarted"], 1, "{summary}");
    assert_eq!(rig.history().outcome(&ids[0]), "verified");
    for target in rig.targets() {
        assert_eq!(
            rig.running(&target),
            None,
            "a clean stop stops the children"
        );
    }
}

#[test]
fn what_had_not_started_at_the_signal_is_handed_back_and_done_by_the_next_daemon() {
    let settings = Settings {
        settle: "1s",
        max_concurrent: 1,
        ..Settings::default()
    };
    let rig = rig(settings);
    let daemon = rig.daemon_ready();
    let mut ids = rig.restart(&["web-1"]);
    await_second_start(&rig, "web-1");
    ids.extend(rig.restart(&["web-2"]));

    let ended = daemon.stop(Duration::from_secs(10));

    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    assert_eq!(ended.summary()["outstanding"], 0);
    assert_eq!(rig.history().outcome(&ids[0]), "verified");
    assert_eq!(
        rig.starts("web-2").len(),
        1,
        "the second restart had not begun"
    );

    let mut daemon = rig.daemon_ready();
    rig.await_quiet(&mut daemon, Duration::from_secs(30));
    rig.history().assert_each_ended_once(&ids);
    assert_eq!(rig.history().outcome(&ids[1]), "verified");
    assert_eq!(daemon.stop(Duration::from_secs(10)).code, Some(0));
}

#[test]
fn a_second_signal_ends_it_within_a_second_and_the_next_daemon_finishes_the_restart() {
    let rig = rig(Settings {
        settle: "4s",
        grace: "60s",
        ..Settings::default()
    });
    let daemon = rig.daemon_ready();
    let ids = rig.restart(&["web-1"]);
    await_second_start(&rig, "web-1");

    daemon.signal(Signal::TERM);
    await_draining(&daemon);
    let ended = daemon.stop(Duration::from_secs(5));

    assert_eq!(ended.code, Some(6), "{}", ended.stdout);
    assert!(
        ended.took < Duration::from_secs(1),
        "it took {:?}",
        ended.took
    );
    assert_eq!(ended.summary()["balanced"], true, "{}", ended.summary());
    for target in rig.targets() {
        assert!(
            rig.running(&target).is_some(),
            "children stay after a second signal"
        );
    }

    let mut daemon = rig.daemon_ready();
    rig.await_quiet(&mut daemon, Duration::from_secs(30));
    rig.history().assert_each_ended_once(&ids);
    assert_eq!(rig.history().outcome(&ids[0]), "verified");
    assert_eq!(rig.starts("web-1").len(), 2, "one request, one restart");
    assert_eq!(daemon.stop(Duration::from_secs(10)).code, Some(0));
}

#[test]
fn a_drain_that_passes_its_deadline_hands_the_work_back_and_exits_6() {
    let rig = rig(Settings {
        settle: "5s",
        grace: "300ms",
        ..Settings::default()
    });
    let daemon = rig.daemon_ready();
    let ids = rig.restart(&["web-1"]);
    await_second_start(&rig, "web-1");

    let ended = daemon.stop(Duration::from_secs(10));

    assert_eq!(ended.code, Some(6), "{}", ended.stdout);
    assert!(
        ended.took < Duration::from_secs(4),
        "it took {:?}",
        ended.took
    );
    let mut daemon = rig.daemon_ready();
    rig.await_quiet(&mut daemon, Duration::from_secs(30));
    rig.history().assert_each_ended_once(&ids);
    assert_eq!(rig.starts("web-1").len(), 2, "one request, one restart");
    assert_eq!(daemon.stop(Duration::from_secs(10)).code, Some(0));
}

#[test]
fn a_third_signal_ends_it_on_the_spot() {
    let rig = rig(Settings {
        settle: "5s",
        grace: "60s",
        ..Settings::default()
    });
    let daemon = rig.daemon_ready();
    rig.restart(&["web-1"]);
    await_second_start(&rig, "web-1");

    daemon.signal(Signal::TERM);
    await_draining(&daemon);
    daemon.signal(Signal::HUP);
    let ended = daemon.stop(Duration::from_secs(1));

    // The hand-over after the second signal may be faster than the third.
    assert!(
        matches!(ended.code, Some(143 | 6)),
        "{:?} {:?}",
        ended.code,
        ended.signal
    );
}

#[test]
fn a_signal_at_any_moment_of_the_start_leaves_nothing_behind() {
    for delay in (0..=20).chain(0..=20) {
        let rig = rig(Settings::default());
        let daemon = rig.daemon();
        std::thread::sleep(Duration::from_millis(delay));
        let ended = daemon.stop(Duration::from_secs(10));

        if ended.signal == Some(Signal::TERM.as_raw()) {
            assert_eq!(
                rig.traces(),
                Vec::<String>::new(),
                "killed {delay} ms after exec"
            );
        } else {
            assert_eq!(
                ended.code,
                Some(0),
                "{delay} ms after exec: {}",
                ended.stdout
            );
            assert_eq!(ended.summary()["balanced"], true);
        }
        for target in rig.targets() {
            assert_eq!(
                rig.running(&target),
                None,
                "{delay} ms after exec: {target} still runs"
            );
        }
        assert_eq!(rig.processes(), Vec::<u32>::new(), "{delay} ms after exec");
    }
}

fn rig(settings: Settings) -> Rig {
    Rig::new(env!("CARGO_BIN_EXE_mandrill-under-test"), settings)
}

/// Returns when the restart of `target` is under way: its child has been started again.
fn await_second_start(rig: &Rig, target: &str) {
    until(
        "the child is started again",
        Duration::from_secs(20),
        || (rig.starts(target).len() == 2).then_some(()),
    );
}

/// Returns when the daemon has taken notice of the first signal.
fn await_draining(daemon: &Daemon) {
    daemon.await_event("the daemon says that it stops", |event| {
        event
            .get("event")
            .is_some_and(|name| text(name) == "shutdown")
    });
}
