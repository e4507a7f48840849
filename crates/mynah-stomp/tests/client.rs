//! The client's half, alone and with the server's half.

use std::time::Duration;

use mynah_model::{Instant, Reason};
use mynah_stomp::client::{Client, Delivered, Ending, Event, Misuse, Options};
use mynah_stomp::wire::{AckMode, Command, HeartBeat};
use mynah_stomp::{Config, Error, Malformed, Version, Violation};

use crate::broker::Server;

const NOW: Instant = Instant::ZERO;

fn at(millis: u64) -> Instant {
    NOW + Duration::from_millis(millis)
}

/// A client and a server, connected.
struct Pair {
    client: Client,
    server: Server,
}

impl Pair {
    fn new(options: Options) -> Self {
        let mut client = Client::new(options).unwrap();
        client.connect(NOW);
        let mut pair = Self { client, server: Server::new(Config::default()) };
        pair.settle();
        pair
    }

    fn settle(&mut self) {
        loop {
            let sent = self.client.outbound().drain();
            let answer = self.server.hear(&sent).replace("^@", "\0");
            if sent.is_empty() && answer.is_empty() {
                return;
            }
            self.client.handle_input(NOW, &mut answer.as_bytes());
        }
    }

    fn events(&mut self) -> Vec<Event> {
        self.settle();
        std::iter::from_fn(|| self.client.poll_event()).collect()
    }

    fn message(&mut self) -> Delivered {
        match self.events().pop() {
            Some(Event::Message(message)) => message,
            other => panic!("{other:?}"),
        }
    }
}

fn pair(version: Version) -> Pair {
    let mut pair = Pair::new(Options { version_min: version, ..Options::new("h") });
    let connected = pair.events();
    assert!(matches!(connected[..], [Event::Connected { version: Version::V1_2, .. }]), "{connected:?}");
    pair
}

#[test]
fn a_journey_through_queue_and_transaction() {
    let mut pair = pair(Version::V1_0);
    pair.client.send(NOW, "/queue/q", [("k:1", "v\n2")], b"body\0", false).unwrap();
    let subscribed = pair.client.subscribe(
        NOW,
        "s",
        "/queue/q",
        AckMode::ClientIndividual,
        [("prefetch-count", "1")],
        true,
    );
    assert_eq!(subscribed, Ok(Some(1)));
    let events = pair.events();
    let [Event::Receipt { number: 1 }, Event::Message(message)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&*message.destination, &*message.body), ("/queue/q", &b"body\0"[..]));
    assert_eq!(message.header("k:1"), Some("v\n2"));
    pair.client.nack(NOW, message, None, false).unwrap();
    let again = pair.message();
    assert_eq!(again.header("redelivered"), Some("true"));
    pair.client.transact(NOW, Command::Begin, "t", false).unwrap();
    pair.client.ack(NOW, &again, Some("t"), false).unwrap();
    pair.client.send(NOW, "/topic/done", [("transaction", "t")], b"", false).unwrap();
    assert_eq!(pair.client.transact(NOW, Command::Commit, "t", true), Ok(Some(2)));
    assert_eq!(pair.events(), [Event::Receipt { number: 2 }]);
    assert_eq!(pair.server.published.len(), 2);
    pair.client.unsubscribe(NOW, "s", true).unwrap();
    assert_eq!(pair.events(), [Event::Receipt { number: 3 }]);
    pair.client.disconnect(NOW).unwrap();
    assert_eq!(pair.events(), [Event::Closed(Ending::Disconnected)]);
    assert_eq!(pair.server.closed.unwrap().reason, Reason::Disconnected);
    assert!(pair.client.is_closed());
}

#[test]
fn what_the_server_says_is_wrong_is_told() {
    let mut pair = pair(Version::V1_1);
    pair.client.send(NOW, "/nowhere/x", [], b"", true).unwrap();
    let events = pair.events();
    let [Event::Closed(Ending::Refused(refusal))] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&*refusal.message, refusal.receipt), ("destination not usable here", Some(1)));
}

#[test]
fn what_a_program_cannot_have_it_is_told() {
    assert_eq!(Client::new(Options::new("a\nb")).err(), Some(Misuse::Unspeakable));
    let mut client = Client::new(Options::new("h")).unwrap();
    assert_eq!(client.send(NOW, "/queue/q", [], b"", false), Err(Misuse::NotOpen));
    client.connect(NOW);
    client.handle_input(NOW, &mut &b"CONNECTED\nsession:1\n\n\0"[..]);
    assert_eq!(client.version(), Version::V1_0);
    let individual = client.subscribe(NOW, "s", "/q", AckMode::ClientIndividual, [], false);
    assert_eq!(individual, Err(Misuse::Version));
    assert_eq!(client.send(NOW, "/queue/q", [("a", "b\nc")], b"", false), Err(Misuse::Unspeakable));
    assert_eq!(client.transact(NOW, Command::Send, "t", false), Err(Misuse::Version));
}

#[test]
fn a_server_that_breaks_the_protocol_is_left() {
    for (octets, error) in [
        (&b"HTTP/1.1 400"[..], Error::Malformed(Malformed::Command)),
        (b"MESSAGE\n\n\0", Violation::UnexpectedFrame.into()),
        (b"CONNECTED\nversion:3\n\n\0", Violation::HeaderValue("version").into()),
        (b"CONNECTED\nversion:1.2\n\n\0CONNECTED\n\n\0", Violation::UnexpectedFrame.into()),
        (b"CONNECTED\nversion:1.2\n\n\0SEND\n\n\0", Violation::UnexpectedFrame.into()),
        (
            b"CONNECTED\nversion:1.2\n\n\0MESSAGE\ndestination:/a\nmessage-id:1\n\n\0",
            Violation::HeaderMissing("subscription").into(),
        ),
        (
            b"CONNECTED\nversion:1.2\n\n\0MESSAGE\nsubscription:1\nmessage-id:1\n\n\0",
            Violation::HeaderMissing("destination").into(),
        ),
        (b"CONNECTED\nversion:1.2\n\n\0RECEIPT\n\n\0", Violation::HeaderMissing("receipt-id").into()),
        (
            b"CONNECTED\nversion:1.2\n\n\0RECEIPT\nreceipt-id:x\n\n\0",
            Violation::HeaderValue("receipt-id").into(),
        ),
    ] {
        for piece in [1, octets.len()] {
            let mut client = Client::new(Options::new("h")).unwrap();
            client.connect(NOW);
            let mut kept = Vec::new();
            for piece in octets.chunks(piece) {
                kept.extend_from_slice(piece);
                let mut input = kept.as_slice();
                client.handle_input(NOW, &mut input);
                kept = input.to_vec();
            }
            let last = std::iter::from_fn(|| client.poll_event()).last();
            assert_eq!(last, Some(Event::Closed(Ending::Failed(error))), "{}", octets.escape_ascii());
        }
    }
}

//= stomp-1.2 [heart-beat-send]
#[test]
fn a_client_beats_and_notices_silence() {
    let heart_beat = HeartBeat { sends: 1_000, wants: 2_000 };
    let mut client = Client::new(Options { heart_beat, ..Options::new("h") }).unwrap();
    client.connect(NOW);
    assert_eq!(client.deadline(), Some(at(10_000)));
    client.outbound().drain();
    client.handle_input(NOW, &mut &b"CONNECTED\nversion:1.2\nheart-beat:2000,500\n\n\0"[..]);
    assert_eq!(client.deadline(), Some(at(1_000)));
    client.handle_timeout(at(1_000));
    assert_eq!(client.outbound().drain(), b"\n");
    client.handle_input(at(1_500), &mut &b"\n"[..]);
    for beat in 2..=5 {
        client.handle_timeout(at(beat * 1_000));
    }
    assert!(client.is_open());
    client.handle_timeout(at(5_500));
    assert_eq!(client.poll_event().map(|event| matches!(event, Event::Connected { .. })), Some(true));
    assert_eq!(client.poll_event(), Some(Event::Closed(Ending::TimedOut)));
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let mut client = Client::new(Options::new("h")).unwrap();
    client.connect(NOW);
    client.handle_timeout(at(9_999));
    assert_eq!(client.poll_event(), None);
    client.handle_timeout(at(10_000));
    assert_eq!(client.poll_event(), Some(Event::Closed(Ending::TimedOut)));
    client.connect(NOW);
    client.handle_end();
    assert_eq!(client.poll_event(), Some(Event::Closed(Ending::Lost)));
}
