//! An association of CoAP over a broker that has one value and answers at once.

use mynah_coap::framing::Transport;
use mynah_coap::mapping::{CoapCodec, LAYOUT_NOTIFICATION};
use mynah_coap::{Coap, CoapConfig};
use mynah_model::{
    Class, Expiry, Header, Instant, Layout, Message, MessageView, Properties, SubscriptionId, TenantId,
    ValueTag,
};
use mynah_stack::{
    Command, Connection, Delivery, Frame, FrameKind, LayoutCodec, Opened, Outbound, Outcome, Protocol, Step,
    Value,
};

/// A confirmable GET of `/t/example_data` with a token of four bytes.
pub const GET: &[u8] = b"\x44\x01\0\0abcd\xb1t\x0cexample_data";

/// A confirmable PUT of 64 bytes there.
pub const PUT: &[u8] = b"\x44\x03\0\0abcd\xb1t\x0cexample_data\x10\xff\
    xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

/// An observation of it, whose notifications want no acknowledgement.
pub const OBSERVE: &[u8] = b"\x44\x01\0\0abcd\x60\x51t\x0cexample_data";

/// One peer's association.
pub struct Association {
    connection: Box<dyn Connection>,
    out: Outbound,
    value: Message,
    input: Vec<u8>,
    last_id: u16,
}

impl Association {
    /// An association whose session is open.
    ///
    /// # Panics
    /// Never: the configuration can be kept.
    #[must_use]
    pub fn new() -> Self {
        #[expect(clippy::expect_used, reason = "the defaults can be kept")]
        let coap = Coap::new(CoapConfig::default(), Transport::Datagram, [1, 2]).expect("defaults");
        let topic = b"example_data";
        let native = [&topic[..], &[b'x'; 64]].concat();
        let header = Header {
            tenant: TenantId::DEFAULT,
            layout: Layout { id: 0, version: 0 },
            class: Class::AtMostOnce,
            retain: true,
            priority: 4,
            topic: (0, 12),
            payload: (12, 76),
            deadline: None,
            publisher: None,
        };
        let value = MessageView { header: &header, native: &native }.to_message();
        let connection = coap.with_verified_peers().accept(Instant::ZERO);
        let mut own = Self { connection, out: Outbound::new(), value, input: Vec::new(), last_id: 0 };
        own.ask(GET);
        own
    }

    /// Sends a request under a number of its own, and returns how many bytes were answered.
    pub fn ask(&mut self, datagram: &[u8]) -> usize {
        self.last_id = self.last_id.wrapping_add(1);
        let mut input = std::mem::take(&mut self.input);
        input.clear();
        input.extend((datagram.len() as u16).to_be_bytes());
        input.extend_from_slice(datagram);
        input[4..6].copy_from_slice(&self.last_id.to_be_bytes());
        let mut unread = &input[..];
        while let Step::Command(command) = self.connection.step(Instant::ZERO, &mut unread, &mut self.out) {
            self.execute(command);
        }
        self.input = input;
        self.take()
    }

    /// Delivers the value to the first observer, and returns how many bytes were written.
    pub fn notify(&mut self, frame: &Frame) -> usize {
        let ids = SubscriptionId::new(1);
        let delivery = Delivery::Message {
            frame,
            class: Class::AtMostOnce,
            id: None,
            retain: true,
            redelivered: false,
            subscription_ids: ids.as_slice(),
        };
        self.connection.deliver(Instant::ZERO, delivery, &mut self.out);
        self.take()
    }

    /// The value, encoded for observers.
    #[must_use]
    pub fn frame(&self) -> Frame {
        let mut frame = Frame::default();
        let kind = FrameKind { identified: false, retain: true };
        CoapCodec.encode(self.value.view(), &Properties::EMPTY, LAYOUT_NOTIFICATION, kind, &mut frame);
        frame
    }

    fn take(&mut self) -> usize {
        let bytes = self.out.len();
        self.out.advance(bytes);
        bytes
    }

    fn execute(&mut self, command: Command<'_>) {
        let value = Value {
            message: &self.value,
            properties: Properties::EMPTY,
            tag: ValueTag::from_number(0x0102_0304_0506_0708),
        };
        let outcome = match command {
            Command::Prepared(mut named) => match named.command() {
                Command::Read(_) => Outcome::Value(Ok(Some(&value))),
                Command::Subscribe(subscribe) => {
                    Outcome::Subscribed { receipt: subscribe.receipt, results: &[Ok(Class::AtMostOnce)] }
                }
                _ => return,
            },
            Command::Open(_) => Outcome::Opened(Ok(Opened::new(false, Expiry::WithConnection))),
            Command::PublishIf(command) => Outcome::Published {
                receipt: command.publish.receipt,
                class: command.publish.header.class,
                result: Ok(true),
            },
            _ => return,
        };
        self.connection.handle_outcome(Instant::ZERO, outcome, &mut self.out);
    }
}

impl Default for Association {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_answered_and_observers_notified() {
        let mut association = Association::new();
        // Length, head, token, ETag, marker and payload; a notification has Observe and Content-Format in place of the tag.
        assert_eq!(association.ask(GET), 2 + 4 + 4 + 9 + 1 + 64);
        assert_eq!(association.ask(PUT), 2 + 4 + 4);
        assert_eq!(association.ask(OBSERVE), 2 + 4 + 4 + 9 + 2 + 2 + 1 + 64);
        let frame = association.frame();
        assert_eq!(association.notify(&frame), 2 + 4 + 4 + 2 + 2 + 1 + 64);
    }
}
