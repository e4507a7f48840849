//! Between HTTP's words and ours: an HTTP request becomes a request head, a request becomes a message.
//!
//! **Native bytes of layout [`NATIVE_LAYOUT`]** are the end of a request head on a link and the frame of the body that
//! follows it, so that one copy makes a message of them. Numbers are big-endian:
//!
//! ```text
//! | topic length (2) | topic | properties length (4) | properties | and with a body: 2 (1) | payload length (4) | payload |
//! ```
//!
//! The properties stand in ascending order of their tags; all but the last are there at most once:
//!
//! ```text
//! | 1 | length (2) | content type |        | 2 | length (2) | content encoding |
//! | 3 | length (2) | correlation |         | 4 | length (2) | reply address |
//! | 5 | length (2) | message id |          | 6 | created (8): milliseconds since the Unix epoch |
//! | 7 |  the payload is UTF-8 text         | 8 | length (2) | key of a user property | length (2) | its value |
//! ```
//!
//! Correlation is bytes, the others are UTF-8. Class, retain, priority and deadline are in the message's header.
//!
//! Lost on the way in: query parameters and `Mynah-` header fields that are not known are refused; header fields that
//! `properties` and `conditions` do not read mean nothing to a message and are not kept.

mod conditions;
mod properties;
mod queues;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mynah_model::{Class, Filter, Header, Instant, TenantId, Topic};
use mynah_stack::Holder;

use crate::codec::NATIVE_LAYOUT;
use crate::wire::{Credentials, LeaseRequest, Method, RequestHead, Target, target};
use crate::{HttpConfig, Problem};
use queues::QueueResource;

pub(crate) use properties::{Fields, answer_fields, media_type, validator_fields, value_fields};

/// Where topics are.
const TOPICS: &str = "/v1/topics";
/// Where requests are made, and what their topics start with.
const REQUESTS: (&str, &[u8]) = ("/v1/requests/", b"$request/");

/// The media type of a value of which nobody said what it is.
pub const CONTENT_TYPE_DEFAULT: &str = "application/octet-stream";

/// Bytes of a content type that goes into or comes out of a header field.
pub const CONTENT_TYPE_BYTES_MAX: usize = 255;

/// The parts of an HTTP request that are parsed by an HTTP library, not yet judged.
#[derive(Clone, Copy, Debug)]
pub struct HttpRequest<'a> {
    /// The method as it was sent.
    pub method: &'a str,
    /// The path as it was sent, with its escapes.
    pub path: &'a str,
    /// The query as it was sent, without its `?`.
    pub query: Option<&'a str>,
    /// The header fields in their order: names in lower case, values.
    pub fields: &'a [(&'a str, &'a [u8])],
}

impl<'a> HttpRequest<'a> {
    /// Judges the request, and encodes its head for a link. `holder` is a name that nobody can guess, for the leases that it
    /// takes, or the answer that it waits for.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn to_frame(
        &self,
        config: &HttpConfig,
        holder: impl FnOnce() -> Result<Holder, Problem>,
    ) -> Result<Vec<u8>, Problem> {
        self.check_sizes(config)?;
        let resource = Resource::find(self.path).ok_or(Problem::UnknownPath)?;
        let method = resource.method(self.method)?;
        self.check_fields(method, config)?;
        let (topic, said, filters);
        let whole = u64::from(config.body_bytes_max);
        let mut conditions = Vec::new();
        let target = match resource {
            Resource::Topic(path) => {
                topic = target::decode_topic(path).map_err(Problem::Path)?;
                target::no_parameters(self.query).map_err(Problem::Query)?;
                conditions = self.conditions()?;
                said = self.said(method)?;
                Target::Topic { topic: Topic::from_checked(&topic), properties: said.properties() }
            }
            Resource::Request(path) => {
                let asked = target::decode_topic(path).map_err(Problem::Path)?;
                topic = [REQUESTS.1, &asked].concat();
                target::no_parameters(self.query).map_err(Problem::Query)?;
                said = self.said(method)?.answered_at(holder()?)?;
                Target::Topic { topic: Topic::from_checked(&topic), properties: said.properties() }
            }
            Resource::Queue(resource @ QueueResource::Messages(_)) => {
                topic = resource.topic()?;
                target::no_parameters(self.query).map_err(Problem::Query)?;
                conditions = self.conditions()?;
                said = self.said(method)?;
                Target::Topic { topic: Topic::from_checked(&topic), properties: said.properties() }
            }
            Resource::Queue(resource) => {
                topic = resource.topic()?;
                let queue = topic.strip_prefix(queues::TOPIC_PREFIX).unwrap_or_default();
                let (holder, holding) = resource.holding(self.query, whole, holder)?;
                Target::Leases(LeaseRequest { queue, holder, holding })
            }
            Resource::Topics => {
                filters = target::decode_filters(self.query, config.filters_max).map_err(Problem::Query)?;
                Target::Filters(filters.iter().map(|filter| Filter::from_checked(filter)).collect())
            }
        };
        let login = self.authorization()?;
        let credentials = login.as_ref().map(|(user, password)| Credentials { user, password });
        // Whether anybody gets a request is told to its publisher, so that it is not waited for in vain.
        let class = if method == Method::Request { Class::AtLeastOnce } else { self.class()? };
        let (priority, expiry) = (self.priority()?, self.expiry()?);
        let host = self.host()?;
        let head = RequestHead { method, class, priority, expiry, conditions, credentials, host, target };
        let mut frame = Vec::with_capacity(self.path.len() + 64);
        head.encode(&mut frame).map_err(|_| Problem::FieldsTooLarge(config.header_bytes_max))?;
        Ok(frame)
    }

    /// The methods that the resource has, as the Allow field says them.
    ///
    /// # Errors
    /// There is no such resource.
    pub fn allow(&self) -> Result<&'static str, Problem> {
        Resource::find(self.path).map(Resource::allow).ok_or(Problem::UnknownPath)
    }

    fn check_sizes(&self, config: &HttpConfig) -> Result<(), Problem> {
        let uri_bytes = self.path.len() + self.query.map_or(0, |query| query.len() + 1);
        if uri_bytes > config.uri_bytes_max as usize {
            return Err(Problem::UriTooLong(config.uri_bytes_max));
        }
        let fields_bytes: usize = self.fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        if fields_bytes > config.header_bytes_max as usize {
            return Err(Problem::FieldsTooLarge(config.header_bytes_max));
        }
        Ok(())
    }

    /// Refuses what would otherwise be lost in silence, and a body that is announced too large.
    fn check_fields(&self, method: Method, config: &HttpConfig) -> Result<(), Problem> {
        self.check_known(method)?;
        if !method.has_body() && method != Method::Lease {
            return Ok(());
        }
        let announced =
            self.field("content-length")?.and_then(|value| str::from_utf8(value).ok()?.parse().ok());
        if method == Method::Lease && announced.is_some_and(|bytes| bytes > 0) {
            return Err(Problem::Field(
                "content-length",
                "what is asked is said in the query, not in a body",
            ));
        }
        if announced.is_some_and(|bytes: u64| bytes > u64::from(config.body_bytes_max)) {
            return Err(Problem::BodyTooLarge(config.body_bytes_max));
        }
        Ok(())
    }

    /// A header field that may be there once.
    fn field(&self, name: &'static str) -> Result<Option<&'a [u8]>, Problem> {
        let mut values = self.fields.iter().filter(|(found, _)| *found == name).map(|(_, value)| *value);
        let value = values.next();
        if values.next().is_some() {
            return Err(Problem::Field(name, "it is there more than once"));
        }
        Ok(value)
    }

    fn class(&self) -> Result<Class, Problem> {
        match self.field("mynah-qos")? {
            None | Some(b"1") => Ok(Class::AtLeastOnce),
            Some(b"0") => Ok(Class::AtMostOnce),
            Some(b"2") => Ok(Class::ExactlyOnce),
            Some(_) => Err(Problem::Field("mynah-qos", "it has to be 0, 1 or 2")),
        }
    }

    /// The host that the client has asked, without the port (RFC 9110, section 7.2). What is no text names nothing.
    fn host(&self) -> Result<Option<&'a str>, Problem> {
        let host = self.field("host")?.and_then(|host| str::from_utf8(host).ok());
        let without_port = |host: &'a str| match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        Ok(host.map(without_port).filter(|host| !host.is_empty()))
    }

    /// Who the client says it is.
    fn authorization(&self) -> Result<Option<(String, Vec<u8>)>, Problem> {
        self.field("authorization")?.map(credentials).transpose()
    }
}

/// What the field `Authorization` says: user name and password of Basic authentication (RFC 7617, section 2); or the token of a
/// bearer (RFC 6750, section 2.1), which is the password of a user who gives no name.
///
/// # Errors
/// [`Problem::Authorization`] says what is wrong with it.
pub fn credentials(value: &[u8]) -> Result<(String, Vec<u8>), Problem> {
    const SCHEME: &str = "the Authorization scheme has to be Basic or Bearer";
    const BASE64: &str = "the credentials after Basic are not base64";
    const COLON: &str = "the credentials after Basic have no colon between user name and password";
    const USER: &str = "the user name is not UTF-8, or has control characters";
    if let Some((_, token)) =
        value.split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "))
    {
        return Ok((String::new(), token.trim_ascii().to_vec()));
    }
    let basic = value.split_at_checked(6).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"basic "));
    let (_, encoded) = basic.ok_or(Problem::Authorization(SCHEME))?;
    let mut user = STANDARD.decode(encoded.trim_ascii()).map_err(|_| Problem::Authorization(BASE64))?;
    let colon = user.iter().position(|&byte| byte == b':').ok_or(Problem::Authorization(COLON))?;
    let password = user.split_off(colon + 1);
    user.truncate(colon);
    match String::from_utf8(user) {
        Ok(user) if !user.contains(char::is_control) => Ok((user, password)),
        _ => Err(Problem::Authorization(USER)),
    }
}

/// What a path leads to.
#[derive(Clone, Copy)]
enum Resource<'a> {
    /// All topics: what filters select from.
    Topics,
    /// The topic that this spells.
    Topic(&'a str),
    /// Something of a queue.
    Queue(QueueResource<'a>),
    /// Who answers requests at what this spells.
    Request(&'a str),
}

impl<'a> Resource<'a> {
    fn find(path: &'a str) -> Option<Self> {
        if let Some(resource) = QueueResource::find(path) {
            return Some(Self::Queue(resource));
        }
        if let Some(rest) = path.strip_prefix(REQUESTS.0) {
            return Some(Self::Request(rest));
        }
        match path.strip_prefix(TOPICS)? {
            "" => Some(Self::Topics),
            rest => rest.strip_prefix('/').map(Self::Topic),
        }
    }

    fn method(self, method: &str) -> Result<Method, Problem> {
        match (self, method) {
            (Self::Queue(QueueResource::Messages(_)), "POST") => Ok(Method::Post),
            (Self::Queue(resource), "POST" | "DELETE") if resource.allow().contains(method) => {
                Ok(Method::Lease)
            }
            (Self::Request(_), "POST") => Ok(Method::Request),
            (Self::Topic(_) | Self::Topics, "GET" | "HEAD") => Ok(Method::Get),
            (Self::Topic(_), "PUT") => Ok(Method::Put),
            (Self::Topic(_), "POST") => Ok(Method::Post),
            (Self::Topic(_), "DELETE") => Ok(Method::Delete),
            _ => Err(Problem::MethodNotAllowed(self.allow())),
        }
    }

    const fn allow(self) -> &'static str {
        match self {
            Self::Topic(_) => "DELETE, GET, HEAD, OPTIONS, POST, PUT",
            Self::Topics => "GET, HEAD, OPTIONS",
            Self::Queue(resource) => resource.allow(),
            Self::Request(_) => "OPTIONS, POST",
        }
    }
}

/// Whether a text can be a header field's value as it is (RFC 9110, section 5.5).
fn is_field_value(text: &str) -> bool {
    text.len() <= CONTENT_TYPE_BYTES_MAX && text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'))
}

/// The header of the message that a request publishes at `now`. PUT and DELETE are about the retained value, POST is an
/// event; an empty retained value clears, so that PUT with an empty body is DELETE.
#[must_use]
pub fn header(head: &RequestHead<'_>, now: Instant, topic: (u32, u32), payload: (u32, u32)) -> Header {
    Header {
        tenant: TenantId::DEFAULT,
        layout: NATIVE_LAYOUT,
        class: head.class,
        retain: matches!(head.method, Method::Put | Method::Delete),
        priority: head.priority,
        topic,
        payload,
        deadline: head.expiry.map(|expiry| now + expiry),
        publisher: None,
    }
}
