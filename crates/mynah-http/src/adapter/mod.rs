//! The adapter to an HTTP server (axum, hyper): the only module of this crate that names them or a runtime.
//!
//! It decides nothing about requests. It hands their parsed parts to [`crate::mapping`], moves bytes between HTTP
//! bodies and a link, and drops the link when its client is gone.

mod link;
mod response;

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{Extensions, Method, Request, Response};
use axum::routing::get;
use http_body::Body as _;
use mynah_model::Reason;
use mynah_stack::Holder;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::io::{AsyncRead, AsyncWrite};

pub use response::problem;

use crate::adapter::link::LinkEnd;
use crate::framing::HEADER_BYTES;
use crate::mapping::HttpRequest;
use crate::wire::{Kind, RequestBody};
use crate::{HttpConfig, Problem};

/// Makes links to the broker: streams of bytes, each of which becomes a connection of [`crate::Http`].
pub trait Dial: Clone + Send + Sync + 'static {
    /// A link. Dropping it ends the broker's connection.
    type Link: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// A new link for a request of the client at `peer`; `extensions` is what else the server knows of it.
    ///
    /// # Errors
    /// The broker takes no more connections at this moment.
    fn dial(&self, peer: SocketAddr, extensions: &Extensions) -> Result<Self::Link, Busy>;
}

/// The broker takes no more connections at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl core::fmt::Display for Busy {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the broker takes no more connections at this moment")
    }
}

impl core::error::Error for Busy {}

/// The routes of the data plane, with `/healthz` (the process answers) and `/readyz` (`ready` is set).
///
/// A response that was made here, without the broker, has its [`Problem`] among its extensions.
///
/// The server has to put [`ConnectInfo`] with the peer's address into each request's extensions, and bounds what a
/// client may cost before its request has a head.
pub fn router<D: Dial>(dial: D, config: HttpConfig, ready: Arc<AtomicBool>) -> Router {
    let config = Arc::new(config);
    let readyz = move || async move {
        if ready.load(Ordering::Relaxed) {
            Response::new(Body::from("ready\n"))
        } else {
            problem(&Problem::NotReady)
        }
    };
    Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(readyz)).fallback(
        move |request: Request<Body>| {
            let (dial, config) = (dial.clone(), Arc::clone(&config));
            async move { answer(dial, &config, request).await.unwrap_or_else(|p| problem(&p)) }
        },
    )
}

/// One request, from its head to the head of its response.
async fn answer<D: Dial>(
    dial: D,
    config: &HttpConfig,
    request: Request<Body>,
) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    if parts.method == Method::OPTIONS {
        return request_of(&parts, &[]).allow().map(response::allow);
    }
    let head = judge(&parts, config)?;
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), |info| info.0);
    let dialed = dial.dial(peer, &parts.extensions);
    let mut link = LinkEnd::new(dialed.map_err(|Busy| Problem::Refused(Reason::ServerBusy))?);
    link.send(&[&head]).await;
    if link.begin().await? == Kind::Proceed {
        tokio::select! {
            // The broker loses patience with a slow body, or shuts down.
            begun = link.begin() => drop(begun?),
            collected = collect(body, config.body_bytes_max) => {
                let (bytes, header) = collected?;
                link.send(&[&header, &bytes]).await;
            }
        }
    }
    response::from_link(link, parts.method == Method::HEAD).await
}

fn judge(parts: &Parts, config: &HttpConfig) -> Result<Vec<u8>, Problem> {
    let fields: Vec<_> =
        parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    request_of(parts, &fields).to_frame(config, holder)
}

/// A name for leases that nobody can guess.
fn holder() -> Result<Holder, Problem> {
    let mut name = [0; 16];
    SystemRandom::new().fill(&mut name).map_err(|_| Problem::Interrupted)?;
    Ok(Holder(name))
}

fn request_of<'a>(parts: &'a Parts, fields: &'a [(&'a str, &'a [u8])]) -> HttpRequest<'a> {
    HttpRequest { method: parts.method.as_str(), path: parts.uri.path(), query: parts.uri.query(), fields }
}

/// A whole body, and the header of its frame. Chunks are copied together: a peer that sends it byte by byte would
/// otherwise make the list of them, and the buffers that they keep alive, far larger than the body.
async fn collect(mut body: Body, bytes_max: u32) -> Result<(Vec<u8>, [u8; HEADER_BYTES]), Problem> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(chunk) = frame.map_err(|_| Problem::BodyIncomplete)?.into_data() else { continue };
        if bytes.len() + chunk.len() > bytes_max as usize {
            return Err(Problem::BodyTooLarge(bytes_max));
        }
        bytes.extend_from_slice(&chunk);
    }
    let length = u32::try_from(bytes.len()).map_err(|_| Problem::BodyTooLarge(bytes_max))?;
    Ok((bytes, RequestBody::header(length)))
}
