//! What goes to standard output, and what text may look like on a terminal.
//!
//! Lines leave whole, in one write, so that several threads and processes can share a pipe. A
//! reader that went away is remembered and never a panic: the service goes on without it.

use std::borrow::Cow;
use std::fmt;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use serde::Serialize;

use self::queue::Queue;
use crate::exit::Failure;

mod queue;

/// For a terminal: back to the start of the line, and erase it.
pub const CLEAR_LINE: &str = "\r\x1b[2K";

/// Standard output, or another file in its place. Clones write to the same file.
#[derive(Clone)]
pub struct Stdout {
    shared: Arc<Shared>,
    queue: Option<Arc<Queue>>,
}

impl Stdout {
    /// The process's standard output.
    pub fn new() -> Self {
        Self::over(Sink::Standard)
    }

    /// Another file or pipe, for a test or a capture.
    pub fn to(file: impl Into<OwnedFd>) -> Self {
        Self::over(Sink::File(file.into()))
    }

    /// The process's standard error, for what is logged.
    pub fn errors() -> Self {
        Self::over(Sink::Errors)
    }

    /// The same file, its lines written by a thread of their own: writing never waits for a reader.
    ///
    /// A reader that is thousands of lines behind loses lines; it is logged, unless it is the log
    /// that is not read. Without a thread to spare, the lines are written directly.
    #[must_use]
    pub fn queued(self) -> Self {
        let queue = Queue::start(Arc::clone(&self.shared)).map(Arc::new);
        Self { queue, ..self }
    }

    /// Waits until all that was written has left, at most for `within`.
    ///
    /// # Blocking
    ///
    /// For at most `within`.
    pub fn flush(&self, within: Duration) -> bool {
        self.queue.as_ref().is_none_or(|queue| queue.flush(within))
    }

    /// Writes `line` and a line break. `line` is trusted: [`escape`] what came from outside.
    ///
    /// # Blocking
    ///
    /// Waits while the pipe is full, unless [`queued`](Self::queued).
    pub fn line(&self, line: &str) {
        self.text(&format!("{line}\n"));
    }

    /// Writes `value` as one line of JSON in which no control, format or bidi character is left
    /// bare.
    ///
    /// # Blocking
    ///
    /// Waits while the pipe is full, unless [`queued`](Self::queued).
    pub fn json(&self, value: &impl Serialize) {
        self.text(&json_line(value));
    }

    /// Writes whole lines, each with its line break, in one write.
    ///
    /// # Blocking
    ///
    /// Waits while the pipe is full, unless [`queued`](Self::queued).
    pub fn text(&self, lines: &str) {
        match &self.queue {
            Some(queue) => queue.push(lines),
            None => self.shared.write(lines),
        }
    }

    /// Whether nothing more arrives: the reader went away or a write failed.
    pub fn is_closed(&self) -> bool {
        // Relaxed: see `write`.
        self.shared.closed.load(Ordering::Relaxed)
    }

    /// Whether a person is looking.
    pub fn is_terminal(&self) -> bool {
        match &self.shared.sink {
            Sink::Standard => std::io::stdout().is_terminal(),
            Sink::Errors => std::io::stderr().is_terminal(),
            Sink::File(file) => file.is_terminal(),
        }
    }

    /// Says whether all that was written arrived. A reader that had enough is no failure.
    ///
    /// # Errors
    ///
    /// A write failed for another reason, such as a full disk.
    pub fn finish(&self) -> Result<(), Failure> {
        match *self.shared.error.lock() {
            None => Ok(()),
            Some(errno) => Err(Failure::failed(format!(
                "standard output: {errno}; free space or choose another place for it"
            ))),
        }
    }

    fn over(sink: Sink) -> Self {
        let shared = Arc::new(Shared {
            sink,
            turn: Mutex::new(()),
            closed: AtomicBool::new(false),
            error: Mutex::new(None),
        });
        Self {
            shared,
            queue: None,
        }
    }
}

impl Default for Stdout {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Stdout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stdout")
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// One line of JSON, with its line break, safe on a terminal and unchanged for a parser.
///
/// What [`escape`] would replace is written as JSON's own `\uXXXX`.
pub fn json_line(value: &impl Serialize) -> String {
    // Only a map with keys that are not strings, or a failing Serialize, can fail; ours are
    // neither.
    let mut json = serde_json::to_string(value).expect("our own types serialize");
    if json.chars().any(is_hidden) {
        let mut units = [0; 2];
        let mut safe = String::with_capacity(json.len() + 16);
        for character in json.chars() {
            if is_hidden(character) {
                for unit in character.encode_utf16(&mut units) {
                    // Ignored: writing to a String cannot fail.
                    let _ = write!(safe, "\\u{unit:04x}");
                }
            } else {
                safe.push(character);
            }
        }
        json = safe;
    }
    json.push('\n');
    json
}

/// Makes untrusted text safe to print: what moves the cursor, hides or reorders text becomes
/// `\u{..}`.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_hidden(character) {
            // Ignored: writing to a String cannot fail.
            let _ = write!(safe, "{}", character.escape_unicode());
        } else {
            safe.push(character);
        }
    }
    Cow::Owned(safe)
}

/// A moment as RFC 3339 in UTC, to the millisecond: `2026-01-31T09:30:00.000Z`.
pub fn rfc3339(moment: Timestamp) -> String {
    format!("{moment:.3}")
}

/// A table for a person: a line of headings, then rows, columns aligned. Cells are escaped.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub fn new<const COLUMNS: usize>(headings: [&str; COLUMNS]) -> Self {
        Self {
            rows: vec![headings.map(str::to_owned).to_vec()],
        }
    }

    /// Adds a row.
    pub fn row<const COLUMNS: usize>(&mut self, cells: [&str; COLUMNS]) {
        self.rows
            .push(cells.map(|cell| escape(cell).into_owned()).to_vec());
    }

    /// Whether there is a heading only.
    pub fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths = Vec::new();
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        for row in &self.rows {
            let mut line = String::new();
            for (width, cell) in widths.iter().zip(row) {
                write!(line, "{cell:width$}  ")?;
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

struct Shared {
    sink: Sink,
    turn: Mutex<()>,
    closed: AtomicBool,
    error: Mutex<Option<Errno>>,
}

impl Shared {
    fn is_log(&self) -> bool {
        matches!(self.sink, Sink::Errors)
    }

    fn write(&self, lines: &str) {
        // Relaxed: a flag on its own; seeing it late costs one more failed write.
        if self.closed.load(Ordering::Relaxed) {
            return;
        }
        // Held across the write: a line that the pipe takes in two parts must not be torn by
        // another thread's.
        let _turn = self.turn.lock();
        match (self.write_all(lines.as_bytes()), &self.sink) {
            (Ok(()), _) => return,
            // A log on a full disk goes on when there is room again.
            (Err(errno), Sink::Errors) if errno != Errno::PIPE => return,
            (Err(errno), _) if errno != Errno::PIPE => *self.error.lock() = Some(errno),
            (Err(_), _) => {}
        }
        self.closed.store(true, Ordering::Relaxed);
    }

    fn write_all(&self, mut bytes: &[u8]) -> Result<(), Errno> {
        let (standard, errors) = (std::io::stdout(), std::io::stderr());
        let file = match &self.sink {
            Sink::Standard => standard.as_fd(),
            Sink::Errors => errors.as_fd(),
            Sink::File(file) => file.as_fd(),
        };
        while !bytes.is_empty() {
            match rustix::io::write(file, bytes) {
                Ok(0) => return Err(Errno::IO),
                Ok(written) => bytes = &bytes[written..],
                Err(Errno::INTR) => {}
                // Somebody set the shared file to non-blocking: wait for room.
                Err(Errno::AGAIN) => {
                    // Ignored: when the wait fails the next write says why.
                    let _ = poll(&mut [PollFd::new(&file, PollFlags::OUT)], None);
                }
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}

enum Sink {
    Standard,
    Errors,
    File(OwnedFd),
}

/// Whether a character can deceive: controls, line separators, everything Unicode calls a format
/// character or ignorable by default (Cf, Zl, Zp, Default_Ignorable_Code_Point), and private use.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}'
            | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{e000}'..='\u{f8ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..)
}

#[cfg(test)]
mod tests;
