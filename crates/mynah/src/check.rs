//! `mynah check`, and the words in which the broker says what it listens on and what it leaves off.

use std::fmt::Write;
use std::path::Path;

use mynah_auth::{Users, UsersFile};
use mynah_net::Keeping;

use crate::complaint::Complaint;
use crate::config::{self, Bridge, Listener, Protocol, Settings};

/// Checks a configuration and prints what it means.
pub(crate) fn run(file: Option<&Path>) -> Result<(), Complaint> {
    let settings = config::load(file)?;
    if let Some(path) = &settings.users_file {
        let file = UsersFile::open(path)?;
        let users = Users::new(&file, &settings.tenants, None)?;
        println!("{}: {} users", path.display(), users.len());
        for warning in file.warnings() {
            println!("warning: {warning}");
        }
    }
    print!("{}", summary(&settings));
    Ok(())
}

fn publishes(listener: &Listener) -> bool {
    listener.protocol != Protocol::Management
}

/// Who is asked who a peer is, beside the users file.
fn asked(others: &config::Others) -> String {
    let mut text = String::new();
    if others.tokens.is_some() {
        text.push_str("tokens     are taken in place of passwords\n");
    }
    if others.hook.is_some() {
        text.push_str("hook       is asked about users that are not in the users file\n");
    }
    #[cfg(feature = "ldap")]
    if others.directory.is_some() {
        text.push_str("directory  is asked about users that nobody else decides about\n");
    }
    text
}

/// Which brokers topics are exchanged with.
fn bridged(bridges: &[Bridge]) -> String {
    let mut text = String::new();
    for bridge in bridges {
        let version = bridge.options.version.protocol_level();
        let spoken = if version == 5 { "5.0" } else { "3.1.1" };
        let layer = if bridge.tls.is_some() { ", over TLS" } else { "" };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "bridge     to {:<21} by MQTT {spoken} (`{}`{layer})",
            bridge.address, bridge.name
        );
    }
    text
}

/// What listens where, what is off, and how to open up.
pub(crate) fn summary(settings: &Settings) -> String {
    let mut text = String::new();
    for listener in &settings.listeners {
        let who = match (listener.admittance.anonymous, listener.admittance.passwords) {
            (true, _) if listener.address.is_local() => "anybody on this machine",
            // Nobody comes to such a listener from elsewhere without one.
            (true, _) if listener.protocol == Protocol::Management => "devices with a certificate",
            (true, _) => "anybody",
            (false, true) => "users with a password",
            (false, false) => "devices with a certificate",
        };
        let (protocol, address) = (listener.protocol.name(), listener.address.to_string());
        let (entrance, keeps) = (&listener.entrance, settings.store.is_some());
        let layers = [
            entrance.websocket.as_ref().map(|_| ", by WebSocket"),
            entrance.tls.as_ref().map(|_| ", over TLS"),
            Some(", behind proxies").filter(|_| !entrance.proxies.is_empty()),
            Some(", waits for no disk").filter(|_| keeps && !listener.waits && publishes(listener)),
        ];
        let layers: String = layers.into_iter().flatten().collect();
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{protocol:<10} on {address:<21} for {who} (listener `{}`{layers})",
            listener.name
        );
    }
    text.push_str(&bridged(&settings.bridges));
    let mut off = Vec::new();
    let is_local = settings.listeners.iter().all(|listener| listener.address.is_local());
    if is_local {
        off.push("the network (all listeners are on loopback)");
    }
    text.push_str(&asked(&settings.others));
    if settings.users_file.is_none() && settings.others.is_empty() {
        off.push("passwords");
    }
    if settings.rules.rules.is_empty() {
        off.push("rules (everybody may publish and subscribe everywhere)");
    } else {
        let _ = writeln!(text, "rules      {}", settings.rules.rules.len());
    }
    if settings.listeners.iter().all(|listener| listener.entrance.tls.is_none()) {
        off.push("TLS");
    }
    match &settings.store {
        Some(store) => {
            let kept = match store.keeping {
                Keeping::Sync => "on the disk before it is acknowledged",
                Keeping::Interval(_) => "on the disk some time after it is acknowledged",
            };
            let _ = writeln!(text, "store      in {:<21} {kept}", store.folder.display());
        }
        None => {
            off.push("storage (all state is in memory and gone at a restart)");
        }
    }
    let _ = writeln!(text, "off: {}", off.join(", "));
    if is_local {
        text.push_str(
            "to open up: make a users file (`mynah user add FILE USER`), name it and a [[listener]] with \
             address = \"0.0.0.0:1883\" in a configuration file, and start with `mynah serve -c FILE`\n",
        );
    }
    text
}
