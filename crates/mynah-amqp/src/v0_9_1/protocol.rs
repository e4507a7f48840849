//! AMQP as one of the broker's protocols.

use alloc::boxed::Box;
use alloc::sync::Arc;

use mynah_model::{Instant, WallTime};
use mynah_stack::{Connection, LayoutCodec, Protocol};

use super::Config;
use super::connection::ServerConnection;
use super::mapping::AmqpCodec;

/// The protocol, for all listeners with one configuration.
#[derive(Clone, Debug)]
pub struct Amqp {
    config: Arc<Config>,
    epoch: WallTime,
}

impl Amqp {
    /// The protocol with this configuration; `epoch` is the time of day when the clock was at its origin.
    #[must_use]
    pub fn new(config: Config, epoch: WallTime) -> Self {
        Self { config: Arc::new(config), epoch }
    }
}

impl Protocol for Amqp {
    fn name(&self) -> &'static str {
        "amqp091"
    }

    fn accept(&self, now: Instant) -> Box<dyn Connection> {
        Box::new(ServerConnection::new(Arc::clone(&self.config), self.epoch, now))
    }

    fn codec(&self) -> Arc<dyn LayoutCodec> {
        Arc::new(AmqpCodec)
    }
}
