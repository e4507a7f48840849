//! Layers between a socket and its connection: the PROXY protocol's header, TLS, WebSocket. What they keep between
//! two reads or writes is freed as soon as nothing is under way, so that an idle connection costs little.

use std::io::{self, IoSlice};
use std::sync::Arc;

use mynah_engine::Proof;
use mynah_engine::websocket::{CloseCode, WebSocket};
use mynah_stack::Outbound;

use crate::address::Peer;
use crate::buffers::Buffers;
use crate::caller::ChannelBinding;
use crate::entrance::Entrance;
use crate::proxy;
use crate::stream::Stream;
use crate::tls::Session;
use crate::transport::{Input, Output, SLICES_MAX, slices};

/// Plain bytes that are sealed at a time.
const SEAL_BYTES_MAX: usize = 64 << 10;
/// Bytes written to one connection before others have their turn.
const WRITE_BYTES_MAX: usize = 256 << 10;
/// Answers to a peer that does not read what was sent to it.
const ANSWERS_BYTES_MAX: usize = 4 << 10;
/// Bytes of the length before a unit of WebSocket.
const UNIT_LENGTH_BYTES: usize = 4;
/// What a peer may send of one flight of its handshake: a chain of certificates is the longest.
const HANDSHAKE_BYTES_MAX: usize = 24 << 10;

/// A socket with the layers above it.
pub(crate) struct Layered {
    stream: Stream,
    pub(crate) peer: Peer,
    /// A header of the PROXY protocol comes first.
    expects_proxy: bool,
    tls: Option<Box<Session>>,
    websocket: Option<Box<WebSocket>>,
    /// Bytes that were read and that a layer cannot use yet: a piece of a record or of a header.
    pending: Vec<u8>,
    /// Bytes for the socket, in front of everything else, of which `sent` are gone.
    ready: Vec<u8>,
    sent: usize,
    /// How many of the connection's bytes are sealed in `ready`. They count as written when all of `ready` is.
    owed: usize,
    /// How many of the connection's bytes belong to the frame of WebSocket that is being written.
    frame_left: usize,
    /// Control frames that have to wait for the end of that frame.
    late: Vec<u8>,
    /// Bytes of answers that were put behind bytes of the connection since all was sent.
    answered: usize,
    proof: Option<Arc<Proof>>,
    /// A proxy has named the peer, which nobody has heard yet.
    named: bool,
    was_open: bool,
}

impl Layered {
    /// The layers of an entrance above a socket.
    pub(crate) fn new(stream: Stream, peer: Peer, entrance: &Entrance) -> Result<Self, rustls::Error> {
        let websocket = entrance.websocket.as_ref().map(|settings| WebSocket::new(Arc::clone(settings)));
        Ok(Self {
            stream,
            peer,
            expects_proxy: !entrance.proxies.is_empty(),
            tls: entrance.tls.as_ref().map(|tls| tls.accept()).transpose()?.map(Box::new),
            websocket: websocket.map(Box::new),
            pending: Vec::new(),
            ready: Vec::new(),
            sent: 0,
            owed: 0,
            frame_left: 0,
            late: Vec::new(),
            answered: 0,
            proof: None,
            named: false,
            was_open: false,
        })
    }

    pub(crate) fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// Whether the connection's bytes can be written: all handshakes are done.
    fn is_open(&self) -> bool {
        !self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
            && self.websocket.as_ref().is_none_or(|websocket| websocket.is_open())
    }

    /// Whose protocol is spoken, see [`mynah_engine::websocket::SubProtocol::stack`].
    pub(crate) fn stack(&self) -> u16 {
        self.websocket.as_ref().map_or(0, |websocket| websocket.stack())
    }

    /// True once, when the connection's bytes can be written for the first time.
    pub(crate) fn has_just_opened(&mut self) -> bool {
        let is_open = self.is_open();
        is_open && !std::mem::replace(&mut self.was_open, is_open)
    }

    /// What TLS has proved of the peer, once.
    pub(crate) fn take_proof(&mut self) -> Option<Arc<Proof>> {
        self.proof.take()
    }

    /// The name of the host that the peer has asked for by TLS (SNI), once.
    pub(crate) fn take_host(&mut self) -> Option<Box<str>> {
        self.tls.as_mut().filter(|tls| !tls.is_handshaking())?.take_host()
    }

    /// The peer, once after a proxy has named it.
    pub(crate) fn take_named(&mut self) -> Option<Peer> {
        core::mem::take(&mut self.named).then_some(self.peer)
    }

    /// What ties what the peer says to its TLS; none without TLS.
    pub(crate) fn channel_binding(&self) -> Option<ChannelBinding> {
        self.tls.as_ref().map(|tls| tls.binding().clone())
    }

    /// Whether so many answers of the layers wait to be sent that no more is to be read; of an opening, any. One that waits
    /// does not stop a peer that writes all it has before it reads.
    pub(crate) fn is_blocked(&self) -> bool {
        if self.is_open() { self.answered > ANSWERS_BYTES_MAX } else { !self.ready.is_empty() }
    }

    /// Reads from the socket, and through the layers.
    pub(crate) fn read<'b>(&mut self, buffers: &'b mut Buffers) -> io::Result<Input<'b>> {
        let kept = self.pending.len();
        buffers.scratch[..kept].copy_from_slice(&self.pending);
        let count = self.stream.read(&mut buffers.scratch[kept..])?;
        if count == 0 {
            return Ok(Input::END);
        }
        self.pending = Vec::new();
        let end = kept + count;
        let more = end == buffers.scratch.len();
        let Some(start) = self.read_proxy(&buffers.scratch[..end])? else {
            return Ok(Input { bytes: &[], more, ended: false });
        };
        let mut ended = false;
        if self.tls.is_some() {
            ended = self.open(start..end, buffers)?;
        }
        let Buffers { scratch, plain, answers, .. } = &mut *buffers;
        let mut is_plain = self.tls.is_some();
        let bytes = if is_plain { &mut plain[..] } else { &mut scratch[start..end] };
        let mut payload = 0..bytes.len();
        if let Some(websocket) = &mut self.websocket {
            answers.clear();
            let received = websocket.receive(bytes, answers);
            payload = received.payload;
            ended |= received.ended;
            if websocket.has_units() {
                plain.clear();
                websocket.take_units(plain);
                (is_plain, payload) = (true, 0..plain.len());
            }
            self.answer(answers)?;
        }
        self.flush(buffers)?;
        let Buffers { scratch, plain, .. } = buffers;
        let bytes = if is_plain { &plain[..] } else { &scratch[start..end] };
        Ok(Input { bytes: &bytes[payload], more, ended })
    }

    /// Takes in the header of the PROXY protocol, if it is still to come. Returns where the peer's own bytes begin;
    /// none if the header is not complete.
    fn read_proxy(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        if !self.expects_proxy {
            return Ok(Some(0));
        }
        match proxy::read(bytes) {
            Ok(Some(header)) => {
                self.expects_proxy = false;
                self.peer = header.peer.map_or(self.peer, Peer::Inet);
                self.named = true;
                tracing::trace!(peer = %self.peer, "named by a proxy");
                Ok(Some(header.len))
            }
            Ok(None) => {
                self.pending = bytes.to_vec();
                Ok(None)
            }
            Err(proxy::Malformed) => {
                tracing::debug!(peer = %self.peer, "this is not a header of the PROXY protocol");
                Err(io::ErrorKind::InvalidData.into())
            }
        }
    }

    /// Opens what is sealed: the plain bytes are in `buffers.plain` then. Returns whether the peer has ended TLS.
    fn open(&mut self, range: std::ops::Range<usize>, buffers: &mut Buffers) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else { return Ok(false) };
        let sealed = &mut buffers.scratch[range];
        let was_handshaking = tls.is_handshaking();
        buffers.plain.clear();
        let said = self.ready.len();
        let opened = tls.open(sealed, &mut buffers.plain, &mut self.ready);
        self.answered += self.ready.len() - said;
        if let Some(error) = &opened.error {
            tracing::debug!(peer = %self.peer, %error, "TLS failed");
        }
        self.pending = sealed[opened.consumed..].to_vec();
        if tls.is_handshaking() {
            if self.pending.len() > HANDSHAKE_BYTES_MAX {
                tracing::debug!(peer = %self.peer, "a handshake of TLS that is too long");
                return Err(io::ErrorKind::InvalidData.into());
            }
        } else if was_handshaking {
            self.proof = tls.proof().map(Arc::new);
        }
        Ok(opened.ended)
    }

    /// Puts answers of WebSocket where they are sent next.
    fn answer(&mut self, answers: &[u8]) -> io::Result<()> {
        self.answered += answers.len();
        match &mut self.tls {
            _ if answers.is_empty() => {}
            Some(tls) => tls.seal(&mut self.pending, answers, &mut self.ready).map_err(io::Error::other)?,
            None if self.frame_left > 0 => self.late.extend_from_slice(answers),
            None => self.ready.extend_from_slice(answers),
        }
        Ok(())
    }

    /// Sends what the layers have to say; true if nothing of it is left.
    pub(crate) fn flush(&mut self, buffers: &mut Buffers) -> io::Result<bool> {
        while self.sent < self.ready.len() {
            match self.stream.write(&self.ready[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.free_ready(buffers);
        Ok(true)
    }

    /// Everything in `ready` is sent.
    fn free_ready(&mut self, buffers: &mut Buffers) {
        (self.sent, self.answered) = (0, self.late.len());
        buffers.give(std::mem::take(&mut self.ready));
    }

    /// Writes the connection's bytes, through the layers.
    pub(crate) fn write(&mut self, outbound: &Outbound, buffers: &mut Buffers) -> io::Result<Output> {
        if !self.is_open() {
            return Ok(Output { count: 0, more: false });
        }
        if self.tls.is_some() {
            self.write_sealed(outbound, buffers)
        } else {
            self.write_framed(outbound, buffers)
        }
    }

    fn write_sealed(&mut self, outbound: &Outbound, buffers: &mut Buffers) -> io::Result<Output> {
        let mut count = 0;
        loop {
            if !self.flush(buffers)? {
                return Ok(Output { count, more: false });
            }
            count += std::mem::take(&mut self.owed);
            if count == outbound.len() || count >= WRITE_BYTES_MAX {
                return Ok(Output { count, more: count < outbound.len() });
            }
            self.owed = self.seal(outbound, count, buffers)?;
        }
    }

    /// Seals some of the bytes behind `skip`, as one frame if there is WebSocket. Returns how many.
    fn seal(&mut self, outbound: &Outbound, skip: usize, buffers: &mut Buffers) -> io::Result<usize> {
        let begun = skip;
        let (skip, len) = self.next_frame(outbound, skip, SEAL_BYTES_MAX);
        if self.ready.capacity() == 0 {
            self.ready = buffers.take();
        }
        let plain = if self.websocket.is_none() && outbound.is_contiguous() {
            &outbound.first()[skip..skip + len]
        } else {
            buffers.plain.clear();
            if let Some(header) = self.websocket.as_ref().and_then(|websocket| websocket.header(len)) {
                buffers.plain.extend_from_slice(header.as_bytes());
            }
            let mut pieces = [IoSlice::new(&[]); SLICES_MAX];
            let (mut at, mut left) = (skip, len);
            while left > 0 {
                let (pieces, total) = slices(&[], outbound, at, left, &mut pieces);
                pieces.iter().for_each(|piece| buffers.plain.extend_from_slice(piece));
                (at, left) = (at + total, left - total);
            }
            &buffers.plain[..]
        };
        let Some(tls) = &mut self.tls else { return Ok(0) };
        tls.seal(&mut self.pending, plain, &mut self.ready).map_err(io::Error::other)?;
        Ok(skip + len - begun)
    }

    /// Where the bytes begin that are behind `skip` and sent next as one frame, and how many they are: a unit, which has
    /// its length before it, or what there is up to `max`.
    fn next_frame(&self, outbound: &Outbound, skip: usize, max: usize) -> (usize, usize) {
        let left = outbound.len() - skip;
        if !self.websocket.as_ref().is_some_and(|websocket| websocket.has_units()) {
            return (skip, left.min(max));
        }
        let (mut length, mut found, mut before) = ([0; UNIT_LENGTH_BYTES], 0, skip);
        for slice in outbound.slices() {
            let rest = slice.get(before..).unwrap_or_default();
            before = before.saturating_sub(slice.len());
            let take = rest.len().min(UNIT_LENGTH_BYTES - found);
            length[found..found + take].copy_from_slice(&rest[..take]);
            found += take;
            if found == UNIT_LENGTH_BYTES {
                break;
            }
        }
        let len = u32::from_be_bytes(length) as usize;
        (skip + found, len.min(left - found))
    }

    /// Writes frames of WebSocket: all that waits is one frame, and its payload is not copied.
    fn write_framed(&mut self, outbound: &Outbound, buffers: &mut Buffers) -> io::Result<Output> {
        let mut count = 0;
        loop {
            if self.frame_left == 0 {
                self.ready.append(&mut self.late);
                let left = outbound.len() - count;
                if left == 0 || count >= WRITE_BYTES_MAX {
                    self.flush(buffers)?;
                    return Ok(Output { count, more: left > 0 });
                }
                if self.ready.capacity() == 0 {
                    self.ready = buffers.take();
                }
                let len;
                (count, len) = self.next_frame(outbound, count, usize::MAX);
                if let Some(header) = self.websocket.as_ref().and_then(|websocket| websocket.header(len)) {
                    self.ready.extend_from_slice(header.as_bytes());
                }
                self.frame_left = len;
            }
            let mut memory = [IoSlice::new(&[]); SLICES_MAX];
            let own = &self.ready[self.sent..];
            let (pieces, _) = slices(own, outbound, count, self.frame_left, &mut memory);
            match self.stream.write_vectored(pieces) {
                Ok(written) => {
                    let own = written.min(own.len());
                    self.sent += own;
                    self.frame_left -= written - own;
                    count += written - own;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Output { count, more: false });
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if self.sent == self.ready.len() {
                self.free_ready(buffers);
            }
        }
    }

    /// Takes leave of the peer, if it takes another few bytes at once. Returns the socket then.
    pub(crate) fn close(mut self, code: CloseCode, buffers: &mut Buffers) -> Option<Stream> {
        if self.frame_left > 0 || !matches!(self.flush(buffers), Ok(true)) {
            return None; // in the middle of something that the peer does not read
        }
        buffers.answers.clear();
        if let Some(websocket) = self.websocket.as_mut().filter(|websocket| websocket.is_open()) {
            websocket.close(Some(code), &mut buffers.answers);
        }
        let mut last = std::mem::take(&mut buffers.answers);
        let said = self.answer(&last);
        if let Some(tls) = self.tls.as_mut().filter(|tls| said.is_ok() && !tls.is_handshaking()) {
            // A peer that is told nothing finds the end all the same.
            let _ = tls.close(&mut self.pending, &mut self.ready);
        }
        let _ = self.flush(buffers);
        last.clear();
        buffers.answers = last;
        Some(self.stream)
    }
}
