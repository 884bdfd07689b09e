//! Joins the queue, the engine and the handler into one consumer.

use std::sync::Arc;

use mayhem_bridge::BlockingPool;
use mayhem_core::{Consumer, Control};
use mayhem_local::LocalBroker;
use mayhem_smol::SmolClock;
use vendor_sdk::{Client, SubscribeOptions};

use super::chaos::Chaos;
use super::events::Announcer;
use super::fatal::Fatal;
use super::handler::RequestHandler;
use super::named::Named;
use crate::config::Config;
use crate::exit::Failure;
use crate::fleet::Fleet;
use crate::journal::Journal;
use crate::queue;
use mayhem_core::Inline;

use super::cancelled::Cancelled;
use super::stored::Stored;

/// What a consumer is joined from.
pub(super) struct Ingredients<'a> {
    pub(super) config: &'a Arc<Config>,
    pub(super) fleet: &'a Fleet,
    pub(super) journal: &'a Journal,
    pub(super) client: &'a Client,
    pub(super) pool: &'a BlockingPool,
    pub(super) announcer: &'a Announcer,
    pub(super) chaos: Option<Chaos>,
}

/// A consumer that has not begun, and what watches it.
pub(super) struct Assembly {
    pub(super) consumer: Consumer<Inline<RequestHandler>>,
    pub(super) control: Control,
    pub(super) cancelled: Cancelled,
    pub(super) fatal: Fatal,
}

impl Assembly {
    pub(super) async fn new(ingredients: Ingredients<'_>) -> Result<Self, Failure> {
        let Ingredients {
            config,
            fleet,
            journal,
            client,
            pool,
            announcer,
            chaos,
        } = ingredients;
        let source = &config.source;
        let options = SubscribeOptions {
            lease: source.lease,
            max_outstanding: source.max_in_flight,
            takeover: true,
            ..SubscribeOptions::new(queue::TOPIC)
        };
        let (client, own_pool) = (client.clone(), pool.clone());
        let subscribe =
            move |_: &_| LocalBroker::open(client, queue::SUBSCRIPTION, options, own_pool);
        let broker = pool
            .run_async("subscribe", subscribe)
            .await
            .map_err(|error| Failure::failed(error.to_string()))?
            .map_err(|error| Failure::store(error.to_string()))?;
        let fatal = Fatal::new();
        let stored = Stored::new(journal.clone(), pool.clone(), fatal.clone());
        let handler = RequestHandler::new(
            Arc::clone(config),
            fleet.clone(),
            stored,
            announcer.clone(),
            chaos,
        );
        let cancelled = handler.cancelled();
        let observer = announcer.clone();
        let consumer = Consumer::builder()
            .broker(Named::new(broker, announcer.clone()))
            .clock(SmolClock)
            .handler(handler)
            .concurrency(source.max_in_flight)
            .prefetch(source.max_in_flight)
            .lease(source.lease)
            .lease_max(source.max_lease)
            .max_deliveries(source.max_deliveries)
            // A message that was begun may have an open intent, which only the handler can
            // conclude: it starts always, and decides itself that an attempt was the last.
            .poison_after(u32::MAX)
            .seed(fastrand::u64(..))
            .on_event(move |event| observer.engine(event))
            .build();
        let control = consumer.control();
        Ok(Self {
            consumer,
            control,
            cancelled,
            fatal,
        })
    }
}
