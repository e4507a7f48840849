//! The server's half of an association: what one peer says over a datagram's two addresses, or over one connection of a
//! reliable transport.
//!
//! ```text
//!        a request            Opened(Ok)
//! Fresh -----------> Opening ------------> Open --silence, end, error--> Ending --> Closed
//!                       | Opened(Err): every request is refused              ^
//!                       +-----------------------> Refused -------------------+
//! ```
//!
//! Invariants: a unit of input is consumed whole, and only while the core is not being asked to open; it leads to at most
//! one command at once, and what else is to be asked waits in `todo`; only one value is being read at a time, since the
//! core's answer does not say to what.

mod asked;
mod brokered;
mod calling;
mod datagram;
mod device;
mod exchange;
mod leasing;
mod multicast;
mod named;
mod observing;
mod outcomes;
mod publishing;
mod reliable;
mod requests;
mod response;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use mynah_model::{Instant, Layout, Reason};
use mynah_stack::{Close, Command, Connection, Delivery, Open, Outbound, Outcome, Settle, Step};

use crate::flow::{Downloads, Observations, Random, Uploads};
use crate::framing::{DATAGRAM_BYTES_MAX, DATAGRAM_LENGTH_BYTES, Transport, WEBSOCKET_LENGTH_BYTES};
use crate::mapping::LAYOUT_NOTIFICATION;
use crate::protocol::Stack;
use datagram::DatagramLink;
use device::Device;
use exchange::Exchange;
use multicast::GroupAnswers;
use named::{Named, NamedRequest};
use reliable::ReliableLink;

/// An association with a peer.
#[derive(Debug)]
pub struct ServerConnection {
    stack: Arc<Stack>,
    state: State,
    /// When something came from the peer.
    heard_at: Instant,
    random: Random,
    link: Link,
    exchanges: Vec<Exchange>,
    last_receipt: u16,
    todo: VecDeque<Todo>,
    /// Values that are to be read, by the exchanges that want them; the first is being read if `is_reading`.
    reads: VecDeque<u16>,
    is_reading: bool,
    observations: Observations,
    bodies: Option<Box<Bodies>>,
    device: Option<Box<Device>>,
    multicast: Option<Box<GroupAnswers>>,
}

/// How messages travel.
#[derive(Debug)]
enum Link {
    Datagram(Box<DatagramLink>),
    Reliable(Box<ReliableLink>),
}

/// Bodies in blocks, both ways: what few peers need.
#[derive(Debug)]
struct Bodies {
    uploads: Uploads,
    downloads: Downloads,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Fresh,
    Opening,
    Open,
    /// The peer is not let in; requests are answered with why.
    Refused(Reason),
    Ending(Reason),
    Closed,
}

/// What the core is to be asked when it is this connection's turn.
#[derive(Debug)]
enum Todo {
    Named(Named),
    Settle(Settle),
    Publish(Box<(crate::mapping::Publication, u16, Vec<mynah_model::Condition>)>),
}

impl ServerConnection {
    pub(crate) fn new(stack: Arc<Stack>, transport: Transport, is_verified: bool, now: Instant) -> Self {
        let mut random = stack.random();
        let link = match transport {
            Transport::Datagram => Link::Datagram(Box::new(DatagramLink::new(is_verified, &mut random))),
            transport => Link::Reliable(Box::new(ReliableLink::new(transport))),
        };
        Self {
            stack,
            state: State::Fresh,
            heard_at: now,
            random,
            link,
            exchanges: Vec::new(),
            last_receipt: 0,
            todo: VecDeque::new(),
            reads: VecDeque::new(),
            is_reading: false,
            observations: Observations::default(),
            bodies: None,
            device: None,
            multicast: None,
        }
    }

    fn bodies(&mut self) -> &mut Bodies {
        let stack = &self.stack;
        self.bodies.get_or_insert_with(|| {
            let uploads = Uploads::new(Arc::clone(&stack.uploads), Arc::clone(&stack.counts));
            let downloads = Downloads::new(Arc::clone(&stack.downloads), Arc::clone(&stack.counts));
            Box::new(Bodies { uploads, downloads })
        })
    }

    /// A number that no exchange has.
    fn next_receipt(&mut self) -> u16 {
        loop {
            self.last_receipt = self.last_receipt.wrapping_add(1);
            let receipt = self.last_receipt;
            if receipt != 0 && self.exchanges.iter().all(|exchange| exchange.receipt != receipt) {
                return receipt;
            }
        }
    }

    fn exchange(&mut self, receipt: u16) -> Option<&mut Exchange> {
        self.exchanges.iter_mut().find(|exchange| exchange.receipt == receipt)
    }

    fn take_exchange(&mut self, receipt: u16) -> Option<Exchange> {
        let at = self.exchanges.iter().position(|exchange| exchange.receipt == receipt)?;
        Some(self.exchanges.swap_remove(at))
    }

    /// The next thing that the core is to be asked.
    fn next_command<'b>(&mut self) -> Option<Command<'b>> {
        if let Some(todo) = self.todo.pop_front() {
            return Some(match todo {
                Todo::Named(named) => Command::Prepared(Box::new(named)),
                Todo::Settle(settle) => Command::Settle(settle),
                Todo::Publish(publish) => {
                    let (publication, receipt, conditions) = *publish;
                    publishing::command(publication, receipt, conditions)
                }
            });
        }
        while !self.is_reading {
            let receipt = *self.reads.front()?;
            match self.exchange(receipt).and_then(|exchange| exchange.work.topic()) {
                Some(topic) => {
                    let name = topic.to_vec();
                    self.is_reading = true;
                    return Some(Command::Prepared(Box::new(Named { request: NamedRequest::Read, name })));
                }
                None => drop(self.reads.pop_front()),
            }
        }
        None
    }

    fn open<'b>(&mut self) -> Step<'b> {
        self.state = State::Opening;
        let shares_rates = matches!(self.link, Link::Datagram(_));
        let open = Open { shares_rates, ..Open::new(self.stack.config.receive_max) };
        Step::Command(Command::Open(Box::new(open)))
    }

    /// Reads one unit. None if there is no whole one.
    fn read<'b>(&mut self, now: Instant, input: &mut &'b [u8], out: &mut Outbound) -> Option<Step<'b>> {
        match self.link {
            Link::Datagram(_) => self.read_datagram(now, input, out),
            Link::Reliable(_) => self.read_message(now, input, out),
        }
    }

    /// What becomes of the association when nobody says anything.
    fn silence_due(&self) -> Instant {
        let config = &self.stack.config;
        let is_idle = self.observations.is_empty();
        let patience = match self.state {
            State::Fresh => config.ack_timeout * 5,
            _ if is_idle => config.idle.max(config.exchange_lifetime()),
            _ => config.observe_probe,
        };
        // Who is registered is there to be asked.
        let registered = self.registered_until().filter(|_| is_idle).unwrap_or_default();
        registered.max(self.heard_at + patience)
    }

    fn silence(&mut self, now: Instant, out: &mut Outbound) {
        match self.state {
            State::Open if !self.observations.is_empty() => self.ping(now, out),
            State::Open if !self.exchanges.is_empty() => self.heard_at = now,
            State::Closed => {}
            _ => {
                self.release(out);
                self.state = State::Ending(Reason::Disconnected);
            }
        }
    }
}

impl Connection for ServerConnection {
    fn step<'b>(&mut self, now: Instant, input: &mut &'b [u8], out: &mut Outbound) -> Step<'b> {
        self.greet(out);
        loop {
            match self.state {
                State::Closed => {
                    *input = &[];
                    return Step::Idle;
                }
                State::Opening => return Step::Idle,
                State::Ending(reason) => {
                    self.state = State::Closed;
                    *input = &[];
                    let publish_will = !matches!(reason, Reason::Disconnected | Reason::ShuttingDown);
                    return Step::Close(Close::new(reason, publish_will));
                }
                State::Fresh | State::Open | State::Refused(_) => {}
            }
            if let Some(command) = self.next_command() {
                return Step::Command(command);
            }
            match self.read(now, input, out) {
                Some(Step::Idle) => {}
                Some(step) => return step,
                // Reading the rest of a stream may have ended the association.
                None if matches!(self.state, State::Ending(_)) => {}
                None => return Step::Idle,
            }
        }
    }

    fn deliver(&mut self, now: Instant, delivery: Delivery<'_>, out: &mut Outbound) -> bool {
        let (frame, id, retain, subscription_ids) = match delivery {
            Delivery::Message { frame, id, retain, subscription_ids, .. } => {
                (frame, id, retain, subscription_ids)
            }
            Delivery::Leased(lease) => return self.take_lease(lease),
            Delivery::Release { .. } => return true,
        };
        self.notify(now, (frame, retain, id), subscription_ids, out);
        true
    }

    fn handle_outcome(&mut self, now: Instant, outcome: Outcome<'_>, out: &mut Outbound) {
        match outcome {
            Outcome::Opened(Ok(_)) if self.state == State::Opening => self.state = State::Open,
            Outcome::Opened(Err(reason)) if self.state == State::Opening => {
                self.state = State::Refused(reason);
            }
            Outcome::Published { receipt, result, .. } => self.published(now, receipt, result, out),
            Outcome::Subscribed { receipt, results } => {
                let refused = results.iter().find_map(|result| result.err());
                self.subscribed(now, receipt, refused, out);
            }
            Outcome::Queue(outcome) => self.leased(now, outcome, out),
            Outcome::Value(result) => self.value(now, result, out),
            Outcome::Ended(reason) => self.end(now, reason, out),
            // Nothing else was asked for.
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Outbound) {
        self.acknowledge_due(now, out);
        self.transmit_due(now, out);
        self.calls_due(now, out);
        self.askings_due(now, out);
        self.answer_groups(now, out);
        if let Some(bodies) = &mut self.bodies {
            bodies.uploads.expire(now);
            bodies.downloads.expire(now);
        }
        if self.silence_due() <= now {
            self.silence(now, out);
        }
    }

    fn handle_shutdown(&mut self, now: Instant, out: &mut Outbound) {
        self.end(now, Reason::ShuttingDown, out);
    }

    fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Closed => return None,
            State::Ending(_) => return Some(self.heard_at),
            // A delivery may have led to something that the core is to be asked: it asks again at once.
            State::Open if !self.todo.is_empty() => return Some(self.heard_at),
            _ => {}
        }
        let exchanges = self.exchanges.iter().filter_map(Exchange::acknowledge_at).min();
        let transmissions = match &self.link {
            Link::Datagram(link) => link.transmissions.deadline(),
            Link::Reliable(_) => None,
        };
        let bodies = self.bodies.as_ref();
        let uploads = bodies.and_then(|bodies| bodies.uploads.deadline());
        let downloads = bodies.and_then(|bodies| bodies.downloads.deadline());
        let askings = self.exchanges.iter().filter_map(Exchange::answer_due).min();
        let groups = self.multicast.as_ref().and_then(|answers| answers.deadline());
        let others = [exchanges, transmissions, uploads, downloads, askings, groups, self.calls_deadline()];
        others.into_iter().flatten().chain([self.silence_due()]).min()
    }

    fn is_woken_for_deliveries(&self) -> bool {
        true
    }

    fn layout(&self) -> Layout {
        LAYOUT_NOTIFICATION
    }

    fn input_bytes_max(&self) -> usize {
        match &self.link {
            Link::Datagram(_) => DATAGRAM_LENGTH_BYTES + DATAGRAM_BYTES_MAX,
            Link::Reliable(_) => WEBSOCKET_LENGTH_BYTES + self.stack.config.message_bytes_max as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an association costs without what it keeps for its peer: observers are meant to be many.
    #[test]
    fn an_association_is_small() {
        let bytes = size_of::<ServerConnection>() + size_of::<DatagramLink>();
        assert!(bytes <= 640, "{bytes} bytes");
    }
}
