//! What proves who the two ends are, and who judges it.

use std::sync::Arc;

use crate::alert::Alert;

/// Keys, certificates and their judgement. What takes its time here is asked for within the bounds that the caller of the
/// handshake sets.
pub trait Credentials: Send + Sync {
    /// Whether there are keys that are shared with peers.
    fn has_keys(&self) -> bool;

    /// The key that is shared with the peer of this identity.
    fn pre_shared_key(&self, identity: &[u8]) -> Option<Box<[u8]>>;

    /// The certificates that are shown to who asks for this name, DER, the own one first: its key is of ECDSA with P-256.
    fn chain(&self, server_name: Option<&str>) -> Option<Arc<[Box<[u8]>]>>;

    /// Signs with the key of that certificate, by ECDSA with SHA-256.
    fn sign(&self, server_name: Option<&str>, message: &[u8]) -> Option<Vec<u8>>;

    /// Whether peers show a certificate.
    fn certification(&self) -> Certification;

    /// The schemes of signatures that are taken from peers, the best first.
    fn schemes(&self) -> Vec<u16>;

    /// Whether the certificates of a peer are good, its own first.
    ///
    /// # Errors
    /// What the peer is told if they are not.
    fn judge(&self, chain: &[&[u8]]) -> Result<(), Alert>;

    /// Whether the key of a certificate has signed a message.
    fn verify(&self, certificate: &[u8], scheme: u16, message: &[u8], signature: &[u8]) -> bool;
}

/// Whether peers show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certification {
    /// They are not asked.
    None,
    /// They are asked, and one that is shown has to be good.
    Optional,
    /// Nobody gets in without, unless by a key.
    Required,
}
