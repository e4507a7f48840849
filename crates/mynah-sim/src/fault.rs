//! Planted faults: decorators around the protocol that break one promise now and then, to show that the model notices.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mynah_model::{Class, Instant, Layout};
use mynah_mqtt::TextRule;
use mynah_mqtt::Version;
use mynah_mqtt::framing::next_unit;
use mynah_mqtt::wire::{Ack, AckType, PacketType, Publish};
use mynah_stack::testing::Sequence;
use mynah_stack::{Command, Connection, Delivery, LayoutCodec, Open, Outbound, Outcome, Protocol, Step};

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
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 5] = [
        Self::EarlyAcknowledgement,
        Self::LostDup,
        Self::SwappedOrder,
        Self::ForgottenWill,
        Self::DoubleTakeOver,
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
pub(crate) struct Faulty {
    inner: Arc<dyn Protocol>,
    fault: Fault,
    shared: Arc<Mutex<Shared>>,
}

/// What the connections of a faulty protocol have in common.
struct Shared {
    sequence: Sequence,
    /// How many connections live, by client identifier.
    living: BTreeMap<Box<[u8]>, usize>,
}

impl Faulty {
    pub(crate) fn new(inner: Arc<dyn Protocol>, fault: Fault, sequence: Sequence) -> Self {
        Self { inner, fault, shared: Arc::new(Mutex::new(Shared { sequence, living: BTreeMap::new() })) }
    }
}

impl Protocol for Faulty {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn accept(&self, now: Instant) -> Box<dyn Connection> {
        Box::new(FaultyConnection {
            inner: self.inner.accept(now),
            fault: self.fault,
            shared: Arc::clone(&self.shared),
            is_open: false,
            acknowledged: false,
            held: Vec::new(),
            client_id: None,
        })
    }

    fn codec(&self) -> Arc<dyn LayoutCodec> {
        self.inner.codec()
    }
}

struct FaultyConnection {
    inner: Box<dyn Connection>,
    fault: Fault,
    shared: Arc<Mutex<Shared>>,
    is_open: bool,
    /// The packet at the front of the input is acknowledged already.
    acknowledged: bool,
    /// A delivery that the next one is to overtake.
    held: Vec<u8>,
    client_id: Option<Box<[u8]>>,
}

impl FaultyConnection {
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

impl Connection for FaultyConnection {
    fn step<'b>(&mut self, now: Instant, input: &mut &'b [u8], out: &mut Outbound) -> Step<'b> {
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
        let mut step = self.inner.step(now, input, out);
        match &mut step {
            Step::Command(Command::Open(open)) => self.spoil(open),
            Step::Close(_) => self.leave(),
            _ => {}
        }
        step
    }

    fn deliver(&mut self, now: Instant, delivery: Delivery<'_>, out: &mut Outbound) -> bool {
        match delivery {
            Delivery::Message { frame, class, id, retain, redelivered: true, subscription_ids }
                if self.is_due(Fault::LostDup) =>
            {
                let delivery =
                    Delivery::Message { frame, class, id, retain, redelivered: false, subscription_ids };
                self.inner.deliver(now, delivery, out)
            }
            _ if self.held.is_empty() && self.is_due(Fault::SwappedOrder) => {
                let mut later = Outbound::new();
                let taken = self.inner.deliver(now, delivery, &mut later);
                self.held = later.drain();
                taken
            }
            _ => {
                let taken = self.inner.deliver(now, delivery, out);
                self.release(out);
                taken
            }
        }
    }

    fn handle_outcome(&mut self, now: Instant, outcome: Outcome<'_>, out: &mut Outbound) {
        self.release(out);
        self.is_open |= matches!(outcome, Outcome::Opened(Ok(_)));
        if let Outcome::Published { class: Class::AtLeastOnce, .. } = outcome
            && std::mem::take(&mut self.acknowledged)
        {
            return;
        }
        self.inner.handle_outcome(now, outcome, out);
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Outbound) {
        self.inner.handle_timeout(now, out);
    }

    fn handle_shutdown(&mut self, now: Instant, out: &mut Outbound) {
        self.inner.handle_shutdown(now, out);
    }

    fn deadline(&self) -> Option<Instant> {
        self.inner.deadline()
    }

    fn layout(&self) -> Layout {
        self.inner.layout()
    }

    fn input_bytes_max(&self) -> usize {
        self.inner.input_bytes_max()
    }
}

impl Drop for FaultyConnection {
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
    fn only_a_whole_publish_of_qos_1_is_acknowledged_early() {
        let publish = [0x32, 6, 0, 1, b'a', 0, 9, b'x'];
        assert_eq!(puback_for(&publish).map(Ack::encode), Some([0x40, 2, 0, 9]));
        assert_eq!(puback_for(&publish[..7]), None);
        assert_eq!(puback_for(&[0x34, 6, 0, 1, b'a', 0, 9, b'x']), None);
        assert_eq!(puback_for(&[0xC0, 0]), None);
    }
}
