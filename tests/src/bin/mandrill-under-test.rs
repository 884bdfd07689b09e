//! The `mandrill` program with fault points, for the rigs.
fn main() {}
