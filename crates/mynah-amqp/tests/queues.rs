//! What a server makes of methods about queues: commands, deliveries, settlements, transactions, replies.

use mynah_amqp::v0_9_1::mapping::push_lead;
use mynah_amqp::v0_9_1::wire::{
    ContentHeader, PropertiesBuilder, PropertyId, ShortStr, Table, TableBuilder, Value, basic, channel,
    confirm, exchange, queue, tx,
};
use mynah_amqp::v0_9_1::{Config, mapping};
use mynah_model::{Instant, Message, MessageView, Reason};
use mynah_stack::{ConsumerId, QueueOutcome};

use crate::broker::{Server, frame, method, open_host, short, start_ok, tune_ok};

fn server() -> Server {
    Server::with_channel(&Config::default())
}

fn publish(exchange: &str, key: &str, properties: &PropertiesBuilder, body: &[u8]) -> Vec<u8> {
    let publish = basic::Publish { exchange: short(exchange), routing_key: short(key), ..Default::default() };
    let mut out = method(1, publish);
    ContentHeader { body_size: body.len() as u64, properties: properties.as_properties() }
        .encode(1, &mut out);
    out.extend(frame(3, 1, body));
    out
}

/// A message that was published to a queue.
fn message(key: &str, body: &[u8]) -> Message {
    let mut native = Vec::new();
    let len = push_lead(ShortStr::EMPTY, short(key), &mut native, |out| out.extend(key.as_bytes()));
    native.extend([0, 0]);
    let at = (native.len(), native.len() + body.len());
    native.extend(body);
    let delivered = mapping::delivered(Default::default()).unwrap();
    let header = mapping::header(&delivered, len, at, Instant::ZERO);
    MessageView { header: &header, native: &native }.to_message()
}

fn consume(queue: &str, tag: &str, no_ack: bool) -> Vec<u8> {
    let consume =
        basic::Consume { queue: short(queue), consumer_tag: short(tag), no_ack, ..basic::Consume::default() };
    method(1, consume)
}

fn asked(server: &mut Server) -> Vec<String> {
    std::mem::take(&mut server.asked)
}

/// A server with a consumer that acknowledges, which has been lent some messages.
fn lent(prefetch_count: u16, count: u64) -> Server {
    let mut server = server();
    let qos = method(1, basic::Qos { prefetch_count, ..Default::default() });
    assert_eq!(
        server.hear(&[qos, consume("q", "c", false)].concat()),
        ["1 basic.qos-ok", "1 basic.consume-ok"]
    );
    for lease in 1..=count {
        assert!(server.lend(1, lease, &message("q", b"hi"), &[]));
    }
    assert_eq!(server.hear(b"").len() as u64, 3 * count);
    asked(&mut server);
    server
}

//= amqp-0-9-1 [queue.last]
#[test]
fn methods_of_queues_and_exchanges_are_commands_and_are_answered() {
    let mut server = server();
    let declare = queue::Declare { queue: short("q"), durable: true, ..Default::default() };
    assert_eq!(server.hear(&method(1, declare)), ["1 queue.declare-ok"]);
    assert!(asked(&mut server)[0].starts_with("declare queue q Queue(QueueSettings { durable: true"));
    // An empty name is that of the queue that was declared last, and an empty key then too.
    let bind = queue::Bind { exchange: short("amq.direct"), ..Default::default() };
    assert_eq!(server.hear(&method(1, bind)), ["1 queue.bind-ok"]);
    let unbind = queue::Unbind { exchange: short("x"), routing_key: short("a.*.#"), ..Default::default() };
    assert_eq!(server.hear(&method(1, unbind)), ["1 queue.unbind-ok"]);
    assert_eq!(server.hear(&method(1, queue::Purge::default())), ["1 queue.purge-ok"]);
    let delete = queue::Delete { if_empty: true, ..Default::default() };
    assert_eq!(server.hear(&method(1, delete)), ["1 queue.delete-ok"]);
    let expected = [
        "bind queue q to amq.direct by q []",
        "unbind queue q to x by a/+/# []",
        "purge q",
        "delete queue q (false, true)",
    ];
    assert_eq!(asked(&mut server), expected);
    let fanout = exchange::Declare { exchange: short("x"), r#type: short("fanout"), ..Default::default() };
    let bind = exchange::Bind { destination: short("x"), source: short("y"), ..Default::default() };
    let delete = exchange::Delete { exchange: short("x"), ..Default::default() };
    let all = [method(1, fanout), method(1, bind), method(1, delete)].concat();
    assert_eq!(server.hear(&all), ["1 exchange.declare-ok", "1 exchange.bind-ok", "1 exchange.delete-ok"]);
    // Without an answer the command is given all the same.
    let declare = queue::Declare { queue: short("q"), no_wait: true, ..Default::default() };
    asked(&mut server);
    assert_eq!(server.hear(&method(1, declare)), [""; 0]);
    assert_eq!(asked(&mut server).len(), 1);
}

//= amqp-0-9-1 [queue.equivalent] [queue.exclusive] [queue.reserved] [exchange.types]
#[test]
fn what_the_broker_refuses_has_the_code_of_the_specification() {
    let declare = || method(1, queue::Declare { queue: short("q"), ..Default::default() });
    let reserved = || method(1, queue::Declare { queue: short("amq.q"), ..Default::default() });
    for (refusal, input, words) in [
        ((Reason::PreconditionFailed, "durable is 'true'"), declare(), "1 channel.close 406 50.10"),
        ((Reason::Locked, "another's"), declare(), "1 channel.close 405 50.10"),
        ((Reason::NotAuthorized, ""), declare(), "1 channel.close 403 50.10"),
        ((Reason::NotFound, ""), reserved(), "1 channel.close 403 50.10"),
        ((Reason::NotFound, ""), consume("q", "", true), "1 channel.close 404 60.20"),
        ((Reason::Locked, ""), consume("q", "", true), "1 channel.close 403 60.20"),
        ((Reason::SelectorInvalid, "x"), consume("q", "", true), "1 channel.close 406 60.20"),
    ] {
        let mut server = server();
        server.refuse_queue = Some(refusal);
        assert_eq!(server.hear(&input), [words], "{refusal:?}");
    }
    let mut server = server();
    server.refuse_queue = Some((Reason::NotFound, ""));
    // What is not there is as good as deleted.
    let delete = queue::Delete { queue: short("q"), ..Default::default() };
    assert_eq!(server.hear(&method(1, delete)), ["1 queue.delete-ok"]);
    let unbind = queue::Unbind { queue: short("q"), exchange: short("x"), ..Default::default() };
    assert_eq!(server.hear(&method(1, unbind)), ["1 queue.unbind-ok"]);
    let odd = exchange::Declare { exchange: short("x"), r#type: short("odd"), ..Default::default() };
    assert_eq!(server.hear(&method(1, odd)), ["0 connection.close 503 40.10"]);
}

//= amqp-0-9-1 [basic.ack-unknown] [basic.ack-multiple] [rabbitmq.nack]
#[test]
fn a_consumer_gets_what_its_bound_allows_and_settles_it() {
    let mut server = lent(2, 2);
    assert_eq!(server.hear(&method(1, basic::Ack { delivery_tag: 1, multiple: false })), [""; 0]);
    let add = "flow 1 Add(Credit { messages: 1, bytes: 18446744073709551615 })";
    assert_eq!(asked(&mut server), ["settle 1 (1, 1, Accepted)", add]);
    let nack = basic::Nack { delivery_tag: 0, multiple: true, requeue: true };
    assert_eq!(server.hear(&method(1, nack)), [""; 0]);
    assert_eq!(asked(&mut server), ["settle 1 (2, 2, Released { after: 0ns })", add]);
    let again = method(1, basic::Ack { delivery_tag: 1, multiple: false });
    assert_eq!(server.hear(&again), ["1 channel.close 406 60.80"]);
    assert_eq!(asked(&mut server), ["cancel 1 false"]);
}

//= amqp-0-9-1 [basic.recover] [basic.ack-multiple]
#[test]
fn a_row_is_settled_at_once_and_what_waits_is_given_back_when_asked() {
    let mut server = lent(0, 5);
    server.hear(&method(1, basic::Ack { delivery_tag: 3, multiple: true }));
    server.hear(&method(1, basic::Reject { delivery_tag: 4, requeue: false }));
    assert_eq!(asked(&mut server), ["settle 1 (1, 3, Accepted)", "settle 1 (4, 4, Rejected)"]);
    assert_eq!(server.hear(&method(1, basic::Recover { requeue: true })), ["1 basic.recover-ok"]);
    assert_eq!(asked(&mut server), ["settle 1 (5, 5, Released { after: 0ns })"]);
}

//= amqp-0-9-1 [basic.cancel-ok]
#[test]
fn a_cancelled_consumers_deliveries_are_settled_still_and_go_back_with_the_channel() {
    let mut server = lent(0, 2);
    let cancel = method(1, basic::Cancel { consumer_tag: short("c"), no_wait: false });
    assert_eq!(server.hear(&cancel), ["1 basic.cancel-ok"]);
    assert_eq!(server.hear(&cancel), ["1 basic.cancel-ok"]);
    server.hear(&method(1, basic::Ack { delivery_tag: 1, multiple: false }));
    assert_eq!(server.hear(&method(1, channel::Close::default())), ["1 channel.close-ok"]);
    let expected = ["cancel 1 true", "settle 1 (1, 1, Accepted)", "settle 1 (2, 2, Released { after: 0ns })"];
    assert_eq!(asked(&mut server), expected);
    // A delivery that was on its way is nobody's.
    assert!(server.lend(1, 3, &message("q", b"hi"), &[]));
    assert_eq!(server.hear(b""), [""; 0]);
}

//= amqp-0-9-1 [rabbitmq.cancel-notify]
#[test]
fn a_client_is_told_that_its_consumer_has_ended() {
    let mut server = lent(0, 1);
    let ended = QueueOutcome::ConsumerEnded { consumer: ConsumerId(1), reason: Reason::NotFound };
    assert_eq!(server.tell(ended), ["1 basic.cancel"]);
    assert_eq!(server.hear(&method(1, basic::Ack { delivery_tag: 1, multiple: false })), [""; 0]);
}

//= amqp-0-9-1 [basic.get-empty]
#[test]
fn a_message_is_asked_for_one_at_a_time() {
    let mut server = server();
    let get = |no_ack| method(1, basic::Get { queue: short("q"), no_ack });
    assert_eq!(server.hear(&get(false)), ["1 basic.get-empty"]);
    let poll = "flow 1 Set(Credit { messages: 1, bytes: 18446744073709551615 })";
    assert_eq!(asked(&mut server), ["consume 1 q 0", poll]);
    assert_eq!(server.hear(&get(false)), ["1 basic.get-empty"]);
    assert_eq!(asked(&mut server), [poll]);
    assert_eq!(server.hear(&get(true)), ["1 basic.get-empty"]);
    assert_eq!(asked(&mut server)[..2], ["cancel 1 true", "consume 2 q 0"]);
}

//= amqp-0-9-1 [exchange.default]
#[test]
fn a_publication_goes_where_its_exchange_says() {
    let mut server = server();
    let plain = PropertiesBuilder::new();
    for (exchange, key) in [("", "a.b"), ("amq.topic", "a.b"), ("x", "a.b"), ("x", "")] {
        assert_eq!(server.hear(&publish(exchange, key, &plain, b"1")), [""; 0]);
    }
    assert_eq!(asked(&mut server), ["publish to queue a.b", "publish to x by a/b", "publish to x by "]);
    assert_eq!(server.published.len(), 4);
}

#[test]
fn a_message_goes_by_all_the_keys_that_it_names_and_is_confirmed_once() {
    let keys = |keys: &[&str]| {
        let mut encoded = Vec::new();
        keys.iter().for_each(|key| Value::LongStr(key.as_bytes()).encode(&mut encoded));
        encoded
    };
    let mut headers = TableBuilder::new().with("k", Value::Bool(true));
    headers.push_array("CC", &keys(&["b.c", "d"]));
    headers.push_array("BCC", &keys(&["e", "d"]));
    let properties = PropertiesBuilder::new().headers(headers.as_table());
    let mut server = server();
    server.hear(&method(1, confirm::Select { nowait: true }));
    server.holds_answers = true;
    assert_eq!(server.hear(&publish("x", "a", &properties, b"hi")), [""; 0]);
    let places = ["publish to x by a", "publish to x by b/c", "publish to x by d", "publish to x by e"];
    assert_eq!(asked(&mut server), places);
    for message in &server.published {
        let published = mapping::published(message.view()).unwrap();
        assert_eq!((published.routing_key.as_bytes(), message.payload()), (&b"a"[..], &b"hi"[..]));
        let headers = published.properties.headers().unwrap();
        let has = ["k", "CC", "BCC"].map(|name| headers.get(name).is_some());
        assert_eq!(has, [true, true, false]);
    }
    for _ in 0..3 {
        server.answer(Instant::ZERO, 0);
        assert_eq!(server.hear(b""), [""; 0]);
    }
    server.answer(Instant::ZERO, 0);
    assert_eq!(server.hear(b""), ["1 ack 1 false"]);
    // One that is refused is refused as a whole.
    assert_eq!(server.hear(&publish("", "a", &properties, b"hi")), [""; 0]);
    server.refuse_publish = Some(Reason::QueueFull);
    server.answer(Instant::ZERO, 0);
    server.refuse_publish = None;
    for _ in 0..3 {
        server.answer(Instant::ZERO, 0);
    }
    assert_eq!(server.hear(b""), ["1 nack 2 false"]);
    let odd = TableBuilder::new().with("CC", Value::Bool(true));
    let odd = PropertiesBuilder::new().headers(odd.as_table());
    assert_eq!(server.hear(&publish("", "a", &odd, b"")), ["1 channel.close 406 60.40"]);
}

#[test]
fn a_refusal_of_a_full_queue_is_told_only_to_who_asks() {
    let mut server = server();
    server.refuse_publish = Some(Reason::QueueFull);
    let one = publish("", "q", &PropertiesBuilder::new(), b"1");
    assert_eq!(server.hear(&one), [""; 0]);
    server.hear(&method(1, confirm::Select { nowait: true }));
    assert_eq!(server.hear(&one), ["1 nack 1 false"]);
}

//= amqp-0-9-1 [rabbitmq.confirm-tx]
#[test]
fn a_transaction_happens_as_one_or_not_at_all() {
    let mut server = lent(0, 2);
    assert_eq!(server.hear(&method(1, tx::Select {})), ["1 tx.select-ok"]);
    let ack = || method(1, basic::Ack { delivery_tag: 2, multiple: true });
    let one = publish("", "q", &PropertiesBuilder::new(), b"1");
    server.hear(&[one.clone(), ack()].concat());
    assert_eq!((asked(&mut server).len(), server.published.len()), (0, 0));
    assert_eq!(server.hear(&method(1, tx::Rollback {})), ["1 tx.rollback-ok"]);
    assert_eq!(server.hear(&[one, ack(), method(1, tx::Commit {})].concat()), ["1 tx.commit-ok"]);
    assert_eq!(asked(&mut server), ["commit (1, 1)"]);
    // A mandatory message that reaches nobody comes back when it is known.
    server.matches = false;
    let mandatory = basic::Publish { routing_key: short("q"), mandatory: true, ..Default::default() };
    let mut input = publish("", "q", &PropertiesBuilder::new(), b"1");
    input.extend(method(1, mandatory));
    ContentHeader { body_size: 2, properties: Default::default() }.encode(1, &mut input);
    input.extend([frame(3, 1, b"hi"), method(1, tx::Commit {})].concat());
    let back = ["1 basic.return", "1 header 2", "1 body hi", "1 tx.commit-ok"];
    assert_eq!(server.hear(&input), back);
    assert_eq!(asked(&mut server), ["commit (2, 0)"]);
    assert_eq!(server.hear(&method(1, tx::Commit {})), ["1 tx.commit-ok"]);
    assert_eq!(server.hear(&method(1, confirm::Select::default())), ["1 channel.close 406 85.10"]);
}

#[test]
fn replies_come_by_a_queue_of_the_channels_own() {
    let mut server = server();
    let wanted = PropertiesBuilder::new().text(PropertyId::ReplyTo, Some(b"amq.rabbitmq.reply-to"));
    assert_eq!(server.hear(&consume("amq.rabbitmq.reply-to", "r", true)), ["1 basic.consume-ok"]);
    assert!(asked(&mut server)[1].starts_with("consume 1 amq.gen-1 4294967295"));
    assert_eq!(server.hear(&publish("", "q", &wanted, b"ask")), [""; 0]);
    let published = server.published[0].view();
    assert_eq!(
        mapping::published(published).unwrap().properties.text(PropertyId::ReplyTo),
        Some("amq.gen-1")
    );
    assert_eq!(published.payload(), b"ask");
    // Whether it can be had clients ask by declaring it.
    let declare =
        queue::Declare { queue: short("amq.rabbitmq.reply-to"), passive: true, ..Default::default() };
    assert_eq!(server.hear(&method(1, declare)), ["1 queue.declare-ok"]);
    server.hear(&method(1, channel::Close::default()));
    server.hear(&method(1, channel::Open {}));
    assert_eq!(server.hear(&publish("", "q", &wanted, b"ask")), ["1 channel.close 406 60.40"]);
}

#[test]
fn a_client_that_wants_nothing_at_present_gets_nothing() {
    let mut server = lent(3, 0);
    assert_eq!(server.hear(&method(1, channel::Flow { active: false })), ["1 channel.flow-ok"]);
    assert_eq!(asked(&mut server), ["flow 1 Set(Credit { messages: 0, bytes: 0 })"]);
    assert_eq!(server.hear(&method(1, channel::Flow { active: true })), ["1 channel.flow-ok"]);
    assert_eq!(asked(&mut server), ["flow 1 Add(Credit { messages: 3, bytes: 18446744073709551615 })"]);
}

#[test]
fn arguments_that_cannot_be_used_are_named() {
    let mut server = server();
    let arguments = TableBuilder::new().with("x-max-length", Value::LongStr(b"many"));
    let declare = queue::Declare { queue: short("q"), arguments: arguments.as_table(), ..Default::default() };
    assert_eq!(server.hear(&method(1, declare)), ["1 channel.close 406 50.10"]);
    assert!(server.failure().unwrap().to_string().contains("x-max-length"));
}

//= amqp-0-9-1 [exchange.default] [exchange.reserved]
#[test]
fn nobody_changes_the_default_exchange_or_makes_one_of_the_brokers() {
    let fanout =
        |name| exchange::Declare { exchange: short(name), r#type: short("fanout"), ..Default::default() };
    let bind = queue::Bind { queue: short("q"), routing_key: short("k"), ..Default::default() };
    let unbind = queue::Unbind { queue: short("q"), routing_key: short("k"), ..Default::default() };
    let link = exchange::Bind { source: short("x"), ..Default::default() };
    let delete = |name| exchange::Delete { exchange: short(name), ..Default::default() };
    for (input, words) in [
        (method(1, fanout("")), "1 channel.close 403 40.10"),
        (method(1, delete("")), "1 channel.close 403 40.20"),
        (method(1, delete("amq.direct")), "1 channel.close 403 40.20"),
        (method(1, bind), "1 channel.close 403 50.20"),
        (method(1, unbind), "1 channel.close 403 50.50"),
        (method(1, link), "1 channel.close 403 40.30"),
    ] {
        let mut server = server();
        assert_eq!(server.hear(&input), [words]);
        assert_eq!(asked(&mut server), [""; 0]);
    }
    // What is there already may be declared as it is; the broker makes none of its names for anybody.
    let mut server = server();
    assert_eq!(server.hear(&method(1, fanout("amq.fanout"))), ["1 exchange.declare-ok"]);
    server.refuse_queue = Some((Reason::NotAuthorized, "the broker's own"));
    assert_eq!(server.hear(&method(1, fanout("amq.mine"))), ["1 channel.close 403 40.10"]);
}

//= amqp-0-9-1 [exchange.passive] [queue.passive] [exchange.equivalent]
#[test]
fn a_passive_declaration_asks_and_makes_nothing() {
    let queue = queue::Declare { queue: short("q"), passive: true, durable: true, ..Default::default() };
    let exchange = |passive| exchange::Declare {
        exchange: short("x"),
        r#type: short("direct"),
        passive,
        ..Default::default()
    };
    let mut server = server();
    let both = [method(1, queue), method(1, exchange(true))].concat();
    assert_eq!(server.hear(&both), ["1 queue.declare-ok", "1 exchange.declare-ok"]);
    assert_eq!(asked(&mut server), ["declare queue q Passive", "declare exchange x Passive"]);
    for (refusal, input, words) in [
        ((Reason::NotFound, ""), method(1, queue), "1 channel.close 404 50.10"),
        ((Reason::NotFound, ""), method(1, exchange(true)), "1 channel.close 404 40.10"),
        ((Reason::PreconditionFailed, "type"), method(1, exchange(false)), "1 channel.close 406 40.10"),
    ] {
        let mut server = self::server();
        server.refuse_queue = Some(refusal);
        assert_eq!(server.hear(&input), [words]);
    }
}

//= amqp-0-9-1 [queue.default-name] [queue.last]
#[test]
fn a_queue_without_a_name_is_named_by_the_broker_and_is_the_last_that_was_declared() {
    for input in [
        method(1, queue::Purge::default()),
        method(1, queue::Bind { exchange: short("x"), ..Default::default() }),
        consume("", "", true),
        method(1, queue::Declare { passive: true, ..Default::default() }),
    ] {
        let refused = server().hear(&input);
        assert!(refused.len() == 1 && refused[0].starts_with("1 channel.close 404 "), "{refused:?}");
    }
    let mut server = server();
    let unnamed = queue::Declare { exclusive: true, ..Default::default() };
    assert_eq!(server.hear(&method(1, unnamed)), ["1 queue.declare-ok"]);
    assert!(asked(&mut server)[0].starts_with("declare queue  Queue("), "the broker chooses");
    assert_eq!(server.hear(&consume("", "", true)), ["1 basic.consume-ok"]);
    assert!(asked(&mut server)[0].starts_with("consume 1 amq.gen-1 "));
}

//= amqp-0-9-1 [basic.consume-tag]
#[test]
fn a_consumers_name_is_taken_on_its_channel_only() {
    let mut server = server();
    server.hear(&method(2, channel::Open {}));
    let again = basic::Consume { queue: short("q"), consumer_tag: short("c"), ..Default::default() };
    let first = [consume("q", "c", true), method(2, again)].concat();
    assert_eq!(server.hear(&first), ["1 basic.consume-ok", "2 basic.consume-ok"]);
    assert_eq!(server.hear(&consume("other", "c", true)), ["0 connection.close 530 60.20"]);
}

//= amqp-0-9-1 [basic.ack-channel] [basic.deliver-order]
#[test]
fn a_delivery_is_settled_on_its_channel_only() {
    let mut server = lent(0, 3);
    server.hear(&method(2, channel::Open {}));
    let ack = |channel| method(channel, basic::Ack { delivery_tag: 2, multiple: false });
    assert_eq!(server.hear(&ack(2)), ["2 channel.close 406 60.80"]);
    assert_eq!(asked(&mut server), [""; 0]);
    assert_eq!(server.hear(&ack(1)), [""; 0]);
    assert_eq!(asked(&mut server), ["settle 1 (2, 2, Accepted)"]);
}

//= amqp-0-9-1 [basic.get-empty]
#[test]
fn a_message_that_was_asked_for_comes_with_its_content() {
    let mut server = server();
    server.ready = vec![message("q", b"hi")];
    let get = || method(1, basic::Get { queue: short("q"), no_ack: false });
    assert_eq!(server.hear(&get()), ["1 basic.get-ok", "1 header 2", "1 body hi"]);
    assert_eq!(server.hear(&get()), ["1 basic.get-empty"]);
    asked(&mut server);
    assert_eq!(server.hear(&method(1, basic::Ack { delivery_tag: 1, multiple: false })), [""; 0]);
    assert_eq!(asked(&mut server), ["settle 1 (1, 1, Accepted)"]);
}

//= amqp-0-9-1 [tx.select-first] [rabbitmq.confirm-tx]
#[test]
fn transactions_are_selected_first_and_not_beside_confirms() {
    for (input, words) in [
        (method(1, tx::Commit {}), "1 channel.close 406 90.20"),
        (method(1, tx::Rollback {}), "1 channel.close 406 90.30"),
    ] {
        assert_eq!(server().hear(&input), [words]);
    }
    let both = [method(1, confirm::Select { nowait: true }), method(1, tx::Select {})].concat();
    assert_eq!(server().hear(&both), ["1 channel.close 406 90.10"]);
}

//= amqp-0-9-1 [rabbitmq.cancel-notify]
#[test]
fn a_client_that_does_not_understand_it_is_not_told_that_its_consumer_has_ended() {
    let mut server = Server::started(&Config::default());
    let plain = start_ok("PLAIN", b"\0guest\0guest", Table::default());
    server.hear(&[plain, tune_ok(), open_host("/"), method(1, channel::Open {})].concat());
    assert_eq!(server.hear(&consume("q", "c", true)), ["1 basic.consume-ok"]);
    let ended = QueueOutcome::ConsumerEnded { consumer: ConsumerId(1), reason: Reason::NotFound };
    assert_eq!(server.tell(ended), [""; 0]);
    assert_eq!(server.hear(&consume("q", "c", true)), ["1 basic.consume-ok"], "its name is free again");
}
