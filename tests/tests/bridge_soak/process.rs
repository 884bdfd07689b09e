//! What the operating system says of this process.

use std::fs;
use std::time::Duration;

/// The process at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    /// Seconds since the soak began.
    pub(crate) at: f64,
    pub(crate) threads: usize,
    pub(crate) files: usize,
    pub(crate) memory_kib: usize,
}

pub(crate) fn sample() -> Sample {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let number = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let word = line.and_then(|line| line.split_whitespace().next());
        word.and_then(|word| word.parse().ok())
    };
    Sample {
        at: 0.0,
        threads: number("Threads:").expect("a count of threads"),
        memory_kib: number("VmRSS:").expect("a size in KiB"),
        // One of them is the folder that is being read.
        files: fs::read_dir("/proc/self/fd").expect("Linux has it").count() - 1,
    }
}

/// The process once it has no more threads and files than `before`: those that were joined, and
/// those of close hooks, have a last step to go.
pub(crate) fn at_rest(before: Sample) -> Sample {
    let mut looks: u64 = 0;
    loop {
        let now = sample();
        if (now.threads, now.files) == (before.threads, before.files) {
            return now;
        }
        looks += 1;
        if looks.is_multiple_of(LOOKS_PER_MINUTE) {
            eprintln!("waiting for threads and files to end; before: {before:?}, now: {now:?}");
        }
        // Only to leave the processor to those that end; the counts decide.
        std::thread::sleep(PAUSE);
    }
}

/// How fast memory grows, in KiB a second: the line that fits the samples best.
pub(crate) fn slope(samples: &[Sample]) -> f64 {
    let count = samples.len() as f64;
    let mean = |of: fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (at, memory) = (mean(|it| it.at), mean(|it| it.memory_kib as f64));
    let mut both = 0.0;
    let mut square = 0.0;
    for sample in samples {
        both += (sample.at - at) * (sample.memory_kib as f64 - memory);
        square += (sample.at - at).powi(2);
    }
    both / square
}

const PAUSE: Duration = Duration::from_micros(200);
const LOOKS_PER_MINUTE: u64 = 300_000;
