//! More routing keys of a message: its headers CC and BCC name them (RabbitMQ's sender-selected distribution). For each of them
//! there is a copy, which says where the message was published like the first; BCC is in none of them.

use alloc::format;
use alloc::vec::Vec;

use mynah_model::dotted;

use super::publishing::Publication;
use crate::v0_9_1::flow::Content;
use crate::v0_9_1::mapping::arguments::Unusable;
use crate::v0_9_1::mapping::{BCC, CC, TOPIC_BYTES_MAX, respelled};
use crate::v0_9_1::wire::{BasicProperties, Table, Value};

/// Keys that a message may name beside its own.
const KEYS_MAX: usize = 100;

impl Content<Publication> {
    /// Makes the copies, and takes BCC away.
    ///
    /// # Errors
    /// A header that is no list of keys, in words.
    pub(super) fn take_copies(&mut self) -> Result<Vec<Self>, Unusable> {
        let properties = BasicProperties::from_checked(self.properties());
        let headers = properties.headers().unwrap_or_default();
        let mut keys: Vec<Vec<u8>> = Vec::new();
        for name in [CC, BCC] {
            read_keys(headers, name, &mut keys)?;
        }
        if headers.get(BCC).is_some() {
            let made = respelled::without(properties, BCC);
            let mut bytes = self.bytes[..self.properties_at].to_vec();
            bytes.extend_from_slice(made.as_properties().as_bytes());
            let body_at = bytes.len();
            bytes.extend_from_slice(self.body());
            (self.bytes, self.body_at) = (bytes, body_at);
        }
        Ok(keys.iter().map(|key| self.copy_for(key)).collect())
    }

    /// The same with another topic before it.
    fn copy_for(&self, key: &[u8]) -> Self {
        let rest = &self.bytes[2 + self.method.topic_len..];
        let mut topic = Vec::new();
        match rest.first() {
            Some(0) | None => topic.extend_from_slice(key),
            _ => dotted::push_topic(key, &mut topic),
        }
        topic.truncate(TOPIC_BYTES_MAX);
        let bytes = [&(topic.len() as u16).to_be_bytes()[..], &topic, rest].concat();
        let moved = |at: usize| at - self.method.topic_len + topic.len();
        Self {
            method: Publication { topic_len: topic.len(), ..self.method },
            bytes,
            properties_at: moved(self.properties_at),
            body_at: moved(self.body_at),
        }
    }
}

/// Adds the keys that a header names, each once.
fn read_keys(headers: Table<'_>, name: &str, keys: &mut Vec<Vec<u8>>) -> Result<(), Unusable> {
    let wrong = || format!("header {name} has to be a list of at most {KEYS_MAX} routing keys");
    match headers.get(name) {
        None => Ok(()),
        Some(Value::Array(array)) => array.iter().try_for_each(|value| match value {
            Value::LongStr(key) if key.len() <= 255 && keys.len() < KEYS_MAX => {
                if !keys.iter().any(|known| known == key) {
                    keys.push(key.to_vec());
                }
                Ok(())
            }
            _ => Err(wrong()),
        }),
        Some(_) => Err(wrong()),
    }
}
