//! The configuration file as it is written: the only types that know TOML. Every key is described in
//! `docs/configuration.md`, which a test compares with these types.

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32, NonZeroU64, NonZeroUsize};
use std::time::Duration;

use mynah_auth::ThrottleSettings;
use mynah_http::HttpConfig;
use mynah_model::Limits;
use serde::Deserialize;
use toml::Spanned;

use super::amqp091::Amqp;
use super::coap::Coap;
use super::ldap::Directory;
use super::mqtt::{Mqtt, Profile};
use super::others::{HookTable, Jwt};
use super::rules::RuleTable;
use super::stomp::Stomp;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Document {
    pub(super) workers: Option<Spanned<NonZeroU16>>,
    pub(super) listener: Vec<Listener>,
    pub(super) bridge: Vec<Bridge>,
    pub(super) auth: Auth,
    pub(super) tenants: BTreeMap<String, Spanned<u16>>,
    pub(super) rules_file: Option<Spanned<String>>,
    pub(super) rule: Vec<Spanned<RuleTable>>,
    pub(super) limits: LimitsTable,
    pub(super) mqtt: Mqtt,
    pub(super) profile: BTreeMap<String, Profile>,
    pub(super) amqp091: Amqp,
    pub(super) coap: Coap,
    pub(super) http: Http,
    pub(super) stomp: Stomp,
    pub(super) log: Log,
    pub(super) sys: Sys,
    pub(super) store: StoreTable,
    pub(super) shutdown: Shutdown,
}

/// `[[listener]]`: where peers come in.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct Listener {
    pub(super) name: Spanned<String>,
    pub(super) protocol: Protocol,
    pub(super) address: Spanned<String>,
    pub(super) auth: Option<Spanned<AuthMode>>,
    pub(super) plaintext_auth: Option<Spanned<bool>>,
    pub(super) tenant: Option<Spanned<String>>,
    pub(super) profile: Option<Spanned<String>>,
    pub(super) durability: Option<Spanned<Durability>>,
    pub(super) transport: Option<Spanned<Transport>>,
    pub(super) websocket: Option<Spanned<WebSocket>>,
    pub(super) tls: Option<Spanned<Tls>>,
    pub(super) tls_psk: Option<Spanned<bool>>,
    pub(super) proxies: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) socket_mode: Option<Spanned<String>>,
    pub(super) multicast: Option<Spanned<Vec<Spanned<String>>>>,
}

/// `[[bridge]]`: another broker that topics are exchanged with.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct Bridge {
    pub(super) name: Spanned<String>,
    pub(super) address: Spanned<String>,
    #[serde(default)]
    pub(super) version: BridgeVersion,
    pub(super) client_id: Option<Spanned<String>>,
    pub(super) user: Option<Spanned<String>>,
    pub(super) password_file: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) clean: bool,
    #[serde(default = "keep_alive")]
    pub(super) keep_alive_s: u16,
    #[serde(default = "receive_max")]
    pub(super) receive_max: NonZeroU16,
    #[serde(default)]
    pub(super) bridge_bit: bool,
    pub(super) tls: Option<Spanned<BridgeTls>>,
    pub(super) topics: Spanned<Vec<BridgeTopic>>,
}

const fn keep_alive() -> u16 {
    60
}

fn receive_max() -> NonZeroU16 {
    NonZeroU16::new(20).unwrap_or(NonZeroU16::MIN)
}

/// `bridge.tls`
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct BridgeTls {
    pub(super) ca: Spanned<String>,
    pub(super) certificate: Option<Spanned<String>>,
    pub(super) key: Option<Spanned<String>>,
    pub(super) server_name: Option<Spanned<String>>,
}

/// The version that a bridge speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) enum BridgeVersion {
    #[default]
    #[serde(rename = "3.1.1")]
    V3_1_1,
    #[serde(rename = "5.0")]
    V5,
}

/// `bridge.topics`: which topics cross.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct BridgeTopic {
    pub(super) direction: Direction,
    pub(super) filter: Spanned<String>,
    #[serde(default)]
    pub(super) local_prefix: String,
    #[serde(default)]
    pub(super) remote_prefix: String,
    #[serde(default = "qos")]
    pub(super) qos: Spanned<u8>,
}

fn qos() -> Spanned<u8> {
    Spanned::new(0..0, 1)
}

/// Which way messages cross.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub(super) enum Direction {
    In,
    Out,
    Both,
}

/// What carries a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub(super) enum Transport {
    Tcp,
    Udp,
    Dtls,
    WebSocket,
}

/// `listener.websocket`
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(super) struct WebSocket {
    pub(super) paths: Vec<Spanned<String>>,
    pub(super) request_bytes_max: Spanned<usize>,
    pub(super) message_bytes_max: Spanned<u64>,
}

impl Default for WebSocket {
    fn default() -> Self {
        Self {
            paths: ["/mqtt", "/.well-known/coap"].map(|path| Spanned::new(0..0, path.to_owned())).into(),
            request_bytes_max: Spanned::new(0..0, 8_192),
            message_bytes_max: Spanned::new(0..0, 67_108_864),
        }
    }
}

/// `listener.tls`
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) certificate: Spanned<String>,
    pub(super) key: Spanned<String>,
    #[serde(default)]
    pub(super) additional: Vec<CertificateFiles>,
    #[serde(default)]
    pub(super) client_certificates: ClientCertificates,
    pub(super) client_ca: Option<Spanned<String>>,
    pub(super) crl: Option<Spanned<String>>,
    pub(super) identity_from: Option<Spanned<IdentityFrom>>,
    #[serde(default)]
    pub(super) min_version: TlsVersion,
}

/// A certificate and its key.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct CertificateFiles {
    pub(super) certificate: Spanned<String>,
    pub(super) key: Spanned<String>,
}

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub(super) enum ClientCertificates {
    #[default]
    None,
    Optional,
    Required,
}

/// What of a client's certificate says who the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "kebab-case")]
pub(super) enum IdentityFrom {
    CommonName,
    SubjectAlternativeName,
    Fingerprint,
}

/// The lowest version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) enum TlsVersion {
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    #[serde(rename = "1.3")]
    V1_3,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub(super) enum Protocol {
    Mqtt,
    Amqp091,
    Stomp,
    Coap,
    Http,
    Management,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub(super) enum AuthMode {
    Anonymous,
    None,
    Password,
    Certificate,
}

/// `[auth]`
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Auth {
    pub(super) users_file: Option<Spanned<String>>,
    pub(super) pair_failures_max: u16,
    pub(super) address_failures_max: u16,
    pub(super) identity_failures_max: u16,
    pub(super) failures_remembered_max: Spanned<NonZeroU32>,
    pub(super) jwt: Option<Spanned<Jwt>>,
    pub(super) http: Option<Spanned<HookTable>>,
    pub(super) ldap: Option<Spanned<Directory>>,
}

impl Default for Auth {
    fn default() -> Self {
        let throttle = ThrottleSettings::default();
        let count = |count: u32| u16::try_from(count).unwrap_or(u16::MAX);
        Self {
            users_file: None,
            pair_failures_max: count(throttle.pair_failures),
            address_failures_max: count(throttle.address_failures),
            identity_failures_max: count(throttle.identity_failures),
            failures_remembered_max: Spanned::new(
                0..0,
                u32::try_from(throttle.entries_max).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN),
            ),
            jwt: None,
            http: None,
            ldap: None,
        }
    }
}

impl Auth {
    /// Whether there is anybody who can say whether a password is right.
    pub(super) const fn has_any(&self) -> bool {
        self.users_file.is_some() || self.jwt.is_some() || self.http.is_some() || self.ldap.is_some()
    }
}

impl From<&Auth> for ThrottleSettings {
    fn from(table: &Auth) -> Self {
        Self {
            pair_failures: table.pair_failures_max.into(),
            address_failures: table.address_failures_max.into(),
            identity_failures: table.identity_failures_max.into(),
            entries_max: table.failures_remembered_max.get_ref().get() as usize,
        }
    }
}

/// `[http]`
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Http {
    pub(super) header_bytes_max: Spanned<u32>,
    pub(super) uri_bytes_max: Spanned<u32>,
    pub(super) body_bytes_max: Spanned<u32>,
    pub(super) filters_max: Spanned<u8>,
    pub(super) heartbeat_s: Spanned<u64>,
    pub(super) opening_timeout_s: Spanned<u64>,
    pub(super) body_timeout_s: Spanned<u64>,
}

impl Default for Http {
    fn default() -> Self {
        let config = HttpConfig::default();
        Self {
            header_bytes_max: Spanned::new(0..0, config.header_bytes_max),
            uri_bytes_max: Spanned::new(0..0, config.uri_bytes_max),
            body_bytes_max: Spanned::new(0..0, config.body_bytes_max),
            filters_max: Spanned::new(0..0, config.filters_max),
            heartbeat_s: Spanned::new(0..0, config.heartbeat.as_secs()),
            opening_timeout_s: Spanned::new(0..0, config.opening_timeout.as_secs()),
            body_timeout_s: Spanned::new(0..0, config.body_timeout.as_secs()),
        }
    }
}

/// `[log]`
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) level: LogLevel,
    pub(super) format: LogFormat,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub(super) enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

/// `[sys]`
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Sys {
    pub(super) interval_s: u32,
}

impl Default for Sys {
    fn default() -> Self {
        Self { interval_s: 10 }
    }
}

/// `[store]`
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(super) struct StoreTable {
    pub(super) path: Spanned<String>,
    pub(super) durability: Durability,
    pub(super) interval_ms: u32,
    pub(super) free_bytes_min: u64,
}

impl Default for StoreTable {
    fn default() -> Self {
        let path = Spanned::new(0..0, "mynah-data".to_owned());
        Self { path, durability: Durability::Sync, interval_ms: 100, free_bytes_min: 256 << 20 }
    }
}

/// When what was acknowledged is on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub(super) enum Durability {
    #[default]
    Sync,
    Interval,
    Memory,
}

/// `[shutdown]`
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Shutdown {
    pub(super) grace_s: u32,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { grace_s: 10 }
    }
}

/// `[limits]`: [`Limits`] by name.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsTable {
    pub(super) sessions_max: NonZeroUsize,
    pub(super) session_expiry_s_max: Option<NonZeroU32>,
    pub(super) subscriptions_per_session_max: NonZeroUsize,
    pub(super) topic_segments_max: NonZeroUsize,
    pub(super) topic_bytes_max: NonZeroUsize,
    pub(super) backlog_messages_max: NonZeroUsize,
    pub(super) backlog_bytes_max: NonZeroUsize,
    pub(super) inflight_max: NonZeroU16,
    pub(super) received_max: NonZeroU16,
    pub(super) retained_messages_max: NonZeroUsize,
    pub(super) retained_bytes_max: NonZeroUsize,
    pub(super) retained_message_bytes_max: NonZeroUsize,
    pub(super) queues_max: NonZeroUsize,
    pub(super) queue_messages_max: NonZeroU64,
    pub(super) queue_bytes_max: NonZeroU64,
    pub(super) queue_bindings_max: NonZeroUsize,
    pub(super) delayed_messages_max: NonZeroUsize,
    pub(super) held_leases_max: NonZeroUsize,
    pub(super) delayed_bytes_max: NonZeroUsize,
    pub(super) outbound_bytes_max: NonZeroUsize,
    pub(super) half_open_max: NonZeroUsize,
    pub(super) connections_max: NonZeroUsize,
    pub(super) route_cache_max: NonZeroUsize,
    pub(super) share_strategy: ShareStrategy,
}

/// Which of the members that are online gets the next message of a shared subscription.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub(super) enum ShareStrategy {
    RoundRobin,
    Sticky,
}

impl Default for LimitsTable {
    fn default() -> Self {
        let limits = Limits::default();
        let size = |size| NonZeroUsize::new(size).unwrap_or(NonZeroUsize::MIN);
        let count = |count| NonZeroU16::new(count).unwrap_or(NonZeroU16::MIN);
        Self {
            sessions_max: size(limits.sessions_max),
            session_expiry_s_max: None,
            subscriptions_per_session_max: size(limits.subscriptions_per_session_max),
            topic_segments_max: size(limits.topic_segments_max),
            topic_bytes_max: size(limits.topic_bytes_max),
            backlog_messages_max: size(limits.backlog_messages_max),
            backlog_bytes_max: size(limits.backlog_bytes_max),
            inflight_max: count(limits.inflight_max),
            received_max: count(limits.received_max),
            retained_messages_max: size(limits.retained_messages_max),
            retained_bytes_max: size(limits.retained_bytes_max),
            retained_message_bytes_max: size(limits.retained_message_bytes_max),
            queues_max: size(limits.queues_max),
            queue_messages_max: NonZeroU64::new(limits.queue_messages_max).unwrap_or(NonZeroU64::MIN),
            queue_bytes_max: NonZeroU64::new(limits.queue_bytes_max).unwrap_or(NonZeroU64::MIN),
            queue_bindings_max: size(limits.queue_bindings_max),
            delayed_messages_max: size(limits.delayed_messages_max),
            held_leases_max: size(limits.held_leases_max),
            delayed_bytes_max: size(limits.delayed_bytes_max),
            outbound_bytes_max: size(limits.outbound_bytes_max),
            half_open_max: size(limits.half_open_max),
            connections_max: size(limits.connections_max),
            route_cache_max: size(limits.route_cache_max),
            share_strategy: ShareStrategy::RoundRobin,
        }
    }
}

impl From<&LimitsTable> for Limits {
    fn from(table: &LimitsTable) -> Self {
        Self {
            sessions_max: table.sessions_max.get(),
            session_expiry_max: table
                .session_expiry_s_max
                .map(|seconds| Duration::from_secs(u64::from(seconds.get()))),
            subscriptions_per_session_max: table.subscriptions_per_session_max.get(),
            topic_segments_max: table.topic_segments_max.get(),
            topic_bytes_max: table.topic_bytes_max.get(),
            backlog_messages_max: table.backlog_messages_max.get(),
            backlog_bytes_max: table.backlog_bytes_max.get(),
            inflight_max: table.inflight_max.get(),
            received_max: table.received_max.get(),
            retained_messages_max: table.retained_messages_max.get(),
            retained_bytes_max: table.retained_bytes_max.get(),
            retained_message_bytes_max: table.retained_message_bytes_max.get(),
            queues_max: table.queues_max.get(),
            queue_messages_max: table.queue_messages_max.get(),
            queue_bytes_max: table.queue_bytes_max.get(),
            queue_bindings_max: table.queue_bindings_max.get(),
            delayed_messages_max: table.delayed_messages_max.get(),
            held_leases_max: table.held_leases_max.get(),
            delayed_bytes_max: table.delayed_bytes_max.get(),
            outbound_bytes_max: table.outbound_bytes_max.get(),
            half_open_max: table.half_open_max.get(),
            connections_max: table.connections_max.get(),
            route_cache_max: table.route_cache_max.get(),
            share_strategy: match table.share_strategy {
                ShareStrategy::RoundRobin => mynah_model::ShareStrategy::RoundRobin,
                ShareStrategy::Sticky => mynah_model::ShareStrategy::Sticky,
            },
        }
    }
}
