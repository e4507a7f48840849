//! Request head: all of a request but its body, judged and decoded.

use mynah_model::{Class, Filter, Topic};

use super::{Fields, Kind, Malformed, put_string};
use crate::framing;

/// What is done to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Method {
    /// Read the retained value of a topic, or subscribe to filters.
    Get = 1,
    /// Set the retained value.
    Put = 2,
    /// Publish an event.
    Post = 3,
    /// Clear the retained value.
    Delete = 4,
}

impl Method {
    const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Get,
            2 => Self::Put,
            3 => Self::Post,
            4 => Self::Delete,
            _ => return None,
        })
    }

    /// Whether the request has a body that the broker will ask for.
    #[must_use]
    pub const fn has_body(self) -> bool {
        matches!(self, Self::Put | Self::Post)
    }
}

/// A request without its body.
///
/// ```text
/// method u8 | class u8 | 0, or 1 and user (u16, bytes) password (u16, bytes) |
///   0 | topic (u16, bytes) | content type (u16, bytes; empty: none)          for one topic
///   1 | count u8 | filter (u16, bytes) ...                                   for filters
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead<'b> {
    /// What is done.
    pub method: Method,
    /// The class of the publication; without meaning for a GET.
    pub class: Class,
    /// Who asks, if they say so.
    pub credentials: Option<Credentials<'b>>,
    /// What it is done to.
    pub target: Target<'b>,
}

/// User name and password of Basic authentication (RFC 7617).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Credentials<'b> {
    /// User name.
    pub user: &'b str,
    /// Password, possibly empty.
    pub password: &'b [u8],
}

impl core::fmt::Debug for Credentials<'_> {
    /// Shows the name; a secret is never shown.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target<'b> {
    /// `/v1/topics/…`
    Topic {
        /// The topic.
        topic: Topic<'b>,
        /// The media type of the body.
        content_type: Option<&'b str>,
    },
    /// `/v1/topics?filter=…`, at least one.
    Filters(Vec<Filter<'b>>),
}

impl<'b> RequestHead<'b> {
    /// Appends the frame to `out`.
    ///
    /// # Errors
    /// A field is longer than 65,535 bytes, or there are more than 255 filters; `out` is then of no use.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        let body_at = framing::begin(out, Kind::RequestHead);
        out.extend_from_slice(&[
            self.method as u8,
            self.class.number(),
            u8::from(self.credentials.is_some()),
        ]);
        if let Some(credentials) = self.credentials {
            put_string(out, credentials.user.as_bytes())?;
            put_string(out, credentials.password)?;
        }
        match &self.target {
            Target::Topic { topic, content_type } => {
                out.push(0);
                put_string(out, topic.as_bytes())?;
                put_string(out, content_type.unwrap_or_default().as_bytes())?;
            }
            Target::Filters(filters) => {
                out.push(1);
                out.push(u8::try_from(filters.len()).map_err(|_| Malformed::TooLarge)?);
                for filter in filters {
                    put_string(out, filter.as_bytes())?;
                }
            }
        }
        framing::end(out, body_at)
    }

    /// The head at the start of `input`, and the bytes of the whole frame; `None` until it is complete.
    ///
    /// # Errors
    /// Another frame is there, it is larger than `bytes_max`, or a field is not what it has to be.
    pub fn decode(input: &'b [u8], bytes_max: usize) -> Result<Option<(Self, usize)>, Malformed> {
        let Some(body) = framing::frame(input, Kind::RequestHead, bytes_max)? else { return Ok(None) };
        let mut fields = Fields(body);
        let method = Method::from_number(fields.u8()?).ok_or(Malformed::Value)?;
        let class = Class::from_number(fields.u8()?).ok_or(Malformed::Value)?;
        let credentials = match fields.u8()? {
            0 => None,
            1 => Some(Credentials { user: fields.text()?, password: fields.string()? }),
            _ => return Err(Malformed::Value),
        };
        let target = Target::decode(&mut fields)?;
        fields.end()?;
        if matches!(target, Target::Filters(_)) && method != Method::Get {
            return Err(Malformed::Value);
        }
        Ok(Some((Self { method, class, credentials, target }, framing::HEADER_BYTES + body.len())))
    }
}

impl<'b> Target<'b> {
    fn decode(fields: &mut Fields<'b>) -> Result<Self, Malformed> {
        match fields.u8()? {
            0 => {
                let topic = Topic::new(fields.string()?).map_err(|_| Malformed::Value)?;
                let content_type = fields.text()?;
                Ok(Self::Topic { topic, content_type: Some(content_type).filter(|c| !c.is_empty()) })
            }
            1 => {
                let count = fields.u8()?;
                if count == 0 {
                    return Err(Malformed::Value);
                }
                let filter = |_| Filter::new(fields.string()?).map_err(|_| Malformed::Value);
                Ok(Self::Filters((0..count).map(filter).collect::<Result<_, _>>()?))
            }
            _ => Err(Malformed::Value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn target(topic: &str) -> Target<'_> {
        Target::Topic { topic: Topic::new(topic.as_bytes()).unwrap(), content_type: Some("text/plain") }
    }

    #[test]
    fn the_bytes_are_what_the_picture_says() {
        let credentials = Some(Credentials { user: "u", password: b"pw" });
        let mut out = Vec::new();
        let head = RequestHead {
            method: Method::Put,
            class: Class::AtLeastOnce,
            credentials,
            target: target("a/b"),
        };
        head.encode(&mut out).unwrap();
        let expected = b"\x01\0\0\0\x1c\x02\x01\x01\0\x01u\0\x02pw\0\0\x03a/b\0\x0atext/plain";
        assert_eq!(out, expected);
        assert_eq!(RequestHead::decode(&out, 100), Ok(Some((head, expected.len()))));
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!("{:?}", Credentials { user: "anna", password: b"secret" });
        assert!(shown.contains("anna") && !shown.contains("secret"));
    }

    #[test]
    fn impossible_values_are_refused() {
        for body in [
            &b"\x09\0\0\0\0\x01a\0\0"[..],            // method
            b"\x01\x03\0\0\0\x01a\0\0",               // class
            b"\x01\0\x02\0\0\x01a\0\0",               // credentials
            b"\x01\0\0\x02\0\x01a\0\0",               // target
            b"\x01\0\0\0\0\0\0\0",                    // empty topic
            b"\x01\0\0\0\0\x01+\0\0",                 // wildcard in a topic
            b"\x01\0\0\0\0\x01a\0\x01\xff",           // content type that is no text
            b"\x01\0\x01\0\x01\xff\0\0\0\0\x01a\0\0", // user that is no text
            b"\x01\0\0\x01\0",                        // no filter
            b"\x01\0\0\x01\x01\0\x02a#",              // no filter that can be
            b"\x02\0\0\x01\x01\0\x01#",               // publishing to a filter
        ] {
            let mut frame = framing::header(Kind::RequestHead, u32::try_from(body.len()).unwrap()).to_vec();
            frame.extend_from_slice(body);
            assert_eq!(RequestHead::decode(&frame, 100), Err(Malformed::Value), "{body:?}");
        }
    }

    #[test]
    fn lengths_have_to_fit() {
        for body in [
            &b"\x01\0\0\0\0\x05a\0\0"[..],
            b"\x01\0\0\0\0\x01a\0\0!",
            b"\x01",
            b"",
            b"\x01\0\0\x01\x02\0\x01#",
        ] {
            let mut frame = framing::header(Kind::RequestHead, u32::try_from(body.len()).unwrap()).to_vec();
            frame.extend_from_slice(body);
            assert_eq!(RequestHead::decode(&frame, 100), Err(Malformed::Length), "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn heads_survive_the_round_trip(
            method in 1_u8..=4, class in 0_u8..=2, filters in proptest::collection::vec("[a-z/$]{1,9}", 0..4),
            topic in "[^+#\0]{1,40}", content_type in "[ -~]{0,20}", user in ".{0,10}",
            password in proptest::collection::vec(any::<u8>(), 0..10), named: bool,
        ) {
            let target = if filters.is_empty() || method != 1 {
                let content_type = Some(content_type.as_str()).filter(|c| !c.is_empty());
                Target::Topic { topic: Topic::new(topic.as_bytes()).unwrap(), content_type }
            } else {
                Target::Filters(filters.iter().map(|f| Filter::new(f.as_bytes()).unwrap()).collect())
            };
            let head = RequestHead {
                method: Method::from_number(method).unwrap(),
                class: Class::from_number(class).unwrap(),
                credentials: named.then_some(Credentials { user: &user, password: &password }),
                target,
            };
            let mut out = Vec::new();
            head.encode(&mut out).unwrap();
            let bytes = out.len();
            prop_assert_eq!(RequestHead::decode(&out, 1000), Ok(Some((head, bytes))));
        }

        #[test]
        fn any_body_is_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut frame = framing::header(Kind::RequestHead, u32::try_from(body.len()).unwrap()).to_vec();
            frame.extend_from_slice(&body);
            if let Ok(head) = RequestHead::decode(&frame, 1000) {
                let (head, bytes) = head.unwrap();
                let mut again = Vec::new();
                head.encode(&mut again).unwrap();
                prop_assert_eq!(&again, &frame);
                prop_assert_eq!(bytes, frame.len());
            }
        }
    }
}
