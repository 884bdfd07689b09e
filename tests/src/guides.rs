//! The examples of the guides, compiled and run as documentation tests.

mod wrap_your_sdk {
    #![doc = include_str!("../../adapters/bridge/docs/wrap-your-sdk.md")]
}

mod plug_in_your_executor {
    #![doc = include_str!("../../adapters/bridge/docs/plug-in-your-executor.md")]
}

mod write_a_handler {
    #![doc = include_str!("../../core/docs/write-a-handler.md")]
}

mod write_a_broker_adapter {
    #![doc = include_str!("../../core/docs/write-a-broker-adapter.md")]
}
