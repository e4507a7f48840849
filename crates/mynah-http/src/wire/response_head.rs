//! Response head: status and header fields.

use super::{Fields, Kind, Malformed, put_string};
use crate::framing;

/// Bytes of a response head, without its frame's header.
pub const RESPONSE_HEAD_BYTES_MAX: usize = 64 << 10;

/// What follows the response head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BodyKind {
    /// Nothing.
    Empty = 0,
    /// One [`super::ResponseBody`].
    Whole = 1,
    /// [`super::StreamChunk`]s until the link ends.
    Stream = 2,
}

/// Status and header fields of a response.
///
/// ```text
/// status u16 | body kind u8 | count u16 | name (u16, bytes) value (u16, bytes) ...
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead<'b> {
    /// The status code, 100 to 599.
    pub status: u16,
    /// What follows.
    pub body: BodyKind,
    /// Header fields: names in lower case, values as they go out.
    pub fields: Vec<(&'b str, &'b str)>,
}

impl<'b> ResponseHead<'b> {
    /// The frame.
    ///
    /// # Errors
    /// It does not fit [`RESPONSE_HEAD_BYTES_MAX`], or has more than 65,535 header fields.
    pub fn encode(&self) -> Result<Vec<u8>, Malformed> {
        let mut out = Vec::with_capacity(128);
        let body_at = framing::begin(&mut out, Kind::ResponseHead);
        out.extend_from_slice(&self.status.to_be_bytes());
        out.push(self.body as u8);
        let count = u16::try_from(self.fields.len()).map_err(|_| Malformed::TooLarge)?;
        out.extend_from_slice(&count.to_be_bytes());
        for (name, value) in &self.fields {
            put_string(&mut out, name.as_bytes())?;
            put_string(&mut out, value.as_bytes())?;
        }
        if out.len() - body_at > RESPONSE_HEAD_BYTES_MAX {
            return Err(Malformed::TooLarge);
        }
        framing::end(&mut out, body_at)?;
        Ok(out)
    }

    /// Reads a frame's body.
    ///
    /// # Errors
    /// A field is not what it has to be.
    pub fn decode(body: &'b [u8]) -> Result<Self, Malformed> {
        let mut fields = Fields(body);
        let status = fields.u16()?;
        if !(100..=599).contains(&status) {
            return Err(Malformed::Value);
        }
        let body = match fields.u8()? {
            0 => BodyKind::Empty,
            1 => BodyKind::Whole,
            2 => BodyKind::Stream,
            _ => return Err(Malformed::Value),
        };
        let count = fields.u16()?;
        let field = |_| Ok((fields.text()?, fields.text()?));
        let list = (0..count).map(field).collect::<Result<_, _>>()?;
        fields.end()?;
        Ok(Self { status, body, fields: list })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bytes_are_what_the_picture_says() {
        let head = ResponseHead { status: 405, body: BodyKind::Whole, fields: vec![("allow", "GET")] };
        let out = head.encode().unwrap();
        assert_eq!(out, b"\x04\0\0\0\x11\x01\x95\x01\0\x01\0\x05allow\0\x03GET");
        assert_eq!(ResponseHead::decode(&out[5..]), Ok(head));
    }

    #[test]
    fn a_head_over_its_limit_is_not_sent() {
        let value = "v".repeat(RESPONSE_HEAD_BYTES_MAX);
        let head = ResponseHead { status: 200, body: BodyKind::Empty, fields: vec![("x", &value)] };
        assert_eq!(head.encode(), Err(Malformed::TooLarge));
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(head) = ResponseHead::decode(&body) {
                prop_assert_eq!(&head.encode().unwrap()[5..], &body[..]);
            }
        }
    }
}
