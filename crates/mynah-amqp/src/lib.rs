//! AMQP 0-9-1 as a sans-IO stack: server and client.
//!
//! The protocol header that a client begins with says which version it speaks; [`v0_9_1`] has what "AMQP Version 0-9-1",
//! 13 November 2008, says, with the extensions that RabbitMQ made of it.
#![no_std]

extern crate alloc;

pub mod v0_9_1;
