//! One question by HTTP/1.1 and its answer, over connections that are kept. An answer is bounded, and only one of
//! status 200 counts.

use std::fmt;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Endpoint;

/// Connections that are kept for the next question.
const IDLE_MAX: usize = 16;

/// Bytes of the head of an answer.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Asks one server.
#[derive(Debug)]
pub(super) struct Client {
    endpoint: Endpoint,
    body_bytes_max: usize,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl Client {
    /// A client that reads answers of `body_bytes_max` bytes at most.
    pub(super) fn new(endpoint: Endpoint, body_bytes_max: usize) -> Self {
        Self { endpoint, body_bytes_max, idle: Mutex::default() }
    }

    /// The body of the answer. Without a body to send it is a GET, else a POST of JSON. How long that may take is for
    /// the caller to say. A kept connection may have ended meanwhile: the question is then asked once more.
    pub(super) async fn ask(&self, body: Option<Bytes>) -> Result<Bytes, ExchangeError> {
        let kept = self.idle().pop();
        if let Some(kept) = kept.filter(|kept| !kept.is_closed()) {
            match self.ask_over(kept, body.clone()).await {
                Err(ExchangeError::Http(error)) if error.is_canceled() || error.is_incomplete_message() => {}
                answered => return answered,
            }
        }
        let fresh = self.connect().await?;
        self.ask_over(fresh, body).await
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, ExchangeError> {
        let Endpoint { host, port, tls, .. } = &self.endpoint;
        let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(ExchangeError::Connect)?;
        // A question is small and its answer wanted at once. Without the option it is asked all the same.
        let _ = stream.set_nodelay(true);
        match tls {
            Some((config, name)) => {
                let connector = TlsConnector::from(config.clone());
                let stream = connector.connect(name.clone(), stream).await.map_err(ExchangeError::Connect)?;
                handshake(stream).await
            }
            None => handshake(stream).await,
        }
    }

    async fn ask_over(
        &self,
        mut sender: SendRequest<Full<Bytes>>,
        body: Option<Bytes>,
    ) -> Result<Bytes, ExchangeError> {
        let mut request = Request::builder()
            .method(if body.is_some() { Method::POST } else { Method::GET })
            .uri(&self.endpoint.path)
            .header(HOST, &self.endpoint.authority)
            .header(USER_AGENT, "mynah")
            .header(ACCEPT, "application/json");
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request =
            request.body(Full::from(body.unwrap_or_default())).map_err(|_| ExchangeError::Request)?;
        sender.ready().await.map_err(ExchangeError::Http)?;
        let answer = sender.send_request(request).await.map_err(ExchangeError::Http)?;
        if answer.status() != StatusCode::OK {
            return Err(ExchangeError::Status(answer.status()));
        }
        let body = Limited::new(answer.into_body(), self.body_bytes_max).collect().await;
        let body = body.map_err(|_| ExchangeError::Body(self.body_bytes_max))?.to_bytes();
        let mut idle = self.idle();
        if idle.len() < IDLE_MAX && !sender.is_closed() {
            idle.push(sender);
        }
        Ok(body)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<SendRequest<Full<Bytes>>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begins HTTP on a connection, which ends when nobody asks over it any more.
async fn handshake<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, ExchangeError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(ExchangeError::Http)?;
    // Why it ends is told to whoever waits for an answer.
    tokio::spawn(async { drop(connection.await) });
    Ok(sender)
}

/// Why there is no answer of use. Holds nothing of question or answer.
#[derive(Debug)]
pub(super) enum ExchangeError {
    /// The server cannot be reached, or its certificate is not good.
    Connect(io::Error),
    /// The connection broke, or what came is no HTTP.
    Http(hyper::Error),
    /// The question cannot be written.
    Request,
    /// The server says no, or that it cannot.
    Status(StatusCode),
    /// The answer broke off, or is longer than this.
    Body(usize),
    /// The time is over.
    Timeout,
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "cannot connect: {error}"),
            Self::Http(error) => error.fmt(f),
            Self::Request => f.write_str("the request cannot be written"),
            Self::Status(status) => write!(f, "the answer has status {status}"),
            Self::Body(max) => write!(f, "the answer breaks off or is longer than {max} bytes"),
            Self::Timeout => f.write_str("no answer in time"),
        }
    }
}
