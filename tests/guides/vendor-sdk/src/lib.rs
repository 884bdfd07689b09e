//! Guide: the vendor SDK's callbacks as a stream, through the bridge.
