//! See `mynah_fuzz::amqp_wire`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mynah_fuzz::amqp_wire(data));
