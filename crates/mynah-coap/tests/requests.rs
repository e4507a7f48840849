//! What requests and their options mean: formats, conditions, blocks, discovery, and what a stranger may not make large.

use std::time::Duration;

use mynah_coap::CoapConfig;
use mynah_coap::client::Request;
use mynah_coap::framing::Transport;
use mynah_coap::wire::{Block, BlockSize, Code, Message, OptionNumber, content_format};
use mynah_model::{Class, Reason};

use crate::broker::Server;
use crate::journeys::{on, put};
use crate::message_layer::{at, hex, tell, written};
use crate::network::{Weather, World};

fn code(world: &mut World, request: Request) -> Code {
    world.ask(request).code
}

//= rfc7252 [5.10.4-1] [5.10.3-1]
#[test]
fn a_value_is_given_in_its_own_format_or_not() {
    let mut world = World::fair();
    world.ask(on(Code::PUT, "a").payload(50, b"{}"));
    let value = world.ask(on(Code::GET, "a").uint(OptionNumber::ACCEPT, 50));
    assert_eq!(value.uint(OptionNumber::CONTENT_FORMAT), Some(50));
    assert_eq!(code(&mut world, on(Code::GET, "a").uint(OptionNumber::ACCEPT, 60)), Code::NOT_ACCEPTABLE);
    // A type without a number is octets with a name.
    let odd = on(Code::PUT, "odd").payload(42, b"x").option(OptionNumber::CONTENT_TYPE, b"image/webp");
    world.ask(odd);
    let value = world.ask(on(Code::GET, "odd"));
    assert_eq!(value.uint(OptionNumber::CONTENT_FORMAT), Some(42));
    assert_eq!(value.option(OptionNumber::CONTENT_TYPE), Some(&b"image/webp"[..]));
    // Of what another protocol says nothing, nothing is said.
    world.server.publish(world.now, "m", b"x", Class::AtMostOnce, true);
    let value = world.ask(on(Code::GET, "m"));
    assert_eq!(value.option(OptionNumber::CONTENT_FORMAT), None);
    assert_eq!(code(&mut world, on(Code::GET, "m").uint(OptionNumber::ACCEPT, 42)), Code::CONTENT);
    assert_eq!(code(&mut world, on(Code::GET, "m").uint(OptionNumber::ACCEPT, 0)), Code::NOT_ACCEPTABLE);
}

//= rfc7252 [5.9.1.3-1] [5.10.6.1-1] [5.10.6.2-1] [5.10.8.1-1] [5.10.8.2-1]
//= coap-plugtests [TD_COAP_CORE_21] [TD_COAP_CORE_22] [TD_COAP_CORE_23]
#[test]
fn tags_save_bytes_and_keep_writers_apart() {
    let mut world = World::fair();
    world.ask(put("a", b"1"));
    let tag = world.ask(on(Code::GET, "a")).option(OptionNumber::ETAG).unwrap().to_vec();
    let valid =
        world.ask(on(Code::GET, "a").option(OptionNumber::ETAG, b"x").option(OptionNumber::ETAG, &tag));
    assert_eq!((valid.code, valid.option(OptionNumber::ETAG)), (Code::VALID, Some(&tag[..])));
    assert!(valid.payload.is_empty());
    for (request, expected) in [
        (put("a", b"2").option(OptionNumber::IF_NONE_MATCH, b""), Code::PRECONDITION_FAILED),
        (put("a", b"2").option(OptionNumber::IF_MATCH, b"other"), Code::PRECONDITION_FAILED),
        (
            put("a", b"2").option(OptionNumber::IF_MATCH, b"other").option(OptionNumber::IF_MATCH, &tag),
            Code::CHANGED,
        ),
        (put("a", b"3").option(OptionNumber::IF_MATCH, &tag), Code::PRECONDITION_FAILED),
        (put("a", b"3").option(OptionNumber::IF_MATCH, b""), Code::CHANGED),
        (put("b", b"3").option(OptionNumber::IF_MATCH, b""), Code::PRECONDITION_FAILED),
        (put("b", b"3").option(OptionNumber::IF_NONE_MATCH, b""), Code::CREATED),
        (on(Code::GET, "a").option(OptionNumber::IF_MATCH, &tag), Code::PRECONDITION_FAILED),
        (on(Code::DELETE, "a").option(OptionNumber::IF_MATCH, &tag), Code::PRECONDITION_FAILED),
        (on(Code::POST, "a").option(OptionNumber::IF_MATCH, b""), Code::CHANGED),
        (on(Code::GET, "a").option(OptionNumber::ETAG, &tag), Code::CONTENT),
    ] {
        assert_eq!(code(&mut world, request.clone()), expected, "{request:?}");
    }
}

//= rfc7252 [5.10.5-1]
#[test]
fn a_lifetime_is_told_by_max_age() {
    let mut world = World::fair();
    world.ask(put("a", b"1").query("expiry=3600"));
    let left = world.ask(on(Code::GET, "a")).uint(OptionNumber::MAX_AGE).unwrap();
    assert!((3_300..=3_600).contains(&left), "{left}");
    world.ask(put("b", b"1"));
    assert_eq!(world.ask(on(Code::GET, "b")).option(OptionNumber::MAX_AGE), None);
}

#[test]
fn the_query_of_a_publication_describes_it() {
    let mut world = World::fair();
    world.ask(on(Code::POST, "a").query("qos=0").query("retain=1").query("unit=C").payload(0, b"x"));
    let header = *world.server.published[0].header();
    assert_eq!((header.class, header.retain), (Class::AtMostOnce, true));
    assert_eq!(code(&mut world, on(Code::POST, "a").query("qos=7")), Code::BAD_REQUEST);
    assert_eq!(code(&mut world, on(Code::GET, "a").query("unknown=1")), Code::BAD_REQUEST);
}

#[test]
fn refusals_of_the_core_have_codes() {
    for (reason, expected) in [
        (Reason::NotAuthorized, Code::FORBIDDEN),
        (Reason::StorageFull, Code::SERVICE_UNAVAILABLE),
        (Reason::TooLarge, Code::REQUEST_ENTITY_TOO_LARGE),
    ] {
        let mut world = World::fair();
        world.server.refuse = Some(reason);
        for request in [put("a", b"x"), on(Code::POST, "a"), on(Code::DELETE, "a"), on(Code::GET, "a")] {
            assert_eq!(code(&mut world, request), expected);
        }
        assert_eq!(code(&mut world, on(Code::GET, "a").observe()), expected);
        assert!(world.server.subscriptions.is_empty());
    }
}

//= rfc7959 [2.4-1] [2.4-2] [2.2-1]
#[test]
fn a_body_stays_what_it_was_while_its_blocks_are_read() {
    let mut world = World::fair();
    let (old, new) = (vec![1; 2_500], vec![2; 2_500]);
    world.ask(put("a", &old));
    let block = |number, exponent| {
        let size = BlockSize::from_exponent(exponent).unwrap();
        Block { number, more: false, size }.to_uint()
    };
    let first = world.ask(on(Code::GET, "a").uint(OptionNumber::BLOCK2, block(0, 5)));
    // The client fetched all blocks by itself, of the size that it asked for.
    assert_eq!(first.payload, old);
    // By hand: the value changes between two blocks.
    let mut server = Server::trusting();
    let put_value = |server: &mut Server, payload: &[u8]| {
        server.publish(at(0), "a", payload, Class::AtMostOnce, true);
    };
    let get = |server: &mut Server, id: u16, option: &str| {
        let answers = tell(server, at(0), &format!("40 01 {id:04x} b174 0161 c1{option}"));
        let bytes = hex(&answers[0]);
        let body = Message::decode(&bytes, 8).unwrap().body;
        let tag = body.options.first(OptionNumber::ETAG).map(<[u8]>::to_vec);
        let block = body.options.first(OptionNumber::BLOCK2).and_then(Block::decode);
        (body.code, tag, block.map(|b| (b.number, b.more)), body.payload.first().copied())
    };
    put_value(&mut server, &old);
    let (_, tag, block, byte) = get(&mut server, 1, "06");
    assert_eq!((block, byte), (Some((0, true)), Some(1)));
    put_value(&mut server, &new);
    let (_, second_tag, block, byte) = get(&mut server, 2, "16");
    assert_eq!((second_tag, block, byte), (tag.clone(), Some((1, true)), Some(1)));
    let (_, last_tag, block, byte) = get(&mut server, 3, "26");
    assert_eq!((last_tag, block, byte), (tag.clone(), Some((2, false)), Some(1)));
    // Whoever begins again gets what is there now.
    let (_, tag_now, _, byte) = get(&mut server, 4, "06");
    assert_eq!(byte, Some(2));
    assert_ne!(tag_now, tag);
    assert_eq!(get(&mut server, 5, "36").0, Code::BAD_OPTION);
}

//= rfc7959 [2.5-3] [2.9.1-1] [4-1]
#[test]
fn blocks_of_a_request_are_answered_one_by_one() {
    let mut server = Server::trusting();
    let block = |server: &mut Server, id: u16, value: &str, payload: &str| {
        tell(server, at(0), &format!("40 02 {id:04x} b174 0161 d103{value} ff{payload}"))
    };
    let sixteen = "61".repeat(16);
    assert_eq!(block(&mut server, 1, "08", &sixteen), ["605f0001d10e08"]);
    assert_eq!(block(&mut server, 2, "18", &sixteen), ["605f0002d10e18"]);
    assert_eq!(block(&mut server, 3, "20", "6162"), ["60440003d10e20"]);
    assert_eq!(server.published[0].payload().len(), 34);
    // Out of order: 4.08.
    let answers = block(&mut server, 4, "18", &sixteen);
    assert_eq!(answers[0][..8], *"60880004");
    // 1.3 MB announced: 4.13 at once, with what is taken.
    let answers = tell(&mut server, at(0), "40 02 0005 b174 0161 d10308 d314140000 ff61");
    let bytes = hex(&answers[0]);
    let body = Message::decode(&bytes, 8).unwrap().body;
    assert_eq!(body.code, Code::REQUEST_ENTITY_TOO_LARGE);
    assert_eq!(body.options.first(OptionNumber::SIZE1), Some(&[0x10, 0, 0][..]));
    // Several blocks at once are of reliable transports.
    let answers = block(&mut server, 6, "0f", &"61".repeat(1_024));
    assert_eq!(answers[0][..8], *"60800006");
}

#[test]
fn who_wants_to_know_the_size_is_told() {
    let mut world = World::fair();
    world.ask(put("a", b"123"));
    assert_eq!(world.ask(on(Code::GET, "a").uint(OptionNumber::SIZE2, 0)).uint(OptionNumber::SIZE2), Some(3));
}

//= rfc7252 [7.2-1]
#[test]
fn resources_are_discovered_and_selected() {
    let core = |query: &[&str]| {
        let request = Request::new(Code::GET)
            .option(OptionNumber::URI_PATH, b".well-known")
            .option(OptionNumber::URI_PATH, b"core");
        query.iter().fold(request, |request, query| request.query(query))
    };
    let mut world = World::fair();
    let all = world.ask(core(&[]));
    assert_eq!(all.uint(OptionNumber::CONTENT_FORMAT), Some(content_format::LINK_FORMAT.into()));
    let text = |payload: Vec<u8>| String::from_utf8(payload).unwrap();
    assert!(text(all.payload.clone()).contains("</t>;rt=\"core.ps.data\""));
    assert_eq!(text(world.ask(core(&["rt=core.*"])).payload).matches('<').count(), 1);
    assert_eq!(text(world.ask(core(&["rt=core.*", "ct=40"])).payload), "");
    assert_eq!(text(world.ask(core(&["href=/.well-known/core"])).payload), "</.well-known/core>;ct=40");
    let blocks = world.ask(core(&[]).uint(OptionNumber::BLOCK2, 0));
    assert_eq!(blocks.payload, all.payload);
    assert_eq!(world.ask(core(&[]).uint(OptionNumber::ACCEPT, 60)).code, Code::NOT_ACCEPTABLE);
    let post = Request::new(Code::POST)
        .option(OptionNumber::URI_PATH, b".well-known")
        .option(OptionNumber::URI_PATH, b"core");
    assert_eq!(world.ask(post).code, Code::METHOD_NOT_ALLOWED);
}

#[test]
fn who_wants_no_answer_gets_none() {
    let mut server = Server::trusting();
    // NON POST with No-Response 26: nothing at all.
    assert_eq!(tell(&mut server, at(0), "50 02 0001 b174 0161 d1ea1a ff31"), [""; 0]);
    // CON: only the acknowledgement.
    assert_eq!(tell(&mut server, at(0), "40 02 0002 b174 0161 d1ea02 ff31"), ["60000002"]);
    assert_eq!(tell(&mut server, at(0), "40 02 0002 b174 0161 d1ea02 ff31"), ["60000002"]);
    assert_eq!(server.published.len(), 2);
    // An error is not what it does not want.
    assert_eq!(tell(&mut server, at(0), "40 05 0003 b174 0161 d1ea02")[0][..8], *"60850003");
}

#[test]
fn a_stranger_gets_nothing_large_before_it_has_repeated_what_it_was_told() {
    let mut server = Server::new(CoapConfig::default(), Transport::Datagram);
    server.publish(at(0), "a", &[7; 1_000], Class::AtMostOnce, true);
    let answers = tell(&mut server, at(0), "40 01 0001 b174 0161");
    let bytes = hex(&answers[0]);
    let body = Message::decode(&bytes, 8).unwrap().body;
    assert_eq!(body.code, Code::UNAUTHORIZED);
    assert!(bytes.len() <= 3 * 10 + 106);
    let echo = crate::message_layer::shown(body.options.first(OptionNumber::ECHO).unwrap());
    // Another's value does not help.
    let wrong = tell(&mut server, at(0), "40 01 0002 b174 0161 d8e40000000000000000");
    assert_eq!(wrong[0][..8], *"60810002");
    let right = tell(&mut server, at(0), &format!("40 01 0003 b174 0161 d8e4{echo}"));
    assert_eq!(right[0][..8], *"60450003");
    // From now on its address is its own.
    assert_eq!(tell(&mut server, at(0), "40 01 0004 b174 0161")[0][..8], *"60450004");
    assert_eq!(server.protocol.counts().challenged.get(), 2);
    // A client meets the demand by itself.
    let mut world = World::new(Server::new(CoapConfig::default(), Transport::Datagram), Weather::FAIR, 1);
    world.server.publish(world.now, "a", &[7; 2_000], Class::AtMostOnce, true);
    assert_eq!(world.ask(on(Code::GET, "a")).payload.len(), 2_000);
}

#[test]
fn a_token_may_be_long() {
    let mut server = Server::trusting();
    // RFC 8974: thirteen and more bytes.
    let token = "aa".repeat(20);
    let answers = tell(&mut server, at(0), &format!("4d 01 0001 07 {token} b174 0161"));
    assert_eq!(answers[0][..10], *"6d84000107");
    assert_eq!(answers[0][10..50], token);
    let token = "aa".repeat(33);
    assert_eq!(tell(&mut server, at(0), &format!("4d 01 0002 14 {token} b174 0161")), ["70000002"]);
    assert_eq!(written(&mut server), [""; 0]);
    server.timeout(at(0) + Duration::from_secs(1));
}
