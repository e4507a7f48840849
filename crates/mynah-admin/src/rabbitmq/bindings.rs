//! Bindings, as they are reached by their ends.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;
use axum::routing::get;
use mynah_core::administration::{BindingView, Names, Order};
use serde_json::Value;

use super::{Shared, Told, all_queues, demand_host, exchange_of, list, show};
use crate::refusal::{Refusal, document, outcome};
use crate::request::sent;
use crate::terms::{self, Ends, Spelling};
use crate::{Asker, Broker};

/// Virtual host, source, `q` or `e`, destination.
type Between = Path<(String, String, String, String)>;

pub(super) fn routes() -> Router<Arc<dyn Broker>> {
    Router::new()
        .route("/api/bindings", get(bindings))
        .route("/api/bindings/{vhost}", get(bindings_of))
        .route("/api/bindings/{vhost}/e/{source}/{kind}/{destination}", get(between).post(bind))
        .route("/api/bindings/{vhost}/e/{source}/{kind}/{destination}/{key}", get(one).delete(unbind))
        .route("/api/queues/{vhost}/{name}/bindings", get(of_queue))
        .route("/api/exchanges/{vhost}/{name}/bindings/{end}", get(of_exchange))
}

/// A binding without what names it among others.
pub(super) fn defined(binding: &BindingView) -> Value {
    let mut shown = show::binding(binding);
    if let Some(object) = shown.as_object_mut() {
        object.remove("properties_key");
    }
    shown
}

/// All bindings: of queues, each of which has its own of the default exchange, and of exchanges.
async fn all(broker: &dyn Broker) -> Result<Vec<BindingView>, Refusal> {
    let queues = all_queues(broker, true).await?;
    let (_, links) = broker.exchanges().ok_or_else(Refusal::early)?;
    let of_queues = queues
        .into_iter()
        .flat_map(|queue| std::iter::once(show::default_binding(&queue.name)).chain(queue.bindings));
    Ok(of_queues.chain(links).collect())
}

/// The bindings of one queue or exchange.
async fn of(broker: &dyn Broker, name: &str, is_queue: bool) -> Result<Vec<BindingView>, Refusal> {
    if !is_queue {
        let (_, mut links) = broker.exchanges().ok_or_else(Refusal::early)?;
        links.retain(|link| *link.destination == *name.as_bytes());
        return Ok(links);
    }
    let found = broker.queues(Names::One(name.as_bytes().into()), true).await.ok_or_else(Refusal::early)?;
    let queue = found.into_iter().next().ok_or_else(Refusal::absent)?;
    Ok(std::iter::once(show::default_binding(&queue.name)).chain(queue.bindings).collect())
}

fn is_queue(kind: &str) -> Result<bool, Refusal> {
    match kind {
        "q" => Ok(true),
        "e" => Ok(false),
        _ => Err(Refusal::absent()),
    }
}

async fn bindings(State(broker): Shared, uri: Uri) -> Told {
    list(&uri, all(&*broker).await?.iter().map(show::binding).collect())
}

async fn bindings_of(State(broker): Shared, Path(vhost): Path<String>, uri: Uri) -> Told {
    demand_host(&vhost)?;
    bindings(State(broker), uri).await
}

async fn of_queue(State(broker): Shared, Path((vhost, name)): Path<(String, String)>, uri: Uri) -> Told {
    demand_host(&vhost)?;
    list(&uri, of(&*broker, &name, true).await?.iter().map(show::binding).collect())
}

async fn of_exchange(
    State(broker): Shared,
    Path((vhost, name, end)): Path<(String, String, String)>,
    uri: Uri,
) -> Told {
    demand_host(&vhost)?;
    let name = exchange_of(&name);
    let mut found = all(&*broker).await?;
    match end.as_str() {
        "source" => found.retain(|binding| *binding.source == *name.as_bytes()),
        "destination" => {
            found.retain(|binding| !binding.is_queue && *binding.destination == *name.as_bytes());
        }
        _ => return Err(Refusal::absent().into()),
    }
    list(&uri, found.iter().map(show::binding).collect())
}

/// The bindings between two ends, with how they are shown.
async fn shown_between(
    broker: &dyn Broker,
    (vhost, source, kind, destination): (&str, &str, &str, &str),
) -> Result<Vec<(BindingView, Value)>, Refusal> {
    demand_host(vhost)?;
    let mut found = of(broker, destination, is_queue(kind)?).await?;
    found.retain(|binding| *binding.source == *exchange_of(source).as_bytes());
    Ok(found.into_iter().map(|binding| (binding.clone(), show::binding(&binding))).collect())
}

async fn between(State(broker): Shared, Path((vhost, source, kind, destination)): Between, uri: Uri) -> Told {
    let found = shown_between(&*broker, (&vhost, &source, &kind, &destination)).await?;
    list(&uri, found.into_iter().map(|(_, shown)| shown).collect())
}

async fn bind(
    State(broker): Shared,
    Path((vhost, source, kind, destination)): Between,
    request: Request,
) -> Told {
    demand_host(&vhost)?;
    let (asker, said) = sent(request).await?;
    let ends = Ends { source: exchange_of(&source), destination: &destination, is_queue: is_queue(&kind)? };
    let binding = terms::binding(ends, &said, Spelling::Dotted).map_err(Refusal::unusable)?;
    outcome(broker.order(&asker, Order::Bind { binding, bound: true }).await)?;
    Ok(StatusCode::CREATED.into_response())
}

/// The one that is named by its key.
async fn find(
    broker: &dyn Broker,
    ends: (&str, &str, &str, &str),
    key: &str,
) -> Result<(BindingView, Value), Refusal> {
    let found = shown_between(broker, ends).await?;
    found.into_iter().find(|(_, shown)| show::is_named(shown, key)).ok_or_else(Refusal::absent)
}

async fn one(
    State(broker): Shared,
    Path((vhost, source, kind, destination, key)): Path<(String, String, String, String, String)>,
) -> Told {
    let (_, shown) = find(&*broker, (&vhost, &source, &kind, &destination), &key).await?;
    Ok(document(&shown))
}

async fn unbind(
    State(broker): Shared,
    Path((vhost, source, kind, destination, key)): Path<(String, String, String, String, String)>,
    request: Request,
) -> Told {
    let asker = Asker::of(&request);
    let (binding, _) = find(&*broker, (&vhost, &source, &kind, &destination), &key).await?;
    outcome(broker.order(&asker, Order::Bind { binding, bound: false }).await)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
