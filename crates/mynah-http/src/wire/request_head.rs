//! Request head: all of a request but its body, judged and decoded.

use core::ops::Range;
use core::time::Duration;

use mynah_model::{Class, Condition, Filter, PRIORITY_DEFAULT, Properties, Topic, ValueTag};

use super::{Fields, Kind, LeaseRequest, Malformed, properties, put_string};
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
    /// Take leases, or settle or extend one. Whatever HTTP's method, there is no body.
    Lease = 5,
    /// Publish a request, and answer with the reply to it.
    Request = 6,
}

impl Method {
    const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Get,
            2 => Self::Put,
            3 => Self::Post,
            4 => Self::Delete,
            5 => Self::Lease,
            6 => Self::Request,
            _ => return None,
        })
    }

    /// Whether the request has a body that the broker will ask for.
    #[must_use]
    pub const fn has_body(self) -> bool {
        matches!(self, Self::Put | Self::Post | Self::Request)
    }
}

/// A request without its body.
///
/// ```text
/// method u8 | class u8 | priority u8 (255: none) | expiry u64 (microseconds; 0: none) |
/// count u8 | 0 present, 1 absent, 2 one of, 3 none of; for 2 and 3: count u16 | tag u64 ... ... |
/// 0, or 1 and user (u16, bytes) password (u16, bytes) |
/// 0, or 1 and host (u16, bytes) |
///   0 | topic (u16, bytes) | properties             for one topic
///   1 | count u8 | filter (u16, bytes) ...          for filters
///   2 | what `LeaseRequest` describes               for leases
/// ```
///
/// The properties are a block: eight tags with their values, after the length of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead<'b> {
    /// What is done.
    pub method: Method,
    /// The class of the publication; without meaning for a GET.
    pub class: Class,
    /// The priority of the publication.
    pub priority: u8,
    /// How long the publication is wanted, more than nothing; in whole microseconds.
    pub expiry: Option<Duration>,
    /// What the retained value has to be, each of them.
    pub conditions: Vec<Condition>,
    /// Who asks, if they say so.
    pub credentials: Option<Credentials<'b>>,
    /// The host that they have asked, without a port.
    pub host: Option<&'b str>,
    /// What it is done to.
    pub target: Target<'b>,
}

/// User name and password of Basic authentication (RFC 7617), or no name and the token of a bearer (RFC 6750).
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
    /// `/v1/topics/…`, or the topic of a request
    Topic {
        /// The topic.
        topic: Topic<'b>,
        /// What the publication says about itself.
        properties: Properties<'b>,
    },
    /// `/v1/topics?filter=…`, at least one.
    Filters(Vec<Filter<'b>>),
    /// `/v1/queues/…/leases…`
    Leases(LeaseRequest<'b>),
}

impl<'b> RequestHead<'b> {
    /// Appends the frame to `out`.
    ///
    /// # Errors
    /// A field is longer than 65,535 bytes, or there are more than 255 filters or conditions, or more than 65,535 tags;
    /// `out` is then of no use.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        let body_at = framing::begin(out, Kind::RequestHead);
        out.extend_from_slice(&[self.method as u8, self.class.number(), self.priority]);
        let micros = self.expiry.map_or(0, |expiry| u64::try_from(expiry.as_micros()).unwrap_or(u64::MAX));
        out.extend_from_slice(&micros.to_be_bytes());
        out.push(u8::try_from(self.conditions.len()).map_err(|_| Malformed::TooLarge)?);
        for condition in &self.conditions {
            encode_condition(condition, out)?;
        }
        out.push(u8::from(self.credentials.is_some()));
        if let Some(credentials) = self.credentials {
            put_string(out, credentials.user.as_bytes())?;
            put_string(out, credentials.password)?;
        }
        out.push(u8::from(self.host.is_some()));
        if let Some(host) = self.host {
            put_string(out, host.as_bytes())?;
        }
        match &self.target {
            Target::Topic { topic, properties } => {
                out.push(0);
                put_string(out, topic.as_bytes())?;
                properties::encode(properties, out)?;
            }
            Target::Filters(filters) => {
                out.push(1);
                out.push(u8::try_from(filters.len()).map_err(|_| Malformed::TooLarge)?);
                for filter in filters {
                    put_string(out, filter.as_bytes())?;
                }
            }
            Target::Leases(request) => {
                out.push(2);
                request.encode(out)?;
            }
        }
        framing::end(out, body_at)
    }

    /// The head at the start of `input`, and where in `input` its end lies that a message's native bytes begin with
    /// (topic and properties); `None` until it is complete.
    ///
    /// # Errors
    /// Another frame is there, it is larger than `bytes_max`, or a field is not what it has to be.
    pub fn decode(input: &'b [u8], bytes_max: usize) -> Result<Option<(Self, Range<usize>)>, Malformed> {
        let Some(body) = framing::frame(input, Kind::RequestHead, bytes_max)? else { return Ok(None) };
        let mut fields = Fields(body);
        let method = Method::from_number(fields.u8()?).ok_or(Malformed::Value)?;
        let class = Class::from_number(fields.u8()?).ok_or(Malformed::Value)?;
        let priority = fields.u8()?;
        let expiry = Some(fields.u64()?).filter(|micros| *micros > 0).map(Duration::from_micros);
        let count = fields.u8()?;
        let conditions = (0..count).map(|_| decode_condition(&mut fields)).collect::<Result<_, _>>()?;
        let credentials = match fields.u8()? {
            0 => None,
            1 => Some(Credentials { user: fields.text()?, password: fields.string()? }),
            _ => return Err(Malformed::Value),
        };
        let host = match fields.u8()? {
            0 => None,
            1 => Some(fields.text()?),
            _ => return Err(Malformed::Value),
        };
        // What follows the kind of the target.
        let native_bytes = fields.0.len().saturating_sub(1);
        let target = Target::decode(&mut fields)?;
        fields.end()?;
        let fits = match target {
            Target::Filters(_) => method == Method::Get,
            Target::Leases(_) => method == Method::Lease,
            Target::Topic { .. } => method != Method::Lease,
        };
        if (priority > 9 && priority != PRIORITY_DEFAULT) || !fits {
            return Err(Malformed::Value);
        }
        let end = framing::HEADER_BYTES + body.len();
        let head = Self { method, class, priority, expiry, conditions, credentials, host, target };
        Ok(Some((head, end - native_bytes..end)))
    }
}

fn encode_condition(condition: &Condition, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let (kind, tags) = match condition {
        Condition::Present => (0, None),
        Condition::Absent => (1, None),
        Condition::OneOf(tags) => (2, Some(tags)),
        Condition::NoneOf(tags) => (3, Some(tags)),
    };
    out.push(kind);
    if let Some(tags) = tags {
        let count = u16::try_from(tags.len()).map_err(|_| Malformed::TooLarge)?;
        out.extend_from_slice(&count.to_be_bytes());
        out.extend(tags.iter().flat_map(|tag| tag.number().to_be_bytes()));
    }
    Ok(())
}

fn decode_condition(fields: &mut Fields<'_>) -> Result<Condition, Malformed> {
    let kind = fields.u8()?;
    let mut tags = || {
        let count = fields.u16()?;
        (0..count).map(|_| fields.u64().map(ValueTag::from_number)).collect::<Result<Vec<_>, _>>()
    };
    Ok(match kind {
        0 => Condition::Present,
        1 => Condition::Absent,
        2 => Condition::OneOf(tags()?),
        3 => Condition::NoneOf(tags()?),
        _ => return Err(Malformed::Value),
    })
}

impl<'b> Target<'b> {
    fn decode(fields: &mut Fields<'b>) -> Result<Self, Malformed> {
        match fields.u8()? {
            0 => {
                let topic = Topic::new(fields.string()?).map_err(|_| Malformed::Value)?;
                Ok(Self::Topic { topic, properties: properties::read(fields)? })
            }
            1 => {
                let count = fields.u8()?;
                if count == 0 {
                    return Err(Malformed::Value);
                }
                let filter = |_| Filter::new(fields.string()?).map_err(|_| Malformed::Value);
                Ok(Self::Filters((0..count).map(filter).collect::<Result<_, _>>()?))
            }
            2 => LeaseRequest::decode(fields).map(Self::Leases),
            _ => Err(Malformed::Value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A head that says nothing but this.
    fn head<'b>(method: Method, target: Target<'b>) -> RequestHead<'b> {
        let (class, conditions) = (Class::AtLeastOnce, Vec::new());
        RequestHead {
            method,
            class,
            priority: 4,
            expiry: None,
            conditions,
            credentials: None,
            host: None,
            target,
        }
    }

    fn frame(body: &[u8]) -> Vec<u8> {
        let mut frame = framing::header(Kind::RequestHead, u32::try_from(body.len()).unwrap()).to_vec();
        frame.extend_from_slice(body);
        frame
    }

    #[test]
    fn the_bytes_are_what_the_picture_says() {
        let properties = Properties { content_type: Some("text/plain"), ..Properties::EMPTY };
        let target = Target::Topic { topic: Topic::new(b"a/b").unwrap(), properties };
        let head = RequestHead {
            expiry: Some(Duration::from_micros(258)),
            conditions: vec![Condition::OneOf(vec![ValueTag::from_number(7)]), Condition::Absent],
            credentials: Some(Credentials { user: "u", password: b"pw" }),
            host: Some("h"),
            ..head(Method::Put, target)
        };
        let mut out = Vec::new();
        head.encode(&mut out).unwrap();
        let expected = [
            &b"\x01\0\0\0\x3b"[..],
            b"\x02\x01\x04\0\0\0\0\0\0\x01\x02",
            b"\x02\x02\0\x01\0\0\0\0\0\0\0\x07\x01",
            b"\x01\0\x01u\0\x02pw",
            b"\x01\0\x01h",
            b"\0\0\x03a/b\0\0\0\x0d\x01\0\x0atext/plain",
        ]
        .concat();
        assert_eq!(out, expected);
        assert_eq!(RequestHead::decode(&out, 100), Ok(Some((head, expected.len() - 22..expected.len()))));
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!("{:?}", Credentials { user: "anna", password: b"secret" });
        assert!(shown.contains("anna") && !shown.contains("secret"));
    }

    /// Method, class, priority and expiry; then what a test is about.
    fn body(start: &[u8; 3], rest: &[u8]) -> Vec<u8> {
        frame(&[start, &[0; 8][..], rest].concat())
    }

    #[test]
    fn impossible_values_are_refused() {
        const GET: &[u8; 3] = b"\x01\0\x04";
        for frame in [
            body(b"\x09\0\x04", b"\0\0\0\0\0\x01a\0\0\0\0"),       // method
            body(b"\x01\x03\x04", b"\0\0\0\0\0\x01a\0\0\0\0"),     // class
            body(b"\x01\0\x0a", b"\0\0\0\0\0\x01a\0\0\0\0"),       // priority
            body(GET, b"\x01\x04\0\0\0\x01a\0\0\0\0"),             // condition
            body(GET, b"\0\x02\0\0\x01a\0\0\0\0"),                 // credentials
            body(GET, b"\0\0\x02\0\0\x01a\0\0\0\0"),               // host
            body(GET, b"\0\0\x01\0\x01\xff\0\0\x01a\0\0\0\0"),     // host that is no text
            body(GET, b"\0\0\0\x03\0\x01a\0\0\0\0"),               // target
            body(GET, b"\0\0\0\0\0\0\0\0\0\0"),                    // empty topic
            body(GET, b"\0\0\0\0\0\x01+\0\0\0\0"),                 // wildcard in a topic
            body(GET, b"\0\0\0\0\0\x01a\0\0\0\x04\x01\0\x01\xff"), // content type that is no text
            body(GET, b"\0\x01\0\x01\xff\0\0\0\0\x01a\0\0\0\0"),   // user that is no text
            body(GET, b"\0\0\0\x01\0"),                            // no filter
            body(GET, b"\0\0\0\x01\x01\0\x02a#"),                  // no filter that can be
            body(b"\x02\0\x04", b"\0\0\0\x01\x01\0\x01#"),         // publishing to a filter
        ] {
            assert_eq!(RequestHead::decode(&frame, 100), Err(Malformed::Value), "{frame:?}");
        }
    }

    #[test]
    fn lengths_have_to_fit() {
        const GET: &[u8; 3] = b"\x01\0\x04";
        for frame in [
            body(GET, b"\0\0\0\0\0\x05a\0\0"),
            body(GET, b"\0\0\0\0\0\x01a\0\0\0\0!"),
            body(GET, b"\0\0\0\0\0\x01a\0\0\0\x01"),
            body(GET, b"\x01\x02\0\x02\0\0\0\0\0\0\0\x01"),
            body(GET, b"\0\0\0\x01\x02\0\x01#"),
            body(GET, b""),
            frame(b"\x01"),
            frame(b""),
        ] {
            assert_eq!(RequestHead::decode(&frame, 100), Err(Malformed::Length), "{frame:?}");
        }
    }

    fn condition() -> impl Strategy<Value = Condition> {
        let tags = || proptest::collection::vec(any::<u64>().prop_map(ValueTag::from_number), 0..4);
        prop_oneof![
            Just(Condition::Present),
            Just(Condition::Absent),
            tags().prop_map(Condition::OneOf),
            tags().prop_map(Condition::NoneOf),
        ]
    }

    proptest! {
        #[test]
        fn heads_survive_the_round_trip(
            method in 1_u8..=4, class in 0_u8..=2, filters in proptest::collection::vec("[a-z/$]{1,9}", 0..4),
            topic in "[^+#\0]{1,40}", content_type in "[ -~]{0,20}", user in ".{0,10}", priority in 0..=9_u8,
            password in proptest::collection::vec(any::<u8>(), 0..10), named: bool, expiry in 0..9_u64,
            conditions in proptest::collection::vec(condition(), 0..3),
        ) {
            let target = if filters.is_empty() || method != 1 {
                let properties = Properties { content_type: Some(&content_type), ..Properties::EMPTY };
                Target::Topic { topic: Topic::new(topic.as_bytes()).unwrap(), properties }
            } else {
                Target::Filters(filters.iter().map(|f| Filter::new(f.as_bytes()).unwrap()).collect())
            };
            let head = RequestHead {
                class: Class::from_number(class).unwrap(),
                priority,
                expiry: Some(Duration::from_micros(expiry)).filter(|expiry| !expiry.is_zero()),
                conditions,
                credentials: named.then_some(Credentials { user: &user, password: &password }),
                host: (expiry % 2 == 0).then_some(&*user),
                ..head(Method::from_number(method).unwrap(), target)
            };
            let mut out = Vec::new();
            head.encode(&mut out).unwrap();
            let (decoded, native) = RequestHead::decode(&out, 1000).unwrap().unwrap();
            prop_assert_eq!(native.end, out.len());
            if let Target::Topic { topic, .. } = &decoded.target {
                prop_assert!(out[native.start + 2..].starts_with(topic.as_bytes()));
            }
            prop_assert_eq!(decoded, head);
        }

        #[test]
        fn any_body_is_read_or_refused(
            start in proptest::collection::vec(0..6_u8, 14), rest in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            let mut frame = frame(&[start, rest].concat());
            // Half of all begin in a way that leads further.
            if frame.last().is_some_and(|last| last % 2 == 0) {
                frame[16..19].fill(0);
            }
            if let Ok(head) = RequestHead::decode(&frame, 1000) {
                let (head, native) = head.unwrap();
                let mut again = Vec::new();
                head.encode(&mut again).unwrap();
                prop_assert_eq!(&again, &frame);
                prop_assert_eq!(native.end, frame.len());
            }
        }
    }
}
