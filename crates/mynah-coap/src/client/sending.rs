//! Requests on their way: whole, or block by block.

use alloc::vec::Vec;

use mynah_model::Instant;
use mynah_stack::Outbound;

use super::{Client, Pending, Request};
use crate::flow::Purpose;
use crate::framing::{Transport, encode_message};
use crate::wire::{
    Block, BlockSize, Body, Code, Csm, Head, Kind, Message, MessageId, OptionNumber, OptionWriter, Options,
};

impl Client {
    /// Sends what waits for its turn: requests that are confirmable one after another (RFC 7252, section 4.7).
    pub(super) fn send_waiting(&mut self, now: Instant) {
        self.greet();
        for at in 0..self.pending.len() {
            if !self.pending[at].is_waiting {
                continue;
            }
            let has_room = self.transport != Transport::Datagram
                || !self.pending[at].request.is_confirmable
                || self.transmissions.has_room(&self.config);
            if has_room {
                self.pending[at].is_waiting = false;
                self.send(now, at);
            }
        }
    }

    /// The first message of each end says what it takes.
    fn greet(&mut self) {
        if self.transport == Transport::Datagram || self.has_greeted {
            return;
        }
        self.has_greeted = true;
        let mut options = Head::new();
        let csm =
            Csm { message_bytes_max: self.config.message_bytes_max, takes_blocks: true, token_bytes_max: 8 };
        csm.encode(&mut options);
        self.send_signal(Code::CSM, &[], options.as_slice());
    }

    pub(super) fn send_signal(&mut self, code: Code, token: &[u8], options: &[u8]) {
        let body = Body { code, token, options: Options::from_checked(options), payload: &[] };
        let mut bytes = Vec::new();
        encode_message(self.transport, &body, &mut bytes);
        self.out.append(&bytes);
    }

    pub(super) fn send_empty(&mut self, kind: Kind, id: MessageId) {
        let mut datagram = Vec::with_capacity(4);
        Message::empty(kind, id).encode(&mut datagram);
        append(&datagram, &mut self.out);
    }

    /// The block that a request begins with; none if it goes in one piece.
    pub(super) fn first_block(&self, request: &Request) -> Option<Block> {
        let size = BlockSize::at_most(self.config.block_bytes.into());
        let bytes_max = match self.transport {
            Transport::Datagram => size.bytes(),
            _ => (self.peer.message_bytes_max as usize).saturating_sub(128),
        };
        (request.payload.len() > bytes_max).then_some(Block { number: 0, more: true, size })
    }

    fn send(&mut self, now: Instant, at: usize) {
        let id = self.next_id();
        let pending = &mut self.pending[at];
        let mut options = Vec::new();
        let payload = write_options(pending, &mut options);
        let body = Body {
            code: pending.request.method,
            token: pending.token.as_bytes(),
            options: Options::from_checked(&options),
            payload,
        };
        let mut bytes = Vec::new();
        if self.transport != Transport::Datagram {
            encode_message(self.transport, &body, &mut bytes);
            self.out.append(&bytes);
            return;
        }
        let kind = if pending.request.is_confirmable { Kind::Confirmable } else { Kind::NonConfirmable };
        Message { kind, id, body }.encode(&mut bytes);
        append(&bytes, &mut self.out);
        pending.message = None;
        if pending.request.is_confirmable {
            pending.message = Some(id);
            let under_way =
                self.transmissions.begin(now, (id, Purpose::Response), &self.config, &mut self.random);
            under_way.extend_from_slice(&bytes);
        }
    }

    fn next_id(&mut self) -> MessageId {
        loop {
            self.last_id = MessageId(self.last_id.0.wrapping_add(1));
            if !self.transmissions.has(self.last_id) {
                return self.last_id;
            }
        }
    }
}

/// Writes the options of the next message of a request, and returns its payload.
fn write_options<'p>(pending: &'p Pending, out: &mut Vec<u8>) -> &'p [u8] {
    let request = &pending.request;
    let mut all: Vec<(OptionNumber, Vec<u8>)> = request.options.clone();
    let mut payload = &request.payload[..];
    if let Some(block) = pending.upload {
        let end = (block.offset() + block.size.bytes()).min(payload.len());
        if block.number == 0 {
            // A length has 32 bits, or the server refuses it anyway.
            all.push((OptionNumber::SIZE1, spelled(u32::try_from(payload.len()).unwrap_or(u32::MAX))));
        }
        payload = &payload[block.offset().min(end)..end];
        all.push((OptionNumber::BLOCK1, spelled(block.to_uint())));
    }
    if !pending.body.is_empty() {
        // The rest of a body is asked for by itself: not as a new observation.
        all.retain(|(number, _)| !matches!(*number, OptionNumber::OBSERVE | OptionNumber::BLOCK2));
        let number = u32::try_from(pending.body.len() / pending.block.bytes()).unwrap_or(u32::MAX);
        all.push((
            OptionNumber::BLOCK2,
            spelled(Block { number, more: false, size: pending.block }.to_uint()),
        ));
    }
    if !pending.echo.is_empty() {
        all.push((OptionNumber::ECHO, pending.echo.clone()));
    }
    all.sort_by_key(|(number, _)| *number);
    let mut writer = OptionWriter::new(out);
    for (number, value) in &all {
        writer.put(*number, value);
    }
    payload
}

fn spelled(value: u32) -> Vec<u8> {
    let (bytes, at) = crate::wire::uint_bytes(value);
    bytes[at..].to_vec()
}

/// Appends a datagram with its length.
pub(super) fn append(datagram: &[u8], out: &mut Outbound) {
    let Ok(len) = u16::try_from(datagram.len()) else { return };
    out.append(&len.to_be_bytes());
    out.append(datagram);
}
