//! Answers: what the broker's answer to a batch comes to for each member, a part at a time.
//!
//! A batch may be as large as the broker allows, and a poll may not take as long as that.

use std::collections::VecDeque;

use super::delivering::End;
use super::engine::Engine;
use crate::lease::Member;
use crate::{Instant, Outcome};

/// Answers that have not been applied to all of their batch, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Answers {
    queue: VecDeque<Answered>,
}

/// A batch, and what has come of it.
#[derive(Debug)]
pub(super) struct Answered {
    members: Vec<Member>,
    came: Came,
    /// How many members it has been applied to.
    count: usize,
}

/// What has come of a batch.
#[derive(Debug)]
pub(super) enum Came {
    /// An outcome for each settlement.
    Settled(Vec<Outcome>),
    /// Nothing: the settlements are sent again.
    Unsettled,
    /// Nothing, for good.
    Unsettleable,
    /// An outcome for each extension, which were sent then.
    Extended(Instant, Vec<Outcome>),
    /// Nothing: the leases wait for another call.
    Unextended,
}

impl Answers {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

impl Engine<'_> {
    /// Applies an answer, at once to as many members as one pass may look at.
    pub(super) fn answered(&mut self, now: Instant, members: Vec<Member>, came: Came) {
        self.answers.queue.push_back(Answered {
            members,
            came,
            count: 0,
        });
        if self.answers.queue.len() == 1 {
            self.poll_answers(now);
        }
    }

    /// Goes on with the first answer; returns whether there is one.
    pub(super) fn poll_answers(&mut self, now: Instant) -> bool {
        let Some(mut answered) = self.answers.queue.pop_front() else {
            return false;
        };
        let part = answered.count..answered.members.len().min(answered.count + MEMBERS_MAX);
        let members = &answered.members[part.clone()];
        match &answered.came {
            Came::Settled(outcomes) => self.apply_settled(now, members, &outcomes[part.clone()]),
            Came::Unsettled => {
                for member in members {
                    self.send_again(now, member.handle);
                }
            }
            Came::Unsettleable => {
                for member in members {
                    self.end(member.handle, End::Abandoned);
                }
            }
            Came::Extended(sent, outcomes) => {
                self.apply_extended(members, *sent, &outcomes[part.clone()]);
            }
            Came::Unextended => {
                self.table.extend_failed(members);
                self.release_all_held(members);
            }
        }
        self.work += part.len();
        answered.count = part.end;
        if part.end < answered.members.len() {
            self.answers.queue.push_front(answered);
        } else {
            self.calls.keep(answered.members);
        }
        true
    }

    fn apply_settled(&mut self, now: Instant, members: &[Member], outcomes: &[Outcome]) {
        for (member, outcome) in members.iter().zip(outcomes) {
            match outcome {
                Outcome::Done => self.end(member.handle, End::Settled),
                Outcome::Gone => self.refused(now, *member),
            }
        }
    }

    fn apply_extended(&mut self, members: &[Member], sent: Instant, outcomes: &[Outcome]) {
        let lost = self.table.extended(members, sent, outcomes);
        for (member, outcome) in members.iter().zip(outcomes) {
            if *outcome == Outcome::Done {
                self.prolonged(*member);
            }
        }
        for handle in lost {
            self.lost(handle);
        }
        self.release_all_held(members);
    }

    fn release_all_held(&mut self, members: &[Member]) {
        for member in members {
            self.release_held(member.handle);
        }
    }
}

/// How many members one pass looks at.
const MEMBERS_MAX: usize = 256;
