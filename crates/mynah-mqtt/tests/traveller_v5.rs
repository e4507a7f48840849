//! Exchanges of MQTT 5.0 with a broker of one session: the journeys of `vectors/mqtt-5.0/journeys`, step by step.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use mynah_model::{Class, Instant, Reason};
use mynah_mqtt::Config;
use mynah_stack::testing::Endpoint;
use mynah_stack::{Connection, Outcome};
use toml::{Table, Value};

use crate::broker::Server;
use crate::malformed_v5::{bytes, citations, config, read, strings};
use crate::written_v5::{Packet, hex, is_whole, packet};

/// The journeys of a file.
fn journeys(file: &str) -> Vec<Table> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/mqtt-5.0/journeys");
    let document: Table = read(&folder.join(file).with_added_extension("toml")).parse().unwrap();
    document["journey"]
        .as_array()
        .unwrap()
        .iter()
        .map(|journey| journey.as_table().unwrap().clone())
        .collect()
}

/// A client that follows its steps.
struct Traveller {
    name: String,
    config: Config,
    server: Server,
    now: Instant,
    /// What the server wrote and no step has looked at.
    written: VecDeque<Packet>,
    /// How many of the broker's messages steps have looked at.
    seen: usize,
    largest: usize,
}

impl Traveller {
    fn new(journey: &Table) -> Self {
        let empty = Table::new();
        let config = config(journey.get("settings").map_or(&empty, |settings| settings.as_table().unwrap()));
        let mut server = Server::new(&config, Instant::ZERO);
        let method = journey.get("settings").and_then(|settings| settings.get("authentication_method"));
        server.method = method.map(|method| method.as_str().unwrap().to_owned());
        let name = journey["name"].as_str().unwrap().to_owned();
        Self { name, config, server, now: Instant::ZERO, written: VecDeque::new(), seen: 0, largest: 0 }
    }

    fn collect(&mut self) {
        let written = self.server.transmit(self.now);
        let mut unread = written.as_slice();
        while !unread.is_empty() {
            let (packet, rest) = packet(unread);
            self.largest = self.largest.max(packet.length);
            self.written.push_back(packet);
            unread = rest;
        }
    }

    fn step(&mut self, step: &str) {
        let shown = format!("{}: {step}", self.name);
        let (word, rest) = step.split_once(' ').unwrap_or((step, ""));
        if word == "<" {
            return self.expect(rest, &shown);
        }
        let unexpected = self.written.front().map(|packet| packet.head.as_str());
        assert_eq!(unexpected, None, "{shown}: written before");
        match word {
            ">" => self.server.handle_input(self.now, &mut bytes(rest).as_slice()),
            "*" => self.publish_from_elsewhere(rest),
            "+" => self.wait(rest.parse().unwrap()),
            "!" => self.act(rest),
            "~" => self.reconnect(),
            "=" => self.expect_message(rest, &shown),
            "x" => assert!(self.server.closed.is_some(), "{shown}"),
            "will" => assert!(self.server.will_published, "{shown}"),
            "no" => assert!(!self.server.will_published, "{shown}"),
            "settled" => assert_eq!(self.server.unsettled(), 0, "{shown}"),
            "largest" => assert!(self.largest <= rest.parse().unwrap(), "{shown}: {}", self.largest),
            other => panic!("{shown}: there is no step {other}"),
        }
        self.collect();
    }

    /// The next packet is this one. Properties with `+` are there and those with `-` are not; PUBLISH has no others.
    fn expect(&mut self, wanted: &str, shown: &str) {
        let found = self.written.pop_front().unwrap_or_else(|| panic!("{shown}: nothing was written"));
        let is_property = |word: &&str| word.len() > 1 && (word.starts_with('+') || word.starts_with('-'));
        let head: Vec<&str> = wanted.split(' ').filter(|word| !is_property(word)).collect();
        assert_eq!(found.head, head.join(" "), "{shown}");
        let mut named: Vec<&str> = Vec::new();
        for word in wanted.split(' ').filter(is_property) {
            let property = &word[1..];
            let is_there =
                found.properties.iter().any(|p| p == property || p.starts_with(&format!("{property}:")));
            assert_eq!(is_there, word.starts_with('+'), "{shown}: {property} in {:?}", found.properties);
            named.push(property);
        }
        if found.head.starts_with("PUBLISH") {
            assert_eq!(found.properties, named, "{shown}");
        }
    }

    fn expect_message(&mut self, wanted: &str, shown: &str) {
        let message = self.server.published.get(self.seen).unwrap_or_else(|| panic!("{shown}: no message"));
        let topic = String::from_utf8(message.topic().as_bytes().to_vec()).unwrap();
        assert_eq!(format!("{topic} {}", hex(message.payload())), wanted, "{shown}");
        self.seen += 1;
    }

    fn publish_from_elsewhere(&mut self, message: &str) {
        let [qos, topic, payload] = message.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let class =
            [Class::AtMostOnce, Class::AtLeastOnce, Class::ExactlyOnce][qos.parse::<usize>().unwrap()];
        self.server.publish_from_elsewhere(self.now, topic.as_bytes(), &bytes(payload), class);
    }

    fn wait(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        if self.server.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.server.handle_timeout(self.now);
        }
    }

    /// Something that the broker does.
    fn act(&mut self, act: &str) {
        let (word, rest) = act.split_once(' ').unwrap_or((act, ""));
        match word {
            "refuse-open" => self.server.refuse_open = Some(reason(rest)),
            "refuse-publish" => self.server.refuse_publish = Some(reason(rest)),
            "accept-publish" => self.server.refuse_publish = None,
            _ => {
                let ended = Outcome::Ended(reason(act));
                self.server.connection.handle_outcome(self.now, ended, &mut self.server.out);
                self.server.handle_input(self.now, &mut &[][..]);
            }
        }
    }

    /// The link breaks, if the server has not closed it, and the client makes another one.
    fn reconnect(&mut self) {
        if self.server.closed.is_none() {
            self.server.handle_end(self.now);
        }
        self.server.accept(&self.config, self.now);
    }
}

fn reason(name: &str) -> Reason {
    match name {
        "bad-credentials" => Reason::BadCredentials,
        "client-id-refused" => Reason::ClientIdRefused,
        "not-authorized" => Reason::NotAuthorized,
        "protocol-violation" => Reason::ProtocolViolation,
        "quota-exceeded" => Reason::QuotaExceeded,
        "server-busy" => Reason::ServerBusy,
        "shutting-down" => Reason::ShuttingDown,
        "taken-over" => Reason::TakenOver,
        "topic-invalid" => Reason::TopicInvalid,
        other => panic!("there is no reason {other}"),
    }
}

/// Makes one journey of a file.
pub(crate) fn make(file: &str, name: &str) {
    let journey = journeys(file).into_iter().find(|journey| journey["name"].as_str() == Some(name)).unwrap();
    let mut traveller = Traveller::new(&journey);
    for step in strings(&journey["steps"]) {
        traveller.step(&step);
    }
    assert!(traveller.written.is_empty(), "{name}: {}", traveller.written[0].head);
}

/// Each journey of a file has a test, in its order, that cites what it does.
pub(crate) fn check_citations(file: &str, source: &str, count_min: usize) {
    let citations = citations(source, "travel");
    let journeys = journeys(file);
    assert!(journeys.len() >= count_min, "{} journeys", journeys.len());
    assert_eq!(citations.len(), journeys.len());
    for (journey, (name, cited)) in journeys.iter().zip(citations) {
        assert_eq!(journey["name"], Value::from(name.as_str()));
        assert_eq!(cited, strings(&journey["by"]).into_iter().collect(), "{name}");
        for sent in strings(&journey["steps"]).iter().filter_map(|step| step.strip_prefix("> ")) {
            assert!(is_whole(&bytes(sent)), "{name}: {sent}");
        }
    }
}
