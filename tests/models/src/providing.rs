//! One portal for users who come and go: whoever asks gets a live one, and the last to leave ends
//! it.

use std::sync::Arc;

use mayhem_bridge::{Portal, PortalProvider};

use crate::catalog::{Model, models};
use crate::world::{Tally, block_on, check, join, spawn};

pub(crate) const MODELS: &[Model] = models![
    the_last_user_ends_the_portals_thread,
    who_comes_at_the_end_gets_a_live_portal,
];

/// A provider, and how many drivers were begun.
fn provider() -> (PortalProvider, Tally) {
    let begun = Tally::default();
    let count = begun.clone();
    let builder = Portal::builder().name("shared");
    let provider = PortalProvider::new(builder, move |driver| {
        count.add();
        // Ends only by a close; if none comes, the checker finds this thread asleep.
        let stats = block_on(driver);
        assert_eq!((stats.accepted, stats.outstanding), (stats.completed, 0));
    });
    (provider, begun)
}

fn the_last_user_ends_the_portals_thread() {
    check(3, || {
        let (provider, begun) = provider();
        let portal = provider.portal().unwrap();
        let other = portal.clone();
        let user = spawn(move || drop(other));
        drop(portal);
        join(user);
        assert!(begun.count() <= 1);
    });
}

fn who_comes_at_the_end_gets_a_live_portal() {
    check(2, || {
        let (provider, begun) = provider();
        let provider = Arc::new(provider);
        let use_once = |provider: &PortalProvider, value| {
            let portal = provider.portal().unwrap();
            let handle = portal.run_coroutine_threadsafe(async move { value });
            let handle = handle.expect("a portal just given takes work");
            drop(portal);
            assert_eq!(handle.wait().unwrap(), value);
        };
        let other = spawn({
            let provider = Arc::clone(&provider);
            move || use_once(&provider, 1)
        });
        use_once(&provider, 2);
        join(other);
        assert!((1..=2).contains(&begun.count()));
    });
}
