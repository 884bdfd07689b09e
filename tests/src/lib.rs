//! Contract suites, specs and rigs over the whole workspace; what several of them share.

pub mod contract;
pub mod contract_broker;
pub mod rig;

#[cfg(doctest)]
mod guides;
#[cfg(doctest)]
mod readme;
