//! Messages as they are stored: the header that was parsed once, and the native bytes.

use core::num::NonZeroU64;

use mynah_model::{Class, Header, Instant, Layout, Message, MessageView, TenantId, WallTime};

use super::fields::Fields;
use super::item::PayloadId;

/// A message in the store. Its deadline is a time of day, since a monotonic clock does not outlive the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredMessage<'m> {
    /// Its name.
    pub id: PayloadId,
    /// The tenant.
    pub tenant: TenantId,
    /// The encoding of the native bytes.
    pub layout: Layout,
    /// The guarantee that the publisher asked for.
    pub class: Class,
    /// Whether it was to become its topic's retained value.
    pub retain: bool,
    /// 0 (lowest) to 9.
    pub priority: u8,
    /// Where the topic lies in the native bytes.
    pub topic: (u32, u32),
    /// Where the payload lies in the native bytes.
    pub payload: (u32, u32),
    /// When the message is no longer wanted.
    pub deadline: Option<WallTime>,
    /// What tells its publisher from others, where that matters later.
    pub publisher: Option<NonZeroU64>,
    /// The native bytes.
    pub native: &'m [u8],
}

impl<'m> StoredMessage<'m> {
    /// A message as it is to be stored. `deadline` is that of its header, as a time of day. Whose a message is matters later
    /// only if it may become the value of its topic.
    #[must_use]
    pub fn new(id: PayloadId, message: MessageView<'m>, deadline: Option<WallTime>) -> Self {
        let header = message.header;
        Self {
            id,
            tenant: header.tenant,
            layout: header.layout,
            class: header.class,
            retain: header.retain,
            priority: header.priority,
            topic: header.topic,
            payload: header.payload,
            deadline,
            publisher: header.publisher.filter(|_| header.retain),
            native: message.native,
        }
    }

    /// The message in memory, with its deadline on the clock of this run.
    #[must_use]
    pub fn to_message(&self, deadline: Option<Instant>) -> Message {
        let header = Header {
            tenant: self.tenant,
            layout: self.layout,
            class: self.class,
            retain: self.retain,
            priority: self.priority,
            topic: self.topic,
            payload: self.payload,
            deadline,
            publisher: self.publisher,
        };
        MessageView { header: &header, native: self.native }.to_message()
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.0.to_le_bytes());
        let bits = u8::from(self.retain) | u8::from(self.publisher.is_some()) << 1;
        out.extend_from_slice(&[self.layout.id, self.layout.version, self.class.number(), bits]);
        out.extend_from_slice(&[self.priority, 0, 0, 0]);
        for number in [self.topic.0, self.topic.1, self.payload.0, self.payload.1] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let deadline = self.deadline.map_or(u64::MAX, WallTime::as_unix_millis);
        out.extend_from_slice(&deadline.to_le_bytes());
        if let Some(publisher) = self.publisher {
            out.extend_from_slice(&publisher.get().to_le_bytes());
        }
        out.extend_from_slice(self.native);
    }

    pub(crate) fn decode(tenant: u16, body: &'m [u8]) -> Option<Self> {
        let mut fields = Fields(body);
        let id = PayloadId(fields.u64()?);
        let layout = Layout { id: fields.u8()?, version: fields.u8()? };
        let (class, bits, priority) = (Class::from_number(fields.u8()?)?, fields.u8()?, fields.u8()?);
        fields.bytes(3)?;
        let topic = (fields.u32()?, fields.u32()?);
        let payload = (fields.u32()?, fields.u32()?);
        let deadline = fields.u64()?;
        let publisher = if bits & 2 == 0 { None } else { NonZeroU64::new(fields.u64()?) };
        let native = fields.rest();
        let inside = |(from, to): (u32, u32)| from <= to && to as usize <= native.len();
        (inside(topic) && inside(payload)).then_some(Self {
            id,
            tenant: TenantId::new(tenant),
            layout,
            class,
            retain: bits & 1 != 0,
            priority,
            topic,
            payload,
            deadline: (deadline != u64::MAX).then(|| WallTime::from_unix_millis(deadline)),
            publisher,
            native,
        })
    }
}

/// The name of the message in the body of its frame.
pub(crate) fn payload_id(body: &[u8]) -> Option<u64> {
    body.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_message_is_read_as_it_was_written(
            (id, retain, deadline, publisher) in any::<(u64, bool, Option<u32>, Option<NonZeroU64>)>(),
            native in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let end = native.len() as u32;
            let message = StoredMessage {
                id: PayloadId(id),
                tenant: TenantId::new(3),
                layout: Layout { id: 1, version: 2 },
                class: Class::ExactlyOnce,
                retain,
                priority: 7,
                topic: (0, end / 2),
                payload: (end / 2, end),
                deadline: deadline.map(|millis| WallTime::from_unix_millis(millis.into())),
                publisher,
                native: &native,
            };
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            prop_assert_eq!(StoredMessage::decode(3, &bytes), Some(message));
        }
    }
}
