//! See `mynah_fuzz::http_paths`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mynah_fuzz::http_paths(data));
