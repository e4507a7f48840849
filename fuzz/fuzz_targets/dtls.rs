//! See `mynah_fuzz::dtls`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mynah_fuzz::dtls(data));
