//! Runs the close hook: once, away from the executor, under no lock.

use crate::BlockingPool;
use crate::inventory::{ThreadKind, announce};
use crate::panic::contain;
use crate::sync::{Arc, Mutex, bug, thread, unique_id};

use super::CloseReason;

/// What to run when a stream stops taking values, and where.
pub(super) struct CloseHook {
    pub(super) run: Run,
    pub(super) place: ClosePlace,
}

pub(super) type Run = Box<dyn FnOnce(CloseReason) + Send>;

pub(super) enum ClosePlace {
    OwnThread,
    Pool(BlockingPool),
}

impl CloseHook {
    /// Sends the hook off.
    pub(super) fn start(self, stream: &Arc<str>, reason: CloseReason) {
        let Self { run, place } = self;
        // Shared with the thread that shall run it: a refused job or a failed spawn drops its
        // closure, and must not drop the hook.
        let errand = Arc::new(Errand {
            stream: Arc::clone(stream),
            reason,
            run: Mutex::new(Some(run)),
        });
        if let ClosePlace::Pool(pool) = place {
            let errand = Arc::clone(&errand);
            let is_accepted = pool.run(ON_CLOSE, move |_| errand.run()).is_ok();
            // Detached: the pool runs it, or names it in its shutdown report.
            if is_accepted || bug("a_refused_close_hook_is_lost") {
                return;
            }
        }
        if let Err(error) = spawn(&errand) {
            log::error!("no thread for the close hook of {stream}, running it here: {error}");
            errand.run();
        }
    }
}

struct Errand {
    stream: Arc<str>,
    reason: CloseReason,
    run: Mutex<Option<Run>>,
}

impl Errand {
    fn run(&self) {
        let run = self.run.lock().take();
        let Some(run) = run else { return };
        if let Err(panic) = contain(move || run(self.reason.clone())) {
            log::error!(
                "the close hook of {} panicked: {}",
                self.stream,
                panic.message()
            );
        }
    }
}

fn spawn(errand: &Arc<Errand>) -> std::io::Result<()> {
    let errand = Arc::clone(errand);
    let name = format!("{}-close", errand.stream);
    let worker = announce(ThreadKind::Closer, name.clone(), Arc::clone(&errand.stream));
    // The handle is dropped: the thread ends by itself, and until then the inventory shows it.
    let spawned = thread::Builder::new().name(name).spawn(move || {
        worker.begin();
        worker.begin_job(unique_id(), ON_CLOSE.into());
        errand.run();
    });
    spawned.map(drop)
}

const ON_CLOSE: &str = "on_close";
