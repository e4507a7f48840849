//! What the tests of this crate share: messages from text.

use mynah_model::{Class, Header, Instant, Layout, Message, MessageView, PRIORITY_DEFAULT, TenantId};

pub(crate) fn message(tenant: TenantId, topic: &str, payload: &str, deadline: Option<Instant>) -> Message {
    let native = [topic.as_bytes(), payload.as_bytes()].concat();
    let (split, end) = (topic.len() as u32, native.len() as u32);
    let header = Header {
        tenant,
        layout: Layout { id: 0, version: 0 },
        class: Class::ExactlyOnce,
        retain: false,
        priority: PRIORITY_DEFAULT,
        topic: (0, split),
        payload: (split, end),
        deadline,
        publisher: None,
    };
    MessageView { header: &header, native: &native }.to_message()
}
