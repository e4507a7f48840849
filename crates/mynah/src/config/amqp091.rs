//! `[amqp091]`: the keys as they are written, and what the stack takes.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use mynah_amqp::v0_9_1::{Config, ConfigError, Mechanism, Settings};
use serde::Deserialize;
use toml::Spanned;

use super::settings::Wrong;

/// `[amqp091]`
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Amqp {
    frame_bytes_max: Spanned<u32>,
    open_frame_bytes_max: Spanned<u32>,
    channel_max: NonZeroU16,
    heartbeat_s: u16,
    connect_timeout_s: Spanned<u64>,
    close_timeout_s: Spanned<u64>,
    body_bytes_max: Spanned<usize>,
    contents_bytes_max: Spanned<usize>,
    publications_max: NonZeroU16,
    unacknowledged_max: NonZeroU32,
    virtual_hosts: Spanned<Vec<String>>,
    mechanisms: Spanned<Vec<String>>,
}

/// A value that no place of the file holds.
fn unplaced<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

impl Default for Amqp {
    fn default() -> Self {
        let settings = Settings::default();
        Self {
            frame_bytes_max: unplaced(settings.frame_bytes_max),
            open_frame_bytes_max: unplaced(settings.open_frame_bytes_max),
            channel_max: settings.channel_max,
            heartbeat_s: settings.heartbeat,
            connect_timeout_s: unplaced(settings.connect_timeout.as_secs()),
            close_timeout_s: unplaced(settings.close_timeout.as_secs()),
            body_bytes_max: unplaced(settings.body_bytes_max),
            contents_bytes_max: unplaced(settings.contents_bytes_max),
            publications_max: settings.publications_max,
            unacknowledged_max: settings.unacknowledged_max,
            virtual_hosts: unplaced(settings.virtual_hosts.into_iter().map(String::from).collect()),
            mechanisms: unplaced(settings.mechanisms.into_iter().map(|m| m.name().to_owned()).collect()),
        }
    }
}

impl Amqp {
    /// What the stack takes; `tenants` are the names of those that there are beside the one that every broker has.
    pub(super) fn settle<'t>(&self, tenants: impl Iterator<Item = &'t String>) -> Result<Config, Wrong> {
        let mechanism = |name: &String| {
            Mechanism::from_name(name.as_bytes()).ok_or_else(|| {
                let known = Mechanism::ALL.map(Mechanism::name).join(", ");
                Wrong::at(&self.mechanisms, format!("unknown mechanism `{name}`; there are: {known}"))
            })
        };
        let settings = Settings {
            frame_bytes_max: *self.frame_bytes_max.get_ref(),
            open_frame_bytes_max: *self.open_frame_bytes_max.get_ref(),
            channel_max: self.channel_max,
            heartbeat: self.heartbeat_s,
            connect_timeout: Duration::from_secs(*self.connect_timeout_s.get_ref()),
            close_timeout: Duration::from_secs(*self.close_timeout_s.get_ref()),
            body_bytes_max: *self.body_bytes_max.get_ref(),
            contents_bytes_max: *self.contents_bytes_max.get_ref(),
            publications_max: self.publications_max,
            unacknowledged_max: self.unacknowledged_max,
            virtual_hosts: self.virtual_hosts.get_ref().iter().map(|name| name.as_str().into()).collect(),
            tenants: tenants.map(|name| name.as_str().into()).collect(),
            mechanisms: self.mechanisms.get_ref().iter().map(mechanism).collect::<Result<_, _>>()?,
        };
        Config::new(settings).map_err(|error| self.wrong(error))
    }

    /// The error with its place, in the words of the file.
    fn wrong(&self, error: ConfigError) -> Wrong {
        let (span, message) = match error {
            ConfigError::FrameBytesMax => {
                (self.frame_bytes_max.span(), "frame_bytes_max must be 4096 to 16777216 bytes")
            }
            ConfigError::OpenFrameBytesMax => (
                self.open_frame_bytes_max.span(),
                "open_frame_bytes_max must be 4096 to 1048576 bytes, and not more than frame_bytes_max",
            ),
            ConfigError::ConnectTimeout => {
                (self.connect_timeout_s.span(), "connect_timeout_s must be 1 to 600 seconds")
            }
            ConfigError::CloseTimeout => {
                (self.close_timeout_s.span(), "close_timeout_s must be 1 to 600 seconds")
            }
            ConfigError::BodyBytesMax => {
                (self.body_bytes_max.span(), "body_bytes_max must be 1024 to 536870912 bytes")
            }
            ConfigError::ContentsBytesMax => {
                (self.contents_bytes_max.span(), "contents_bytes_max must not be less than body_bytes_max")
            }
            ConfigError::VirtualHosts => {
                (self.virtual_hosts.span(), "virtual_hosts needs at least one name, each of 1 to 255 bytes")
            }
            ConfigError::Mechanisms => (self.mechanisms.span(), "mechanisms needs at least one name"),
        };
        Wrong { span, message: message.to_owned() }
    }
}
