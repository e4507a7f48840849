//! Long queues whose middle the store holds: when that may be, and how it comes back.

use mynah_core::{SessionRef, shard};
use mynah_model::{Message, TenantId};

use crate::engine::Engine;

/// Entries of a queue that are to be read back: [`mynah_core::PAGE`] of them, from a number on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// The queue, for [`Engine::handle_page`].
    pub queue: SessionRef,
    /// The number of the first entry.
    pub from: u64,
    /// The tenant.
    pub tenant: TenantId,
    /// The partition of durable state.
    pub shard: u16,
    /// The queue's name.
    pub name: Box<[u8]>,
}

impl Engine {
    /// From here on entries of long queues that are stored are let go of: the I/O layer reads them back where
    /// [`Engine::poll_page`] says.
    pub fn page_queues(&mut self) {
        self.lane.queues.is_paged = true;
    }

    /// The next page that is to be read.
    pub fn poll_page(&mut self) -> Option<PageRequest> {
        self.lane.queues.pages.pop_front()
    }

    /// Takes in a page that was read: entries in order, those that cannot be read any more without their messages, fewer than
    /// were asked for if there are no more. None if they could not be read now: they are asked for again.
    pub fn handle_page(
        &mut self,
        queue: SessionRef,
        from: u64,
        entries: Option<Vec<(u64, Option<Message>)>>,
    ) {
        self.lane.journal.begin();
        let Some(owned) = self.lane.queues.get_mut(queue) else { return };
        match entries {
            Some(entries) => owned.kernel.take_page(from, entries.into_iter()),
            None => owned.kernel.miss_page(),
        }
        self.lane.queues.list(queue);
    }

    /// Lets go of what is stored by now, and asks for what is needed next.
    pub(super) fn page_queue(&mut self, queue: SessionRef) {
        if !self.lane.queues.is_paged {
            return;
        }
        let (journal, seed) = (&self.lane.journal, self.shared.seed);
        let Some(owned) = self.lane.queues.get_mut(queue) else { return };
        let mut stored = None;
        while let Some((_, last)) = owned.entered.pop_front_if(|(mark, _)| journal.is_stored(*mark)) {
            stored = Some(last);
        }
        if let Some(stored) = stored {
            owned.kernel.let_go(stored);
        }
        let Some(from) = owned.kernel.wants_page() else { return };
        let (tenant, name) = (owned.tenant, owned.name.clone());
        let shard = shard(tenant, &name, seed);
        self.lane.queues.pages.push_back(PageRequest { queue, from, tenant, shard, name });
    }
}
