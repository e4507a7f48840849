//! Those who send to queues, by STOMP and AMQP, and take from them, by STOMP.

mod confirmed;
mod connection;
mod consumer;
mod producer;

pub(crate) use confirmed::Confirmed;
pub(crate) use consumer::{Manner, Taker};
pub(crate) use producer::Sender;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ledger::GroupId;
use crate::shared::Shared;

/// Queues that producers send to. By their names they belong to different workers.
pub(crate) const QUEUES: [&str; 4] = ["/queue/work-0", "/queue/work-1", "/queue/work-2", "/queue/work-3"];

/// Where what was taken in a transaction is sent on to in the same transaction.
pub(crate) const DONE: &str = "/queue/done";

/// How long a turn waits for bytes.
const TURN: Duration = Duration::from_millis(2);

/// What waits for a receipt, by its number.
#[derive(Debug, Default)]
struct Pending(BTreeMap<u64, GroupId>);

impl Pending {
    fn insert(&mut self, receipt: Option<u64>, group: GroupId) {
        if let Some(receipt) = receipt {
            self.0.insert(receipt, group);
        }
    }

    fn answered(&mut self, shared: &Shared, receipt: u64) {
        if let Some(group) = self.0.remove(&receipt) {
            shared.ledger().confirm_group(group);
        }
    }

    /// The connection is gone.
    fn give_up(&mut self, shared: &Shared) {
        for group in std::mem::take(&mut self.0).into_values() {
            shared.ledger().give_up_group(group);
        }
    }
}
