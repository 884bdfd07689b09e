//! Each of the broker's faults, made certain.

use std::time::Duration;

use mayhem_core::{
    Broker, Clock, Extension, Instant, LeaseToken, MessageId, Outcome, Pull, Received, Settle,
    Settlement,
};
use mayhem_sim::{FactKind, Fate, Faults, SimBroker, SimSettings, Simulation};

struct Scene {
    sim: Simulation,
    broker: SimBroker,
}

impl Scene {
    fn new(faults: Faults) -> Self {
        let sim = Simulation::new(1);
        let settings = SimSettings {
            faults,
            ..SimSettings::default()
        };
        let broker = SimBroker::new(&sim, settings);
        Self { sim, broker }
    }

    fn receive(&self, count_max: usize) -> Vec<Received> {
        let call = self.broker.receive(Pull::Next { count_max });
        self.sim.run(call).expect("no hang").expect("no failure")
    }

    fn settle(&self, received: &Received, settle: Settle) -> Vec<Outcome> {
        let (id, lease) = named(received);
        let call = self.broker.settle(vec![Settlement { id, lease, settle }]);
        self.sim.run(call).expect("no hang").expect("no failure")
    }

    fn extend(&self, received: &Received) -> Vec<Outcome> {
        let ((id, lease), duration) = (named(received), Duration::from_secs(60));
        let extension = Extension {
            id,
            lease,
            duration,
        };
        let call = self.broker.extend(vec![extension]);
        self.sim.run(call).expect("no hang").expect("no failure")
    }

    fn has_fact(&self, kind: &FactKind) -> bool {
        self.broker.facts().iter().any(|fact| fact.kind == *kind)
    }
}

fn named(received: &Received) -> (MessageId, LeaseToken) {
    let message = &received.message;
    (message.id.clone(), message.lease.clone())
}

#[test]
fn a_forgotten_ack_is_confirmed_and_delivered_again() {
    let scene = Scene::new(Faults {
        ack_forgotten: 1.0,
        ..Faults::default()
    });
    scene.broker.publish("once");
    let first = scene.receive(1);
    assert_eq!(scene.settle(&first[0], Settle::Ack), [Outcome::Done]);
    assert!(scene.has_fact(&FactKind::AckForgotten));
    assert_eq!(scene.receive(1)[0].message.id, first[0].message.id);
}

#[test]
fn a_refused_item_is_gone_although_its_lease_lives() {
    let scene = Scene::new(Faults {
        item_refused: 1.0,
        ..Faults::default()
    });
    let id = scene.broker.publish("once");
    let first = scene.receive(1);
    assert_eq!(scene.settle(&first[0], Settle::Ack), [Outcome::Gone]);
    assert!(matches!(scene.broker.truth(&id).fate, Fate::Leased { .. }));
}

#[test]
fn a_reset_stream_delivers_all_that_is_leased_once_more() {
    let scene = Scene::new(Faults::default());
    (0..3).for_each(|_| drop(scene.broker.publish("x")));
    assert_eq!(scene.receive(9).len(), 3);
    scene.broker.set_faults(Faults {
        stream_reset: 1.0,
        ..Faults::default()
    });
    let call = scene.broker.receive(Pull::Next { count_max: 9 });
    assert!(scene.sim.run(call).expect("no hang").is_err());
    scene.broker.set_faults(Faults::default());
    assert_eq!(scene.receive(9).len(), 3);
}

#[test]
fn an_overshoot_delivers_more_than_was_asked_for() {
    let scene = Scene::new(Faults {
        overshoot: 1.0,
        ..Faults::default()
    });
    (0..9).for_each(|_| drop(scene.broker.publish("x")));
    assert_eq!(scene.receive(2).len(), 6);
}

#[test]
fn an_extension_after_its_nack_puts_the_next_delivery_off() {
    let scene = Scene::new(Faults {
        late_extend: 1.0,
        ..Faults::default()
    });
    scene.broker.publish("x");
    let first = scene.receive(1);
    let nack = Settle::Nack {
        after: Duration::ZERO,
        counted: false,
    };
    scene.settle(&first[0], nack);
    assert_eq!(scene.extend(&first[0]), [Outcome::Gone]);
    scene.receive(1);
    assert_eq!(
        scene.sim.clock().now() - Instant::ZERO,
        Duration::from_secs(60)
    );
}

#[test]
fn a_request_that_is_duplicated_takes_effect_twice() {
    let scene = Scene::new(Faults {
        request_duplicated: 1.0,
        delay_max: Duration::from_secs(1),
        ..Faults::default()
    });
    scene.broker.publish("x");
    let first = scene.receive(1);
    assert_eq!(scene.settle(&first[0], Settle::Ack), [Outcome::Done]);
    scene.sim.clock().block(Duration::from_secs(2));
    assert!(scene.has_fact(&FactKind::Refused));
}

#[test]
fn a_black_hole_answers_nothing_until_it_ends() {
    let ten = Instant::ZERO + Duration::from_secs(10);
    let scene = Scene::new(Faults {
        black_holes: vec![Instant::ZERO..ten],
        ..Faults::default()
    });
    scene.broker.publish("x");
    scene.receive(1);
    assert_eq!(scene.sim.clock().now(), ten);
}

#[test]
fn calls_are_slowest_in_the_middle_of_a_slow_time() {
    let end = Instant::ZERO + Duration::from_secs(20);
    let scene = Scene::new(Faults {
        slow: Some((Instant::ZERO..end, Duration::from_secs(4))),
        ..Faults::default()
    });
    scene.broker.publish("x");
    let first = scene.receive(1);
    scene.sim.clock().block(Duration::from_secs(10));
    scene.extend(&first[0]);
    let took = scene.sim.clock().now() - Instant::ZERO - Duration::from_secs(10);
    assert_eq!(took, Duration::from_secs(8));
}

#[test]
fn a_nack_that_overtakes_an_extension_is_written_down() {
    let sim = Simulation::new(1);
    let second = Duration::from_secs(1);
    let settings = SimSettings {
        call_latency: second..=second,
        ..SimSettings::default()
    };
    let broker = SimBroker::new(&sim, settings);
    broker.publish("x");
    let receive = broker.receive(Pull::Next { count_max: 1 });
    let first = sim.run(receive).expect("no hang").expect("no failure");
    let ((id, lease), settle) = (
        named(&first[0]),
        Settle::Nack {
            after: second,
            counted: true,
        },
    );
    let extension = Extension {
        id: id.clone(),
        lease: lease.clone(),
        duration: second,
    };
    let both = futures::future::join(
        broker.extend(vec![extension]),
        broker.settle(vec![Settlement { id, lease, settle }]),
    );
    let (extended, settled) = sim.run(both).expect("no hang");
    assert!(extended.is_ok() && settled.is_ok());
    let is_overtaken = |kind: &FactKind| *kind == FactKind::ExtensionOvertaken;
    assert!(broker.facts().iter().any(|fact| is_overtaken(&fact.kind)));
}
