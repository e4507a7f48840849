//! A content as it comes (section 4.2.6): a header after its method, then body frames until all of the body is there.
//! Everything is appended to one buffer, which becomes the message.

use alloc::vec::Vec;

use crate::v0_9_1::wire::{ContentHeader, FrameType};
use crate::v0_9_1::{Error, Violation};

/// What has come of the content of a channel. `M` is what its method said.
#[derive(Debug)]
pub struct Assembly<M> {
    state: State<M>,
}

#[derive(Debug)]
enum State<M> {
    /// No content is under way.
    Idle,
    /// The header has to come; what goes before the properties is there.
    Header(M, Vec<u8>),
    /// So many bytes of the body have to come; so many it will be with what goes before it.
    Body(Content<M>, u64, u64),
}

/// A content, or the beginning of one.
#[derive(Debug)]
pub struct Content<M> {
    /// What the method said.
    pub method: M,
    /// What goes before the properties, the properties, and the body.
    pub bytes: Vec<u8>,
    /// Where the properties begin.
    pub properties_at: usize,
    /// Where the body begins.
    pub body_at: usize,
}

/// What a frame came to.
#[derive(Debug)]
pub enum Part<M> {
    /// More has to come.
    More,
    /// The content is whole.
    Whole(Content<M>),
    /// The body would have more bytes than are taken: what comes of it is to be passed over.
    TooLarge(M, u64),
}

/// Bytes for a body that are set aside before any of it has come.
const RESERVED_BYTES_MAX: u64 = 64 << 10;

impl<M> Default for Assembly<M> {
    fn default() -> Self {
        Self { state: State::Idle }
    }
}

impl<M> Assembly<M> {
    /// Whether a content is under way: then nothing else may come on the channel.
    #[must_use]
    pub const fn is_under_way(&self) -> bool {
        !matches!(self.state, State::Idle)
    }

    /// A method came that has a content; `lead` is what goes before the properties.
    pub fn begin(&mut self, method: M, lead: Vec<u8>) {
        self.state = State::Header(method, lead);
    }

    /// Bytes that the content that is under way will have come to: its body as the header says, and what goes before it.
    #[must_use]
    pub const fn size(&self) -> u64 {
        match &self.state {
            State::Body(_, _, size) => *size,
            State::Idle | State::Header(..) => 0,
        }
    }

    /// What came of the content is forgotten.
    pub fn clear(&mut self) {
        self.state = State::Idle;
    }

    /// Takes a header or body frame.
    ///
    /// # Errors
    /// Another frame has to come, or it holds what it may not.
    #[inline]
    pub fn handle(
        &mut self,
        (frame_type, payload): (FrameType, &[u8]),
        body_bytes_max: usize,
    ) -> Result<Part<M>, Error> {
        match (core::mem::replace(&mut self.state, State::Idle), frame_type) {
            (State::Header(method, lead), FrameType::Header) => {
                let header = ContentHeader::decode(payload)?;
                Ok(self.handle_header(method, lead, &header, body_bytes_max))
            }
            (State::Body(mut content, left, size), FrameType::Body) => {
                let left = left.checked_sub(payload.len() as u64).ok_or(Violation::BodyTooLong)?;
                content.bytes.extend_from_slice(payload);
                if left == 0 {
                    return Ok(Part::Whole(content));
                }
                self.state = State::Body(content, left, size);
                Ok(Part::More)
            }
            (State::Idle, _) => Err(Violation::ContentWithoutMethod.into()),
            (State::Header(..) | State::Body(..), _) => Err(Violation::ContentExpected.into()),
        }
    }

    fn handle_header(
        &mut self,
        method: M,
        mut bytes: Vec<u8>,
        header: &ContentHeader<'_>,
        body_bytes_max: usize,
    ) -> Part<M> {
        let size = header.body_size;
        if size > body_bytes_max as u64 {
            return Part::TooLarge(method, size);
        }
        let properties_at = bytes.len();
        let properties = header.properties.as_bytes();
        bytes.reserve(properties.len() + size.min(RESERVED_BYTES_MAX) as usize);
        bytes.extend_from_slice(properties);
        let content = Content { method, properties_at, body_at: bytes.len(), bytes };
        if size == 0 {
            return Part::Whole(content);
        }
        let total = size + content.body_at as u64;
        self.state = State::Body(content, size, total);
        Part::More
    }
}

impl<M> Content<M> {
    /// The properties as they came.
    #[must_use]
    pub fn properties(&self) -> &[u8] {
        &self.bytes[self.properties_at..self.body_at]
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.body_at..]
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn header(size: u64) -> Vec<u8> {
        let mut payload = Vec::new();
        ContentHeader { body_size: size, properties: Default::default() }.encode_payload(&mut payload);
        payload
    }

    fn handle(
        assembly: &mut Assembly<u8>,
        frame_type: FrameType,
        payload: &[u8],
    ) -> Result<Option<Vec<u8>>, Error> {
        match assembly.handle((frame_type, payload), 10)? {
            Part::Whole(content) => {
                assert_eq!(content.properties(), b"\0\0");
                Ok(Some([&content.bytes[..content.properties_at], b"|", content.body()].concat()))
            }
            Part::More => Ok(None),
            Part::TooLarge(_, size) => Ok(Some(vec![size as u8; 3])),
        }
    }

    //= amqp-0-9-1 [2.3.7-content] [4.2.6.2-body]
    #[test]
    fn a_body_comes_in_as_many_parts_as_it_likes() {
        let mut assembly = Assembly::default();
        assembly.begin(7, vec![7]);
        assert_eq!(handle(&mut assembly, FrameType::Header, &header(5)), Ok(None));
        for part in [&b"ab"[..], b"", b"c"] {
            assert_eq!(handle(&mut assembly, FrameType::Body, part), Ok(None));
        }
        assert!(assembly.is_under_way());
        assert_eq!(assembly.size(), 1 + 2 + 5);
        assert_eq!(handle(&mut assembly, FrameType::Body, b"de"), Ok(Some(b"\x07|abcde".to_vec())));
        assembly.begin(8, vec![8]);
        assert_eq!(handle(&mut assembly, FrameType::Header, &header(0)), Ok(Some(b"\x08|".to_vec())));
        assert_eq!((assembly.is_under_way(), assembly.size()), (false, 0));
    }

    //= amqp-0-9-1 [4.2.6-order]
    #[test]
    fn what_does_not_come_next_is_an_error() {
        let mut assembly = Assembly::default();
        let (without, expected) =
            (Err(Violation::ContentWithoutMethod.into()), Err(Violation::ContentExpected.into()));
        assert_eq!(handle(&mut assembly, FrameType::Header, &header(1)), without);
        assert_eq!(handle(&mut assembly, FrameType::Body, b"a"), without);
        assembly.begin(1, vec![1]);
        assert_eq!(handle(&mut assembly, FrameType::Body, b"a"), expected);
        assembly.begin(1, vec![1]);
        assert_eq!(handle(&mut assembly, FrameType::Header, &header(1)), Ok(None));
        assert_eq!(handle(&mut assembly, FrameType::Header, &header(1)), expected);
        assembly.begin(1, vec![1]);
        assert_eq!(handle(&mut assembly, FrameType::Header, &header(1)), Ok(None));
        assert_eq!(handle(&mut assembly, FrameType::Body, b"ab"), Err(Violation::BodyTooLong.into()));
    }

    #[test]
    fn a_body_that_is_too_large_is_known_by_its_header() {
        let mut assembly = Assembly::default();
        assembly.begin(1, vec![1]);
        assert_eq!(handle(&mut assembly, FrameType::Header, &header(11)), Ok(Some(vec![11; 3])));
        assembly.begin(1, vec![1]);
        assert_eq!(handle(&mut assembly, FrameType::Header, &header(u64::MAX)), Ok(Some(vec![255; 3])));
    }
}
