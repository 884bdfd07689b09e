use log::{Level, LevelFilter, Record};
use serde_json::json;

use super::{level_of, object, pairs};

#[test]
fn a_json_line_carries_the_id_and_never_loses_its_own_fields() {
    let pairs = [("id", "0190-7"), ("message", "forged"), ("target", "web-1")];
    let record = Record::builder()
        .args(format_args!("restarted"))
        .level(Level::Info)
        .target("mandrill::service")
        .key_values(&pairs)
        .build();

    let object = object(&record);

    assert_eq!(object["id"], "0190-7");
    assert_eq!(object["target"], "web-1");
    assert_eq!(object["message"], "restarted");
    assert_eq!(object["level"], "info");
    assert_eq!(object["module"], "mandrill::service");
    assert!(object["at"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn numbers_and_truths_stay_what_they_are() {
    let values = [
        ("attempt", log::kv::Value::from(3_u64)),
        ("late", log::kv::Value::from(true)),
        ("by", log::kv::Value::from(-2_i64)),
    ];
    let record = Record::builder().key_values(&values).build();

    let pairs: Vec<_> = pairs(&record).into_iter().map(|(_, value)| value).collect();

    assert_eq!(pairs, [json!(3), json!(true), json!(-2)]);
}

#[test]
fn the_flags_move_the_level_both_ways() {
    assert_eq!(level_of(0), LevelFilter::Info);
    assert_eq!(level_of(9), LevelFilter::Trace);
    assert_eq!(level_of(-1), LevelFilter::Warn);
    assert_eq!(level_of(-9), LevelFilter::Off);
}
