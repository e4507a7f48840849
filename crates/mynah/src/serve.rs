//! `mynah serve`: from the configuration to a running broker, and down again.

use std::path::Path;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::authentication::Authentication;
use crate::broker::Broker;
use crate::complaint::Complaint;
use crate::config::{self, Settings};
use crate::herald::Herald;
use crate::service::{self, Standing};
use crate::stop::Stop;
use crate::{check, logging};

/// Threads of the runtime on which HTTP is served; what it serves is done by the workers.
const RUNTIME_THREADS: usize = 2;

/// How often it is looked whether all workers are alive, and nobody is here who may not be.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Runs the broker until a signal ends it.
pub(crate) fn run(file: Option<&Path>) -> Result<(), Complaint> {
    let settings = config::load(file)?;
    logging::start(&settings);
    raise_file_limit();
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .thread_name("mynah-http")
        .enable_all()
        .build()
        .map_err(|error| Complaint::System { what: "the runtime cannot be started", error })?;
    let entered = runtime.enter();
    let herald = Herald::default();
    let authentication = Authentication::load(&settings, &herald)?;
    drop(entered);
    eprint!("{}", check::summary(&settings));
    let outcome = runtime.block_on(serve(settings, authentication, herald, file));
    // What is still read of the store when the start is broken off is not waited for: nothing is lost by that.
    runtime.shutdown_background();
    outcome
}

async fn serve(
    settings: Settings,
    authentication: Option<Authentication>,
    herald: Herald,
    file: Option<&Path>,
) -> Result<(), Complaint> {
    let mut stop =
        Stop::watch().map_err(|error| Complaint::System { what: "signals cannot be watched", error })?;
    let mut hangup = signal(SignalKind::hangup())
        .map_err(|error| Complaint::System { what: "signals cannot be watched", error })?;
    let mut broker = tokio::select! {
        started = Broker::start(settings, authentication, herald) => started?,
        signal = stop.wait() => {
            tracing::info!(signal, "stopping before the start was over");
            return Ok(());
        }
    };
    service::notify(Standing::Ready);
    let mut watch = tokio::time::interval(WATCH_INTERVAL);
    let failed = loop {
        tokio::select! {
            signal = stop.wait() => {
                tracing::info!(signal, "stopping; a second signal stops at once");
                break None;
            }
            _ = hangup.recv() => broker.reload(file),
            told = broker.changed_users() => broker.reread_users(told),
            _ = watch.tick() => {
                let lost = broker.look_after_store();
                if lost.is_some() || broker.has_failed() {
                    break Some(lost.unwrap_or_else(worker_stopped));
                }
                broker.look_after();
            }
        }
    };
    service::notify(Standing::Stopping);
    if let Some(complaint) = &failed {
        tracing::error!("the broker is not whole and stops: {complaint}");
    }
    stop.end_at_next();
    match (failed, broker.stop().await) {
        (Some(complaint), _) | (None, Err(complaint)) => Err(complaint),
        (None, Ok(false)) => {
            Err(Complaint::Other("stopped before all peers had read what waited for them".to_owned()))
        }
        (None, Ok(true)) => Ok(()),
    }
}

fn worker_stopped() -> Complaint {
    Complaint::Other("a worker stopped by itself; the log says why".to_owned())
}

/// Takes as many open files as the system gives: each connection is one, and customarily a program has to ask for more
/// than 1,024.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files, and so of connections, cannot be raised");
    }
}
