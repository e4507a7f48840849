//! Who has been let in at a management listener, on the way to the workers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mynah_admin::Asker;
use mynah_engine::Authenticated;

/// Those who are on their way, by the numbers of their tickets. A ticket is good once, and only for who comes by a link of this
/// process, so that nobody has to be kept from guessing its number. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Tickets(Arc<Issued>);

#[derive(Default)]
struct Issued {
    last: AtomicU64,
    waiting: Mutex<HashMap<u64, Authenticated>>,
}

/// A ticket; what nobody has used goes with it.
pub(crate) struct Ticket {
    tickets: Tickets,
    number: u64,
}

impl Tickets {
    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, Authenticated>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A ticket for somebody who was let in.
    pub(crate) fn issue(&self, asker: &Asker) -> Ticket {
        let Asker { identity, groups, mandate, .. } = asker.clone();
        let admitted = Authenticated { identity, groups, mandate, valid_until: None, last_word: None };
        let number = self.0.last.fetch_add(1, Ordering::Relaxed);
        self.waiting().insert(number, admitted);
        Ticket { tickets: self.clone(), number }
    }

    /// Who comes with a ticket.
    pub(crate) fn take(&self, ticket: &str) -> Option<Authenticated> {
        self.waiting().remove(&ticket.parse().ok()?)
    }
}

impl Ticket {
    /// What is shown of it.
    pub(crate) fn number(&self) -> String {
        self.number.to_string()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.tickets.waiting().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mynah_model::TenantId;
    use std::net::SocketAddr;

    #[test]
    fn a_ticket_is_good_once() {
        let tickets = Tickets::default();
        let asker = Asker::anonymous(SocketAddr::from(([127, 0, 0, 1], 1)), TenantId::DEFAULT, "m");
        let (ticket, unused) = (tickets.issue(&asker), tickets.issue(&asker));
        assert_eq!(tickets.take(&ticket.number()).map(|admitted| admitted.identity), Some(asker.identity));
        assert!(tickets.take(&ticket.number()).is_none());
        let number = unused.number();
        drop(unused);
        assert!(tickets.take(&number).is_none() && tickets.take("x").is_none());
    }
}
