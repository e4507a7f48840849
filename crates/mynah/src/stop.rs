//! The signals that end the broker: the first asks it to drain, a second ends it at once.

use std::io;
use std::process;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Exit code of a broker that was told twice to stop.
const FORCED: i32 = 1;

/// The wish to stop, once it has been uttered.
pub(crate) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Takes the signals over from the system, which would end the process at once. Called inside the runtime.
    pub(crate) fn watch() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next signal and returns its name.
    pub(crate) async fn wait(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// From now on the next signal ends the process.
    pub(crate) fn end_at_next(mut self) {
        tokio::spawn(async move {
            let signal = self.wait().await;
            tracing::warn!(signal, "told again to stop: stopping at once");
            process::exit(FORCED);
        });
    }
}
