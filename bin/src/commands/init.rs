//! `mandrill init`: a config that works as it is, and explains itself.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};

use serde_json::json;

use crate::cli::InitArgs;
use crate::exit::Failure;
use crate::output::{Stdout, escape};

pub(super) fn run(args: &InitArgs, is_json: bool, stdout: &Stdout) -> Result<(), Failure> {
    let template = template();
    if args.stdout {
        stdout.text(&template);
        return Ok(());
    }
    let file = args.file.display();
    let mut options = OpenOptions::new();
    options.write(true);
    if args.force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    options
        .open(&args.file)
        .and_then(|mut opened| opened.write_all(template.as_bytes()))
        .map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Failure::usage(format!(
                "{file}: is there already; --force replaces it, another FILE leaves it alone"
            )),
            _ => Failure::failed(format!("{file}: cannot write the config: {error}")),
        })?;
    if is_json {
        stdout.json(&json!({"event": "written", "file": args.file.to_string_lossy()}));
    } else {
        let name = args.file.to_string_lossy();
        let name = escape(&name);
        stdout.text(&format!(
            "{name} is written. Next:\n  mandrill check-config {name}\n  mandrill run -c {name}\n"
        ));
    }
    Ok(())
}

/// The config, with the path of this very program in it.
fn template() -> String {
    let program = std::env::current_exe()
        .ok()
        .and_then(|path| path.into_os_string().into_string().ok())
        .unwrap_or_else(|| "mandrill".to_owned());
    let quoted = toml::Value::String(program).to_string();
    include_str!("init/mandrill.toml").replace("\"MANDRILL\"", &quoted)
}

#[cfg(test)]
mod tests;
