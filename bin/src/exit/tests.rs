use super::{Exit, Failure};

#[test]
fn the_codes_are_the_documented_ones() {
    let codes = [
        (Exit::Done, 0),
        (Exit::Error, 1),
        (Exit::Usage, 2),
        (Exit::Blocked, 3),
        (Exit::Store, 4),
        (Exit::TimedOut, 5),
        (Exit::HandedBack, 6),
        (Exit::Interrupted, 130),
        (Exit::Terminated, 143),
    ];
    for (exit, code) in codes {
        assert_eq!(exit.code(), code, "{exit:?}");
    }
}

#[test]
fn a_failure_is_one_escaped_line_whatever_was_put_in() {
    let failure = Failure::usage("no target \"a\nmandrill: forged\u{1b}[2J\u{202e}\"");

    assert!(
        !failure.message().contains(['\n', '\u{1b}', '\u{202e}']),
        "{failure}"
    );
    assert_eq!(failure.exit(), Exit::Usage);
}
