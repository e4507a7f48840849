//! `mynah check`, and the words in which the broker says what it listens on and what it leaves off.

use std::fmt::Write;
use std::path::Path;

use mynah_auth::PasswordFile;

use crate::complaint::Complaint;
use crate::config::{self, Settings};

/// Checks a configuration and prints what it means.
pub(crate) fn run(file: Option<&Path>) -> Result<(), Complaint> {
    let settings = config::load(file)?;
    if let Some(path) = &settings.password_file {
        let passwords = PasswordFile::open(path)?;
        println!("{}: {} users", path.display(), passwords.entries().count());
        if let Some(warning) = passwords.warning() {
            println!("warning: {warning}");
        }
    }
    print!("{}", summary(&settings));
    Ok(())
}

/// What listens where, what is off, and how to open up.
pub(crate) fn summary(settings: &Settings) -> String {
    let mut text = String::new();
    for listener in &settings.listeners {
        let who = if listener.anonymous { "anybody on this machine" } else { "users with a password" };
        let (protocol, address) = (listener.protocol.name(), listener.address);
        // Writing to a string does not fail.
        let _ = writeln!(text, "{protocol:<10} on {address:<21} for {who} (listener `{}`)", listener.name);
    }
    let mut off = Vec::new();
    if settings.listeners.iter().all(|listener| listener.address.ip().is_loopback()) {
        off.push("the network (all listeners are on loopback)");
    }
    if settings.password_file.is_none() {
        off.push("passwords");
    }
    if settings.access.is_unrestricted() {
        off.push("access rules (everybody may publish and subscribe everywhere)");
    }
    off.push("TLS");
    off.push("storage (all state is in memory and gone at a restart)");
    let _ = writeln!(text, "off: {}", off.join(", "));
    if settings.listeners.iter().all(|listener| listener.address.ip().is_loopback()) {
        text.push_str(
            "to open up: make a password file (`mynah passwd add FILE USER`), name it and a [[listener]] with \
             address = \"0.0.0.0:1883\" in a configuration file, and start with `mynah serve -c FILE`\n",
        );
    }
    text
}
