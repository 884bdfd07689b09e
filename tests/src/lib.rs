//! Contract suites, specs and rigs over the whole workspace; what several of them share.

pub mod broker_worlds;
pub mod contract;
pub mod docs;
pub mod rig;

#[cfg(doctest)]
mod guides;
#[cfg(doctest)]
mod readme;
