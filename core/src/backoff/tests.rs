use std::time::Duration;

use fastrand::Rng;

use super::{Backoff, Jitter};

fn backoff(jitter: Jitter) -> Backoff {
    let base = Duration::from_millis(100);
    Backoff {
        base,
        max: Duration::from_secs(1),
        factor: 2,
        jitter,
    }
}

#[test]
fn delays_double_up_to_the_maximum() {
    let mut rng = Rng::with_seed(1);

    let delays: Vec<u128> = (1..=6)
        .map(|n| backoff(Jitter::None).delay(n, &mut rng).as_millis())
        .collect();

    assert_eq!(delays, [100, 200, 400, 800, 1000, 1000]);
}

#[test]
fn equal_jitter_keeps_at_least_half_and_full_jitter_at_most_the_whole() {
    let mut rng = Rng::with_seed(2);

    for _ in 0..1000 {
        let equal = backoff(Jitter::Equal).delay(3, &mut rng);
        let full = backoff(Jitter::Full).delay(3, &mut rng);

        assert!((Duration::from_millis(200)..=Duration::from_millis(400)).contains(&equal));
        assert!(full <= Duration::from_millis(400));
    }
}

#[test]
fn the_same_seed_gives_the_same_delays() {
    let delays = |seed| {
        let mut rng = Rng::with_seed(seed);
        (1..20)
            .map(|n| backoff(Jitter::Full).delay(n, &mut rng))
            .collect::<Vec<_>>()
    };

    assert_eq!(delays(7), delays(7));
    assert_ne!(delays(7), delays(8));
}

#[test]
fn an_absurd_attempt_number_does_not_overflow() {
    let mut rng = Rng::with_seed(3);
    let endless = Backoff {
        max: Duration::MAX,
        base: Duration::MAX,
        ..Backoff::default()
    };

    assert!(endless.delay(u32::MAX, &mut rng) > Duration::from_secs(1 << 30));
    assert_eq!(
        backoff(Jitter::None).delay(0, &mut rng),
        Duration::from_millis(100)
    );
}
