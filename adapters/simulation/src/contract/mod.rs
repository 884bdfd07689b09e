//! The duties of core's [`Broker`] port, as checks that any adapter can be put through.
//!
//! Implement [`World`] for your broker, a real one on this machine or a fake one, and call
//! [`run_all`], or have [`broker_contract!`](crate::broker_contract) make a test of each. A check
//! is a plain function that panics when a duty is not done; its name is the duty. Checks of what
//! the [`Caps`](mayhem_core::Caps) or the [`World`] say that the broker cannot do pass at once.
//!
//! Where time must pass, a check waits for the delivery that it brings and looks at the clock then:
//! nobody sleeps, and under a [`SimClock`](crate::SimClock) nothing lasts. In real time a machine
//! is too slow for some checks when it needs longer than [`World::SHORT_LEASE`] for one call.
//!
//! # Examples
//!
//! The simulated broker, put through it:
//!
//! ```
//! use std::any::Any;
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use futures::future::LocalBoxFuture;
//! use mayhem_core::{Broker, Clock, MessageId};
//! use mayhem_sim::{Fate, SimBroker, SimSettings, Simulation, contract};
//!
//! struct Simulated(Simulation, SimBroker);
//!
//! impl contract::World for Simulated {
//!     const IS_ORDERED: bool = true;
//!
//!     fn open(lease: Duration) -> Self {
//!         let simulation = Simulation::new(1);
//!         let settings = SimSettings { lease, ..SimSettings::default() };
//!         let broker = SimBroker::new(&simulation, settings);
//!         Self(simulation, broker)
//!     }
//!
//!     fn connect(&self) -> Arc<dyn Broker> {
//!         self.1.reopen();
//!         Arc::new(self.1.clone())
//!     }
//!
//!     fn restart(&mut self) {
//!         // It has no process that could end.
//!     }
//!
//!     fn publish(&self, payload: &[u8]) -> MessageId {
//!         self.1.publish(payload)
//!     }
//!
//!     fn dead_reason(&self, id: &MessageId) -> Option<String> {
//!         match self.1.truth(id).fate {
//!             Fate::Dead { reason } => Some(reason),
//!             _ => None,
//!         }
//!     }
//!
//!     fn stall(&self) -> Option<Box<dyn Any>> {
//!         None
//!     }
//!
//!     fn clock(&self) -> Arc<dyn Clock> {
//!         Arc::new(self.0.clock())
//!     }
//!
//!     fn block_on(&self, future: LocalBoxFuture<'_, ()>) {
//!         self.0.run(future).expect("nothing hangs");
//!     }
//! }
//!
//! contract::run_all::<Simulated>();
//! ```

mod closing;
mod consuming;
mod history;
mod leasing;
mod receiving;
mod reconnecting;
mod settling;
mod talk;

use std::any::Any;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::time::Duration;

use futures::future::LocalBoxFuture;
use mayhem_core::{Broker, Clock, MessageId};

/// A broker under test, with the means to look at it from outside.
///
/// The methods that are not async may block: a check calls them between two polls.
pub trait World: Sized {
    /// A lease that a check waits for: as short as the broker allows, and long enough for some
    /// calls on a machine that is busy. A second by default.
    const SHORT_LEASE: Duration = Duration::from_secs(1);

    /// Whether one connection gets messages in the order in which they were published, as long as
    /// none comes back. Not, by default.
    const IS_ORDERED: bool = false;

    /// A broker without messages, whose leases last `lease` from the receipt, with room for at
    /// least 32 at a time.
    fn open(lease: Duration) -> Self;

    /// Connects, as a process does that begins to consume: one after another, after the former has
    /// closed or was dropped, and also two at a time.
    fn connect(&self) -> Arc<dyn Broker>;

    /// Ends the broker and begins it again, as a crash or an upgrade of the real one does: what it
    /// had confirmed is there, and the connections may have failed for good.
    fn restart(&mut self);

    /// Publishes a message; it can be received when this returns.
    fn publish(&self, payload: &[u8]) -> MessageId;

    /// Why a message is a dead letter; `None` when it is none.
    fn dead_reason(&self, id: &MessageId) -> Option<String>;

    /// Keeps the broker from answering until the value is dropped; `None` when that cannot be had.
    fn stall(&self) -> Option<Box<dyn Any>>;

    /// The clock of the deadlines.
    fn clock(&self) -> Arc<dyn Clock>;

    /// Drives a future to its end, on the executor that the adapter is made for.
    fn block_on(&self, future: LocalBoxFuture<'_, ()>);
}

/// One duty of a broker.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// The duty, which is also the name of the function in this module.
    pub name: &'static str,
    /// Opens worlds of its own and panics when the duty is not done in one.
    pub run: fn(),
}

/// Runs every check, one after the other.
///
/// # Panics
///
/// At the end, with the names of the checks that failed; each has said by then what was wrong.
///
/// # Blocking
///
/// As long as it takes: some checks wait for leases of [`World::SHORT_LEASE`] to run out.
pub fn run_all<W: World>() {
    let checks = checks::<W>();
    let failed: Vec<&str> = checks
        .iter()
        .filter(|check| catch_unwind(check.run).is_err())
        .map(|check| check.name)
        .collect();
    let (count, total) = (failed.len(), checks.len());
    assert!(failed.is_empty(), "{count} of {total} failed: {failed:?}");
}

macro_rules! checks {
    ($dollar:tt $($module:ident: $($name:ident)*;)*) => {
        $(pub use self::$module::{$($name),*};)*

        /// Every check.
        pub fn checks<W: World>() -> Vec<Check> {
            vec![$($(Check { name: stringify!($name), run: $name::<W> }),*),*]
        }

        /// Makes a test of each [`contract`](crate::contract) check, for one
        /// [`World`](crate::contract::World).
        ///
        /// # Examples
        ///
        /// ```
        /// # use std::any::Any;
        /// # use std::sync::Arc;
        /// # use std::time::Duration;
        /// # use futures::future::LocalBoxFuture;
        /// # use mayhem_core::{Broker, Clock, MessageId};
        /// # struct Simulated;
        /// # impl mayhem_sim::contract::World for Simulated {
        /// #     fn open(_lease: Duration) -> Self { Self }
        /// #     fn connect(&self) -> Arc<dyn Broker> { unreachable!() }
        /// #     fn restart(&mut self) {}
        /// #     fn publish(&self, _payload: &[u8]) -> MessageId { unreachable!() }
        /// #     fn dead_reason(&self, _id: &MessageId) -> Option<String> { None }
        /// #     fn stall(&self) -> Option<Box<dyn Any>> { None }
        /// #     fn clock(&self) -> Arc<dyn Clock> { unreachable!() }
        /// #     fn block_on(&self, _future: LocalBoxFuture<'_, ()>) {}
        /// # }
        /// mod simulated {
        ///     mayhem_sim::broker_contract!(super::Simulated);
        /// }
        /// ```
        #[macro_export]
        macro_rules! broker_contract {
            ($dollar world:ty) => {
                $($(
                    #[test]
                    fn $name() {
                        $dollar crate::contract::$name::<$dollar world>();
                    }
                )*)*
            };
        }
    };
}

checks! {
    $
    receiving:
        a_message_is_received_under_a_lease
        every_payload_comes_as_it_was_published
        what_was_published_before_the_first_connection_is_received
        a_batch_is_never_larger_than_was_asked_for
        many_messages_come_once_each
        two_connections_share_the_messages
        messages_come_in_the_order_of_their_publishing
        an_unsettled_message_holds_up_nobody_else
        a_dropped_receive_loses_nothing;
    settling:
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
        a_dropped_settle_takes_effect;
    leasing:
        a_lease_that_runs_out_is_delivered_again
        an_extension_keeps_the_message_from_redelivery
        a_lease_is_extended_again_and_again
        a_batch_of_extensions_holds_each_of_its_leases;
    closing:
        a_close_returns_what_is_leased_and_then_nothing
        a_receive_after_the_close_finds_the_end
        a_close_after_a_dropped_receive_loses_nothing
        a_hold_loses_nothing_and_ends_with_the_next_pull
        a_close_ends_a_hold
        a_close_cuts_no_settlement_off
        a_dropped_close_loses_nothing;
    reconnecting:
        a_new_connection_goes_on_where_a_closed_one_stopped
        what_a_dropped_connection_held_is_delivered_again
        a_restart_after_a_third_loses_nothing
        a_restart_at_half_time_loses_nothing
        a_restart_before_and_after_all_work_changes_nothing;
    consuming:
        no_call_blocks_the_thread_that_polls_it
        two_consumers_in_turn_end_every_message_once;
    history:
        a_random_history_agrees_with_the_model;
}
