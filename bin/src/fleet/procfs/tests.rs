use std::process::Command;
use std::time::{Duration, Instant};

use super::*;

#[test]
fn a_program_named_like_stat_fields_does_not_shift_them() {
    let name = "a) Z (b c) S 1";
    let mut fields: Vec<String> = (3..=52).map(|field| (field * 100).to_string()).collect();
    fields[0] = "R".to_owned();

    let stat = Stat::parse(&format!("77 ({name}) {}\n", fields.join(" ")));

    let expected = Stat {
        pid: 77,
        state: b'R',
        group: 500,
        started: 2200,
    };
    assert_eq!(stat, Some(expected));
}

#[test]
fn a_line_that_is_cut_short_is_no_stat() {
    for line in ["", "77", "77 (a", "77 (a)", "77 (a) R 1 2 3", "x (a) R 1 2"] {
        assert_eq!(Stat::parse(line), None, "{line}");
    }
}

#[test]
fn a_zombie_is_dead_and_shows_no_nonce() {
    let nonce = "0123456789-procfs-zombie";
    let mut child = Command::new("/bin/true").env(NONCE, nonce).spawn().unwrap();
    while stat(child.id()).unwrap().unwrap().state != b'Z' {
        std::thread::yield_now();
    }

    assert!(stat(child.id()).unwrap().unwrap().is_dead());
    assert_eq!(find_by_nonce(&[nonce]).unwrap(), []);

    child.wait().unwrap();
    assert_eq!(stat(child.id()).unwrap(), None);
}

#[test]
fn a_process_is_found_by_the_whole_of_its_nonce() {
    let nonce = "0123456789-procfs-found";
    let mut child = Command::new("/bin/sleep")
        .arg("1000")
        .env(NONCE, nonce)
        .spawn()
        .unwrap();

    // The kernel lets the parent go on a moment before the child's environment can be read.
    let deadline = Instant::now() + Duration::from_secs(10);
    let found = loop {
        let found = find_by_nonce(&["another", nonce]).unwrap();
        if !found.is_empty() || Instant::now() > deadline {
            break found;
        }
    };
    let of_a_part = find_by_nonce(&["0123456789-procfs"]).unwrap();

    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].0.pid, found[0].1), (child.id(), 1));
    assert_eq!(of_a_part, []);
}
