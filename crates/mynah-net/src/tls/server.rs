//! The server's side of TLS for peers that are served on a runtime, such as those of HTTP: they reach the workers by links.

use std::io;
use std::sync::Arc;

use mynah_engine::Proof;
use rustls::{NoKeyLog, ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use super::{Kind, Tls, binding, config_of, describe};
use crate::caller::ChannelBinding;

/// What TLS has shown of a peer, for a link that is opened for it.
#[derive(Clone, Debug)]
pub struct Secured {
    /// What proves who the peer is: its verified certificate, if it has shown one.
    pub proof: Option<Arc<Proof>>,
    /// What ties what it says to its connection.
    pub(crate) channel: ChannelBinding,
}

impl Tls {
    /// Makes the connection of a peer secure that has just come in. It waits for the peer as long as that takes: whoever
    /// calls it bounds the time.
    ///
    /// # Errors
    /// The transport failed, or one end did not take what the other showed.
    pub async fn secure<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> io::Result<(impl AsyncRead + AsyncWrite + Unpin + use<S>, Secured)> {
        let mut config = ServerConfig::clone(&*self.config()?);
        // A handshake may go from thread to thread here, so that nothing is noted: keys are exported at its end.
        config.key_log = Arc::new(NoKeyLog {});
        let stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await?;
        let secured = Secured::of(stream.get_ref().1);
        Ok((stream, secured))
    }
}

impl Tls {
    /// What new connections get; an error where they come in by keys.
    fn config(&self) -> io::Result<Arc<ServerConfig>> {
        match &self.0 {
            Kind::Certificates { current, .. } => Ok(config_of(current)),
            #[cfg(feature = "tls-psk")]
            Kind::Keys(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl Secured {
    fn of(connection: &ServerConnection) -> Self {
        let certificate = connection.peer_certificates().and_then(<[_]>::first);
        let exporter = connection.export_keying_material([0; 32], binding::LABEL, Some(b""));
        let has_exporter = connection.negotiated_cipher_suite().is_some_and(|suite| suite.tls13().is_some());
        Self {
            proof: certificate.map(|der| Arc::new(Proof::Certificate(describe(der)))),
            channel: ChannelBinding {
                exporter: exporter.ok().filter(|_| has_exporter),
                server_end_point: None,
            },
        }
    }
}
