//! Guide: the callbacks of Paho's C MQTT client as a stream, through the bridge.
