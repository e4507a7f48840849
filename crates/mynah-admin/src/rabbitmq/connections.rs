//! Connections and channels.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;
use axum::routing::get;
use mynah_core::administration::ConnectionView;
use serde_json::Value;

use super::{Shared, Told, demand_host, list, show};
use crate::connections::{channels, named};
use crate::refusal::{Refusal, document};
use crate::request::ITEMS_MAX;
use crate::{Asker, Broker};

/// The header in which a client says why it closes a connection.
const REASON: &str = "x-reason";

pub(super) fn routes() -> Router<Arc<dyn Broker>> {
    Router::new()
        .route("/api/connections", get(all_connections))
        .route("/api/connections/{name}", get(connection).delete(close))
        .route("/api/connections/{name}/channels", get(channels_of))
        .route("/api/vhosts/{vhost}/connections", get(connections_of_host))
        .route("/api/channels", get(all_channels))
        .route("/api/channels/{name}", get(channel))
        .route("/api/vhosts/{vhost}/channels", get(channels_of_host))
}

async fn views(broker: &dyn Broker) -> Result<Vec<ConnectionView>, Refusal> {
    broker.connections(ITEMS_MAX).await.ok_or_else(Refusal::early)
}

async fn all_connections(State(broker): Shared, uri: Uri) -> Told {
    list(&uri, views(&*broker).await?.iter().map(show::connection).collect())
}

async fn connections_of_host(State(broker): Shared, Path(vhost): Path<String>, uri: Uri) -> Told {
    demand_host(&vhost)?;
    all_connections(State(broker), uri).await
}

/// The one of this name among what is shown.
fn one(shown: impl Iterator<Item = Value>, name: &str) -> Told {
    let mut shown = shown;
    let found = shown.find(|found| found.get("name").and_then(Value::as_str) == Some(name));
    Ok(document(&found.ok_or_else(Refusal::absent)?))
}

async fn connection(State(broker): Shared, Path(name): Path<String>) -> Told {
    one(views(&*broker).await?.iter().map(show::connection), &name)
}

async fn close(State(broker): Shared, Path(name): Path<String>, request: Request) -> Told {
    let connection = named(&name).ok_or_else(Refusal::absent)?;
    let why = request.headers().get(REASON).and_then(|why| why.to_str().ok()).unwrap_or_default().to_owned();
    let was_there = broker.disconnect(&Asker::of(&request), connection, &why).await;
    was_there.ok_or_else(Refusal::early)?.then_some(()).ok_or_else(Refusal::absent)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn all_channels(State(broker): Shared, uri: Uri) -> Told {
    let views = views(&*broker).await?;
    list(&uri, channels(&views).map(|(view, channel)| show::channel(view, channel)).take(ITEMS_MAX).collect())
}

async fn channels_of_host(State(broker): Shared, Path(vhost): Path<String>, uri: Uri) -> Told {
    demand_host(&vhost)?;
    all_channels(State(broker), uri).await
}

async fn channels_of(State(broker): Shared, Path(name): Path<String>, uri: Uri) -> Told {
    let mut views = views(&*broker).await?;
    views.retain(|view| crate::connections::name(view) == name);
    if views.is_empty() {
        return Err(Refusal::absent().into());
    }
    list(&uri, channels(&views).map(|(view, channel)| show::channel(view, channel)).collect())
}

async fn channel(State(broker): Shared, Path(name): Path<String>) -> Told {
    let views = views(&*broker).await?;
    one(channels(&views).map(|(view, channel)| show::channel(view, channel)), &name)
}
