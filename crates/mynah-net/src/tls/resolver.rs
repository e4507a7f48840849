//! Which certificate a client gets: the first for the name it asked for whose kind of signature it knows.

use std::sync::Arc;

use mynah_engine::AlternativeName;
use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::binding::{end_point, note_hello};
use super::certificate::describe;

/// A listener's certificates.
#[derive(Debug)]
pub(super) struct Resolver {
    choices: Vec<Choice>,
}

#[derive(Debug)]
struct Choice {
    /// What binds to it (RFC 5929).
    end_point: Option<Arc<[u8]>>,
    key: Arc<CertifiedKey>,
    /// The names of hosts that the certificate is for.
    names: Vec<Box<str>>,
}

impl Resolver {
    pub(super) fn new(keys: Vec<CertifiedKey>) -> Self {
        let choice = |key: CertifiedKey| {
            let certificate = key.cert.first().map(|der| describe(der));
            let names = certificate.iter().flat_map(|certificate| &certificate.names);
            let hosts = names.filter_map(|name| match name {
                AlternativeName::Dns(name) => Some(name.clone()),
                AlternativeName::Email(_) | AlternativeName::Uri(_) => None,
            });
            let end_point = key.cert.first().and_then(|der| end_point(der));
            Choice { end_point, names: hosts.collect(), key: Arc::new(key) }
        };
        Self { choices: keys.into_iter().map(choice).collect() }
    }
}

impl Resolver {
    fn choose(&self, host: Option<&str>, schemes: &[SignatureScheme]) -> Option<&Choice> {
        let usable = || {
            let known = |choice: &&Choice| choice.key.key.choose_scheme(schemes).is_some();
            self.choices.iter().filter(known)
        };
        let named = host.and_then(|host| usable().find(|choice| choice.is_for(host)));
        named.or_else(|| usable().next())
    }

    /// The certificate for a host whose key signs in this way.
    pub(super) fn certified(
        &self,
        host: Option<&str>,
        scheme: SignatureScheme,
    ) -> Option<&Arc<CertifiedKey>> {
        self.choose(host, &[scheme]).map(|choice| &choice.key)
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let choice = self.choose(hello.server_name(), hello.signature_schemes())?;
        note_hello(hello.server_name(), choice.end_point.as_ref());
        Some(Arc::clone(&choice.key))
    }
}

impl Choice {
    /// Whether the certificate is for a host; `*` stands for one label, the first (RFC 6125, section 6.4.3).
    fn is_for(&self, host: &str) -> bool {
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            Some(domain) => host
                .split_once('.')
                .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(domain)),
            None => name.eq_ignore_ascii_case(host),
        })
    }
}
