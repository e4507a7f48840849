//! The machines beside a connection of MQTT 5.0, cut as the specification cuts them: receive maximum (section 4.9),
//! topic aliases (section 3.3.2.3.4) and the exchange of enhanced authentication (section 4.12).
//!
//! None of them knows which end it is at.

mod exchange;
mod receive_maximum;
mod topic_alias;

pub(crate) use exchange::{Exchanging, Turn};
pub(crate) use receive_maximum::Unfinished;
pub(crate) use topic_alias::{InboundAliases, OutboundAliases};
