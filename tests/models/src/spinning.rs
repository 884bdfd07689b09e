//! Spinning before parking: what comes between the last look and the sleep is not missed.

use std::time::Duration;

use mayhem_bridge::{Portal, PortalBuilder};

use crate::catalog::{Model, models};
use crate::world::{Tally, block_on, check, join, pass_time, spawn};

pub(crate) const MODELS: &[Model] = models![
    a_spinning_driver_hears_of_work,
    a_spinning_waiter_hears_the_outcome,
    a_spinning_wait_loses_no_outcome,
];

fn spinning(turns: u32) -> PortalBuilder {
    Portal::builder().name("model").spin(turns)
}

fn a_spinning_driver_hears_of_work() {
    for turns in [1, 2] {
        check(3, move || {
            let (portal, driver) = spinning(turns).build();
            let submitter = spawn(move || {
                let first = portal.run_coroutine_threadsafe(async { 1 }).unwrap();
                let second = portal.run_coroutine_threadsafe(async { 2 }).unwrap();
                [first, second]
            });
            assert_eq!(block_on(driver).completed, 2);
            let outcomes = join(submitter).map(|handle| handle.wait().unwrap());
            assert_eq!(outcomes, [1, 2]);
        });
    }
}

fn a_spinning_waiter_hears_the_outcome() {
    for turns in [1, 2] {
        check(3, move || {
            let (portal, driver) = spinning(turns).build();
            let caller = spawn(move || portal.call(async { 7 }).unwrap());
            assert_eq!(block_on(driver).completed, 1);
            assert_eq!(join(caller), 7);
        });
    }
}

fn a_spinning_wait_loses_no_outcome() {
    check(3, || {
        let tally = Tally::default();
        let (portal, driver) = spinning(1).build();
        let value = tally.value(7);
        let handle = portal.run_coroutine_threadsafe(async move { value });
        drop(portal);
        let waiter = spawn(move || {
            let handle = handle.unwrap();
            match handle.wait_timeout(Duration::from_secs(1)) {
                Ok(outcome) => outcome.unwrap(),
                Err(handle) => handle.wait().unwrap(),
            }
        });
        let time = spawn(pass_time);
        assert_eq!(block_on(driver).completed, 1);
        let value = join(waiter);
        join(time);
        assert_eq!((value.id, tally.count()), (7, 0));
    });
}
