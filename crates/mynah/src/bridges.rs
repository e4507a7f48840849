//! Bridges: makes connections to other brokers and carries their bytes to a worker, where a stack has them; again and again.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mynah_admin::BridgeCounts;
use mynah_engine::BRIDGE_PREFIX;
use mynah_mqtt::bridge::{self, TopicRule, Watch};
use mynah_mqtt::client::{Ending, Misuse};
use mynah_net::{Dialer, Link};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::config::Bridge;
use crate::herald::Herald;

/// How long the other broker may take to accept, with the handshake of TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long it may take to say good-bye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The pause before another attempt grows from the one to the other.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What happens on one bridge: for logs and metrics.
pub(crate) struct Status {
    name: String,
    connected: AtomicBool,
    messages_in: AtomicU64,
    messages_out: AtomicU64,
    /// Whether the other broker has let the bridge in since the last look.
    let_in: AtomicBool,
    ending: Mutex<Option<Ending>>,
    herald: Herald,
}

impl Status {
    fn new(name: &str, herald: Herald) -> Self {
        Self {
            name: name.to_owned(),
            connected: AtomicBool::new(false),
            messages_in: AtomicU64::new(0),
            messages_out: AtomicU64::new(0),
            let_in: AtomicBool::new(false),
            ending: Mutex::new(None),
            herald,
        }
    }

    /// The numbers of this moment.
    pub(crate) fn counts(&self) -> BridgeCounts {
        BridgeCounts {
            name: self.name.clone(),
            connected: self.connected.load(Ordering::Relaxed),
            messages_in: self.messages_in.load(Ordering::Relaxed),
            messages_out: self.messages_out.load(Ordering::Relaxed),
        }
    }
}

impl Watch for Status {
    fn connected(&self) {
        self.let_in.store(true, Ordering::Relaxed);
        self.connected.store(true, Ordering::Relaxed);
        tracing::info!(bridge = self.name, "the bridge is connected");
    }

    fn ended(&self, ending: Ending) {
        self.connected.store(false, Ordering::Relaxed);
        if matches!(ending, Ending::Refused(_) | Ending::NotAdmitted(_)) {
            self.herald.bridge_refused(&listener_name(&self.name), ending);
        }
        *self.ending.lock().unwrap_or_else(PoisonError::into_inner) = Some(ending);
    }

    fn message_in(&self) {
        self.messages_in.fetch_add(1, Ordering::Relaxed);
    }

    fn message_out(&self) {
        self.messages_out.fetch_add(1, Ordering::Relaxed);
    }
}

/// One for each bridge.
pub(crate) fn statuses(bridges: &[Bridge], herald: &Herald) -> Vec<Arc<Status>> {
    bridges.iter().map(|bridge| Arc::new(Status::new(&bridge.name, herald.clone()))).collect()
}

/// The name of the listener where the connections of a bridge come in, and of its identity here.
pub(crate) fn listener_name(bridge: &str) -> String {
    format!("bridge:{bridge}")
}

/// The stack of a bridge.
pub(crate) fn stack(settings: &Bridge, status: &Arc<Status>) -> Result<bridge::Bridge, Misuse> {
    let rules: Vec<TopicRule<'_>> = settings
        .topics
        .iter()
        .map(|topics| TopicRule {
            direction: topics.direction,
            filter: &topics.filter,
            local_prefix: &topics.local_prefix,
            remote_prefix: &topics.remote_prefix,
            class_max: topics.class_max,
        })
        .collect();
    let stack = bridge::Settings {
        options: settings.options.clone(),
        session: format!("{BRIDGE_PREFIX}{}", settings.name).into_bytes().into(),
        receive_max: settings.receive_max,
        bridge_bit: settings.bridge_bit,
        watch: Arc::<Status>::clone(status),
    };
    bridge::Bridge::new(stack, &rules)
}

/// Connects a bridge and keeps it connected until the broker stops.
pub(crate) async fn run(
    bridge: Bridge,
    status: Arc<Status>,
    dialer: Dialer,
    mut stopping: watch::Receiver<bool>,
) {
    let mut pause = PAUSE_MIN;
    loop {
        let connected = tokio::select! {
            connected = connect(&bridge) => connected,
            _ = stopping.changed() => return,
        };
        let result = match connected {
            // From here on the worker decides when it is over; when the broker stops it says good-bye.
            Ok(stream) => {
                carry(dialer.dial(None), stream).await;
                Ok(())
            }
            Err(error) => Err(error),
        };
        if *stopping.borrow() {
            return;
        }
        let ending = status.ending.lock().unwrap_or_else(PoisonError::into_inner).take();
        let why = match (result, ending) {
            (Err(error), _) => error.to_string(),
            (Ok(()), Some(ending)) => ending.to_string(),
            (Ok(()), None) => Ending::Lost.to_string(),
        };
        if status.let_in.swap(false, Ordering::Relaxed) {
            pause = PAUSE_MIN;
        }
        let wait = jittered(pause);
        tracing::warn!(
            bridge = status.name,
            address = bridge.address,
            why,
            again_in_ms = wait.as_millis(),
            "the bridge is down"
        );
        tokio::select! {
            () = sleep(wait) => {}
            _ = stopping.changed() => return,
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// What carries the bytes of a bridge.
trait Transport: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Transport for T {}

async fn connect(bridge: &Bridge) -> io::Result<Pin<Box<dyn Transport>>> {
    let connected = async {
        let stream = TcpStream::connect(&bridge.address).await?;
        stream.set_nodelay(true)?;
        let transport: Pin<Box<dyn Transport>> = match &bridge.tls {
            Some(tls) => Box::pin(tls.connect(stream).await?),
            None => Box::pin(stream),
        };
        Ok(transport)
    };
    let timed_out = |_| io::Error::new(io::ErrorKind::TimedOut, "the other broker does not answer");
    timeout(CONNECT_TIMEOUT, connected).await.map_err(timed_out)?
}

/// Carries bytes both ways until either end has no more.
async fn carry(link: Link, stream: impl AsyncRead + AsyncWrite) {
    let (mut from_worker, mut to_worker) = tokio::io::split(link);
    let (mut from_remote, mut to_remote) = tokio::io::split(stream);
    // Why a transport ends does not matter: the stack says what it means.
    tokio::select! {
        _ = tokio::io::copy(&mut from_worker, &mut to_remote) => {}
        _ = tokio::io::copy(&mut from_remote, &mut to_worker) => {}
    }
    let _ = timeout(CLOSE_TIMEOUT, to_remote.shutdown()).await;
}

/// Between three quarters of a pause and all of it, so that many bridges do not come back at the same instant.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) % 1_000;
    pause * 3 / 4 + pause / 4 * random as u32 / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_a_little_random() {
        for _ in 0..100 {
            let pause = jittered(Duration::from_secs(4));
            assert!((Duration::from_secs(3)..=Duration::from_secs(4)).contains(&pause), "{pause:?}");
        }
    }
}
