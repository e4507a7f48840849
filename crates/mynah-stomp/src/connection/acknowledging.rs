//! ACK and NACK ("ACK", "NACK").

use mynah_stack::{
    Command, ConsumerId, CreditChange, Flow, LeaseSettlement, Outbound, QueueCommand, SettleLeases,
};

use super::ServerConnection;
use super::established::Received;
use super::prepared::Todo;
use crate::flow::Held;
use crate::wire::{Ack, AckMode, AckOf};
use crate::{Error, Violation};

impl ServerConnection {
    pub(super) fn receive_ack<'b>(
        &mut self,
        ack: &Ack<'_>,
        receipt: Option<&str>,
        out: &mut Outbound,
    ) -> Result<Received<'b>, Error> {
        let (id, subscription) = match &ack.of {
            AckOf::Id(id) => (id, None),
            AckOf::MessageId { message_id, subscription } => (message_id, subscription.as_deref()),
        };
        let is_named_by_two = self.version.demands_subscription_ids() && !self.version.has_ack_ids();
        if is_named_by_two && subscription.is_none() && self.config.settings().profile.checks_subscriptions()
        {
            return Err(Violation::HeaderMissing("subscription").into());
        }
        let (number, lease) = parse_id(id).ok_or(Violation::MessageUnknown)?;
        let settlement = match (ack.is_nack, ack.requeue) {
            (false, _) => LeaseSettlement::Accepted,
            (true, Some(true)) => LeaseSettlement::FAILED,
            (true, None) if self.config.settings().profile.requeues() => LeaseSettlement::FAILED,
            (true, _) => LeaseSettlement::Rejected,
        };
        if let Some(transaction) = &ack.transaction {
            self.check_ack(number, lease, subscription)?;
            let held = Held::Settle { subscription: number, lease, settlement };
            self.session.transactions.hold(transaction, held, self.config.settings())?;
            self.say_receipt(receipt, out);
            return Ok(Received::Answered);
        }
        let waits = self.check_ack(number, lease, subscription)?;
        let settle = if waits { self.settle(number, lease, settlement) } else { None };
        let Some(mut settle) = settle else {
            // It was settled before, by itself or with its subscription.
            self.say_receipt(receipt, out);
            return Ok(Received::Answered);
        };
        self.top_up(number);
        settle.receipt = receipt.map(|receipt| u32::from(self.session.answers.wait(Some(receipt))));
        Ok(Received::Command(Command::Queue(QueueCommand::Settle(settle))))
    }

    /// Whether a message waits for its acknowledgement. One that never came cannot be acknowledged.
    fn check_ack(&mut self, number: u32, lease: u64, id: Option<&str>) -> Result<bool, Violation> {
        let id = id.filter(|_| self.config.settings().profile.checks_subscriptions());
        let was_given = self.session.subscriptions.was_given(number);
        match self.session.subscriptions.by_number(number) {
            Some(subscription) => {
                let is_its = id.is_none() || subscription.id.as_deref() == id;
                if !is_its || lease == 0 || lease > subscription.delivered {
                    return Err(Violation::MessageUnknown);
                }
                Ok(subscription.unacknowledged.waits(lease))
            }
            None if was_given => Ok(false),
            None => Err(Violation::MessageUnknown),
        }
    }

    /// Settles what an acknowledgement is of, as far as it waits.
    pub(super) fn settle(
        &mut self,
        number: u32,
        lease: u64,
        settlement: LeaseSettlement,
    ) -> Option<SettleLeases> {
        let subscription = self.session.subscriptions.by_number(number)?;
        if !subscription.unacknowledged.waits(lease) {
            return None;
        }
        let is_cumulative = subscription.ack == AckMode::Client;
        let settled = subscription.unacknowledged.span(lease, is_cumulative);
        subscription.unacknowledged.settle(settled);
        Some(SettleLeases {
            consumer: ConsumerId(number),
            first: settled.first,
            last: settled.last,
            settlement,
            receipt: None,
        })
    }

    /// Gives a subscription the credit that has become free.
    pub(super) fn top_up(&mut self, number: u32) {
        let subscription = self.session.subscriptions.by_number(number);
        let credit = subscription.and_then(|subscription| subscription.unacknowledged.top_up());
        if let Some(credit) = credit {
            let change = CreditChange::Add(credit);
            self.session.todo.push_back(Todo::Flow(Flow {
                consumer: ConsumerId(number),
                change,
                drain: false,
            }));
        }
    }
}

/// The number of a subscription and of a delivery, of which an identifier consists.
fn parse_id(id: &str) -> Option<(u32, u64)> {
    let (number, lease) = id.split_once('-')?;
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit());
    if !is_number(number) || !is_number(lease) {
        return None;
    }
    Some((number.parse().ok()?, lease.parse().ok()?))
}
