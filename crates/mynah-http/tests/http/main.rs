//! The stack over its byte contract with a scripted core, and the adapter with a core of a few lines.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod adapter;
mod conditional;
mod contract;
mod core;
mod judgement;
mod leases;
mod link;
mod properties;
mod requests;
mod stream;
