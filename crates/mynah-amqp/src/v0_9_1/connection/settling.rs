//! What a client says of deliveries: basic.ack, basic.nack, basic.reject, basic.recover.

use alloc::format;
use alloc::vec::Vec;

use mynah_stack::{ConsumerId, LeaseSettlement, Outbound, SettleLeases};

use super::ServerConnection;
use super::channel::Channel;
use super::prepared::Todo;
use crate::v0_9_1::wire::{MethodId, basic};
use crate::v0_9_1::{Exception, ReplyCode};

/// A delivery that waits for an acknowledgement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) consumer: u32,
    pub(super) lease: u64,
    /// It was asked for by basic.get, and counts for no bound.
    pub(super) polled: bool,
}

/// Adds a delivery to what is settled: leases of one consumer that follow each other are settled together.
pub(super) fn add_row(held: Held, settlement: LeaseSettlement, rows: &mut Vec<SettleLeases>) {
    let Held { consumer, lease, .. } = held;
    let row = rows.iter_mut().rev().find(|row| row.consumer.0 == consumer && row.settlement == settlement);
    match row {
        // What lies between two leases may be held still, or settled otherwise.
        Some(row) if row.last + 1 == lease => row.last = lease,
        _ => rows.push(SettleLeases {
            consumer: ConsumerId(consumer),
            first: lease,
            last: lease,
            settlement,
            receipt: None,
        }),
    }
}

impl Channel {
    /// Notes that a delivery is settled.
    pub(super) fn note_settled(&mut self, held: Held) {
        if !held.polled {
            self.prefetch.settle(held.consumer);
        }
    }
}

impl ServerConnection {
    /// Settles a delivery, or all up to it.
    pub(super) fn settle(
        &mut self,
        number: u16,
        method: MethodId,
        (tag, multiple): (u64, bool),
        settlement: LeaseSettlement,
    ) -> Result<(), Exception> {
        let Some(channel) = self.channels.get_mut(&number) else { return Ok(()) };
        let Channel { unacknowledged, prefetch, tx, .. } = &mut **channel;
        let mut rows = core::mem::take(&mut self.rows);
        let settled = unacknowledged.settle(tag, multiple, |tag, held| match tx {
            Some(tx) => tx.settled.push((tag, held, settlement)),
            None => {
                if !held.polled {
                    prefetch.settle(held.consumer);
                }
                add_row(held, settlement, &mut rows);
            }
        });
        self.todo.extend(rows.drain(..).map(Todo::Settle));
        self.rows = rows;
        if settled.is_err() {
            let text = format!("unknown delivery tag {tag}");
            return Err(Exception::new(ReplyCode::PreconditionFailed, method, text));
        }
        self.balance(number);
        Ok(())
    }

    /// Gives everything back that waits on a channel; it is delivered again.
    pub(super) fn recover(
        &mut self,
        number: u16,
        requeue: bool,
        method: MethodId,
        out: &mut Outbound,
    ) -> Result<(), Exception> {
        if !requeue {
            let text =
                "recovering without requeue is not served: who gets a message again is the queue's choice";
            return Err(Exception::new(ReplyCode::NotImplemented, method, text));
        }
        self.release(number, |_| true);
        if method == basic::Recover::ID {
            self.send(number, basic::RecoverOk {}, out);
        }
        self.balance(number);
        Ok(())
    }

    /// Gives back what waits on a channel and is of such a consumer.
    pub(super) fn release(&mut self, number: u16, mut is_wanted: impl FnMut(u32) -> bool) {
        let Some(channel) = self.channels.get_mut(&number) else { return };
        let mut released = Vec::new();
        channel.unacknowledged.take_if(|held| is_wanted(held.consumer), |held| released.push(held));
        let mut rows = core::mem::take(&mut self.rows);
        for held in released {
            channel.note_settled(held);
            add_row(held, LeaseSettlement::RELEASED, &mut rows);
        }
        self.todo.extend(rows.drain(..).map(Todo::Settle));
        self.rows = rows;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_settled_together_only_if_nothing_lies_between_them() {
        let mut rows = Vec::new();
        for (lease, settlement) in [
            (1, LeaseSettlement::Accepted),
            (2, LeaseSettlement::Accepted),
            (3, LeaseSettlement::Rejected),
            (4, LeaseSettlement::Accepted),
            (6, LeaseSettlement::Accepted),
        ] {
            add_row(Held { consumer: 7, lease, polled: false }, settlement, &mut rows);
        }
        let ranges: Vec<_> = rows.iter().map(|row| (row.first, row.last, row.settlement)).collect();
        let accepted = LeaseSettlement::Accepted;
        let rejected = LeaseSettlement::Rejected;
        assert_eq!(ranges, [(1, 2, accepted), (3, 3, rejected), (4, 4, accepted), (6, 6, accepted)]);
    }
}
