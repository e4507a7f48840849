//! The virtual host. Others are other tenants: these are named in the configuration, and have management listeners of their own.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use super::{Told, demand_host};
use crate::Broker;
use crate::definitions::VIRTUAL_HOST;
use crate::refusal::{Refusal, document};

pub(super) fn routes() -> Router<Arc<dyn Broker>> {
    Router::new()
        .route("/api/vhosts", get(all))
        .route("/api/vhosts/{vhost}", get(one).put(put).delete(delete))
}

fn show() -> Value {
    json!({ "name": VIRTUAL_HOST, "tracing": false })
}

async fn all() -> Response {
    document(&json!([show()]))
}

async fn one(Path(vhost): Path<String>) -> Told {
    demand_host(&vhost)?;
    Ok(document(&show()))
}

fn unchangeable() -> Refusal {
    Refusal::unusable("a virtual host is a tenant: tenants are named in the configuration")
}

/// The one that is there can be wanted.
async fn put(Path(vhost): Path<String>) -> Told {
    if vhost == VIRTUAL_HOST {
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        Err(unchangeable().into())
    }
}

async fn delete(Path(vhost): Path<String>) -> Told {
    demand_host(&vhost)?;
    Err(unchangeable().into())
}
