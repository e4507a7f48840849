//! The consumers of a connection.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Consumers by the numbers that the broker knows them by.
#[derive(Debug, Default)]
pub(super) struct Consumers {
    all: BTreeMap<u32, Consumer>,
    /// The last number that was given.
    last: u32,
}

/// One consumer.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) channel: u16,
    /// Names it to the client.
    pub(super) tag: Box<[u8]>,
    pub(super) queue: Box<[u8]>,
    /// Nothing is acknowledged.
    pub(super) settled: bool,
    /// Gets what basic.get asks for.
    pub(super) polls: bool,
    /// Reads a stream from a place of its choice, and is told where it is.
    pub(super) is_stream: bool,
}

impl Consumers {
    /// Adds a consumer, and gives its number: one that no other has.
    pub(super) fn add(&mut self, consumer: Consumer) -> u32 {
        loop {
            self.last = self.last.wrapping_add(1);
            if !self.all.contains_key(&self.last) {
                self.all.insert(self.last, consumer);
                return self.last;
            }
        }
    }

    pub(super) fn get(&self, number: u32) -> Option<&Consumer> {
        self.all.get(&number)
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<Consumer> {
        self.all.remove(&number)
    }

    /// The consumer of this name on a channel.
    pub(super) fn by_tag(&self, channel: u16, tag: &[u8]) -> Option<u32> {
        let is_it =
            |consumer: &Consumer| consumer.channel == channel && !consumer.polls && *consumer.tag == *tag;
        self.all.iter().find(|(_, consumer)| is_it(consumer)).map(|(number, _)| *number)
    }

    /// Consumers of a channel.
    pub(super) fn of_channel(&self, channel: u16) -> impl Iterator<Item = (u32, &Consumer)> {
        let all = self.all.iter().map(|(number, consumer)| (*number, consumer));
        all.filter(move |(_, consumer)| consumer.channel == channel)
    }

    /// Removes the consumers of a channel.
    pub(super) fn remove_channel(&mut self, channel: u16) -> Vec<u32> {
        let numbers: Vec<u32> = self.of_channel(channel).map(|(number, _)| number).collect();
        for number in &numbers {
            self.all.remove(number);
        }
        numbers
    }

    pub(super) fn clear(&mut self) {
        self.all.clear();
    }
}
