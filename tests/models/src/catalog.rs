//! Every model there is.

/// One model: what it shows is its name.
pub(crate) struct Model {
    pub(crate) name: &'static str,
    pub(crate) run: fn(),
}

/// All models, in the order of the bridge's parts.
#[cfg(mayhem_model = "loom")]
pub(crate) fn models() -> Vec<Model> {
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
    let listed = parts.iter().flat_map(|part| part.iter());
    listed
        .map(|(name, run)| Model { name, run: *run })
        .collect()
}

/// All scenarios.
#[cfg(mayhem_model = "shuttle")]
pub(crate) fn models() -> Vec<Model> {
    let listed = crate::scenarios::SCENARIOS.iter();
    listed
        .map(|(name, run)| Model { name, run: *run })
        .collect()
}
