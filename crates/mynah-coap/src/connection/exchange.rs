//! Requests that are worked on: how each is to be answered, and what the core was asked.

use alloc::boxed::Box;
use alloc::vec::Vec;

use mynah_model::Instant;

use super::asked::Asked;
use super::brokered::Brokered;
use super::device::Registering;
use super::leasing::Leasing;
use crate::directory::Lookup;
use crate::mapping::Publication;
use crate::wire::{Code, MessageId, Token};

/// How an answer goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    /// In the acknowledgement, or by itself once that has gone out.
    Confirmable { id: MessageId, acknowledge_at: Instant, is_acknowledged: bool },
    /// In a message that wants no acknowledgement.
    NonConfirmable,
    /// Over a reliable transport.
    Reliable,
}

/// A request that is worked on.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) receipt: u16,
    pub(super) carrier: Carrier,
    pub(super) token: Token,
    pub(super) asked: Asked,
    pub(super) work: Work,
}

/// What the core was asked for.
#[derive(Clone, Debug)]
pub(super) enum Work {
    /// Nothing yet.
    None,
    /// The value of a topic, to be answered with.
    Read { topic: Vec<u8> },
    /// The value of a topic that an observation has begun with.
    Begin { number: u32, topic: Vec<u8> },
    /// Whether a topic has a value, before it gets one.
    Look(Publication),
    /// To publish; a value that was not there is created.
    Publish { method: Code, is_new: bool },
    /// To subscribe to the requests to a device.
    Register(Box<Registering>),
    /// Whether the peer may look others up.
    LookUp { lookup: Lookup, query: Vec<Box<str>> },
    /// To ask somebody, and to wait for the answer.
    Await(Box<Brokered>),
    /// To take messages of a queue, or to do something to a lease.
    Lease(Box<Leasing>),
    /// Subscriptions of an observation, of which so many are not answered.
    Subscribe { number: u32, left: usize },
}

impl Exchange {
    /// Until when somebody's answer is waited for.
    pub(super) fn answer_due(&self) -> Option<Instant> {
        match &self.work {
            Work::Await(brokered) => brokered.due(),
            _ => None,
        }
    }

    /// When the request is to be acknowledged by itself.
    pub(super) const fn acknowledge_at(&self) -> Option<Instant> {
        match self.carrier {
            Carrier::Confirmable { acknowledge_at, is_acknowledged: false, .. } => Some(acknowledge_at),
            _ => None,
        }
    }
}
