//! Lengths of time as people write them: `500ms`, `25s`, `1h30m`, `7d`.

use std::time::Duration;

use jiff::SpanRelativeTo;
use jiff::fmt::friendly::SpanParser;

/// The longest that can be written, ten years: beyond it sums of times would leave the calendar.
pub const DURATION_MAX: Duration = Duration::from_secs(3650 * 24 * 60 * 60);

/// Reads a length of time. A day has 24 hours; months and years are refused, as their length
/// varies.
///
/// # Errors
///
/// What is expected instead.
pub fn parse(text: &str) -> Result<Duration, String> {
    let expected = || "expected a time such as \"500ms\", \"25s\", \"1h30m\" or \"7d\"".to_owned();
    let span = SpanParser::new().parse_span(text).map_err(|_| expected())?;
    let length = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| expected())?;
    let length = Duration::try_from(length).map_err(|_| "a time cannot be negative".to_owned())?;
    if length > DURATION_MAX {
        return Err(format!("a time is at most {}", show(DURATION_MAX)));
    }
    Ok(length)
}

/// Writes a length of time so that [`parse`] reads the same.
pub fn show(length: Duration) -> String {
    let seconds = length.as_secs();
    let nanoseconds = u64::from(length.subsec_nanos());
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
        (nanoseconds / 1_000_000, "ms"),
        (nanoseconds / 1000 % 1000, "us"),
        (nanoseconds % 1000, "ns"),
    ];
    let shown: String = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if shown.is_empty() {
        "0s".to_owned()
    } else {
        shown
    }
}

#[cfg(test)]
mod tests;
