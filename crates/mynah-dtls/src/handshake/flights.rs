//! What both halves of a handshake have: the messages so far, the flight that may have to be sent again, and what comes in
//! (RFC 6347, section 4.2.4).

use std::ops::Range;
use std::time::Duration;

use mynah_model::Instant;
use ring::digest::{Context, Digest, SHA256};

use super::incoming::Incoming;
use crate::alert::Alert;
use crate::datagrams::Datagrams;
use crate::protection::Keys;
use crate::wire::message::{self, Fragment, HEADER_BYTES};
use crate::wire::reader::Reader;
use crate::wire::record;

/// Memory that a handshake may take, in bytes.
pub const HALF_OPEN_BYTES_MAX: usize = 4 << 10;
/// Of that, for messages that were said and heard.
const MESSAGES_BYTES_MAX: usize = HALF_OPEN_BYTES_MAX - 768;
/// Datagrams of a handshake: what every path takes.
const DATAGRAM_BYTES_MAX: usize = 1_200;
const FRAGMENT_BYTES_MAX: usize = DATAGRAM_BYTES_MAX - record::HEADER_BYTES - HEADER_BYTES;
/// How long the first answer is waited for.
const TIMEOUT_MIN: Duration = Duration::from_secs(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// The flights of one handshake.
pub(crate) struct Flights {
    /// The messages whose bytes are still needed, with their headers.
    messages: Vec<u8>,
    /// Over all messages.
    hash: Context,
    /// Whether what the peer says is kept too: it is needed where a signature is over it.
    keeps: bool,
    /// The messages of the last flight among those, and where those begin that are protected.
    flight: Range<usize>,
    sealed_from: usize,
    incoming: Incoming,
    /// The number of the next message, and of the next record of the first epoch.
    message: u16,
    record: u64,
    /// What protects the second epoch, and its next record.
    sealing: Option<Box<Keys>>,
    sealed: u64,
    timeout: Duration,
    again_at: Option<Instant>,
}

impl Flights {
    /// Messages begin with these numbers, the peer's, ours and that of the next record.
    pub(crate) fn new(peers: u16, own: u16, record: u64) -> Self {
        Self {
            messages: Vec::new(),
            hash: Context::new(&SHA256),
            keeps: true,
            flight: 0..0,
            sealed_from: usize::MAX,
            incoming: Incoming::from(peers),
            message: own,
            record,
            sealing: None,
            sealed: 0,
            timeout: TIMEOUT_MIN,
            again_at: None,
        }
    }

    /// All messages so far as they are signed.
    pub(crate) fn messages(&self) -> &[u8] {
        &self.messages
    }

    /// The hash of all messages so far.
    pub(crate) fn hash(&self) -> Digest {
        self.hash.clone().finish()
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        let sealing = self.sealing.as_ref().map_or(0, |keys| keys.bytes());
        self.messages.capacity() + self.incoming.bytes() + sealing
    }

    /// No signature will be over what was said; from here on only the last flight is kept.
    pub(crate) fn forget_messages(&mut self) {
        self.keeps = false;
        self.messages = Vec::new();
        self.flight = 0..0;
    }

    /// The handshake begins again: what was said does not count.
    pub(crate) fn begin_again(&mut self) {
        (self.messages, self.hash, self.flight) = (Vec::new(), Context::new(&SHA256), 0..0);
    }

    /// Counts a message of the peer as heard.
    pub(crate) fn hear(&mut self, message: &[u8]) {
        self.hash.update(message);
        if self.keeps {
            self.messages.reserve_exact(message.len());
            self.messages.extend_from_slice(message);
        }
    }

    /// A new flight begins; what is said from here on belongs to it.
    pub(crate) fn begin_flight(&mut self) {
        if !self.keeps {
            self.messages = Vec::new();
        }
        self.flight = self.messages.len()..self.messages.len();
        self.sealed_from = usize::MAX;
    }

    /// Says a message; it leaves with its flight.
    ///
    /// # Errors
    /// There is no room for it.
    pub(crate) fn say(&mut self, kind: u8, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Alert> {
        let mut body = Vec::new();
        write(&mut body);
        if self.messages.len() + HEADER_BYTES + body.len() + self.incoming.bytes() > MESSAGES_BYTES_MAX {
            return Err(Alert::INTERNAL_ERROR);
        }
        let start = self.messages.len();
        self.messages.reserve_exact(HEADER_BYTES + body.len());
        message::put_header((kind, body.len(), self.message), 0, body.len(), &mut self.messages);
        self.messages.extend(body);
        self.hash.update(&self.messages[start..]);
        self.message += 1;
        self.flight.end = self.messages.len();
        Ok(())
    }

    /// What is said from here on is protected by these keys.
    pub(crate) fn seal_with(&mut self, keys: Box<Keys>) {
        self.sealed_from = self.messages.len();
        self.sealing = Some(keys);
    }

    /// What protects the second epoch, and the number of its next record.
    pub(crate) fn take_sealing(&mut self) -> Option<(Box<Keys>, u64)> {
        self.sealing.take().map(|keys| (keys, self.sealed))
    }

    /// The number of the next record of the first epoch.
    pub(crate) const fn record(&self) -> u64 {
        self.record
    }

    /// Sends the flight, and again after a while unless an answer comes.
    pub(crate) fn send(&mut self, now: Instant, waits: bool, out: &mut Datagrams) {
        self.timeout = TIMEOUT_MIN;
        self.again_at = waits.then(|| now + self.timeout);
        self.transmit(out);
    }

    /// When the flight is to be sent again.
    pub(crate) const fn again_at(&self) -> Option<Instant> {
        self.again_at
    }

    /// An answer has come.
    pub(crate) fn rest(&mut self) {
        self.again_at = None;
    }

    /// Sends the flight once more; the next time is later.
    pub(crate) fn send_again(&mut self, now: Instant, out: &mut Datagrams) {
        self.timeout = (self.timeout * 2).min(TIMEOUT_MAX);
        self.again_at = self.again_at.map(|_| now + self.timeout);
        self.transmit(out);
    }

    /// Every record has a number of its own, however often its message is sent.
    fn transmit(&mut self, out: &mut Datagrams) {
        out.finish();
        let (mut at, mut piece) = (self.flight.start, Vec::new());
        while at < self.flight.end {
            if at == self.sealed_from {
                piece.clear();
                record::put(record::CHANGE_CIPHER_SPEC, self.next_record(), &[1], &mut piece);
                out.append(&piece, DATAGRAM_BYTES_MAX);
            }
            at = self.transmit_message(at, &mut piece, out);
        }
        out.finish();
    }

    /// Returns where the message behind this one begins.
    fn transmit_message(&mut self, at: usize, piece: &mut Vec<u8>, out: &mut Datagrams) -> usize {
        let mut header = Reader(&self.messages[at..]);
        let (Some(kind), Some(length), Some(sequence)) = (header.u8(), header.u24(), header.u16()) else {
            return self.flight.end;
        };
        let body = at + HEADER_BYTES;
        if at >= self.sealed_from {
            if let Some(keys) = &self.sealing {
                piece.clear();
                let number = record::number(1, self.sealed);
                keys.seal(record::HANDSHAKE, number, &self.messages[at..body + length], piece);
                self.sealed += 1;
                out.append(piece, DATAGRAM_BYTES_MAX);
            }
            return body + length;
        }
        let mut offset = 0;
        loop {
            let count = (length - offset).min(FRAGMENT_BYTES_MAX);
            piece.clear();
            let number = record::number(0, self.next_record());
            record::put_header(record::HANDSHAKE, number, HEADER_BYTES + count, piece);
            message::put_header((kind, length, sequence), offset, count, piece);
            piece.extend_from_slice(&self.messages[body + offset..body + offset + count]);
            out.append(piece, DATAGRAM_BYTES_MAX);
            offset += count;
            if offset >= length {
                return body + length;
            }
        }
    }

    fn next_record(&mut self) -> u64 {
        let number = self.record;
        self.record += 1;
        number
    }

    /// Says why the handshake ends; nothing else follows.
    pub(crate) fn alert(&mut self, alert: Alert, out: &mut Datagrams) {
        let number = self.next_record();
        out.add(|bytes| record::put(record::ALERT, number, &alert.bytes(), bytes));
    }

    /// Takes in a piece of a message. Returns false if its message was read already.
    ///
    /// # Errors
    /// See [`Incoming::take_in`].
    pub(crate) fn take_in(&mut self, fragment: &Fragment<'_>) -> Result<bool, Alert> {
        if self.incoming.is_old(fragment.sequence) {
            return Ok(false);
        }
        let room = MESSAGES_BYTES_MAX.saturating_sub(self.messages.len());
        self.incoming.take_in(fragment, room).map(|()| true)
    }

    /// The kind of the next message, if all of it is there.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.incoming.peek()?.first().copied()
    }

    pub(crate) fn pop(&mut self) -> Option<Vec<u8>> {
        self.incoming.pop()
    }
}
