//! Secrets and what follows from them (RFC 5246, sections 5, 6.3 and 8.1; RFC 4279, section 2; RFC 7627).

use ring::{digest, hmac};

use crate::protection::{Keys, Protection};
use crate::suite::Suite;

pub(crate) const MASTER_BYTES: usize = 48;
pub(crate) const VERIFY_BYTES: usize = 12;
const KEY_BYTES: usize = 16;
const SALT_BYTES: usize = 4;

/// The master secret.
pub(crate) type Master = [u8; MASTER_BYTES];

/// `PRF(secret, label, seed)` with SHA-256.
fn prf(secret: &[u8], label: &[u8], seed: &[&[u8]], out: &mut [u8]) {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let seeded = |mut context: hmac::Context| {
        context.update(label);
        seed.iter().for_each(|part| context.update(part));
        context.sign()
    };
    let mut a = seeded(hmac::Context::with_key(&key));
    for chunk in out.chunks_mut(digest::SHA256_OUTPUT_LEN) {
        let mut context = hmac::Context::with_key(&key);
        context.update(a.as_ref());
        chunk.copy_from_slice(&seeded(context).as_ref()[..chunk.len()]);
        a = hmac::sign(&key, a.as_ref());
    }
}

/// The premaster secret of a key that both have.
pub(crate) fn premaster_of_key(key: &[u8]) -> Vec<u8> {
    let length = u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes();
    let zeros = vec![0; key.len()];
    [&length[..], &zeros, &length, key].concat()
}

/// What the master secret is bound to.
pub(crate) enum Bound<'h> {
    /// Both random values.
    Randoms(&'h [u8; 32], &'h [u8; 32]),
    /// All messages up to the key exchange.
    Session(&'h [u8]),
}

pub(crate) fn master(premaster: &[u8], bound: &Bound<'_>) -> Master {
    let mut master = [0; MASTER_BYTES];
    match bound {
        Bound::Randoms(client, server) => {
            prf(premaster, b"master secret", &[&client[..], &server[..]], &mut master);
        }
        Bound::Session(hash) => prf(premaster, b"extended master secret", &[hash], &mut master),
    }
    master
}

/// The `verify_data` of a Finished message.
pub(crate) fn verify_data(master: &Master, is_client: bool, messages: &[u8]) -> [u8; VERIFY_BYTES] {
    let label: &[u8] = if is_client { b"client finished" } else { b"server finished" };
    let mut data = [0; VERIFY_BYTES];
    prf(master, label, &[messages], &mut data);
    data
}

/// What protects records: what the client writes, and what the server writes.
pub(crate) fn keys(
    suite: Suite,
    master: &Master,
    client: &[u8; 32],
    server: &[u8; 32],
) -> Option<(Keys, Keys)> {
    let mut block = [0; 2 * (KEY_BYTES + SALT_BYTES)];
    prf(master, b"key expansion", &[&server[..], &client[..]], &mut block);
    let (client_key, rest) = block.split_first_chunk::<KEY_BYTES>()?;
    let (server_key, rest) = rest.split_first_chunk::<KEY_BYTES>()?;
    let (client_salt, rest) = rest.split_first_chunk::<SALT_BYTES>()?;
    let (server_salt, _) = rest.split_first_chunk::<SALT_BYTES>()?;
    let keys = |key, salt: &[u8; SALT_BYTES]| Some(Keys::new(Protection::new(suite, key)?, *salt));
    Some((keys(client_key, client_salt)?, keys(server_key, server_salt)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vector that its authors published for P_SHA256.
    #[test]
    fn the_pseudorandom_function_is_that_of_the_specification() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let secret = hex("9bbe436ba940f017b17652849a71db35");
        let seed = hex("a0ba9f936cda311827a6f796ffd5198c");
        let mut out = [0; 100];
        prf(&secret, b"test label", &[&seed[..7], &seed[7..]], &mut out);
        let expected = "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14ba\
                        f9af0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a51\
                        10fff70187347b66";
        assert_eq!(out.to_vec(), hex(expected));
    }

    #[test]
    fn the_premaster_secret_of_a_key_has_as_many_zeros() {
        assert_eq!(premaster_of_key(b"abc"), [0, 3, 0, 0, 0, 0, 3, b'a', b'b', b'c']);
    }
}
