//! Deliveries: messages on their way to a peer.

use mynah_model::{Class, DeliveryId, SubscriptionId};

use crate::Frame;

/// One message, or one step of its exchange, for one peer.
#[derive(Clone, Copy, Debug)]
pub enum Delivery<'a> {
    /// A message. For a confirmed class `id` is set.
    Message {
        /// The encoding in the connection's layout, shared by all who get the message in this layout.
        frame: &'a Frame,
        /// The guarantee of this delivery: the lower of the message's and the subscription's.
        class: Class,
        /// Names the delivery until it is settled; present exactly if the class is confirmed.
        id: Option<DeliveryId>,
        /// Whether the receiver is to see the message as a retained value.
        retain: bool,
        /// Whether it may have been delivered before.
        redelivered: bool,
        /// Names the peer's subscriptions that the message came by, those that have a name.
        subscription_ids: &'a [SubscriptionId],
    },
    /// The peer has said that it received this exactly-once delivery; the session resumes by releasing it again.
    Release {
        /// Which delivery.
        id: DeliveryId,
    },
}
