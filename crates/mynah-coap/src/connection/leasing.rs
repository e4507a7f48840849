//! Messages of queues: taken, and settled or extended by the names of their leases, which outlive the association.

use alloc::boxed::Box;
use alloc::vec::Vec;

use mynah_model::{Instant, Reason};
use mynah_stack::{Holder, Lease, Outbound, QueueOutcome};

use super::exchange::{Exchange, Work};
use super::named::{Named, NamedRequest};
use super::response::{Representation, Response};
use super::{Link, ServerConnection, Todo};
use crate::Refusal;
use crate::flow::{Content, Pieces};
use crate::mapping::{Deed, Leases, Note, spell_name};
use crate::wire::cbor::Writer;
use crate::wire::{Body, Code, content_format};

/// What the blocks of taken messages after the first are kept under.
const LEASES_KEY: &[u8] = b"\0q";

/// What is asked about leases, and what has come of it.
#[derive(Clone, Debug)]
pub(super) struct Leasing {
    holder: Holder,
    /// What is done to a lease; none if some are taken.
    deed: Option<Deed>,
    /// Maps of what was taken.
    taken: Vec<u8>,
    count: u64,
}

impl ServerConnection {
    /// Asks the core about leases.
    pub(super) fn lease(
        &mut self,
        now: Instant,
        leases: &Leases,
        body: &Body<'_>,
        exchange: &Exchange,
        out: &mut Outbound,
    ) -> Result<(), Refusal> {
        let later = exchange.asked.block2.is_some_and(|block| block.number > 0);
        if later && self.go_on(now, LEASES_KEY, exchange, out) {
            return Ok(());
        }
        if leases.lease.is_none() {
            // What was taken for a peer that cannot be told of it would be lost for as long as the lease.
            let has_to_show = self.stack.config.amplification_max > 0;
            if matches!(&self.link, Link::Datagram(link) if has_to_show && !link.is_verified) {
                return Err(Refusal::Unverified);
            }
            if self.taking().is_some() {
                return Err(Refusal::TooManyRequests);
            }
        }
        let mut new = [0; 16];
        new[..8].copy_from_slice(&self.random.next_number().to_be_bytes());
        new[8..].copy_from_slice(&self.random.next_number().to_be_bytes());
        let bytes_max = self.stack.config.body_bytes_max;
        let (holder, holding) = leases.holding(body.options, bytes_max, Holder(new))?;
        let deed = leases.lease.map(|(_, _, deed)| deed);
        let leasing = Leasing { holder, deed, taken: Vec::new(), count: 0 };
        let receipt = self.begin_exchange(exchange, Work::Lease(Box::new(leasing)));
        let request = NamedRequest::Hold { receipt, holder, holding };
        self.todo.push_back(Todo::Named(Named { request, name: leases.queue.clone() }));
        Ok(())
    }

    /// The one request that takes messages.
    fn taking(&mut self) -> Option<(u16, &mut Leasing)> {
        self.exchanges.iter_mut().find_map(|exchange| match &mut exchange.work {
            Work::Lease(leasing) if leasing.deed.is_none() => Some((exchange.receipt, &mut **leasing)),
            _ => None,
        })
    }

    /// Adds a message that was taken; false if nobody takes any.
    pub(super) fn take_lease(&mut self, lease: &Lease<'_>) -> bool {
        let Some((_, leasing)) = self.taking() else { return false };
        let Some(note) = Note::parse(&lease.frame.head, lease.frame.body(), false, None) else {
            return false;
        };
        let [envelope, copied, shared] = note.pieces(true).0;
        // The first byte of a map with fewer than 24 pairs: two more are added behind the payload.
        let Some((&first @ 0xA0..=0xB5, rest)) = envelope.split_first() else { return false };
        leasing.taken.push(first + 2);
        [rest, copied, shared].into_iter().for_each(|part| leasing.taken.extend_from_slice(part));
        let name = spell_name(leasing.holder, lease.lease);
        let mut writer = Writer::new(&mut leasing.taken);
        writer.text("lease");
        writer.text(&name);
        writer.text("delivery_count");
        writer.uint(lease.failed.into());
        leasing.count += 1;
        true
    }

    /// What became of what was asked about leases.
    pub(super) fn leased(&mut self, now: Instant, outcome: QueueOutcome<'_>, out: &mut Outbound) {
        let (receipt, result) = match outcome {
            QueueOutcome::Held { receipt, result } => {
                (u16::try_from(receipt).ok(), result.map_err(|refusal| refusal.reason))
            }
            QueueOutcome::ConsumerEnded { reason, .. } => {
                (self.taking().map(|(receipt, _)| receipt), Err(reason))
            }
            _ => return,
        };
        let Some(exchange) = receipt.and_then(|receipt| self.take_exchange(receipt)) else { return };
        let Work::Lease(leasing) = &exchange.work else { return };
        match (result, leasing.deed) {
            (Err(reason), _) => self.refuse(now, &exchange, Refusal::Core(reason), out),
            (Ok(None), _) => self.refuse(now, &exchange, Refusal::Core(Reason::NotFound), out),
            (Ok(Some(_)), Some(Deed::Accept)) => {
                self.respond(now, &exchange, &Response::new(Code::DELETED), out);
            }
            (Ok(Some(_)), Some(_)) => {
                self.respond(now, &exchange, &Response::new(Code::CHANGED), out);
            }
            (Ok(Some(_)), None) => self.answer_taken(now, &exchange, leasing, out),
        }
    }

    fn answer_taken(&mut self, now: Instant, exchange: &Exchange, leasing: &Leasing, out: &mut Outbound) {
        let mut head = Vec::with_capacity(9);
        Writer::new(&mut head).array(leasing.count);
        let representation = Representation {
            tag: None,
            format: Some(content_format::CBOR),
            media_type: &[],
            max_age: None,
            body: Pieces([&head, &leasing.taken, &[]]),
        };
        let keep = || Content { head: [&head[..], &leasing.taken].concat().into(), tail: None };
        let code = Code::CHANGED;
        self.respond_with_code(now, exchange, (code, &representation), (LEASES_KEY, None), keep, out);
    }
}
