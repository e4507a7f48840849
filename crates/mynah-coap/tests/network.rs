//! A client and a server with a network between them that loses, repeats, delays and so swaps datagrams, in virtual time.
//! The same seed gives the same run.

use std::time::Duration;

use mynah_coap::CoapConfig;
use mynah_coap::client::{Client, Event, Request, RequestId, Response};
use mynah_coap::framing::{Transport, next_datagram};
use mynah_model::Instant;
use mynah_stack::testing::Sequence;

use crate::broker::Server;

/// What the network does to datagrams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) lost_percent: u64,
    pub(crate) repeated_percent: u64,
    pub(crate) delay_max: Duration,
}

impl Weather {
    pub(crate) const FAIR: Self = Self { lost_percent: 0, repeated_percent: 0, delay_max: Duration::ZERO };
    pub(crate) const FOUL: Self =
        Self { lost_percent: 30, repeated_percent: 20, delay_max: Duration::from_millis(800) };
}

pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) server: Server,
    pub(crate) now: Instant,
    pub(crate) weather: Weather,
    pub(crate) events: Vec<Event>,
    /// Datagrams to the client and to the server.
    pub(crate) counts: [usize; 2],
    sequence: Sequence,
    under_way: Vec<(Instant, bool, Vec<u8>)>,
}

impl World {
    pub(crate) fn new(server: Server, weather: Weather, seed: u64) -> Self {
        let client = Client::new(CoapConfig::default(), Transport::Datagram, [seed, 1]);
        Self {
            client,
            server,
            now: Instant::ZERO,
            weather,
            events: Vec::new(),
            counts: [0; 2],
            sequence: Sequence::new(seed),
            under_way: Vec::new(),
        }
    }

    pub(crate) fn fair() -> Self {
        Self::new(Server::trusting(), Weather::FAIR, 1)
    }

    pub(crate) fn request(&mut self, request: Request) -> RequestId {
        let id = self.client.request(self.now, request);
        self.carry();
        id
    }

    /// Runs until nothing happens for `duration`, or that has passed.
    pub(crate) fn run_for(&mut self, duration: Duration) {
        let until = self.now + duration;
        loop {
            self.carry();
            let arrival = self.under_way.iter().map(|(at, ..)| *at).min();
            let deadlines = [self.client.deadline(), self.server.connection.deadline()];
            let due = deadlines.into_iter().flatten().chain(arrival).min();
            let Some(due) = due.filter(|due| *due <= until) else { break };
            self.now = self.now.max(due);
            if let Some(at) = self.under_way.iter().position(|(at, ..)| *at <= self.now) {
                let (_, to_server, unit) = self.under_way.remove(at);
                self.counts[usize::from(to_server)] += 1;
                match to_server {
                    true => self.server.hear(self.now, &unit),
                    false => self.client.handle_input(self.now, &mut &unit[..]),
                }
                continue;
            }
            if self.client.deadline().is_some_and(|due| due <= self.now) {
                self.client.handle_timeout(self.now);
            }
            if self.server.connection.deadline().is_some_and(|due| due <= self.now) {
                self.server.timeout(self.now);
            }
        }
        self.now = self.now.max(until);
    }

    /// The answer to a request that is made now.
    pub(crate) fn ask(&mut self, request: Request) -> Response {
        let id = self.request(request);
        self.run_for(Duration::from_secs(120));
        self.answer(id).expect("there is an answer")
    }

    pub(crate) fn answer(&self, id: RequestId) -> Option<Response> {
        self.events.iter().find_map(|event| match event {
            Event::Response { request, response } if *request == id => Some(response.clone()),
            _ => None,
        })
    }

    /// What an observation has brought after its first answer.
    pub(crate) fn notifications(&self, id: RequestId) -> Vec<Response> {
        let of = |event: &Event| match event {
            Event::Notification { request, response } if *request == id => Some(response.clone()),
            _ => None,
        };
        self.events.iter().filter_map(of).collect()
    }

    fn carry(&mut self) {
        let (to_server, to_client) = (self.client.outbound().drain(), self.server.out.drain());
        for (bytes, is_to_server) in [(to_server, true), (to_client, false)] {
            let mut input = &bytes[..];
            while let Some(datagram) = next_datagram(&mut input) {
                self.throw(datagram, is_to_server);
            }
            assert!(input.is_empty(), "what is written are whole datagrams");
        }
        while let Some(event) = self.client.poll_event() {
            self.events.push(event);
        }
    }

    fn throw(&mut self, datagram: &[u8], is_to_server: bool) {
        assert!(datagram.len() <= 1_152);
        let mut chance = |percent| self.sequence.between(1, 100) <= percent;
        if chance(self.weather.lost_percent) {
            return;
        }
        let copies = if chance(self.weather.repeated_percent) { 2 } else { 1 };
        for _ in 0..copies {
            let delay = self.sequence.between(0, self.weather.delay_max.as_micros() as u64);
            let unit = [&(datagram.len() as u16).to_be_bytes(), datagram].concat();
            self.under_way.push((self.now + Duration::from_micros(delay), is_to_server, unit));
        }
    }
}
