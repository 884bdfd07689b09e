//! The threads of a subscription: one that leases, several that call back.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use rusqlite::Connection;

use crate::gate::{Begin, Gate};
use crate::queue::LeaseRequest;
use crate::reading::{Outlook, data_version};
use crate::shared::Shared;
use crate::{Error, Leased, Settle, SubscribeOptions};

/// Starts the threads of a subscription that the store knows as reading topic number `topic`.
///
/// Fewer callback threads than asked for are fine; none is an error.
pub(crate) fn start(
    shared: &Arc<Shared>,
    gate: &Arc<Gate>,
    name: &str,
    topic: i64,
    options: &SubscribeOptions,
    callback: Arc<dyn Fn(Leased) + Send + Sync>,
) -> Result<(), Error> {
    let reader = shared.store.connect_reader()?;
    let (queue, messages) = bounded(options.max_outstanding);
    let mut started = 0;
    let mut refusal = None;
    for number in 0..options.threads {
        let caller = Caller {
            shared: Arc::clone(shared),
            gate: Arc::clone(gate),
            messages: messages.clone(),
            callback: Arc::clone(&callback),
        };
        match spawn(gate, format!("sdk-{name}-{number}"), move || caller.run()) {
            Ok(()) => started += 1,
            Err(error) => refusal = Some(error),
        }
    }
    gate.forgo_threads(options.threads - started);
    let puller = Puller {
        shared: Arc::clone(shared),
        gate: Arc::clone(gate),
        queue,
        reader,
        request: LeaseRequest {
            topic,
            count_max: 0,
            lease: options.lease,
            expiries_max: options.expiries_max,
        },
    };
    let refusal = match refusal {
        Some(error) if started == 0 => Some(error),
        _ => spawn(gate, format!("sdk-{name}-pull"), move || puller.run()).err(),
    };
    let Some(error) = refusal else { return Ok(()) };
    // The puller's thread; without it the queue has no sender, and the callers end.
    gate.forgo_threads(1);
    let path = shared.store.path().to_owned();
    Err(Error::Refused {
        path,
        detail: format!("no thread could be started: {error}"),
    })
}

fn spawn(
    gate: &Arc<Gate>,
    name: String,
    run: impl FnOnce() + Send + 'static,
) -> std::io::Result<()> {
    let ending = Arc::clone(gate);
    let handle = thread::Builder::new().name(name).spawn(move || {
        ending.begin_thread();
        let _end = ThreadEnd(ending);
        run();
    })?;
    gate.add_thread(handle);
    Ok(())
}

/// Counts the thread out, whatever way it ends.
struct ThreadEnd(Arc<Gate>);

impl Drop for ThreadEnd {
    fn drop(&mut self) {
        self.0.end_thread();
    }
}

/// The thread that leases.
struct Puller {
    shared: Arc<Shared>,
    gate: Arc<Gate>,
    queue: Sender<Leased>,
    reader: Connection,
    request: LeaseRequest,
}

impl Puller {
    fn run(self) {
        match self.pull_until_stopped() {
            // The handle was closed under the subscription: an end in order.
            Ok(()) | Err(Error::Closed { .. }) => self.gate.stop(),
            Err(error) => {
                // Said the same way whether this thread met the error or heard of it.
                let error = self.shared.store.check().err().unwrap_or(error);
                log::error!("subscription ended: {error}");
                self.gate.fail(error);
            }
        }
    }

    fn pull_until_stopped(&self) -> Result<(), Error> {
        let store = &self.shared.store;
        let times = store.times();
        let mut outlook = Outlook::unknown();
        let mut version = None;
        while let Some(room) = self.gate.begin_pull(times.boot()) {
            if room > 0 && outlook.is_due(times) {
                let leased = self.lease(room);
                self.gate.end_pull();
                match leased {
                    Ok(left) => outlook = left,
                    Err(error) if error.is_retryable() => log::warn!("leasing: {error}"),
                    Err(error) => return Err(error),
                }
            } else {
                self.gate.end_pull();
            }
            // Another thread's error ends the subscription too.
            store.check()?;
            if self
                .gate
                .wait_for_news(outlook.is_due(times), times.boot(), POLL)
            {
                outlook.ready = true;
                continue;
            }
            match self.look(&mut version) {
                Ok(Some(seen)) => outlook = seen,
                Ok(None) => {}
                // Another process opens or closes the file just now; the next look will do.
                Err(error) if error.is_retryable() => log::debug!("looking: {error}"),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Looks at the file, if anybody has changed it since `version`.
    fn look(&self, version: &mut Option<i64>) -> Result<Option<Outlook>, Error> {
        let sorted = |error: rusqlite::Error| self.shared.store.sort(Duration::ZERO, &error);
        let current = data_version(&self.reader).map_err(sorted)?;
        if *version == Some(current) {
            return Ok(None);
        }
        let outlook = Outlook::read(&self.reader, self.request.topic).map_err(sorted)?;
        *version = Some(current);
        Ok(Some(outlook))
    }

    /// Leases up to `room` messages and hands them to the callback threads.
    fn lease(&self, room: usize) -> Result<Outlook, Error> {
        let request = LeaseRequest {
            count_max: room,
            ..self.request
        };
        let reply = self.shared.store.write(move |queue| queue.lease(request))?;
        self.gate.admit(&reply.batch);
        for leased in reply.batch {
            // Never waits: the queue has as many places as there may be queued messages.
            // Ignored: the callback threads end after this one, unless one panicked for good.
            let _ = self.queue.send(leased);
        }
        Ok(reply.outlook)
    }
}

/// A thread that calls back.
struct Caller {
    shared: Arc<Shared>,
    gate: Arc<Gate>,
    messages: Receiver<Leased>,
    callback: Arc<dyn Fn(Leased) + Send + Sync>,
}

impl Caller {
    fn run(self) {
        let mut handed_back = Vec::new();
        // Ends when the puller has dropped its side and the queue is empty.
        while let Ok(leased) = self.messages.recv() {
            let now = self.shared.store.times().boot();
            match self.gate.begin_callback(leased.token, now) {
                Begin::Run => self.call(leased),
                Begin::Expired => {}
                Begin::Stopped => handed_back.push(leased.token),
            }
        }
        let nack = Settle::Nack {
            after: Duration::ZERO,
            counted: false,
        };
        self.settle(
            handed_back
                .into_iter()
                .map(|token| (token, nack.clone()))
                .collect(),
        );
    }

    fn call(&self, leased: Leased) {
        let (id, token) = (leased.id, leased.token);
        // Unwind safety: the callback is shared between threads, so its owner has to expect any
        // state in it; nothing of ours is touched.
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| (self.callback)(leased)));
        let panicked = outcome.is_err();
        if let Err(payload) = outcome {
            // Forgotten: the payload's drop is user code and may panic again.
            std::mem::forget(payload);
            log::error!("{id}: the callback panicked; nacked");
            self.settle(vec![(
                token,
                Settle::Nack {
                    after: PANIC_DELAY,
                    counted: true,
                },
            )]);
        }
        self.gate.end_callback(panicked);
    }

    /// Settles as well as it can: a failure leaves the leases to run out.
    fn settle(&self, batch: Vec<(crate::Token, Settle)>) {
        if batch.is_empty() {
            return;
        }
        if let Err(error) = self.shared.settle(batch) {
            log::debug!("handing back: {error}");
        }
    }
}

/// How often the file is looked at for what other processes did. Their publishes are to be seen
/// within 50 ms; a look takes some microseconds.
const POLL: Duration = Duration::from_millis(20);
/// How long a message whose callback panicked waits: a callback that always panics must not spin.
const PANIC_DELAY: Duration = Duration::from_secs(1);
