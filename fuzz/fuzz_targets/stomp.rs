//! See `mynah_fuzz::stomp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mynah_fuzz::stomp(data));
