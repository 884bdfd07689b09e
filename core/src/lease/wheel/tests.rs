use std::collections::BTreeMap;

use fastrand::Rng;

use super::Wheel;

/// Against a tree: whatever is added and removed in whatever order, the wheel finds the same.
#[test]
fn random_histories_agree_with_a_tree() {
    for seed in 0..400 {
        let mut rng = Rng::with_seed(seed);
        let (mut wheel, mut model) = (Wheel::new(), BTreeMap::new());
        let mut now = rng.u64(0..10_000);
        let reach = 1 << rng.u32(1..14);
        for number in 0..600 {
            match rng.u8(0..8) {
                0..4 => {
                    // Mostly ahead of the present, now and then behind it.
                    let tick = (now + rng.u64(0..reach)).saturating_sub(rng.u64(0..=reach / 4));
                    if model.insert(tick, number).is_none() {
                        assert_eq!(wheel.get(tick), None);
                        wheel.insert(tick, number);
                    } else {
                        wheel.remove(tick);
                        wheel.insert(tick, number);
                    }
                }
                4 => {
                    let tick = rng.choice(model.keys().copied()).unwrap_or(now);
                    model.remove(&tick);
                    wheel.remove(tick);
                    assert_eq!(wheel.get(tick), None);
                }
                5 => {
                    let first = model.pop_first();
                    assert_eq!(wheel.first(), first);
                    if let Some((tick, _)) = first {
                        wheel.remove(tick);
                        now = now.max(tick);
                    }
                }
                6 => now += rng.u64(0..reach),
                _ => {
                    let tick = now + rng.u64(0..reach);
                    assert_eq!(wheel.get(tick), model.get(&tick).copied(), "seed {seed}");
                }
            }
            let first = model.first_key_value();
            let first = first.map(|(tick, number)| (*tick, *number));
            assert_eq!(wheel.first(), first, "seed {seed}, step {number}");
        }
        for (tick, number) in &model {
            assert_eq!(wheel.get(*tick), Some(*number), "seed {seed}");
        }
    }
}

#[test]
fn the_ends_of_time_are_ticks_as_well() {
    let mut wheel = Wheel::new();
    for (tick, number) in [(u64::MAX, 1), (0, 2), (u64::MAX - 1, 3)] {
        wheel.insert(tick, number);
    }

    assert_eq!(wheel.first(), Some((0, 2)));
    wheel.remove(0);
    assert_eq!(wheel.first(), Some((u64::MAX - 1, 3)));
    wheel.remove(u64::MAX - 1);
    assert_eq!(wheel.first(), Some((u64::MAX, 1)));
}
