//! See `mynah_fuzz::coap_wire`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mynah_fuzz::coap_wire(data));
