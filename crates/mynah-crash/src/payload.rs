//! Payloads that prove themselves: each names its message, and every byte of it follows from that, the topic and the
//! length, so that what was torn, mixed up or made up is known.

use std::fmt;

use crate::random::Random;

/// Which message of which producer. Sequences of one producer grow over all its topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessageId {
    /// Whose message.
    pub producer: u16,
    /// Which of his.
    pub sequence: u32,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message {} of producer {}", self.sequence, self.producer)
    }
}

/// Bytes of the shortest payload.
pub const PAYLOAD_BYTES_MIN: usize = 40;

/// The payload of a message on a topic, with this many bytes, or [`PAYLOAD_BYTES_MIN`] if that is more.
#[must_use]
pub fn encode(id: MessageId, topic: &str, bytes: usize) -> Vec<u8> {
    let bytes = bytes.max(PAYLOAD_BYTES_MIN);
    let head = format!("{}.{}.{bytes};", id.producer, id.sequence);
    let mut payload = head.into_bytes();
    let mut filling = Random::new(seed(&payload, topic));
    while payload.len() < bytes {
        let word = filling.draw().to_le_bytes();
        let room = (bytes - payload.len()).min(word.len());
        payload.extend_from_slice(&word[..room]);
    }
    payload
}

/// The message whose payload this is; none if it is not one that [`encode`] makes for the topic.
#[must_use]
pub fn decode(payload: &[u8], topic: &str) -> Option<MessageId> {
    let end = payload.iter().take(PAYLOAD_BYTES_MIN).position(|&byte| byte == b';')?;
    let head = std::str::from_utf8(&payload[..end]).ok()?;
    let mut numbers = head.split('.');
    let producer = numbers.next()?.parse().ok()?;
    let sequence = numbers.next()?.parse().ok()?;
    let id = MessageId { producer, sequence };
    (payload == encode(id, topic, payload.len())).then_some(id)
}

/// FNV-1a over what the filling depends on.
fn seed(head: &[u8], topic: &str) -> u64 {
    let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
    head.iter().chain(topic.as_bytes()).fold(0xCBF2_9CE4_8422_2325, hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: MessageId = MessageId { producer: 3, sequence: 4_000_000_000 };

    #[test]
    fn a_payload_names_its_message() {
        for bytes in [0, PAYLOAD_BYTES_MIN, 41, 512, 10_000] {
            let payload = encode(ID, "a/b", bytes);
            assert_eq!(payload.len(), bytes.max(PAYLOAD_BYTES_MIN));
            assert_eq!(decode(&payload, "a/b"), Some(ID));
            assert_eq!(decode(&payload, "a/c"), None);
        }
    }

    #[test]
    fn each_damage_is_noticed() {
        let payload = encode(ID, "a/b", 100);
        for at in 0..payload.len() {
            for bit in 0..8 {
                let mut damaged = payload.clone();
                damaged[at] ^= 1 << bit;
                assert_eq!(decode(&damaged, "a/b"), None, "byte {at}, bit {bit}");
            }
            assert_eq!(decode(&payload[..at], "a/b"), None, "{at} bytes");
        }
        assert_eq!(decode(&[payload.as_slice(), b"x"].concat(), "a/b"), None);
        assert_eq!(decode(b"", "a/b"), None);
    }
}
