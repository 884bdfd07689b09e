//! Guide: a file watcher's callbacks as a stream, through the bridge.
