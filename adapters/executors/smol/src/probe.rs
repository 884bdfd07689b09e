//! Whether the current thread polls tasks for smol's global executor.

use mayhem_bridge::ContextProbe;

/// Lets `mayhem-bridge` see the threads of smol's global executor: see [`ContextProbe`] for what
/// that does.
///
/// Those threads, which `smol::spawn` starts, are called `smol-1`, `smol-2`, …, and do nothing but
/// poll; they are recognised by that name. smol tells no more: **not** seen are `smol::block_on`
/// and an `Executor` of your own. Wrap what you run there in
/// [`driving`](mayhem_bridge::driving()), or, for a thread that does nothing else, hold
/// [`register_driver`](mayhem_bridge::register_driver). Call it once, at the start; more calls
/// change nothing.
///
/// # Errors
///
/// Hands the probe back if there are 16 executors already.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::{Overflow, Push, callback_stream, driving};
///
/// mayhem_smol::register_probe().expect("one of 16");
/// let (sink, _stream) = callback_stream("doc").capacity(1).overflow(Overflow::Block).build();
/// assert_eq!(sink.push(1), Push::Queued);
///
/// let elsewhere = sink.clone();
/// let task = smol::spawn(async move { elsewhere.push(2) });
/// assert_eq!(smol::block_on(task), Push::WouldDeadlock(2));
///
/// let executor = smol::LocalExecutor::new();
/// let task = executor.spawn(async move { sink.push(3) });
/// assert_eq!(smol::block_on(driving(executor.run(task))), Push::WouldDeadlock(3));
/// ```
pub fn register_probe() -> Result<(), ContextProbe> {
    ContextProbe::new("smol", is_polling).register()
}

fn is_polling() -> bool {
    let thread = std::thread::current();
    let number = thread.name().and_then(|name| name.strip_prefix("smol-"));
    number.is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests;
