//! The promises by their names.

/// What the checker looks at, by the names that violations have.
///
/// A consumer must hold twenty invariants; each is held by one or more of these:
///
/// | | invariant | held by |
/// |---|---|---|
/// | I1 | every delivery received is in hand or has one end | `conservation`, `one end` |
/// | I2 | no ack before all required work | `no early ack`, `verdict kept`, `safe before ack` |
/// | I3 | no message is lost, none stays under lease | `nothing lost`, `progress`, `nothing held` |
/// | I4 | a lease is settled once | `one settlement`, `newest lease`, `told when done` |
/// | I5 | no extension after a settlement | `no late extension`, `no overtaking` |
/// | I6 | a lease is never believed longer than it is | `lease shown`, `lost is lost` |
/// | I7 | what can be extended in time is | `leases kept`, `extended in time` |
/// | I8 | no lease is longer than its longest | `longest lease` |
/// | I9 | permits are kept, and used | `permits`, `no idle permit`, `no start in a pause`, `rate` |
/// | I10 | what is in hand is bounded | `room` |
/// | I11 | one of a key at a time, in order | `key order` |
/// | I12 | no work outlives its delivery | `closed is closed`, `in hand once` |
/// | I13 | a step is bounded | `bounded step` |
/// | I14 | batches keep within the caps | a panic of the broker: `no panic` |
/// | I15 | calls are few | `extension rate`, `extensions together`, `as long as wanted` |
/// | | and they come in time | `settled in time` |
/// | I16 | a stop ends in time | `stop in time`, `no start after stop`, `order of phases` |
/// | | and its hooks after it | `hooks in order`, `hooks in time` |
/// | I17 | every error is told exactly once | `told once`, `told and counted`, `slow polls told` |
/// | I18 | no dead letter without a reason | `no early dead letter`, `no poison`, `timeout kept` |
/// | I19 | the same seed is the same run | the fingerprint, compared by the runner and its tests |
/// | I20 | once nothing goes wrong the backlog drains | `progress`, `no hang`, `no failure` |
pub const INVARIANTS: &[(&str, &str)] = &[
    (
        "conservation",
        "deliveries received are those ended and those in hand, at every step",
    ),
    (
        "one end",
        "each delivery has exactly one end, and the report counts the events",
    ),
    (
        "no early ack",
        "an ack is asked for only after the verdict of that delivery was an ack",
    ),
    (
        "verdict kept",
        "the settlement is the one that the verdict asked for",
    ),
    (
        "safe before ack",
        "an ack that counts comes after the effect is safe",
    ),
    ("one settlement", "a lease is settled one way only"),
    (
        "no late extension",
        "a lease is not extended once it is to be settled, or its handler ended",
    ),
    (
        "no overtaking",
        "a nack waits for the extension of its lease",
    ),
    (
        "lease shown",
        "a handler is never told that it has longer than the broker gives it",
    ),
    ("leases kept", "with an honest broker no lease runs out"),
    (
        "longest lease",
        "no lease is extended beyond its longest time",
    ),
    (
        "extension rate",
        "a lease is extended no more often than three times in its length, and after failures",
    ),
    (
        "extensions together",
        "calls that are not full are a sixteenth of a lease apart, where nothing goes wrong",
    ),
    (
        "as long as wanted",
        "a lease is extended for as long as the consumer was told, and never made shorter",
    ),
    (
        "extended in time",
        "no lease runs out whose extension could have been asked for, or asked for again",
    ),
    (
        "settled in time",
        "no lease runs out whose settlement could have been asked for, or asked for again",
    ),
    (
        "told when done",
        "a delivery ends as settled when the broker has said so, and no earlier",
    ),
    (
        "newest lease",
        "a delivery that goes on under a newer lease is extended and settled under that one",
    ),
    (
        "lost is lost",
        "a delivery whose lease has run out does not go on, and is not started",
    ),
    (
        "bounded step",
        "in one step a delivery is settled and extended once at the most",
    ),
    ("permits", "no more handlers run than may"),
    (
        "no idle permit",
        "a message that may start, starts; at a rate, when its turn has come",
    ),
    (
        "no start in a pause",
        "no handler starts while the consumer is paused",
    ),
    ("rate", "no more handlers start than the rate allows"),
    (
        "key order",
        "of one key one handler runs at a time, in the order in which they were received; who has \
         failed or was shed keeps its place while it is waited for",
    ),
    (
        "timeout kept",
        "a handler is timed out when it is due, and no earlier",
    ),
    (
        "room",
        "no more is in hand, by count and by bytes, than may be; only what is too much is shed",
    ),
    (
        "order of phases",
        "a consumer never goes back to an earlier phase",
    ),
    (
        "no start after stop",
        "no handler starts once the consumer is draining",
    ),
    (
        "closed is closed",
        "no handler runs once the consumer has ended",
    ),
    ("stop in time", "a stop takes no longer than its plan"),
    (
        "hooks in order",
        "what follows a stop runs once, in its order, when nothing is handled, and is told",
    ),
    (
        "hooks in time",
        "what follows a stop takes no longer than it may",
    ),
    (
        "nothing held",
        "after a stop in order no message stays under lease",
    ),
    (
        "told once",
        "every panic, failed branch and failed call is told exactly once, and at once",
    ),
    (
        "slow polls told",
        "a poll of a handler that took too long is told once, with its time, and no other is",
    ),
    ("told and counted", "the totals are the sums of the events"),
    (
        "no early dead letter",
        "a dead letter is a verdict, or the last attempt, or later than that",
    ),
    (
        "no poison",
        "no handler starts on a message that was started too often and never settled",
    ),
    (
        "no failure",
        "a consumer stops by itself where its broker broke or its observer panicked, only there",
    ),
    (
        "nothing lost",
        "every message ends as acked, or dead for a reason that a handler gave",
    ),
    ("progress", "the backlog is drained in the end"),
    (
        "in hand once",
        "one message is with one handler of a consumer at a time",
    ),
];

#[cfg(test)]
mod tests;
