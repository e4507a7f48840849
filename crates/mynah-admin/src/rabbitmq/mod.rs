//! `/api`: the part of RabbitMQ's HTTP API that its command line and its clients use. There is one virtual host, `/`; keys
//! are written with dots.

mod bindings;
mod connections;
mod messages;
mod objects;
mod show;
mod users;
mod virtual_hosts;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use mynah_core::administration::{Declined, Names, QueueView};
use serde_json::{Value, json};

use crate::definitions::VIRTUAL_HOST;
use crate::refusal::{Refusal, document};
use crate::request::{ITEMS_MAX, parameter};
use crate::{Asker, Broker};
use show::NODE;

/// The version of RabbitMQ whose interface this is.
const RABBITMQ: &str = "3.10.8";

/// The tag of those who may administer.
const ADMINISTRATOR: &str = "administrator";

type Shared = State<Arc<dyn Broker>>;
type Told = Result<Response, Failed>;

/// Told as RabbitMQ does.
struct Failed(Refusal);

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl From<Declined> for Failed {
    fn from(declined: Declined) -> Self {
        Self(declined.into())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        self.0.rabbitmq()
    }
}

pub(crate) fn routes(broker: Arc<dyn Broker>) -> Router {
    Router::new()
        .route("/api/overview", get(overview))
        .route("/api/cluster-name", get(async || document(&json!({ "name": NODE }))))
        .route("/api/whoami", get(whoami))
        .route("/api/nodes", get(async || document(&json!([node()]))))
        .route("/api/nodes/{name}", get(async || document(&node())))
        .route("/api/aliveness-test/{vhost}", get(alive))
        .route("/api/healthchecks/node", get(alive))
        .route("/api/healthchecks/node/", get(alive))
        .route("/api/healthchecks/node/{name}", get(alive))
        .route("/api/health/checks/{check}", get(alive))
        .route("/api/policies", get(none))
        .route("/api/policies/{vhost}", get(none))
        .route(
            "/api/policies/{vhost}/{name}",
            get(async || absent()).put(no_policy).delete(async || absent()),
        )
        .route("/api/operator-policies", get(none))
        .route("/api/parameters", get(none))
        .route("/api/global-parameters", get(none))
        .route("/api/vhost-limits", get(none))
        .merge(objects::routes())
        .merge(connections::routes())
        .merge(messages::routes())
        .merge(users::routes())
        .merge(virtual_hosts::routes())
        .merge(bindings::routes())
        .with_state(broker)
}

/// Who asks. It may administer, or it would not get here.
async fn whoami(request: Request) -> Response {
    let asker = Asker::of(&request);
    let groups = asker.groups.iter().filter(|group| *group != ADMINISTRATOR);
    let tags: Vec<&str> = std::iter::once(ADMINISTRATOR).chain(groups).collect();
    document(&json!({ "name": asker.identity.name(), "tags": tags }))
}

/// What there is none of.
async fn none() -> Response {
    document(&json!([]))
}

fn absent() -> Failed {
    Refusal::absent().into()
}

async fn no_policy() -> Failed {
    let why = "there are no policies: a queue is what it was declared as, so write them as its arguments";
    Refusal::unusable(why).into()
}

/// There is one virtual host.
fn demand_host(name: &str) -> Result<(), Refusal> {
    (name == VIRTUAL_HOST).then_some(()).ok_or_else(Refusal::absent)
}

/// An exchange by its name in a path, where the default one has to have one.
fn exchange_of(name: &str) -> &str {
    if name == "amq.default" { "" } else { name }
}

/// Up to [`ITEMS_MAX`] queues.
async fn all_queues(broker: &dyn Broker, with_bindings: bool) -> Result<Vec<QueueView>, Refusal> {
    let queues = broker.queues(Names::After(None, ITEMS_MAX), with_bindings).await;
    queues.ok_or_else(Refusal::early)
}

/// A list, or the page of it that is asked for, of the items in whose name `name` stands if that is said.
fn list(uri: &Uri, mut items: Vec<Value>) -> Told {
    let total = items.len();
    if let Some(part) = parameter(uri, "name").filter(|part| !part.is_empty()) {
        items
            .retain(|item| item.get("name").and_then(Value::as_str).is_some_and(|name| name.contains(&part)));
    }
    let Some(page) = parameter(uri, "page") else { return Ok(document(&Value::from(items))) };
    let number = |text: &str| text.parse::<usize>().ok().filter(|number| *number > 0);
    let wrong = || Refusal::unusable("page and page_size have to be positive numbers");
    let page = number(&page).ok_or_else(wrong)?;
    let size = parameter(uri, "page_size").map_or(Some(100), |size| number(&size)).ok_or_else(wrong)?;
    let filtered = items.len();
    let shown: Vec<_> = items.into_iter().skip((page - 1).saturating_mul(size)).take(size).collect();
    Ok(document(&json!({
        "page": page,
        "page_size": size,
        "page_count": filtered.div_ceil(size).max(1),
        "item_count": shown.len(),
        "filtered_count": filtered,
        "total_count": total,
        "items": shown,
    })))
}

fn node() -> Value {
    json!({ "name": NODE, "type": "disc", "running": true })
}

async fn alive(State(broker): Shared) -> Told {
    broker.exchanges().ok_or_else(Refusal::early)?;
    Ok(document(&json!({ "status": "ok" })))
}

async fn overview(State(broker): Shared) -> Told {
    let queues = all_queues(&*broker, false).await?;
    let connections = broker.connections(ITEMS_MAX).await.ok_or_else(Refusal::early)?;
    let (exchanges, _) = broker.exchanges().ok_or_else(Refusal::early)?;
    let sum = |count: fn(&QueueView) -> u64| queues.iter().map(count).sum::<u64>();
    let (ready, leased) = (sum(|queue| queue.ready), sum(|queue| queue.leased));
    Ok(document(&json!({
        "management_version": RABBITMQ,
        "rabbitmq_version": RABBITMQ,
        "product_name": "Mynah",
        "cluster_name": NODE,
        "node": NODE,
        "contexts": [{ "node": NODE, "description": "Management" }],
        "queue_totals": {
            "messages": ready + leased,
            "messages_ready": ready,
            "messages_unacknowledged": leased,
        },
        "object_totals": {
            "queues": queues.len(),
            "exchanges": exchanges.len() + 1,
            "connections": connections.len(),
            "consumers": sum(|queue| queue.consumers.len() as u64),
            "channels": crate::connections::channels(&connections).count(),
        },
        "message_stats": {
            "publish": sum(|queue| queue.tally.came),
            "deliver_get": sum(|queue| queue.tally.handed_out),
            "ack": sum(|queue| queue.tally.accepted),
        },
    })))
}
