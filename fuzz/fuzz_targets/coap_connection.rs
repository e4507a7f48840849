//! See `mynah_fuzz::coap_connection`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mynah_fuzz::coap_connection(data));
