//! CoAP as one of the broker's protocols.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use mynah_model::Instant;
use mynah_stack::{Connection, LayoutCodec, Protocol};

use crate::connection::ServerConnection;
use crate::counts::{Budget, Counts};
use crate::directory::SharedDirectory;
use crate::flow::Random;
use crate::framing::Transport;
use crate::mapping::CoapCodec;
use crate::{CoapConfig, ConfigError};

/// What all associations of a stack have in common.
#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) config: CoapConfig,
    pub(crate) counts: Arc<Counts>,
    /// For bodies that come in blocks, and for those that go out in blocks.
    pub(crate) uploads: Arc<Budget>,
    pub(crate) downloads: Arc<Budget>,
    /// Where devices register; none if they cannot.
    pub(crate) directory: Option<Arc<dyn SharedDirectory>>,
    key: [u64; 2],
    associations: Arc<AtomicU64>,
}

impl Stack {
    /// Numbers for one more association.
    pub(crate) fn random(&self) -> Random {
        Random::new(self.key, self.associations.fetch_add(1, Relaxed))
    }
}

/// The protocol, for all listeners of one transport with one configuration.
#[derive(Clone, Debug)]
pub struct Coap {
    stack: Arc<Stack>,
    transport: Transport,
    is_verified: bool,
}

impl Coap {
    /// The protocol over `transport`. Message numbers, patience and what a peer has to repeat follow from `key`, which
    /// nobody else may know.
    ///
    /// # Errors
    /// The configuration has a value that cannot be kept.
    pub fn new(config: CoapConfig, transport: Transport, key: [u64; 2]) -> Result<Self, ConfigError> {
        config.validate()?;
        let uploads = Arc::new(Budget::new(config.uploads_bytes_max as usize));
        let downloads = Arc::new(Budget::new(config.downloads_bytes_max as usize));
        let counts = Arc::default();
        let associations = Arc::default();
        let stack = Stack { config, counts, uploads, downloads, directory: None, key, associations };
        Ok(Self { stack: Arc::new(stack), transport, is_verified: transport != Transport::Datagram })
    }

    /// The same, where devices register in `directory`: the one of a tenant. What is bounded and counted over all
    /// associations stays so together.
    #[must_use]
    pub fn with_directory(mut self, directory: Arc<dyn SharedDirectory>) -> Self {
        let Stack { config, counts, uploads, downloads, key, associations, .. } = &*self.stack;
        self.stack = Arc::new(Stack {
            config: config.clone(),
            counts: Arc::clone(counts),
            uploads: Arc::clone(uploads),
            downloads: Arc::clone(downloads),
            directory: Some(directory),
            key: *key,
            associations: Arc::clone(associations),
        });
        self
    }

    /// The same for peers whose addresses are known to be their own, such as those of DTLS.
    #[must_use]
    pub fn with_verified_peers(mut self) -> Self {
        self.is_verified = true;
        self
    }

    /// The same over another transport; what is bounded and counted over all associations is so together.
    #[must_use]
    pub fn over(&self, transport: Transport) -> Self {
        let is_verified = transport != Transport::Datagram;
        Self { stack: Arc::clone(&self.stack), transport, is_verified }
    }

    /// What was counted.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.stack.counts
    }
}

impl Protocol for Coap {
    fn name(&self) -> &'static str {
        "coap"
    }

    fn accept(&self, now: Instant) -> Box<dyn Connection> {
        let stack = Arc::clone(&self.stack);
        Box::new(ServerConnection::new(stack, self.transport, self.is_verified, now))
    }

    fn codec(&self) -> Arc<dyn LayoutCodec> {
        Arc::new(CoapCodec)
    }
}
