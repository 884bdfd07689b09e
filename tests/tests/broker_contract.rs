//! The broker port's contract, unchanged on the durable local broker and on the simulated one.

use mayhem_sim::contract::{self, World};
use mayhem_tests::broker_worlds::{Local, SEED, Simulated};

mod durable {
    mayhem_sim::broker_contract!(super::Local<2>);
}

mod simulated {
    mayhem_sim::broker_contract!(super::Simulated);
}

#[test]
fn the_simulated_broker_keeps_the_contract_whatever_the_seed() {
    for seed in 0..50 {
        SEED.set(seed);
        println!("seed {seed}");
        contract::run_all::<Simulated>();
    }
}

#[test]
fn with_one_callback_thread_the_durable_broker_keeps_the_order() {
    const { assert!(Local::<1>::IS_ORDERED) };
    contract::messages_come_in_the_order_of_their_publishing::<Local<1>>();
}
