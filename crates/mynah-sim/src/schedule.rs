//! A schedule: what clients do, step by step, drawn from the seed, and how the world moves between.

use std::time::Duration;

use mynah_model::Class;

use crate::client::Opening;
use crate::model::{Publication, Violation, violation};
use crate::shape::{FILTERS, TOPICS};
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
        let pause = self.between(0, 5_000) as u64;
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
        let will = self.happens(60).then(|| {
            let (class, retain) = (self.between(0, 2) as u8, self.happens(25));
            let payload = format!("will of {}", self.links.len()).into_bytes();
            Publication::new(&format!("will/{client}"), payload, class, retain)
        });
        // A session is given up only when no earlier connection can bring it back: the client would not know.
        let persistent = self.clients[client].persistent;
        let may_reset = persistent && client != OBSERVER && !self.hurries && !self.model.is_arriving(client);
        let resets = may_reset && self.happens(8);
        let opening = Opening { clean: resets || !persistent, will, names_itself: self.shape.verifies };
        self.connect(client, opening)?;
        if client == OBSERVER && self.clients[client].is_first() {
            let all = Class::ExactlyOnce;
            self.clients[client].subscribe(vec![("#", all), ("$s/#", all)]);
        }
        if resets { self.wait_for_connack(client) } else { Ok(()) }
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
        let topic = TOPICS[self.between(0, TOPICS.len() - 1)];
        // A connection may come in after a later one. What it says before CONNACK is then done after what that one said,
        // which exactly-once does not survive: a careful client waits.
        let class_max = if self.clients[client].is_open { 2 } else { 1 };
        let class = self.between(0, class_max) as u8;
        for _ in 0..self.between(1, 4) {
            let retain = self.happens(20);
            let payload = if retain && self.happens(25) { Vec::new() } else { self.payload(client) };
            self.clients[client].publish(&Publication::new(topic, payload, class, retain));
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
        let mut filters = Vec::new();
        for _ in 0..self.between(1, 3) {
            let filter = FILTERS[self.between(0, FILTERS.len() - 1)];
            let class = Class::from_number(self.between(0, 2) as u8).unwrap_or_default();
            // The observer's own filters stay as they are.
            if client != OBSERVER || filter != "#" && filter != "$s/#" {
                filters.push((filter, class));
            }
        }
        if !filters.is_empty() {
            self.clients[client].subscribe(filters);
        }
    }

    fn unsubscribe(&mut self, client: usize) {
        if self.may_ask(client) && client != OBSERVER {
            let filter = FILTERS[self.between(0, FILTERS.len() - 1)];
            self.clients[client].unsubscribe(vec![filter]);
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
        self.clients[client].disconnect();
        self.write_client(client);
        let Some(link) = self.clients[client].leave() else { return };
        self.trace.note(|| format!("client {client} leaves connection {link}"));
        self.links[link].to_broker.end();
        if self.happens(50) {
            self.links[link].to_client.abandon();
        }
    }
}
