use std::time::Duration;

use fastrand::Rng;

use super::Ages;
use crate::Instant;

#[test]
fn the_oldest_is_found_and_never_too_young() {
    for seed in 0..200 {
        let mut rng = Rng::with_seed(seed);
        let scale = rng.u32(1..50);
        let lease_max = Duration::from_nanos(rng.u64(1..1 << scale));
        let mut ages = Ages::new(lease_max);
        let mut model: Vec<Instant> = Vec::new();
        let mut now = Instant::ZERO;
        for _ in 0..300 {
            now = now + lease_max / rng.u32(1..1_000);
            if rng.u8(0..8) == 0 {
                now = now + lease_max * rng.u32(0..3);
            }
            if model.is_empty() || rng.bool() {
                model.push(now);
                ages.add(now);
            } else {
                ages.remove(model.swap_remove(rng.usize(0..model.len())));
            }
            let oldest = model.iter().min().copied();
            let found = ages.first();
            assert_eq!(found.is_none(), oldest.is_none(), "seed {seed}");
            assert!(found <= oldest, "seed {seed}");
            // Exact to a tick, unless it is older than a lease can be.
            let tick = lease_max / 128;
            let is_near = |found| oldest.is_some_and(|oldest| oldest - found <= tick);
            let is_old = |found| now - found >= lease_max;
            assert!(
                found.is_none_or(|found| is_near(found) || is_old(found)),
                "seed {seed}"
            );
        }
        for received in model {
            ages.remove(received);
        }
        assert_eq!(ages.first(), None, "seed {seed}");
    }
}
