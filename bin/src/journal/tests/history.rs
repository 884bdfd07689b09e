//! What is told: the filters, and the JSON that scripts read.

use serde_json::json;

use super::super::{HistoryFilter, Outcome, Verdict};
use super::{Place, admit, at, go, identity, refusal, row, target};
use crate::fleet::Identity;

#[test]
fn a_row_in_json_has_the_fields_of_the_contract() {
    let place = Place::new();
    let journal = place.open();
    go(admit(&journal, "a", "web-1", 0));
    journal
        .finish("a", &Verdict::verified(identity(2)), at(10))
        .unwrap();
    admit(&journal, "b", "web-1", 30);
    journal
        .refuse("c", &refusal(Outcome::Malformed, None), at(40))
        .unwrap();

    let verified = serde_json::to_string(&row(&journal, "a")).unwrap();
    let blocked = serde_json::to_value(row(&journal, "b")).unwrap();
    let malformed = serde_json::to_value(row(&journal, "c")).unwrap();

    assert_eq!(
        verified,
        r#"{"id":"a","target":"web-1","reason":"kernel update","by":"ops","outcome":"verified","#
            .to_owned()
            + r#""detail":null,"until":null,"attempts":1,"requested_at":"2026-03-01T09:59:59Z","#
            + r#""finished_at":"2026-03-01T10:00:10Z","before":{"pid":1,"started":100},"#
            + r#""after":{"pid":2,"started":200}}"#
    );
    assert_eq!(blocked["outcome"], "blocked");
    assert_eq!(blocked["until"], "2026-03-01T10:01:10Z");
    assert_eq!(
        malformed,
        json!({
            "id": "c", "target": null, "reason": null, "by": null, "outcome": "malformed",
            "detail": "no", "until": null, "attempts": 1, "requested_at": null,
            "finished_at": "2026-03-01T10:00:40Z", "before": null, "after": null,
        })
    );
}

#[test]
fn every_outcome_is_named_the_same_in_json_and_in_the_file() {
    let names = [
        (Outcome::Open, "open"),
        (Outcome::Verified, "verified"),
        (Outcome::Failed, "failed"),
        (Outcome::Lost, "lost"),
        (Outcome::Blocked, "blocked"),
        (Outcome::UnknownTarget, "unknown-target"),
        (Outcome::Malformed, "malformed"),
    ];
    for (outcome, name) in names {
        assert_eq!(outcome.as_str(), name);
        assert_eq!(serde_json::to_value(outcome).unwrap(), name);
        assert_eq!(Outcome::parse(name), Some(outcome));
    }
}

#[test]
fn a_boot_identity_survives_the_file() {
    let place = Place::new();
    let journal = place.open();
    let boot_id = "3f1c\n\"ä".to_owned();
    go(admit(&journal, "a", "web-1", 0));
    let verdict = Verdict::verified(Identity::Boot { boot_id });

    let finished = journal.finish("a", &verdict, at(1)).unwrap().unwrap();

    assert_eq!(finished.after, verdict.after);
}

#[test]
fn history_is_in_the_order_of_arrival_and_filtered_as_asked() {
    let place = Place::new();
    let journal = place.open();
    go(admit(&journal, "old", "web-1", 0));
    journal
        .finish("old", &Verdict::failed("no"), at(10))
        .unwrap();
    go(admit(&journal, "open", "web-1", 20));
    journal
        .refuse(
            "new",
            &refusal(Outcome::UnknownTarget, Some("web-2")),
            at(30),
        )
        .unwrap();
    let ids = |filter: HistoryFilter| -> Vec<String> {
        let rows = journal.history(&filter).unwrap();
        rows.into_iter().map(|row| row.id).collect()
    };
    let all = HistoryFilter::default;

    assert_eq!(ids(all()), ["old", "open", "new"]);
    let web_1 = Some(target("web-1"));
    assert_eq!(
        ids(HistoryFilter {
            target: web_1.clone(),
            ..all()
        }),
        ["old", "open"]
    );
    let since = Some(at(11));
    assert_eq!(ids(HistoryFilter { since, ..all() }), ["open", "new"]);
    let since_target = HistoryFilter {
        target: web_1,
        since,
        ..all()
    };
    assert_eq!(ids(since_target), ["open"]);
    let since = Some(at(10));
    assert_eq!(
        ids(HistoryFilter { since, ..all() }),
        ["old", "open", "new"]
    );
    let outcome = Some(Outcome::Open);
    assert_eq!(ids(HistoryFilter { outcome, ..all() }), ["open"]);
    let target = Some(target("web-9"));
    assert!(ids(HistoryFilter { target, ..all() }).is_empty());
}

#[test]
fn times_keep_their_microseconds() {
    let place = Place::new();
    let journal = place.open();
    let precise = "2026-03-01T10:00:00.123456789Z".parse().unwrap();

    let row = journal
        .refuse("a", &refusal(Outcome::Malformed, None), precise)
        .unwrap();

    assert_eq!(
        row.finished_at.unwrap().to_string(),
        "2026-03-01T10:00:00.123456Z"
    );
}
