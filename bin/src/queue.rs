//! The embedded queue: its file, its names, and the client for it.

use std::path::PathBuf;

use vendor_sdk::{Client, Options};

use crate::config::Service;
use crate::exit::Failure;

/// The topic that requests are published to.
pub const TOPIC: &str = "restarts";
/// The daemon's subscription.
pub const SUBSCRIPTION: &str = "mandrill";

/// The queue's file, beside the state.
pub fn path(service: &Service) -> PathBuf {
    service.beside(".queue")
}

/// Opens the queue, making it when there is none.
///
/// # Errors
///
/// Exit 4: the file cannot be used.
///
/// # Blocking
///
/// On the disk, and on other processes that hold the file locked.
pub fn open(service: &Service) -> Result<Client, Failure> {
    Client::open(&path(service), Options::default())
        .map_err(|error| Failure::store(error.to_string()))
}
