//! Visits: how clients come to the broker, stay for a while, and leave without a word.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection::{Connection, Machine};
use crate::broker::Addresses;
use crate::payload::MessageId;
use crate::random::Random;
use crate::shared::{Phase, Shared};

/// How long a turn waits for bytes.
const TURN: Duration = Duration::from_millis(2);

/// A client's place in the ledger, and the connection that it has.
pub(crate) struct Peer<M> {
    pub(super) shared: Arc<Shared>,
    /// Its place among the peers, which is its number as a producer, too.
    pub(super) place: usize,
    pub(super) random: Random,
    pub(super) connection: Connection<M>,
    /// The number of its last message.
    sequence: u32,
    /// The run of the broker that it is connected to, or one before.
    pub(super) run: u32,
}

/// A client that works over one connection after the other.
pub(crate) trait Visitor {
    /// Its half of the protocol.
    type Machine: Machine;

    /// In how many of a hundred visits it stays until the broker is gone.
    const STAYS_PERCENT: u64;

    /// Where the broker speaks its protocol.
    fn address(addresses: &Addresses) -> SocketAddr;

    fn peer(&mut self) -> &mut Peer<Self::Machine>;

    /// Takes events. Says whether the connection goes on.
    fn hear(&mut self) -> bool;

    /// Does what it is there for. Says whether the connection goes on.
    fn work(&mut self, phase: Phase) -> bool;

    /// Whether it waits for nothing.
    fn is_idle(&mut self) -> bool;

    /// The connection is gone, and what was not answered will not be.
    fn leave(&mut self);

    /// How long it stays away.
    fn pause_ms(&mut self) -> u64;

    /// Works until the phase is over.
    fn visit(mut self)
    where
        Self: Sized,
    {
        let shared = Arc::clone(&self.peer().shared);
        while shared.phase() != Phase::Stop {
            // Before the address, which is that of this run or of a later one.
            let run = shared.ledger().run();
            let address = shared.address().map(|addresses| Self::address(&addresses));
            if address.is_some_and(|address| self.peer().connection.open(address)) {
                let peer = self.peer();
                peer.run = run;
                shared.ledger().connect(peer.producer(), peer.sequence + 1);
                self.stay();
                self.leave();
            }
            let is_idle = shared.phase() == Phase::Drain && self.is_idle();
            let place = self.peer().place;
            shared.set_idle(place, is_idle);
            let pause = if shared.phase() == Phase::Work { self.pause_ms() } else { 5 };
            shared.sleep(Duration::from_millis(pause));
        }
    }

    /// One connection, to its end.
    fn stay(&mut self) {
        let shared = Arc::clone(&self.peer().shared);
        let random = &mut self.peer().random;
        let stays = random.happens(Self::STAYS_PERCENT);
        let end = Instant::now() + Duration::from_millis(random.between(5..=800));
        loop {
            self.peer().connection.turn(TURN);
            if !self.hear() {
                return self.peer().connection.cut();
            }
            let phase = shared.phase();
            if phase == Phase::Stop || !self.work(phase) {
                return self.peer().connection.cut();
            }
            if phase == Phase::Drain {
                let is_idle = self.is_idle();
                shared.set_idle(self.peer().place, is_idle);
            } else if Instant::now() > end && !stays {
                let peer = self.peer();
                if peer.random.happens(50) {
                    // What was written arrives, and nobody hears the answers.
                    peer.connection.flush();
                }
                return peer.connection.cut();
            }
        }
    }
}

impl<M: Machine> Peer<M> {
    pub(crate) fn new(shared: Arc<Shared>, place: usize, random: Random, machine: M) -> Self {
        let connection = Connection::new(machine);
        Self { shared, place, random, connection, sequence: 0, run: 0 }
    }

    fn producer(&self) -> u16 {
        u16::try_from(self.place).unwrap_or(u16::MAX)
    }

    /// The next of its messages.
    pub(super) fn next_message(&mut self) -> MessageId {
        self.sequence += 1;
        MessageId { producer: self.producer(), sequence: self.sequence }
    }
}
