//! Administrators: what they see of a worker (`views`), and what they ask of it (`orders`). Whether they may is decided where
//! they come in.

mod orders;
mod views;

pub(crate) use orders::{Orders, is_order};
