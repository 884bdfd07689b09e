//! The steps of a restart by name, so that a test can have the process killed at each of them.

/// The steps of restarting a child, in their order; each is passed once per restart.
pub const FAULT_POINTS: [&str; 9] = [
    RESTART.nonce_durable,
    "restart.before-kill",
    "restart.term-sent",
    "restart.child-dead",
    RESTART.before_spawn,
    RESTART.after_spawn,
    RESTART.after_record,
    RESTART.after_log,
    "restart.verifying",
];

/// The steps of starting a missing child when the fleet is opened; each is passed once per child.
pub const OPEN_FAULT_POINTS: [&str; 5] = [
    OPEN.nonce_durable,
    OPEN.before_spawn,
    OPEN.after_spawn,
    OPEN.after_record,
    OPEN.after_log,
];

/// The steps of restarting by a command, in their order; verifying is as for a child.
pub const COMMAND_FAULT_POINTS: [&str; 4] = [
    "command.fence-held",
    "command.spawned",
    "command.ended",
    "restart.verifying",
];

/// The names that the steps of one start go by.
pub(super) struct Steps {
    pub(super) nonce_durable: &'static str,
    pub(super) before_spawn: &'static str,
    pub(super) after_spawn: &'static str,
    pub(super) after_record: &'static str,
    pub(super) after_log: &'static str,
}

pub(super) const RESTART: Steps = Steps {
    nonce_durable: "restart.nonce-durable",
    before_spawn: "restart.before-spawn",
    after_spawn: "restart.after-spawn",
    after_record: "restart.after-record",
    after_log: "restart.after-log",
};

pub(super) const OPEN: Steps = Steps {
    nonce_durable: "open.nonce-durable",
    before_spawn: "open.before-spawn",
    after_spawn: "open.after-spawn",
    after_record: "open.after-record",
    after_log: "open.after-log",
};
