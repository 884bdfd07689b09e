//! The `mandrill` program: a thin entry over the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    mandrill::commands::main()
}
