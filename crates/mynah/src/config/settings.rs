//! From the file as it is written to what the crates take: defaults, bounds, and the rule that nobody is let in from
//! the network without credentials.

use std::num::NonZeroU16;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mynah_core::access::{Action, Check, Effect, Rule, Subject};
use mynah_core::{AccessRules, SHARDS};
use mynah_http::HttpConfig;
use mynah_model::Limits;
use mynah_mqtt::{TextRule, UnknownLevel};
use toml::Spanned;
use tracing::level_filters::LevelFilter;

pub(crate) use super::document::LogFormat;
use super::document::{self, DiscouragedCharacters, Document, LogLevel};
use super::listeners::listeners;
pub(crate) use super::listeners::{Listener, Protocol};

/// Everything an operator can choose, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Worker threads; absent: one for each core.
    pub(crate) workers: Option<NonZeroU16>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) password_file: Option<PathBuf>,
    pub(crate) access: AccessRules,
    pub(crate) limits: Limits,
    pub(crate) mqtt: mynah_mqtt::Config,
    pub(crate) http: HttpConfig,
    pub(crate) log_level: LevelFilter,
    pub(crate) log_format: LogFormat,
    pub(crate) sys_interval: Option<Duration>,
    pub(crate) shutdown_grace: Duration,
}

/// Something wrong at a place of the file, in bytes.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) span: Range<usize>,
    pub(super) message: String,
}

impl Wrong {
    pub(super) fn at<T>(place: &Spanned<T>, message: impl Into<String>) -> Self {
        Self { span: place.span(), message: message.into() }
    }
}

/// Checks a document that was read from `path`, and completes it with defaults.
pub(super) fn settle(document: Document, path: &Path) -> Result<Settings, Vec<Wrong>> {
    let mut wrongs = Vec::new();
    // More workers than shards would have no session to own.
    if let Some(workers) = document.workers.as_ref().filter(|workers| workers.get_ref().get() > SHARDS) {
        wrongs.push(Wrong::at(workers, format!("there are at most {SHARDS} workers")));
    }
    let has_passwords = document.auth.password_file.is_some();
    let folder = path.parent().unwrap_or(Path::new(""));
    let listeners = listeners(&document.listener, has_passwords, folder, &mut wrongs);
    let access = rules(&document.access, &mut wrongs).with_check(match document.access_check {
        document::AccessCheck::Subscription => Check::Subscription,
        document::AccessCheck::Delivery => Check::Delivery,
    });
    let mqtt = mqtt(&document.mqtt).map_err(|wrong| wrongs.push(wrong));
    let http = http(&document.http).map_err(|wrong| wrongs.push(wrong));
    let (Ok(mqtt), Ok(http), true) = (mqtt, http, wrongs.is_empty()) else {
        return Err(wrongs);
    };
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    Ok(Settings {
        workers: document.workers.map(Spanned::into_inner),
        listeners,
        password_file: document.auth.password_file.map(|file| folder.join(file.into_inner())),
        access,
        limits: Limits::from(&document.limits),
        mqtt,
        http,
        log_level: match document.log.level {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        },
        log_format: document.log.format,
        sys_interval: Some(seconds(document.sys.interval_s)).filter(|interval| !interval.is_zero()),
        shutdown_grace: seconds(document.shutdown.grace_s),
    })
}

fn rules(written: &[document::Access], wrongs: &mut Vec<Wrong>) -> AccessRules {
    let mut rules = Vec::new();
    for access in written {
        let subject = match access.identity.get_ref().as_str() {
            "" => {
                wrongs.push(Wrong::at(&access.identity, "write the name of a user, or \"*\" for everybody"));
                continue;
            }
            "*" => Subject::Everyone,
            name => Subject::Named(name.into()),
        };
        let action = match access.action {
            document::Action::Publish => Action::Publish,
            document::Action::Subscribe => Action::Subscribe,
        };
        if access.allow.is_empty() && access.deny.is_empty() {
            wrongs.push(Wrong::at(&access.identity, "this rule says nothing: give it `allow` or `deny`"));
        }
        let allowed = access.allow.iter().map(|filter| (Effect::Allow, filter));
        for (effect, filter) in allowed.chain(access.deny.iter().map(|filter| (Effect::Deny, filter))) {
            match Rule::new(subject.clone(), action, effect, filter.get_ref()) {
                Ok(rule) => rules.push(rule),
                Err(error) => wrongs.push(Wrong::at(filter, error.to_string())),
            }
        }
    }
    AccessRules::new(rules)
}

fn mqtt(written: &document::Mqtt) -> Result<mynah_mqtt::Config, Wrong> {
    let settings = mynah_mqtt::Settings {
        packet_bytes_max: *written.packet_bytes_max.get_ref(),
        connect_packet_bytes_max: *written.connect_packet_bytes_max.get_ref(),
        connect_timeout: Duration::from_secs(*written.connect_timeout_s.get_ref()),
        keep_alive_max: written.keep_alive_s_max,
        receive_max: written.receive_max,
        filters_per_packet_max: *written.filters_per_packet_max.get_ref(),
        allow_empty_client_id: written.allow_empty_client_id,
        text_rule: match written.discouraged_characters {
            DiscouragedCharacters::Refuse => TextRule::RefuseDiscouraged,
            DiscouragedCharacters::Accept => TextRule::AcceptDiscouraged,
        },
        unknown_level: match written.unknown_level {
            document::UnknownLevel::V3_1_1 => UnknownLevel::AsV3_1_1,
            document::UnknownLevel::V5 => UnknownLevel::AsV5,
        },
    };
    mynah_mqtt::Config::new(settings).map_err(|error| {
        use mynah_mqtt::ConfigError;
        let span = match error {
            ConfigError::PacketBytesMax => written.packet_bytes_max.span(),
            ConfigError::ConnectPacketBytesMax => written.connect_packet_bytes_max.span(),
            ConfigError::ConnectTimeout => written.connect_timeout_s.span(),
            ConfigError::FiltersPerPacketMax => written.filters_per_packet_max.span(),
        };
        Wrong { span, message: error.to_string() }
    })
}

fn http(written: &document::Http) -> Result<HttpConfig, Wrong> {
    let seconds = |seconds: &Spanned<u64>| Duration::from_secs(*seconds.get_ref());
    let config = HttpConfig {
        header_bytes_max: *written.header_bytes_max.get_ref(),
        uri_bytes_max: *written.uri_bytes_max.get_ref(),
        body_bytes_max: *written.body_bytes_max.get_ref(),
        filters_max: *written.filters_max.get_ref(),
        heartbeat: seconds(&written.heartbeat_s),
        opening_timeout: seconds(&written.opening_timeout_s),
        body_timeout: seconds(&written.body_timeout_s),
    };
    config.validate().map_err(|error| {
        let span = match error.name {
            "header_bytes_max" => written.header_bytes_max.span(),
            "uri_bytes_max" => written.uri_bytes_max.span(),
            "body_bytes_max" => written.body_bytes_max.span(),
            "filters_max" => written.filters_max.span(),
            "heartbeat" => written.heartbeat_s.span(),
            "opening_timeout" => written.opening_timeout_s.span(),
            _ => written.body_timeout_s.span(),
        };
        Wrong { span, message: error.to_string() }
    })?;
    Ok(config)
}
