//! Instructions per message, counted by callgrind: one thread, no contention, bursts of 256.
//!
//! The program runs itself under valgrind, once per peer, and has it count inside one function
//! only.

use std::env;
use std::process::Command;

use super::channels::{
    AsyncChannel, Channel, CrossbeamSync, Crossfire, Flume, Kanal, Ours, TokioMpsc,
    TokioMpscRecvMany,
};
use super::{CAPACITY, Executor};
use crate::measure::{Effort, Failure, OURS, Row, Unit, row};

/// Two words: what a message is when it owns something elsewhere.
type Word = [usize; 2];

/// Messages that are pushed before they are received.
const BURST: u64 = 256;

/// Each peer alone in a process under callgrind.
pub(crate) fn per_message(effort: Effort) -> Result<Vec<Row>, Failure> {
    let bursts = effort.count(400);
    let mut rows = Vec::new();
    for (peer, _) in PEERS {
        let counted = count(peer, bursts)?;
        let value = counted as f64 / (bursts * BURST) as f64;
        rows.push(row(
            "bridge_instructions",
            peer,
            bursts * BURST,
            Unit::InstructionsPerMessage,
            vec![value],
        ));
    }
    Ok(rows)
}

/// What the program does when it is run under callgrind.
///
/// # Errors
///
/// There is no such peer.
pub(crate) fn under_callgrind(peer: &str, bursts: u64) -> Result<(), Failure> {
    let known = PEERS.iter().find(|(name, _)| *name == peer);
    let (_, run) = known.ok_or_else(|| format!("no peer is called {peer}"))?;
    run(bursts)
}

/// Whether valgrind is installed.
pub(crate) fn is_possible() -> bool {
    Command::new("valgrind").arg("--version").output().is_ok()
}

fn count(peer: &str, bursts: u64) -> Result<u64, Failure> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect=*{COUNTED}*"))
        .arg(env::current_exe()?)
        .args(["instructions", "--under-callgrind", peer])
        .args(["--count", &bursts.to_string()])
        .output()
        .map_err(|error| format!("valgrind does not start: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let counted = text.lines().find_map(|line| {
        let (_, number) = line.split_once("Collected : ")?;
        number.trim().parse::<u64>().ok()
    });
    match counted {
        Some(counted) if output.status.success() && counted > 0 => Ok(counted),
        _ => Err(format!("callgrind counted nothing for {peer}: {text}").into()),
    }
}

fn run<C: Channel<Word>>(bursts: u64) -> Result<(), Failure> {
    let (sender, mut receiver) = C::open(CAPACITY);
    let executor = C::executor()?;
    // First in a function that is not counted: buffers grow, threads are noticed.
    bursts_of::<C>(&executor, &sender, &mut receiver, WARM_BURSTS)?;
    counted_bursts::<C>(&executor, &sender, &mut receiver, bursts)?;
    Ok(())
}

/// What callgrind counts, by its name: [`COUNTED`].
#[inline(never)]
fn counted_bursts<C: Channel<Word>>(
    executor: &Executor,
    sender: &C::Sender,
    receiver: &mut C::Receiver,
    bursts: u64,
) -> Result<(), &'static str> {
    bursts_of::<C>(executor, sender, receiver, bursts)
}

/// Pushes a burst, receives it, and again. Its closures bear its name, so it is not the counted
/// function: callgrind would stop counting in them.
#[inline(never)]
fn bursts_of<C: Channel<Word>>(
    executor: &Executor,
    sender: &C::Sender,
    receiver: &mut C::Receiver,
    bursts: u64,
) -> Result<(), &'static str> {
    for _ in 0..bursts {
        (0..BURST as usize).try_for_each(|number| C::send(sender, [number; 2]))?;
        executor.run(C::consume(receiver, BURST));
    }
    Ok(())
}

type Run = fn(u64) -> Result<(), Failure>;

const PEERS: &[(&str, Run)] = &[
    (OURS, run::<Ours>),
    ("tokio_mpsc", run::<TokioMpsc>),
    ("tokio_mpsc_recv_many", run::<TokioMpscRecvMany>),
    ("async_channel", run::<AsyncChannel>),
    ("flume", run::<Flume>),
    ("kanal", run::<Kanal>),
    ("crossfire", run::<Crossfire>),
    ("crossbeam_sync_receiver", run::<CrossbeamSync>),
];

const COUNTED: &str = "counted_bursts";

const WARM_BURSTS: u64 = 8;
