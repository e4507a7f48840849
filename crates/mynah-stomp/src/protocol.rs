//! STOMP as one of the broker's protocols.

use alloc::boxed::Box;
use alloc::sync::Arc;

use mynah_model::{Instant, WallTime};
use mynah_stack::{Connection, LayoutCodec, Protocol};

use crate::Config;
use crate::connection::ServerConnection;
use crate::mapping::StompCodec;

/// The protocol, for all listeners with one configuration.
#[derive(Clone, Debug)]
pub struct Stomp {
    config: Arc<Config>,
    epoch: WallTime,
}

impl Stomp {
    /// The protocol with this configuration; `epoch` is the time of day when the clock was at its origin: `expires` is a time
    /// of day.
    #[must_use]
    pub fn new(config: Config, epoch: WallTime) -> Self {
        Self { config: Arc::new(config), epoch }
    }
}

impl Protocol for Stomp {
    fn name(&self) -> &'static str {
        "stomp"
    }

    fn accept(&self, now: Instant) -> Box<dyn Connection> {
        Box::new(ServerConnection::new(Arc::clone(&self.config), self.epoch, now))
    }

    fn codec(&self) -> Arc<dyn LayoutCodec> {
        Arc::new(StompCodec::new(self.epoch))
    }
}
