use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::{Lock, holder};
use crate::exit::Exit;

#[test]
fn the_holder_is_named_while_the_lock_is_held_and_gone_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.db");
    assert_eq!(holder(&state), None);
    assert!(!folder.path().join("state.db.lock").exists());

    let lock = Lock::take(&state).unwrap();
    let found = holder(&state).unwrap();
    drop(lock);

    assert_eq!(found.pid, std::process::id());
    assert_eq!(holder(&state), None);
}

#[test]
fn a_second_daemon_is_refused_with_the_pid_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.db");
    let _first = Lock::take(&state).unwrap();

    let failure = Lock::take(&state).unwrap_err();

    assert_eq!(failure.exit(), Exit::Store);
    let pid = format!("pid {}", std::process::id());
    assert!(failure.message().contains(&pid), "{failure}");
}

#[test]
fn looking_at_a_free_lock_does_not_keep_a_daemon_out() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.db");
    drop(Lock::take(&state).unwrap());

    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let own = std::process::id();
            (0..2000).all(|_| holder(&state).is_none_or(|holder| holder.pid == own))
        });
        for _ in 0..50 {
            drop(Lock::take(&state).unwrap());
        }
        assert!(looking.join().unwrap());
    });
}

#[test]
fn a_lock_whose_text_names_a_dead_process_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.db");
    let text = "{\"pid\":999999999,\"since\":\"2024-01-01T00:00:00Z\"}";
    fs::write(folder.path().join("state.db.lock"), text).unwrap();

    assert_eq!(holder(&state), None);
    assert!(Lock::take(&state).is_ok());
}

#[test]
fn the_file_is_private_and_never_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.db");
    let _lock = Lock::take(&state).unwrap();
    let mode = fs::metadata(folder.path().join("state.db.lock"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    let other = folder.path().join("other.db");
    symlink(
        folder.path().join("elsewhere"),
        folder.path().join("other.db.lock"),
    )
    .unwrap();
    assert_eq!(Lock::take(&other).unwrap_err().exit(), Exit::Store);
    assert!(!folder.path().join("elsewhere").exists());
}

#[test]
fn a_missing_folder_is_one_line_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let failure = Lock::take(&folder.path().join("missing/state.db")).unwrap_err();

    assert_eq!(failure.exit(), Exit::Store);
    assert!(
        failure.message().contains("missing/state.db.lock"),
        "{failure}"
    );
    assert!(!failure.message().contains('\n'));
}
