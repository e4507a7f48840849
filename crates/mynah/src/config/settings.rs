//! From the file as it is written to what the crates take: defaults, bounds, and the rule that nobody is let in from
//! the network without credentials.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mynah_auth::{Tenants, ThrottleSettings};
use mynah_coap::CoapConfig;
use mynah_core::SHARDS;
use mynah_http::HttpConfig;
use mynah_model::Limits;
use mynah_net::Keeping;
use toml::Spanned;
use tracing::level_filters::LevelFilter;

use super::auth::tenants;
use super::bridges::{Bridge, bridges};
pub(crate) use super::document::LogFormat;
use super::document::{self, Document, Durability, LogLevel};
use super::listeners::listeners;
pub(crate) use super::listeners::{Listener, Protocol};
use super::others::{Others, others};
use super::rules::RuleSet;

/// Failures that can be remembered: they have their memory from the start.
const FAILURES_REMEMBERED_MAX: u32 = 1 << 24;

/// Everything an operator can choose, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Worker threads; absent: one for each core.
    pub(crate) workers: Option<NonZeroU16>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) bridges: Vec<Bridge>,
    pub(crate) others: Others,
    pub(crate) users_file: Option<PathBuf>,
    pub(crate) tenants: Tenants,
    pub(crate) throttle: ThrottleSettings,
    pub(crate) rules: RuleSet,
    pub(crate) limits: Limits,
    pub(crate) mqtt: mynah_mqtt::Config,
    /// What is spoken otherwise at listeners that name one.
    pub(crate) profiles: Profiles,
    pub(crate) amqp091: mynah_amqp::v0_9_1::Config,
    pub(crate) coap: CoapConfig,
    pub(crate) http: HttpConfig,
    pub(crate) stomp: mynah_stomp::Config,
    pub(crate) log_level: LevelFilter,
    pub(crate) log_format: LogFormat,
    pub(crate) sys_interval: Option<Duration>,
    /// Where what is durable is kept; nowhere, if absent.
    pub(crate) store: Option<StoreSettings>,
    pub(crate) shutdown_grace: Duration,
}

/// Where and how what is durable is kept.
#[derive(Clone, Debug)]
pub(crate) struct StoreSettings {
    pub(crate) folder: PathBuf,
    pub(crate) keeping: Keeping,
    /// Whether what is promised to bridges waits until it is stored.
    pub(crate) bridges_wait: bool,
    pub(crate) free_bytes_min: u64,
}

impl StoreSettings {
    /// What the configuration calls this way of keeping.
    pub(crate) const fn keeping_name(&self) -> &'static str {
        match self.keeping {
            Keeping::Sync => "sync",
            Keeping::Interval(_) => "interval",
        }
    }
}

/// Profiles of listeners, by name.
pub(crate) type Profiles = BTreeMap<String, mynah_mqtt::Config>;

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

/// Checks a document that was read from `path`, and completes it with defaults and with the rules that were read.
pub(super) fn settle(document: Document, rules: RuleSet, path: &Path) -> Result<Settings, Vec<Wrong>> {
    let mut wrongs = Vec::new();
    // More workers than shards would have no session to own.
    if let Some(workers) = document.workers.as_ref().filter(|workers| workers.get_ref().get() > SHARDS) {
        wrongs.push(Wrong::at(workers, format!("there are at most {SHARDS} workers")));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let remembered = &document.auth.failures_remembered_max;
    if remembered.get_ref().get() > FAILURES_REMEMBERED_MAX {
        wrongs.push(Wrong::at(
            remembered,
            format!("failures_remembered_max must be 1 to {FAILURES_REMEMBERED_MAX}"),
        ));
    }
    let tenants = tenants(&document, &mut wrongs);
    let listeners = listeners(&document, folder, &mut wrongs);
    let (mqtt, profiles) = mqtt(&document, &mut wrongs);
    let bridges = bridges(&document.bridge, mqtt.settings().packet_bytes_max, folder, &mut wrongs);
    let others = others(&document.auth, folder, &mut wrongs);
    let http = http(&document.http).map_err(|wrong| wrongs.push(wrong));
    let amqp091 = document.amqp091.settle(document.tenants.keys()).map_err(|wrong| wrongs.push(wrong));
    let stomp = document.stomp.settle().map_err(|wrong| wrongs.push(wrong));
    let coap = document.coap.settle().map_err(|wrong| wrongs.push(wrong));
    let (Ok(http), Ok(amqp091), Ok(stomp), Ok(coap), true) = (http, amqp091, stomp, coap, wrongs.is_empty())
    else {
        return Err(wrongs);
    };
    // Bridges are as the store is: they have no listener that says otherwise.
    let waits = listeners.iter().any(|listener| listener.waits && listener.protocol != Protocol::Management)
        || (document.store.durability == Durability::Sync && !bridges.is_empty());
    let store = store(&document, waits, folder);
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    Ok(Settings {
        workers: document.workers.map(Spanned::into_inner),
        listeners,
        bridges,
        others,
        throttle: ThrottleSettings::from(&document.auth),
        users_file: document.auth.users_file.map(|file| folder.join(file.into_inner())),
        tenants,
        rules,
        limits: Limits::from(&document.limits),
        mqtt,
        profiles,
        amqp091,
        coap,
        http,
        stomp,
        log_level: match document.log.level {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        },
        log_format: document.log.format,
        sys_interval: Some(seconds(document.sys.interval_s)).filter(|interval| !interval.is_zero()),
        store,
        shutdown_grace: seconds(document.shutdown.grace_s),
    })
}

/// `waits`: whether anybody waits until something is stored.
fn store(document: &Document, waits: bool, folder: &Path) -> Option<StoreSettings> {
    let written = &document.store;
    if written.durability == Durability::Memory {
        return None;
    }
    let interval = Duration::from_millis(written.interval_ms.into());
    Some(StoreSettings {
        folder: folder.join(written.path.get_ref()),
        keeping: if waits { Keeping::Sync } else { Keeping::Interval(interval) },
        bridges_wait: written.durability == Durability::Sync,
        free_bytes_min: written.free_bytes_min,
    })
}

/// What is spoken at listeners without a profile, and with each.
fn mqtt(document: &Document, wrongs: &mut Vec<Wrong>) -> (mynah_mqtt::Config, Profiles) {
    let (mut base, mut profiles) = (mynah_mqtt::Config::default(), Profiles::new());
    match document.mqtt.settle() {
        Ok(config) => base = config,
        // Every profile would repeat it.
        Err(wrong) => {
            wrongs.push(wrong);
            return (base, profiles);
        }
    }
    for (name, profile) in &document.profile {
        match document.mqtt.under(profile).settle() {
            Ok(config) => drop(profiles.insert(name.clone(), config)),
            Err(wrong) => wrongs.push(wrong),
        }
    }
    (base, profiles)
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

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn a_store_is_there_without_a_word_and_as_strict_as_its_strictest_listener() {
        let store = |text: &str| parse(Path::new("mynah.toml"), text).unwrap().store;
        let found = store("").unwrap();
        assert_eq!((found.folder.to_str(), found.keeping), (Some("mynah-data"), Keeping::Sync));
        assert!(store("[store]\ndurability = \"memory\"\n").is_none());
        let listener = |durability: &str| {
            let address = "name = \"x\"\nprotocol = \"mqtt\"\naddress = \"127.0.0.1:1\"";
            format!("[[listener]]\n{address}\n{durability}\n")
        };
        let (strict, lax) = (listener("durability = \"sync\""), listener("durability = \"memory\""));
        let found = store(&format!("{strict}[store]\ndurability = \"interval\"\n")).unwrap();
        assert_eq!((found.keeping, found.bridges_wait), (Keeping::Sync, false));
        let found = store(&format!("{lax}[store]\ninterval_ms = 5\n")).unwrap();
        assert_eq!(found.keeping, Keeping::Interval(Duration::from_millis(5)));
        let problems = parse(Path::new("mynah.toml"), &format!("{strict}[store]\ndurability = \"memory\"\n"))
            .unwrap_err();
        assert_eq!(
            problems[0].to_string(),
            "mynah.toml:5:14: there is no store: store.durability is \"memory\"\n  5 | durability = \"sync\"\n    |              ^^^^^^",
        );
    }
}
