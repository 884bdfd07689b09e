//! Whether the current thread polls a task for tokio.

use mayhem_bridge::ContextProbe;
use std::task::{Context, Poll, Waker};

use tokio::runtime::Handle;
use tokio::task::coop::{has_budget_remaining, poll_proceed};

/// Lets `mayhem-bridge` see where tokio polls a task: see [`ContextProbe`] for what that does.
///
/// Exact for tasks and for `block_on`, on every runtime of the process, and false where tokio
/// itself allows blocking: in `spawn_blocking`, in `block_in_place`, and on a thread that has only
/// entered a runtime. Inside `tokio::task::unconstrained` a task is not seen. Call it once, at the
/// start; more calls change nothing.
///
/// # Errors
///
/// Hands the probe back if there are 16 executors already.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::{Overflow, Push, callback_stream};
///
/// mayhem_tokio::register_probe().expect("one of 16");
/// let (sink, _stream) = callback_stream("doc").capacity(1).overflow(Overflow::Block).build();
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// runtime.block_on(async {
///     assert_eq!(sink.push(1), Push::Queued);
///     assert_eq!(sink.push(2), Push::WouldDeadlock(2));
/// });
/// ```
pub fn register_probe() -> Result<(), ContextProbe> {
    ContextProbe::new("tokio", is_polling).register()
}

/// tokio gives a poll a budget, and takes it away where blocking is allowed. That there is one
/// shows in that it can be spent; what we spend comes back when the receipts drop.
fn is_polling() -> bool {
    if Handle::try_current().is_err() {
        return false;
    }
    let mut cx = Context::from_waker(Waker::noop());
    let mut receipts = Vec::new();
    while has_budget_remaining() && receipts.len() < BUDGET_MAX {
        match poll_proceed(&mut cx) {
            Poll::Ready(receipt) => receipts.push(receipt),
            Poll::Pending => break,
        }
    }
    let is_polling = !has_budget_remaining();
    // The last first: each puts the budget back to what it was before it.
    while receipts.pop().is_some() {}
    is_polling
}

/// More than a poll's budget, which is a byte (128 in tokio 1.47 to 1.54).
const BUDGET_MAX: usize = 256;

#[cfg(test)]
mod tests;
