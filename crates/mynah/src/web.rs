//! The web server: accepts connections of HTTP, with or without TLS, within bounds and serves a router on them until it is told to stop.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::middleware::{Next, from_fn};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use mynah_engine::Limit;
use mynah_http::{HttpConfig, Problem};
use mynah_model::Limits;
use mynah_net::{Secured, Tls};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tower::Service;

use crate::herald::{Gate, Herald};

/// How long to wait when the system has no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener that is open, and what is served there.
pub(crate) struct Site {
    pub(crate) socket: std::net::TcpListener,
    pub(crate) router: Router,
    pub(crate) tls: Option<Arc<Tls>>,
    /// Where the clients come in, and who tells that there are too many.
    pub(crate) told: (Gate, Herald),
}

/// The routes of a listener; the audit hears which requests were larger than they may be. What the workers refuse they tell
/// themselves.
pub(crate) fn telling(router: Router, gate: Gate, herald: Herald) -> Router {
    let tell =
        move |ConnectInfo(peer): ConnectInfo<SocketAddr>, request: axum::extract::Request, next: Next| {
            let (gate, herald) = (gate.clone(), herald.clone());
            async move {
                let response = next.run(request).await;
                let problem = response.extensions().get::<Problem>();
                if let Some(Problem::BodyTooLarge(_) | Problem::FieldsTooLarge(_) | Problem::UriTooLong(_)) =
                    problem
                {
                    herald.limit(&gate, peer, Limit::MessageBytes);
                }
                response
            }
        };
    router.layer(from_fn(tell))
}

/// What the clients of one site may cost.
#[derive(Clone)]
pub(crate) struct Bounds {
    /// Connections that have not yet sent a request.
    half_open: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    /// How long a connection may take for the handshake of TLS, and for the head of a request.
    head_timeout: Duration,
    head_bytes_max: usize,
}

impl Bounds {
    pub(crate) fn new(limits: &Limits, http: &HttpConfig) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        // Room for the request line beside path and fields; the server takes no smaller buffer than 8 KiB.
        let head_bytes_max = (http.header_bytes_max + http.uri_bytes_max) as usize + 1_024;
        Self {
            half_open: semaphore(limits.half_open_max),
            connections: semaphore(limits.connections_max),
            head_timeout: http.opening_timeout,
            head_bytes_max: head_bytes_max.max(8 << 10),
        }
    }
}

/// Serves a site until `stopping` becomes true, and then what is under way to its end.
pub(crate) async fn serve(site: Site, bounds: Bounds, mut stopping: watch::Receiver<bool>) {
    let Site { socket, router, tls, told: (gate, herald) } = site;
    let listener = match TcpListener::from_std(socket) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a listener cannot be watched"),
    };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopping.changed() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    if let Some(permits) = Permits::take(&bounds) {
                        let visit = Visit { peer, router: router.clone(), permits, bounds: bounds.clone() };
                        connections.spawn(visit.begin(stream, tls.clone(), stopping.clone()));
                    } else {
                        herald.limit(&gate, peer, Limit::Connections);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// The right to be a connection, and, until its first request, the right to be silent.
struct Permits {
    _connection: OwnedSemaphorePermit,
    half_open: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Permits {
    /// None if there are too many connections: this one is closed.
    fn take(bounds: &Bounds) -> Option<Self> {
        let connection = Arc::clone(&bounds.connections).try_acquire_owned().ok()?;
        let half_open = Arc::clone(&bounds.half_open).try_acquire_owned().ok()?;
        Some(Self { _connection: connection, half_open: Mutex::new(Some(half_open)) })
    }

    fn opened(&self) {
        self.half_open.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// A connection that was let in.
struct Visit {
    peer: SocketAddr,
    router: Router,
    permits: Permits,
    bounds: Bounds,
}

impl Visit {
    /// Makes the connection secure if the site is, and serves it.
    async fn begin(self, stream: TcpStream, tls: Option<Arc<Tls>>, mut stopping: watch::Receiver<bool>) {
        // Events are small and wanted at once. A socket without the option is served all the same.
        let _ = stream.set_nodelay(true);
        let Some(tls) = tls else { return self.serve(stream, None, stopping).await };
        let peer = self.peer;
        tokio::select! {
            handshake = tokio::time::timeout(self.bounds.head_timeout, tls.secure(stream)) => match handshake {
                Ok(Ok((stream, secured))) => self.serve(stream, Some(secured), stopping).await,
                Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS did not come about"),
                Err(_) => tracing::debug!(%peer, "the handshake of TLS took too long"),
            },
            _ = stopping.changed() => {}
        }
    }

    async fn serve<S>(self, stream: S, secured: Option<Secured>, mut stopping: watch::Receiver<bool>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Self { peer, router, permits, bounds } = self;
        let service = service_fn(|mut request: Request<Incoming>| {
            permits.opened();
            request.extensions_mut().insert(ConnectInfo(peer));
            if let Some(secured) = &secured {
                request.extensions_mut().insert(secured.clone());
            }
            let mut router = router.clone();
            async move { Ok::<_, Infallible>(router.call(request).await.unwrap_or_else(|never| match never {})) }
        });
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(bounds.head_timeout)
            .max_buf_size(bounds.head_bytes_max);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            _ = stopping.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection of HTTP broke");
        }
    }
}
