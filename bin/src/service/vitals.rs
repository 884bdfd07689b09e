//! How the consumer does, for `mandrill status`: is it healthy, and if not, what is wrong.

use std::time::Duration;

use mayhem_core::{Control, Health, Histogram};
use serde_json::{Value, json};

/// What the running consumer says of itself, as the JSON contract has it.
pub(super) fn vitals(control: &Control) -> Value {
    let metrics = control.metrics();
    let health = control.health();
    let stats = metrics.stats;
    json!({
        "healthy": health.is_healthy(),
        "trouble": trouble(health),
        "phase": format!("{:?}", stats.phase).to_lowercase(),
        "waiting": stats.buffered,
        "handling": stats.running,
        "settling": stats.settling,
        "slow_polls": stats.totals.slow_polls,
        "lease_age_max_ms": millis(metrics.lease_age_max),
        "lease_slack_min_ms": metrics.slack_min.map(millis),
        "waited_p99_ms": p99(&metrics.queue_wait),
        "handled_p99_ms": p99(&metrics.handle),
    })
}

/// What is wrong, in the words of an operator; each with what to look at.
fn trouble(health: Health) -> Vec<&'static str> {
    let Health {
        stream_up,
        slack_positive,
        progress,
    } = health;
    let mut trouble = Vec::new();
    if !stream_up {
        trouble.push("no new requests are taken: the queue fails, or the service is stopping");
    }
    if !slack_positive {
        trouble.push("a lease has run out: the queue is slow, or a thread is blocked (see THREAD)");
    }
    if !progress {
        trouble.push("nothing has ended for as long as a request may take (see OPEN INTENT)");
    }
    trouble
}

/// Of none there is no quantile.
fn p99(durations: &Histogram) -> Option<u64> {
    (durations.count() > 0).then(|| millis(durations.quantile(0.99)))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
