//! The stack as the broker registers it.

use std::sync::Arc;

use mynah_model::Instant;
use mynah_stack::{Connection, LayoutCodec, Protocol};

use crate::connection::HttpConnection;
use crate::{ConfigError, HttpCodec, HttpConfig};

/// The HTTP data plane as a protocol: makes a connection for each link.
#[derive(Clone, Debug)]
pub struct Http {
    config: HttpConfig,
}

impl Http {
    /// A stack with this configuration.
    ///
    /// # Errors
    /// The configuration has a value that cannot be kept.
    pub fn new(config: HttpConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self { config })
    }
}

impl Protocol for Http {
    fn name(&self) -> &'static str {
        "http"
    }

    fn accept(&self, now: Instant) -> Box<dyn Connection> {
        Box::new(HttpConnection::new(self.config.clone(), now))
    }

    fn codec(&self) -> Arc<dyn LayoutCodec> {
        Arc::new(HttpCodec)
    }
}
