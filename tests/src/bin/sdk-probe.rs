//! A process that uses the vendor SDK, for the tests that kill it or take its disk away.
//!
//! `sdk-probe VERB PATH [COUNT]`. Each fact is a line on stdout, written at once and only when it
//! is true; so whoever kills the process knows what it had been promised.
//!
//! - `publish`: for each line on stdin publishes COUNT messages; `published ID` for each.
//! - `work`: publishes and acks for ever; `published ID`, `delivered ID`, `settling ID` and
//!   `acked ID`.
//! - `once`: publishes one message COUNT times, closes; `published ID`, `error TEXT`, `closed`.
//! - `space`: what happens on a disk that fills up; see the code.
//! - `open`: opens and closes; `opened` or `error TEXT`.

use std::fs::{self, File};
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;

use vendor_sdk::{Client, Error, Leased, Options, Outcome, Settle, SubscribeOptions};

const TOPIC: &str = "probe";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [verb, path, rest @ ..] = arguments.as_slice() else {
        return ExitCode::from(2);
    };
    let path = Path::new(path);
    let count = rest
        .first()
        .and_then(|count| count.parse().ok())
        .unwrap_or(1);
    let outcome = match verb.as_str() {
        "publish" => publish(path, count),
        "work" => work(path),
        "once" => once(path, count),
        "space" => space(path),
        "open" => open(path).map(|_| say("opened", "")),
        _ => return ExitCode::from(2),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say("error", &error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn open(path: &Path) -> Result<Client, Error> {
    Client::open(path, Options::default())
}

/// One line in one write: a pipe takes it whole or not at all.
fn say(fact: &str, of: &str) {
    let line = format!("{fact} {of}\n");
    io::stdout()
        .lock()
        .write_all(line.as_bytes())
        .expect("somebody reads");
}

fn publish(path: &Path, count: usize) -> Result<(), Error> {
    let mut client = None;
    for line in io::stdin().lock().lines() {
        line.expect("stdin is text");
        // Opened at the first line, so that several processes can be told to open at once.
        let client = match &client {
            Some(client) => client,
            None => client.insert(open(path)?),
        };
        let messages = (0..count)
            .map(|number| number.to_string().into_bytes().into())
            .collect();
        for id in client.publish(TOPIC, messages)? {
            say("published", &id.to_string());
        }
    }
    Ok(())
}

fn work(path: &Path) -> Result<(), Error> {
    let client = open(path)?;
    let acker = client.clone();
    let options = SubscribeOptions {
        takeover: true,
        max_outstanding: 16,
        ..SubscribeOptions::new(TOPIC)
    };
    let _subscription = client.subscribe("worker", options, move |leased: Leased| {
        let id = leased.id.to_string();
        say("delivered", &id);
        // Some come back first, so that every kind of write is under way at a kill.
        let nacks = leased.attempt == 1 && leased.id.as_bytes()[15].is_multiple_of(4);
        let settle = if nacks {
            Settle::Nack {
                after: std::time::Duration::from_millis(1),
                counted: true,
            }
        } else {
            say("settling", &id);
            Settle::Ack
        };
        let outcomes = acker.settle(vec![(leased.token, settle)]).expect("settled");
        if !nacks && outcomes == [Outcome::Done] {
            say("acked", &id);
        }
    })?;
    let publishers: Vec<_> = (0..2)
        .map(|number| {
            let client = client.clone();
            thread::spawn(move || -> Result<(), Error> {
                loop {
                    for id in client.publish(TOPIC, vec![vec![number].into(); 3])? {
                        say("published", &id.to_string());
                    }
                    // Acks keep up, so that a kill meets both.
                    while client.stats(TOPIC)?.ready > 64 {
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    for publisher in publishers {
        publisher.join().expect("no panic")?;
    }
    Ok(())
}

fn once(path: &Path, count: usize) -> Result<(), Error> {
    let client = open(path)?;
    for _ in 0..count {
        for id in client.publish(TOPIC, vec![b"message".to_vec().into()])? {
            say("published", &id.to_string());
        }
    }
    say("closing", "");
    client.close()?;
    say("closed", "");
    Ok(())
}

fn space(path: &Path) -> Result<(), Error> {
    let folder = path.parent().expect("a folder");
    let client = open(path)?;
    for id in client.publish(TOPIC, vec![b"kept".to_vec().into(); 10])? {
        say("published", &id.to_string());
    }
    let filler = fill(folder);
    if let Err(error) = open(&folder.join("other")) {
        say("other", &error.to_string());
    }
    let error = loop {
        match client.publish(TOPIC, vec![vec![7; 4096].into()]) {
            Ok(ids) => say("published", &ids[0].to_string()),
            Err(error) => break error,
        }
    };
    say("full", &error.to_string());
    fs::remove_file(filler).expect("the filler is there");
    let latched = client.publish(TOPIC, vec![b"refused".to_vec().into()]);
    say(
        "latched",
        &latched
            .expect_err("it acknowledges nothing any more")
            .to_string(),
    );
    drop(client);

    let client = open(path)?;
    for message in client.browse(TOPIC)? {
        say("kept", &message.id.to_string());
    }
    client.publish(TOPIC, vec![b"again".to_vec().into()])?;
    client.close()?;
    let remount = Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(folder)
        .status();
    assert!(remount.expect("mount runs").success());
    if let Err(error) = open(path) {
        say("read-only", &error.to_string());
    }
    Ok(())
}

/// Fills the file system to the last byte.
fn fill(folder: &Path) -> PathBuf {
    let path = folder.join("filler");
    let mut filler = File::create(&path).expect("a filler");
    for size in [1 << 16, 1 << 12, 1 << 6, 1] {
        let bytes = vec![0; size];
        // Until the disk says no.
        while filler.write_all(&bytes).is_ok() {}
    }
    path
}
