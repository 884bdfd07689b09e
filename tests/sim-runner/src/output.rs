//! What is printed for whoever reads, to standard output, which may be a pipe; and what is not.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::process;
use std::sync::Once;

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

/// Keeps the panics that are part of a life off the screen, from now on.
pub fn hush() {
    static HUSHED: Once = Once::new();
    HUSHED.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.payload().downcast_ref() != Some(&"planned") {
                told(panic);
            }
        }));
    });
}
