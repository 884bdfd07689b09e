//! The config of a rig.

use std::path::Path;

/// What differs from rig to rig; everything else is the same in all of them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many children the group `web` has.
    pub count: u16,
    /// How long a target rests after a verified restart.
    pub cooldown: &'static str,
    /// How many restarts at a time.
    pub max_concurrent: u16,
    /// How long a child must be healthy to be verified.
    pub settle: &'static str,
    /// From the start of a restart to its verdict.
    pub timeout: &'static str,
    /// How long a stop waits for what has started.
    pub grace: &'static str,
    /// The lease of a message.
    pub lease: &'static str,
    /// More config: groups, for example.
    pub more: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            count: 2,
            cooldown: "0s",
            max_concurrent: 20,
            settle: "20ms",
            timeout: "10s",
            grace: "10s",
            lease: "10s",
            more: String::new(),
        }
    }
}

impl Settings {
    /// The targets of the group `web`.
    pub fn targets(&self) -> Vec<String> {
        (1..=self.count)
            .map(|number| format!("web-{number}"))
            .collect()
    }

    /// The text of the config.
    pub(super) fn render(&self, binary: &Path, folder: &Path, first_port: u16) -> String {
        let Self {
            count,
            cooldown,
            max_concurrent,
            settle,
            timeout,
            grace,
            lease,
            more,
        } = self;
        let children = if *count == 0 {
            String::new()
        } else {
            group("web", binary, *count, first_port, &[])
        };
        let folder = folder.display();
        format!(
            "[service]
state = \"{folder}/mandrill.db\"
grace = \"{grace}\"
armed = true

[source]
kind = \"embedded\"
lease = \"{lease}\"
max_in_flight = 64

[policy]
cooldown = \"{cooldown}\"
max_concurrent = {max_concurrent}
spacing = \"0s\"
settle = \"{settle}\"
timeout = \"{timeout}\"

[listen]
control = \"unix:{folder}/control.sock\"
{children}{more}"
        )
    }
}

/// A group of children of the program under test, on neighbouring ports.
pub(super) fn group(
    name: &str,
    binary: &Path,
    count: u16,
    first_port: u16,
    flags: &[&str],
) -> String {
    let binary = binary.display();
    let flags: String = flags.iter().map(|flag| format!(", \"{flag}\"")).collect();
    format!(
        "
[[group]]
name = \"{name}\"

[group.restarter]
kind = \"process\"
argv = [\"{binary}\", \"demo-child\", \"--port\", \"{{port}}\"{flags}]
count = {count}
first_port = {first_port}

[group.probe]
kind = \"http\"
url = \"http://127.0.0.1:{{port}}/healthz\"
every = \"20ms\"
expect = 200
timeout = \"2s\"
"
    )
}
