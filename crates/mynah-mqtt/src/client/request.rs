//! What a program asks of a client: to publish, to subscribe, to authenticate, to leave.

use alloc::boxed::Box;
use alloc::vec::Vec;

use mynah_model::{Class, Filter, Instant, SubscriptionId, Topic};
use mynah_stack::Outbound;

use super::options::{binary_field, text_field};
use super::properties::encode_user;
use super::terms::PACKET_BYTES_MAX;
use super::{Client, Ending, Given, MessageProperties, Misuse, State, Terms, UserPairs};
use crate::Violation;
use crate::framing::packet_len;
use crate::mapping::{Extra, PublishHead, TopicForm};
use crate::wire::properties::{
    AuthProperties, DisconnectProperties, Section, SubscribeProperties, UnsubscribeProperties,
};
use crate::wire::{
    Auth, Disconnect, DisconnectV5, PacketId, Publish, ReasonCode, RetainHandling, Subscribe, SubscribeEntry,
    TextRule, Unsubscribe, check_topic_filter, check_topic_name,
};

/// A message to be published, with what MQTT 5.0 says beside.
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    /// Where.
    pub topic: &'a str,
    /// What.
    pub payload: &'a [u8],
    /// QoS.
    pub class: Class,
    /// Whether it becomes the topic's retained message.
    pub retain: bool,
    /// What is said beside; empty before MQTT 5.0.
    pub properties: &'a MessageProperties,
}

/// A subscription with the options of MQTT 5.0 (section 3.8.3.1).
#[derive(Clone, Copy, Debug)]
pub struct Subscription<'a> {
    /// Which topics.
    pub filter: &'a str,
    /// The highest QoS that is wanted.
    pub class_max: Class,
    /// Messages that the client itself publishes are not wanted.
    pub no_local: bool,
    /// The RETAIN flag is wanted as it was published.
    pub retain_as_published: bool,
    /// Which retained messages are wanted.
    pub retain_handling: RetainHandling,
}

impl<'a> Subscription<'a> {
    /// A subscription as MQTT 3.1.1 has it.
    #[must_use]
    pub const fn new(filter: &'a str, class_max: Class) -> Self {
        let retain_handling = RetainHandling::Send;
        Self { filter, class_max, no_local: false, retain_as_published: false, retain_handling }
    }
}

/// How a client of MQTT 5.0 takes leave (section 3.14).
#[derive(Clone, Debug)]
pub struct Leave {
    /// Why.
    pub reason_code: ReasonCode,
    /// Seconds for which the server keeps the session, instead of what CONNECT said.
    pub session_expiry: Option<u32>,
    /// For people.
    pub reason_string: Option<Box<str>>,
    /// What the application says beside.
    pub user: UserPairs,
}

impl Default for Leave {
    /// A normal disconnection.
    fn default() -> Self {
        let user = UserPairs::new();
        Self { reason_code: ReasonCode::Success, session_expiry: None, reason_string: None, user }
    }
}

impl Client {
    /// Publishes. A publication of QoS 1 or 2 has an identifier, by which its acknowledgement is known; it waits here while
    /// the server takes no more.
    ///
    /// # Errors
    /// The connection is not open, the topic is none, the packet is too large, the server takes no such message, or too
    /// much waits for acknowledgement.
    pub fn publish(
        &mut self,
        now: Instant,
        topic: &str,
        payload: &[u8],
        class: Class,
        retain: bool,
    ) -> Result<Option<PacketId>, Misuse> {
        let properties = &MessageProperties::default();
        self.publish_with(now, &Publication { topic, payload, class, retain, properties })
    }

    /// Publishes with the properties of MQTT 5.0.
    ///
    /// # Errors
    /// As for [`Client::publish`]; before MQTT 5.0 also if there are properties.
    pub fn publish_with(
        &mut self,
        now: Instant,
        publication: &Publication<'_>,
    ) -> Result<Option<PacketId>, Misuse> {
        self.check_open()?;
        let &Publication { topic, payload, class, retain, properties } = publication;
        let mut section = Vec::new();
        properties.encode(&mut section)?;
        let has_properties = self.options.version.has_properties();
        if !section.is_empty() && !has_properties {
            return Err(Misuse::NotInThisVersion);
        }
        let topic =
            check_topic_name(topic.as_bytes(), TextRule::AcceptDiscouraged).map_err(Misuse::Invalid)?;
        // The length before the properties has four bytes at the most.
        if !Publish::fits(topic.as_bytes().len(), 4 + section.len() + payload.len()) {
            return Err(Misuse::TooLarge);
        }
        let packet_id = if class.is_confirmed() { Some(self.fresh_id()?) } else { None };
        let properties = has_properties.then(|| Section::from_checked(&section));
        let mut packet = Vec::new();
        Publish { dup: false, class, retain, topic, packet_id, properties, payload }.encode(&mut packet);
        if let Some(code) = self.terms.refusal(class, retain, packet.len()) {
            return Err(Misuse::NotTaken(code));
        }
        match packet_id {
            Some(id) => {
                self.in_flight.add_publication(id, class, packet);
                self.send_waiting(now);
            }
            None => {
                write_publish(false, &packet, &self.terms, &mut self.given, &mut self.out);
                self.sent_at = now;
            }
        }
        Ok(packet_id)
    }

    /// Subscribes to filters, each with the highest QoS that is wanted.
    ///
    /// # Errors
    /// The connection is not open, there is no filter or one that is none, the server takes no such filter, or too much
    /// waits for an answer.
    pub fn subscribe(&mut self, now: Instant, filters: &[(&str, Class)]) -> Result<PacketId, Misuse> {
        let subscriptions: Vec<_> =
            filters.iter().map(|&(filter, class)| Subscription::new(filter, class)).collect();
        self.subscribe_with(now, &subscriptions, None, &UserPairs::new())
    }

    /// Subscribes with the options of MQTT 5.0; messages of the subscriptions will say that they came by `id`.
    ///
    /// # Errors
    /// As for [`Client::subscribe`]; before MQTT 5.0 also if there are options, an identifier or user properties.
    pub fn subscribe_with(
        &mut self,
        now: Instant,
        subscriptions: &[Subscription<'_>],
        id: Option<SubscriptionId>,
        user: &UserPairs,
    ) -> Result<PacketId, Misuse> {
        self.check_open()?;
        let entries: Vec<_> =
            subscriptions.iter().map(|subscription| self.entry(subscription)).collect::<Result<_, _>>()?;
        if id.is_some() && !self.terms.subscription_ids {
            return Err(Misuse::NotTaken(ReasonCode::SubscriptionIdentifiersNotSupported));
        }
        let has_properties = self.options.version.has_properties();
        if !has_properties && (id.is_some() || !user.is_empty()) {
            return Err(Misuse::NotInThisVersion);
        }
        let mut section = Vec::new();
        encode_user(user, &mut section)?;
        let properties = SubscribeProperties {
            subscription_identifier: id.and_then(|id| core::num::NonZeroU32::new(id.number())),
            ..Section::from_checked(&section).into()
        };
        check_request(entries.iter().map(|entry| 3 + entry.filter.as_bytes().len()), section.len() + 9)?;
        let packet_id = self.fresh_id()?;
        let properties = has_properties.then_some(properties);
        let mut packet = Vec::new();
        Subscribe { packet_id, properties, entries }.encode(&mut packet);
        self.send_request(now, &packet)?;
        self.in_flight.add_subscribe(packet_id, subscriptions.len());
        Ok(packet_id)
    }

    /// Ends subscriptions.
    ///
    /// # Errors
    /// As for [`Client::subscribe`].
    pub fn unsubscribe(&mut self, now: Instant, filters: &[&str]) -> Result<PacketId, Misuse> {
        self.check_open()?;
        let filters: Vec<_> =
            filters.iter().map(|&filter| check_filter(filter)).collect::<Result<_, Misuse>>()?;
        check_request(filters.iter().map(|filter| 2 + filter.as_bytes().len()), 1)?;
        let packet_id = self.fresh_id()?;
        let count = filters.len();
        let properties = self.options.version.has_properties().then(UnsubscribeProperties::default);
        let mut packet = Vec::new();
        Unsubscribe { packet_id, properties, filters }.encode(&mut packet);
        self.send_request(now, &packet)?;
        self.in_flight.add_unsubscribe(packet_id, count);
        Ok(packet_id)
    }

    /// Says more in an exchange of authentication: the answer to [`super::Event::Challenge`].
    ///
    /// # Errors
    /// There is no connection, or CONNECT had no method.
    pub fn authenticate(&mut self, now: Instant, data: &[u8]) -> Result<(), Misuse> {
        if self.state == State::Closed {
            return Err(Misuse::NotOpen);
        }
        self.send_auth(now, ReasonCode::ContinueAuthentication, Some(data))
    }

    /// Begins to authenticate once more while the connection is open ([MQTT-4.12.1-1] of MQTT 5.0). It ends with
    /// [`super::Event::Authenticated`], or the server ends the connection.
    ///
    /// # Errors
    /// The connection is not open, or CONNECT had no method.
    pub fn reauthenticate(&mut self, now: Instant, data: Option<&[u8]>) -> Result<(), Misuse> {
        self.check_open()?;
        self.send_auth(now, ReasonCode::ReAuthenticate, data)
    }

    fn send_auth(
        &mut self,
        now: Instant,
        reason_code: ReasonCode,
        data: Option<&[u8]>,
    ) -> Result<(), Misuse> {
        let authentication = self.options.v5.authentication.as_ref().ok_or(Misuse::NoAuthentication)?;
        if !self.options.version.has_properties() {
            return Err(Misuse::NotInThisVersion);
        }
        let properties = AuthProperties {
            authentication_method: Some(&authentication.method),
            authentication_data: data.map(binary_field).transpose()?,
            ..AuthProperties::default()
        };
        let mut packet = Vec::new();
        if !(Auth { reason_code, properties }).encode(self.terms.packet_bytes_max, &mut packet) {
            return Err(Misuse::NotTaken(ReasonCode::PacketTooLarge));
        }
        self.send(now, &packet);
        if let State::AwaitingConnack { since } = &mut self.state {
            *since = now;
        }
        Ok(())
    }

    /// Says good-bye: the will is not published ([MQTT-3.14.4-1], [MQTT-3.14.4-2]).
    pub fn disconnect(&mut self, now: Instant) {
        if self.state == State::Open {
            self.send(now, &Disconnect.encode());
        }
        self.close(Ending::Disconnected);
    }

    /// Takes leave in the words of MQTT 5.0.
    ///
    /// # Errors
    /// The connection is not open or of an earlier version, a text is none, the session cannot be kept, or the reason is not
    /// one of a client.
    pub fn leave(&mut self, now: Instant, leave: &Leave) -> Result<(), Misuse> {
        self.check_open()?;
        if !self.options.version.has_properties() {
            return Err(Misuse::NotInThisVersion);
        }
        if self.options.v5.session_expiry == 0 && leave.session_expiry.is_some_and(|seconds| seconds > 0) {
            return Err(Misuse::SessionNotKept);
        }
        if !leave.reason_code.is_allowed_in(crate::wire::PacketType::Disconnect) {
            return Err(Misuse::Invalid(Violation::ReasonCode.into()));
        }
        let mut user = Vec::new();
        encode_user(&leave.user, &mut user)?;
        let properties = DisconnectProperties {
            session_expiry_interval: leave.session_expiry,
            reason_string: leave.reason_string.as_deref().map(text_field).transpose()?,
            ..Section::from_checked(&user).into()
        };
        let mut packet = Vec::new();
        let disconnect = DisconnectV5 { reason_code: leave.reason_code, properties };
        if !disconnect.encode(self.terms.packet_bytes_max, &mut packet) {
            return Err(Misuse::NotTaken(ReasonCode::PacketTooLarge));
        }
        self.send(now, &packet);
        self.close(Ending::Disconnected);
        Ok(())
    }

    fn fresh_id(&self) -> Result<PacketId, Misuse> {
        self.in_flight.fresh_id(self.options.in_flight_max).ok_or(Misuse::InFlightFull)
    }

    fn send_request(&mut self, now: Instant, packet: &[u8]) -> Result<(), Misuse> {
        if packet.len() > self.terms.packet_bytes_max {
            return Err(Misuse::NotTaken(ReasonCode::PacketTooLarge));
        }
        self.send(now, packet);
        Ok(())
    }

    /// A subscription as the server takes it.
    fn entry<'a>(&self, subscription: &Subscription<'a>) -> Result<SubscribeEntry<'a>, Misuse> {
        let &Subscription { filter, class_max, no_local, retain_as_published, retain_handling } =
            subscription;
        let has_options = no_local || retain_as_published || retain_handling != RetainHandling::Send;
        if has_options && !self.options.version.has_properties() {
            return Err(Misuse::NotInThisVersion);
        }
        let filter = check_filter(filter)?;
        let entry = SubscribeEntry { filter, class_max, no_local, retain_as_published, retain_handling };
        if self.options.version.has_properties() && entry.is_shared() {
            check_shared(&entry)?;
            if !self.terms.shared {
                return Err(Misuse::NotTaken(ReasonCode::SharedSubscriptionsNotSupported));
            }
        }
        if !self.terms.wildcards && filter.as_bytes().iter().any(|byte| matches!(byte, b'+' | b'#')) {
            return Err(Misuse::NotTaken(ReasonCode::WildcardSubscriptionsNotSupported));
        }
        Ok(entry)
    }
}

/// Writes a PUBLISH, with an alias of its topic if that is agreed.
pub(super) fn write_publish(
    identified: bool,
    packet: &[u8],
    terms: &Terms,
    given: &mut Given,
    out: &mut Outbound,
) {
    if terms.topic_alias_max > 0
        && let (Some(&first), Some(head)) = (packet.first(), PublishHead::parse(packet, identified))
    {
        let topic = given.form(head.topic(), terms.packet_bytes_max.saturating_sub(packet.len()));
        let extra = Extra { topic, subscription_ids: &[] };
        if topic != TopicForm::Name && head.compose(first, head.id(), &extra, out) {
            return;
        }
    }
    out.append(packet);
}

fn check_filter(filter: &str) -> Result<Filter<'_>, Misuse> {
    check_topic_filter(binary_field(filter.as_bytes())?, TextRule::AcceptDiscouraged).map_err(Misuse::Invalid)
}

/// Checks a filter that begins with `$share/` ([MQTT-4.8.2-1], [MQTT-4.8.2-2], [MQTT-3.8.3-4] of MQTT 5.0).
fn check_shared(entry: &SubscribeEntry<'_>) -> Result<(), Misuse> {
    if entry.no_local {
        return Err(Misuse::Invalid(Violation::NoLocalShared.into()));
    }
    let mut parts = entry.filter.as_bytes().splitn(3, |&byte| byte == b'/').skip(1);
    let name = parts.next().unwrap_or_default();
    let is_name = !name.is_empty() && Topic::new(name).is_ok();
    let has_filter = parts.next().is_some_and(|filter| !filter.is_empty());
    if is_name && has_filter { Ok(()) } else { Err(Misuse::Invalid(Violation::FilterWildcard.into())) }
}

/// Checks that a request has a filter and fits a packet with `other` bytes beside.
fn check_request(lens: impl ExactSizeIterator<Item = usize>, other: usize) -> Result<(), Misuse> {
    if lens.len() == 0 {
        return Err(Misuse::NoFilter);
    }
    if packet_len(0) + 2 + other + lens.sum::<usize>() > PACKET_BYTES_MAX - 3 {
        Err(Misuse::TooLarge)
    } else {
        Ok(())
    }
}
