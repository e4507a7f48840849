//! CONNECT (section 3.1).
//!
//! ```text
//! | 0x10 | remaining length |
//! | protocol name | level | connect flags | keep alive (2) | properties, in MQTT 5.0 |
//! | client identifier | will properties, in MQTT 5.0 | will topic | will message | user name | password |
//!
//! connect flags: user name | password | will retain | will QoS (2) | will | clean session | 0
//! ```

use alloc::vec::Vec;

use mynah_model::{Class, Topic};

use super::fields::{Fields, push_bytes, push_packet};
use super::properties::{ConnectProperties, Property, PropertyHolder, WillProperties, encode_section};
use super::{PacketType, TextRule, check_topic_name};
use crate::{Error, Malformed, Version, Violation};

const USER_NAME: u8 = 0x80;
const PASSWORD: u8 = 0x40;
const WILL_RETAIN: u8 = 0x20;
const WILL_QOS: u8 = 0x18;
const WILL: u8 = 0x04;
const CLEAN_SESSION: u8 = 0x02;
const RESERVED: u8 = 0x01;

/// A client's request to connect.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Connect<'b> {
    /// The version of the protocol that follows.
    pub version: Version,
    /// Discard what an earlier session left, and before MQTT 5.0 end the session with the connection. MQTT 5.0 calls it
    /// Clean Start.
    pub clean_session: bool,
    /// Seconds within which the client promises a packet; 0 promises nothing.
    pub keep_alive: u16,
    /// What the client takes and wants; empty before MQTT 5.0.
    pub properties: ConnectProperties<'b>,
    /// The client identifier; may be empty.
    pub client_id: &'b str,
    /// What the server is to publish when the connection ends without DISCONNECT.
    pub will: Option<Will<'b>>,
    /// User name.
    pub user_name: Option<&'b str>,
    /// Password; before MQTT 5.0 only with a user name.
    pub password: Option<&'b [u8]>,
}

/// A part of a CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectField {
    /// Everything up to the keep-alive.
    Start,
    /// The connect flags, in what they mean, and the properties.
    Properties,
    /// The client identifier.
    ClientId,
    /// The will.
    Will,
    /// User name and password.
    Credentials,
    /// What follows them.
    End,
}

/// The will of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Will<'b> {
    /// Where it is published.
    pub topic: Topic<'b>,
    /// What is published.
    pub message: &'b [u8],
    /// With which QoS.
    pub class: Class,
    /// Whether it is retained.
    pub retain: bool,
    /// What is said beside; empty before MQTT 5.0.
    pub properties: WillProperties<'b>,
}

impl core::fmt::Debug for Connect<'_> {
    /// Shows everything but the password and the properties, which may hold authentication data.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Connect")
            .field("version", &self.version)
            .field("clean_session", &self.clean_session)
            .field("keep_alive", &self.keep_alive)
            .field("client_id", &self.client_id)
            .field("will", &self.will)
            .field("user_name", &self.user_name)
            .finish_non_exhaustive()
    }
}

impl<'b> Connect<'b> {
    /// Reads the body of a CONNECT whose fixed header has `header_flags`.
    ///
    /// # Errors
    /// [`crate::Refused::ProtocolLevel`] and [`crate::Refused::UnknownProtocolLevel`] for a version that is not spoken here
    /// ([MQTT-3.1.2-2]); everything else is malformed or a violation.
    pub fn decode(header_flags: u8, body: &'b [u8], rule: TextRule) -> Result<Self, Error> {
        Self::decode_noting(header_flags, body, rule, &mut ConnectField::Start)
    }

    /// Reads the body of a CONNECT, and notes which field is being read: after an error, where it is.
    ///
    /// # Errors
    /// As [`Connect::decode`].
    pub fn decode_noting(
        header_flags: u8,
        body: &'b [u8],
        rule: TextRule,
        at: &mut ConnectField,
    ) -> Result<Self, Error> {
        let mut fields = Fields(body);
        let (version, flags, keep_alive) = decode_start(header_flags, &mut fields)?;
        *at = ConnectField::Properties;
        check_flags(version, flags)?;
        let properties = if version.has_properties() {
            decode_properties(&mut fields, rule)?
        } else {
            ConnectProperties::default()
        };
        *at = ConnectField::ClientId;
        let client_id = fields.text(rule)?;
        *at = ConnectField::Will;
        let will =
            if flags & WILL == 0 { None } else { Some(decode_will(&mut fields, version, flags, rule)?) };
        let is_there = |fields: &Fields<'_>, mask| {
            flags & mask != 0 && !(fields.is_empty() && version.credentials_may_be_missing())
        };
        *at = ConnectField::Credentials;
        let user_name = if is_there(&fields, USER_NAME) { Some(fields.text(rule)?) } else { None };
        let password = if is_there(&fields, PASSWORD) { Some(fields.bytes()?) } else { None };
        *at = ConnectField::End;
        fields.finish()?;
        let clean_session = flags & CLEAN_SESSION != 0;
        Ok(Self { version, clean_session, keep_alive, properties, client_id, will, user_name, password })
    }

    /// Reads which version a CONNECT asks for, so that what is wrong with the rest can be answered in it. None if that
    /// cannot be told, or it is not spoken here.
    #[must_use]
    pub fn version(body: &[u8]) -> Option<Version> {
        let mut fields = Fields(body);
        let name = decode_name(&mut fields).ok()?;
        Version::asked_for(name, fields.byte().ok()?).ok()
    }

    /// Writes the packet. No string has more than 65,535 bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut body = Vec::new();
        push_bytes(self.version.protocol_name(), &mut body);
        body.push(self.version.protocol_level());
        body.push(self.flags());
        body.extend_from_slice(&self.keep_alive.to_be_bytes());
        self.push_properties(self.properties.iter(), &mut body);
        push_bytes(self.client_id.as_bytes(), &mut body);
        if let Some(will) = &self.will {
            self.push_properties(will.properties.iter(), &mut body);
            push_bytes(will.topic.as_bytes(), &mut body);
            push_bytes(will.message, &mut body);
        }
        if let Some(user_name) = self.user_name {
            push_bytes(user_name.as_bytes(), &mut body);
        }
        if let Some(password) = self.password {
            push_bytes(password, &mut body);
        }
        push_packet(PacketType::Connect, &[&body], out);
    }

    fn push_properties<'p>(&self, properties: impl Iterator<Item = Property<'p>>, body: &mut Vec<u8>) {
        if self.version.has_properties() {
            // Nothing of what a client says is left out for its size.
            body.extend(encode_section(properties, 0, usize::MAX).unwrap_or_default());
        }
    }

    fn flags(&self) -> u8 {
        let flag = |on: bool, mask: u8| if on { mask } else { 0 };
        let will = self.will.map_or(0, |w| WILL | w.class.number() << 3 | flag(w.retain, WILL_RETAIN));
        will | flag(self.clean_session, CLEAN_SESSION)
            | flag(self.user_name.is_some(), USER_NAME)
            | flag(self.password.is_some(), PASSWORD)
    }
}

/// Reads what all versions have in the same place: what is missing there is malformed, whatever the version.
fn decode_start(header_flags: u8, fields: &mut Fields<'_>) -> Result<(Version, u8, u16), Error> {
    let name = decode_name(fields)?;
    let level = fields.byte()?;
    let (flags, keep_alive) = (fields.byte()?, fields.integer()?);
    // The flags of the fixed header are reserved since the name is `MQTT`.
    if header_flags != 0 && name != Version::V3_1.protocol_name() {
        return Err(Malformed::Flags.into());
    }
    Ok((Version::asked_for(name, level)?, flags, keep_alive))
}

fn decode_properties<'b>(fields: &mut Fields<'b>, rule: TextRule) -> Result<ConnectProperties<'b>, Error> {
    let properties = ConnectProperties::from(fields.properties(PropertyHolder::Connect, rule)?);
    if properties.authentication_data.is_some() && properties.authentication_method.is_none() {
        return Err(Violation::AuthenticationDataAlone.into());
    }
    Ok(properties)
}

/// The protocol name, if any version has it ([MQTT-3.1.2-1]).
fn decode_name<'b>(fields: &mut Fields<'b>) -> Result<&'b [u8], Error> {
    let name = fields.bytes()?;
    let known = Version::ALL.iter().any(|version| version.protocol_name() == name);
    if known { Ok(name) } else { Err(Violation::ProtocolName.into()) }
}

fn check_flags(version: Version, flags: u8) -> Result<(), Violation> {
    if version.checks_reserved_flags() {
        if flags & RESERVED != 0 {
            return Err(Violation::ReservedConnectFlag);
        }
        if flags & WILL == 0 && flags & (WILL_QOS | WILL_RETAIN) != 0 {
            return Err(Violation::WillFlagsWithoutWill);
        }
    }
    if flags & WILL != 0 && flags & WILL_QOS == WILL_QOS {
        return Err(Violation::WillQos);
    }
    if flags & (USER_NAME | PASSWORD) == PASSWORD && !version.allows_password_alone() {
        return Err(Violation::PasswordWithoutUserName);
    }
    Ok(())
}

fn decode_will<'b>(
    fields: &mut Fields<'b>,
    version: Version,
    flags: u8,
    rule: TextRule,
) -> Result<Will<'b>, Error> {
    let properties = if version.has_properties() {
        fields.properties(PropertyHolder::Will, rule)?.into()
    } else {
        WillProperties::default()
    };
    let topic = check_topic_name(fields.bytes()?, rule)?;
    let message = fields.bytes()?;
    let class = Class::from_number((flags & WILL_QOS) >> 3).ok_or(Malformed::PublishQos)?;
    Ok(Will { topic, message, class, retain: flags & WILL_RETAIN != 0, properties })
}
