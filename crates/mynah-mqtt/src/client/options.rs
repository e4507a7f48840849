//! How a client connects, and what can be wrong with what its program asks.

use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;

use mynah_model::Class;

use crate::framing::REMAINING_LENGTH_MAX;
use crate::wire::properties::{ConnectProperties, WillProperties};
use crate::wire::{Connect, TextRule, Will, check_text, check_topic_name};
use crate::{Error, Refused, Version};

/// How a client connects.
#[derive(Clone)]
pub struct Options {
    /// The version it speaks: MQTT 3.1.1 or 3.1.
    pub version: Version,
    /// The client identifier; empty only with a clean session of MQTT 3.1.1: the server then chooses one. In MQTT 3.1
    /// it has at most 23 characters.
    pub client_id: Box<str>,
    /// Without a clean session, publications that are not acknowledged survive a lost connection.
    pub clean_session: bool,
    /// Seconds after which the client shows that it is alive; 0 for never.
    pub keep_alive: u16,
    /// User name.
    pub user_name: Option<Box<str>>,
    /// Password; only with a user name.
    pub password: Option<Box<[u8]>>,
    /// What the server publishes if the connection is lost.
    pub will: Option<LastWill>,
    /// How long the server may take for CONNACK and PINGRESP.
    pub response_timeout: Duration,
    /// Bytes of the largest packet that the server may send.
    pub packet_bytes_max: usize,
    /// Publications and requests that wait for an answer.
    pub in_flight_max: u16,
    /// Events that wait for the program; input is left unread beyond.
    pub events_max: usize,
}

/// What the server publishes if the connection is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastWill {
    /// Where.
    pub topic: Box<str>,
    /// What.
    pub payload: Box<[u8]>,
    /// QoS.
    pub class: Class,
    /// Whether it is retained.
    pub retain: bool,
}

/// A program asks a client for what cannot be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// There is no open connection.
    NotOpen,
    /// A topic, a filter or a string is not one.
    Invalid(Error),
    /// A field has more than 65,535 bytes, or the packet more than 268,435,460.
    TooLarge,
    /// A request without a filter.
    NoFilter,
    /// An empty client identifier without a clean session ([MQTT-3.1.3-7]), or in MQTT 3.1.
    ClientIdMissing,
    /// A client identifier of more than [`Version::client_id_chars_max`] characters.
    ClientIdTooLong,
    /// A password without a user name ([MQTT-3.1.2-22]).
    PasswordWithoutUserName,
    /// [`Options::in_flight_max`] is reached: wait for acknowledgements.
    InFlightFull,
}

impl Options {
    /// A clean session with a keep-alive of 60 s and no credentials.
    #[must_use]
    pub fn new(client_id: &str) -> Self {
        Self {
            version: Version::default(),
            client_id: client_id.into(),
            clean_session: true,
            keep_alive: 60,
            user_name: None,
            password: None,
            will: None,
            response_timeout: Duration::from_secs(10),
            packet_bytes_max: REMAINING_LENGTH_MAX + 5,
            in_flight_max: 1_024,
            events_max: 1_024,
        }
    }

    /// The CONNECT that these options make.
    pub(super) fn connect(&self) -> Result<Connect<'_>, Misuse> {
        if self.version == Version::V5 {
            return Err(Misuse::Invalid(Refused::ProtocolLevel.into()));
        }
        let will = self.will.as_ref().map(LastWill::to_wire).transpose()?;
        if self.client_id.is_empty() && !(self.clean_session && self.version.allows_empty_client_id()) {
            return Err(Misuse::ClientIdMissing);
        }
        if self.version.client_id_chars_max().is_some_and(|max| self.client_id.chars().count() > max) {
            return Err(Misuse::ClientIdTooLong);
        }
        if self.password.is_some() && self.user_name.is_none() {
            return Err(Misuse::PasswordWithoutUserName);
        }
        Ok(Connect {
            version: self.version,
            clean_session: self.clean_session,
            keep_alive: self.keep_alive,
            properties: ConnectProperties::default(),
            client_id: text_field(&self.client_id)?,
            will,
            user_name: self.user_name.as_deref().map(text_field).transpose()?,
            password: self.password.as_deref().map(binary_field).transpose()?,
        })
    }
}

impl LastWill {
    fn to_wire(&self) -> Result<Will<'_>, Misuse> {
        let topic = check_topic_name(binary_field(self.topic.as_bytes())?, TextRule::AcceptDiscouraged)
            .map_err(Misuse::Invalid)?;
        let message = binary_field(&self.payload)?;
        let properties = WillProperties::default();
        Ok(Will { topic, message, class: self.class, retain: self.retain, properties })
    }
}

/// Checks the length of a field.
pub(super) fn binary_field(bytes: &[u8]) -> Result<&[u8], Misuse> {
    if bytes.len() > usize::from(u16::MAX) { Err(Misuse::TooLarge) } else { Ok(bytes) }
}

fn text_field(text: &str) -> Result<&str, Misuse> {
    check_text(binary_field(text.as_bytes())?, TextRule::AcceptDiscouraged)
        .map_err(|error| Misuse::Invalid(error.into()))
}

impl fmt::Debug for Options {
    /// Shows what a log may show: no password, no will.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("client_id", &self.client_id)
            .field("clean_session", &self.clean_session)
            .field("keep_alive", &self.keep_alive)
            .field("user_name", &self.user_name)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOpen => f.write_str("not connected"),
            Self::Invalid(error) => error.fmt(f),
            Self::TooLarge => f.write_str("too large for a packet"),
            Self::NoFilter => f.write_str("no topic filter given"),
            Self::ClientIdMissing => f.write_str("a session that is kept needs a client identifier"),
            Self::ClientIdTooLong => f.write_str("MQTT 3.1 has client identifiers of at most 23 characters"),
            Self::PasswordWithoutUserName => f.write_str("a password needs a user name"),
            Self::InFlightFull => f.write_str("too many requests wait for an answer"),
        }
    }
}

impl core::error::Error for Misuse {}
