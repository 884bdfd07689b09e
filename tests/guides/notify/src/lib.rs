//! The file watcher `notify` wrapped: its callbacks as a stream, on any executor.
//!
//! The callback runs on the watcher's only thread, which also serves `watch`, `unwatch` and the
//! watcher's end. So it must never wait, and a change that finds no room is dropped and counted.

use std::path::Path;
use std::sync::mpsc;

use mayhem_bridge::{CallbackStream, Overflow, callback_stream};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};

/// Watches a folder and all below it; dropping the stream ends the watch.
///
/// When `stats().refused` of the stream has grown, changes were missed: look at the folder.
///
/// # Errors
///
/// What the operating system has against it.
///
/// # Blocking
///
/// Until the watcher's thread has answered: call it before the executor runs, or on a pool's
/// thread.
pub fn changes(
    folder: &Path,
    capacity: usize,
) -> notify::Result<CallbackStream<notify::Result<Event>>> {
    let (keep, kept) = mpsc::channel::<RecommendedWatcher>();
    let (sink, stream) = callback_stream("changes")
        .capacity(capacity)
        .overflow(Overflow::DropNewest)
        // The watcher's drop talks to its thread: not on an executor's thread, nor on that one.
        .on_close(move |_| kept.iter().for_each(drop))
        .build();
    let mut watcher = notify::recommended_watcher(move |change| {
        // Ignored: what was dropped is counted. A panic must not unwind into the watcher.
        let _ = sink.guard(|| sink.push(change).is_queued());
    })?;
    watcher.watch(folder, RecursiveMode::Recursive)?;
    // Ignored: the hook waits for it for as long as `keep` lives.
    let _ = keep.send(watcher);
    Ok(stream)
}
