use super::{TARGET_BYTES_MAX, Target, TargetError};

#[test]
fn host_names_and_short_names_are_targets() {
    for name in [
        "a",
        "7",
        "web-1",
        "web-1.example.net",
        "a_b",
        "a..b",
        "demo-12",
    ] {
        assert_eq!(Target::parse(name).unwrap().as_str(), name);
    }
    let longest = "x".repeat(TARGET_BYTES_MAX);
    assert!(Target::parse(&longest).is_ok());
}

#[test]
fn hostile_names_are_refused_with_the_reason() {
    let start = [("-oProxyCommand=x", TargetError::Character { position: 2 })];
    for (name, error) in start.into_iter().chain([
        ("", TargetError::Empty),
        ("../x", TargetError::Character { position: 2 }),
        ("a b", TargetError::Character { position: 1 }),
        ("$(id)", TargetError::Character { position: 0 }),
        ("a\0", TargetError::Character { position: 1 }),
        ("a\n", TargetError::Character { position: 1 }),
        ("Web-1", TargetError::Character { position: 0 }),
        ("wéb", TargetError::Character { position: 1 }),
        ("web\u{202e}1", TargetError::Character { position: 3 }),
        ("-rf", TargetError::Start),
        (".hidden", TargetError::Start),
        ("web-", TargetError::End),
        ("web.", TargetError::End),
    ]) {
        assert_eq!(Target::parse(name), Err(error), "{name:?}");
    }
    let long = "x".repeat(TARGET_BYTES_MAX + 1);
    assert_eq!(Target::parse(&long), Err(TargetError::TooLong));
}

#[test]
fn a_refusal_never_repeats_the_name() {
    let error = Target::parse("evil\u{1b}[2J").unwrap_err().to_string();
    assert!(!error.contains("evil"), "{error}");
}
