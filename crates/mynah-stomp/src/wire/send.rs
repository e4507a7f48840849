//! SEND: a client publishes ("SEND").

use alloc::borrow::Cow;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use super::{Command, Frame, Headers, push_body, push_command, push_header};
use crate::{Version, Violation};

/// A message to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send<'b> {
    /// Where to.
    pub destination: Cow<'b, str>,
    /// The transaction that it is part of.
    pub transaction: Option<Cow<'b, str>>,
    /// Where a reply is wanted.
    pub reply_to: Option<Cow<'b, str>>,
    /// What the header `persistent` says: whether the message is to outlive a failure.
    pub persistent: bool,
    /// What the header `retain` says.
    pub retain: bool,
    /// 0 to 9.
    pub priority: Option<u8>,
    /// When the message is no longer wanted, in milliseconds since the Unix epoch; 0 says nothing.
    pub expires: Option<u64>,
    /// For how many milliseconds the message is wanted, as RabbitMQ has it.
    pub expiration: Option<u64>,
    /// How long the broker is to keep the message before anybody gets it (RabbitMQ's `x-delay`, ActiveMQ's
    /// `AMQ_SCHEDULED_DELAY`, both in milliseconds).
    pub delay: Option<Duration>,
    /// All headers.
    pub headers: Headers<'b>,
    /// The message.
    pub body: &'b [u8],
    /// Headers, blank line and message as they lie one after another.
    pub octets: &'b [u8],
}

impl<'b> Send<'b> {
    /// Reads the frame, its headers once.
    ///
    /// # Errors
    /// There is no `destination`, or a header has a value that it cannot have.
    pub fn decode(frame: Frame<'b>) -> Result<Self, Violation> {
        let mut destination = None;
        let mut send = Self {
            destination: Cow::Borrowed(""),
            transaction: None,
            reply_to: None,
            persistent: false,
            retain: false,
            priority: None,
            expires: None,
            expiration: None,
            delay: None,
            headers: frame.headers,
            body: frame.body,
            octets: frame.octets,
        };
        let (mut persistent, mut retain) = (None, None);
        for (name, value) in frame.headers.iter() {
            match &*name {
                "destination" => first(&mut destination, || Ok(value))?,
                "transaction" => first(&mut send.transaction, || Ok(value))?,
                "reply-to" => first(&mut send.reply_to, || Ok(value))?,
                "persistent" => first(&mut persistent, || truth("persistent", &value))?,
                "retain" => first(&mut retain, || truth("retain", &value))?,
                "priority" => first(&mut send.priority, || priority(&value))?,
                "expires" => first(&mut send.expires, || number("expires", &value))?,
                "expiration" => first(&mut send.expiration, || number("expiration", &value))?,
                "x-delay" => first(&mut send.delay, || millis("x-delay", &value))?,
                "AMQ_SCHEDULED_DELAY" => first(&mut send.delay, || millis("AMQ_SCHEDULED_DELAY", &value))?,
                _ => {}
            }
        }
        send.destination = destination.ok_or(Violation::HeaderMissing("destination"))?;
        (send.persistent, send.retain) = (persistent == Some(true), retain == Some(true));
        send.expires = send.expires.filter(|&at| at != 0);
        send.delay = send.delay.filter(|delay| !delay.is_zero());
        Ok(send)
    }

    /// Appends a frame that sends `body` to `destination`, with a `content-length`. Headers that it cannot spell are left
    /// out.
    pub fn encode<'h>(
        destination: &str,
        headers: impl IntoIterator<Item = (&'h str, &'h str)>,
        body: &[u8],
        version: Version,
        out: &mut Vec<u8>,
    ) {
        push_command(Command::Send, out);
        push_header("destination", destination, version.escaping(), out);
        for (name, value) in headers {
            push_header(name, value, version.escaping(), out);
        }
        push_header("content-length", &body.len().to_string(), version.escaping(), out);
        push_body(body, out);
    }
}

/// Sets what is not set yet: the first of repeated headers counts.
fn first<T>(place: &mut Option<T>, read: impl FnOnce() -> Result<T, Violation>) -> Result<(), Violation> {
    if place.is_none() {
        *place = Some(read()?);
    }
    Ok(())
}

/// A header that is `true` or `false`, whatever the case of its letters: Python's clients write `True`.
pub(crate) fn truth(name: &'static str, value: &str) -> Result<bool, Violation> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ if value.eq_ignore_ascii_case("true") => Ok(true),
        _ if value.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(Violation::HeaderValue(name)),
    }
}

/// A header that is decimal digits.
pub(super) fn number(name: &'static str, value: &str) -> Result<u64, Violation> {
    let is_number = !value.is_empty() && value.bytes().all(|octet| octet.is_ascii_digit());
    value.parse().ok().filter(|_| is_number).ok_or(Violation::HeaderValue(name))
}

fn millis(name: &'static str, value: &str) -> Result<Duration, Violation> {
    number(name, value).map(Duration::from_millis)
}

/// 0 to 9; what is higher counts as 9.
fn priority(value: &str) -> Result<u8, Violation> {
    number("priority", value).map(|number| number.min(9) as u8)
}
