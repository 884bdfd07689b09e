use std::sync::mpsc::channel;
use std::time::Duration;

use jiff::Timestamp;
use tempfile::TempDir;
use vendor_sdk::{Client, Settle, SubscribeOptions};

use super::rows;
use crate::config::Service;
use crate::journal::{HistoryFilter, Outcome};
use crate::queue;
use crate::request::Request;
use crate::target::Target;

/// Has the queue give up everything that it holds.
fn bury_all(client: &Client, count: usize) {
    let (leased, tokens) = channel();
    let options = SubscribeOptions::new(queue::TOPIC);
    let subscription = client
        .subscribe(queue::SUBSCRIPTION, options, move |message| {
            leased.send(message.token).unwrap();
        })
        .unwrap();
    for token in tokens.iter().take(count) {
        let reason = "given up".to_owned();
        client
            .settle(vec![(token, Settle::Dead { reason })])
            .unwrap();
    }
    subscription.cancel();
}

#[test]
fn a_dead_letter_that_no_daemon_has_seen_is_told_as_the_daemon_will_write_it() {
    let folder = TempDir::new().unwrap();
    let service = Service {
        state: folder.path().join("state"),
        grace: Duration::from_secs(1),
        armed: false,
    };
    let target = Target::parse("web-1").unwrap();
    let request = Request::new(target, "test", "me", Timestamp::UNIX_EPOCH).unwrap();
    let client = queue::open(&service).unwrap();
    let payloads = vec![request.payload().into(), b"no request".to_vec().into()];
    client.publish(queue::TOPIC, payloads).unwrap();
    bury_all(&client, 2);
    client.close().unwrap();

    let rows = rows(&service, &HistoryFilter::default()).unwrap();

    let told: Vec<_> = rows
        .iter()
        .map(|row| (row.target.as_deref(), row.outcome, row.detail.as_deref()))
        .collect();
    let detail = Some("dead letter of the queue: given up");
    assert_eq!(
        told,
        [
            (Some("web-1"), Outcome::Failed, detail),
            (None, Outcome::Malformed, detail),
        ]
    );
}
