//! The file: made once, private, durable, and refused in one line when it is anything else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::super::{HistoryFilter, Journal, Outcome, StoreError, StoreErrorKind, Verdict};
use super::{Place, admit, at, go, identity, refusal, row, rows, sqlite};

#[test]
fn a_new_journal_is_private_durable_and_leaves_no_lock() {
    let place = Place::new();

    let journal = place.open();

    let names = place.files();
    assert_eq!(names, ["mandrill.db", "mandrill.db-shm", "mandrill.db-wal"]);
    for name in names {
        let mode = fs::metadata(place.0.path().join(&name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let settings: (String, i32) = journal
        .store
        .run(|connection| {
            let mode = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
            let synchronous =
                connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
            Ok((mode, synchronous))
        })
        .unwrap();
    assert_eq!(settings, ("wal".to_owned(), 2));
    journal.close().unwrap();
    assert_eq!(place.files(), ["mandrill.db"]);
}

#[test]
fn a_journal_that_was_opened_up_is_closed_to_others_again() {
    let place = Place::new();
    place.open().close().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o644)).unwrap();

    let _journal = place.open();

    for name in place.files() {
        let mode = fs::metadata(place.0.path().join(&name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_creation_that_was_interrupted_is_completed() {
    let died_at_once = Place::new();
    fs::write(died_at_once.path(), b"").unwrap();
    fs::write(died_at_once.0.path().join("mandrill.db.create"), b"").unwrap();
    let died_later = Place::new();
    sqlite(&died_later.path())
        .pragma_update(None, "journal_mode", "WAL")
        .unwrap();
    for place in [died_at_once, died_later] {
        assert!(
            Journal::open_existing_read(&place.path())
                .unwrap()
                .is_none()
        );

        let journal = place.open();

        go(admit(&journal, "a", "web-1", 0));
        assert!(!place.files().contains(&"mandrill.db.create".to_owned()));
    }
}

#[test]
fn a_reader_makes_nothing() {
    let place = Place::new();

    assert!(
        Journal::open_existing_read(&place.path())
            .unwrap()
            .is_none()
    );
    assert!(
        Journal::open_existing_read(&place.path().join("x/y")).is_ok_and(|none| none.is_none())
    );
    assert!(place.files().is_empty());

    let journal = place.open();
    go(admit(&journal, "a", "web-1", 0));
    journal.close().unwrap();
    let before = fs::read(place.path()).unwrap();
    let reader = Journal::open_existing_read(&place.path()).unwrap().unwrap();
    assert_eq!(rows(&reader), [("a".to_owned(), Outcome::Open)]);
    drop(reader);
    assert_eq!(place.files(), ["mandrill.db"]);
    assert!(fs::read(place.path()).unwrap() == before);
}

#[test]
fn a_reader_sees_what_a_running_daemon_has_written_and_cannot_write() {
    let place = Place::new();
    let journal = place.open();
    let reader = Journal::open_existing_read(&place.path()).unwrap().unwrap();

    go(admit(&journal, "a", "web-1", 0));

    assert_eq!(rows(&reader), [("a".to_owned(), Outcome::Open)]);
    let error = reader.record("a", b"x", at(0)).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::ReadOnly);
    journal
        .finish("a", &Verdict::verified(identity(2)), at(1))
        .unwrap();
}

#[test]
fn what_is_no_journal_is_refused_in_one_line_and_left_as_it_is() {
    let garbage = |bytes: Vec<u8>| move |path: &Path| fs::write(path, &bytes).unwrap();
    let of_version = |version: i32| {
        move |path: &Path| {
            Journal::open(path).unwrap().close().unwrap();
            sqlite(path)
                .pragma_update(None, "user_version", version)
                .unwrap();
        }
    };
    let noise = |length: u32| (0..length).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8);
    type Make = Box<dyn Fn(&Path)>;
    let cases: [(&str, Make, StoreErrorKind); 7] = [
        (
            "text",
            Box::new(garbage(b"hello\n".to_vec())),
            StoreErrorKind::NotADatabase,
        ),
        (
            "noise",
            Box::new(garbage(noise(20_000).collect())),
            StoreErrorKind::NotADatabase,
        ),
        (
            "zeros",
            Box::new(garbage(vec![0; 8192])),
            StoreErrorKind::NotADatabase,
        ),
        (
            "a later schema",
            Box::new(of_version(2)),
            StoreErrorKind::Version,
        ),
        (
            "no schema",
            Box::new(of_version(0)),
            StoreErrorKind::Version,
        ),
        (
            "another program's",
            Box::new(|path| sqlite(path).execute_batch("CREATE TABLE x (y)").unwrap()),
            StoreErrorKind::Foreign,
        ),
        (
            "a folder",
            Box::new(|path| fs::create_dir(path).unwrap()),
            StoreErrorKind::Unopenable,
        ),
    ];
    for (name, make, kind) in cases {
        let place = Place::new();
        make(&place.path());
        let before = fs::read(place.path()).ok();

        let errors = [
            Journal::open(&place.path()).unwrap_err(),
            Journal::open_existing_read(&place.path()).unwrap_err(),
        ];

        for error in errors {
            assert_eq!(error.kind(), kind, "{name}: {error}");
            assert_is_one_line_about(&error, &place.path());
        }
        assert!(fs::read(place.path()).ok() == before, "{name} has changed");
        assert_eq!(place.files(), ["mandrill.db"], "{name}");
    }
}

#[test]
fn a_place_where_nothing_can_be_made_is_refused_in_one_line() {
    let place = Place::new();
    fs::write(place.path(), b"").unwrap();
    let cases = [
        (
            place.0.path().join("missing/mandrill.db"),
            StoreErrorKind::Unopenable,
        ),
        (place.path().join("mandrill.db"), StoreErrorKind::Unopenable),
        ("/dev/null".into(), StoreErrorKind::Unopenable),
        // Nobody, root included, makes files there.
        ("/sys/mandrill.db".into(), StoreErrorKind::ReadOnly),
    ];
    for (path, kind) in cases {
        let error = Journal::open(&path).unwrap_err();

        assert_eq!(error.kind(), kind, "{error}");
        assert_is_one_line_about(&error, &path);
    }
}

#[test]
fn a_full_device_stops_the_journal_and_loses_nothing() {
    let place = Place::new();
    let journal = place.open();
    go(admit(&journal, "a", "web-1", 0));
    let payload = [b'x'; 16 * 1024];
    fill(&journal);

    let error = journal.record("a", &payload, at(1)).unwrap_err();
    let later = [
        journal
            .finish("a", &Verdict::verified(identity(2)), at(2))
            .unwrap_err(),
        journal.history(&HistoryFilter::default()).unwrap_err(),
        journal.clone().resume(&super::target("web-1")).unwrap_err(),
    ];

    assert_eq!(error.kind(), StoreErrorKind::Full);
    assert_is_one_line_about(&error, &place.path());
    assert_eq!(later, [error.clone(), error.clone(), error]);
    let reopened = place.open();
    assert_eq!(rows(&reopened), [("a".to_owned(), Outcome::Open)]);
    reopened.record("a", &payload, at(1)).unwrap();
}

#[test]
fn a_file_that_others_keep_locked_is_reported_and_not_given_up() {
    let place = Place::new();
    let journal = place.open();
    journal
        .store
        .run(|connection| connection.busy_timeout(Duration::from_millis(20)))
        .unwrap();
    let other = sqlite(&place.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    let error = journal.record("a", b"x", at(0)).unwrap_err();
    let read = rows(&journal);
    other.execute_batch("COMMIT").unwrap();

    assert_eq!(error.kind(), StoreErrorKind::Busy);
    assert_is_one_line_about(&error, &place.path());
    assert!(read.is_empty(), "readers do not wait for a writer");
    journal.record("a", b"x", at(0)).unwrap();
}

#[test]
fn damage_is_an_error_or_harmless_but_never_a_panic() {
    let place = Place::new();
    let journal = place.open();
    go(admit(&journal, "a", "web-1", 0));
    journal
        .finish("a", &Verdict::verified(identity(2)), at(1))
        .unwrap();
    for id in ["b", "c", "d"] {
        journal
            .refuse(id, &refusal(Outcome::Malformed, None), at(1))
            .unwrap();
    }
    journal.close().unwrap();
    let sound = fs::read(place.path()).unwrap();
    let mut refused = 0;
    for position in (0..sound.len()).step_by(97) {
        let mut damaged = sound.clone();
        damaged[position] ^= 0xff;
        let damaged_place = Place::new();
        fs::write(damaged_place.path(), damaged).unwrap();

        let result = Journal::open(&damaged_place.path()).and_then(|journal| {
            journal.history(&HistoryFilter::default())?;
            journal.targets()?;
            journal.admit(&super::request("e", "web-1"), &super::web(), None, 1, at(9))
        });

        if let Err(error) = result {
            refused += 1;
            assert_is_one_line_about(&error, &damaged_place.path());
        }
    }
    assert!(refused > 0, "the damage was nowhere");
}

#[test]
fn a_row_that_mandrill_cannot_have_written_is_damage() {
    let place = Place::new();
    let journal = place.open();
    go(admit(&journal, "a", "web-1", 0));
    sqlite(&place.path())
        .execute("UPDATE requests SET before = '{\"pid\":-1}'", [])
        .unwrap();

    let error = journal.open_intents().unwrap_err();

    assert_eq!(error.kind(), StoreErrorKind::Damaged);
}

#[test]
fn a_closed_journal_says_so() {
    let place = Place::new();
    let journal = place.open();
    let clone = journal.clone();
    journal.close().unwrap();

    assert_eq!(clone.find("a").unwrap_err().kind(), StoreErrorKind::Closed);
    clone.close().unwrap();
}

#[test]
fn a_journal_in_the_current_folder_or_with_a_wild_name_works() {
    let place = Place::new();
    for name in ["with space", "ä?mode=ro#x", "file:x", "line\nbreak"] {
        let path = place.0.path().join(name);

        let journal = Journal::open(&path).unwrap();
        go(admit(&journal, "a", "web-1", 0));
        journal.close().unwrap();

        assert!(path.is_file(), "{name:?}");
        let again = Journal::open(&path).unwrap();
        assert_eq!(row(&again, "a").outcome, Outcome::Open);
        fs::write(path.with_extension("bad\n"), b"hello").unwrap();
        let error = Journal::open(&path.with_extension("bad\n")).unwrap_err();
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

/// Lets the file grow no further, as a full device does.
fn fill(journal: &Journal) {
    journal
        .store
        .run(|connection| {
            let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
            connection.pragma_update(None, "max_page_count", pages)
        })
        .unwrap();
}

#[track_caller]
fn assert_is_one_line_about(error: &StoreError, path: &Path) {
    let shown = error.to_string();
    assert!(shown.contains(&format!("{path:?}")), "{shown}");
    assert!(!shown.contains(char::is_control), "{shown}");
    assert_eq!(error.path(), path);
}
