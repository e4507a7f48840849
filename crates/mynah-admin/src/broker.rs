//! What the management listener asks of the broker.

use std::pin::Pin;

use mynah_core::administration::{
    BindingView, ConnectionName, ConnectionView, Declined, ExchangeView, Names, Order, Ordered, QueueView,
};

use crate::Asker;
use crate::accounts::{UserChange, UserView};
use crate::messages::{Fetch, Fetched, Publication};

/// What is answered when the workers have; absent while there are none, because the broker starts or stops.
pub type Answer<T> = Pin<Box<dyn Future<Output = Option<T>> + Send>>;

/// The space of one tenant, as administrators have it.
pub trait Broker: Send + Sync + 'static {
    /// Queues of all workers, in the order of their names. Bindings are there if they are asked for.
    fn queues(&self, names: Names, with_bindings: bool) -> Answer<Vec<QueueView>>;

    /// Exchanges in the order of their names, beside the default one, and what they are bound to.
    fn exchanges(&self) -> Option<(Vec<ExchangeView>, Vec<BindingView>)>;

    /// Connections, so many at most.
    fn connections(&self, count: usize) -> Answer<Vec<ConnectionView>>;

    /// Ends a connection; says whether it was there.
    fn disconnect(&self, asker: &Asker, connection: ConnectionName, why: &str) -> Answer<bool>;

    /// The users of the tenant; an error if there is no list of them.
    fn users(&self, asker: &Asker) -> Answer<Result<Vec<UserView>, Declined>>;

    /// Changes users, which the broker knows then.
    fn change_users(&self, asker: &Asker, change: UserChange) -> Answer<Result<(), Declined>>;

    /// Publishes a message; says whether it has reached a queue, or why it was not taken.
    fn publish(&self, asker: &Asker, publication: Publication) -> Answer<Result<bool, Declined>>;

    /// Gets messages that are ready in a queue.
    fn fetch(&self, asker: &Asker, fetch: Fetch) -> Answer<Result<Vec<Fetched>, Declined>>;

    /// Carries something out that somebody wants who may administer.
    fn order(&self, asker: &Asker, order: Order) -> Answer<Ordered>;
}
