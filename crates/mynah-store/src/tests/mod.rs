//! Tests of the whole: a journal and a state on a simulated disk, against a naive model.

mod crashes;
mod damage;
mod fields;
mod golden;
pub(crate) mod rig;
mod threads;
