//! How a client connects, and what can be wrong with what its program asks.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::num::{NonZeroU16, NonZeroU32};
use core::time::Duration;

use mynah_model::Class;

use super::properties::{MessageProperties, UserPairs, encode_user};
use super::terms::PACKET_BYTES_MAX;
use crate::wire::properties::{ConnectProperties, Property, Section};
use crate::wire::{Connect, ReasonCode, TextRule, Will, check_text, check_topic_name};
use crate::{Error, Version};

/// How a client connects.
#[derive(Clone)]
pub struct Options {
    /// The version it speaks.
    pub version: Version,
    /// The client identifier. If it is empty the server chooses one: in MQTT 3.1.1 only for a clean session, in MQTT 3.1
    /// never, and there it has at most 23 characters. One that the server of MQTT 5.0 chose is kept for the next
    /// connection.
    pub client_id: Box<str>,
    /// Without a clean session, publications that are not acknowledged survive a lost connection. In MQTT 5.0 this is
    /// Clean Start, and how long the server keeps the session is [`OptionsV5::session_expiry`].
    pub clean_session: bool,
    /// Seconds after which the client shows that it is alive; 0 for never. A server of MQTT 5.0 may choose another.
    pub keep_alive: u16,
    /// User name.
    pub user_name: Option<Box<str>>,
    /// Password; before MQTT 5.0 only with a user name.
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
    /// What only MQTT 5.0 has; disregarded before.
    pub v5: OptionsV5,
}

/// What a client of MQTT 5.0 says beside in CONNECT (section 3.1.2.11).
#[derive(Clone, Debug)]
pub struct OptionsV5 {
    /// Seconds for which the session outlives the connection; [`crate::mapping::EXPIRY_NEVER`] for ever.
    pub session_expiry: u32,
    /// Messages of QoS 1 and 2 that the server may send before the program has taken the first.
    pub receive_max: NonZeroU16,
    /// The highest topic alias that the server may use.
    pub topic_alias_max: u16,
    /// Topics for which the client uses an alias if the server takes that.
    pub given_aliases_max: u16,
    /// Whether the server is asked what to make response topics of.
    pub request_response_information: bool,
    /// Whether the server may explain failures; if not, it does so in CONNACK, PUBLISH and DISCONNECT only.
    pub request_problem_information: bool,
    /// What the application says to the server.
    pub user: UserPairs,
    /// How the client proves who it is, beside name and password.
    pub authentication: Option<Authentication>,
}

impl Default for OptionsV5 {
    /// A session that ends with the connection, and what the specification says where nothing is said.
    fn default() -> Self {
        Self {
            session_expiry: 0,
            receive_max: NonZeroU16::MAX,
            topic_alias_max: 0,
            given_aliases_max: 0,
            request_response_information: false,
            request_problem_information: true,
            user: UserPairs::new(),
            authentication: None,
        }
    }
}

/// The beginning of an extended authentication (section 4.12 of MQTT 5.0).
#[derive(Clone)]
pub struct Authentication {
    /// The name of the method.
    pub method: Box<str>,
    /// What the client says first, if the method begins with the client.
    pub data: Option<Box<[u8]>>,
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
    /// Seconds that the server waits for the client to come back; only in MQTT 5.0.
    pub delay: u32,
    /// What is said beside; only in MQTT 5.0.
    pub properties: MessageProperties,
}

impl LastWill {
    /// A will of QoS 0.
    #[must_use]
    pub fn new(topic: &str, payload: &[u8]) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
            class: Class::AtMostOnce,
            retain: false,
            delay: 0,
            properties: MessageProperties::default(),
        }
    }
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
    /// The server has said that it takes no such thing, see [`super::Terms`].
    NotTaken(ReasonCode),
    /// Only MQTT 5.0 has that.
    NotInThisVersion,
    /// There is no exchange of authentication, or none was begun in CONNECT.
    NoAuthentication,
    /// A session that was to end with the connection is to be kept in the end ([MQTT-3.14.2-2] of MQTT 5.0).
    SessionNotKept,
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
            packet_bytes_max: PACKET_BYTES_MAX,
            in_flight_max: 1_024,
            events_max: 1_024,
            v5: OptionsV5::default(),
        }
    }

    /// Writes the CONNECT that these options make.
    pub(crate) fn encode_connect(&self, out: &mut Vec<u8>) -> Result<(), Misuse> {
        self.check_names()?;
        let (mut properties, mut will_properties) = (Vec::new(), Vec::new());
        if self.version.has_properties() {
            self.encode_properties(&mut properties)?;
            if let Some(will) = &self.will {
                will.encode_properties(&mut will_properties)?;
            }
        }
        let will = self.will.as_ref().map(|will| will.to_wire(&will_properties)).transpose()?;
        Connect {
            version: self.version,
            clean_session: self.clean_session,
            keep_alive: self.keep_alive,
            properties: ConnectProperties::from(Section::from_checked(&properties)),
            client_id: text_field(&self.client_id)?,
            will,
            user_name: self.user_name.as_deref().map(text_field).transpose()?,
            password: self.password.as_deref().map(binary_field).transpose()?,
        }
        .encode(out);
        Ok(())
    }

    fn check_names(&self) -> Result<(), Misuse> {
        let may_be_empty =
            (self.clean_session || self.version.has_properties()) && self.version.allows_empty_client_id();
        if self.client_id.is_empty() && !may_be_empty {
            return Err(Misuse::ClientIdMissing);
        }
        if self.version.client_id_chars_max().is_some_and(|max| self.client_id.chars().count() > max) {
            return Err(Misuse::ClientIdTooLong);
        }
        if self.password.is_some() && self.user_name.is_none() && !self.version.allows_password_alone() {
            return Err(Misuse::PasswordWithoutUserName);
        }
        Ok(())
    }

    /// Writes the properties that say something else than their absence.
    fn encode_properties(&self, out: &mut Vec<u8>) -> Result<(), Misuse> {
        let v5 = &self.v5;
        let size_max = u32::try_from(self.packet_bytes_max).ok().and_then(NonZeroU32::new);
        let method = v5.authentication.as_ref();
        let properties = ConnectProperties {
            session_expiry_interval: Some(v5.session_expiry).filter(|&seconds| seconds > 0),
            receive_maximum: Some(v5.receive_max).filter(|&max| max < NonZeroU16::MAX),
            maximum_packet_size: size_max.filter(|max| (max.get() as usize) < PACKET_BYTES_MAX),
            topic_alias_maximum: Some(v5.topic_alias_max).filter(|&max| max > 0),
            request_response_information: Some(true).filter(|_| v5.request_response_information),
            request_problem_information: Some(false).filter(|_| !v5.request_problem_information),
            authentication_method: method.map(|method| text_field(&method.method)).transpose()?,
            authentication_data: method
                .and_then(|method| method.data.as_deref())
                .map(binary_field)
                .transpose()?,
            ..ConnectProperties::default()
        };
        properties.iter().for_each(|property| property.encode(out));
        encode_user(&v5.user, out)
    }
}

impl LastWill {
    fn to_wire<'b>(&'b self, properties: &'b [u8]) -> Result<Will<'b>, Misuse> {
        let topic = check_topic_name(binary_field(self.topic.as_bytes())?, TextRule::AcceptDiscouraged)
            .map_err(Misuse::Invalid)?;
        let message = binary_field(&self.payload)?;
        let properties = Section::from_checked(properties).into();
        Ok(Will { topic, message, class: self.class, retain: self.retain, properties })
    }

    fn encode_properties(&self, out: &mut Vec<u8>) -> Result<(), Misuse> {
        if self.delay > 0 {
            Property::WillDelayInterval(self.delay).encode(out);
        }
        self.properties.encode(out)
    }
}

/// Checks the length of a field.
pub(super) fn binary_field(bytes: &[u8]) -> Result<&[u8], Misuse> {
    if bytes.len() > usize::from(u16::MAX) { Err(Misuse::TooLarge) } else { Ok(bytes) }
}

pub(super) fn text_field(text: &str) -> Result<&str, Misuse> {
    check_text(binary_field(text.as_bytes())?, TextRule::AcceptDiscouraged)
        .map_err(|error| Misuse::Invalid(error.into()))
}

impl fmt::Debug for Authentication {
    /// Shows the method; what is said is never shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authentication").field("method", &self.method).finish_non_exhaustive()
    }
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
            Self::NotTaken(code) => write!(f, "the server does not take that: {code}"),
            Self::NotInThisVersion => f.write_str("only MQTT 5.0 has that"),
            Self::NoAuthentication => f.write_str("there is no exchange of authentication"),
            Self::SessionNotKept => f.write_str("the session was to end with the connection"),
        }
    }
}

impl core::error::Error for Misuse {}
