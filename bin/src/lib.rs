//! The `mandrill` service as a library; `main.rs` only calls it.
//!
//! A request travels: `commands::restart` publishes it into the durable queue; `service` consumes
//! it through mayhem-core, asks `policy` and the `journal` whether it may pass, lets the `fleet`
//! carry it out and verify it, and tells the operator what became of it.
//!
//! In reading order: `target`, `fault`, `exit`, `output`, `request`, `config`, `policy`, `queue`,
//! `lock`, `logging`, `control`, `fleet`, `journal`, `service`, `demo_child`, `cli`, `demo`,
//! `commands`.

pub mod cli;
pub mod commands;
pub mod config;
pub mod control;
pub mod demo;
pub mod demo_child;
pub mod exit;
pub mod fleet;
pub mod journal;
pub mod lock;
pub mod logging;
pub mod output;
pub mod policy;
pub mod queue;
pub mod request;
pub mod service;
pub mod target;

mod fault;
