//! What the figures have to be, and whether they are.

use std::fmt::Write;

use crate::measure::{OURS, Row};

/// One thing that was promised of the figures of a case.
struct Target {
    case: &'static str,
    demand: Demand,
}

enum Demand {
    /// Ours is no more than this.
    AtMost(f64),
    /// Ours is no less than this.
    AtLeast(f64),
    /// Ours is at least so many times as good as this peer.
    Beats(&'static str, f64),
    /// Ours is at least so many times as good as the best peer.
    BeatsBest(f64),
    /// No row of the case is more than so many times another.
    Within(f64),
}

use Demand::{AtLeast, AtMost, Beats, BeatsBest, Within};

/// Every target whose case was measured, one line each: met or not, or that the peer was absent. A
/// case that was not measured has no line.
pub(crate) fn render(rows: &[Row]) -> String {
    let mut lines = String::new();
    for target in TARGETS {
        let case: Vec<&Row> = rows.iter().filter(|row| row.case == target.case).collect();
        let Some((wanted, seen, is_met)) = judge(&target.demand, &case) else {
            continue;
        };
        let verdict = match is_met {
            Some(true) => "met",
            Some(false) => "NOT MET",
            None => "absent",
        };
        // Ignored: writing to a string cannot fail.
        let _ = writeln!(lines, "  {verdict:<9}{:<28}{wanted:<52}{seen}", target.case);
    }
    if lines.is_empty() {
        return lines;
    }
    format!("targets\n{lines}\n")
}

/// What was wanted, what was seen, and whether that is enough if it can be said; nothing without
/// figures.
fn judge(demand: &Demand, case: &[&Row]) -> Option<(String, String, Option<bool>)> {
    let ours = case.iter().find(|row| row.peer == OURS)?;
    let digits = ours.unit.digits();
    let unit = ours.unit.name();
    let ratio_to = |peer: &Row| ours.unit.ratio(ours.value, peer.value);
    let seen = format!("{:.digits$} {unit}", ours.value);
    let (wanted, seen, is_met) = match demand {
        AtMost(limit) => (
            format!("at most {limit} {unit}"),
            seen,
            ours.value <= *limit,
        ),
        AtLeast(limit) => (
            format!("at least {limit} {unit}"),
            seen,
            ours.value >= *limit,
        ),
        Beats(name, factor) => {
            let wanted = format!("at least {factor:.2}x {name}");
            let Some(peer) = case.iter().find(|row| row.peer == *name) else {
                return Some((wanted, "was not measured".to_owned(), None));
            };
            let ratio = ratio_to(peer);
            (wanted, format!("{ratio:.2}x"), ratio >= *factor)
        }
        BeatsBest(factor) => {
            let peers = case.iter().filter(|row| row.peer != OURS);
            let best = peers.min_by(|one, other| ratio_to(one).total_cmp(&ratio_to(other)))?;
            let ratio = ratio_to(best);
            let wanted = format!("at least {factor:.2}x the best peer");
            (
                wanted,
                format!("{ratio:.2}x {}", best.peer),
                ratio >= *factor,
            )
        }
        Within(factor) => {
            let values = case.iter().map(|row| row.value);
            let most = values.clone().fold(f64::MIN, f64::max);
            let least = values.fold(f64::MAX, f64::min);
            let spread = most / least;
            let wanted = format!("executors within {factor:.2}x of each other");
            (wanted, format!("{spread:.2}x"), spread <= *factor)
        }
    };
    Some((wanted, seen, Some(is_met)))
}

const fn target(case: &'static str, demand: Demand) -> Target {
    Target { case, demand }
}

/// "Within 15 %" and "no worse than by 10 %" are ratios of 1 / 1.15 and 1 / 1.1.
const TARGETS: &[Target] = &[
    target("bridge_1x_boxed64", Beats("tokio_mpsc", 1.5)),
    target("bridge_1x_boxed64", Beats("async_channel", 1.0 / 1.15)),
    target("bridge_4x_word", Beats("tokio_mpsc", 5.0)),
    target("bridge_4x_word", Beats("async_channel", 2.0)),
    target("bridge_4x_boxed64", Beats("crossbeam_sync_receiver", 1.0)),
    target("bridge_1x_executors", Within(1.2)),
    target("bridge_4x_executors", Within(1.2)),
    target("bridge_allocations", AtMost(0.01)),
    target("bridge_wake_latency", BeatsBest(1.0 / 1.1)),
    target("bridge_instructions", AtMost(100.0)),
    target("portal_round_trip", Beats("thread_park", 1.0 / 1.1)),
    target("portal_round_trip_spinning", AtMost(500.0)),
    target("engine", AtMost(150.0)),
    target("engine", Beats("tokio_task_per_message", 8.0)),
    target("engine", Beats("tokio_lease_in_task", 3.0)),
    target("engine", Beats("futures_unordered_no_lease", 1.5)),
    target("engine", Beats("go_goroutines", 15.0)),
    target("engine_allocations", AtMost(0.01)),
    target("engine_memory_running", AtMost(256.0)),
    target("engine_memory_waiting", AtMost(256.0)),
    target("engine_poll_p99", AtMost(100_000.0)),
    target("engine_two_cores", Beats("one_thread", 1.6)),
    target("lease_calls", AtMost(1.2)),
    target("lease_calls_peak", AtMost(1.5)),
    target("lease_upkeep", AtMost(0.01)),
    target("stop_calls", AtMost(400.0)),
    target("end_to_end", Beats("tokio_naive", 5.0)),
    target("local_broker", AtLeast(50_000.0)),
];
