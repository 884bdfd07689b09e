//! The examples of the bridge's guides, compiled and run as documentation tests.

mod wrap_your_sdk {
    #![doc = include_str!("../../adapters/bridge/docs/wrap-your-sdk.md")]
}

mod plug_in_your_executor {
    #![doc = include_str!("../../adapters/bridge/docs/plug-in-your-executor.md")]
}
