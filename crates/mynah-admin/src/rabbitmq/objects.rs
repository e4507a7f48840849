//! Queues, exchanges, consumers and definitions.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;
use axum::routing::get;
use mynah_core::administration::{ExchangeView, Names, Order};
use mynah_model::{ExchangeKind, ExchangeSettings};
use serde_json::json;

use super::{Shared, Told, all_queues, bindings, demand_host, exchange_of, list, show};
use crate::definitions::{Definitions, VIRTUAL_HOST};
use crate::refusal::{Refusal, document, outcome};
use crate::request::{ITEMS_MAX, is_set, sent};
use crate::terms::{self, Spelling};
use crate::{Asker, Broker};

type Named = Path<(String, String)>;

pub(super) fn routes() -> Router<Arc<dyn Broker>> {
    Router::new()
        .route("/api/queues", get(queues))
        .route("/api/queues/{vhost}", get(queues_of))
        .route("/api/queues/{vhost}/{name}", get(queue).put(declare_queue).delete(delete_queue))
        .route("/api/queues/{vhost}/{name}/contents", axum::routing::delete(purge))
        .route("/api/exchanges", get(exchanges))
        .route("/api/exchanges/{vhost}", get(exchanges_of))
        .route("/api/exchanges/{vhost}/{name}", get(exchange).put(declare_exchange).delete(delete_exchange))
        .route("/api/consumers", get(consumers))
        .route("/api/consumers/{vhost}", get(consumers))
        .route("/api/definitions", get(definitions).post(define))
        .route("/api/definitions/{vhost}", get(definitions).post(define))
}

async fn queues(State(broker): Shared, uri: Uri) -> Told {
    list(&uri, all_queues(&*broker, false).await?.iter().map(show::queue).collect())
}

async fn queues_of(State(broker): Shared, Path(vhost): Path<String>, uri: Uri) -> Told {
    demand_host(&vhost)?;
    queues(State(broker), uri).await
}

async fn queue(State(broker): Shared, Path((vhost, name)): Named) -> Told {
    demand_host(&vhost)?;
    let found = broker.queues(Names::One(name.into_bytes().into()), false).await;
    let found = found.ok_or_else(Refusal::early)?;
    Ok(document(&show::queue(found.first().ok_or_else(Refusal::absent)?)))
}

async fn declare_queue(State(broker): Shared, Path((vhost, name)): Named, request: Request) -> Told {
    demand_host(&vhost)?;
    let (asker, said) = sent(request).await?;
    let settings = Box::new(terms::queue(&said, Spelling::Dotted).map_err(Refusal::unusable)?);
    let order = Order::DeclareQueue { name: name.into_bytes().into(), settings };
    outcome(broker.order(&asker, order).await)?;
    Ok(StatusCode::CREATED.into_response())
}

async fn delete_queue(State(broker): Shared, Path((vhost, name)): Named, uri: Uri, request: Request) -> Told {
    demand_host(&vhost)?;
    let (if_unused, if_empty) = (is_set(&uri, "if-unused"), is_set(&uri, "if-empty"));
    let order = Order::DeleteQueue { name: name.into_bytes().into(), if_unused, if_empty };
    outcome(broker.order(&Asker::of(&request), order).await)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn purge(State(broker): Shared, Path((vhost, name)): Named, request: Request) -> Told {
    demand_host(&vhost)?;
    let order = Order::Purge { name: name.into_bytes().into() };
    outcome(broker.order(&Asker::of(&request), order).await)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// All exchanges, the default one first.
fn all_exchanges(broker: &dyn Broker) -> Result<Vec<ExchangeView>, Refusal> {
    let settings = ExchangeSettings::durable(ExchangeKind::Direct);
    let mut all = vec![ExchangeView { name: Box::default(), settings }];
    all.extend(broker.exchanges().ok_or_else(Refusal::early)?.0);
    Ok(all)
}

async fn exchanges(State(broker): Shared, uri: Uri) -> Told {
    list(&uri, all_exchanges(&*broker)?.iter().take(ITEMS_MAX).map(show::exchange).collect())
}

async fn exchanges_of(State(broker): Shared, Path(vhost): Path<String>, uri: Uri) -> Told {
    demand_host(&vhost)?;
    exchanges(State(broker), uri).await
}

async fn exchange(State(broker): Shared, Path((vhost, name)): Named) -> Told {
    demand_host(&vhost)?;
    let name = exchange_of(&name);
    let all = all_exchanges(&*broker)?;
    let found = all.iter().find(|exchange| *exchange.name == *name.as_bytes());
    Ok(document(&show::exchange(found.ok_or_else(Refusal::absent)?)))
}

async fn declare_exchange(State(broker): Shared, Path((vhost, name)): Named, request: Request) -> Told {
    demand_host(&vhost)?;
    let (asker, said) = sent(request).await?;
    let settings = Box::new(terms::exchange(&said).map_err(Refusal::unusable)?);
    let order = Order::DeclareExchange { name: name.into_bytes().into(), settings };
    outcome(broker.order(&asker, order).await)?;
    Ok(StatusCode::CREATED.into_response())
}

async fn delete_exchange(
    State(broker): Shared,
    Path((vhost, name)): Named,
    uri: Uri,
    request: Request,
) -> Told {
    demand_host(&vhost)?;
    let order =
        Order::DeleteExchange { name: name.into_bytes().into(), if_unused: is_set(&uri, "if-unused") };
    outcome(broker.order(&Asker::of(&request), order).await)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn consumers(State(broker): Shared, uri: Uri) -> Told {
    let queues = all_queues(&*broker, false).await?;
    list(&uri, queues.iter().flat_map(show::consumer).take(ITEMS_MAX).collect())
}

/// What is durable, in the form that [`define`] takes.
async fn definitions(State(broker): Shared) -> Told {
    let queues = all_queues(&*broker, true).await?;
    let (exchanges, links) = broker.exchanges().ok_or_else(Refusal::early)?;
    let kept = queues.iter().filter(|queue| queue.settings.durable && !queue.settings.exclusive);
    let queue = |queue| {
        let mut shown = show::queue(queue);
        if let Some(object) = shown.as_object_mut() {
            let said = ["name", "vhost", "durable", "auto_delete", "arguments"];
            object.retain(|name, _| said.contains(&name.as_str()));
        }
        shown
    };
    let made =
        exchanges.iter().filter(|exchange| exchange.settings.durable && !exchange.name.starts_with(b"amq."));
    let bound = kept.clone().flat_map(|queue| &queue.bindings).chain(&links);
    Ok(document(&json!({
        "rabbit_version": super::RABBITMQ,
        "vhosts": [{ "name": VIRTUAL_HOST }],
        "users": [],
        "permissions": [],
        "policies": [],
        "queues": kept.map(queue).collect::<Vec<_>>(),
        "exchanges": made.map(show::exchange).collect::<Vec<_>>(),
        "bindings": bound.map(bindings::defined).collect::<Vec<_>>(),
    })))
}

/// Carries definitions out, as far as that can be done, and says what was not.
async fn define(State(broker): Shared, request: Request) -> Told {
    let (asker, said) = sent(request).await?;
    let Definitions { orders, mut left } = Definitions::read(&said, VIRTUAL_HOST);
    let mut done = 0_usize;
    for (place, order) in orders {
        match broker.order(&asker, order).await.ok_or_else(Refusal::early)? {
            Ok(_) => done += 1,
            Err(declined) => left.push((place, Refusal::from(declined).detail)),
        }
    }
    let left: Vec<_> = left.iter().map(|(what, why)| json!({ "what": what, "why": why })).collect();
    Ok(document(&json!({ "done": done, "not_done": left })))
}
