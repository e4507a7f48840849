//! Properties of a message as header fields: what a request says, and what the answer to a GET says.
//!
//! Texts and bytes in `Mynah-` fields are percent-encoded: a `%` always begins an escape; what is not printable ASCII, and a
//! comma where several values may stand in one field, has to be escaped.

use std::borrow::Cow;
use std::time::Duration;

use mynah_model::{Header, PRIORITY_DEFAULT, Properties, PropertyValue, WallTime};
use mynah_stack::{Holder, Value};

use super::conditions::entity_tag;
use super::{HttpRequest, is_field_value};
use crate::Problem;
use crate::wire::{Method, RESPONSE_HEAD_BYTES_MAX, date, percent, properties};

/// Header fields that describe a message, beside Mynah-QoS.
const FIELDS: [&str; 7] = [
    "mynah-correlation",
    "mynah-created",
    "mynah-expiry",
    "mynah-message-id",
    "mynah-priority",
    "mynah-property",
    "mynah-reply-to",
];

/// Lifetimes are shorter than this: 2^32 seconds, the bound of MQTT 5 and AMQP 1.0.
const EXPIRY_MAX: Duration = Duration::from_secs(1 << 32);

/// The media type of text of which nobody said more.
const TEXT: &str = "text/plain; charset=utf-8";

/// What is left for the rest when header fields are chosen by what fits into an answer's head.
const HEAD_SLACK_BYTES: usize = 4 << 10;

/// What a request says about its message.
#[derive(Debug, Default)]
pub(super) struct Said<'a> {
    content_type: Option<&'a str>,
    content_encoding: Option<&'a str>,
    correlation: Option<Vec<u8>>,
    reply_to: Option<String>,
    message_id: Option<String>,
    created: Option<WallTime>,
    /// User properties as a block holds them.
    pairs: Vec<u8>,
}

impl Said<'_> {
    pub(super) fn properties(&self) -> Properties<'_> {
        Properties {
            content_type: self.content_type,
            content_encoding: self.content_encoding,
            correlation: self.correlation.as_deref(),
            reply_to: self.reply_to.as_deref(),
            message_id: self.message_id.as_deref(),
            created: self.created,
            is_text: self.content_type.is_some_and(is_utf8),
            user: properties::user(&self.pairs),
            remaining: None,
        }
    }

    /// The same for a request whose answer comes to this name, which the broker has chosen.
    pub(super) fn answered_at(self, name: Holder) -> Result<Self, Problem> {
        if self.reply_to.is_some() {
            return Err(Problem::Field("mynah-reply-to", "the reply to a request is the answer to it"));
        }
        let digits: String = name.0.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { reply_to: Some(format!("$reply/{digits}")), ..self })
    }
}

impl<'a> HttpRequest<'a> {
    /// What the request says about the message that it publishes. One without a body has nothing to say of its content.
    pub(super) fn said(&self, method: Method) -> Result<Said<'a>, Problem> {
        if matches!(method, Method::Get | Method::Lease) {
            return Ok(Said::default());
        }
        let (content_type, content_encoding) =
            if method.has_body() { (self.content_type()?, self.content_encoding()?) } else { (None, None) };
        Ok(Said {
            content_type,
            content_encoding,
            correlation: self.bytes("mynah-correlation")?,
            reply_to: self.text("mynah-reply-to")?,
            message_id: self.text("mynah-message-id")?,
            created: self.created()?,
            pairs: self.pairs()?,
        })
    }

    /// Refuses fields that would be lost: those that are not known, and those without a message that they describe.
    pub(super) fn check_known(&self, method: Method) -> Result<(), Problem> {
        for (found, _) in self.fields.iter().filter(|(name, _)| name.starts_with("mynah-")) {
            match FIELDS.iter().find(|name| *name == found) {
                Some(name) if matches!(method, Method::Get | Method::Lease) => {
                    return Err(Problem::Field(
                        name,
                        "it describes a message, and this method publishes none",
                    ));
                }
                None if *found != "mynah-qos" => {
                    return Err(Problem::UnknownField(found.chars().take(64).collect()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn priority(&self) -> Result<u8, Problem> {
        match self.field("mynah-priority")? {
            None => Ok(PRIORITY_DEFAULT),
            Some([digit @ b'0'..=b'9']) => Ok(digit - b'0'),
            Some(_) => Err(Problem::Field("mynah-priority", "it has to be 0 to 9")),
        }
    }

    /// How long the message is wanted: seconds, with up to six decimals.
    pub(super) fn expiry(&self) -> Result<Option<Duration>, Problem> {
        const WRONG: &str =
            "it has to be seconds, more than 0 and less than 4294967296, with up to six decimals";
        let Some(value) = self.field("mynah-expiry")? else { return Ok(None) };
        let expiry = str::from_utf8(value).ok().and_then(parse_seconds);
        let expiry = expiry.filter(|expiry| !expiry.is_zero() && *expiry < EXPIRY_MAX);
        expiry.map(Some).ok_or(Problem::Field("mynah-expiry", WRONG))
    }

    fn content_type(&self) -> Result<Option<&'a str>, Problem> {
        self.field_value("content-type")
    }

    /// `identity` says nothing.
    fn content_encoding(&self) -> Result<Option<&'a str>, Problem> {
        let value = self.field_value("content-encoding")?;
        Ok(value.filter(|value| !value.eq_ignore_ascii_case("identity")))
    }

    /// A field that goes into an answer as it is.
    fn field_value(&self, name: &'static str) -> Result<Option<&'a str>, Problem> {
        let Some(value) = self.field(name)?.filter(|value| !value.is_empty()) else { return Ok(None) };
        match str::from_utf8(value) {
            Ok(value) if is_field_value(value) => Ok(Some(value)),
            _ => Err(Problem::Field(name, "it has to be up to 255 bytes of printable ASCII")),
        }
    }

    /// Mynah-Created, or else the Date of the request.
    fn created(&self) -> Result<Option<WallTime>, Problem> {
        for name in ["mynah-created", "date"] {
            if let Some(value) = self.field(name)? {
                let time = str::from_utf8(value).ok().and_then(date::parse_http);
                return time.map(Some).ok_or(Problem::Field(name, "it has to be an HTTP date from 1970 on"));
            }
        }
        Ok(None)
    }

    fn pairs(&self) -> Result<Vec<u8>, Problem> {
        const NAME: &str = "mynah-property";
        const PAIR: &str = "each has to be key=value, with a comma as %2C";
        let mut pairs = Vec::new();
        for (_, line) in self.fields.iter().filter(|(name, _)| *name == NAME) {
            let elements = line.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
            for element in elements.filter(|element| !element.is_empty()) {
                let equals =
                    element.iter().position(|&byte| byte == b'=').ok_or(Problem::Field(NAME, PAIR))?;
                let (key, value) =
                    (decode_text(NAME, &element[..equals])?, decode_text(NAME, &element[equals + 1..])?);
                let pushed = properties::push_pair(&key, &value, &mut pairs);
                pushed.map_err(|_| Problem::Field(NAME, "a key or value is longer than 65535 bytes"))?;
            }
        }
        Ok(pairs)
    }

    fn bytes(&self, name: &'static str) -> Result<Option<Vec<u8>>, Problem> {
        self.field(name)?.map(|value| decode_bytes(name, value)).transpose()
    }

    fn text(&self, name: &'static str) -> Result<Option<String>, Problem> {
        self.field(name)?.map(|value| decode_text(name, value)).transpose()
    }
}

fn decode_bytes(name: &'static str, value: &[u8]) -> Result<Vec<u8>, Problem> {
    let printable = value.iter().all(|byte| matches!(byte, b' '..=b'~'));
    let text = str::from_utf8(value).ok().filter(|_| printable);
    let mut bytes = Vec::with_capacity(value.len());
    let decoded = text.and_then(|text| percent::decode(text, &mut bytes));
    decoded.ok_or(Problem::Field(name, "it has to be printable ASCII, other bytes and '%' as %XX"))?;
    Ok(bytes)
}

fn decode_text(name: &'static str, value: &[u8]) -> Result<String, Problem> {
    let text = String::from_utf8(decode_bytes(name, value)?).ok().filter(|text| !text.contains('\0'));
    text.ok_or(Problem::Field(name, "it has to be UTF-8 without NUL after percent-decoding"))
}

/// Seconds with up to six decimals.
pub(super) fn parse_seconds(text: &str) -> Option<Duration> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if !digits(whole) || !digits(fraction) || fraction.len() > 6 {
        return None;
    }
    let micros = format!("{fraction:0<6}").parse().ok()?;
    Some(Duration::from_secs(whole.parse().ok()?).saturating_add(Duration::from_micros(micros)))
}

/// Seconds with as many decimals as say something, rounded up to milliseconds: what is not over has some left.
fn format_seconds(duration: Duration) -> String {
    let millis = duration.as_micros().div_ceil(1_000);
    let text = format!("{}.{:03}", millis / 1_000, millis % 1_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Whether a media type says that its text is UTF-8.
fn is_utf8(content_type: &str) -> bool {
    charsets(content_type)
        .any(|charset| ["utf-8", "us-ascii"].iter().any(|known| charset.eq_ignore_ascii_case(known)))
}

/// What a media type says of the encoding of its text.
fn charsets(content_type: &str) -> impl Iterator<Item = &str> {
    let parameters = content_type.split(';').skip(1).filter_map(|parameter| parameter.trim().split_once('='));
    let charsets = parameters.filter(|(name, _)| name.eq_ignore_ascii_case("charset"));
    charsets.map(|(_, value)| value.trim_matches('"'))
}

/// The media type of a message in the words of HTTP: that its publisher called it text is said by a charset, unless the
/// publisher itself has named one. None if nobody said anything.
pub(crate) fn media_type<'m>(properties: &Properties<'m>) -> Option<Cow<'m, str>> {
    match properties.content_type.filter(|said| !said.is_empty()) {
        Some(said) if properties.is_text && charsets(said).next().is_none() => {
            Some(format!("{said}; charset=utf-8").into())
        }
        Some(said) => Some(said.into()),
        None => properties.is_text.then_some(TEXT.into()),
    }
}

/// Header fields of an answer: names in lower case, values.
pub(crate) type Fields = Vec<(&'static str, String)>;

/// The fields by which an answer speaks of a value without carrying it. A cache has to ask before it uses what it keeps.
pub(crate) fn validator_fields(value: &Value<'_>) -> Fields {
    let mut fields = vec![("etag", entity_tag(value.tag)), ("cache-control", "no-cache".to_owned())];
    fields.extend(value.properties.remaining.map(|left| ("mynah-expiry", format_seconds(left))));
    fields
}

/// The fields of an answer that carries a value. Properties that a header field cannot hold, or that would make the head
/// too large, are counted in Mynah-Omitted.
pub(crate) fn value_fields(value: &Value<'_>) -> Fields {
    message_fields(value.message.header(), &value.properties, validator_fields(value))
}

/// The status and the fields of an answer that is the reply to a request. Nobody may keep it for others.
pub(crate) fn answer_fields(header: &Header, said: &Properties<'_>) -> (u16, Fields) {
    let code = said.user.iter().find_map(|(key, value)| match value {
        PropertyValue::Text(code) if key == "code" => Some(code),
        _ => None,
    });
    let fields = message_fields(header, said, vec![("cache-control", "no-store".to_owned())]);
    (code.map_or(200, status_of_code), fields)
}

/// The status for a code of CoAP, as RFC 8075 has them (section 7).
fn status_of_code(code: &str) -> u16 {
    match code {
        "4.00" | "4.02" | "4.05" | "4.08" => 400,
        "4.01" | "4.03" => 403,
        "4.04" => 404,
        "4.06" => 406,
        "4.09" => 409,
        "4.12" => 412,
        "4.13" => 413,
        "4.15" => 415,
        "4.22" => 422,
        "4.29" => 429,
        "5.00" => 500,
        "5.01" => 501,
        "5.03" => 503,
        "5.04" => 504,
        other if other.starts_with("4.") => 400,
        other if other.starts_with("5.") => 502,
        _ => 200,
    }
}

fn message_fields(header: &Header, said: &Properties<'_>, about_caches: Fields) -> Fields {
    let media_type = media_type(said);
    let shown = media_type.as_deref().filter(|value| is_field_value(value));
    let default = if said.is_text { TEXT } else { super::CONTENT_TYPE_DEFAULT };
    let mut fields = vec![("content-type", shown.unwrap_or(default).to_owned())];
    fields.extend(about_caches);
    fields.push(("mynah-qos", header.class.number().to_string()));
    if header.priority != PRIORITY_DEFAULT {
        fields.push(("mynah-priority", header.priority.to_string()));
    }
    let mut omitted = Omitted {
        room: RESPONSE_HEAD_BYTES_MAX - HEAD_SLACK_BYTES,
        count: usize::from(media_type.is_some() && shown.is_none()),
    };
    let encoding = said.content_encoding.map(|value| Some(value.to_owned()).filter(|v| is_field_value(v)));
    omitted.put(&mut fields, "content-encoding", encoding);
    omitted.put(&mut fields, "mynah-correlation", said.correlation.map(|bytes| Some(encode(bytes))));
    omitted.put(&mut fields, "mynah-reply-to", said.reply_to.map(|text| Some(encode(text.as_bytes()))));
    omitted.put(&mut fields, "mynah-message-id", said.message_id.map(|text| Some(encode(text.as_bytes()))));
    omitted.put(&mut fields, "mynah-created", said.created.map(date::http));
    for (key, value) in said.user.iter() {
        let mut pair = String::with_capacity(key.len() + 1);
        percent::encode(key.as_bytes(), |byte| is_plain(byte) && byte != b'=', &mut pair);
        pair.push('=');
        value.spelled(|value| percent::encode(value.as_bytes(), is_plain, &mut pair));
        omitted.put(&mut fields, "mynah-property", Some(Some(pair)));
    }
    if omitted.count > 0 {
        fields.push(("mynah-omitted", omitted.count.to_string()));
    }
    fields
}

/// What is left out of an answer.
struct Omitted {
    /// Bytes that fields may still take.
    room: usize,
    count: usize,
}

impl Omitted {
    /// Adds a field if there is a property (outer), a header field can hold it (inner), and there is room.
    fn put(&mut self, fields: &mut Fields, name: &'static str, property: Option<Option<String>>) {
        let Some(value) = property else { return };
        // The lengths of name and value are two bytes each.
        let cost = |value: &String| name.len() + value.len() + 4;
        match value.filter(|value| cost(value) <= self.room) {
            Some(value) => {
                self.room -= cost(&value);
                fields.push((name, value));
            }
            None => self.count += 1,
        }
    }
}

fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    percent::encode(bytes, is_plain, &mut text);
    text
}

/// Printable, and without a meaning of its own.
const fn is_plain(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~') && byte != b'%' && byte != b','
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_decimals() {
        for (text, micros) in
            [("1", 1_000_000), ("0.5", 500_000), ("2.000001", 2_000_001), ("01.10", 1_100_000)]
        {
            assert_eq!(parse_seconds(text), Some(Duration::from_micros(micros)), "{text}");
        }
        for wrong in ["", ".5", "1.", "1.0000001", "-1", "+1", "1e3", " 1", "99999999999999999999"] {
            assert_eq!(parse_seconds(wrong), None, "{wrong}");
        }
        for (micros, text) in
            [(1_000_000, "1"), (1_500_001, "1.501"), (1, "0.001"), (10_000_000, "10"), (0, "0")]
        {
            assert_eq!(format_seconds(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn codes_of_devices_become_statuses() {
        let header = Header {
            tenant: mynah_model::TenantId::DEFAULT,
            layout: crate::NATIVE_LAYOUT,
            class: mynah_model::Class::AtLeastOnce,
            retain: false,
            priority: PRIORITY_DEFAULT,
            topic: (0, 0),
            payload: (0, 0),
            deadline: None,
            publisher: None,
        };
        for (code, status) in [
            ("2.05", 200),
            ("2.04", 200),
            ("4.04", 404),
            ("4.01", 403),
            ("4.77", 400),
            ("5.03", 503),
            ("5.05", 502),
            ("nothing", 200),
        ] {
            let mut pairs = Vec::new();
            properties::push_pair("code", code, &mut pairs).unwrap();
            let said = Properties { user: properties::user(&pairs), ..Properties::EMPTY };
            assert_eq!(answer_fields(&header, &said).0, status, "{code}");
        }
    }

    #[test]
    fn text_has_a_charset_unless_its_publisher_named_one() {
        for (content_type, is_text, expected) in [
            (None, false, None),
            (Some(""), false, None),
            (None, true, Some(TEXT)),
            (Some(""), true, Some(TEXT)),
            (Some("application/json"), false, Some("application/json")),
            (Some("application/json"), true, Some("application/json; charset=utf-8")),
            (Some("text/csv;header=absent"), true, Some("text/csv;header=absent; charset=utf-8")),
            (Some("text/csv; Charset=us-ascii"), true, Some("text/csv; Charset=us-ascii")),
            (Some("text/csv; charset=koi8-r"), true, Some("text/csv; charset=koi8-r")),
        ] {
            let properties = Properties { content_type, is_text, ..Properties::EMPTY };
            assert_eq!(media_type(&properties).as_deref(), expected, "{content_type:?} {is_text}");
        }
    }

    #[test]
    fn a_charset_says_whether_it_is_text() {
        for (content_type, text) in [
            ("text/plain", false),
            ("text/plain; charset=utf-8", true),
            ("text/plain;x=y; CharSet=\"UTF-8\"", true),
            ("application/json;charset=us-ascii", true),
            ("text/plain; charset=iso-8859-1", false),
            ("charset=utf-8", false),
        ] {
            assert_eq!(is_utf8(content_type), text, "{content_type}");
        }
    }
}
