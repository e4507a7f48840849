//! See `mynah_fuzz::mqtt_bridge`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mynah_fuzz::mqtt_bridge(data));
