//! How requests end: once, whoever says so.

use super::super::{Admission, Outcome, Verdict};
use super::{Place, admit, at, go, identity, refusal, request, row, rows, sqlite, target};

#[test]
fn the_first_verdict_stays() {
    let place = Place::new();
    let journal = place.open();
    go(admit(&journal, "a", "web-1", 0));

    let first = journal
        .finish("a", &Verdict::verified(identity(2)), at(3))
        .unwrap();
    let second = journal.finish("a", &Verdict::lost("gone"), at(4)).unwrap();
    let refused = journal
        .refuse("a", &refusal(Outcome::Blocked, Some("web-1")), at(5))
        .unwrap();

    assert_eq!(second, first);
    assert_eq!(Some(refused), first);
    let row = first.unwrap();
    assert_eq!(row.outcome, Outcome::Verified);
    assert_eq!(
        (row.before, row.after),
        (Some(identity(1)), Some(identity(2)))
    );
    assert_eq!(row.finished_at, Some(at(3)));
    assert_eq!(journal.lost(&target("web-1")).unwrap(), None);
    assert!(journal.open_intents().unwrap().is_empty());
}

#[test]
fn a_verdict_on_an_unknown_request_says_so_and_keeps_nothing() {
    let place = Place::new();
    let journal = place.open();

    let row = journal
        .finish("a", &Verdict::verified(identity(2)), at(3))
        .unwrap();

    assert_eq!(row, None);
    assert!(rows(&journal).is_empty());
    assert!(journal.targets().unwrap().is_empty());
}

#[test]
fn a_verified_restart_is_the_last_one_and_ends_being_lost() {
    let place = Place::new();
    let journal = place.open();
    go(admit(&journal, "a", "web-1", 0));
    go(admit(&journal, "b", "web-2", 0));
    journal.finish("a", &Verdict::lost("gone"), at(1)).unwrap();
    journal.resume(&target("web-1")).unwrap();
    go(admit(&journal, "c", "web-1", 2));
    journal.finish("b", &Verdict::lost("gone"), at(3)).unwrap();

    journal
        .finish("c", &Verdict::verified(identity(2)), at(9))
        .unwrap();

    let known: Vec<_> = journal
        .targets()
        .unwrap()
        .into_iter()
        .map(|row| (row.target.to_string(), row.last_restart, row.lost_since))
        .collect();
    assert_eq!(
        known,
        [
            ("web-1".to_owned(), Some(at(9)), None),
            ("web-2".to_owned(), None, Some(at(3)))
        ]
    );
}

#[test]
fn a_restarter_may_start_once() {
    let place = Place::new();
    let journal = place.open();
    go(admit(&journal, "a", "web-1", 0));

    let first = journal.mark_started("a", at(1)).unwrap();
    std::mem::forget(journal);
    let journal = place.open();
    let second = journal.mark_started("a", at(2)).unwrap();

    assert_eq!((first, second), (true, false));
    let Admission::Resume(intent) = admit(&journal, "a", "web-1", 3) else {
        panic!("the intent is open");
    };
    assert_eq!(intent.started_at, Some(at(1)));
}

#[test]
fn a_restarter_may_not_start_without_an_open_intent() {
    let place = Place::new();
    let journal = place.open();
    go(admit(&journal, "a", "web-1", 0));
    go(admit(&journal, "b", "web-2", 0));
    admit(&journal, "waiting", "web-3", 0);
    journal.finish("a", &Verdict::failed("no"), at(1)).unwrap();

    for id in ["unknown", "waiting", "a"] {
        assert!(!journal.mark_started(id, at(1)).unwrap(), "{id}");
    }
}

#[test]
fn a_refused_message_gets_its_only_row() {
    let place = Place::new();
    let journal = place.open();
    let malformed = refusal(Outcome::Malformed, None);
    let unknown = refusal(Outcome::UnknownTarget, Some("web-9"));

    let first = journal.refuse("a", &malformed, at(1)).unwrap();
    let again = journal.refuse("a", &unknown, at(2)).unwrap();
    let other = journal.refuse("b", &unknown, at(3)).unwrap();

    assert_eq!(first, again);
    assert_eq!((first.target, first.outcome), (None, Outcome::Malformed));
    assert_eq!(other.target.as_deref(), Some("web-9"));
    assert_eq!(
        rows(&journal),
        [
            ("a".to_owned(), Outcome::Malformed),
            ("b".to_owned(), Outcome::UnknownTarget)
        ]
    );
}

#[test]
fn a_waiting_request_can_be_refused_and_one_at_work_cannot() {
    let place = Place::new();
    let journal = place.open();
    go(admit(&journal, "a", "web-1", 0));
    go(admit(&journal, "b", "web-2", 0));
    admit(&journal, "waiting", "web-3", 0);

    let waiting = journal
        .refuse(
            "waiting",
            &refusal(Outcome::UnknownTarget, Some("web-3")),
            at(1),
        )
        .unwrap();
    let at_work = journal
        .refuse("a", &refusal(Outcome::UnknownTarget, Some("web-1")), at(1))
        .unwrap();

    assert_eq!(waiting.outcome, Outcome::UnknownTarget);
    assert_eq!(waiting.reason.as_deref(), Some("kernel update"));
    assert_eq!(at_work.outcome, Outcome::Open);
}

#[test]
fn a_request_that_waits_can_be_given_a_verdict() {
    let place = Place::new();
    let journal = place.open();
    go(admit(&journal, "a", "web-1", 0));
    admit(&journal, "b", "web-1", 0);

    journal
        .finish("b", &Verdict::failed("too many attempts"), at(1))
        .unwrap();

    assert_eq!(row(&journal, "b").outcome, Outcome::Failed);
    assert_eq!(row(&journal, "a").outcome, Outcome::Open);
}

#[test]
fn the_file_itself_refuses_a_second_outcome_and_a_second_intent() {
    let place = Place::new();
    let journal = place.open();
    go(admit(&journal, "a", "web-1", 0));
    admit(&journal, "b", "web-1", 0);
    journal
        .refuse("c", &refusal(Outcome::Malformed, None), at(0))
        .unwrap();
    let other = sqlite(&place.path());

    let second_outcome = other.execute("UPDATE requests SET outcome = 'lost' WHERE id = 'c'", []);
    let second_intent = other.execute("UPDATE requests SET intent_us = 1 WHERE id = 'b'", []);
    let half_finished = other.execute("UPDATE requests SET outcome = 'lost' WHERE id = 'b'", []);

    let message = second_outcome.unwrap_err().to_string();
    assert_eq!(message, "a final outcome never changes");
    assert!(second_intent.unwrap_err().to_string().contains("UNIQUE"));
    assert!(half_finished.unwrap_err().to_string().contains("CHECK"));
}

#[test]
fn a_request_is_recorded_as_it_first_came() {
    let place = Place::new();
    let journal = place.open();
    let payload = request("a", "web-1").payload();

    journal.record("a", &payload, at(1)).unwrap();
    journal.record("a", b"something else", at(2)).unwrap();

    let query = "SELECT id, payload, received_us FROM records";
    let kept: (String, Vec<u8>, i64) = sqlite(&place.path())
        .query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap();
    assert_eq!(kept, ("a".to_owned(), payload, at(1).as_microsecond()));
}
