//! The demo's publisher: a process of its own, as every requester of the real service is.
//!
//! It publishes at an even pace, prints a line for every request that is durable, and ends after
//! its time or as soon as its standard input closes, so that it never outlives the demo.

use std::io::Read as _;
use std::time::{Duration, Instant};

use fastrand::Rng;
use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;
use vendor_sdk::{Client, Outgoing};

use crate::cli::DemoPublishArgs;
use crate::config::Service;
use crate::exit::Failure;
use crate::output::{Stdout, rfc3339};
use crate::queue;
use crate::request::Request;
use crate::target::Target;

/// Publishes until its time is over or nobody listens any more.
///
/// # Errors
///
/// When a target is malformed or the queue cannot be used.
pub fn run(args: &DemoPublishArgs) -> Result<(), Failure> {
    let targets = args
        .targets
        .iter()
        .map(|name| Target::parse(name))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Failure::usage(format!("demo-publish: {error}")))?;
    let client = queue::open(&Service {
        state: args.state.clone(),
        ..Service::default()
    })?;
    let mut random = Rng::with_seed(args.seed);
    let stdout = Stdout::new();
    let began = Instant::now();
    let mut next = began;
    loop {
        let is_last = next.duration_since(began) >= args.length;
        if is_over_at(next.min(began + args.length)) || is_last || stdout.is_closed() {
            break;
        }
        let Some(target) = random.choice(&targets) else {
            break;
        };
        publish(&client, target, &stdout)?;
        next += args.rate.interval;
    }
    client
        .close()
        .map_err(|error| Failure::store(error.to_string()))
}

fn publish(client: &Client, target: &Target, stdout: &Stdout) -> Result<(), Failure> {
    let request = Request::new(
        target.clone(),
        "the demo wants it",
        "demo",
        Timestamp::now(),
    )
    .map_err(|malformed| Failure::failed(malformed.detail))?;
    let id = request
        .id
        .parse()
        .map_err(|_| Failure::failed("a request's id is not a UUID"))?;
    let outgoing = Outgoing {
        id: Some(id),
        payload: request.payload(),
    };
    client
        .publish(queue::TOPIC, vec![outgoing])
        .map_err(|error| Failure::store(error.to_string()))?;
    let at = rfc3339(Timestamp::now());
    let (id, target) = (&request.id, &request.target);
    stdout.json(&json!({ "event": "published", "id": id, "target": target, "at": at }));
    Ok(())
}

/// Waits for `moment`; true when standard input closed first.
fn is_over_at(moment: Instant) -> bool {
    let stdin = std::io::stdin();
    loop {
        let left = moment.saturating_duration_since(Instant::now());
        let Ok(timeout) = Timespec::try_from(left) else {
            return true;
        };
        let mut watched = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut watched, Some(&timeout)) {
            Ok(0) => return false,
            // Whatever is written there is read away; the end of it is what counts.
            Ok(_) => match std::io::stdin().read(&mut [0; 64]) {
                Ok(0) | Err(_) => return true,
                Ok(_) => {}
            },
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return true,
        }
        if left == Duration::ZERO {
            return false;
        }
    }
}
