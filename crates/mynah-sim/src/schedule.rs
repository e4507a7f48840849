//! A schedule: what clients do, step by step, drawn from the seed, and how the world moves between.

use std::time::Duration;

use mynah_model::Class;
use mynah_mqtt::wire::RetainHandling;

use crate::client::Opening;
use crate::model::{Farewell, Publication, Violation, violation};
use crate::shape::{AS_PUBLISHED, FILTERS, SHARED_TOPICS, SHARES, TOPICS, share_id};
use crate::wish::Wish;
use crate::world::World;

/// The client that sees everything: its subscriptions stay, so that nothing goes wrong unseen.
const OBSERVER: usize = 0;
/// Rounds after which a client is not expected to be let in any more.
const ROUNDS_MAX: u32 = 10_000;
/// A client with so much outstanding asks for nothing more for now.
const OUTSTANDING_MAX: usize = 24;

impl World {
    /// Something happens, and the world moves on a little.
    pub(crate) fn step(&mut self, step: u32) -> Result<(), Violation> {
        let client = self.between(0, self.clients.len() - 1);
        self.trace.note(|| format!("--- step {step}"));
        if self.clients[client].link.is_some() {
            self.act(client)?;
        } else if self.happens(60) {
            self.reconnect(client)?;
        }
        for _ in 0..self.between(0, 8) {
            self.move_on()?;
        }
        // Now and then so long that something may come due.
        let pause = if self.happens(3) { 1_500_000 } else { 5_000 };
        let pause = self.between(0, pause) as u64;
        self.advance(Duration::from_micros(pause));
        Ok(())
    }

    /// Some part of the world moves.
    fn move_on(&mut self) -> Result<(), Violation> {
        if self.happens(50) {
            let engine = self.between(0, self.shape.engines - 1);
            self.turn(engine)?;
        } else {
            let client = self.between(0, self.clients.len() - 1);
            self.write_client(client);
            self.read_client(client)?;
        }
        Ok(())
    }

    fn act(&mut self, client: usize) -> Result<(), Violation> {
        let what = self.between(0, 99);
        match what {
            0..50 => self.publish(client),
            50..59 => self.subscribe(client),
            59..63 => self.unsubscribe(client),
            63..69 => self.cut(client),
            69..72 => self.disconnect(client),
            72..78 => {
                // The earlier connection lives on, as if another program had come in under the same name.
                self.trace.note(|| format!("client {client} is to be taken over"));
                self.clients[client].leave();
                return self.reconnect(client);
            }
            78..84 => self.clients[client].stalled ^= true,
            84..87 => self.clients[client].withholds = true,
            87..92 => self.clients[client].stop_withholding(),
            92..94 => self.clients[client].ping(),
            _ => {}
        }
        Ok(())
    }

    /// A client comes in, for the first time or again.
    pub(crate) fn reconnect(&mut self, client: usize) -> Result<(), Violation> {
        let profile = self.clients[client].profile;
        // Sessions are given up, or run out, only when no earlier connection can bring them back: the client would not
        // know.
        let is_arriving = self.model.is_arriving(client);
        if profile.may_expire() && is_arriving {
            return Ok(());
        }
        let may_reset = profile.is_persistent() && client != OBSERVER && !self.hurries && !is_arriving;
        let resets = may_reset && self.happens(8);
        let opening = self.opening(client, resets);
        self.connect(client, opening)?;
        if client == OBSERVER && self.clients[client].is_first() {
            let all = ["#", "$s/#"].map(|name| Wish::new(name, Class::ExactlyOnce));
            self.clients[client].subscribe(all.into());
        }
        if resets || profile.may_expire() { self.wait_for_connack(client) } else { Ok(()) }
    }

    /// How a client opens its next connection.
    fn opening(&mut self, client: usize, resets: bool) -> Opening {
        let profile = self.clients[client].profile;
        let has_properties = profile.version.has_properties();
        let will = self.happens(60).then(|| {
            let (class, retain) = (self.between(0, 2) as u8, self.happens(25));
            let payload = format!("will of {}", self.links.len()).into_bytes();
            let lifetime = self.lifetime(client);
            Publication::new(&format!("will/{client}"), payload, class, retain, lifetime)
        });
        let clean = resets || !profile.is_persistent();
        let ends = !has_properties && clean;
        Opening {
            clean,
            will,
            will_delay: if has_properties { self.one_of(&[0, 1, 2]) } else { 0 },
            lifetime: if ends { Some(0) } else { profile.lifetime },
            receive_max: if has_properties { self.one_of(&[1, 2, 10, u16::MAX]) } else { u16::MAX },
            packet_bytes_max: self
                .one_of(&[None, None, Some(150), Some(400)])
                .filter(|_| has_properties && client != OBSERVER),
            aliases_max: if has_properties { self.one_of(&[0, 0, 2, 10]) } else { 0 },
            names_itself: self.shape.verifies,
        }
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.between(0, choices.len() - 1)]
    }

    /// For how many seconds a client's next publication is wanted.
    fn lifetime(&mut self, client: usize) -> Option<u32> {
        let has_properties = self.clients[client].profile.version.has_properties();
        if has_properties && self.happens(20) { Some(self.one_of(&[1, 2, 3])) } else { None }
    }

    /// Moves the world on until a client that gives up its session knows that it is gone. A connection that is lost
    /// before leaves a client of MQTT 3.1.1 without a way to know whether its state still has a counterpart.
    fn wait_for_connack(&mut self, client: usize) -> Result<(), Violation> {
        for _ in 0..ROUNDS_MAX {
            if self.clients[client].is_open {
                return Ok(());
            }
            for engine in 0..self.shape.engines {
                self.turn(engine)?;
            }
            self.write_client(client);
            self.read_client(client)?;
        }
        violation(format!("client {client} waits for CONNACK in vain"))
    }

    fn may_ask(&self, client: usize) -> bool {
        self.clients[client].may_send() && self.clients[client].outstanding() <= OUTSTANDING_MAX
    }

    fn publish(&mut self, client: usize) {
        if !self.may_ask(client) {
            return;
        }
        let is_shared = self.happens(25);
        let topic = if is_shared { self.one_of(&SHARED_TOPICS) } else { self.one_of(&TOPICS) };
        // A connection may come in after a later one. What it says before CONNACK is then done after what that one said,
        // which exactly-once does not survive: a careful client waits.
        let class_max = if self.clients[client].is_open { 2 } else { 1 };
        let class = self.between(0, class_max) as u8;
        for _ in 0..self.between(1, 4) {
            let retain = self.happens(20);
            let payload = match is_shared {
                true => format!("{client}:{}", self.clients[client].next_number()).into_bytes(),
                false if retain && self.happens(25) => Vec::new(),
                false => self.payload(client),
            };
            let lifetime = self.lifetime(client);
            let publication = Publication::new(topic, payload, class, retain, lifetime);
            self.clients[client].publish(&publication);
        }
    }

    /// A payload that no other publication has: most are small, some so large that receivers share them.
    fn payload(&mut self, client: usize) -> Vec<u8> {
        let number = self.clients[client].next_number();
        let mut payload = format!("{client}:{number}").into_bytes();
        let padding = match self.between(0, 19) {
            0 => 3_000,
            1..4 => 200,
            _ => 0,
        };
        payload.resize(payload.len() + padding, b'.');
        payload
    }

    fn subscribe(&mut self, client: usize) {
        if !self.may_ask(client) {
            return;
        }
        let has_properties = self.clients[client].profile.version.has_properties();
        if has_properties && self.happens(40) {
            let place = self.between(0, SHARES.len() - 1);
            let class = Class::from_number(self.between(1, 2) as u8).unwrap_or_default();
            let (id, as_published) = (Some(share_id(place)), self.happens(50));
            let wish = Wish { id, as_published, ..Wish::new(SHARES[place], class) };
            return self.clients[client].subscribe(vec![wish]);
        }
        // A live message that shows the retain flag has an identifier by which it is told from a replayed value.
        let as_published = has_properties && self.happens(20);
        let id = match has_properties {
            true if as_published => Some(4),
            true => self.one_of(&[None, Some(1), Some(2), Some(3)]),
            false => None,
        };
        let mut wishes = Vec::new();
        for _ in 0..self.between(1, 3) {
            let name = if as_published { self.one_of(&AS_PUBLISHED) } else { self.one_of(&FILTERS) };
            let class = Class::from_number(self.between(0, 2) as u8).unwrap_or_default();
            let mut wish = Wish { id, as_published, ..Wish::new(name, class) };
            if has_properties {
                wish.no_local = self.happens(25);
                let handlings = [RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend];
                wish.handling =
                    if as_published { RetainHandling::DoNotSend } else { self.one_of(&handlings) };
            }
            // The observer's own filters stay as they are.
            if client != OBSERVER || name != "#" && name != "$s/#" {
                wishes.push(wish);
            }
        }
        if !wishes.is_empty() {
            self.clients[client].subscribe(wishes);
        }
    }

    fn unsubscribe(&mut self, client: usize) {
        if self.may_ask(client) && client != OBSERVER {
            let is_share = self.clients[client].profile.version.has_properties() && self.happens(30);
            let name = match (is_share, self.happens(15)) {
                (true, _) => self.one_of(&SHARES),
                (false, true) => self.one_of(&AS_PUBLISHED),
                (false, false) => self.one_of(&FILTERS),
            };
            self.clients[client].unsubscribe(vec![name]);
        }
    }

    /// The connection breaks: what the broker wrote is lost, and some or none of what the client wrote.
    fn cut(&mut self, client: usize) {
        self.write_client(client);
        let Some(link) = self.clients[client].leave() else { return };
        let under_way = self.links[link].to_broker.len();
        let kept = if self.happens(50) { under_way } else { self.between(0, under_way) };
        self.trace.note(|| format!("connection {link} of client {client} is cut, {kept} bytes arrive"));
        self.links[link].to_broker.cut(kept);
        self.links[link].to_client.abandon();
    }

    /// The client says good-bye; what does not fit its link any more is lost.
    fn disconnect(&mut self, client: usize) {
        if !self.clients[client].is_open {
            return;
        }
        let profile = self.clients[client].profile;
        let farewell = Farewell {
            publish_will: profile.version.has_properties() && self.happens(30),
            lifetime: if profile.may_expire() { self.one_of(&[None, None, Some(0), Some(1)]) } else { None },
        };
        self.clients[client].disconnect(farewell);
        self.write_client(client);
        let Some(link) = self.clients[client].leave() else { return };
        self.trace.note(|| format!("client {client} leaves connection {link}"));
        self.links[link].to_broker.end();
        if self.happens(50) {
            self.links[link].to_client.abandon();
        }
    }
}
