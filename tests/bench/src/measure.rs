//! Runs peers in turns and keeps the median, so that what else the machine does meets all of them.

use std::error::Error;
use std::time::Duration;

use alloc_counter::{AllocMode, guard_fn};
use rustix::time::{ClockId, clock_gettime};
use serde::{Serialize, Serializer};

/// What a benchmark may fail with: it is told to a person and ends the program.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// How much work to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// How often each peer runs; the median of it is reported.
    pub(crate) repeats: usize,
    /// Divides the number of messages.
    pub(crate) divisor: u64,
}

impl Effort {
    /// Long enough for figures that can be compared.
    pub(crate) const FULL: Self = Self {
        repeats: 5,
        divisor: 1,
    };

    /// Short: shows that everything still runs.
    pub(crate) const QUICK: Self = Self {
        repeats: 3,
        divisor: 20,
    };

    /// The number of messages where a full run has `full`.
    pub(crate) fn count(self, full: u64) -> u64 {
        (full / self.divisor).max(1)
    }
}

/// One of the things compared.
pub(crate) struct Peer<'run> {
    /// The name in the output; ours is [`OURS`].
    pub(crate) name: &'static str,
    /// Moves so many messages and says what it took.
    pub(crate) run: Box<dyn FnMut(u64) -> Result<Sample, Failure> + 'run>,
}

impl<'run> Peer<'run> {
    /// A peer that takes `run`'s word for the time and did all `n`.
    ///
    /// Its allocations are not counted: that takes a consumer some nanoseconds per message.
    pub(crate) fn timed(
        name: &'static str,
        mut run: impl FnMut(u64) -> Result<Duration, Failure> + 'run,
    ) -> Self {
        let run = Box::new(move |n| {
            let time = guard_fn(AllocMode::Ignore, || run(n))?;
            Ok(Sample { count: n, time })
        });
        Self { name, run }
    }
}

/// What one run of a peer took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// How many messages, calls or extensions.
    pub(crate) count: u64,
    /// Wall or processor time for all of them.
    pub(crate) time: Duration,
}

/// What a value means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Wall nanoseconds per message; less is better.
    NanosPerMessage,
    /// Processor nanoseconds per message; less is better.
    CpuNanosPerMessage,
    /// Wall nanoseconds per call; less is better.
    NanosPerCall,
    /// Processor nanoseconds per lease extension; less is better.
    CpuNanosPerExtension,
    /// Messages per second; more is better.
    MessagesPerSecond,
    /// Wall nanoseconds from a push to the woken consumer; less is better.
    NanosPerWake,
    /// Allocations per message, the message's own apart; less is better.
    AllocationsPerMessage,
    /// Resident bytes per message; less is better.
    BytesPerMessage,
    /// Processor nanoseconds of a poll; less is better.
    NanosPerPoll,
    /// How many times what it is compared with; less is better.
    Times,
    /// Seconds of a processor per second; less is better.
    Cores,
    /// Instructions per message; less is better.
    InstructionsPerMessage,
    /// Calls of the broker; less is better.
    Calls,
    /// Processor milliseconds for all of it; less is better.
    CpuMilliseconds,
}

impl Unit {
    /// The name in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NanosPerMessage => "ns/msg",
            Self::CpuNanosPerMessage => "cpu ns/msg",
            Self::NanosPerCall => "ns/call",
            Self::CpuNanosPerExtension => "cpu ns/extension",
            Self::MessagesPerSecond => "msg/s",
            Self::NanosPerWake => "ns/wake",
            Self::AllocationsPerMessage => "allocs/msg",
            Self::BytesPerMessage => "B/msg",
            Self::NanosPerPoll => "cpu ns/poll",
            Self::Times => "x",
            Self::Cores => "cores",
            Self::InstructionsPerMessage => "instr/msg",
            Self::Calls => "calls",
            Self::CpuMilliseconds => "cpu ms",
        }
    }

    /// Digits after the point that are not noise.
    pub(crate) fn digits(self) -> usize {
        match self {
            Self::AllocationsPerMessage | Self::Cores => 4,
            Self::Times => 2,
            Self::Calls => 0,
            _ => 1,
        }
    }

    /// How many times as good `ours` is as `theirs`.
    pub(crate) fn ratio(self, ours: f64, theirs: f64) -> f64 {
        if self == Self::MessagesPerSecond {
            ours / theirs
        } else {
            theirs / ours
        }
    }

    fn value(self, sample: Sample) -> f64 {
        let count = sample.count.max(1) as f64;
        let seconds = sample.time.as_secs_f64();
        if self == Self::MessagesPerSecond {
            count / seconds
        } else {
            seconds * 1e9 / count
        }
    }
}

/// One line of the output: one peer in one case.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) case: String,
    /// Whose work it was.
    pub(crate) peer: &'static str,
    /// Messages, calls or leases per run.
    pub(crate) n: u64,
    /// The median of the runs.
    pub(crate) value: f64,
    /// What the value means.
    pub(crate) unit: Unit,
    /// The smallest value of a run.
    pub(crate) min: f64,
    /// The largest value of a run.
    pub(crate) max: f64,
    /// The value again where it is nanoseconds per message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) median_ns: Option<f64>,
}

impl Serialize for Unit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Runs `peers` in turns, `n` messages each time, after a short turn each to warm up.
///
/// # Errors
///
/// The first failure of a peer.
pub(crate) fn interleave(
    case: &str,
    n: u64,
    unit: Unit,
    effort: Effort,
    mut peers: Vec<Peer<'_>>,
) -> Result<Vec<Row>, Failure> {
    let peers = peers.iter_mut().map(|peer| {
        let run = |n| (peer.run)(n).map(|sample| unit.value(sample));
        (peer.name, run)
    });
    interleave_values(case, n, unit, effort, peers.collect())
}

/// As [`interleave`], for peers that say the value themselves.
///
/// # Errors
///
/// The first failure of a peer.
pub(crate) fn interleave_values(
    case: &str,
    n: u64,
    unit: Unit,
    effort: Effort,
    mut peers: Vec<(&'static str, impl FnMut(u64) -> Result<f64, Failure>)>,
) -> Result<Vec<Row>, Failure> {
    for (_, run) in &mut peers {
        run((n / 10).max(1))?;
    }
    let mut values = vec![Vec::with_capacity(effort.repeats); peers.len()];
    for _ in 0..effort.repeats {
        for ((_, run), values) in peers.iter_mut().zip(&mut values) {
            values.push(run(n)?);
        }
    }
    let rows = peers.iter().zip(values);
    Ok(rows
        .map(|((peer, _), values)| row(case, peer, n, unit, values))
        .collect())
}

/// Cases of ours alone that one run gives the values of together.
///
/// # Errors
///
/// The first failure of a run.
pub(crate) fn together<const CASES: usize>(
    cases: [(&str, Unit); CASES],
    n: u64,
    effort: Effort,
    run: impl Fn(u64) -> Result<[f64; CASES], Failure>,
) -> Result<Vec<Row>, Failure> {
    let mut columns = [const { Vec::new() }; CASES];
    for _ in 0..effort.repeats {
        for (column, value) in columns.iter_mut().zip(run(n)?) {
            column.push(value);
        }
    }
    let cases = cases.into_iter().zip(columns);
    Ok(cases
        .map(|((case, unit), values)| row(case, OURS, n, unit, values))
        .collect())
}

/// The line for what the runs of one peer gave.
pub(crate) fn row(case: &str, peer: &'static str, n: u64, unit: Unit, mut values: Vec<f64>) -> Row {
    values.sort_by(f64::total_cmp);
    let scale = 10_f64.powi(i32::try_from(unit.digits()).unwrap_or(0));
    let rounded = |value: f64| (value * scale).round() / scale;
    let median = rounded(values[values.len() / 2]);
    Row {
        case: case.to_owned(),
        peer,
        n,
        value: median,
        unit,
        min: rounded(values[0]),
        max: rounded(values[values.len() - 1]),
        median_ns: (unit == Unit::NanosPerMessage).then_some(median),
    }
}

/// What this process has used of the processors so far.
pub(crate) fn processor_time() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    // Neither conversion can fail: the time used is positive, and nanoseconds are below a second.
    let seconds = u64::try_from(used.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(used.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}

/// The name of our own peer in every case.
pub(crate) const OURS: &str = "mayhem";
