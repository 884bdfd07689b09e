//! The proof of a child's restart.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;

#[test]
fn a_child_that_ends_again_has_failed() {
    let rig = Rig::children(1, "[ -e FILE ] && exit 7; echo > FILE; exec sleep 1000");
    let marker = rig.path("started");
    let rig = with_marker(rig, &marker);
    block_on(async {
        let fleet = rig.open().await;
        until("the first start is marked", || marker.exists()).await;
        let before = fleet.identity(&first()).await.unwrap();
        fleet
            .restart(&first(), before.as_ref(), None, soon())
            .await
            .unwrap();

        let proof = fleet.verify(&first(), before.as_ref(), LONG, soon()).await;

        let Err(VerifyError::Failed(detail)) = proof else {
            panic!("{proof:?}");
        };
        assert!(detail.contains("exited with code 7"), "{detail}");
    });
}

#[test]
fn a_child_that_was_not_restarted_has_failed() {
    let rig = Rig::children(1, SLEEP);
    block_on(async {
        let fleet = rig.open().await;
        let before = fleet.identity(&first()).await.unwrap();

        let proof = fleet
            .verify(&first(), before.as_ref(), Duration::ZERO, soon())
            .await;

        assert!(matches!(proof, Err(VerifyError::Failed(_))), "{proof:?}");
        fleet.stop_all(soon()).await;
    });
}

#[test]
fn one_bad_answer_starts_the_settling_anew() {
    let rig = Rig::children(1, SLEEP).probed(200);
    let asked = answering(&rig, |number| number != 3);
    block_on(async {
        let fleet = rig.open().await;
        let settle = Duration::from_millis(100);

        let started = Instant::now();
        fleet.verify(&first(), None, settle, soon()).await.unwrap();

        // Three questions up to the bad answer, and after it as many as fill the time: one at once
        // and one at its end at the least.
        assert!(asked.load(Ordering::Relaxed) >= 5);
        assert!(started.elapsed() >= settle);
        assert!(fleet.is_healthy(&first()).await);
        fleet.stop_all(soon()).await;
    });
}

#[test]
fn a_child_that_never_answers_well_is_lost() {
    let rig = Rig::children(1, SLEEP).probed(200);
    answering(&rig, |_| false);
    block_on(async {
        let fleet = rig.open().await;
        let deadline = Instant::now() + Duration::from_millis(200);

        let proof = fleet.verify(&first(), None, Duration::ZERO, deadline).await;

        let Err(VerifyError::Lost(detail)) = proof else {
            panic!("{proof:?}");
        };
        assert!(detail.contains("answers 503"), "{detail}");
        assert!(!fleet.is_healthy(&first()).await);
        fleet.stop_all(soon()).await;
    });
}

#[test]
fn a_settling_that_does_not_fit_before_the_deadline_is_no_proof() {
    let rig = Rig::children(1, SLEEP);
    block_on(async {
        let fleet = rig.open().await;
        let deadline = Instant::now() + Duration::from_millis(20);

        let proof = fleet.verify(&first(), None, LONG, deadline).await;

        assert!(matches!(proof, Err(VerifyError::Lost(_))), "{proof:?}");
        fleet.stop_all(soon()).await;
    });
}

/// Answers on the first child's port; `is_good` is told which question it is, from 1.
fn answering(rig: &Rig, is_good: fn(usize) -> bool) -> Arc<AtomicUsize> {
    let port = rig.config.port_of(&first()).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    // Ends with the test's process.
    thread::spawn(move || {
        loop {
            let (mut stream, _) = listener.accept().unwrap();
            let number = count.fetch_add(1, Ordering::Relaxed) + 1;
            let status = match is_good(number) {
                true => "200 OK",
                false => "503 Service Unavailable",
            };
            // Ignored: the probe may have been dropped.
            let _ = stream.read(&mut [0; 4096]);
            let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        }
    });
    asked
}

/// Puts a file's path where the script says `FILE`.
fn with_marker(mut rig: Rig, file: &Path) -> Rig {
    if let RestarterSpec::Process { argv, .. } = &mut rig.config.groups[0].restarter {
        argv[2] = argv[2].replace("FILE", file.to_str().unwrap());
    }
    rig
}
