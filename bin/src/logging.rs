//! Logs, on standard error: for a person or, one JSON object per line, for a machine.
//!
//! A line about a message names it: `log::info!(id = delivery.id(); "…")`. Key-values are printed
//! after the text, or as fields of the object. Whatever they hold is escaped. Standard error that
//! is closed or full loses lines and nothing else.

use std::io::{self, Write};
use std::panic;
use std::thread;

use clap::ValueEnum;
use env_logger::WriteStyle;
use env_logger::fmt::Formatter;
use jiff::Timestamp;
use log::kv::{self, VisitSource};
use log::{Level, LevelFilter, Record};
use serde_json::{Map, Value};

use crate::output::{CLEAR_LINE, Stdout, escape, json_line, rfc3339};

/// What a log line looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One readable line each.
    #[default]
    Text,
    /// One JSON object each: `at`, `level`, `module`, `message`, then the key-values.
    Json,
}

/// Starts the process's logger over `errors` and has panics logged too; a second call changes
/// nothing.
///
/// `verbosity` is 0 for what an operator wants to see, more for detail, less for silence.
/// `RUST_LOG`, where it is set, decides instead.
pub fn start(format: Format, verbosity: i8, errors: Stdout) {
    let mut builder = env_logger::Builder::new();
    if let Ok(filters) = std::env::var("RUST_LOG") {
        builder.parse_filters(&filters);
    } else {
        let level = level_of(verbosity);
        builder.filter_level(level.min(LevelFilter::Warn));
        for own in OWN_CRATES {
            builder.filter_module(own, level);
        }
    }
    let is_terminal = errors.is_terminal();
    let is_colored = is_terminal && std::env::var_os("NO_COLOR").is_none();
    builder.target(env_logger::Target::Pipe(Box::new(Lines(errors))));
    // What is written for a terminal is written for one only, and is not to be taken out again.
    builder.write_style(WriteStyle::Always);
    builder.format(move |formatter, record| match format {
        Format::Text => {
            // The demo's progress line may stand there; it is drawn again in a moment.
            formatter.write_all(if is_terminal { CLEAR_LINE } else { "" }.as_bytes())?;
            text(formatter, record, is_colored)
        }
        Format::Json => formatter.write_all(json_line(&object(record)).as_bytes()),
    });
    if builder.try_init().is_err() {
        return;
    }
    panic::set_hook(Box::new(|report| {
        let message = report.payload_as_str().unwrap_or("no message");
        let thread = thread::current();
        let name = thread.name().unwrap_or("unnamed").to_owned();
        match report.location() {
            Some(place) => log::error!(thread = name; "panicked at {place}: {message}"),
            None => log::error!(thread = name; "panicked: {message}"),
        }
    }));
}

/// The logger's way to standard error; it writes a line at a time.
struct Lines(Stdout);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.text(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn level_of(verbosity: i8) -> LevelFilter {
    match verbosity {
        ..=-3 => LevelFilter::Off,
        -2 => LevelFilter::Error,
        -1 => LevelFilter::Warn,
        0 => LevelFilter::Info,
        1 => LevelFilter::Debug,
        2.. => LevelFilter::Trace,
    }
}

fn text(formatter: &mut Formatter, record: &Record<'_>, is_colored: bool) -> io::Result<()> {
    let (color, plain) = match (is_colored, record.level()) {
        (false, _) => ("", ""),
        (true, Level::Error) => ("\u{1b}[31m", "\u{1b}[0m"),
        (true, Level::Warn) => ("\u{1b}[33m", "\u{1b}[0m"),
        (true, _) => ("\u{1b}[2m", "\u{1b}[0m"),
    };
    let mut line = format!(
        "{} {color}{:5}{plain} {}",
        rfc3339(Timestamp::now()),
        record.level(),
        escape(&record.args().to_string()),
    );
    for (key, value) in pairs(record) {
        let value = match value {
            Value::String(text) => escape(&text).into_owned(),
            other => other.to_string(),
        };
        line.push_str(&format!(" {}={value}", escape(&key)));
    }
    line.push('\n');
    formatter.write_all(line.as_bytes())
}

fn object(record: &Record<'_>) -> Value {
    let mut object = Map::new();
    object.insert("at".into(), rfc3339(Timestamp::now()).into());
    object.insert(
        "level".into(),
        record.level().as_str().to_lowercase().into(),
    );
    object.insert("module".into(), record.target().into());
    object.insert("message".into(), record.args().to_string().into());
    for (key, value) in pairs(record) {
        // The four fields above are the line's own and are never replaced.
        object.entry(key).or_insert(value);
    }
    Value::Object(object)
}

fn pairs(record: &Record<'_>) -> Vec<(String, Value)> {
    let mut pairs = Pairs(Vec::new());
    // Ignored: the visitor itself never fails.
    let _ = record.key_values().visit(&mut pairs);
    pairs.0
}

struct Pairs(Vec<(String, Value)>);

impl<'kvs> VisitSource<'kvs> for Pairs {
    fn visit_pair(&mut self, key: kv::Key<'kvs>, value: kv::Value<'kvs>) -> Result<(), kv::Error> {
        let value = if let Some(number) = value.to_u64() {
            number.into()
        } else if let Some(number) = value.to_i64() {
            number.into()
        } else if let Some(truth) = value.to_bool() {
            truth.into()
        } else {
            value.to_string().into()
        };
        self.0.push((key.to_string(), value));
        Ok(())
    }
}

/// Whose lines `-v` and `-q` are about; other crates speak up from a warning on.
const OWN_CRATES: [&str; 6] = [
    "mandrill",
    "mayhem_core",
    "mayhem_bridge",
    "mayhem_local",
    "mayhem_smol",
    "vendor_sdk",
];

#[cfg(test)]
mod tests;
