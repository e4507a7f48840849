//! See `mynah_fuzz::filters_index`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mynah_fuzz::filters_index(data));
