//! A server of HTTP that does as it is told, for tests.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::EndpointSettings;

/// What the server does with a request.
#[derive(Clone)]
pub(super) enum Behaviour {
    /// Answers with a status and a body.
    Answer(u16, Vec<u8>),
    /// The same, after a while.
    Late(Duration, Vec<u8>),
    /// Writes these bytes, whatever they are, and closes.
    Bytes(Vec<u8>),
    /// Never says that it has said all.
    Endless,
    /// Answers once, and closes the connection without having said so.
    Once(Vec<u8>),
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) head: String,
    pub(super) body: String,
}

/// The server. It ends with the value.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    behaviour: Mutex<Behaviour>,
    asked: Mutex<Vec<Asked>>,
    connections: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl Server {
    pub(super) async fn start(behaviour: Behaviour) -> Self {
        Self::over(None, behaviour).await
    }

    pub(super) async fn over(tls: Option<TlsAcceptor>, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(behaviour),
            asked: Mutex::default(),
            connections: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                serving.connections.fetch_add(1, Ordering::Relaxed);
                let (shared, tls) = (Arc::clone(&serving), tls.clone());
                connections.spawn(async move {
                    let _ = match tls {
                        None => serve(stream, &shared).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, &shared).await,
                            Err(_) => None,
                        },
                    };
                });
            }
        });
        Self { address, shared, task }
    }

    pub(super) fn behave(&self, behaviour: Behaviour) {
        *self.shared.behaviour.lock().unwrap() = behaviour;
    }

    pub(super) fn endpoint(&self) -> EndpointSettings {
        EndpointSettings { url: format!("http://{}/ask", self.address), ca: None, plaintext: false }
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// How many requests waited for their answers at a time.
    pub(super) fn most_at_once(&self) -> usize {
        self.shared.most_at_once.load(Ordering::Relaxed)
    }

    /// Nobody listens any more, and what is connected is cut off.
    pub(super) async fn stop(self) -> SocketAddr {
        self.task.abort();
        let address = self.address;
        drop(self);
        tokio::time::sleep(Duration::from_millis(20)).await;
        address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        let asked = request(&mut stream, &mut buffer).await?;
        shared.asked.lock().unwrap().push(asked);
        let at_once = shared.at_once.fetch_add(1, Ordering::Relaxed) + 1;
        shared.most_at_once.fetch_max(at_once, Ordering::Relaxed);
        let behaviour = shared.behaviour.lock().unwrap().clone();
        let went_on = behave(&mut stream, behaviour).await;
        shared.at_once.fetch_sub(1, Ordering::Relaxed);
        went_on?;
    }
}

async fn behave(stream: &mut (impl AsyncWrite + Unpin), behaviour: Behaviour) -> Option<()> {
    match behaviour {
        Behaviour::Answer(status, body) => answer(stream, status, &body).await,
        Behaviour::Late(pause, body) => {
            tokio::time::sleep(pause).await;
            answer(stream, 200, &body).await
        }
        Behaviour::Bytes(bytes) => {
            stream.write_all(&bytes).await.ok()?;
            stream.shutdown().await.ok()?;
            None
        }
        Behaviour::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.ok()?;
            loop {
                stream.write_all(b"1000\r\n").await.ok()?;
                stream.write_all(&[b' '; 0x1000]).await.ok()?;
                stream.write_all(b"\r\n").await.ok()?;
            }
        }
        Behaviour::Once(body) => {
            answer(stream, 200, &body).await?;
            stream.shutdown().await.ok()?;
            None
        }
    }
}

async fn answer(stream: &mut (impl AsyncWrite + Unpin), status: u16, body: &[u8]) -> Option<()> {
    let head = format!("HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat()).await.ok()
}

/// The next request, if there is one.
async fn request(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<Asked> {
    loop {
        let text = String::from_utf8_lossy(buffer).into_owned();
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().unwrap());
            if rest.len() >= length {
                buffer.drain(..head.len() + 4 + length);
                return Some(Asked { head: head.to_owned(), body: rest[..length].to_owned() });
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}
