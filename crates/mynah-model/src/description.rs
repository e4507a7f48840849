//! What a connection says of itself to those who administer the broker.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::Argument;

/// What administrators see of a connection that only its protocol knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Description {
    /// What the client has said of itself.
    pub properties: Vec<(Box<str>, Argument)>,
    /// Its channels, in a protocol that has any, in the order of their numbers.
    pub channels: Vec<ChannelDescription>,
}

/// A channel of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelDescription {
    /// Its number.
    pub number: u16,
    /// Its consumers of queues.
    pub consumers: usize,
    /// Messages that the client has got on it and has not acknowledged.
    pub unacknowledged: usize,
    /// Messages that a consumer gets before it acknowledges, unless it says otherwise; 0: any number.
    pub prefetch: u16,
    /// Whether what is published on it is confirmed.
    pub confirms: bool,
    /// Publications on it that are not confirmed yet.
    pub unconfirmed: usize,
    /// Whether it is transactional.
    pub transactional: bool,
}
