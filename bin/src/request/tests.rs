//! The format: what is read, and everything that is not.

use jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

use super::{BY_BYTES_MAX, DETAIL_BYTES_MAX, PAYLOAD_BYTES_MAX, REASON_BYTES_MAX, Request};
use crate::target::Target;

const ID: &str = "0199a1b2-0000-7000-8000-000000000001";

const GOOD: &str = r#"{"v":1,"target":"web-1","reason":"kernel update","by":"ops",
    "requested_at":"2026-03-01T10:00:00Z"}"#;

#[test]
fn a_payload_is_read_with_the_id_of_its_message() {
    let request = Request::parse(ID, GOOD.as_bytes()).unwrap();

    assert_eq!(request.id, ID);
    assert_eq!(request.target.as_str(), "web-1");
    assert_eq!(request.reason, "kernel update");
    assert_eq!(request.by, "ops");
    assert_eq!(request.requested_at.to_string(), "2026-03-01T10:00:00Z");
}

#[test]
fn the_payload_has_the_fields_of_the_format_and_no_id() {
    let request = Request::parse(ID, GOOD.as_bytes()).unwrap();

    assert_eq!(
        String::from_utf8(request.payload()).unwrap(),
        r#"{"v":1,"target":"web-1","reason":"kernel update","by":"ops","#.to_owned()
            + r#""requested_at":"2026-03-01T10:00:00Z"}"#
    );
}

#[test]
fn a_new_request_gets_an_id_of_its_own() {
    let make = || {
        let target = Target::parse("web-1").unwrap();
        Request::new(target, "why", "ops", Timestamp::UNIX_EPOCH).unwrap()
    };

    let (one, other) = (make(), make());

    assert_ne!(one.id, other.id);
    let id: uuid::Uuid = one.id.parse().unwrap();
    assert_eq!(id.get_version_num(), 7);
}

#[test]
fn what_is_not_a_request_is_refused_with_one_short_line() {
    let deep_array = format!("{}1", "[".repeat(8000));
    let deep_field = format!(r#"{{"v":1,"target":{}"#, "[".repeat(8000));
    let deep_unknown = format!(r#"{{"v":1,"x":{}"#, r#"{"x":"#.repeat(2000));
    let long_name = format!(r#"{{"{}":1}}"#, "x\\u202e".repeat(1000));
    let huge = format!("{{{}}}", " ".repeat(1024 * 1024));
    let long_reason = GOOD.replace("kernel update", &"x".repeat(REASON_BYTES_MAX + 1));
    let long_by = GOOD.replace("ops", &"x".repeat(BY_BYTES_MAX + 1));
    let cases: &[(&str, &[u8], &str)] = &[
        ("nothing", b"", "not a JSON object"),
        ("text", b"restart web-1 please", "not a JSON object"),
        (
            "an array of the values",
            br#"[1,"web-1","why","ops","2026-03-01T10:00:00Z"]"#,
            "not a JSON object",
        ),
        ("a byte order mark", b"\xef\xbb\xbf{}", "not a JSON object"),
        ("NUL", b"\0", "not a JSON object"),
        ("no UTF-8", b"{\"v\":1,\"target\":\"\xff\xfe\"}", ""),
        ("no fields", b"{}", "missing field `v`"),
        ("half an object", &GOOD.as_bytes()[..40], "EOF"),
        (
            "two objects",
            &[GOOD, GOOD].concat().into_bytes(),
            "trailing characters",
        ),
        ("deep array", deep_array.as_bytes(), "not a JSON object"),
        ("deep field", deep_field.as_bytes(), "invalid type"),
        ("deep unknown field", deep_unknown.as_bytes(), "unknown"),
        ("a long unknown field", long_name.as_bytes(), "unknown"),
        (
            "one megabyte",
            huge.as_bytes(),
            "1048578 bytes are more than",
        ),
        (
            "a long reason",
            long_reason.as_bytes(),
            "reason: 1025 bytes",
        ),
        ("a long requester", long_by.as_bytes(), "by: 257 bytes"),
    ];
    for (name, payload, expected) in cases {
        let malformed = Request::parse(ID, payload).unwrap_err();

        let detail = malformed.to_string();
        assert!(detail.contains(expected), "{name}: {detail}");
        assert!(detail.len() <= DETAIL_BYTES_MAX, "{name}: {detail}");
        assert_shows_as_one_line(&detail);
    }
}

#[test]
fn a_field_with_a_wrong_value_is_refused() {
    let cases = [
        (r#""v":1"#, r#""v":2"#, "version 2"),
        (r#""v":1"#, r#""v":-1"#, "invalid value"),
        (r#""v":1"#, r#""v":"1""#, "invalid type"),
        (r#""v":1"#, r#""v":1,"v":1"#, "duplicate field"),
        (r#""v":1"#, r#""v":1,"force":["cooldown"]"#, "unknown field"),
        ("2026-03-01T10:00:00Z", "yesterday", ""),
        ("2026-03-01T10:00:00Z", "2026-03-01T10:00:00", ""),
        ("web-1", "-oProxyCommand=touch x", "target: "),
        ("web-1", "../x", "target: "),
        ("web-1", "a b", "target: "),
        ("web-1", "$(id)", "target: "),
        ("web-1", "web-1\\u0000", "target: "),
        ("web-1", "web\\u202e1-", "target: "),
        ("web-1", "", "target: "),
        ("kernel update", "a\\nb", "reason: character U+000A"),
        ("kernel update", "a\\u001b[2J", "reason: character U+001B"),
        ("kernel update", "a\\u0000", "reason: character U+0000"),
        ("kernel update", "a\u{202e}b", "reason: character U+202E"),
        ("kernel update", "a\\u2028b", "reason: character U+2028"),
        ("kernel update", "\\ud800", ""),
        ("ops", "o\\u0085ps", "by: character U+0085"),
    ];
    for (from, to, expected) in cases {
        let payload = GOOD.replace(from, to);
        assert_ne!(payload, GOOD);

        let detail = Request::parse(ID, payload.as_bytes()).unwrap_err().detail;

        assert!(detail.contains(expected), "{to:?}: {detail}");
        assert_shows_as_one_line(&detail);
    }
}

#[test]
fn the_longest_texts_are_read() {
    let payload = GOOD
        .replace("kernel update", &"ä".repeat(REASON_BYTES_MAX / 2))
        .replace("ops", &"x".repeat(BY_BYTES_MAX));

    let request = Request::parse(ID, payload.as_bytes()).unwrap();

    assert_eq!(request.reason.len(), REASON_BYTES_MAX);
    assert!(request.payload().len() < PAYLOAD_BYTES_MAX);
}

#[test]
fn what_parse_would_refuse_cannot_be_made() {
    let target = Target::parse("web-1").unwrap();
    let make = |reason: &str, by: &str| {
        Request::new(target.clone(), reason, by, Timestamp::UNIX_EPOCH).unwrap_err()
    };

    assert!(make("a\nb", "ops").detail.starts_with("reason: "));
    assert!(make("why", "o\u{2066}ps").detail.starts_with("by: "));
    assert!(
        make(&"x".repeat(2000), "ops")
            .detail
            .starts_with("reason: ")
    );
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(payload in vec(any::<u8>(), 0..400)) {
        if let Err(malformed) = Request::parse(ID, &payload) {
            prop_assert!(malformed.detail.len() <= DETAIL_BYTES_MAX);
            assert_shows_as_one_line(&malformed.detail);
        }
    }

    #[test]
    fn no_change_of_a_good_payload_makes_it_panic(
        at in 0..GOOD.len(),
        length in 0_usize..20,
        bytes in vec(any::<u8>(), 0..20),
    ) {
        let mut payload = GOOD.as_bytes().to_vec();
        let end = payload.len().min(at + length);
        payload.splice(at..end, bytes);

        if let Err(malformed) = Request::parse(ID, &payload) {
            assert_shows_as_one_line(&malformed.detail);
        }
    }

    #[test]
    fn every_request_comes_back_from_its_payload(request in any_request()) {
        let read = Request::parse(&request.id, &request.payload());

        prop_assert_eq!(read, Ok(request));
    }
}

fn any_request() -> impl Strategy<Value = Request> {
    let target = "[a-z0-9]([a-z0-9._-]{0,60}[a-z0-9])?";
    let text = r#"[a-zA-Z0-9 äß"\\/{}$<>😀]{0,60}"#;
    let nanosecond = 0_i128..4_000_000_000_000_000_000;
    (target, text, text, nanosecond).prop_map(|(target, reason, by, nanosecond)| Request {
        id: ID.to_owned(),
        target: Target::parse(&target).unwrap(),
        reason,
        by,
        requested_at: Timestamp::from_nanosecond(nanosecond).unwrap(),
    })
}

fn assert_shows_as_one_line(detail: &str) {
    let hidden =
        |character: char| character.is_control() || ('\u{2028}'..='\u{202e}').contains(&character);
    assert!(!detail.contains(hidden), "{detail:?}");
}
