//! The class tx: publications and acknowledgements of a channel wait for a commit.

use alloc::boxed::Box;
use alloc::vec::Vec;

use mynah_stack::{LeaseSettlement, Outbound};

use super::ServerConnection;
use super::jobs::Kind;
use super::prepared::{HeldPublish, Todo};
use super::publishing::Returned;
use super::settling::{Held, add_row};
use crate::v0_9_1::wire::{Method, MethodId, tx};
use crate::v0_9_1::{Exception, ReplyCode};

/// What a publication costs beside its bytes.
pub(super) const OVERHEAD_BYTES: u64 = 128;

/// What waits for a commit.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    pub(super) publications: Vec<HeldPublish>,
    /// What the publications cost.
    pub(super) bytes: u64,
    /// Deliveries by their tags, and what became of them.
    pub(super) settled: Vec<(u64, Held, LeaseSettlement)>,
}

impl ServerConnection {
    /// Handles the methods of the class tx.
    pub(super) fn handle_tx(
        &mut self,
        number: u16,
        method: &Method<'_>,
        out: &mut Outbound,
    ) -> Result<(), Exception> {
        let Some(channel) = self.channels.get_mut(&number) else { return Ok(()) };
        match method {
            Method::TxSelect(_) if channel.confirms.is_some() => {
                Err(failed(method.id(), "cannot switch from confirm to tx mode"))
            }
            Method::TxSelect(_) => {
                channel.tx.get_or_insert_default();
                self.send(number, tx::SelectOk {}, out);
                Ok(())
            }
            method if channel.tx.is_none() => Err(failed(method.id(), "channel is not transactional")),
            Method::TxCommit(_) => {
                self.commit(number, out);
                Ok(())
            }
            _ => {
                self.roll_back(number);
                self.send(number, tx::RollbackOk {}, out);
                Ok(())
            }
        }
    }

    fn commit(&mut self, number: u16, out: &mut Outbound) {
        let Some(channel) = self.channels.get_mut(&number) else { return };
        let Transaction { publications, bytes, settled } =
            channel.tx.take().map(|tx| *tx).unwrap_or_default();
        channel.tx = Some(Box::default());
        self.contents_bytes -= bytes;
        if publications.is_empty() && settled.is_empty() {
            return self.send(number, tx::CommitOk {}, out);
        }
        let mut settlements = Vec::new();
        for (_, held, settlement) in settled {
            channel.note_settled(held);
            add_row(held, settlement, &mut settlements);
        }
        let mandatory = (0..).zip(&publications).filter(|(_, held)| held.mandatory);
        let returned = mandatory.map(|(place, held)| (place, Returned::of(held))).collect();
        let todo = Todo::Commit { publications, settlements };
        self.begin(number, tx::Commit::ID, true, b"", Kind::Commit { returned }, todo);
        self.balance(number);
    }

    /// What was published is forgotten; what was acknowledged waits again.
    pub(super) fn roll_back(&mut self, number: u16) {
        let Some(channel) = self.channels.get_mut(&number) else { return };
        let Some(tx) = &mut channel.tx else { return };
        let Transaction { bytes, settled, .. } = core::mem::take(&mut **tx);
        self.contents_bytes -= bytes;
        for (tag, held, _) in settled {
            channel.unacknowledged.restore(tag, held);
        }
    }
}

fn failed(method: MethodId, text: &'static str) -> Exception {
    Exception::new(ReplyCode::PreconditionFailed, method, text)
}
