//! The fan-out of a life's handlers, and what it must come to: a model of each policy.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mayhem_core::{BranchError, Delivery, FanOut, Verdict};
use mayhem_sim::Dice;

/// What a fan-out needs of its branches.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Policy {
    All,
    BestEffort,
    Any,
    Quorum,
}

/// What one branch has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    /// It is running, or was dropped.
    Nowhere,
    Done,
    /// It failed, or panicked.
    Failed(Option<Duration>),
    PutOff(Duration),
    Dead,
}

/// What the branches of one fan-out have come to, in their order.
#[derive(Debug)]
struct Branches(Mutex<[Came; 3]>);

/// Notes what a branch comes to, however it ends.
struct Noted<'a> {
    branches: &'a Branches,
    index: usize,
}

impl Policy {
    pub(crate) fn draw(dice: &Dice) -> Self {
        dice.pick("swarm: policy", &POLICIES)
    }

    /// Whether some branches may be enough.
    pub(crate) fn is_raced(self) -> bool {
        matches!(self, Self::Any | Self::Quorum | Self::BestEffort)
    }

    /// Runs three branches; the last is optional where all are needed.
    ///
    /// # Errors
    ///
    /// What is wrong with what it came to.
    pub(crate) async fn run(
        self,
        delivery: &Delivery,
        restart: impl Future<Output = Result<(), BranchError>>,
        record: impl Future<Output = Result<(), BranchError>>,
        notify: impl Future<Output = Result<(), BranchError>>,
    ) -> Result<Verdict, String> {
        let came = Branches(Mutex::new([Came::Nowhere; 3]));
        let branches = FanOut::new(delivery)
            .branch("restart", came.note(0, restart))
            .branch("record", came.note(1, record));
        let notify = came.note(2, notify);
        let (verdict, dropped) = match self {
            Self::All => (
                branches.optional("notify", notify).join().await.verdict(),
                0,
            ),
            Self::BestEffort => {
                let joined = branches.optional("notify", notify).best_effort().await;
                (joined.verdict(), 0)
            }
            Self::Any => {
                let raced = branches.branch("notify", notify).any().await;
                (raced.verdict(), raced.dropped().count())
            }
            Self::Quorum => {
                let raced = branches.branch("notify", notify).quorum(2).await;
                (raced.verdict(), raced.dropped().count())
            }
        };
        let came = *came.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = self.verdict(&came);
        let left = came.iter().filter(|it| **it == Came::Nowhere).count();
        let is_right = match (&wanted, &verdict) {
            (Verdict::Dead(_), Verdict::Dead(_)) => true,
            (wanted, verdict) => wanted == verdict,
        };
        if is_right && left == dropped {
            return Ok(verdict);
        }
        Err(format!(
            "{self:?} of {came:?} is {verdict:?} with {dropped} dropped, not {wanted:?}"
        ))
    }

    /// What it has to come to.
    fn verdict(self, came: &[Came; 3]) -> Verdict {
        let needed = match self {
            Self::BestEffort => return Verdict::Ack,
            Self::All => return verdict_of_all(&came[..2]),
            Self::Any => 1,
            Self::Quorum => 2,
        };
        let done = came.iter().filter(|it| **it == Came::Done).count();
        if done >= needed {
            return Verdict::Ack;
        }
        // When each may be asked again, the earliest first; at once where it was left open.
        let mut again: Vec<Option<Duration>> = Vec::new();
        let mut was_attempted = false;
        for branch in came {
            match branch {
                Came::Failed(after) => again.push(*after),
                Came::PutOff(after) => again.push(Some(*after)),
                Came::Nowhere | Came::Done | Came::Dead => {}
            }
            was_attempted |= matches!(branch, Came::Failed(_));
        }
        again.sort_unstable();
        match again.get(needed - done - 1) {
            None => Verdict::Dead(String::new()),
            Some(Some(after)) if !was_attempted => Verdict::Postpone { after: *after },
            Some(after) => Verdict::Retry { after: *after },
        }
    }
}

/// The strongest failure counts, and of delays the longest.
fn verdict_of_all(came: &[Came]) -> Verdict {
    let mut verdict = Verdict::Ack;
    for branch in came {
        verdict = match (verdict, branch) {
            (Verdict::Dead(reason), _) => Verdict::Dead(reason),
            (_, Came::Dead) => Verdict::Dead(String::new()),
            (Verdict::Retry { after }, Came::Failed(other)) => Verdict::Retry {
                after: after.max(*other),
            },
            (Verdict::Retry { after }, _) => Verdict::Retry { after },
            (_, Came::Failed(after)) => Verdict::Retry { after: *after },
            (Verdict::Postpone { after }, Came::PutOff(other)) => Verdict::Postpone {
                after: after.max(*other),
            },
            (_, Came::PutOff(after)) => Verdict::Postpone { after: *after },
            (verdict, Came::Done | Came::Nowhere) => verdict,
        };
    }
    verdict
}

impl Branches {
    async fn note(
        &self,
        index: usize,
        branch: impl Future<Output = Result<(), BranchError>>,
    ) -> Result<(), BranchError> {
        let noted = Noted {
            branches: self,
            index,
        };
        let ended = branch.await;
        noted.came(match &ended {
            Ok(()) => Came::Done,
            Err(BranchError::Postpone { after, .. }) => Came::PutOff(*after),
            Err(BranchError::Dead { .. }) => Came::Dead,
            Err(BranchError::Retry { after, .. }) => Came::Failed(*after),
            Err(_) => Came::Failed(None),
        });
        ended
    }
}

impl Noted<'_> {
    fn came(&self, came: Came) {
        let branches = self.branches.0.lock();
        branches.unwrap_or_else(PoisonError::into_inner)[self.index] = came;
    }
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.came(Came::Failed(None));
        }
    }
}

/// Most lives need all branches.
const POLICIES: [Policy; 8] = [
    Policy::All,
    Policy::All,
    Policy::All,
    Policy::All,
    Policy::All,
    Policy::BestEffort,
    Policy::Any,
    Policy::Quorum,
];
