//! The `mandrill` program: a thin entry over the library.
fn main() {}
