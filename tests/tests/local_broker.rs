//! What the durable local broker promises beyond the port's contract.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use futures::executor::block_on;
use mayhem_bridge::{JobContext, inventory};
use mayhem_core::{Broker, BrokerError, Extension, LeaseToken, Outcome, Pull, Settle, Settlement};
use mayhem_local::LocalBroker;
use mayhem_sim::contract::World;
use mayhem_tests::broker_worlds::{self, TOPIC};
use vendor_sdk::{Options, Stats};

const MINUTE: Duration = Duration::from_secs(60);

/// The world, and a broker on it.
struct Local {
    // First: it goes before what it stands on.
    broker: LocalBroker,
    world: broker_worlds::Local<2>,
}

impl Local {
    fn new(lease: Duration, options: Options) -> Self {
        let world = broker_worlds::Local::new(lease, options);
        Self {
            broker: world.subscribe(),
            world,
        }
    }

    fn open(lease: Duration) -> Self {
        Self::new(lease, Options::default())
    }
}

#[test]
fn a_lease_that_is_no_token_of_ours_is_gone_and_its_neighbours_are_not() {
    let local = Local::open(MINUTE);
    local.world.publish(b"message");
    block_on(async {
        let received = local
            .broker
            .receive(Pull::Next { count_max: 1 })
            .await
            .unwrap()
            .remove(0);
        let id = received.message.id;
        let leases = [
            "nonsense".into(),
            received.message.lease,
            LeaseToken::from("-1-2"),
        ];
        let extensions = leases.clone().map(|lease| Extension {
            id: id.clone(),
            lease,
            duration: MINUTE,
        });
        let extended = local.broker.extend(extensions.into()).await.unwrap();
        assert_eq!(extended, [Outcome::Gone, Outcome::Done, Outcome::Gone]);
        let settlements = leases.map(|lease| Settlement {
            id: id.clone(),
            lease,
            settle: Settle::Ack,
        });
        let settled = local.broker.settle(settlements.into()).await.unwrap();
        assert_eq!(settled, [Outcome::Gone, Outcome::Done, Outcome::Gone]);
    });
}

#[test]
fn a_close_leaves_no_message_leased_that_was_not_returned() {
    let local = Local::open(MINUTE);
    for number in 0..50 {
        local.world.publish(&[number]);
    }
    let returned = block_on(async {
        let mut returned = local
            .broker
            .receive(Pull::Next { count_max: 1 })
            .await
            .unwrap()
            .len();
        loop {
            let batch = local.broker.receive(Pull::Close).await.unwrap();
            if batch.is_empty() {
                break returned;
            }
            returned += batch.len();
        }
    });
    let leased = returned as u64;
    let stats = local.world.client.stats(TOPIC).unwrap();
    assert_eq!(
        stats,
        Stats {
            leased,
            ready: 50 - leased,
            ..Stats::default()
        }
    );
}

#[test]
fn a_receive_that_waits_while_another_closes_learns_of_the_end() {
    let local = Local::open(MINUTE);
    block_on(async {
        let waiting = local.broker.receive(Pull::Next { count_max: 1 });
        // Polled in this order, so that the first waits before the second begins.
        let (next, close) = futures::join!(waiting, local.broker.receive(Pull::Close));
        assert!(next.unwrap().is_empty());
        assert!(close.unwrap().is_empty());
    });
}

#[test]
fn a_hold_leases_nothing_more_until_the_next_pull() {
    let local = Local::open(MINUTE);
    block_on(async {
        let mut hold = local.broker.receive(Pull::Hold);
        assert!(futures::poll!(&mut hold).is_pending());
        // Both threads of the pool meet here, so what was queued before has been done.
        let meeting = Arc::new(Barrier::new(2));
        let meet = |_| {
            let meeting = Arc::clone(&meeting);
            let job = move |_: &JobContext| {
                meeting.wait();
            };
            local.world.pool.run_async("meet", job)
        };
        let (one, two) = futures::join!(meet(1), meet(2));
        one.and(two).unwrap();

        local.world.publish(b"later");
        assert!(futures::poll!(&mut hold).is_pending());
        let stats = local.world.client.stats(TOPIC).unwrap();
        assert_eq!((stats.ready, stats.leased), (1, 0));

        drop(hold);
        let next = local.broker.receive(Pull::Next { count_max: 1 });
        assert_eq!(next.await.unwrap().len(), 1);
    });
}

#[test]
fn a_close_frees_a_callback_that_waits_for_room() {
    // Leases of a millisecond run out unread, so the SDK delivers more than there is room for.
    let local = Local::open(Duration::from_millis(1));
    for number in 0..64 {
        local.world.publish(&[number]);
    }
    let delivered = || {
        let browsed = local.world.client.browse(TOPIC).expect("read");
        browsed
            .iter()
            .map(|message| message.deliveries)
            .sum::<u32>()
    };
    while delivered() < 80 {
        std::thread::yield_now();
    }
    // It comes back at all: the callbacks that it waits for wait for the room that it makes.
    block_on(local.broker.receive(Pull::Close)).unwrap();
    assert!(
        block_on(local.broker.receive(Pull::Close))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_latched_file_is_a_permanent_error_of_every_call() {
    let options = Options {
        bytes_max: Some(256 << 10),
        ..Options::default()
    };
    let local = Local::new(MINUTE, options);
    local.world.publish(b"message");
    block_on(async {
        let held = local
            .broker
            .receive(Pull::Next { count_max: 1 })
            .await
            .unwrap()
            .remove(0);
        local
            .world
            .client
            .publish(TOPIC, vec![vec![0; 300 << 10].into()])
            .unwrap_err();
        for _ in 0..2 {
            let error = local
                .broker
                .receive(Pull::Next { count_max: 1 })
                .await
                .unwrap_err();
            assert!(matches!(error, BrokerError::Permanent(_)), "{error:?}");
            let (id, lease) = (held.message.id.clone(), held.message.lease.clone());
            let settlement = Settlement {
                id,
                lease,
                settle: Settle::Ack,
            };
            let error = local.broker.settle(vec![settlement]).await.unwrap_err();
            let BrokerError::Permanent(cause) = &error else {
                panic!("{error:?}")
            };
            assert!(
                cause.to_string().contains("queue"),
                "it names the file: {cause}"
            );
        }
        let error = local.broker.receive(Pull::Close).await.unwrap_err();
        assert!(matches!(error, BrokerError::Permanent(_)), "{error:?}");
    });
}

#[test]
fn a_pool_that_is_shut_down_is_a_permanent_error() {
    let local = Local::open(MINUTE);
    local.world.publish(b"message");
    block_on(async {
        let held = local
            .broker
            .receive(Pull::Next { count_max: 1 })
            .await
            .unwrap()
            .remove(0);
        assert!(local.world.pool.shutdown(MINUTE).is_clean());
        let settlement = Settlement {
            id: held.message.id,
            lease: held.message.lease,
            settle: Settle::Ack,
        };
        let error = local.broker.settle(vec![settlement]).await.unwrap_err();
        assert!(matches!(error, BrokerError::Permanent(_)), "{error:?}");
    });
}

#[test]
fn every_thread_of_the_sdk_is_listed_with_its_owner() {
    let local = Local::new(MINUTE, Options::default());
    if cfg!(target_os = "linux") {
        let is_listed = |name: &str| {
            let threads = inventory();
            let mut found = threads.iter().filter(|thread| thread.name == name);
            found.any(|thread| thread.owner == "vendor-sdk" && thread.age().is_some())
        };
        // A thread takes its name itself, when it starts.
        for name in ["sdk-store", "sdk-contract-pu"] {
            while !is_listed(name) {
                std::thread::yield_now();
            }
        }
    }
    drop(local);
}
