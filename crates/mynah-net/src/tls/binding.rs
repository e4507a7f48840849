//! Channel binding: what ties what is said inside to this connection of TLS; and the name of the host that was asked for. The
//! unbuffered interface of rustls exports no keys and says neither which certificate it showed nor for which name, so all
//! are noted while a handshake is worked on, on its thread.

use std::cell::RefCell;
use std::sync::Arc;

use ring::{digest, hkdf};
use rustls::{KeyLog, SupportedCipherSuite};

use super::certificate::signature_algorithm;
use crate::caller::ChannelBinding;

/// What rustls calls the secret from which TLS 1.3 exports keys.
const EXPORTER_SECRET: &str = "EXPORTER_SECRET";
/// RFC 9266, section 2.
pub(super) const LABEL: &[u8] = b"EXPORTER-Channel-Binding";

thread_local! {
    static NOTED: RefCell<Noted> = const { RefCell::new(Noted { exporter_secret: None, end_point: None, host: None }) };
}

/// What the handshake that is being worked on has brought.
struct Noted {
    exporter_secret: Option<Vec<u8>>,
    end_point: Option<Arc<[u8]>>,
    host: Option<Box<str>>,
}

/// Notes the secret from which keys are exported, and nothing else.
#[derive(Debug)]
pub(super) struct Exporter;

impl KeyLog for Exporter {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        if label == EXPORTER_SECRET {
            NOTED.with_borrow_mut(|noted| noted.exporter_secret = Some(secret.to_vec()));
        }
    }

    fn will_log(&self, label: &str) -> bool {
        label == EXPORTER_SECRET
    }
}

/// Notes which certificate is shown, and to whom it was asked for.
pub(super) fn note_hello(host: Option<&str>, end_point: Option<&Arc<[u8]>>) {
    NOTED.with_borrow_mut(|noted| {
        noted.host = host.map(Box::from);
        noted.end_point = end_point.cloned();
    });
}

/// Adds what has been noted to what is known of a connection. Returns the name of the host that was asked for.
pub(super) fn take(binding: &mut ChannelBinding, suite: Option<SupportedCipherSuite>) -> Option<Box<str>> {
    NOTED.with_borrow_mut(|noted| {
        if let Some(end_point) = noted.end_point.take() {
            binding.server_end_point = Some(end_point);
        }
        if let Some(secret) = noted.exporter_secret.take() {
            binding.exporter = suite.and_then(|suite| export(suite, &secret));
        }
        noted.host.take()
    })
}

/// `TLS-Exporter(label, "", 32)` (RFC 8446, section 7.5).
fn export(suite: SupportedCipherSuite, secret: &[u8]) -> Option<[u8; 32]> {
    let (algorithm, hash) = match secret.len() {
        32 => (hkdf::HKDF_SHA256, &digest::SHA256),
        48 => (hkdf::HKDF_SHA384, &digest::SHA384),
        _ => return None,
    };
    suite.tls13()?;
    let nothing = digest::digest(hash, b"");
    let mut derived = vec![0; secret.len()];
    let secret = hkdf::Prk::new_less_safe(algorithm, secret);
    expand_label(&secret, LABEL, nothing.as_ref(), &mut derived)?;
    let mut exported = [0; 32];
    expand_label(
        &hkdf::Prk::new_less_safe(algorithm, &derived),
        b"exporter",
        nothing.as_ref(),
        &mut exported,
    )?;
    Some(exported)
}

/// `HKDF-Expand-Label` (RFC 8446, section 7.1).
fn expand_label(secret: &hkdf::Prk, label: &[u8], context: &[u8], out: &mut [u8]) -> Option<()> {
    let length = u16::try_from(out.len()).ok()?.to_be_bytes();
    let label_length = [u8::try_from(b"tls13 ".len() + label.len()).ok()?];
    let context_length = [u8::try_from(context.len()).ok()?];
    let info = [&length[..], &label_length, b"tls13 ", label, &context_length, context];
    secret.expand(&info, Length(out.len())).ok()?.fill(out).ok()
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// The binding to a server's certificate (RFC 5929, section 4.1): its hash, by the hash function of its signature, or by
/// SHA-256 if that is an older one. None if its signature has no hash function of its own.
pub(super) fn end_point(certificate: &[u8]) -> Option<Arc<[u8]>> {
    let algorithm = match signature_algorithm(certificate)? {
        // md5, sha1, sha256 and sha512, sha384 WithRSAEncryption: 1.2.840.113549.1.1
        [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x04 | 0x05 | 0x0B] => &digest::SHA256,
        [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x0C] => &digest::SHA384,
        [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x0D] => &digest::SHA512,
        // ecdsa-with-SHA1: 1.2.840.10045.4.1; with SHA256, SHA384, SHA512: 1.2.840.10045.4.3
        [0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x01] => &digest::SHA256,
        [0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02] => &digest::SHA256,
        [0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x03] => &digest::SHA384,
        [0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x04] => &digest::SHA512,
        _ => return None,
    };
    Some(digest::digest(algorithm, certificate).as_ref().into())
}
