//! Every model there is.

/// One model: what it shows is its name.
pub(crate) struct Model {
    pub(crate) name: &'static str,
    pub(crate) run: fn(),
}

/// The models that these functions are.
macro_rules! models {
    ($($run:ident),* $(,)?) => {
        &[$($crate::catalog::Model { name: stringify!($run), run: $run }),*]
    };
}
pub(crate) use models;

/// All models, in the order of the bridge's parts.
#[cfg(mayhem_model = "loom")]
pub(crate) fn all() -> Vec<&'static Model> {
    let parts = [
        crate::stream::MODELS,
        crate::closing::MODELS,
        crate::signals::MODELS,
        crate::portal::MODELS,
        crate::handles::MODELS,
        crate::spinning::MODELS,
        crate::spawning::MODELS,
        crate::providing::MODELS,
        crate::pool::MODELS,
        crate::nesting::MODELS,
    ];
    parts.into_iter().flatten().collect()
}

/// All scenarios.
#[cfg(mayhem_model = "shuttle")]
pub(crate) fn all() -> Vec<&'static Model> {
    crate::scenarios::SCENARIOS.iter().collect()
}
