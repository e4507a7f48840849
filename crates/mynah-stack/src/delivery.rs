//! Deliveries: messages on their way to a peer.

use mynah_model::{Class, Death, DeliveryId, MessageView, SubscriptionId, Topic, WallTime};

use crate::{ConsumerId, Frame};

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
    /// A message of a queue, for one of the peer's consumers. Only a connection gets it that consumes.
    Leased(&'a Lease<'a>),
    /// The peer has said that it received this exactly-once delivery; the session resumes by releasing it again.
    Release {
        /// Which delivery.
        id: DeliveryId,
    },
}

/// A message that a queue has handed out to a consumer.
#[derive(Clone, Copy, Debug)]
pub struct Lease<'a> {
    /// The encoding in the connection's layout, shared by all who get the message in this layout.
    pub frame: &'a Frame,
    /// The message, for what the frame does not say.
    pub message: MessageView<'a>,
    /// The exchange and the key that it came by, where these are not what its publisher named: of a dead letter, and of a
    /// message that was published to the topic that stands for the queue.
    pub routed: Option<(&'a [u8], &'a [u8])>,
    /// Whose delivery it is.
    pub consumer: ConsumerId,
    /// The number of the lease; counted for consumers too whose deliveries are settled by being made.
    pub lease: u64,
    /// How often it was acquired before: it is redelivered if that is not zero.
    pub acquired: u32,
    /// How often it has failed before.
    pub failed: u32,
    /// Its place in the queue, of a stream: its offset.
    pub offset: u64,
    /// Messages that are ready behind it.
    pub ready: u64,
    /// How it became a dead letter, the last time first.
    pub deaths: &'a [Death],
    /// Of a consumer that is a subscription ([`crate::Connection::consumes_by_subscribing`]): what there is to say of the
    /// delivery as one of the session's.
    pub subscribed: Option<&'a Subscribed<'a>>,
    /// Of a lease that the connection does not hold ([`crate::Holding::Take`]): until when it lasts.
    pub until: Option<WallTime>,
}

/// A delivery of a queue to a session that has subscribed to the queue's topic. It is settled like any other of the
/// session's, under its identifier; one without is settled by being made.
#[derive(Clone, Copy, Debug)]
pub struct Subscribed<'a> {
    /// The filter of the subscription: the topic that stands for the queue.
    pub topic: Topic<'a>,
    /// The guarantee of this delivery: the lower of the message's and the subscription's.
    pub class: Class,
    /// Names the delivery until it is settled; present exactly if the class is confirmed.
    pub id: Option<DeliveryId>,
    /// Names the subscription, if it has a name.
    pub subscription_ids: &'a [SubscriptionId],
}
