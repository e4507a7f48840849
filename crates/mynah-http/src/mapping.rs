//! Between HTTP's words and ours: an HTTP request becomes a request head, a request becomes a message.
//!
//! Lost on the way in: query parameters and `Mynah-` header fields that are not known are refused; other header fields
//! than Authorization, Content-Type and Mynah-QoS mean nothing to a message and are not kept.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mynah_model::{Class, Filter, Header, PRIORITY_DEFAULT, TenantId, Topic};

use crate::codec::NATIVE_LAYOUT;
use crate::wire::{Credentials, Method, RequestHead, Target, target};
use crate::{HttpConfig, Problem};

/// Where topics are.
const TOPICS: &str = "/v1/topics";

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

impl HttpRequest<'_> {
    /// Judges the request, and encodes its head for a link.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn to_frame(&self, config: &HttpConfig) -> Result<Vec<u8>, Problem> {
        self.check_sizes(config)?;
        let resource = Resource::find(self.path).ok_or(Problem::UnknownPath)?;
        let method = resource.method(self.method)?;
        let topic;
        let filters;
        let target = match resource {
            Resource::Topic(path) => {
                topic = target::decode_topic(path).map_err(Problem::Path)?;
                target::no_parameters(self.query).map_err(Problem::Query)?;
                let content_type = if method.has_body() { self.content_type()? } else { None };
                Target::Topic { topic: Topic::from_checked(&topic), content_type }
            }
            Resource::Topics => {
                filters = target::decode_filters(self.query, config.filters_max).map_err(Problem::Query)?;
                Target::Filters(filters.iter().map(|filter| Filter::from_checked(filter)).collect())
            }
        };
        self.check_fields(method, config)?;
        let login = self.authorization()?;
        let credentials = login.as_ref().map(|(user, password)| Credentials { user, password });
        let mut frame = Vec::with_capacity(self.path.len() + 64);
        let head = RequestHead { method, class: self.class()?, credentials, target };
        head.encode(&mut frame).map_err(|_| Problem::FieldsTooLarge(config.header_bytes_max))?;
        Ok(frame)
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

    /// Refuses what would otherwise be lost in silence.
    fn check_fields(&self, method: Method, config: &HttpConfig) -> Result<(), Problem> {
        let unknown = |name: &str| name.starts_with("mynah-") && name != "mynah-qos";
        if let Some((name, _)) = self.fields.iter().find(|(name, _)| unknown(name)) {
            return Err(Problem::UnknownField(name.chars().take(64).collect()));
        }
        if !method.has_body() {
            return Ok(());
        }
        if self.field("content-encoding")?.is_some_and(|value| !value.eq_ignore_ascii_case(b"identity")) {
            return Err(Problem::ContentEncoding);
        }
        let announced =
            self.field("content-length")?.and_then(|value| str::from_utf8(value).ok()?.parse().ok());
        if announced.is_some_and(|bytes: u64| bytes > u64::from(config.body_bytes_max)) {
            return Err(Problem::BodyTooLarge(config.body_bytes_max));
        }
        Ok(())
    }

    /// A header field that may be there once.
    fn field(&self, name: &'static str) -> Result<Option<&[u8]>, Problem> {
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

    fn content_type(&self) -> Result<Option<&str>, Problem> {
        let Some(value) = self.field("content-type")?.filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        match str::from_utf8(value) {
            Ok(value) if is_field_value(value) => Ok(Some(value)),
            _ => Err(Problem::Field("content-type", "it has to be up to 255 bytes of printable ASCII")),
        }
    }

    /// User name and password of Basic authentication (RFC 7617, section 2).
    fn authorization(&self) -> Result<Option<(String, Vec<u8>)>, Problem> {
        const SCHEME: &str = "the Authorization scheme has to be Basic";
        const BASE64: &str = "the credentials after Basic are not base64";
        const COLON: &str = "the credentials after Basic have no colon between user name and password";
        const USER: &str = "the user name is not UTF-8, or has control characters";
        let Some(value) = self.field("authorization")? else { return Ok(None) };
        let basic = value.split_at_checked(6).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"basic "));
        let (_, encoded) = basic.ok_or(Problem::Authorization(SCHEME))?;
        let mut user = STANDARD.decode(encoded.trim_ascii()).map_err(|_| Problem::Authorization(BASE64))?;
        let colon = user.iter().position(|&byte| byte == b':').ok_or(Problem::Authorization(COLON))?;
        let password = user.split_off(colon + 1);
        user.truncate(colon);
        match String::from_utf8(user) {
            Ok(user) if !user.contains(char::is_control) => Ok(Some((user, password))),
            _ => Err(Problem::Authorization(USER)),
        }
    }
}

/// What a path leads to.
#[derive(Clone, Copy)]
enum Resource<'a> {
    /// All topics: what filters select from.
    Topics,
    /// The topic that this spells.
    Topic(&'a str),
}

impl<'a> Resource<'a> {
    fn find(path: &'a str) -> Option<Self> {
        match path.strip_prefix(TOPICS)? {
            "" => Some(Self::Topics),
            rest => rest.strip_prefix('/').map(Self::Topic),
        }
    }

    fn method(self, method: &str) -> Result<Method, Problem> {
        match (self, method) {
            (_, "GET" | "HEAD") => Ok(Method::Get),
            (Self::Topic(_), "PUT") => Ok(Method::Put),
            (Self::Topic(_), "POST") => Ok(Method::Post),
            (Self::Topic(_), "DELETE") => Ok(Method::Delete),
            (Self::Topic(_), _) => Err(Problem::MethodNotAllowed("DELETE, GET, HEAD, POST, PUT")),
            (Self::Topics, _) => Err(Problem::MethodNotAllowed("GET, HEAD")),
        }
    }
}

/// Whether a text can be a header field's value as it is (RFC 9110, section 5.5).
fn is_field_value(text: &str) -> bool {
    text.len() <= CONTENT_TYPE_BYTES_MAX && text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'))
}

/// The Content-Type of a value: what its publisher said, if a header field can hold it.
#[must_use]
pub fn response_content_type(content_type: Option<&str>) -> &str {
    content_type.filter(|value| !value.is_empty() && is_field_value(value)).unwrap_or(CONTENT_TYPE_DEFAULT)
}

/// The header of the message that a request publishes. PUT and DELETE are about the retained value, POST is an event;
/// an empty retained value clears, so that PUT with an empty body is DELETE.
#[must_use]
pub fn header(method: Method, class: Class, topic: (u32, u32), payload: (u32, u32)) -> Header {
    Header {
        tenant: TenantId::DEFAULT,
        layout: NATIVE_LAYOUT,
        class,
        retain: matches!(method, Method::Put | Method::Delete),
        priority: PRIORITY_DEFAULT,
        topic,
        payload,
        deadline: None,
        publisher: None,
    }
}
