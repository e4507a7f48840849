//! From the file as it is written to what the crates take: defaults, bounds, and the rule that nobody is let in from
//! the network without credentials.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
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
use super::document::{self, AuthMode, DiscouragedCharacters, Document, LogLevel};

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

/// A place where peers come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
    pub(crate) address: SocketAddr,
    /// Whether a peer without credentials is let in.
    pub(crate) anonymous: bool,
}

/// What is spoken at a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Mqtt,
    Http,
    Management,
}

impl Protocol {
    const ALL: [Self; 3] = [Self::Mqtt, Self::Http, Self::Management];

    /// The protocol's name in the configuration.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Http => "http",
            Self::Management => "management",
        }
    }

    /// The port that its clients expect.
    const fn port(self) -> u16 {
        match self {
            Self::Mqtt => 1883,
            Self::Http => 8080,
            Self::Management => 9090,
        }
    }
}

/// Something wrong at a place of the file, in bytes.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) span: Range<usize>,
    pub(super) message: String,
}

impl Wrong {
    fn at<T>(place: &Spanned<T>, message: impl Into<String>) -> Self {
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
    let listeners = listeners(&document.listener, has_passwords, &mut wrongs);
    let access = rules(&document.access, &mut wrongs).with_check(match document.access_check {
        document::AccessCheck::Subscription => Check::Subscription,
        document::AccessCheck::Delivery => Check::Delivery,
    });
    let mqtt = mqtt(&document.mqtt).map_err(|wrong| wrongs.push(wrong));
    let http = http(&document.http).map_err(|wrong| wrongs.push(wrong));
    let (Ok(mqtt), Ok(http), true) = (mqtt, http, wrongs.is_empty()) else {
        return Err(wrongs);
    };
    let folder = path.parent().unwrap_or(Path::new(""));
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

/// The listeners of the file; without any, one for each protocol on its standard port, for this machine only.
fn listeners(written: &[document::Listener], has_passwords: bool, wrongs: &mut Vec<Wrong>) -> Vec<Listener> {
    if written.is_empty() {
        let listener = |protocol: Protocol| Listener {
            name: protocol.name().to_owned(),
            protocol,
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), protocol.port()),
            anonymous: !has_passwords || protocol == Protocol::Management,
        };
        return Protocol::ALL.map(listener).into();
    }
    let mut settled: Vec<Listener> = Vec::new();
    for listener in written {
        match self::listener(listener, has_passwords, &settled) {
            Ok(listener) => settled.push(listener),
            Err(wrong) => wrongs.push(wrong),
        }
    }
    settled
}

fn listener(
    written: &document::Listener,
    has_passwords: bool,
    others: &[Listener],
) -> Result<Listener, Wrong> {
    let name = written.name.get_ref();
    if name.is_empty() {
        return Err(Wrong::at(&written.name, "a listener needs a name: it appears in logs and metrics"));
    }
    if others.iter().any(|other| other.name == *name) {
        return Err(Wrong::at(&written.name, format!("another listener is called `{name}` too; rename one")));
    }
    let wrong_address =
        "write an IP address and a port, such as \"127.0.0.1:1883\", \"0.0.0.0:1883\" or \"[::]:1883\"";
    let address: SocketAddr =
        written.address.get_ref().parse().map_err(|_| Wrong::at(&written.address, wrong_address))?;
    if let Some(other) = others.iter().find(|other| other.address == address && address.port() != 0) {
        let message = format!("listener `{}` listens on {address} already; choose another port", other.name);
        return Err(Wrong::at(&written.address, message));
    }
    let protocol = match written.protocol {
        document::Protocol::Mqtt => Protocol::Mqtt,
        document::Protocol::Http => Protocol::Http,
        document::Protocol::Management => Protocol::Management,
    };
    let anonymous = anonymous(written, protocol, address, has_passwords)?;
    Ok(Listener { name: name.clone(), protocol, address, anonymous })
}

/// Whether a listener lets in who has no credentials, if it may.
fn anonymous(
    written: &document::Listener,
    protocol: Protocol,
    address: SocketAddr,
    has_passwords: bool,
) -> Result<bool, Wrong> {
    let place = written.auth.as_ref().map_or_else(|| written.address.span(), Spanned::span);
    let open = !address.ip().is_loopback();
    let mode = written.auth.as_ref().map(|mode| *mode.get_ref());
    if protocol == Protocol::Management {
        if open || mode == Some(AuthMode::Password) {
            let message = "a management listener asks for no password: keep it anonymous, on an address of this machine";
            return Err(Wrong { span: place, message: message.to_owned() });
        }
        return Ok(true);
    }
    let default = if has_passwords { AuthMode::Password } else { AuthMode::Anonymous };
    match mode.unwrap_or(default) {
        AuthMode::Anonymous if open => {
            let message = format!(
                "{address} is open to the network, and this listener would let anybody in: set auth = \"password\", and \
                 password_file under [auth]"
            );
            Err(Wrong { span: place, message })
        }
        AuthMode::Password if !has_passwords => {
            let message = "there are no passwords to check: set password_file under [auth] (`mynah passwd add` makes one)";
            Err(Wrong { span: place, message: message.to_owned() })
        }
        mode => Ok(mode == AuthMode::Anonymous),
    }
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
