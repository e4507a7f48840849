//! Consumers: sessions that are kept, with clients that come and go, so that there is always a backlog somewhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mynah_model::Class;
use mynah_mqtt::client::Event;
use mynah_mqtt::wire::PacketId;

use crate::connection::Connection;
use crate::ledger::Arrival;
use crate::random::Random;
use crate::shared::{Phase, Shared};

/// How long a turn waits for bytes.
const TURN: Duration = Duration::from_millis(3);

/// Requests of one consumer that wait for an answer.
const REQUESTS_MAX: u16 = 16;

/// A subscription that a consumer wants: filter, class, and whether it ends it now and then.
pub(crate) type Wish = (&'static str, Class, bool);

/// What is known of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not subscribed.
    Off,
    /// To be asked for, perhaps again because the answer was lost.
    Wanted,
    Asked(PacketId),
    On,
    /// To be ended, perhaps again.
    Unwanted,
    Ending(PacketId),
}

pub(crate) struct Consumer {
    shared: Arc<Shared>,
    peer: usize,
    random: Random,
    connection: Connection,
    wishes: Vec<(Wish, State)>,
}

impl Consumer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        peer: usize,
        name: &str,
        random: Random,
        wishes: &[Wish],
    ) -> Result<Self, String> {
        let connection = Connection::new(name, REQUESTS_MAX).map_err(|misuse| format!("{name}: {misuse}"))?;
        let wishes = wishes.iter().map(|&wish| (wish, State::Wanted)).collect();
        Ok(Self { shared, peer, random, connection, wishes })
    }

    /// Works until the phase is over.
    pub(crate) fn run(mut self) {
        while self.shared.phase() != Phase::Stop {
            let is_open = self.shared.address().is_some_and(|to| self.connection.open(to.mqtt));
            if is_open {
                self.serve();
                self.forget_requests();
            }
            self.shared.set_idle(self.peer, false);
            let away = if self.random.happens(30) { 300..=1_000 } else { 3..=80 };
            let pause = if self.shared.phase() == Phase::Work { self.random.between(away) } else { 5 };
            self.shared.sleep(Duration::from_millis(pause));
        }
    }

    /// One connection, to its end.
    fn serve(&mut self) {
        let stays = self.random.happens(40);
        let is_slow = self.random.happens(20);
        let end = Instant::now() + Duration::from_millis(self.random.between(5..=700));
        loop {
            self.connection.turn(TURN);
            if !self.hear() {
                return;
            }
            match self.shared.phase() {
                Phase::Stop => return self.leave(),
                Phase::Drain => {
                    self.ask();
                    let is_open = self.connection.client().1.is_open();
                    self.shared.set_idle(self.peer, is_open && self.is_settled());
                }
                Phase::Work if Instant::now() > end && !stays => return self.leave(),
                Phase::Work => {
                    self.change_a_wish();
                    self.ask();
                    if is_slow {
                        let pause = self.random.between(5..=40);
                        self.shared.sleep(Duration::from_millis(pause));
                    }
                }
            }
        }
    }

    /// Ends the connection in one of three ways: a word of leave, nothing, or with acknowledgements that do not arrive.
    fn leave(&mut self) {
        match self.random.between(0..=2) {
            0 => self.connection.leave(),
            1 => self.connection.cut(),
            _ => {
                self.connection.turn(Duration::from_millis(1));
                self.hear();
                self.connection.cut();
            }
        }
        self.hear();
    }

    /// Takes events, which acknowledges messages. Says whether the connection goes on.
    fn hear(&mut self) -> bool {
        while let Some(event) = self.connection.poll() {
            let mut ledger = self.shared.ledger();
            match event {
                Event::Connected { session_present, .. } => ledger.connected(self.peer, session_present),
                Event::Message { message, dup, .. } => {
                    let topic = String::from_utf8_lossy(message.topic().as_bytes()).into_owned();
                    let (class, retain) = (message.header().class, message.header().retain);
                    let arrival = Arrival { topic: &topic, payload: message.payload(), class, dup, retain };
                    ledger.arrive(self.peer, arrival);
                }
                Event::Subscribed { id, granted, .. } => {
                    if let Some(((filter, ..), state)) = find(&mut self.wishes, State::Asked(id)) {
                        *state = State::On;
                        ledger.subscribed(self.peer, filter, granted.first().and_then(|class| class.ok()));
                    }
                }
                Event::Unsubscribed { id, .. } => {
                    if let Some(((filter, ..), state)) = find(&mut self.wishes, State::Ending(id)) {
                        *state = State::Off;
                        ledger.unsubscribed(self.peer, filter);
                    }
                }
                Event::Closed { .. } => return false,
                _ => {}
            }
        }
        true
    }

    /// Sends the requests that are due.
    fn ask(&mut self) {
        let (now, client) = self.connection.client();
        for ((filter, class, _), state) in &mut self.wishes {
            match *state {
                State::Wanted => {
                    if let Ok(id) = client.subscribe(now, &[(filter, *class)]) {
                        *state = State::Asked(id);
                        self.shared.ledger().subscribing(self.peer, filter, *class);
                    }
                }
                State::Unwanted => {
                    if let Ok(id) = client.unsubscribe(now, &[filter]) {
                        *state = State::Ending(id);
                        self.shared.ledger().unsubscribing(self.peer, filter);
                    }
                }
                State::Off | State::On | State::Asked(_) | State::Ending(_) => {}
            }
        }
    }

    /// Answers do not come on another connection: ask again.
    fn forget_requests(&mut self) {
        for (_, state) in &mut self.wishes {
            *state = match *state {
                State::Asked(_) => State::Wanted,
                State::Ending(_) => State::Unwanted,
                other => other,
            };
        }
    }

    /// Now and then a subscription ends, or begins again.
    fn change_a_wish(&mut self) {
        for ((.., changes), state) in &mut self.wishes {
            if *changes && self.random.happens(2) {
                *state = match *state {
                    State::On => State::Unwanted,
                    State::Off => State::Wanted,
                    other => other,
                };
            }
        }
    }

    fn is_settled(&self) -> bool {
        self.wishes.iter().all(|(_, state)| matches!(state, State::On | State::Off))
    }
}

fn find(wishes: &mut [(Wish, State)], wanted: State) -> Option<(&Wish, &mut State)> {
    wishes.iter_mut().find(|(_, state)| *state == wanted).map(|(wish, state)| (&*wish, state))
}
