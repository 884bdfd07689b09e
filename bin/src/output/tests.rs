use std::fs::File;
use std::io::Read;

use serde_json::json;

use super::{Stdout, Table, escape, json_line, rfc3339};

#[test]
fn hidden_characters_are_shown_and_plain_text_is_not_copied() {
    assert!(matches!(
        escape("héllo wörld 東京 \\ \""),
        std::borrow::Cow::Borrowed(_)
    ));
    assert_eq!(escape("a\x1b[2Jb"), "a\\u{1b}[2Jb");
    assert_eq!(escape("a\nb\0\u{7f}\u{9b}"), "a\\u{a}b\\u{0}\\u{7f}\\u{9b}");
    for hidden in [
        '\u{202e}',
        '\u{2066}',
        '\u{200b}',
        '\u{200d}',
        '\u{feff}',
        '\u{2028}',
        '\u{ad}',
        '\u{e0041}',
        '\u{3164}',
    ] {
        let escaped = escape(&hidden.to_string()).into_owned();
        assert_eq!(escaped, format!("\\u{{{:x}}}", u32::from(hidden)));
    }
}

#[test]
fn json_is_bare_of_hidden_characters_and_parses_back_to_the_same() {
    let value = json!({"reason": "x\u{202e}y\u{9b}\u{e0041}\n"});

    let line = json_line(&value);

    assert_eq!(line.matches('\n').count(), 1);
    assert!(
        line.contains("\\u202e") && line.contains("\\u009b"),
        "{line}"
    );
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&line).unwrap(),
        value
    );
}

#[test]
fn a_closed_pipe_is_remembered_and_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    let stdout = Stdout::to(writer);
    stdout.line("first");
    assert!(!stdout.is_closed());

    drop(reader);
    stdout.line("second");
    stdout.line("third");

    assert!(stdout.is_closed());
    assert_eq!(stdout.finish(), Ok(()));
}

#[test]
fn a_full_disk_is_a_failure_with_its_reason() {
    let stdout = Stdout::to(File::options().write(true).open("/dev/full").unwrap());
    stdout.line("lost");

    let failure = stdout.finish().unwrap_err();

    assert!(failure.message().contains("standard output"), "{failure}");
}

#[test]
fn lines_from_many_threads_arrive_whole() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let stdout = Stdout::to(writer);
    let line = "x".repeat(10_000);

    let mut read = String::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (stdout, line) = (stdout.clone(), &line);
            scope.spawn(move || (0..10).for_each(|_| stdout.line(line)));
        }
        drop(stdout);
        reader.read_to_string(&mut read).unwrap();
    });

    assert_eq!(read.lines().count(), 40);
    assert!(read.lines().all(|found| found == line));
}

#[test]
fn a_table_aligns_its_columns_and_escapes_its_cells() {
    let mut table = Table::new(["NAME", "STATE"]);
    assert!(table.is_empty());
    table.row(["web-10", "up"]);
    table.row(["a\x1b", "down"]);

    assert_eq!(
        table.to_string(),
        "NAME     STATE\nweb-10   up\na\\u{1b}  down\n"
    );
}

#[test]
fn moments_are_rfc_3339_in_utc_to_the_millisecond() {
    let moment = jiff::Timestamp::from_millisecond(1_700_000_000_000).unwrap();

    assert_eq!(rfc3339(moment), "2023-11-14T22:13:20.000Z");
}

#[test]
fn a_reader_that_pauses_does_not_stop_who_writes_and_gets_every_line_that_was_queued() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let stdout = Stdout::to(writer).queued();

    // Far more than the pipe holds; nobody reads.
    let line = "x".repeat(1000);
    for _ in 0..1000 {
        stdout.line(&line);
    }
    assert!(!stdout.flush(std::time::Duration::ZERO));

    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    assert!(stdout.flush(std::time::Duration::from_secs(60)));
    drop(stdout);
    assert_eq!(reading.join().unwrap().lines().count(), 1000);
}
