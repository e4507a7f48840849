//! TLS by rustls with the cryptography of ring: versions 1.2 and 1.3 and the suites that rustls calls safe. What a
//! listener or a connection to another server is configured with is read from files, at the start and again whenever the
//! operator asks.

mod binding;
mod certificate;
mod certified;
mod client;
mod datagrams;
mod error;
#[cfg(feature = "tls-psk")]
mod keyed;
mod resolver;
mod server;
mod session;
mod subject;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};

pub(crate) use certificate::describe;
use certified::Certified;
pub use client::{ClientTls, ClientTlsSettings};
pub use datagrams::Dtls;
pub(crate) use datagrams::{Loaded, Proving};
pub use error::{TlsError, TlsFile};
use resolver::Resolver;
pub use server::Secured;
pub(crate) use session::Session;

/// What the TLS of a listener is made of. All files are PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// Certificates with their keys, one at least. A client that names a server gets the first one that is for that
    /// name, any other client the first.
    pub certificates: Vec<CertificateFiles>,
    /// Whether clients show a certificate.
    pub client_certificates: ClientCertificates,
    /// The authorities whose certificates are taken from clients.
    pub client_ca: Option<PathBuf>,
    /// Certificates that these authorities have withdrawn.
    pub crl: Option<PathBuf>,
    /// The lowest version that is spoken.
    pub min_version: TlsVersion,
    /// What is spoken inside, as clients name it in ALPN.
    pub alpn: Vec<Vec<u8>>,
}

/// A certificate, with those that lead from it to an authority, and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate first, then the others of its chain.
    pub certificate: PathBuf,
    /// The private key: PKCS #8, PKCS #1 or SEC 1, not encrypted.
    pub key: PathBuf,
}

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not asked for one.
    #[default]
    None,
    /// They are asked; one that is shown has to be good.
    Optional,
    /// Nobody gets in without.
    Required,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// The TLS of a listener. Connections that are there keep what they began with.
pub struct Tls(Kind);

enum Kind {
    Certificates {
        settings: TlsSettings,
        current: Mutex<Arc<ServerConfig>>,
    },
    #[cfg(feature = "tls-psk")]
    Keys(keyed::Keyring),
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub fn load(settings: TlsSettings) -> Result<Self, TlsError> {
        let current = Mutex::new(configure(&settings)?);
        Ok(Self(Kind::Certificates { settings, current }))
    }

    /// TLS without certificates: peers come in by a key that they share with the broker, and are the users whose keys these
    /// are. They are asked for anew at each handshake. For peers of workers only, not for [`Tls::secure`].
    ///
    /// # Errors
    /// OpenSSL cannot be used.
    #[cfg(feature = "tls-psk")]
    pub fn by_keys(keys: Arc<dyn crate::PreSharedKeys>) -> Result<Self, TlsError> {
        keyed::Keyring::new(keys).map(|keyring| Self(Kind::Keys(keyring))).map_err(TlsError::of_openssl)
    }

    /// Reads the files again. From now on new connections get what is in them; if something is wrong with one, all
    /// stays as it was. Tickets that were given out before are no longer taken.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub fn reload(&self) -> Result<(), TlsError> {
        match &self.0 {
            Kind::Certificates { settings, current } => {
                let config = configure(settings)?;
                *current.lock().unwrap_or_else(PoisonError::into_inner) = config;
            }
            #[cfg(feature = "tls-psk")]
            Kind::Keys(_) => {}
        }
        Ok(())
    }

    /// The session of a peer that has just come in.
    pub(crate) fn accept(&self) -> Result<Session, rustls::Error> {
        match &self.0 {
            Kind::Certificates { current, .. } => Certified::new(config_of(current)).map(Session::Certified),
            #[cfg(feature = "tls-psk")]
            Kind::Keys(keyring) => keyring
                .accept()
                .map(Session::Keyed)
                .map_err(|error| rustls::Error::General(error.to_string())),
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Certificates { settings, .. } => f.debug_tuple("Tls").field(settings).finish(),
            #[cfg(feature = "tls-psk")]
            Kind::Keys(_) => f.write_str("Tls(by keys)"),
        }
    }
}

/// What new connections get.
fn config_of(current: &Mutex<Arc<ServerConfig>>) -> Arc<ServerConfig> {
    Arc::clone(&current.lock().unwrap_or_else(PoisonError::into_inner))
}

fn configure(settings: &TlsSettings) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(default_provider());
    let mut keys = Vec::new();
    for (place, files) in settings.certificates.iter().enumerate() {
        keys.push(certified_key(place, files, &provider)?);
    }
    let versions: &[_] = match settings.min_version {
        TlsVersion::V1_2 => &[&TLS13, &TLS12],
        TlsVersion::V1_3 => &[&TLS13],
    };
    let verifier = verifier(settings, &provider)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(TlsError::of_provider)?;
    let mut config = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    }
    .with_cert_resolver(Arc::new(Resolver::new(keys)));
    config.alpn_protocols.clone_from(&settings.alpn);
    // Sessions are resumed by tickets: nothing is kept for clients that may never come again.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Ticketer::new().map_err(TlsError::of_provider)?;
    config.send_tls13_tickets = 1;
    config.key_log = Arc::new(binding::Exporter);
    Ok(Arc::new(config))
}

fn certified_key(
    place: usize,
    files: &CertificateFiles,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let file = TlsFile::Certificate(place);
    let chain: Vec<CertificateDer<'static>> = all_of(&files.certificate, file)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| TlsError::of_pem(TlsFile::Key(place), &files.key, &error))?;
    CertifiedKey::from_der(chain, key, provider)
        .map_err(|error| TlsError::of_key(TlsFile::Key(place), files, &error))
}

/// Who judges the certificates of clients; nobody if they are not asked for any.
fn verifier(
    settings: &TlsSettings,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let (Some(path), ClientCertificates::Optional | ClientCertificates::Required) =
        (&settings.client_ca, settings.client_certificates)
    else {
        return Ok(None);
    };
    let mut roots = RootCertStore::empty();
    for certificate in all_of::<CertificateDer<'static>>(path, TlsFile::ClientCa)? {
        roots.add(certificate).map_err(|error| TlsError::new(TlsFile::ClientCa, path, error.to_string()))?;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    if let Some(path) = &settings.crl {
        builder = builder.with_crls(all_of::<CertificateRevocationListDer<'static>>(path, TlsFile::Crl)?);
    }
    if settings.client_certificates == ClientCertificates::Optional {
        builder = builder.allow_unauthenticated();
    }
    let (file, path) = match &settings.crl {
        Some(crl) => (TlsFile::Crl, crl),
        None => (TlsFile::ClientCa, path),
    };
    builder.build().map(Some).map_err(|error| TlsError::new(file, path, error.to_string()))
}

/// All items of a kind in a file of PEM; one at least.
fn all_of<T: PemObject>(path: &Path, file: TlsFile) -> Result<Vec<T>, TlsError> {
    let items = T::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let items = items.map_err(|error| TlsError::of_pem(file, path, &error))?;
    if items.is_empty() {
        return Err(TlsError::new(file, path, format!("there is no {} in it", file.content())));
    }
    Ok(items)
}

#[cfg(test)]
pub(crate) mod tests;
