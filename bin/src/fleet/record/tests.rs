use super::*;

#[test]
fn a_record_is_read_as_it_was_written_and_leaves_no_other_file() {
    let folder = tempfile::tempdir().unwrap();
    let files = ChildFiles::new(folder.path(), &Target::parse("web-1").unwrap());
    let record = Record {
        boot_id: "boot".to_owned(),
        process: Some(Process {
            nonce: "one".to_owned(),
            pid: 7,
            started: 8,
        }),
        next: Some("two".to_owned()),
    };

    assert_eq!(files.read().unwrap(), None);
    files.write(&record).unwrap();
    files.write(&record).unwrap();

    assert_eq!(files.read().unwrap(), Some(record));
    let names = fs::read_dir(folder.path()).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["web-1.child"]);
    let mode = fs::metadata(&files.record).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_record_that_is_garbage_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let files = ChildFiles::new(folder.path(), &Target::parse("web-1").unwrap());
    for garbage in [&b""[..], b"{", b"\xff\x00", b"[]", b"{\"pid\":1}"] {
        fs::write(&files.record, garbage).unwrap();

        let error = files.read().unwrap_err().to_string();

        assert!(error.contains("web-1.child"), "{error}");
    }
}

#[test]
fn a_start_is_noted_once_on_a_line_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let files = ChildFiles::new(folder.path(), &Target::parse("web-1").unwrap());

    files.log_start(1, 10).unwrap();
    files.log_start(1, 10).unwrap();
    files.log_start(1, 11).unwrap();

    let written = fs::read_to_string(&files.starts).unwrap();
    assert_eq!(
        written,
        "{\"pid\":1,\"started\":10}\n{\"pid\":1,\"started\":11}\n"
    );
}

#[test]
fn a_torn_line_does_not_take_the_next_start_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let files = ChildFiles::new(folder.path(), &Target::parse("web-1").unwrap());
    fs::write(&files.starts, b"{\"pid\":1,\"star\xff").unwrap();

    files.log_start(2, 20).unwrap();

    let written = fs::read(&files.starts).unwrap();
    assert!(written.ends_with(b"\n{\"pid\":2,\"started\":20}\n"));
}

#[test]
fn the_folder_is_its_owners_alone() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("state.children");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();

    make_folder(&folder).unwrap();

    let mode = fs::metadata(&folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_file_in_the_folders_place_is_refused_by_name() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("state.children");
    fs::write(&folder, "").unwrap();

    let error = make_folder(&folder).unwrap_err().to_string();

    assert!(error.contains("state.children"), "{error}");
}
