//! Reads what the runner is told, or says what is expected instead.

use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

pub(crate) fn seeds(text: &str) -> Result<Range<u64>, String> {
    let range = match text.split_once("..") {
        Some((first, end)) => first.parse().ok().zip(end.parse().ok()),
        None => text
            .parse()
            .ok()
            .map(|seed: u64| (seed, seed.saturating_add(1))),
    };
    match range {
        Some((first, end)) if first < end => Ok(first..end),
        Some(_) => Err("there is no seed in it: the first comes first, as in 0..2000".to_owned()),
        None => Err("expected a seed, as 7, or a range of them, as 0..2000".to_owned()),
    }
}

/// For types that refuse 0 themselves.
pub(crate) fn count<T: FromStr>(text: &str) -> Result<T, String> {
    let count = text.parse();
    count.map_err(|_| "expected a whole number above 0".to_owned())
}

pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    time(text, 1.0, "seconds")
}

pub(crate) fn hours(text: &str) -> Result<Duration, String> {
    time(text, 3_600.0, "hours")
}

fn time(text: &str, unit_seconds: f64, unit: &str) -> Result<Duration, String> {
    let time = text.parse::<f64>().ok().filter(|count| *count > 0.0);
    let time = time.map(|count| Duration::try_from_secs_f64(count * unit_seconds));
    match time {
        Some(Ok(time)) => Ok(time),
        Some(Err(_)) => Err(format!("so many {unit} are more than there are")),
        None => Err(format!("expected a number of {unit} above 0")),
    }
}
