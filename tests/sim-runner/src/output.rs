//! What is printed for whoever reads, to standard output, which may be a pipe.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::process;

/// Prints a line. When the reader has gone away the process ends: it has all that it wanted.
pub fn say(line: fmt::Arguments<'_>) {
    match writeln!(io::stdout(), "{line}") {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => process::exit(0),
        Err(error) => {
            eprintln!("mayhem-sim-runner: standard output: {error}");
            process::exit(1);
        }
    }
}
