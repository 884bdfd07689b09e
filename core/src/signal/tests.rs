use std::sync::Arc;

use futures::FutureExt;

use super::{Signal, Wait};

#[derive(Clone, Default)]
struct Shared(Arc<Signal>);

impl AsRef<Signal> for Shared {
    fn as_ref(&self) -> &Signal {
        &self.0
    }
}

#[test]
fn every_waiter_is_woken_and_later_ones_do_not_wait() {
    let shared = Shared::default();
    let (mut first, mut second) = (Wait::new(shared.clone()), Wait::new(shared.clone()));
    assert!((&mut first).now_or_never().is_none());
    assert!((&mut second).now_or_never().is_none());

    shared.0.set();

    assert!(first.now_or_never().is_some() && second.now_or_never().is_some());
    assert!(Wait::new(shared).now_or_never().is_some());
}

#[test]
fn a_waiter_has_one_place_and_leaves_it_when_dropped() {
    let shared = Shared::default();
    let mut wait = Wait::new(shared.clone());
    for _ in 0..3 {
        assert!((&mut wait).now_or_never().is_none());
    }
    let places = || crate::control::lock(&shared.0.waiters).wakers.len();
    assert_eq!(places(), 1);

    drop(wait);

    assert_eq!(places(), 0);
}

#[test]
fn setting_from_another_thread_wakes() {
    for _ in 0..200 {
        let shared = Shared::default();
        let wait = Wait::new(shared.clone());
        let setter = std::thread::spawn(move || shared.0.set());
        futures::executor::block_on(wait);
        setter.join().expect("it does not panic");
    }
}
