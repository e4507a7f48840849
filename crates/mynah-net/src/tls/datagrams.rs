//! What DTLS at a listener has of keys and certificates. The files are those of TLS, and judged by the same verifier.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mynah_dtls::{Alert, Certification, Credentials};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, Error, SignatureScheme};

use super::certificate::public_key;
use super::resolver::Resolver;
use super::{ClientCertificates, TlsError, TlsFile, TlsSettings, certified_key, verifier};
use crate::verifier::Verify;

/// How the server signs: what suites of ECDSA with SHA-256 need.
const SCHEME: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;
/// Bytes of the certificates that are shown: a handshake has to keep them.
const CHAIN_BYTES_MAX: usize = 2_048;

/// The DTLS of a listener. Associations that are there keep what they began with.
pub struct Dtls {
    settings: Option<TlsSettings>,
    current: Mutex<Arc<Loaded>>,
}

/// What was in the files.
pub(crate) struct Loaded {
    resolver: Resolver,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    certification: Certification,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Dtls {
    /// Reads the files; without any only keys that are shared with peers say who is who.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub fn load(settings: Option<TlsSettings>) -> Result<Self, TlsError> {
        let current = Mutex::new(Arc::new(Loaded::read(settings.as_ref())?));
        Ok(Self { settings, current })
    }

    /// Reads the files again. From now on new handshakes get what is in them; if something is wrong with one, all stays as
    /// it was.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub fn reload(&self) -> Result<(), TlsError> {
        let loaded = Loaded::read(self.settings.as_ref())?;
        *self.lock() = Arc::new(loaded);
        Ok(())
    }

    pub(crate) fn current(&self) -> Arc<Loaded> {
        Arc::clone(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Loaded>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Dtls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dtls").field(&self.settings).finish()
    }
}

impl Loaded {
    fn read(settings: Option<&TlsSettings>) -> Result<Self, TlsError> {
        let provider = Arc::new(default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let Some(settings) = settings else {
            let resolver = Resolver::new(Vec::new());
            return Ok(Self { resolver, verifier: None, certification: Certification::None, algorithms });
        };
        let mut keys = Vec::new();
        for (place, files) in settings.certificates.iter().enumerate() {
            let key = certified_key(place, files, &provider)?;
            if key.key.choose_scheme(&[SCHEME]).is_none() {
                let message = "DTLS shows certificates of ECDSA with the curve P-256 only";
                return Err(TlsError::new(TlsFile::Key(place), &files.key, message));
            }
            if key.cert.iter().map(|certificate| certificate.len()).sum::<usize>() > CHAIN_BYTES_MAX {
                let message = format!("DTLS shows no more than {CHAIN_BYTES_MAX} bytes of certificates");
                return Err(TlsError::new(TlsFile::Certificate(place), &files.certificate, message));
            }
            keys.push(key);
        }
        let certification = match settings.client_certificates {
            ClientCertificates::None => Certification::None,
            ClientCertificates::Optional => Certification::Optional,
            ClientCertificates::Required => Certification::Required,
        };
        let verifier = verifier(settings, &provider)?;
        Ok(Self { resolver: Resolver::new(keys), verifier, certification, algorithms })
    }
}

/// What proves who the two ends of a handshake are, at one listener.
pub(crate) struct Proving {
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) verify: Option<Arc<dyn Verify>>,
    pub(crate) listener: u16,
}

impl Credentials for Proving {
    fn has_keys(&self) -> bool {
        self.verify.is_some()
    }

    fn pre_shared_key(&self, identity: &[u8]) -> Option<Box<[u8]>> {
        self.verify.as_ref()?.pre_shared_key(self.listener, str::from_utf8(identity).ok()?)
    }

    fn chain(&self, server_name: Option<&str>) -> Option<Arc<[Box<[u8]>]>> {
        let key = self.loaded.resolver.certified(server_name, SCHEME)?;
        Some(key.cert.iter().map(|certificate| Box::from(&**certificate)).collect())
    }

    fn sign(&self, server_name: Option<&str>, message: &[u8]) -> Option<Vec<u8>> {
        let key = self.loaded.resolver.certified(server_name, SCHEME)?;
        key.key.choose_scheme(&[SCHEME])?.sign(message).ok()
    }

    fn certification(&self) -> Certification {
        self.loaded.certification
    }

    fn schemes(&self) -> Vec<u16> {
        let schemes = self.loaded.verifier.iter().flat_map(|verifier| verifier.supported_verify_schemes());
        schemes.map(u16::from).collect()
    }

    fn judge(&self, chain: &[&[u8]]) -> Result<(), Alert> {
        let verifier = self.loaded.verifier.as_ref().ok_or(Alert::INTERNAL_ERROR)?;
        let mut chain = chain.iter().map(|der| CertificateDer::from(*der));
        let own = chain.next().ok_or(Alert::BAD_CERTIFICATE)?;
        let others: Vec<_> = chain.collect();
        let judged = verifier.verify_client_cert(&own, &others, UnixTime::now());
        judged.map(|_| ()).map_err(|error| match error {
            Error::InvalidCertificate(error) => alert_of(&error),
            _ => Alert::BAD_CERTIFICATE,
        })
    }

    fn verify(&self, certificate: &[u8], scheme: u16, message: &[u8], signature: &[u8]) -> bool {
        let Some((algorithm, key)) = public_key(certificate) else { return false };
        let mapped = self.loaded.algorithms.mapping.iter().filter(|(known, _)| u16::from(*known) == scheme);
        mapped.flat_map(|(_, algorithms)| algorithms.iter()).any(|known| {
            known.public_key_alg_id().as_ref() == algorithm
                && known.verify_signature(key, message, signature).is_ok()
        })
    }
}

fn alert_of(error: &CertificateError) -> Alert {
    match error {
        CertificateError::BadEncoding => Alert::BAD_CERTIFICATE,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Alert::CERTIFICATE_EXPIRED,
        CertificateError::Revoked => Alert::CERTIFICATE_REVOKED,
        CertificateError::UnknownIssuer => Alert::UNKNOWN_CA,
        CertificateError::BadSignature => Alert::DECRYPT_ERROR,
        _ => Alert::CERTIFICATE_UNKNOWN,
    }
}
