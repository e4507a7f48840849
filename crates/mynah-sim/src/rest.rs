//! Coming to rest: everybody reconnects and reads, until nothing moves any more; then everything must be there.

use std::time::Duration;

use mynah_core::DropReason;

use crate::link::Place;
use crate::model::{Violation, violation};
use crate::world::World;

/// Rounds after which a world is not expected to come to rest any more.
const ROUNDS_MAX: u32 = 100_000;
/// Longer than the broker waits for a CONNECT, and for the last bytes of a connection that has ended to be read.
const PATIENCE: Duration = Duration::from_secs(11);

impl World {
    /// Brings everything to an end and compares it with the model.
    pub(crate) fn come_to_rest(&mut self) -> Result<(), Violation> {
        self.trace.note(|| "--- everything comes to rest".to_owned());
        self.hurries = true;
        for client in 0..self.clients.len() {
            // A persistent client takes its session up again, after a clean connection with a new one.
            let stays = self.clients[client].link.is_some()
                && self.clients[client].is_clean != self.clients[client].profile.is_persistent();
            if !stays {
                self.clients[client].leave();
                self.reconnect(client)?;
            }
            self.clients[client].stalled = false;
            self.clients[client].stop_withholding();
        }
        self.settle()?;
        self.check_clients()?;
        self.model.check_end()?;
        self.advance(PATIENCE);
        self.settle()?;
        self.check_connections()?;
        self.check_counters()
    }

    /// Moves everything until nothing moves.
    fn settle(&mut self) -> Result<(), Violation> {
        for _ in 0..ROUNDS_MAX {
            let mut busy = false;
            for engine in 0..self.shape.engines {
                busy |= self.turn(engine)?;
            }
            for client in 0..self.clients.len() {
                if self.clients[client].link.is_none() {
                    self.reconnect(client)?;
                    busy = true;
                }
                busy |= self.write_client(client);
                busy |= self.read_client(client)?;
            }
            if !busy {
                return Ok(());
            }
        }
        violation("the world does not come to rest")
    }

    fn check_clients(&self) -> Result<(), Violation> {
        for (place, client) in self.clients.iter().enumerate() {
            if !client.is_open {
                return violation(format!("client {place} is not let in"));
            }
            if client.outstanding() > 0 {
                return violation(format!("client {place} waits for {} answers", client.outstanding()));
            }
        }
        Ok(())
    }

    /// Every connection that is not in use is closed, here and there.
    fn check_connections(&self) -> Result<(), Violation> {
        let used: Vec<usize> = self.clients.iter().filter_map(|client| client.link).collect();
        for (place, link) in self.links.iter().enumerate() {
            if used.contains(&place) == (link.place == Place::Closed) {
                return violation(format!("connection {place} is {:?} at the end", link.place));
            }
        }
        if self.connections() != used.len() {
            return violation(format!("the engines have {} connections", self.connections()));
        }
        Ok(())
    }

    /// What was not delivered was counted.
    fn check_counters(&self) -> Result<(), Violation> {
        let count = |reason| self.counters().map(|counters| counters.dropped(reason).read()).sum::<u64>();
        let tally = &self.model.tally;
        for reason in DropReason::ALL {
            let counted = count(reason);
            let is_right = match reason {
                // To which member of a group a message of QoS 0 went the model does not know.
                DropReason::Offline => {
                    (tally.offline..=tally.offline + self.model.unconfirmed_shares()).contains(&counted)
                }
                DropReason::Expired | DropReason::TooLarge => true,
                // The model does not know of all that a session holds when it ends.
                DropReason::SessionEnded => counted >= tally.ended,
                // Which messages these were, the model has looked at already.
                DropReason::SlowConsumer => true,
                _ => counted == 0,
            };
            if !is_right {
                return violation(format!("{} was counted {counted} times: {tally:?}", reason.name()));
            }
        }
        let (lost, dropped) =
            (self.model.too_old_or_large(), count(DropReason::Expired) + count(DropReason::TooLarge));
        if lost > dropped {
            return violation(format!("{lost} messages too old or too large are missing, {dropped} counted"));
        }
        Ok(())
    }
}
