//! The daemon is killed again and again while requests keep coming.

use std::thread;
use std::time::Duration;

use mayhem_tests::rig::{Rig, Settings};

/// Requests in all, from [`PUBLISHERS`] processes at a time.
const REQUESTS: usize = 300;

/// How many publish at the same time.
const PUBLISHERS: usize = 4;

/// Targets per call of `restart`.
const PER_CALL: usize = 3;

#[test]
fn every_request_ends_exactly_once_though_the_daemon_is_killed_again_and_again_seed_1() {
    storm(1);
}

#[test]
fn every_request_ends_exactly_once_though_the_daemon_is_killed_again_and_again_seed_2() {
    storm(2);
}

#[test]
fn every_request_ends_exactly_once_though_the_daemon_is_killed_again_and_again_seed_3() {
    storm(3);
}

fn storm(seed: u64) {
    let settings = Settings {
        count: 20,
        cooldown: "300ms",
        ..Settings::default()
    };
    let rig = Rig::new(env!("CARGO_BIN_EXE_mandrill-under-test"), settings);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut deaths = 0;

    let published: Vec<String> = thread::scope(|scope| {
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|_| {
                let random = random.fork();
                scope.spawn(|| publish(&rig, random))
            })
            .collect();
        while deaths < 8 || !publishers.iter().all(thread::ScopedJoinHandle::is_finished) {
            let mut daemon = rig.daemon();
            thread::sleep(Duration::from_millis(random.u64(500..900)));
            daemon.assert_running();
            daemon.kill();
            deaths += 1;
        }
        publishers
            .into_iter()
            .flat_map(|publisher| publisher.join().expect("published"))
            .collect()
    });
    assert_eq!(published.len(), REQUESTS, "every publish was confirmed");

    let mut daemon = rig.daemon_ready();
    rig.await_quiet(&mut daemon, Duration::from_secs(90));
    let history = rig.history();
    history.assert_each_ended_once(&published);
    for target in rig.targets() {
        let starts = rig.starts(&target);
        let most = 1 + history.started(&target);
        assert!(
            starts.len() <= most,
            "seed {seed}: {target} was started {} times, at most {most} were asked for",
            starts.len()
        );
        let alive = starts.iter().filter(|start| start.is_alive()).count();
        assert_eq!(alive, 1, "seed {seed}: exactly one child of {target} runs");
    }

    let ended = daemon.stop(Duration::from_secs(20));
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    assert_eq!(ended.summary()["balanced"], true, "{}", ended.summary());
    for target in rig.targets() {
        assert_eq!(
            rig.running(&target),
            None,
            "a clean stop stops the children"
        );
    }
}

fn publish(rig: &Rig, mut random: fastrand::Rng) -> Vec<String> {
    let targets = rig.targets();
    let mut published = Vec::new();
    for _ in 0..REQUESTS / PUBLISHERS / PER_CALL {
        let chosen = random.choose_multiple(&targets, PER_CALL);
        let chosen: Vec<&str> = chosen.into_iter().map(String::as_str).collect();
        published.extend(rig.restart(&chosen));
        // Spreads the requests over many lives of the daemon.
        thread::sleep(Duration::from_millis(random.u64(50..350)));
    }
    published
}
