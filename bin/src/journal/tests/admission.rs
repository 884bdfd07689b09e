//! What `admit` decides, and that it is still decided after a crash.

use std::time::Duration;

use super::super::{Admission, Outcome, Verdict};
use super::{Place, admit, at, go, group, identity, refusal, request, row, rows, target, web};

#[test]
fn an_intent_is_found_again_by_whoever_opens_the_file_next() {
    let place = Place::new();
    let journal = place.open();
    let intent = go(admit(&journal, "a", "web-1", 0));
    // As after a crash: nothing is closed.
    std::mem::forget(journal);

    let reopened = place.open();

    assert_eq!(
        reopened.open_intents().unwrap(),
        std::slice::from_ref(&intent)
    );
    assert_eq!(intent.before, Some(identity(1)));
    assert_eq!(intent.opened_at, at(0));
    assert_eq!(intent.started_at, None);
    let again = reopened.admit(&request("a", "web-1"), &web(), Some(&identity(2)), 2, at(9));
    assert_eq!(
        again.unwrap(),
        Admission::Resume(intent),
        "with the identity of before the crash, not of now"
    );
    assert_eq!(row(&reopened, "a").attempts, 2);
}

#[test]
fn an_intent_is_resumed_even_inside_a_cooldown_and_in_a_full_group() {
    let place = Place::new();
    let journal = place.open();
    let mut narrow = web();
    let intent = go(admit(&journal, "a", "web-1", 0));
    go(admit(&journal, "b", "web-2", 0));

    narrow.policy.max_concurrent = 1;
    let again = journal.admit(&request("a", "web-1"), &narrow, None, 1, at(1));

    assert_eq!(again.unwrap(), Admission::Resume(intent));
}

#[test]
fn a_request_with_an_outcome_is_not_decided_again() {
    let place = Place::new();
    let journal = place.open();
    go(admit(&journal, "a", "web-1", 0));
    let verdict = Verdict::verified(identity(2));
    let finished = journal.finish("a", &verdict, at(3)).unwrap().unwrap();

    let again = admit(&journal, "a", "web-1", 1000);

    assert_eq!(again, Admission::Finished(finished));
}

#[test]
fn a_request_inside_the_cooldown_ends_as_blocked_and_stays_it() {
    let place = Place::new();
    let journal = place.open();
    go(admit(&journal, "a", "web-1", 0));
    journal
        .finish("a", &Verdict::verified(identity(2)), at(10))
        .unwrap();

    let blocked = admit(&journal, "b", "web-1", 30);

    let reason = "web-1 was restarted less than 1m ago (cooldown)";
    assert_eq!(
        blocked,
        Admission::Blocked {
            reason: reason.to_owned(),
            until: Some(at(70))
        }
    );
    let row = row(&journal, "b");
    assert_eq!(row.outcome, Outcome::Blocked);
    assert_eq!(row.detail.as_deref(), Some(reason));
    assert_eq!(row.until, Some(at(70)));
    assert_eq!(row.finished_at, Some(at(30)));
    assert_eq!(row.before, None);
    assert_eq!(admit(&journal, "b", "web-1", 100), Admission::Finished(row));
    go(admit(&journal, "c", "web-1", 70));
}

#[test]
fn a_cooldown_goes_on_after_the_file_was_opened_again() {
    let place = Place::new();
    let journal = place.open();
    go(admit(&journal, "a", "web-1", 0));
    journal
        .finish("a", &Verdict::verified(identity(2)), at(0))
        .unwrap();
    drop(journal);

    let journal = place.open();

    let blocked = admit(&journal, "b", "web-1", 59);
    assert!(matches!(blocked, Admission::Blocked { until: Some(until), .. } if until == at(60)));
    go(admit(&journal, "c", "web-1", 60));
}

#[test]
fn a_clock_set_back_by_a_year_costs_one_cooldown_and_not_a_year() {
    let place = Place::new();
    let journal = place.open();
    let year = 365 * 24 * 3600;
    go(admit(&journal, "a", "web-1", year));
    journal
        .finish("a", &Verdict::verified(identity(2)), at(year))
        .unwrap();

    let first = admit(&journal, "b", "web-1", 0);
    drop(journal);
    let journal = place.open();
    let second = admit(&journal, "c", "web-1", 40);

    let expected = Some(at(60));
    assert!(matches!(first, Admission::Blocked { until, .. } if until == expected));
    assert!(matches!(second, Admission::Blocked { until, .. } if until == expected));
    let known = &journal.targets().unwrap()[0];
    assert_eq!(
        known.last_restart,
        Some(at(year)),
        "what is shown is what was"
    );
    assert_eq!(known.cooldown_until(&web().policy, at(40)), expected);
    assert_eq!(known.cooldown_until(&web().policy, at(60)), None);
    go(admit(&journal, "d", "web-1", 60));
}

#[test]
fn a_waiting_request_has_an_open_row_that_tells_what_it_waits_for() {
    let place = Place::new();
    let journal = place.open();
    go(admit(&journal, "a", "web-1", 0));
    go(admit(&journal, "b", "web-2", 0));

    let wait = admit(&journal, "c", "web-3", 1);

    let reason = "2 at work in the group (max_concurrent 2)".to_owned();
    let row = row(&journal, "c");
    assert_eq!(row.outcome, Outcome::Open);
    assert_eq!(row.detail.as_deref(), Some(reason.as_str()));
    assert_eq!((row.attempts, row.finished_at), (1, None));
    let after = Duration::from_millis(500);
    assert_eq!(wait, Admission::Wait { after, reason });
    assert_eq!(journal.open_intents().unwrap().len(), 2);
}

#[test]
fn a_waiting_request_is_admitted_when_its_time_has_come() {
    let place = Place::new();
    let journal = place.open();
    go(admit(&journal, "a", "web-1", 0));
    go(admit(&journal, "b", "web-2", 0));
    admit(&journal, "c", "web-3", 1);
    journal
        .finish("b", &Verdict::verified(identity(2)), at(2))
        .unwrap();

    let spaced = admit(&journal, "c", "web-3", 3);
    let late = journal.admit(&request("c", "web-3"), &web(), Some(&identity(7)), 4, at(7));

    assert!(matches!(spaced, Admission::Wait { after, .. } if after == Duration::from_secs(4)));
    let intent = go(late.unwrap());
    assert_eq!(intent.before, Some(identity(7)));
    let row = row(&journal, "c");
    assert_eq!((row.attempts, row.detail), (4, None));
}

#[test]
fn two_requests_for_one_target_are_at_work_one_after_the_other() {
    let place = Place::new();
    let journal = place.open();
    go(admit(&journal, "a", "web-1", 0));

    let second = admit(&journal, "b", "web-1", 0);
    journal
        .finish("a", &Verdict::failed("exit 1"), at(1))
        .unwrap();
    let third = admit(&journal, "b", "web-1", 1);

    let Admission::Wait { reason, .. } = second else {
        panic!("{second:?}");
    };
    assert_eq!(reason, "request a is at work on web-1");
    go(third);
}

#[test]
fn groups_do_not_wait_for_each_other() {
    let place = Place::new();
    let journal = place.open();
    go(admit(&journal, "a", "web-1", 0));
    go(admit(&journal, "b", "web-2", 0));

    let other = group("db", &["db-1"]);
    let admission = journal.admit(&request("c", "db-1"), &other, None, 1, at(0));

    assert_eq!(go(admission.unwrap()).before, None);
}

#[test]
fn intents_count_where_the_config_puts_their_targets_now() {
    let place = Place::new();
    let journal = place.open();
    go(admit(&journal, "a", "web-1", 0));
    go(admit(&journal, "b", "web-2", 0));

    let redrawn = group("all", &["web-1", "web-2", "db-1"]);
    let admission = journal.admit(&request("c", "db-1"), &redrawn, None, 1, at(0));

    assert!(matches!(admission.unwrap(), Admission::Wait { .. }));
}

#[test]
fn a_failed_restart_frees_its_place_and_starts_no_cooldown() {
    let place = Place::new();
    let journal = place.open();
    go(admit(&journal, "a", "web-1", 0));
    go(admit(&journal, "b", "web-2", 0));
    journal
        .finish("a", &Verdict::failed("exit 1"), at(1))
        .unwrap();

    go(admit(&journal, "c", "web-1", 1));
}

#[test]
fn a_lost_target_takes_no_requests_until_it_is_resumed() {
    let place = Place::new();
    let journal = place.open();
    go(admit(&journal, "a", "web-1", 0));
    journal
        .finish("a", &Verdict::lost("did not come back"), at(30))
        .unwrap();

    let blocked = admit(&journal, "b", "web-1", 10_000);
    let lost_since = journal.lost(&target("web-1")).unwrap();
    let resumed = journal.resume(&target("web-1")).unwrap();
    let again = journal.resume(&target("web-1")).unwrap();

    let Admission::Blocked { reason, until } = blocked else {
        panic!("{blocked:?}");
    };
    assert!(reason.contains("mandrill resume web-1"), "{reason}");
    assert_eq!(until, None);
    assert_eq!(lost_since, Some(at(30)));
    assert_eq!((resumed, again), (true, false));
    assert_eq!(journal.lost(&target("web-1")).unwrap(), None);
    go(admit(&journal, "c", "web-1", 10_000));
}

#[test]
fn an_id_that_is_used_for_another_target_changes_nothing() {
    let place = Place::new();
    let journal = place.open();
    go(admit(&journal, "a", "web-1", 0));
    let before = row(&journal, "a");

    let admission = admit(&journal, "a", "web-2", 1);
    let refused = journal
        .refuse("a", &refusal(Outcome::Malformed, None), at(1))
        .unwrap();

    assert!(matches!(admission, Admission::Blocked { until: None, .. }));
    assert_eq!(refused, before);
    assert_eq!(row(&journal, "a"), before);
    assert_eq!(rows(&journal), [("a".to_owned(), Outcome::Open)]);
}

#[test]
fn a_target_that_does_not_answer_is_not_started_and_its_request_stays_open_with_the_reason() {
    let place = Place::new();
    let journal = place.open();

    let admission = unidentified(&journal, "a", "web-1", 0);

    assert_eq!(admission, Admission::Unidentified);
    let waiting = row(&journal, "a");
    assert_eq!(waiting.outcome, Outcome::Open);
    assert_eq!(waiting.detail.as_deref(), Some("no route to host"));
    assert_eq!(journal.open_intents().unwrap(), []);
}

#[test]
fn a_lost_target_that_does_not_answer_has_its_requests_blocked() {
    let place = Place::new();
    let journal = place.open();
    go(admit(&journal, "a", "web-1", 0));
    journal
        .finish("a", &Verdict::lost("no route to host"), at(10))
        .unwrap();

    let admission = unidentified(&journal, "b", "web-1", 20);

    assert!(matches!(admission, Admission::Blocked { until: None, .. }));
    assert_eq!(row(&journal, "b").outcome, Outcome::Blocked);
}

#[test]
fn an_intent_of_before_a_crash_is_resumed_while_its_target_does_not_answer() {
    let place = Place::new();
    let journal = place.open();
    let intent = go(admit(&journal, "a", "web-1", 0));

    let admission = unidentified(&journal, "a", "web-1", 20);

    assert_eq!(admission, Admission::Resume(intent));
}

fn unidentified(
    journal: &super::super::Journal,
    id: &str,
    target: &str,
    seconds: i64,
) -> Admission {
    journal
        .admit_unidentified(
            &request(id, target),
            &web(),
            "no route to host",
            1,
            at(seconds),
        )
        .unwrap()
}
