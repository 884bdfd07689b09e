use std::time::Duration;

use super::{DURATION_MAX, parse, show};

#[test]
fn times_are_read_as_people_write_them() {
    for (text, milliseconds) in [
        ("500ms", 500),
        ("25s", 25_000),
        ("10m", 600_000),
        ("1h30m", 5_400_000),
        ("7d", 604_800_000),
        ("0s", 0),
        ("3650d", 315_360_000_000),
    ] {
        assert_eq!(
            parse(text),
            Ok(Duration::from_millis(milliseconds)),
            "{text}"
        );
    }
}

#[test]
fn other_texts_are_refused_without_a_panic() {
    for text in [
        "",
        "25",
        "s",
        "-5s",
        "1y",
        "3mo",
        "3651d",
        "9999999999999999999s",
        "1h ago",
        "5 s x",
        "\0",
        "∞",
    ] {
        assert!(parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn what_is_shown_reads_back_to_the_same() {
    for length in [
        Duration::ZERO,
        Duration::from_millis(1500),
        Duration::from_secs(90_061),
        Duration::new(5, 1_001_001),
        DURATION_MAX,
    ] {
        assert_eq!(parse(&show(length)), Ok(length), "{}", show(length));
    }
    assert_eq!(show(Duration::from_secs(7 * 86_400)), "7d");
    assert_eq!(show(Duration::from_secs(5400)), "1h30m");
}
