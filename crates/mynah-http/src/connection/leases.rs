//! What a request asks about leases, and its answer as JSON (`docs/mapping.md`, "A message as JSON").

use mynah_model::{DateTime, WallTime};
use mynah_stack::{Hold, Holder, Holding, Lease, QueueCommand};

use super::RECEIPT;
use crate::wire::{LeaseRequest, lease_name};

/// What was asked, and what has come of it.
#[derive(Debug)]
pub(super) struct Leases {
    holder: Holder,
    holding: Holding,
    /// What was leased: objects, with commas between.
    objects: Vec<u8>,
}

/// The command to the core.
pub(super) fn hold<'b>(request: &LeaseRequest<'b>) -> QueueCommand<'b> {
    let LeaseRequest { queue, holder, holding } = *request;
    QueueCommand::Hold(Box::new(Hold { receipt: u32::from(RECEIPT), queue, holder, holding }))
}

impl Leases {
    pub(super) const fn new(request: &LeaseRequest<'_>) -> Self {
        Self { holder: request.holder, holding: request.holding, objects: Vec::new() }
    }

    /// Adds a message that was leased: the object of its event, and what there is to say of the lease. False if it is none.
    pub(super) fn add(&mut self, lease: &Lease<'_>) -> bool {
        let event = &lease.frame.head;
        let begin = event.iter().position(|byte| *byte == b'{');
        let end = event.iter().rposition(|byte| *byte == b'}');
        let Some(object) = begin.zip(end).and_then(|(begin, end)| event.get(begin..end)) else {
            return false;
        };
        if !self.objects.is_empty() {
            self.objects.push(b',');
        }
        self.objects.extend_from_slice(object);
        let (name, count) = (lease_name(self.holder, lease.lease), lease.failed);
        let mut told = format!(",\"lease\":\"{name}\",\"delivery_count\":{count}");
        if let Some(until) = lease.until.and_then(DateTime::new) {
            told += &format!(",\"lease_expires\":\"{until}\"");
        }
        self.objects.extend_from_slice(told.as_bytes());
        self.objects.push(b'}');
        true
    }

    /// The body of the answer: what was taken, or until when what was extended is held. None of what was settled.
    pub(super) fn into_body(self, until: WallTime) -> Option<Vec<u8>> {
        match self.holding {
            Holding::Take { .. } => Some([b"[", &self.objects[..], b"]\n"].concat()),
            Holding::Extend(lease, _) => {
                let name = lease_name(self.holder, lease);
                let until = DateTime::new(until).map(|until| format!(",\"lease_expires\":\"{until}\""));
                Some(format!("{{\"lease\":\"{name}\"{}}}\n", until.unwrap_or_default()).into_bytes())
            }
            Holding::Settle(..) => None,
        }
    }
}
