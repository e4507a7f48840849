//! Where something is asked: a URL, and the authorities that its server's certificate may be of. Without TLS only this
//! machine is asked, unless told otherwise: passwords and keys would be anybody's.

use std::fmt;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::Uri;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

/// A server as it is configured.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointSettings {
    /// Its URL.
    pub url: String,
    /// The authorities whose certificates are taken from it, in PEM; only with TLS, and then needed.
    pub ca: Option<PathBuf>,
    /// Whether it may be on another machine without TLS.
    pub plaintext: bool,
}

impl fmt::Debug for EndpointSettings {
    /// The query of a URL may hold a secret and is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.split('?').next().unwrap_or_default();
        f.debug_struct("EndpointSettings").field("url", &url).finish_non_exhaustive()
    }
}

/// A server that can be asked.
#[derive(Clone)]
pub struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
    /// Host and port, as the URL has them.
    pub(super) authority: String,
    /// Path and query.
    pub(super) path: String,
    pub(super) tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl fmt::Debug for Endpoint {
    /// A query may hold a secret and is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.authority)
    }
}

impl Endpoint {
    /// The server of a URL that begins with `http:` or `https:`.
    ///
    /// # Errors
    /// The URL or the file cannot be used.
    pub fn http(settings: &EndpointSettings) -> Result<Self, EndpointError> {
        Self::new(settings, [("http", 80), ("https", 443)], false)
    }

    /// The server of a URL with one of two schemes, the second of which is secure; so is the first if it `upgrades`.
    pub(super) fn new(
        settings: &EndpointSettings,
        [plain, secure]: [(&'static str, u16); 2],
        upgrades: bool,
    ) -> Result<Self, EndpointError> {
        let wrong = || EndpointError::Url { plain: plain.0, secure: secure.0 };
        let uri: Uri = settings.url.parse().map_err(|_| wrong())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(wrong());
        };
        let (is_secure, port) = match scheme {
            scheme if scheme == plain.0 => (upgrades, plain.1),
            scheme if scheme == secure.0 => (true, secure.1),
            _ => return Err(wrong()),
        };
        // An IPv6 address stands in brackets.
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(wrong());
        }
        if !is_secure && !settings.plaintext && !is_local(&host) {
            return Err(EndpointError::Plaintext);
        }
        let tls = match (&settings.ca, is_secure) {
            (Some(ca), true) => {
                let name = ServerName::try_from(host.clone()).map_err(|_| wrong())?;
                Some((trusting(ca)?, name))
            }
            (None, true) => return Err(EndpointError::NoCa),
            (Some(_), false) => return Err(EndpointError::UselessCa),
            (None, false) => None,
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let port = authority.port_u16().unwrap_or(port);
        Ok(Self { host, port, authority: authority.as_str().to_owned(), path, tls })
    }
}

fn is_local(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What a client of TLS needs to know.
fn trusting(ca: &Path) -> Result<Arc<ClientConfig>, EndpointError> {
    let failed = |error| EndpointError::Ca { path: ca.to_owned(), error };
    let text = fs::read(ca).map_err(failed)?;
    let mut roots = RootCertStore::empty();
    let unusable = || failed(io::Error::new(io::ErrorKind::InvalidData, "no certificates in PEM"));
    for certificate in CertificateDer::pem_slice_iter(&text) {
        roots.add(certificate.map_err(|_| unusable())?).map_err(|_| unusable())?;
    }
    if roots.is_empty() {
        return Err(unusable());
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|_| unusable())?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// Why a server cannot be asked as it is configured.
#[derive(Debug)]
pub enum EndpointError {
    /// The URL cannot be used.
    Url {
        /// The scheme without TLS.
        plain: &'static str,
        /// The scheme with TLS.
        secure: &'static str,
    },
    /// What is asked would cross the network for everybody to read.
    Plaintext,
    /// Without authorities no certificate can be good.
    NoCa,
    /// There is no TLS that the authorities could be for.
    UselessCa,
    /// The file of the authorities cannot be used.
    Ca {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { plain, secure } => {
                write!(f, "write a URL of {plain} or {secure}, with a host and without a user or password")
            }
            Self::Plaintext => f.write_str(
                "this would send secrets over the network for everybody to read: use TLS, or set plaintext = true \
                 if the network is yours alone",
            ),
            Self::NoCa => f.write_str(
                "ca is missing: the file with the authorities whose certificates are taken, such as \
                 /etc/ssl/certs/ca-certificates.crt",
            ),
            Self::UselessCa => f.write_str("ca says nothing without TLS"),
            Self::Ca { path, error } => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for EndpointError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str, plaintext: bool) -> Result<Endpoint, String> {
        let settings = EndpointSettings { url: url.to_owned(), ca: None, plaintext };
        Endpoint::http(&settings).map_err(|error| error.to_string())
    }

    #[test]
    fn a_url_is_taken_apart() {
        let found = |url| {
            let Endpoint { host, port, authority, path, .. } = endpoint(url, false).unwrap();
            (host, port, authority, path)
        };
        let expected = |host: &str, port, authority: &str, path: &str| {
            (host.to_owned(), port, authority.to_owned(), path.to_owned())
        };
        assert_eq!(found("http://localhost"), expected("localhost", 80, "localhost", "/"));
        assert_eq!(
            found("http://127.0.0.1:8080/a?b=c"),
            expected("127.0.0.1", 8080, "127.0.0.1:8080", "/a?b=c")
        );
        assert_eq!(found("http://[::1]:81/x"), expected("::1", 81, "[::1]:81", "/x"));
        let shown = format!("{:?}", endpoint("http://localhost/?key=secret", false).unwrap());
        assert_eq!(shown, "Endpoint(localhost)");
    }

    #[test]
    fn what_is_unsafe_or_senseless_is_refused_with_words() {
        for wrong in ["", "localhost", "/x", "ftp://localhost", "http://", "http://a:b@localhost/"] {
            assert!(
                endpoint(wrong, false).unwrap_err().starts_with("write a URL of http or https"),
                "{wrong}"
            );
        }
        assert!(endpoint("http://auth.example/", false).unwrap_err().contains("plaintext = true"));
        assert!(endpoint("http://127.0.0.1.example/", false).is_err());
        assert!(endpoint("http://auth.example/", true).is_ok());
        assert!(endpoint("https://auth.example/", false).unwrap_err().starts_with("ca is missing"));
        let settings = |url: &str, ca: &str| EndpointSettings {
            url: url.to_owned(),
            ca: Some(ca.into()),
            plaintext: false,
        };
        let error = Endpoint::http(&settings("https://auth.example/", "Cargo.toml")).unwrap_err().to_string();
        assert_eq!(error, "Cargo.toml: no certificates in PEM");
        assert!(Endpoint::http(&settings("https://auth.example/", "no/such/file")).is_err());
        assert!(Endpoint::http(&settings("http://localhost/", "Cargo.toml")).is_err());
    }
}
