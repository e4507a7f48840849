//! Messages: published to an exchange, and taken from a queue to be looked at.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Shared, Told, demand_host, exchange_of};
use crate::Broker;
use crate::messages::{Afterwards, Fetch, Fetched, Publication};
use crate::refusal::{Refusal, document};
use crate::request::sent;

type Named = Path<(String, String)>;

/// Messages that one request gets at most.
const COUNT_MAX: u64 = 1_000;

pub(super) fn routes() -> Router<Arc<dyn Broker>> {
    Router::new()
        .route("/api/exchanges/{vhost}/{name}/publish", post(publish))
        .route("/api/queues/{vhost}/{name}/get", post(get))
}

fn word<'s>(said: &'s Map<String, Value>, name: &str, default: &'s str) -> Result<&'s str, Refusal> {
    match said.get(name) {
        None | Some(Value::Null) => Ok(default),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(Refusal::unusable(format!("{name} has to be text"))),
    }
}

/// A number, which some clients send as text.
fn number(said: &Map<String, Value>, name: &str) -> Result<Option<u64>, Refusal> {
    let wrong = || Refusal::unusable(format!("{name} has to be a number"));
    match said.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => text.parse().map(Some).map_err(|_| wrong()),
        Some(value) => value.as_u64().map(Some).ok_or_else(wrong),
    }
}

async fn publish(State(broker): Shared, Path((vhost, name)): Named, request: Request) -> Told {
    demand_host(&vhost)?;
    let (asker, said) = sent(request).await?;
    let payload = word(&said, "payload", "")?;
    let payload = match word(&said, "payload_encoding", "string")? {
        "string" => payload.as_bytes().to_vec(),
        "base64" => STANDARD.decode(payload).map_err(|_| Refusal::unusable("payload is no base64"))?,
        _ => return Err(Refusal::unusable("payload_encoding has to be string or base64").into()),
    };
    let properties = match said.get("properties") {
        Some(Value::Object(properties)) => properties.clone(),
        None | Some(Value::Null) => Map::new(),
        Some(Value::Array(none)) if none.is_empty() => Map::new(),
        Some(_) => return Err(Refusal::unusable("properties has to be an object").into()),
    };
    let key = word(&said, "routing_key", "")?.to_owned();
    let publication = Publication { exchange: exchange_of(&name).to_owned(), key, payload, properties };
    let routed = broker.publish(&asker, publication).await.ok_or_else(Refusal::early)?;
    Ok(document(&json!({ "routed": routed.map_err(Refusal::from)? })))
}

fn afterwards(said: &Map<String, Value>) -> Result<Afterwards, Refusal> {
    let before =
        said.get("requeue").is_some_and(|requeue| *requeue == json!(true) || *requeue == json!("true"));
    match word(said, "ackmode", if before { "ack_requeue_true" } else { "ack_requeue_false" })? {
        "ack_requeue_true" | "reject_requeue_true" => Ok(Afterwards::GiveBack),
        "ack_requeue_false" => Ok(Afterwards::Accept),
        "reject_requeue_false" => Ok(Afterwards::Reject),
        _ => Err(Refusal::unusable(
            "ackmode has to be ack_requeue_true, ack_requeue_false, reject_requeue_true or reject_requeue_false",
        )),
    }
}

/// A message; of a long payload no more than `truncate` bytes.
fn show(fetched: &Fetched, is_text: bool, truncate: Option<u64>) -> Value {
    let len = fetched.payload.len();
    let shown = &fetched.payload
        [..truncate.and_then(|max| usize::try_from(max).ok()).map_or(len, |max| len.min(max))];
    let text = str::from_utf8(shown).ok().filter(|_| is_text);
    let (payload, encoding) =
        text.map_or_else(|| (STANDARD.encode(shown), "base64"), |text| (text.to_owned(), "string"));
    json!({
        "exchange": fetched.exchange,
        "routing_key": fetched.key,
        "redelivered": fetched.redelivered,
        "message_count": fetched.left,
        "properties": fetched.properties,
        "payload": payload,
        "payload_bytes": len,
        "payload_encoding": encoding,
    })
}

async fn get(State(broker): Shared, Path((vhost, queue)): Named, request: Request) -> Told {
    demand_host(&vhost)?;
    let (asker, said) = sent(request).await?;
    let count = number(&said, "count")?.unwrap_or(1);
    if !(1..=COUNT_MAX).contains(&count) {
        return Err(Refusal::unusable(format!("count has to be 1 to {COUNT_MAX}")).into());
    }
    let is_text = match word(&said, "encoding", "auto")? {
        "auto" => true,
        "base64" => false,
        _ => return Err(Refusal::unusable("encoding has to be auto or base64").into()),
    };
    let truncate = number(&said, "truncate")?;
    let fetch = Fetch { queue, count: count as usize, then: afterwards(&said)? };
    let fetched = broker.fetch(&asker, fetch).await.ok_or_else(Refusal::early)?.map_err(Refusal::from)?;
    Ok(document(&Value::from_iter(fetched.iter().map(|fetched| show(fetched, is_text, truncate)))))
}
