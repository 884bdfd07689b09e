//! That the broker port's contract notices: each broker here neglects one duty, and is caught.

use std::any::Any;
use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, LocalBoxFuture};
use mayhem_core::{
    Broker, BrokerError, Caps, Clock, Extension, Instant, LeaseToken, MessageId, Outcome, Pull,
    Received, Settle, Settlement,
};
use mayhem_sim::Faults;
use mayhem_sim::contract::{World, checks};
use mayhem_tests::broker_worlds::Simulated;

type Answer<'a, T> = BoxFuture<'a, Result<Vec<T>, BrokerError>>;

/// What a broker of this file does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Nothing,
    TakesTextForPayload,
    ReturnsTwiceTheBatch,
    LosesWhatADroppedReceiveTook,
    ReversesTheOrder,
    EndsForNoReason,
    RenamesEachDelivery,
    DeliversALeaseTwice,
    OvershootsTheBatch,
    TellsNoAttempts,
    TellsALateDeadline,
    TellsAnEarlyDeadline,
    EndsLeasesEarly,
    KeepsOneToken,
    SettlesOnlyTheFirst,
    ReversesTheOutcomes,
    AnswersBeforeItKnows,
    ForgetsAcks,
    SwallowsAcks,
    IgnoresTheDelay,
    CountsEveryNack,
    DropsTheReason,
    SaysDoneWhenGone,
    FailsWhenGone,
    IgnoresExtensions,
    ExtendsOnlyTheFirst,
    SettlesLate,
    DropsWhatACloseFound,
    StaysOpen,
    FailsAfterTheClose,
    WaitsAfterTheClose,
    LosesAllAtARestart,
}

const EVERY_WRONG: &[Wrong] = &[
    Wrong::TakesTextForPayload,
    Wrong::ReturnsTwiceTheBatch,
    Wrong::LosesWhatADroppedReceiveTook,
    Wrong::ReversesTheOrder,
    Wrong::EndsForNoReason,
    Wrong::RenamesEachDelivery,
    Wrong::DeliversALeaseTwice,
    Wrong::OvershootsTheBatch,
    Wrong::TellsNoAttempts,
    Wrong::TellsALateDeadline,
    Wrong::TellsAnEarlyDeadline,
    Wrong::EndsLeasesEarly,
    Wrong::KeepsOneToken,
    Wrong::SettlesOnlyTheFirst,
    Wrong::ReversesTheOutcomes,
    Wrong::AnswersBeforeItKnows,
    Wrong::ForgetsAcks,
    Wrong::SwallowsAcks,
    Wrong::IgnoresTheDelay,
    Wrong::CountsEveryNack,
    Wrong::DropsTheReason,
    Wrong::SaysDoneWhenGone,
    Wrong::FailsWhenGone,
    Wrong::IgnoresExtensions,
    Wrong::ExtendsOnlyTheFirst,
    Wrong::SettlesLate,
    Wrong::DropsWhatACloseFound,
    Wrong::StaysOpen,
    Wrong::FailsAfterTheClose,
    Wrong::WaitsAfterTheClose,
    Wrong::LosesAllAtARestart,
];

thread_local! {
    /// What the worlds that are opened next on this thread do wrong.
    static WRONG: Cell<Wrong> = const { Cell::new(Wrong::Nothing) };
}

#[test]
fn a_broker_that_does_nothing_wrong_is_not_accused() {
    assert_eq!(accusers(Wrong::Nothing), [""; 0]);
}

#[test]
fn every_broker_that_neglects_a_duty_is_caught() {
    // The checks' panics are what is looked for here.
    std::panic::set_hook(Box::new(|_| {}));
    let mut uncaught = Vec::new();
    let mut caught = Vec::new();
    let mut silent: BTreeSet<&str> = checks::<Broken>().iter().map(|check| check.name).collect();
    for wrong in EVERY_WRONG {
        let accusers = accusers(*wrong);
        silent.retain(|check| !accusers.contains(check));
        match accusers.first() {
            Some(first) => caught.push(format!("{wrong:?}: {first}, {} in all", accusers.len())),
            None => uncaught.push(wrong),
        }
    }
    let _ = std::panic::take_hook();
    println!("{}", caught.join("\n"));
    assert!(uncaught.is_empty(), "not caught: {uncaught:?}");
    assert!(silent.is_empty(), "find fault with nobody: {silent:?}");
}

/// The checks that find fault with a broker that does this wrong.
fn accusers(wrong: Wrong) -> Vec<&'static str> {
    WRONG.set(wrong);
    let accusers = checks::<Broken>()
        .into_iter()
        .filter(|check| catch_unwind(check.run).is_err())
        .map(|check| check.name);
    accusers.collect()
}

/// The simulated broker behind a connection that does something wrong.
struct Broken {
    world: Simulated,
    wrong: Wrong,
}

impl World for Broken {
    const IS_ORDERED: bool = true;

    fn open(lease: Duration) -> Self {
        let (world, wrong) = (Simulated::open(lease), WRONG.get());
        let rate = |is_so: Wrong| f64::from(u8::from(wrong == is_so));
        world.broker.set_faults(Faults {
            duplicate: rate(Wrong::DeliversALeaseTwice),
            overshoot: rate(Wrong::OvershootsTheBatch),
            early_expiry: rate(Wrong::EndsLeasesEarly),
            ack_forgotten: rate(Wrong::ForgetsAcks),
            ..Faults::default()
        });
        Self { world, wrong }
    }

    fn connect(&self) -> Arc<dyn Broker> {
        Arc::new(Connection {
            broker: self.world.connect(),
            wrong: self.wrong,
            state: Mutex::default(),
        })
    }

    fn restart(&mut self) {
        if self.wrong == Wrong::LosesAllAtARestart {
            self.world = Simulated::open(Self::SHORT_LEASE);
        } else {
            self.world.restart();
        }
    }

    fn publish(&self, payload: &[u8]) -> MessageId {
        self.world.publish(payload)
    }

    fn dead_reason(&self, id: &MessageId) -> Option<String> {
        self.world.dead_reason(id)
    }

    fn stall(&self) -> Option<Box<dyn Any>> {
        self.world.stall()
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.world.clock()
    }

    fn block_on(&self, future: LocalBoxFuture<'_, ()>) {
        self.world.block_on(future);
    }
}

struct Connection {
    broker: Arc<dyn Broker>,
    wrong: Wrong,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    received: usize,
    is_closed: bool,
    tokens: HashMap<MessageId, LeaseToken>,
    ids: HashMap<MessageId, MessageId>,
}

impl Connection {
    /// What was received as this connection tells it.
    fn tell(&self, mut batch: Vec<Received>) -> Vec<Received> {
        let mut state = self.state.lock().unwrap();
        for received in &mut batch {
            state.received += 1;
            let message = &mut received.message;
            match self.wrong {
                Wrong::TakesTextForPayload => {
                    message.payload = String::from_utf8_lossy(&message.payload)
                        .into_owned()
                        .into();
                }
                Wrong::TellsNoAttempts => message.attempt = 1,
                Wrong::TellsALateDeadline => received.deadline = received.deadline + HOUR,
                Wrong::TellsAnEarlyDeadline => received.deadline = Instant::ZERO,
                Wrong::KeepsOneToken => {
                    let (id, lease) = (message.id.clone(), message.lease.clone());
                    state.tokens.insert(id, lease);
                    message.lease = LeaseToken::from(message.id.as_str());
                }
                Wrong::RenamesEachDelivery => {
                    let name = MessageId::from(format!("{}-{}", message.id, state.received));
                    state.ids.insert(name.clone(), message.id.clone());
                    message.id = name;
                }
                _ => {}
            }
        }
        if self.wrong == Wrong::ReversesTheOrder {
            batch.reverse();
        }
        batch
    }

    /// What the broker itself calls that.
    fn real(&self, id: &MessageId, lease: &LeaseToken) -> (MessageId, LeaseToken) {
        let state = self.state.lock().unwrap();
        let id = state.ids.get(id).unwrap_or(id).clone();
        let lease = state.tokens.get(&id).unwrap_or(lease).clone();
        (id, lease)
    }

    fn answer(
        &self,
        mut outcomes: Vec<Outcome>,
        count: usize,
    ) -> Result<Vec<Outcome>, BrokerError> {
        outcomes.resize(count, Outcome::Done);
        match self.wrong {
            Wrong::ReversesTheOutcomes => outcomes.reverse(),
            Wrong::SaysDoneWhenGone => outcomes.fill(Outcome::Done),
            Wrong::FailsWhenGone if outcomes.contains(&Outcome::Gone) => {
                return Err(BrokerError::Retryable("no such lease".into()));
            }
            _ => {}
        }
        Ok(outcomes)
    }

    async fn next(&self, count_max: usize) -> Result<Vec<Received>, BrokerError> {
        let (received, is_closed) = {
            let state = self.state.lock().unwrap();
            (state.received, state.is_closed)
        };
        match self.wrong {
            Wrong::EndsForNoReason if received == 5 => {
                self.state.lock().unwrap().received += 1;
                return Ok(Vec::new());
            }
            Wrong::FailsAfterTheClose if is_closed => {
                return Err(BrokerError::Permanent("it is closed".into()));
            }
            Wrong::WaitsAfterTheClose if is_closed => std::future::pending().await,
            _ => {}
        }
        let factor = 1 + usize::from(self.wrong == Wrong::ReturnsTwiceTheBatch);
        let pull = Pull::Next {
            count_max: factor * count_max,
        };
        let batch = self.broker.receive(pull).await?;
        if self.wrong == Wrong::LosesWhatADroppedReceiveTook {
            give_way().await;
        }
        Ok(self.tell(batch))
    }

    async fn close(&self) -> Result<Vec<Received>, BrokerError> {
        if self.wrong == Wrong::StaysOpen {
            return Ok(Vec::new());
        }
        self.state.lock().unwrap().is_closed = true;
        let batch = self.broker.receive(Pull::Close).await?;
        if self.wrong == Wrong::DropsWhatACloseFound {
            return Ok(Vec::new());
        }
        Ok(self.tell(batch))
    }
}

impl Broker for Connection {
    fn receive(&self, pull: Pull) -> Answer<'_, Received> {
        match pull {
            Pull::Next { count_max } => self.next(count_max).boxed(),
            Pull::Hold => self.broker.receive(Pull::Hold),
            Pull::Close => self.close().boxed(),
        }
    }

    fn settle(&self, batch: Vec<Settlement>) -> Answer<'_, Outcome> {
        let (count, wrong) = (batch.len(), self.wrong);
        let mut sent = Vec::new();
        for (place, item) in batch.into_iter().enumerate() {
            let (id, lease) = self.real(&item.id, &item.lease);
            let settle = match (wrong, item.settle) {
                (Wrong::SwallowsAcks, Settle::Ack) => continue,
                (Wrong::SettlesOnlyTheFirst, _) if place > 0 => continue,
                (Wrong::IgnoresTheDelay, Settle::Nack { counted, .. }) => Settle::Nack {
                    after: Duration::ZERO,
                    counted,
                },
                (Wrong::CountsEveryNack, Settle::Nack { after, .. }) => Settle::Nack {
                    after,
                    counted: true,
                },
                (Wrong::DropsTheReason, Settle::Dead { .. }) => Settle::Dead {
                    reason: "dead".to_owned(),
                },
                (_, settle) => settle,
            };
            sent.push(Settlement { id, lease, settle });
        }
        async move {
            if wrong == Wrong::SettlesLate {
                give_way().await;
            }
            if sent.is_empty() {
                return self.answer(Vec::new(), count);
            }
            let mut settling = self.broker.settle(sent);
            if wrong == Wrong::AnswersBeforeItKnows {
                let _ = futures::poll!(&mut settling);
                return self.answer(Vec::new(), count);
            }
            self.answer(settling.await?, count)
        }
        .boxed()
    }

    fn extend(&self, batch: Vec<Extension>) -> Answer<'_, Outcome> {
        let count = batch.len();
        let count_sent = match self.wrong {
            Wrong::IgnoresExtensions => 0,
            Wrong::ExtendsOnlyTheFirst => 1,
            _ => count,
        };
        let sent = batch.into_iter().take(count_sent).map(|item| {
            let (id, lease) = self.real(&item.id, &item.lease);
            Extension {
                id,
                lease,
                duration: item.duration,
            }
        });
        let sent: Vec<Extension> = sent.collect();
        async move {
            if sent.is_empty() {
                return self.answer(Vec::new(), count);
            }
            self.answer(self.broker.extend(sent).await?, count)
        }
        .boxed()
    }

    fn caps(&self) -> Caps {
        self.broker.caps()
    }
}

/// Pending once.
async fn give_way() {
    futures::pending!();
}

const HOUR: Duration = Duration::from_secs(3600);
