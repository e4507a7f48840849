//! Planted faults: decorators around the protocol that break one promise now and then, to show that the model notices.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mynah_model::{Class, Instant};
use mynah_mqtt::framing::next_unit;
use mynah_mqtt::wire::properties::PropertyId;
use mynah_mqtt::wire::{Ack, AckType, PacketType, Publish};
use mynah_mqtt::{TextRule, Version};
use mynah_stack::testing::Sequence;
use mynah_stack::{Command, Connection, Delivery, Open, Outbound, Outcome, Protocol, Step};

use crate::layer::{Layer, Layered};
use crate::shape::share_of;

/// A promise that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A publication of QoS 1 is acknowledged when it arrives and carried out when the next bytes come; if the
    /// connection ends before, it is lost.
    EarlyAcknowledgement,
    /// A repeated delivery does not say that it is one.
    LostDup,
    /// Two deliveries that follow each other are exchanged.
    SwappedOrder,
    /// The broker does not keep the will of a connection.
    ForgottenWill,
    /// A client that comes in while its earlier connection lives does not end that one: both have a session.
    DoubleTakeOver,
    /// A member of a group gets what another one gets, too.
    SharedTwice,
    /// What a member of a group gets in place of another one is not written.
    LostShare,
    /// A message does not name one of the subscriptions by which it comes.
    LostIdentifier,
    /// A will does not wait.
    EarlyWill,
    /// A message comes under the alias of another topic.
    MixedAlias,
    /// A client gets more than its Receive Maximum.
    ExceededReceiveMaximum,
    /// A message is forwarded as if it were wanted for ever.
    ForgottenExpiry,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 12] = [
        Self::EarlyAcknowledgement,
        Self::LostDup,
        Self::SwappedOrder,
        Self::ForgottenWill,
        Self::DoubleTakeOver,
        Self::SharedTwice,
        Self::LostShare,
        Self::LostIdentifier,
        Self::EarlyWill,
        Self::MixedAlias,
        Self::ExceededReceiveMaximum,
        Self::ForgottenExpiry,
    ];

    /// The name by which a fault is chosen on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EarlyAcknowledgement => "early-acknowledgement",
            Self::LostDup => "lost-dup",
            Self::SwappedOrder => "swapped-order",
            Self::ForgottenWill => "forgotten-will",
            Self::DoubleTakeOver => "double-take-over",
            Self::SharedTwice => "shared-twice",
            Self::LostShare => "lost-share",
            Self::LostIdentifier => "lost-identifier",
            Self::EarlyWill => "early-will",
            Self::MixedAlias => "mixed-alias",
            Self::ExceededReceiveMaximum => "exceeded-receive-maximum",
            Self::ForgottenExpiry => "forgotten-expiry",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::name).join(", ");
        let fault = Self::ALL.into_iter().find(|fault| fault.name() == name);
        fault.ok_or_else(|| format!("there is no fault `{name}`; there are: {known}"))
    }
}

/// How many opportunities pass, on average, for one that is taken.
const RARITY: u64 = 16;

/// A protocol with a fault.
pub(crate) fn faulty(inner: Arc<dyn Protocol>, fault: Fault, sequence: Sequence) -> Arc<dyn Protocol> {
    let shared = Arc::new(Mutex::new(Shared { sequence, living: BTreeMap::new(), shared: BTreeSet::new() }));
    let make = move || Spoiler {
        fault,
        shared: Arc::clone(&shared),
        is_open: false,
        acknowledged: false,
        held: Vec::new(),
        client_id: None,
    };
    Arc::new(Layered::new(inner, make))
}

/// What the connections of a faulty protocol have in common.
struct Shared {
    sequence: Sequence,
    /// How many connections live, by client identifier.
    living: BTreeMap<Box<[u8]>, usize>,
    /// Messages that a member of a group got.
    shared: BTreeSet<Vec<u8>>,
}

/// What a fault does on one connection.
struct Spoiler {
    fault: Fault,
    shared: Arc<Mutex<Shared>>,
    is_open: bool,
    /// The packet at the front of the input is acknowledged already.
    acknowledged: bool,
    /// A delivery that the next one is to overtake.
    held: Vec<u8>,
    client_id: Option<Box<[u8]>>,
}

impl Spoiler {
    fn is_due(&self, fault: Fault) -> bool {
        self.fault == fault && lock(&self.shared).sequence.next_number().is_multiple_of(RARITY)
    }

    fn release(&mut self, out: &mut Outbound) {
        out.append(&std::mem::take(&mut self.held));
    }

    fn spoil(&mut self, open: &mut Open) {
        if self.is_due(Fault::ForgottenWill) {
            open.will = None;
        }
        if let Some(will) = &mut open.will
            && self.is_due(Fault::EarlyWill)
        {
            will.delay = Duration::ZERO;
        }
        if self.is_due(Fault::ExceededReceiveMaximum) {
            open.receive_max = u16::MAX;
        }
        let is_due = self.is_due(Fault::DoubleTakeOver);
        let Some(session) = open.session.as_mut().filter(|_| self.fault == Fault::DoubleTakeOver) else {
            return;
        };
        let name = session.client_id.clone();
        let mut shared = lock(&self.shared);
        let living = shared.living.entry(name.clone()).or_default();
        if *living > 0 && is_due {
            // Under another name the session of the earlier connection is not found.
            session.client_id = [&*name, b"'"].concat().into();
        }
        *living += 1;
        self.client_id = Some(name);
    }

    /// The connection no longer counts as one that lives.
    fn leave(&mut self) {
        if let Some(name) = self.client_id.take()
            && let Some(living) = lock(&self.shared).living.get_mut(&name)
        {
            *living -= 1;
        }
    }
}

impl Layer for Spoiler {
    fn step<'b>(
        &mut self,
        inner: &mut dyn Connection,
        now: Instant,
        input: &mut &'b [u8],
        out: &mut Outbound,
    ) -> Step<'b> {
        self.release(out);
        if self.is_open
            && !self.acknowledged
            && let Some(ack) = puback_for(input)
            && self.is_due(Fault::EarlyAcknowledgement)
        {
            out.append(&ack.encode());
            self.acknowledged = true;
            return Step::Idle;
        }
        let mut step = inner.step(now, input, out);
        match &mut step {
            Step::Command(Command::Open(open)) => self.spoil(open),
            Step::Command(Command::Subscribe(subscribe)) => {
                for request in subscribe.requests.iter_mut().flatten() {
                    if request.share.is_some() && self.is_due(Fault::SharedTwice) {
                        request.share = Some(b"another group");
                    }
                }
            }
            Step::Command(Command::Publish(publish)) if self.is_due(Fault::ForgottenExpiry) => {
                publish.header.deadline = None;
            }
            Step::Close(_) => self.leave(),
            _ => {}
        }
        step
    }

    fn deliver(
        &mut self,
        inner: &mut dyn Connection,
        now: Instant,
        delivery: Delivery<'_>,
        out: &mut Outbound,
    ) -> bool {
        match delivery {
            Delivery::Message { frame, class, id, retain, redelivered: true, subscription_ids }
                if self.is_due(Fault::LostDup) =>
            {
                let delivery =
                    Delivery::Message { frame, class, id, retain, redelivered: false, subscription_ids };
                inner.deliver(now, delivery, out)
            }
            Delivery::Message { frame, subscription_ids: [id, ..], redelivered: false, .. }
                if self.fault == Fault::LostShare && share_of(id.number()).is_some() =>
            {
                let key = [&id.number().to_be_bytes(), &*frame.head].concat();
                // Nobody has got it before, or it gets lost.
                !lock(&self.shared).shared.insert(key) || inner.deliver(now, delivery, out)
            }
            Delivery::Message {
                frame,
                class,
                id,
                retain,
                redelivered,
                subscription_ids: [_, others @ ..],
            } if self.is_due(Fault::LostIdentifier) => {
                let subscription_ids = others;
                let delivery = Delivery::Message { frame, class, id, retain, redelivered, subscription_ids };
                inner.deliver(now, delivery, out)
            }
            _ if self.is_due(Fault::MixedAlias) => {
                let mut own = Outbound::new();
                let taken = inner.deliver(now, delivery, &mut own);
                let mut bytes = own.drain();
                mix_alias(&mut bytes);
                out.append(&bytes);
                taken
            }
            _ if self.held.is_empty() && self.is_due(Fault::SwappedOrder) => {
                let mut later = Outbound::new();
                let taken = inner.deliver(now, delivery, &mut later);
                self.held = later.drain();
                taken
            }
            _ => {
                let taken = inner.deliver(now, delivery, out);
                self.release(out);
                taken
            }
        }
    }

    fn handle_outcome(
        &mut self,
        inner: &mut dyn Connection,
        now: Instant,
        outcome: Outcome<'_>,
        out: &mut Outbound,
    ) {
        self.release(out);
        self.is_open |= matches!(outcome, Outcome::Opened(Ok(_)));
        if let Outcome::Published { class: Class::AtLeastOnce, .. } = outcome
            && std::mem::take(&mut self.acknowledged)
        {
            return;
        }
        inner.handle_outcome(now, outcome, out);
    }
}

impl Drop for Spoiler {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The acknowledgement of the packet at the front of the input, if that is a whole PUBLISH of QoS 1.
fn puback_for(mut input: &[u8]) -> Option<Ack> {
    let unit = next_unit(&mut input, Version::V3_1_1, usize::MAX).ok()??;
    let unit = Some(unit).filter(|unit| unit.packet_type == PacketType::Publish)?;
    let publish =
        Publish::decode(unit.flags, unit.body, TextRule::AcceptDiscouraged, Version::V3_1_1).ok()?;
    let packet_id = publish.packet_id.filter(|_| publish.class == Class::AtLeastOnce)?;
    Some(Ack { ack_type: AckType::Puback, packet_id })
}

/// Gives a PUBLISH that has no topic but an alias the alias before it.
fn mix_alias(bytes: &mut [u8]) {
    let mut input = &*bytes;
    let Ok(Some(unit)) = next_unit(&mut input, Version::V5, usize::MAX) else { return };
    let publish = Publish::decode(unit.flags, unit.body, TextRule::AcceptDiscouraged, Version::V5);
    let alias = publish.ok().filter(|publish| publish.topic.as_bytes().is_empty());
    let Some(alias) = alias.and_then(|publish| publish.topic_alias()).filter(|alias| alias.get() > 1) else {
        return;
    };
    let [high, low] = alias.get().to_be_bytes();
    let property = [PropertyId::TopicAlias as u8, high, low];
    if let Some(at) = bytes.windows(3).position(|window| window == property) {
        bytes[at + 1..at + 3].copy_from_slice(&(alias.get() - 1).to_be_bytes());
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_found_by_its_name() {
        for fault in Fault::ALL {
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
        assert!("lost-will".parse::<Fault>().unwrap_err().contains("forgotten-will"));
    }

    #[test]
    fn an_alias_becomes_the_one_before_it() {
        let mut publish = [0x30, 7, 0, 0, 3, 0x23, 0, 2, b'x'];
        mix_alias(&mut publish);
        assert_eq!(publish, [0x30, 7, 0, 0, 3, 0x23, 0, 1, b'x']);
        mix_alias(&mut publish);
        assert_eq!(publish[7], 1);
    }

    #[test]
    fn only_a_whole_publish_of_qos_1_is_acknowledged_early() {
        let publish = [0x32, 6, 0, 1, b'a', 0, 9, b'x'];
        assert_eq!(puback_for(&publish).map(Ack::encode), Some([0x40, 2, 0, 9]));
        assert_eq!(puback_for(&publish[..7]), None);
        assert_eq!(puback_for(&[0x34, 6, 0, 1, b'a', 0, 9, b'x']), None);
        assert_eq!(puback_for(&[0xC0, 0]), None);
    }
}
