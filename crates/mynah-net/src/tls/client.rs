//! The client's side of TLS: connections that the broker makes to another server.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::{CertificateFiles, TlsError, TlsFile, all_of, certified_key};

/// What the TLS of connections to another server is made of. All files are PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTlsSettings {
    /// The authorities whose certificates are taken from the server.
    pub ca: PathBuf,
    /// What this end shows of itself, if the server asks for it.
    pub certificate: Option<CertificateFiles>,
    /// What the certificate of the server has to be for. A name is also sent to it.
    pub server_name: ServerName<'static>,
}

/// The TLS of connections to another server. Connections that are there keep what they began with.
pub struct ClientTls {
    pub(super) settings: ClientTlsSettings,
    current: Mutex<Arc<ClientConfig>>,
}

impl ClientTls {
    /// Reads the files.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub fn load(settings: ClientTlsSettings) -> Result<Self, TlsError> {
        let current = Mutex::new(configure(&settings)?);
        Ok(Self { settings, current })
    }

    /// Reads the files again: from now on new connections use what is in them. If something is wrong with one, all stays
    /// as it was.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub fn reload(&self) -> Result<(), TlsError> {
        let config = configure(&self.settings)?;
        *self.current() = config;
        Ok(())
    }

    /// Makes a connection secure: what is written to the result is read by the server that was verified.
    ///
    /// # Errors
    /// The transport failed, or one end did not take what the other showed.
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Unpin + use<S>> {
        let config = Arc::clone(&self.current());
        TlsConnector::from(config).connect(self.settings.server_name.clone(), stream).await
    }

    pub(super) fn current(&self) -> MutexGuard<'_, Arc<ClientConfig>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientTls").field(&self.settings).finish()
    }
}

fn configure(settings: &ClientTlsSettings) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(default_provider());
    let key = settings.certificate.as_ref().map(|files| certified_key(0, files, &provider)).transpose()?;
    let mut roots = RootCertStore::empty();
    // The list of a system may have some that are of no use here.
    let found = all_of::<CertificateDer<'static>>(&settings.ca, TlsFile::Ca)?;
    if roots.add_parsable_certificates(found).0 == 0 {
        return Err(TlsError::new(TlsFile::Ca, &settings.ca, "no certificate in it can be used"));
    }
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::of_provider)?
        .with_root_certificates(roots);
    Ok(Arc::new(match key {
        Some(key) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))),
        None => builder.with_no_client_auth(),
    }))
}
