//! `/admin/v1`: queues, exchanges, bindings, consumers, connections and channels. Keys are topics and filters, with slashes.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use mynah_core::administration::{ConnectionView, Names, Order, QueueView};
use serde_json::{Map, Value, json};

use crate::connections;
use crate::refusal::{Refusal, document, outcome};
use crate::request::{ITEMS_MAX, is_set, part, sent};
use crate::terms::{self, Ends, Spelling, text};
use crate::{Asker, Broker};

const KEYS: Spelling = Spelling::Canonical;

type Shared = State<Arc<dyn Broker>>;
type Told = Result<Response, Failed>;

/// Told as problem details.
struct Failed(Refusal);

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        self.0.problem()
    }
}

pub(crate) fn routes(broker: Arc<dyn Broker>) -> Router {
    Router::new()
        .route("/admin/v1/queues", get(queues))
        .route("/admin/v1/queues/{name}", get(queue).put(declare_queue).delete(delete_queue))
        .route("/admin/v1/queues/{name}/messages", axum::routing::delete(purge))
        .route("/admin/v1/exchanges", get(exchanges))
        .route("/admin/v1/exchanges/{name}", get(exchange).put(declare_exchange).delete(delete_exchange))
        .route("/admin/v1/bindings", get(bindings).merge(post(bind)).delete(unbind))
        .route("/admin/v1/consumers", get(consumers))
        .route("/admin/v1/connections", get(connections))
        .route("/admin/v1/connections/{name}", axum::routing::delete(disconnect))
        .route("/admin/v1/channels", get(channels))
        .with_state(broker)
}

/// A queue with its numbers.
fn show(queue: &QueueView) -> Value {
    let mut shown = Map::new();
    shown.insert("name".to_owned(), text(&queue.name).into());
    shown.append(&mut terms::show_queue(&queue.settings, KEYS));
    let tally = queue.tally;
    shown.extend([
        ("worker".to_owned(), queue.worker.0.into()),
        ("ready".to_owned(), queue.ready.into()),
        ("ready_bytes".to_owned(), queue.ready_bytes.into()),
        ("leased".to_owned(), queue.leased.into()),
        ("delayed".to_owned(), queue.delayed.into()),
        ("consumers".to_owned(), queue.consumers.len().into()),
        ("received".to_owned(), tally.came.into()),
        ("delivered".to_owned(), tally.handed_out.into()),
        ("accepted".to_owned(), tally.accepted.into()),
    ]);
    let dropped = json!({
        "rejected": tally.rejected,
        "expired": tally.expired,
        "overflow": tally.overflowed,
        "delivery_limit": tally.failed,
    });
    shown.insert("dropped".to_owned(), dropped);
    shown.into()
}

fn list(items: Vec<Value>) -> Response {
    document(&json!({ "items": items }))
}

async fn queues(State(broker): Shared, uri: Uri) -> Told {
    let queues = broker.queues(part(&uri)?, false).await.ok_or_else(Refusal::early)?;
    Ok(list(queues.iter().map(show).collect()))
}

async fn queue(State(broker): Shared, Path(name): Path<String>) -> Told {
    let found = broker.queues(Names::One(name.into_bytes().into()), false).await;
    let found = found.ok_or_else(Refusal::early)?;
    Ok(document(&show(found.first().ok_or_else(Refusal::absent)?)))
}

async fn declare_queue(State(broker): Shared, Path(name): Path<String>, request: Request) -> Told {
    let (asker, said) = sent(request).await?;
    let settings = Box::new(terms::queue(&said, KEYS).map_err(Refusal::unusable)?);
    let order = Order::DeclareQueue { name: name.into_bytes().into(), settings };
    outcome(broker.order(&asker, order).await)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn delete_queue(State(broker): Shared, Path(name): Path<String>, uri: Uri, request: Request) -> Told {
    let (if_unused, if_empty) = (is_set(&uri, "if-unused"), is_set(&uri, "if-empty"));
    let order = Order::DeleteQueue { name: name.into_bytes().into(), if_unused, if_empty };
    let messages = outcome(broker.order(&Asker::of(&request), order).await)?;
    Ok(document(&json!({ "messages": messages })))
}

async fn purge(State(broker): Shared, Path(name): Path<String>, request: Request) -> Told {
    let order = Order::Purge { name: name.into_bytes().into() };
    let messages = outcome(broker.order(&Asker::of(&request), order).await)?;
    Ok(document(&json!({ "messages": messages })))
}

fn all_exchanges(broker: &dyn Broker) -> Result<Vec<(String, Value)>, Refusal> {
    let (exchanges, _) = broker.exchanges().ok_or_else(Refusal::early)?;
    let show = |name: &[u8], settings| {
        let mut shown = terms::show_exchange(settings);
        shown.insert("name".to_owned(), text(name).into());
        (text(name), shown.into())
    };
    Ok(exchanges.iter().map(|exchange| show(&exchange.name, &exchange.settings)).collect())
}

async fn exchanges(State(broker): Shared) -> Told {
    Ok(list(all_exchanges(&*broker)?.into_iter().take(ITEMS_MAX).map(|(_, shown)| shown).collect()))
}

async fn exchange(State(broker): Shared, Path(name): Path<String>) -> Told {
    let found = all_exchanges(&*broker)?.into_iter().find(|(other, _)| *other == name);
    Ok(document(&found.ok_or_else(Refusal::absent)?.1))
}

async fn declare_exchange(State(broker): Shared, Path(name): Path<String>, request: Request) -> Told {
    let (asker, said) = sent(request).await?;
    let settings = Box::new(terms::exchange(&said).map_err(Refusal::unusable)?);
    let order = Order::DeclareExchange { name: name.into_bytes().into(), settings };
    outcome(broker.order(&asker, order).await)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn delete_exchange(
    State(broker): Shared,
    Path(name): Path<String>,
    uri: Uri,
    request: Request,
) -> Told {
    let if_unused = is_set(&uri, "if-unused");
    let order = Order::DeleteExchange { name: name.into_bytes().into(), if_unused };
    outcome(broker.order(&Asker::of(&request), order).await)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn bindings(State(broker): Shared, uri: Uri) -> Told {
    let queues = broker.queues(part(&uri)?, true).await.ok_or_else(Refusal::early)?;
    let (_, links) = broker.exchanges().ok_or_else(Refusal::early)?;
    let of_queues = queues.iter().flat_map(|queue| &queue.bindings);
    let shown = of_queues.chain(&links).map(|binding| terms::show_binding(binding, KEYS).into());
    Ok(list(shown.collect()))
}

async fn bind(State(broker): Shared, request: Request) -> Told {
    change_binding(&*broker, request, true).await
}

async fn unbind(State(broker): Shared, request: Request) -> Told {
    change_binding(&*broker, request, false).await
}

async fn change_binding(broker: &dyn Broker, request: Request, bound: bool) -> Told {
    let (asker, said) = sent(request).await?;
    let name = |field: &str| said.get(field).and_then(Value::as_str).unwrap_or_default();
    let is_queue = match name("destination_type") {
        "queue" => true,
        "exchange" => false,
        _ => return Err(Refusal::unusable("destination_type has to be queue or exchange").into()),
    };
    let ends = Ends { source: name("source"), destination: name("destination"), is_queue };
    let binding = terms::binding(ends, &said, KEYS).map_err(Refusal::unusable)?;
    outcome(broker.order(&asker, Order::Bind { binding, bound }).await)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn consumers(State(broker): Shared, uri: Uri) -> Told {
    let queues = broker.queues(part(&uri)?, false).await.ok_or_else(Refusal::early)?;
    let show = |queue: &QueueView| {
        let name = text(&queue.name);
        let of_queue = queue.consumers.iter().map(move |consumer| {
            json!({
                "queue": name,
                "consumer": consumer.key.number,
                "connection": [consumer.key.worker.0, consumer.key.slot, consumer.key.generation],
                "priority": consumer.taking.priority,
                "exclusive": consumer.taking.exclusive,
                "settled": consumer.taking.settled,
                "active": consumer.is_active,
                "leased": consumer.leased,
                "credit": consumer.credit.messages,
            })
        });
        of_queue.collect::<Vec<_>>()
    };
    Ok(list(queues.iter().flat_map(show).take(ITEMS_MAX).collect()))
}

async fn all_connections(broker: &dyn Broker, uri: &Uri) -> Result<Vec<ConnectionView>, Refusal> {
    let Names::After(_, count) = part(uri)? else { return Err(Refusal::absent()) };
    broker.connections(count).await.ok_or_else(Refusal::early)
}

async fn connections(State(broker): Shared, uri: Uri) -> Told {
    let connections = all_connections(&*broker, &uri).await?;
    let shown = connections.iter().map(|connection| {
        json!({
            "connection": [connection.worker.0, connection.slot, connection.generation],
            "name": connections::name(connection),
            "identity": connection.identity,
            "address": connection.address,
            "listener": connection.listener,
            "protocol": connection.protocol,
            "consumers": connection.consumers,
            "channels": connection.description.channels.len(),
            "client": terms::show_arguments(&connection.description.properties),
        })
    });
    Ok(list(shown.collect()))
}

async fn disconnect(State(broker): Shared, Path(name): Path<String>, request: Request) -> Told {
    let connection = connections::named(&name).ok_or_else(Refusal::absent)?;
    let was_there = broker.disconnect(&Asker::of(&request), connection, "").await;
    was_there.ok_or_else(Refusal::early)?.then_some(()).ok_or_else(Refusal::absent)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn channels(State(broker): Shared, uri: Uri) -> Told {
    let all = all_connections(&*broker, &uri).await?;
    let shown = connections::channels(&all).map(|(connection, channel)| {
        json!({
            "connection": [connection.worker.0, connection.slot, connection.generation],
            "channel": channel.number,
            "consumers": channel.consumers,
            "unacknowledged": channel.unacknowledged,
            "prefetch": channel.prefetch,
            "confirms": channel.confirms,
            "unconfirmed": channel.unconfirmed,
            "transactional": channel.transactional,
        })
    });
    Ok(list(shown.take(ITEMS_MAX).collect()))
}
