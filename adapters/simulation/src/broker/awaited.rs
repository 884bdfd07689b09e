//! Who waits for the answer to a call, and what it is.

use mayhem_core::Outcome;

use super::shared::Shared;

/// The calls whose answers somebody waits for: few at a time.
#[derive(Default)]
pub(super) struct Awaited {
    answers: Vec<(u64, Option<Vec<Outcome>>)>,
    latest: u64,
}

/// Somebody who waits for an answer, until it is dropped.
pub(super) struct Waiter<'a> {
    shared: &'a Shared,
    pub(super) call: u64,
}

impl Awaited {
    /// Whether somebody waits for the answer to a call.
    pub(super) fn is_awaited(&self, call: u64) -> bool {
        self.answers.iter().any(|(other, _)| *other == call)
    }

    /// A call was answered; its caller may have given up.
    pub(super) fn answer(&mut self, call: u64, outcomes: Vec<Outcome>) {
        if let Some((_, answer)) = self.answers.iter_mut().find(|it| it.0 == call) {
            *answer = Some(outcomes);
        }
    }
}

impl<'a> Waiter<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        let call = shared.wire.with(|wire| {
            let awaited = &mut wire.awaited;
            awaited.latest += 1;
            awaited.answers.push((awaited.latest, None));
            awaited.latest
        });
        Self { shared, call }
    }

    /// Takes the answer, if there is one.
    pub(super) fn take(&self) -> Option<Vec<Outcome>> {
        self.shared.wire.with(|wire| {
            let mut answers = wire.awaited.answers.iter_mut();
            let answer = answers.find(|(call, _)| *call == self.call);
            answer.and_then(|(_, outcomes)| outcomes.take())
        })
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.shared.wire.with(|wire| {
            let answers = &mut wire.awaited.answers;
            answers.retain(|(call, _)| *call != self.call);
        });
    }
}
