//! Cookies without state (RFC 6347, section 4.2.1): who repeats one has shown that its address is its own.

use std::time::Duration;

use mynah_model::Instant;
use ring::hmac;
use ring::rand::SecureRandom;

use crate::peer::PeerAddress;
use crate::wire::hello::ClientHello;

/// How long cookies are made with one key; they are taken for as long again.
const KEY_LIFETIME: Duration = Duration::from_secs(60);
const KEY_BYTES: usize = 32;

pub(crate) struct Cookies {
    current: hmac::Key,
    previous: Option<hmac::Key>,
    renewed_at: Instant,
}

impl Cookies {
    /// None if there is no randomness.
    pub(crate) fn new(now: Instant, random: &dyn SecureRandom) -> Option<Self> {
        Some(Self { current: key(random)?, previous: None, renewed_at: now })
    }

    fn renew(&mut self, now: Instant, random: &dyn SecureRandom) {
        let age = now.saturating_since(self.renewed_at);
        if age < KEY_LIFETIME {
            return;
        }
        // Without new randomness the old key has to do.
        let Some(new) = key(random) else { return };
        let old = std::mem::replace(&mut self.current, new);
        self.previous = (age < 2 * KEY_LIFETIME).then_some(old);
        self.renewed_at = now;
    }

    /// The cookie that a peer has to repeat with this hello.
    pub(crate) fn bake(
        &mut self,
        now: Instant,
        peer: PeerAddress,
        hello: &ClientHello<'_>,
        random: &dyn SecureRandom,
    ) -> hmac::Tag {
        self.renew(now, random);
        bake(&self.current, peer, hello)
    }

    /// Whether a hello repeats one.
    pub(crate) fn is_good(
        &mut self,
        now: Instant,
        peer: PeerAddress,
        hello: &ClientHello<'_>,
        random: &dyn SecureRandom,
    ) -> bool {
        if hello.cookie.is_empty() {
            return false;
        }
        self.renew(now, random);
        let keys = [Some(&self.current), self.previous.as_ref()];
        keys.into_iter().flatten().any(|key| equal(bake(key, peer, hello).as_ref(), hello.cookie))
    }
}

fn key(random: &dyn SecureRandom) -> Option<hmac::Key> {
    let mut bytes = [0; KEY_BYTES];
    random.fill(&mut bytes).ok()?;
    Some(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

fn bake(key: &hmac::Key, peer: PeerAddress, hello: &ClientHello<'_>) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(&peer.ip);
    context.update(&peer.port.to_be_bytes());
    context.update(&(hello.around.0.len() as u32).to_be_bytes());
    context.update(hello.around.0);
    context.update(hello.around.1);
    context.sign()
}

/// In a time that does not tell where they differ.
pub(crate) fn equal(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}
