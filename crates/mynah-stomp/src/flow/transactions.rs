//! Transactions that are open: what they hold, in order and within bounds, until COMMIT or ABORT.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use mynah_model::Header;
use mynah_stack::LeaseSettlement;

use crate::mapping::Target;
use crate::{Refused, Settings, Violation};

/// Open transactions by name.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    open: Vec<(Box<str>, Vec<Held>)>,
    /// What all of them hold.
    octets: usize,
    frames: usize,
}

/// A frame that is held.
#[derive(Debug)]
pub(crate) enum Held {
    /// SEND.
    Publish(HeldPublish),
    /// ACK or NACK.
    Settle {
        /// The number of the subscription.
        subscription: u32,
        /// The lease.
        lease: u64,
        /// What becomes of it, and of all before it if the subscription acknowledges so.
        settlement: LeaseSettlement,
    },
}

/// A message that is held.
#[derive(Debug)]
pub(crate) struct HeldPublish {
    pub(crate) header: Header,
    pub(crate) native: Vec<u8>,
    pub(crate) target: Target,
    /// How long the broker keeps it before anybody gets it.
    pub(crate) delay: Option<Duration>,
}

impl Held {
    fn octets(&self) -> usize {
        match self {
            Self::Publish(publish) => publish.native.len(),
            Self::Settle { .. } => 0,
        }
    }
}

impl Transactions {
    /// Begins one.
    pub(crate) fn begin(&mut self, name: &str, settings: &Settings) -> Result<(), crate::Error> {
        if self.find(name).is_some() {
            return Err(Violation::TransactionExists.into());
        }
        if self.open.len() >= settings.transactions_max {
            return Err(Refused::TooManyTransactions.into());
        }
        self.open.push((name.into(), Vec::new()));
        Ok(())
    }

    /// Adds a frame to one.
    pub(crate) fn hold(&mut self, name: &str, held: Held, settings: &Settings) -> Result<(), crate::Error> {
        let at = self.find(name).ok_or(Violation::TransactionUnknown)?;
        let (octets, frames) = (self.octets + held.octets(), self.frames + 1);
        if octets > settings.transaction_octets_max || frames > settings.transaction_frames_max {
            return Err(Refused::TransactionTooLarge.into());
        }
        (self.octets, self.frames) = (octets, frames);
        self.open[at].1.push(held);
        Ok(())
    }

    /// Ends one, and gives what it holds.
    pub(crate) fn end(&mut self, name: &str) -> Result<Vec<Held>, Violation> {
        let at = self.find(name).ok_or(Violation::TransactionUnknown)?;
        let (_, held) = self.open.remove(at);
        self.frames -= held.len();
        self.octets -= held.iter().map(Held::octets).sum::<usize>();
        Ok(held)
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.open.iter().position(|(open, _)| **open == *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings { transactions_max: 2, transaction_frames_max: 3, ..Settings::default() }
    }

    const fn ack(lease: u64) -> Held {
        Held::Settle { subscription: 1, lease, settlement: LeaseSettlement::Accepted }
    }

    //= stomp-1.2 [transaction-unique] [transaction-known]
    #[test]
    fn a_transaction_has_a_name_of_its_own_until_it_ends() {
        let (mut open, settings) = (Transactions::default(), settings());
        assert_eq!(open.begin("a", &settings), Ok(()));
        assert_eq!(open.begin("a", &settings), Err(Violation::TransactionExists.into()));
        assert_eq!(open.end("a").map(|held| held.len()), Ok(0));
        assert_eq!(open.end("a").err(), Some(Violation::TransactionUnknown));
        assert_eq!(open.hold("a", ack(1), &settings), Err(Violation::TransactionUnknown.into()));
    }

    #[test]
    fn what_is_held_is_bounded_over_all_and_free_again_at_the_end() {
        let (mut open, settings) = (Transactions::default(), settings());
        for name in ["a", "b"] {
            open.begin(name, &settings).unwrap();
        }
        assert_eq!(open.begin("c", &settings), Err(Refused::TooManyTransactions.into()));
        for (name, lease) in [("a", 1), ("b", 2), ("a", 3)] {
            open.hold(name, ack(lease), &settings).unwrap();
        }
        assert_eq!(open.hold("b", ack(4), &settings), Err(Refused::TransactionTooLarge.into()));
        assert_eq!(open.end("a").map(|held| held.len()), Ok(2));
        assert_eq!(open.hold("b", ack(4), &settings), Ok(()));
    }
}
