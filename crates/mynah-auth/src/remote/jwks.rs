//! The keys that an issuer publishes, fetched again and again in the background. A key that is not known asks for them
//! earlier, but not more often than once in a while; while they cannot be had, those of before hold for a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::exchange::{Client, ExchangeError};
use super::watch::Watch;
use super::{Endpoint, EndpointError, EndpointSettings};
use crate::jwt::{KeySet, KeySetError};

/// Bytes of the largest set of keys.
const SET_BYTES_MAX: usize = 256 << 10;

/// Where keys are published, and how they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwksSettings {
    /// Where.
    pub endpoint: EndpointSettings,
    /// How often they are fetched.
    pub refresh: Duration,
    /// How soon they are fetched again after a failure, and how often at most for a key that is not known.
    pub retry: Duration,
    /// How long they hold while they cannot be fetched.
    pub stale_max: Duration,
    /// How long fetching may take.
    pub timeout: Duration,
}

/// The keys of an issuer.
#[derive(Debug)]
pub(super) struct Jwks {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    settings: JwksSettings,
    state: Mutex<State>,
    /// Somebody wants the keys to be fetched now.
    wanted: Notify,
    /// How many times they were fetched, or were not to be had.
    attempts: watch::Sender<u64>,
    watch: Watch,
}

#[derive(Debug)]
struct State {
    keys: Arc<KeySet>,
    fetched: Option<Instant>,
    /// Whether they are being fetched, or are about to be.
    is_fetching: bool,
    /// When they were last wanted before their time.
    wanted: Option<Instant>,
}

impl Jwks {
    /// Begins to fetch. Called inside a runtime.
    pub(super) fn start(settings: JwksSettings) -> Result<Self, EndpointError> {
        let client = Client::new(Endpoint::http(&settings.endpoint)?, SET_BYTES_MAX);
        let state = State { keys: Arc::default(), fetched: None, is_fetching: true, wanted: None };
        let shared = Arc::new(Shared {
            client,
            settings,
            state: Mutex::new(state),
            wanted: Notify::new(),
            attempts: watch::Sender::new(0),
            watch: Watch::new("the issuer's keys"),
        });
        let task = tokio::spawn(keep(Arc::clone(&shared)));
        Ok(Self { shared, task })
    }

    /// The keys, if any are known that still hold.
    pub(super) fn keys(&self) -> Option<Arc<KeySet>> {
        let state = self.shared.state();
        let holds = state.fetched.is_some_and(|at| at.elapsed() < self.shared.settings.stale_max);
        holds.then(|| Arc::clone(&state.keys))
    }

    /// Waits until the keys were fetched once more. Says whether that was tried at all: it is not if it was too
    /// recently.
    pub(super) async fn fetched_again(&self) -> bool {
        let mut attempts = {
            let mut state = self.shared.state();
            if !state.is_fetching {
                if state.wanted.is_some_and(|at| at.elapsed() < self.shared.settings.retry) {
                    return false;
                }
                state.wanted = Some(Instant::now());
                state.is_fetching = true;
                self.shared.wanted.notify_one();
            }
            self.shared.attempts.subscribe()
        };
        timeout(self.shared.settings.timeout, attempts.changed()).await.is_ok()
    }
}

impl Drop for Jwks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Fetches the keys as long as anybody may want them.
async fn keep(shared: Arc<Shared>) {
    loop {
        let fetched = timeout(shared.settings.timeout, shared.client.ask(None)).await;
        let text = fetched.unwrap_or(Err(ExchangeError::Timeout));
        let keys = text
            .map_err(FetchError::Exchange)
            .and_then(|text| KeySet::from_jwks(&text).map_err(FetchError::Keys));
        let pause = shared.take_in(keys);
        if timeout(pause, shared.wanted.notified()).await.is_err() {
            shared.state().is_fetching = true;
        }
    }
}

impl Shared {
    /// Says how long to wait until the next time.
    fn take_in(&self, keys: Result<KeySet, FetchError>) -> Duration {
        let mut state = self.state();
        state.is_fetching = false;
        let pause = match keys {
            Ok(keys) => {
                state.keys = Arc::new(keys);
                state.fetched = Some(Instant::now());
                self.watch.answers();
                self.settings.refresh
            }
            Err(why) => {
                self.watch.fails(why);
                self.settings.retry
            }
        };
        self.attempts.send_modify(|attempts| *attempts += 1);
        pause
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why there are no new keys.
enum FetchError {
    Exchange(ExchangeError),
    Keys(KeySetError),
}

impl std::fmt::Display for FetchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exchange(error) => error.fmt(f),
            Self::Keys(error) => error.fmt(f),
        }
    }
}
