//! What may stand where the file should be.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use rusqlite::Connection;

use super::step_to_end;
use crate::testing::{Place, numbered};
use crate::{Client, Error, Options, file};

const TOPIC: &str = "orders";

/// The refusal of a file, which must be one line that names it.
fn refusal(path: &Path) -> Error {
    let error = Client::open(path, Options::default()).expect_err("it is refused");
    let line = error.to_string();
    assert!(
        line.contains(&*path.to_string_lossy().escape_debug().to_string()),
        "{line}"
    );
    assert!(!line.contains('\n'), "{line}");
    error
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it exists").permissions().mode() & 0o7777
}

#[test]
fn a_new_file_and_all_that_stands_beside_it_is_its_owners_only() {
    let place = Place::new();
    let client = place.open();
    client.publish(TOPIC, numbered(1)).unwrap();

    let mut names = Vec::new();
    for entry in fs::read_dir(place.path().parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(mode(&entry.path()), 0o600, "{entry:?}");
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort_unstable();
    assert_eq!(
        names,
        ["queue", "queue-shm", "queue-wal", "queue.create-lock"]
    );
}

#[test]
fn a_file_that_others_could_read_is_taken_back() {
    let place = Place::new();
    place.open().close().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o644)).unwrap();

    let client = place.open();

    client.publish(TOPIC, numbered(1)).unwrap();
    assert_eq!(mode(&place.path()), 0o600);
    assert_eq!(mode(&file::sibling(&place.path(), "-wal")), 0o600);
}

#[test]
fn the_file_is_in_wal_mode_for_every_connection() {
    let place = Place::new();
    let _client = place.open();

    let stranger = Connection::open(place.path()).unwrap();

    let mode: String = stranger
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .unwrap();
    assert_eq!(mode, "wal");
}

#[test]
fn garbage_is_not_a_database() {
    let place = Place::new();
    fs::write(
        place.path(),
        b"this is not a database at all, but it is long enough",
    )
    .unwrap();
    let error = refusal(&place.path());
    assert!(matches!(error, Error::Unusable { .. }), "{error}");
    assert!(
        error.to_string().ends_with("it is not a database"),
        "{error}"
    );
    let found = fs::read(place.path()).unwrap();
    assert_eq!(
        found,
        b"this is not a database at all, but it is long enough"
    );
}

#[test]
fn another_programs_database_is_left_alone() {
    let place = Place::new();
    let foreign = Connection::open(place.path()).unwrap();
    foreign
        .execute_batch("CREATE TABLE theirs (number INTEGER)")
        .unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o644)).unwrap();

    let error = refusal(&place.path());

    assert_eq!(mode(&place.path()), 0o644);
    assert!(
        error
            .to_string()
            .ends_with("it is another program's database"),
        "{error}"
    );
    let tables: i64 = foreign
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .unwrap();
    let journal: String = foreign
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .unwrap();
    assert_eq!((tables, journal.as_str()), (1, "delete"));
}

#[test]
fn another_version_is_named_and_left_alone() {
    let place = Place::new();
    place.open().close().unwrap();
    let newer = Connection::open(place.path()).unwrap();
    step_to_end(&newer, "PRAGMA user_version = 7").unwrap();

    let error = refusal(&place.path());

    assert!(
        matches!(
            error,
            Error::WrongVersion {
                found: 7,
                expected: 1,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_folder_or_a_missing_folder_is_unusable() {
    let place = Place::new();
    fs::create_dir(place.path()).unwrap();
    let error = refusal(&place.path());
    assert!(
        error.to_string().ends_with("it is not a regular file"),
        "{error}"
    );
    let missing = place.path().join("no").join("queue");
    assert!(matches!(refusal(&missing), Error::Unusable { .. }));
}

#[test]
fn a_damaged_file_is_corrupt_and_never_a_panic() {
    let place = Place::new();
    let client = place.open();
    client
        .publish(TOPIC, vec![vec![1; 200_000].into()])
        .unwrap();
    client.close().unwrap();
    let sound = fs::read(place.path()).unwrap();
    let mut refused = 0;
    for page in 0..sound.len() / 4096 {
        let mut bytes = sound.clone();
        bytes[page * 4096..][..4096].fill(0xa5);
        fs::write(place.path(), &bytes).unwrap();
        let outcome = Client::open(&place.path(), Options::default()).and_then(|client| {
            let browsed = client.browse(TOPIC);
            // Waits, so that the next damage meets no connection; a latch is no matter here.
            let _ = client.close();
            browsed
        });
        if let Err(error) = outcome {
            assert!(!error.to_string().contains('\n'), "{error}");
            refused += 1;
        }
    }
    assert!(refused >= 2, "the header and the schema at least");
}

#[test]
fn an_empty_file_is_taken_as_new() {
    let place = Place::new();
    fs::write(place.path(), b"").unwrap();
    place.open().publish(TOPIC, numbered(1)).unwrap();
    assert_eq!(mode(&place.path()), 0o600);
}

#[test]
fn a_file_whose_name_is_no_text_works() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let path = place
        .path()
        .with_file_name(std::ffi::OsStr::from_bytes(b"qu\n\xffe"));
    let client = Client::open(&path, Options::default()).unwrap();
    client.publish(TOPIC, numbered(1)).unwrap();
    client.close().unwrap();
    let line = client.stats(TOPIC).unwrap_err().to_string();
    assert!(line.ends_with("qu\\n\u{fffd}e was closed"), "{line}");
}

#[test]
fn threads_that_create_one_file_at_once_all_get_it() {
    let place = Place::new();
    let path = Arc::new(place.path());
    let openers: Vec<_> = (0..8)
        .map(|number| {
            let path = Arc::clone(&path);
            thread::spawn(move || {
                let client = Client::open(&path, Options::default())?;
                client.publish(TOPIC, vec![vec![number].into()])
            })
        })
        .collect();
    for opener in openers {
        opener.join().expect("no panic").expect("published");
    }
    assert_eq!(place.open().stats(TOPIC).unwrap().ready, 8);
}
