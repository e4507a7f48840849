//! Messages of the broker on their way to the client.

use mynah_model::{DeliveryId, SubscriptionId, Topic};
use mynah_stack::{Delivery, Frame, Lease, Outbound, Subscribed};

use super::ServerConnection;
use crate::mapping::{self, Extra, PublishHead, TopicForm};
use crate::wire::{Publish, ReasonCode};

impl ServerConnection {
    /// Writes a delivery of an open session. False, and nothing is written, if it is larger than the client takes
    /// ([MQTT-3.1.2-24], [MQTT-3.1.2-25]).
    #[inline]
    pub(super) fn deliver_open(&mut self, delivery: Delivery<'_>, out: &mut Outbound) -> bool {
        match delivery {
            Delivery::Message { frame, class, id, retain, redelivered, subscription_ids } => {
                let first = Publish::first_byte(class, redelivered, retain);
                // A session may have got its identifiers from a client of MQTT 5.0, and now have an older one.
                let is_plain = subscription_ids.is_empty() || !self.version.has_properties();
                if !is_plain || self.terms.gives_aliases {
                    let head = PublishHead::parse(&frame.head, frame.id_at.is_some());
                    return head.is_some_and(|head| {
                        self.deliver_composed((head, frame), first, id, subscription_ids, out)
                    });
                }
                if frame.len() > self.terms.packet_bytes_max as usize {
                    return false;
                }
                frame.write(out, first, id);
            }
            Delivery::Release { id } => self.release(id, ReasonCode::Success, out),
            Delivery::Leased(lease) => return self.deliver_leased(lease, out),
        }
        true
    }

    /// Writes a message with what only this client is told of it.
    fn deliver_composed(
        &mut self,
        (head, frame): (PublishHead<'_>, &Frame),
        first: u8,
        id: Option<DeliveryId>,
        subscription_ids: &[SubscriptionId],
        out: &mut Outbound,
    ) -> bool {
        let mut aliases = self.beside.as_mut().and_then(|beside| beside.outbound_aliases.as_mut());
        let topic = aliases.as_ref().map_or(TopicForm::Name, |aliases| aliases.form(head.topic()));
        let fits = |extra: &Extra<'_>| head.packet_len(extra) <= self.terms.packet_bytes_max as usize;
        let mut extra = Extra { topic, subscription_ids };
        // A new alias is worth less than the message.
        if matches!(topic, TopicForm::NameAndAlias(_)) && !fits(&extra) {
            extra.topic = TopicForm::Name;
        }
        if !fits(&extra) || !head.compose(first, id, &extra, out) {
            return false;
        }
        frame.write_body(out);
        if let Some(aliases) = &mut aliases {
            aliases.sent(head.topic(), extra.topic);
        }
        true
    }

    /// Writes a message of a queue whose topic the client has subscribed to.
    #[cold]
    fn deliver_leased(&mut self, lease: &Lease<'_>, out: &mut Outbound) -> bool {
        let Some(Subscribed { topic, class, id, subscription_ids }) = lease.subscribed.copied() else {
            return false; // nothing else is consumed here
        };
        let (frame, has_properties) = (lease.frame, self.version.has_properties());
        let parse = if has_properties { PublishHead::parse } else { PublishHead::parse_v3 };
        let Some(head) = parse(&frame.head, frame.id_at.is_some()) else { return false };
        let published_to = Topic::from_checked(head.topic());
        let properties = mapping::properties_of_queue(head.properties(), published_to, topic);
        let head = head.with(topic.as_bytes(), &properties);
        let first = Publish::first_byte(class, class.is_confirmed() && lease.acquired > 0, false);
        let ids = if has_properties { subscription_ids } else { &[] };
        self.deliver_composed((head, frame), first, id, ids, out)
    }
}
