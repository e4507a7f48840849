//! What is wrong with the files of TLS, in words for its operator.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem;

use super::CertificateFiles;

/// Why TLS cannot be used as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError {
    /// The file that is at fault; none if it is none of them.
    pub file: Option<TlsFile>,
    message: String,
}

/// One of the files of [`super::TlsSettings`] or [`super::ClientTlsSettings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFile {
    /// The certificate with this place in the list.
    Certificate(usize),
    /// The key with this place in the list.
    Key(usize),
    /// The authorities of clients.
    ClientCa,
    /// The authorities of a server.
    Ca,
    /// The certificates that were withdrawn.
    Crl,
}

impl TlsFile {
    /// What has to be in the file.
    pub(super) const fn content(self) -> &'static str {
        match self {
            Self::Certificate(_) | Self::ClientCa | Self::Ca => {
                "certificate in PEM (`-----BEGIN CERTIFICATE-----`)"
            }
            Self::Key(_) => "private key in PEM that is not encrypted (`-----BEGIN PRIVATE KEY-----`)",
            Self::Crl => "revocation list in PEM (`-----BEGIN X509 CRL-----`)",
        }
    }
}

impl TlsError {
    pub(super) fn new(file: TlsFile, path: &Path, message: impl fmt::Display) -> Self {
        Self { file: Some(file), message: format!("{}: {message}", path.display()) }
    }

    pub(super) fn of_provider(error: rustls::Error) -> Self {
        Self { file: None, message: error.to_string() }
    }

    #[cfg(feature = "tls-psk")]
    pub(super) fn of_openssl(error: openssl::error::ErrorStack) -> Self {
        Self { file: None, message: error.to_string() }
    }

    pub(super) fn of_pem(file: TlsFile, path: &Path, error: &pem::Error) -> Self {
        match error {
            pem::Error::Io(error) => Self::new(file, path, error),
            pem::Error::NoItemsFound => {
                Self::new(file, path, format!("there is no {} in it", file.content()))
            }
            other => Self::new(file, path, format!("it is not PEM: {other}")),
        }
    }

    pub(super) fn of_key(file: TlsFile, files: &CertificateFiles, error: &rustls::Error) -> Self {
        let message = match error {
            rustls::Error::InconsistentKeys(_) => {
                format!("the key does not belong to the certificate in {}", files.certificate.display())
            }
            other => other.to_string(),
        };
        Self::new(file, &PathBuf::from(&files.key), message)
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TlsError {}
