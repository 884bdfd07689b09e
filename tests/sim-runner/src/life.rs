//! One simulated life: consumers come, stop, crash and go until every message has its fate.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use futures::future::Either;
use mayhem_core::{Consumer, Control, Delivery, Event, Execution, Failure, Instant, Phase, Report};
use mayhem_sim::{
    Checker, Dice, Fate, Faults, Hang, Hazards, Promises, SimBroker, SimClock, SimStore, Simulation,
};

use crate::apart::{apart, together};
use crate::batches::{Handlers, Mark};
use crate::handler::{Play, PollsLeft};
use crate::hooks::add_hooks;
use crate::kills::Kills;
use crate::output::say;
use crate::settings::{Ending, Settings};
use crate::stopper::{Stopper, Told};
use crate::totals::Tally;

/// What is asked of a life beyond what the dice decide.
#[derive(Clone, Copy, Debug, Default)]
pub struct Life {
    /// Whether its handlers ack, now and then, without having done anything: must be found out.
    pub has_canary: bool,
    /// How many messages, in place of a draw.
    pub messages: Option<u64>,
    /// Has the first consumer stop at this event, in place of a draw.
    pub stop_at_event: Option<u64>,
    /// Has the first consumer crash before this poll, in place of a draw.
    pub crash_at_poll: Option<u64>,
    /// Whether the last events and facts are printed.
    pub is_told: bool,
}

/// Lives one life in `sim`.
///
/// # Errors
///
/// The promise that was broken, or where it hangs.
pub fn live(sim: &Simulation, life: Life) -> Result<Tally, Hang> {
    let settings = Arc::new(Settings::draw(sim, life.messages));
    if life.is_told {
        say(format_args!("{settings:#?}"));
    }
    sim.set_hazards(settings.hazards.clone());
    let broker = SimBroker::new(sim, settings.broker.clone());
    let store = SimStore::new(sim, settings.store.clone());
    for number in 0..settings.messages {
        let mut payload = number.to_le_bytes().to_vec();
        payload.resize(settings.features.payload_bytes(&sim.dice()), 0);
        broker.publish(payload);
    }
    broker.finish();
    let checker = Checker::new(sim, &broker);
    let saved = store.clone();
    checker.before_ack(move |id| saved.is_durable(id.as_str()));
    let mut stage = Stage {
        sim,
        life,
        clock: sim.clock(),
        dice: sim.dice(),
        broker,
        store,
        checker,
        kills: Kills::new(settings.features.kills),
        settings,
        told: Told::default(),
        tally: Tally::default(),
    };
    let outcome = stage.perform();
    if life.is_told {
        stage.tell();
    }
    outcome.map(|()| stage.tally())
}

struct Stage<'a> {
    sim: &'a Simulation,
    life: Life,
    clock: SimClock,
    dice: Dice,
    broker: SimBroker,
    store: SimStore,
    checker: Checker,
    settings: Arc<Settings>,
    kills: Kills,
    told: Told,
    tally: Tally,
}

/// How a consumer's life came to its end.
enum Ended {
    Reported(Report),
    Crashed,
    Endless,
}

impl Stage<'_> {
    fn perform(&mut self) -> Result<(), Hang> {
        for round in 0..ROUNDS_MAX {
            self.broker.reopen();
            let is_over = self.perform_round(round)?;
            if is_over || self.broker.is_drained() {
                break;
            }
            if round >= self.settings.unrest {
                // What goes wrong comes to an end, so that the rest has to.
                self.calm();
            }
            if round + 1 == ROUNDS_MAX {
                self.sim.violate("progress", "the backlog is never drained");
            }
        }
        if self.settings.broker.faults.permanent_from.is_none() {
            self.check_fates();
        }
        self.verdict()
    }

    /// One consumer's life; whether nothing can follow it.
    fn perform_round(&mut self, round: u64) -> Result<bool, Hang> {
        let promises = self.settings.promises(&self.dice, round);
        let ending = match self.life.stop_at_event {
            Some(event) if round == 0 => Ending::StopAtEvent(event),
            _ if round == 0 && self.life.crash_at_poll.is_some() => {
                Ending::Crash(self.life.crash_at_poll.unwrap_or(0))
            }
            _ => self.settings.ending(&self.dice, round),
        };
        if self.life.is_told {
            say(format_args!("life {round}: {ending:?}, {promises:?}"));
        }
        self.tally.lives += 1;
        let ended = self.perform_with(round, promises, ending)?;
        self.verdict()?;
        match ended {
            Ended::Reported(report) => {
                self.checker.end(&report);
                self.tally.add_report(&report.totals);
                self.tally.add_hooks(&report.hooks);
                Ok(matches!(report.error, Some(Failure::Broker(_))))
            }
            Ended::Crashed => {
                self.tally.crashes += 1;
                self.tally.kills += u64::from(self.kills.revive());
                self.checker.crashed();
                if self.dice.choose("the process lives on", 2) == 1 {
                    // The handlers that are tasks must not.
                    self.sim.run(self.clock.sleep(self.settings.lease))?;
                    self.verdict()?;
                }
                self.sim.crash();
                self.store.crash();
                Ok(false)
            }
            Ended::Endless => {
                self.sim.violate("progress", "a consumer has no end");
                Ok(true)
            }
        }
    }

    fn perform_with(
        &mut self,
        round: u64,
        promises: Promises,
        ending: Ending,
    ) -> Result<Ended, Hang> {
        let events = match ending {
            Ending::StopAtEvent(event)
            | Ending::Drained {
                events_max: Some(event),
            } => Some((event, self.settings.plan(&self.dice))),
            _ => None,
        };
        let mut stopper = Stopper {
            stop: events,
            panic: match ending {
                Ending::ObserverPanics(event) => Some(event),
                _ => None,
            },
            checker: self.checker.clone(),
            told: Arc::clone(&self.told),
            is_told: self.life.is_told,
        };
        let control = Arc::new(Mutex::new(None));
        let told = Arc::clone(&control);
        let mut observer = self.checker.observer();
        let draining = Arc::new(OnceLock::new());
        let (clock, drained) = (self.clock.clone(), Arc::clone(&draining));
        let builder = Consumer::builder()
            .broker(self.broker.clone())
            .clock(self.clock.clone())
            .concurrency(promises.concurrency)
            .prefetch(promises.prefetch)
            .lease(promises.lease)
            .lease_max(promises.lease_max)
            .max_deliveries(promises.max_deliveries)
            .poison_after(promises.poison_after)
            .nack_delay_min(promises.nack_delay_min)
            .failure_plan(promises.failure_plan)
            .backoff(promises.backoff)
            .seed(self.dice.choose("seed of the consumer", 1 << 32))
            .on_event(move |event| {
                observer(event);
                if matches!(event, Event::Phase(Phase::Draining)) {
                    // Ignored: it is told once.
                    let _ = drained.set(Mark::now(&clock));
                }
                stopper.see(event, &told);
            });
        let features = &self.settings.features;
        let judged = (&self.dice, &self.checker);
        let builder = features.build(builder, promises.lease, judged);
        let world = (&self.dice, &self.clock, &self.checker);
        let builder = add_hooks(builder, features.hooks, world);
        let play = Play {
            clock: self.clock.clone(),
            dice: self.dice.clone(),
            store: self.store.clone(),
            checker: self.checker.clone(),
            settings: Arc::clone(&self.settings),
            kills: self.kills.clone(),
            has_canary: self.life.has_canary,
            is_decent: self.settings.is_patient(round),
            broken: Arc::default(),
        };
        let broken = Arc::clone(&play.broken);
        let play = Arc::new(Handlers::new(play, draining));
        let ended = if self.dice.choose("spawned handlers", 2) == 0 {
            let handler = async |delivery: &Delivery| play.handle(delivery).await;
            self.run(builder.handler(handler).build(), &control, promises, ending)
        } else {
            let consumer = builder.spawned_handler(self.sim.spawner(), move |delivery| {
                let (play, delivery) = (Arc::clone(&play), delivery.clone());
                async move { play.handle(&delivery).await }.boxed()
            });
            self.run(consumer.build(), &control, promises, ending)
        };
        if let Some((invariant, detail)) = broken.get() {
            self.sim.violate(invariant, *detail);
        }
        ended
    }

    fn run<E: Execution>(
        &mut self,
        consumer: Consumer<E>,
        slot: &Mutex<Option<Control>>,
        promises: Promises,
        ending: Ending,
    ) -> Result<Ended, Hang> {
        let control = consumer.control();
        *slot.lock().expect("nobody panics with it") = Some(control.clone());
        self.checker.begin(self.sim, &control, promises);
        let stops = match ending {
            Ending::Stops(count) => count,
            _ => 0,
        };
        self.tally.stops += u64::from(stops > 0 || matches!(ending, Ending::StopAtEvent(_)));
        let polls = PollsLeft::new(match ending {
            Ending::Crash(poll) => poll,
            _ => u64::MAX,
        });
        let features = &self.settings.features;
        let world = (&self.dice, &self.clock, &self.checker);
        let change = features.change(world, &control);
        // Woken by its own timers only, or with everything else.
        let is_apart = self.dice.choose("script apart", 2) == 1;
        let stop = async {
            for _ in 0..stops {
                let pause = self.dice.duration("time to the stop", 30 * SECOND);
                self.clock.sleep(pause).await;
                let plan = self.settings.plan(&self.dice);
                self.checker.stopped(&plan);
                control.stop(plan);
            }
        };
        let script = futures::future::join(change, stop).map(drop);
        let run = consumer.run();
        let mut run = pin!(match is_apart {
            true => Either::Left(apart(run, script)),
            false => Either::Right(together(run, script)),
        });
        let both = poll_fn(|cx| {
            if !polls.take() {
                return Poll::Ready(Ended::Crashed);
            }
            match run.as_mut().poll(cx) {
                _ if self.kills.is_dying(cx) => Poll::Ready(Ended::Crashed),
                ended => ended.map(Ended::Reported),
            }
        });
        let horizon = mayhem_core::Clock::now(&self.clock) + HORIZON;
        match self.sim.run_until(horizon, both) {
            Err(Hang::Endless { .. }) => Ok(Ended::Endless),
            ended => ended,
        }
    }

    fn calm(&self) {
        self.broker.set_faults(Faults {
            permanent_from: self.settings.broker.faults.permanent_from,
            ..Faults::default()
        });
        self.sim.set_hazards(Hazards {
            schedule: self.settings.hazards.schedule,
            ..Hazards::default()
        });
    }

    /// Every message ends as acked, or as a dead letter for a reason that a handler gave.
    fn check_fates(&self) {
        for id in self.broker.ids() {
            match self.broker.truth(&id).fate {
                Fate::Acked => {}
                Fate::Dead { reason } if reason.contains("planned") => {}
                Fate::Dead { reason } if reason.contains("simulated") => {}
                Fate::Dead { reason } if reason.contains("timed out") => {}
                // A handler that had no branch to blame.
                Fate::Dead { reason }
                    if reason.contains("no success")
                        && self.settings.features.policy.is_raced() => {}
                Fate::Dead { reason } if reason.contains("poison") => {}
                fate => self.sim.violate("nothing lost", format!("{id}: {fate:?}")),
            }
        }
    }

    fn verdict(&self) -> Result<(), Hang> {
        self.checker
            .violation()
            .map_or(Ok(()), |violation| Err(Hang::Violated(violation)))
    }

    fn tally(mut self) -> Tally {
        let tally = &mut self.tally;
        self.broker.visit_facts(|fact| tally.add_fact(fact));
        self.tally.messages = self.settings.messages;
        self.tally.polls = self.sim.polls();
        self.tally.elapsed = mayhem_core::Clock::now(&self.clock) - Instant::ZERO;
        self.tally.hits = self.dice.hits();
        let mut told = self.told.lock().expect("nobody panics with it");
        for (name, count) in std::mem::take(&mut *told) {
            *self.tally.told.entry(name).or_default() += count;
        }
        drop(told);
        self.tally.honest = u64::from(self.settings.is_honest);
        self.tally.fingerprint = self.sim.fingerprint();
        self.tally
    }

    fn tell(&self) {
        for fact in self.broker.facts() {
            say(format_args!("{:?} {fact}", fact.at - Instant::ZERO));
        }
    }
}

/// More consumers than any backlog needs.
const ROUNDS_MAX: u64 = 100;

/// Far more virtual time than any life needs.
const HORIZON: Duration = Duration::from_secs(100 * 3_600);

const SECOND: Duration = Duration::from_secs(1);
