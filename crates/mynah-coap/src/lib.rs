//! CoAP.
#![no_std]

extern crate alloc;

pub mod framing;
pub mod wire;
