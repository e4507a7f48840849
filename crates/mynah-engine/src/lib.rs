//! One worker's turn without I/O.
//!
//! An [`Engine`] owns connections and sessions, dispatches to the protocol stacks, and carries messages from one to
//! the other. It knows no protocol and no socket: bytes, instants and other workers' [`Parcel`]s go in; bytes,
//! [`Event`]s and parcels come out. Several engines that share one [`Shared`] are one broker.
//!
//! * `engine`: the state. What the I/O layer calls: `arrive` for those who come in, `input` and `output` for bytes, `due`
//!   for time. `open`, `publish`, `retained`, `subscribe`, `settle`, `close`: the commands.
//! * `authenticate`: proving who a peer is. `share`: what goes from one member of a group to another.
//! * `lane`: a delivery to a session of this worker; `pump`: deliveries that had to wait.
//! * `spread`: publishing what may have to be stored; `deeds`: what several workers do for one message, each once.
//! * `journal`: what is to be stored; `passing`: what need not be; `changes`: how the I/O layer sees it; `waiting`: what
//!   waits for it; `restore`: what an earlier run left.
//! * `rules`: what each connection may do, and what a change of the rules ends; `restraint`: the limits that rules set.
//! * `layouts`: who encodes what, once for all receivers alike. `timer`: the wheel. `inbox`: what workers exchange.
//! * `named`: named queues, and who consumes from them.
//! * `administration`: what administrators see, and what they ask for.
//! * `sys`: what the broker publishes of itself. `presence`: who is here, for those who ask. `audit`: what it tells of what happens to it.
//! * [`websocket`]: the framing that may lie between a socket and a connection; the I/O layer puts it there.

mod administration;
mod arrive;
mod audit;
mod authenticate;
mod changes;
mod close;
mod connections;
mod deeds;
mod delayed;
mod due;
mod engine;
mod inbox;
mod input;
mod item;
mod journal;
mod lane;
mod layouts;
mod named;
mod open;
mod output;
mod passing;
mod presence;
mod proof;
mod publish;
mod pump;
mod random;
mod restore;
mod restraint;
mod retained;
mod rules;
mod settle;
mod share;
mod shared;
mod spread;
mod subscribe;
mod sys;
mod timer;
mod waiting;
pub mod websocket;

pub use audit::{Actor, Admitted, AuditEvent, AuditKind, Audited, Changed, Denial, Limit, shown};
pub use authenticate::{Attempt, Authenticated};
pub use changes::{Change, SessionName};
pub use connections::ConnectionId;
pub use deeds::{Parts, RestoredErrand};
pub use delayed::RestoredDelayed;
pub use engine::{Engine, Event};
pub use inbox::{Handover, Parcel};
pub use journal::{Mark, Promise};
pub use named::{
    Binding, ExchangeChange, PageRequest, QueueChange, QueueName, RestoredEntry, RestoredExchange,
    RestoredQueue, Word,
};
pub use proof::{AlternativeName, PeerCertificate, Proof};
pub use restore::{Restored, RestoredSubscription};
pub use shared::{BRIDGE_PREFIX, Listener, Settings, Shared, Sizes};
