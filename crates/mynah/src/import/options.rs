//! The options of `mosquitto.conf`, by mosquitto.conf(5) of Mosquitto 2.0: what each is about, and why those that are not
//! translated are not.

/// What an option is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Broker,
    Listener,
    /// The listener with `per_listener_settings`, else the broker.
    Security,
    Bridge,
}

/// An option.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) scope: Scope,
    /// Why it is not translated, if it is not.
    pub(super) untranslated: Option<&'static str>,
}

/// The option of this name.
pub(super) fn find(key: &str) -> Option<Setting> {
    let of = |scope| move |untranslated| Setting { scope, untranslated };
    let key = if key.starts_with("auth_opt_") || key.starts_with("plugin_opt_") { "plugin" } else { key };
    if let Some((_, scope)) = TRANSLATED.iter().find(|(keys, _)| keys.contains(&key)) {
        return Some(of(*scope)(None));
    }
    let (_, scope, why) = UNTRANSLATED.iter().find(|(keys, ..)| keys.contains(&key))?;
    Some(of(*scope)(Some(why)))
}

const TRANSLATED: &[(&[&str], Scope)] = &[
    (
        &[
            "allow_duplicate_messages",
            "max_inflight_messages",
            "max_packet_size",
            "max_queued_bytes",
            "max_queued_messages",
            "message_size_limit",
            "per_listener_settings",
            "persistence",
            "persistent_client_expiration",
            "retain_available",
            "sys_interval",
        ],
        Scope::Broker,
    ),
    (&["acl_file", "allow_anonymous", "allow_zero_length_clientid", "password_file"], Scope::Security),
    (
        &[
            "bind_address",
            "bind_interface",
            "cafile",
            "capath",
            "certfile",
            "crlfile",
            "keyfile",
            "listener",
            "max_qos",
            "max_topic_alias",
            "mount_point",
            "port",
            "protocol",
            "psk_hint",
            "require_certificate",
            "socket_domain",
            "tls_engine",
            "tls_version",
            "use_identity_as_username",
            "use_subject_as_username",
            "use_username_as_clientid",
        ],
        Scope::Listener,
    ),
    (
        &[
            "address",
            "addresses",
            "bridge_cafile",
            "bridge_capath",
            "bridge_certfile",
            "bridge_identity",
            "bridge_insecure",
            "bridge_keyfile",
            "bridge_protocol_version",
            "bridge_psk",
            "cleansession",
            "clientid",
            "connection",
            "keepalive_interval",
            "password",
            "remote_clientid",
            "remote_password",
            "remote_username",
            "start_type",
            "topic",
            "try_private",
            "username",
        ],
        Scope::Bridge,
    ),
];

#[rustfmt::skip]
const UNTRANSLATED: &[(&[&str], Scope, &str)] = &[
    (&["auth_plugin", "plugin", "auth_plugin_deny_special_chars"], Scope::Security,
     "plugins of Mosquitto do not run here: see [auth.http], [auth.jwt] and [auth.ldap]"),
    (&["psk_file"], Scope::Security,
     "keys are in the lines of users, `psk=…`: see listener.tls_psk, and `mynah user add --psk`"),
    (&["auto_id_prefix"], Scope::Security, "client identifiers that the broker chooses have no prefix of yours"),
    (&["autosave_interval", "autosave_on_changes", "retained_persistence"], Scope::Broker,
     "the store is written all the time: see store.durability"),
    (&["persistence_file", "persistence_location"], Scope::Broker,
     "the database of Mosquitto is not read; where the store is says store.path"),
    (&["check_retain_source"], Scope::Broker,
     "whether the publisher of a retained value still may publish is not asked"),
    (&["clientid_prefixes"], Scope::Broker, "every client identifier may connect: rules speak of users"),
    (&["connection_messages", "log_dest", "log_facility", "log_timestamp", "log_timestamp_format", "log_type",
       "websockets_log_level"], Scope::Broker, "the log goes to standard error: see [log]"),
    (&["max_inflight_bytes"], Scope::Broker, "deliveries that are not confirmed are bounded by their number"),
    (&["max_keepalive"], Scope::Broker,
     "mqtt.keep_alive_s_max would be it, but clients of MQTT 3.1.1 that ask for more are refused by that"),
    (&["memory_limit"], Scope::Broker, "memory is bounded by what is kept: see [limits]"),
    (&["pid_file", "user"], Scope::Broker, "this is for whoever starts the broker, such as systemd"),
    (&["queue_qos0_messages"], Scope::Broker, "messages of QoS 0 are not kept for clients that are away"),
    (&["retry_interval", "set_tcp_nodelay"], Scope::Broker, "this is not needed"),
    (&["upgrade_outgoing_qos"], Scope::Broker, "messages cross with the lower of both QoS, as MQTT says"),
    (&["websockets_headers_size"], Scope::Broker, "see listener.websocket.request_bytes_max"),
    (&["ciphers", "ciphers_tls1.3", "dhparamfile"], Scope::Listener,
     "the cipher suites are those of rustls: all of them are good"),
    (&["http_dir"], Scope::Listener, "files are not served"),
    (&["max_connections"], Scope::Listener, "connections are bounded for all listeners: see limits.connections_max"),
    (&["tls_engine_kpass_sha1", "tls_keyform"], Scope::Listener, "keys are files"),
    (&["bridge_alpn", "bridge_attempt_unsubscribe", "bridge_bind_address", "bridge_max_packet_size",
       "bridge_outgoing_retain", "bridge_require_ocsp", "bridge_tls_version", "idle_timeout", "restart_timeout",
       "round_robin", "threshold"], Scope::Bridge, "bridges have nothing like this"),
    (&["local_cleansession"], Scope::Bridge, "bridge.clean is about both sides"),
    (&["local_clientid", "local_password", "local_username"], Scope::Bridge,
     "a bridge needs no login here: it has the identity bridge:NAME"),
    (&["notifications", "notifications_local_only", "notification_topic"], Scope::Bridge,
     "the state of bridges is not published: it is in the log and in the metrics"),
];
