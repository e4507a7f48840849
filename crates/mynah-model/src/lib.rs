//! The nouns of the broker, shared by the core and by every protocol stack.
//!
//! Nothing here decides or performs I/O: a [`Topic`] names a place, a [`Filter`] selects topics, a [`Message`]
//! is what travels, a [`Class`] is the guarantee it asks for. What they mean across protocols is written in
//! `docs/mapping.md`.
#![no_std]

extern crate alloc;

mod calendar;
mod class;
mod condition;
mod description;
pub mod dotted;
mod filter;
mod identity;
mod lease;
mod limits;
mod message;
mod properties;
mod property_value;
mod queue;
mod reason;
mod session;
mod time;
mod topic;

pub use calendar::DateTime;
pub use class::Class;
pub use condition::{Condition, ValueTag};
pub use description::{ChannelDescription, Description};
pub use filter::{Filter, FilterError, Segment};
pub use identity::{Groups, Identity, TenantId};
pub use lease::{Credit, CreditChange, Death, DeathReason, LeaseSettlement};
pub use limits::{Limits, ShareStrategy};
pub use message::{Header, Layout, Message, MessageView, PRIORITY_DEFAULT};
pub use properties::{Properties, ReadPair, UserProperties};
pub use property_value::{Argument, PropertyValue, ShowCompound};
pub use queue::{
    DeadLetter, Durability, ExchangeKind, ExchangeSettings, HashOn, Overflow, QueueSettings, StreamOffset,
    StreamSettings,
};
pub use reason::Reason;
pub use session::{DeliveryId, Expiry, RetainHandling, SubscriptionId, SubscriptionOptions, Will};
pub use time::{Instant, WallTime};
pub use topic::{Topic, TopicError};
