//! The ring of a consistent-hash exchange: each binding has points on it, as many as its weight asks for, and a key goes to
//! the binding whose point comes next. So a binding that comes or goes moves the keys of its own part only.

use alloc::vec::Vec;

use mynah_model::{Reason, TenantId};

use super::Endpoint;
use super::declare::ExchangeError;
use crate::hash::KeyedHash;

/// Points for each unit of weight: keys spread within about a tenth of what the weights say.
const POINTS: u32 = 128;
/// The greatest weight: bounds the memory of a binding to 128 KiB.
pub(super) const WEIGHT_MAX: u32 = 64;

#[derive(Debug, Default)]
pub(super) struct Ring {
    /// In ascending order, each with its binding.
    points: Vec<(u64, u32)>,
}

impl Ring {
    /// Gives a binding its points. They depend on the name of the destination alone, which is the same in all runs, and on
    /// what it is: a queue and an exchange of one name have points of their own.
    pub(super) fn add(&mut self, hash: &KeyedHash, to: Endpoint, name: &[u8], weight: u32, binding: u32) {
        let mut text = Vec::from(name);
        let len = text.len();
        let first = match to {
            Endpoint::Queue(_) => 0,
            Endpoint::Exchange(_) => WEIGHT_MAX * POINTS,
        };
        for point in first..first + weight * POINTS {
            text.truncate(len);
            text.extend_from_slice(&point.to_be_bytes());
            self.points.push((hash.text(TenantId::DEFAULT, &text), binding));
        }
        self.points.sort_unstable();
    }

    pub(super) fn remove(&mut self, binding: u32) {
        self.points.retain(|(_, other)| *other != binding);
    }

    /// The binding that a key goes to, of those that lead anywhere.
    pub(super) fn select(&self, hash: &KeyedHash, key: &[u8], leads_on: impl Fn(u32) -> bool) -> Option<u32> {
        let place = hash.text(TenantId::DEFAULT, key);
        let next = self.points.partition_point(|(point, _)| *point < place);
        let (before, after) = self.points.split_at(next);
        after.iter().chain(before).map(|(_, binding)| *binding).find(|binding| leads_on(*binding))
    }
}

/// The weight that a binding's key says.
pub(super) fn weight(key: &[u8]) -> Result<u32, ExchangeError> {
    let number = core::str::from_utf8(key).ok().and_then(|text| text.parse().ok());
    number.filter(|number| (1..=WEIGHT_MAX).contains(number)).ok_or_else(|| {
        let detail = alloc::format!("the key of a consistent-hash binding is a weight of 1 to {WEIGHT_MAX}");
        ExchangeError::new(Reason::PreconditionFailed, detail)
    })
}
