//! The `mandrill` program with fault points, for the rigs.

use std::process::ExitCode;

fn main() -> ExitCode {
    mandrill::commands::main()
}
