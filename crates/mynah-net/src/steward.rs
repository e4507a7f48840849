//! Administrators' way to the workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mynah_core::administration::{ConnectionName, Order, Ordered};
use mynah_engine::{ConnectionId, Engine, Shared};
use mynah_model::TenantId;

use crate::mailbox::{Letter, Mailbox};

/// Asks workers for what administrators want. Cheap to clone. Whoever waits for an answer hears nothing, and what it gave to be
/// called is dropped, when the broker stops.
#[derive(Clone)]
pub struct Steward {
    shared: Arc<Shared>,
    mailboxes: Arc<[Arc<Mailbox>]>,
    next: Arc<AtomicUsize>,
}

impl Steward {
    pub(crate) fn new(shared: &Arc<Shared>, mailboxes: &Arc<[Arc<Mailbox>]>) -> Self {
        Self { shared: Arc::clone(shared), mailboxes: Arc::clone(mailboxes), next: Arc::default() }
    }

    /// What the workers share.
    #[must_use]
    pub const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Lets each worker call something with what it has, between two turns: so it is to be quick.
    pub fn look(&self, look: &(impl Fn(&Engine) + Clone + Send + 'static)) {
        for mailbox in &*self.mailboxes {
            let look = look.clone();
            mailbox.post(Letter::Look(Box::new(move |engine| look(engine))));
        }
    }

    /// Has an order carried out; `then` is called with what became of it, by a worker.
    pub fn order(&self, tenant: TenantId, order: Order, then: impl FnOnce(Ordered) + Send + 'static) {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.mailboxes.len();
        let (order, then) = (Box::new(order), Box::new(then));
        self.mailboxes[turn].post(Letter::Order { tenant, order, then });
    }

    /// Ends a connection; `then` is called with whether it was there and of this tenant, by a worker.
    pub fn disconnect(
        &self,
        tenant: TenantId,
        name: ConnectionName,
        then: impl FnOnce(bool) + Send + 'static,
    ) {
        let connection = ConnectionId { slot: name.slot, generation: name.generation };
        match self.mailboxes.get(usize::from(name.worker.0)) {
            Some(mailbox) => mailbox.post(Letter::Disconnect { tenant, connection, then: Box::new(then) }),
            None => then(false),
        }
    }
}
