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

/// A batch with an outcome for each of its members.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) members: Vec<Member>,
    pub(super) outcomes: Vec<Outcome>,
    /// When the extensions were sent; `None` of settlements.
    pub(super) sent: Option<Instant>,
    /// How many members it has been applied to.
    pub(super) count: usize,
}

impl Answers {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

impl Engine<'_> {
    /// Applies an answer, at once to as many members as one pass may look at.
    pub(super) fn answered(&mut self, now: Instant, answered: Answered) {
        self.answers.queue.push_back(answered);
        if self.answers.queue.len() == 1 {
            self.poll_answers(now);
        }
    }

    /// Goes on with the first answer; returns whether there is one.
    pub(super) fn poll_answers(&mut self, now: Instant) -> bool {
        let Some(mut answered) = self.answers.queue.pop_front() else {
            return false;
        };
        let begin = answered.count;
        let end = answered.members.len().min(begin + MEMBERS_MAX);
        let (members, outcomes) = (
            &answered.members[begin..end],
            &answered.outcomes[begin..end],
        );
        match answered.sent {
            Some(sent) => self.apply_extended(members, sent, outcomes),
            None => self.apply_settled(now, members, outcomes),
        }
        self.work += end - begin;
        answered.count = end;
        if end < answered.members.len() {
            self.answers.queue.push_front(answered);
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
        for member in members {
            self.release_held(member.handle);
        }
    }
}

/// How many members one pass looks at.
const MEMBERS_MAX: usize = 256;
