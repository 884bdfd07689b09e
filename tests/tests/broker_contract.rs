//! The broker port's contract, unchanged on the durable local broker and on the simulated one.

use mayhem_sim::contract::{self, World};
use mayhem_tests::broker_worlds::{Local, SEED, Simulated};

macro_rules! broker_contract {
    ($($module:ident: $world:ty;)*) => {
        $(
            mod $module {
                use super::*;

                broker_contract! { @tests $world;
                    a_message_is_received_under_a_lease
                    every_payload_comes_as_it_was_published
                    what_was_published_before_the_first_connection_is_received
                    a_batch_is_never_larger_than_was_asked_for
                    many_messages_come_once_each
                    two_connections_share_the_messages
                    messages_come_in_the_order_of_their_publishing
                    an_unsettled_message_holds_up_nobody_else
                    a_dropped_receive_loses_nothing
                    an_ack_is_final
                    a_second_settlement_is_gone
                    settlements_that_race_take_effect_once
                    a_nacked_message_is_delivered_again
                    a_delayed_nack_is_not_delivered_early
                    only_counted_nacks_are_attempts
                    a_dead_message_goes_to_the_dead_letters
                    outcomes_come_in_the_order_of_the_batch
                    a_full_batch_is_settled
                    a_lease_that_was_never_given_is_gone
                    a_dropped_settle_takes_effect
                    a_lease_that_runs_out_is_delivered_again
                    an_extension_keeps_the_message_from_redelivery
                    a_lease_is_extended_again_and_again
                    a_batch_of_extensions_holds_each_of_its_leases
                    a_close_returns_what_is_leased_and_then_nothing
                    a_receive_after_the_close_finds_the_end
                    a_close_after_a_dropped_receive_loses_nothing
                    a_hold_loses_nothing_and_ends_with_the_next_pull
                    a_close_ends_a_hold
                    a_close_cuts_no_settlement_off
                    a_dropped_close_loses_nothing
                    a_new_connection_goes_on_where_a_closed_one_stopped
                    what_a_dropped_connection_held_is_delivered_again
                    a_restart_after_a_third_loses_nothing
                    a_restart_at_half_time_loses_nothing
                    a_restart_before_and_after_all_work_changes_nothing
                    no_call_blocks_the_thread_that_polls_it
                    two_consumers_in_turn_end_every_message_once
                    a_random_history_agrees_with_the_model
                }
            }
        )*
    };
    (@tests $world:ty; $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                contract::$name::<$world>();
            }
        )*

        #[test]
        fn every_check_of_the_contract_is_run() {
            let names: Vec<_> = contract::checks::<$world>().iter().map(|it| it.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

broker_contract! {
    durable: Local<2>;
    simulated: Simulated;
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
