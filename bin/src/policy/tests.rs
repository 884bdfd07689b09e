//! The rules, one by one, in their order, and with a clock that goes back.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};

use super::{Decision, Facts, admit, cooldown_until, remaining};
use crate::config::Policy;
use crate::target::Target;

const NOW: i64 = 1_800_000_000;

#[test]
fn each_rule_decides_alone_and_in_its_place() {
    struct Case {
        name: &'static str,
        facts: fn(&mut Facts<'_>),
        expected: Expected,
    }
    #[derive(Debug, PartialEq)]
    enum Expected {
        Go,
        Blocked(Option<i64>, &'static str),
        Wait(Duration, &'static str),
    }
    use Expected::{Blocked, Go, Wait};
    let lost = "web-1 is lost since 2027-01-15T07:59:50Z; once it is back: mandrill resume web-1";
    let cooling = "web-1 was restarted less than 1m ago (cooldown)";
    let cases = [
        Case {
            name: "nothing is known",
            facts: |_| {},
            expected: Go,
        },
        Case {
            name: "lost",
            facts: |facts| facts.lost_since = Some(ago(10)),
            expected: Blocked(None, lost),
        },
        Case {
            name: "lost and cooling and busy: lost is named",
            facts: |facts| {
                facts.lost_since = Some(ago(10));
                facts.last_restart = Some(ago(10));
                facts.group_at_work = 2;
            },
            expected: Blocked(None, lost),
        },
        Case {
            name: "cooling",
            facts: |facts| facts.last_restart = Some(ago(20)),
            expected: Blocked(Some(NOW + 40), cooling),
        },
        Case {
            name: "cooling in a full group: blocked, since waiting would not help",
            facts: |facts| {
                facts.last_restart = Some(ago(20));
                facts.group_at_work = 2;
            },
            expected: Blocked(Some(NOW + 40), cooling),
        },
        Case {
            name: "cooled down to the second",
            facts: |facts| facts.last_restart = Some(ago(60)),
            expected: Go,
        },
        Case {
            name: "restarted in the future: one full period from now",
            facts: |facts| facts.last_restart = Some(ago(-86_400)),
            expected: Blocked(Some(NOW + 60), cooling),
        },
        Case {
            name: "at work on the same target",
            facts: |facts| {
                facts.at_work = Some("other".to_owned());
                facts.group_at_work = 1;
            },
            expected: Wait(
                Duration::from_millis(500),
                "request other is at work on web-1",
            ),
        },
        Case {
            name: "a place is free",
            facts: |facts| facts.group_at_work = 1,
            expected: Go,
        },
        Case {
            name: "no place is free",
            facts: |facts| facts.group_at_work = 2,
            expected: Wait(
                Duration::from_millis(500),
                "2 at work in the group (max_concurrent 2)",
            ),
        },
        Case {
            name: "too soon after another one: exactly what is left",
            facts: |facts| facts.group_last_restart = Some(ago(3)),
            expected: Wait(
                Duration::from_secs(2),
                "less than 5s since the last one of the group (spacing)",
            ),
        },
        Case {
            name: "spaced enough",
            facts: |facts| facts.group_last_restart = Some(ago(5)),
            expected: Go,
        },
        Case {
            name: "another one was verified in the future",
            facts: |facts| facts.group_last_restart = Some(ago(-3600)),
            expected: Wait(
                Duration::from_secs(5),
                "less than 5s since the last one of the group (spacing)",
            ),
        },
    ];
    let target = Target::parse("web-1").unwrap();
    for case in cases {
        let mut facts = nothing(&target);
        (case.facts)(&mut facts);

        let decision = admit(&policy(), &facts, ago(0));

        let expected = match case.expected {
            Go => Decision::Go,
            Blocked(until, reason) => Decision::Blocked {
                reason: reason.to_owned(),
                until: until.map(|second| Timestamp::from_second(second).unwrap()),
            },
            Wait(after, reason) => Decision::Wait {
                after,
                reason: reason.to_owned(),
            },
        };
        assert_eq!(decision, expected, "{}", case.name);
    }
}

#[test]
fn waiting_for_a_place_is_neither_a_busy_loop_nor_endless() {
    let target = Target::parse("web-1").unwrap();
    let mut facts = nothing(&target);
    facts.group_at_work = 2;
    let waits = [Duration::ZERO, Duration::from_secs(3600)].map(|settle| {
        let policy = Policy { settle, ..policy() };
        match admit(&policy, &facts, ago(0)) {
            Decision::Wait { after, .. } => after,
            other => panic!("{other:?}"),
        }
    });

    assert_eq!(waits, [Duration::from_millis(100), Duration::from_secs(2)]);
}

#[test]
fn periods_of_no_length_never_object() {
    let policy = Policy {
        cooldown: Duration::ZERO,
        spacing: Duration::ZERO,
        ..policy()
    };
    let target = Target::parse("web-1").unwrap();
    for seconds in [-10, 0, 10] {
        let mut facts = nothing(&target);
        facts.last_restart = Some(ago(seconds));
        facts.group_last_restart = Some(ago(seconds));

        assert_eq!(admit(&policy, &facts, ago(0)), Decision::Go);
    }
}

#[test]
fn a_cooldown_beyond_the_calendar_ends_with_it() {
    let policy = Policy {
        cooldown: Duration::MAX,
        ..policy()
    };

    let until = cooldown_until(&policy, Some(ago(1)), ago(0));

    assert_eq!(until, Some(Timestamp::MAX));
}

proptest! {
    #[test]
    fn what_remains_is_never_more_than_one_period_and_shrinks_with_time(
        period in (0_u64..1_000_000).prop_map(Duration::from_millis),
        since in moment(),
        now in moment(),
        step in (0_i64..1_000_000).prop_map(SignedDuration::from_millis),
    ) {
        let left = remaining(period, since, now).unwrap_or_default();
        let later = remaining(period, since, now + step).unwrap_or_default();

        prop_assert!(left <= period);
        prop_assert!(later <= left);
        if now >= since {
            let elapsed = now.duration_since(since).unsigned_abs();
            prop_assert_eq!(left, period.saturating_sub(elapsed));
        }
    }
}

fn moment() -> impl Strategy<Value = Timestamp> {
    (0_i64..2_000_000).prop_map(|millis| Timestamp::from_millisecond(millis).unwrap())
}

fn policy() -> Policy {
    Policy {
        cooldown: Duration::from_secs(60),
        max_concurrent: 2,
        spacing: Duration::from_secs(5),
        settle: Duration::from_millis(500),
        timeout: Duration::from_secs(30),
    }
}

fn nothing(target: &Target) -> Facts<'_> {
    Facts {
        target,
        last_restart: None,
        lost_since: None,
        at_work: None,
        group_at_work: 0,
        group_last_restart: None,
    }
}

fn ago(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOW - seconds).unwrap()
}
