//! What requests say beside their paths.

use axum::extract::Request;
use axum::http::Uri;
use mynah_core::administration::Names;
use serde_json::{Map, Value};

use crate::Asker;
use crate::refusal::Refusal;

/// Bytes of a document that is sent.
pub(crate) const DOCUMENT_MAX: usize = 64 << 20;
/// Items of a list, unless fewer are asked for.
pub(crate) const ITEMS_MAX: usize = 10_000;

/// The value of a parameter of the query, decoded.
pub(crate) fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| decoded(value))
}

/// Whether a parameter of the query is there that is a truth value.
pub(crate) fn is_set(uri: &Uri, name: &str) -> bool {
    parameter(uri, name).is_some_and(|value| value == "true")
}

/// Text of a path or a query without its escapes.
pub(crate) fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|&digit| char::from(digit).to_digit(16));
        rest = match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                &after[2..]
            }
            _ => {
                bytes.push(if byte == b'+' { b' ' } else { byte });
                after
            }
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The part of a list that is asked for: `after` a name, `limit` items.
pub(crate) fn part(uri: &Uri) -> Result<Names, Refusal> {
    let limit = match parameter(uri, "limit").map(|limit| limit.parse::<usize>()) {
        None => ITEMS_MAX,
        Some(Ok(limit @ 1..=ITEMS_MAX)) => limit,
        Some(_) => return Err(Refusal::unusable(format!("limit has to be 1 to {ITEMS_MAX}"))),
    };
    Ok(Names::After(parameter(uri, "after").map(|name| name.into_bytes().into()), limit))
}

/// Who asks, and the object that was sent; an empty one if nothing was.
pub(crate) async fn sent(request: Request) -> Result<(Asker, Map<String, Value>), Refusal> {
    let asker = Asker::of(&request);
    let body = axum::body::to_bytes(request.into_body(), DOCUMENT_MAX).await;
    let body = body.map_err(|_| Refusal::unusable("the document was cut off"))?;
    if body.is_empty() {
        return Ok((asker, Map::new()));
    }
    match serde_json::from_slice(&body) {
        Ok(Value::Object(object)) => Ok((asker, object)),
        Ok(_) => Err(Refusal::unusable("the document has to be an object")),
        Err(error) => Err(Refusal::unusable(format!("the document is no JSON: {error}"))),
    }
}
