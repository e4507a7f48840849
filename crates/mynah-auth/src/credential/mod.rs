//! What proves who a user is: hashes of passwords, of our own and of other brokers, verifiers of SCRAM, pre-shared
//! keys. All but the last are of no use to who steals them before a guess succeeds.

pub(crate) mod argon2;
mod imported;
mod psk;
pub(crate) mod scram;

pub use argon2::{HashError, HashedPassword, PASSWORD_BYTES_MAX, PhcError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
pub use imported::ImportedHash;
pub use psk::PreSharedKey;
use ring::rand::{SecureRandom, SystemRandom};
pub use scram::{ITERATIONS, ITERATIONS_MIN, ScramHash, ScramVerifier};

/// Whether two secrets are the same. How long it takes does not tell where they differ.
pub(crate) fn equal(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).fold(0, |all, (a, b)| std::hint::black_box(all | (a ^ b)));
    one.len() == other.len() && differences == 0
}

/// Bytes that nobody can guess.
///
/// # Errors
/// The operating system has none to give.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], HashError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| HashError::NoRandomness)?;
    Ok(bytes)
}

pub(crate) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(crate) fn from_base64(text: &str) -> Option<Box<[u8]>> {
    STANDARD.decode(text).ok().map(Vec::into_boxed_slice)
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn from_hex(text: &str) -> Option<Box<[u8]>> {
    let is_hex = text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).ok();
    if is_hex { (0..text.len()).step_by(2).map(byte).collect() } else { None }
}
