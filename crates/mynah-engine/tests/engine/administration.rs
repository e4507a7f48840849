//! What administrators see and ask for, whichever worker they ask.

use mynah_core::administration::{BindingView, Names, Order, QueueView};
use mynah_engine::ConnectionId;
use mynah_model::{ExchangeKind, ExchangeSettings, Limits, QueueSettings, Reason, TenantId};

use crate::broker::{Broker, settings};

const TENANT: TenantId = TenantId::DEFAULT;

/// Gives an order to a worker. Returns its number.
fn begin(broker: &mut Broker, worker: usize, order: Order) -> u32 {
    let number = broker.engines[worker].handle_order(broker.now, TENANT, order);
    broker.settle();
    number
}

fn order(broker: &mut Broker, worker: usize, order: Order) -> Result<u64, Reason> {
    let number = begin(broker, worker, order);
    let told = broker.ordered.pop().expect("an answer");
    assert_eq!((told.0, told.1), (worker, number));
    told.2.map_err(|declined| declined.reason)
}

fn declare(name: &str) -> Order {
    Order::DeclareQueue { name: name.as_bytes().into(), settings: Box::new(QueueSettings::DURABLE) }
}

fn bind(source: &str, queue: &str, key: &str, bound: bool) -> Order {
    let [source, destination, key] = [source, queue, key].map(|text| text.as_bytes().into());
    let binding = BindingView { source, destination, is_queue: true, key, arguments: Box::default() };
    Order::Bind { binding, bound }
}

fn queues(broker: &Broker, names: &Names) -> Vec<QueueView> {
    let mut queues: Vec<_> =
        broker.engines.iter().flat_map(|engine| engine.queues(TENANT, names, true)).collect();
    queues.sort_by(|one, other| one.name.cmp(&other.name));
    queues
}

#[test]
fn orders_are_carried_out_wherever_they_come_in() {
    for workers in [1, 3] {
        let mut broker = Broker::new(workers);
        for worker in 0..usize::from(workers) {
            for name in ["a", "b", "c"] {
                assert_eq!(order(&mut broker, worker, declare(name)), Ok(0));
            }
        }
        let settings = Box::new(ExchangeSettings::durable(ExchangeKind::Direct));
        let exchange = Order::DeclareExchange { name: (*b"x").into(), settings };
        assert_eq!(order(&mut broker, 0, exchange), Ok(0));
        assert_eq!(order(&mut broker, 0, bind("x", "a", "k", true)), Ok(0));
        assert_eq!(order(&mut broker, 0, bind("amq.topic", "a", "t/#", true)), Ok(0));
        let peer = broker.open(0, "open p go");
        broker.say(peer, "send x k 1 one\nsend x k 1 two");
        broker.hear(peer);
        let seen = queues(&broker, &Names::After(None, 10));
        assert_eq!(seen.len(), 3);
        assert_eq!((&*seen[0].name, seen[0].ready, seen[0].tally.came), (&b"a"[..], 2, 2));
        let bindings = seen[0].bindings.iter().map(|bound| (&*bound.source, &*bound.key));
        assert_eq!(bindings.collect::<Vec<_>>(), [(&b"amq.topic"[..], &b"t/#"[..]), (b"x", b"k")]);
        let after = Names::After(Some((*b"a").into()), 1);
        assert!(queues(&broker, &after).iter().all(|queue| *queue.name != *b"a"));
        assert_eq!(order(&mut broker, 0, bind("x", "a", "k", false)), Ok(0));
        assert_eq!(order(&mut broker, 0, Order::Purge { name: (*b"a").into() }), Ok(2));
        let delete = |name: &str| Order::DeleteQueue {
            name: name.as_bytes().into(),
            if_unused: false,
            if_empty: true,
        };
        assert_eq!(order(&mut broker, 0, delete("a")), Ok(0));
        assert_eq!(order(&mut broker, 0, delete("a")), Err(Reason::NotFound));
        assert_eq!(queues(&broker, &Names::One((*b"a").into())), []);
    }
}

#[test]
fn an_order_is_answered_when_it_is_stored() {
    for workers in [1, 3] {
        let mut broker = Broker::durable(workers);
        broker.hold(true);
        for name in ["a", "b", "c", "d"] {
            begin(&mut broker, 0, declare(name));
        }
        assert_eq!(broker.ordered.len(), 0);
        broker.hold(false);
        broker.settle();
        assert_eq!(broker.ordered.len(), 4);
        assert!(broker.ordered.iter().all(|(_, _, result)| *result == Ok(0)));
        let broker = broker.crash(1);
        assert_eq!(queues(&broker, &Names::After(None, 10)).len(), 4);
    }
}

#[test]
fn an_order_that_cannot_be_carried_out_says_why() {
    let mut broker = Broker::with(settings(2, Limits::default()));
    let exclusive = QueueSettings { exclusive: true, ..QueueSettings::DURABLE };
    for (wrong, reason) in [
        (declare(""), Reason::PreconditionFailed),
        (
            Order::DeclareQueue { name: (*b"a").into(), settings: Box::new(exclusive) },
            Reason::PreconditionFailed,
        ),
        (bind("x", "a", "k", true), Reason::NotFound),
        (bind("amq.topic", "a", "a/#b", true), Reason::FilterInvalid),
        (bind("", "a", "k", true), Reason::NotAuthorized),
        (Order::DeleteExchange { name: (*b"amq.topic").into(), if_unused: false }, Reason::NotAuthorized),
        (Order::Purge { name: (*b"a").into() }, Reason::NotFound),
    ] {
        assert_eq!(order(&mut broker, 1, wrong.clone()), Err(reason), "{wrong:?}");
    }
}

#[test]
fn consumers_and_connections_are_seen() {
    let mut broker = Broker::new(2);
    let peer = broker.open(0, "open eater go");
    broker.say(peer, "declare q -\neat 7 q 5");
    broker.hear(peer);
    let seen = queues(&broker, &Names::One((*b"q").into()));
    assert_eq!(seen[0].consumers.len(), 1);
    let consumer = seen[0].consumers[0];
    assert_eq!((consumer.key.number, consumer.leased, consumer.credit.messages), (7, 0, 5));
    let connections: Vec<_> =
        broker.engines.iter().flat_map(|engine| engine.connection_views(TENANT, 0, 10)).collect();
    assert_eq!(connections.len(), 1);
    assert_eq!((connections[0].slot, connections[0].consumers), (consumer.key.slot, 1));
    assert_eq!(connections[0].worker, consumer.key.worker);
}

#[test]
fn an_administrator_closes_connections_of_the_own_tenant() {
    let mut broker = Broker::new(2);
    let peers = [broker.open(0, "open one go"), broker.open(1, "open two go")];
    let now = broker.now;
    let view =
        broker.engines.iter().flat_map(|engine| engine.connection_views(TENANT, 0, 10)).next().unwrap();
    let worker = usize::from(view.worker.0);
    let id = ConnectionId { slot: view.slot, generation: view.generation };
    assert!(!broker.engines[worker].handle_disconnect(now, TenantId::new(7), id));
    assert!(broker.engines[worker].handle_disconnect(now, TENANT, id));
    broker.settle();
    assert_eq!(peers.iter().filter(|peer| broker.is_connected(**peer)).count(), 1);
    assert!(!broker.engines[worker].handle_disconnect(now, TENANT, id));
}
