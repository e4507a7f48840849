//! Queues: publishing to one, taking messages, and what is done to their leases.

use mynah_coap::framing::Transport;
use mynah_coap::wire::cbor::{Item, Reader};
use mynah_coap::wire::{Code, OptionNumber};
use mynah_coap::{CoapConfig, Compat};
use mynah_model::Instant;

use crate::broker::Server;
use crate::devices::{ask, request};

const NOW: Instant = Instant::ZERO;

/// A server whose queue has these messages.
fn server(payloads: &[&[u8]]) -> Server {
    let mut server = Server::trusting();
    for (id, payload) in payloads.iter().enumerate() {
        let posted = ask(&mut server, NOW, &request(id as u16, Code::POST, "q/jobs", Some(0), payload));
        assert_eq!(posted.code, Code::CHANGED);
    }
    server
}

/// Payloads, names of leases, and how often each was delivered.
fn messages(cbor: &[u8]) -> Vec<(Vec<u8>, String, u64)> {
    let mut reader = Reader::new(cbor);
    let Ok(Item::Array(count)) = reader.item() else { panic!("an array") };
    (0..count).map(|_| message(&mut reader)).collect()
}

fn message(reader: &mut Reader<'_>) -> (Vec<u8>, String, u64) {
    let Ok(Item::Map(pairs)) = reader.item() else { panic!("a map") };
    let (mut payload, mut lease, mut count) = (Vec::new(), String::new(), u64::MAX);
    for _ in 0..pairs {
        match reader.item().unwrap() {
            Item::Text("payload") => match reader.item().unwrap() {
                Item::Bytes(bytes) => payload = bytes.to_vec(),
                other => panic!("{other:?}"),
            },
            Item::Text("lease") => match reader.item().unwrap() {
                Item::Text(name) => lease = name.to_owned(),
                other => panic!("{other:?}"),
            },
            Item::Text("delivery_count") => match reader.item().unwrap() {
                Item::Uint(number) => count = number,
                other => panic!("{other:?}"),
            },
            _ => reader.skip(64).unwrap(),
        }
    }
    (payload, lease, count)
}

#[test]
fn messages_are_taken_and_settled_by_the_names_of_their_leases() {
    let mut server = server(&[b"one", b"two", b"three"]);
    let taken = ask(&mut server, NOW, &request(10, Code::POST, "q/jobs/lease?max=2", None, b""));
    assert_eq!(taken.code, Code::CHANGED);
    let taken = messages(&taken.payload);
    let payloads: Vec<_> = taken.iter().map(|(payload, _, count)| (&payload[..], *count)).collect();
    assert_eq!(payloads, [(&b"one"[..], 0), (b"two", 0)]);
    let path = |at: usize, deed: &str| format!("q/jobs/lease/{}{deed}", taken[at].1);
    for (id, code, path, expected) in [
        (11, Code::POST, path(0, "/extend?ttl=60"), Code::CHANGED),
        (12, Code::DELETE, path(0, ""), Code::DELETED),
        (13, Code::DELETE, path(0, ""), Code::NOT_FOUND),
        (14, Code::POST, path(1, "/nack"), Code::CHANGED),
        (15, Code::POST, path(1, "/extend"), Code::NOT_FOUND),
    ] {
        assert_eq!(ask(&mut server, NOW, &request(id, code, &path, None, b"")).code, expected, "{path}");
    }
    assert_eq!((server.queued.len(), server.lent.len()), (2, 0));
    let taken = ask(&mut server, NOW, &request(16, Code::POST, "q/jobs/lease?max=9", None, b""));
    assert_eq!(messages(&taken.payload).len(), 2);
    let none = ask(&mut server, NOW, &request(17, Code::POST, "q/jobs/lease", None, b""));
    assert_eq!((none.code, &*none.payload), (Code::CHANGED, &b"\x80"[..]));
}

#[test]
fn a_take_that_comes_again_takes_once_and_a_large_one_comes_in_blocks() {
    let large = [b'x'; 900];
    let mut server = server(&[&large, &large]);
    let take = request(10, Code::POST, "q/jobs/lease?max=2", None, b"");
    let first = ask(&mut server, NOW, &take);
    assert!(first.block(OptionNumber::BLOCK2).unwrap().more);
    assert_eq!(ask(&mut server, NOW, &take).payload, first.payload);
    assert_eq!(server.lent.len(), 2);
}

#[test]
fn clients_of_emqx_find_their_paths() {
    let config = CoapConfig { compat: Compat::Emqx, amplification_max: 0, ..CoapConfig::default() };
    let mut server = Server::new(config, Transport::Datagram);
    let mut id = 0;
    let mut say = |server: &mut Server, code, path: &str, payload: &[u8]| {
        id += 1;
        ask(server, NOW, &request(id, code, path, None, payload))
    };
    let connected = say(&mut server, Code::POST, "mqtt/connection?clientid=c&username=u&password=p", b"");
    assert_eq!((connected.code, connected.payload.len()), (Code::CREATED, 16));
    let own = "clientid=c&token=t&password=p";
    let posted = say(&mut server, Code::POST, &format!("ps/a/b?{own}&qos=1&retain=true&unit=C"), b"21");
    assert_eq!((posted.code, server.published[0].topic().as_bytes()), (Code::CHANGED, &b"a/b"[..]));
    let native = server.published[0].view().native;
    let text = String::from_utf8_lossy(native);
    assert!(text.contains("unit=C") && !text.contains("password") && !text.contains("token"), "{text}");
    assert_eq!(say(&mut server, Code::GET, &format!("ps/a/b?{own}&rh=0&nl=1"), b"").payload, b"21");
    assert_eq!(say(&mut server, Code::PUT, &format!("mqtt/connection?{own}"), b"").code, Code::CHANGED);
    assert_eq!(say(&mut server, Code::DELETE, &format!("mqtt/connection?{own}"), b"").code, Code::DELETED);
    assert_eq!(say(&mut server, Code::GET, "mqtt/connection", b"").code, Code::METHOD_NOT_ALLOWED);
}

#[test]
fn what_is_nothing_of_a_queue_is_refused() {
    let mut server = server(&[]);
    let mut id = 20;
    for (code, path, expected) in [
        (Code::GET, "q/jobs", Code::METHOD_NOT_ALLOWED),
        (Code::PUT, "q/jobs", Code::METHOD_NOT_ALLOWED),
        (Code::GET, "q/jobs/lease", Code::METHOD_NOT_ALLOWED),
        (Code::DELETE, "q/jobs/lease", Code::METHOD_NOT_ALLOWED),
        (Code::POST, "q", Code::NOT_FOUND),
        (Code::POST, "q/jobs/other", Code::NOT_FOUND),
        (Code::DELETE, "q/jobs/lease/x", Code::NOT_FOUND),
        (Code::POST, "q/a+/lease", Code::BAD_REQUEST),
        (Code::POST, "q/jobs/lease?max=0", Code::BAD_REQUEST),
        (Code::POST, "q/jobs/lease?count=1", Code::BAD_REQUEST),
        (Code::POST, "q/nothing/lease", Code::NOT_FOUND),
    ] {
        id += 1;
        assert_eq!(ask(&mut server, NOW, &request(id, code, path, None, b"")).code, expected, "{path}");
    }
    // Who has not shown that its address is its own takes nothing that would be lost.
    let mut stranger = Server::new(CoapConfig::default(), Transport::Datagram);
    let posted = ask(&mut stranger, NOW, &request(1, Code::POST, "q/jobs", None, b"1"));
    assert_eq!(posted.code, Code::CHANGED);
    let taken = ask(&mut stranger, NOW, &request(2, Code::POST, "q/jobs/lease", None, b""));
    assert_eq!((taken.code, stranger.queued.len()), (Code::UNAUTHORIZED, 1));
}
