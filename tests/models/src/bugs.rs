//! The planted bugs, each with the model that must catch it.

#[cfg(mayhem_model = "loom")]
pub(crate) const BUGS: &[(&str, &str)] = &[];

#[cfg(mayhem_model = "shuttle")]
pub(crate) const BUGS: &[(&str, &str)] = &[];
