//! The program as its users meet it: run from outside, by its command line.

mod cli;
mod config;
mod demo_child;
mod hosts;
mod place;
mod service;
mod status;
mod streams;
mod terminal;
