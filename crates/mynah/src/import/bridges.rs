//! Bridges of `mosquitto.conf`, as tables of TOML.

use super::lines::{Line, Section};
use super::listeners::{number, path};
use super::notes::{Note, quoted};

/// A bridge, translated.
#[derive(Debug)]
pub(super) struct Bridge {
    pub(super) name: String,
    pub(super) text: String,
    /// The file that has its password, and the password.
    pub(super) password: Option<(String, String)>,
}

/// Translates a bridge; what it may mean is noted. None if it is left out.
pub(super) fn bridge(section: &Section, notes: &mut Vec<Note>) -> Option<Bridge> {
    match translated(section, notes) {
        Ok(bridge) => bridge,
        Err(mut note) => {
            note.why = format!("the bridge is left out: {}", note.why);
            notes.push(note);
            None
        }
    }
}

fn translated(section: &Section, notes: &mut Vec<Note>) -> Result<Option<Bridge>, Note> {
    let Some(head) = &section.head else { return Ok(None) };
    let name = head.value.clone();
    for key in ["bridge_identity", "bridge_psk"] {
        section.get(key).map_or(Ok(()), |line| Err(line.note("TLS with pre-shared keys is not spoken")))?;
    }
    let tls = tls(section)?;
    let mut text = format!(
        "\n[[bridge]]\nname = {}\naddress = {}\n",
        quoted(&name),
        quoted(&address(section, head, notes)?)
    );
    match section.value("bridge_protocol_version") {
        Some("mqttv50") => text.push_str("version = \"5.0\"\n"),
        Some("mqttv31") => notes.extend(
            section.get("bridge_protocol_version").map(|line| line.note("3.1.1 is spoken in place of 3.1")),
        ),
        _ => {}
    }
    let first = |keys: [&str; 2]| keys.into_iter().find_map(|key| section.value(key));
    if let Some(id) = first(["remote_clientid", "clientid"]) {
        text += &format!("client_id = {}\n", quoted(id));
    }
    let mut password = None;
    if let Some(user) = first(["remote_username", "username"]) {
        text += &format!("user = {}\n", quoted(user));
        if let Some(secret) = first(["remote_password", "password"]) {
            let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
            let file =
                format!("bridge-{}-{}.password", name.replace(|c| plain(c) != c, "_"), head.place.line);
            text += &format!("password_file = {}\n", quoted(&file));
            password = Some((file, secret.to_owned()));
        }
    }
    if section.is_true("cleansession") {
        text.push_str("clean = true\n");
    }
    if let Some(line) = section.get("keepalive_interval") {
        let seconds = number(line, 0..=65_535, notes);
        text += &seconds.map_or(String::new(), |seconds| format!("keep_alive_s = {seconds}\n"));
    }
    if section.is_true("try_private") {
        text.push_str("bridge_bit = true\n");
    }
    if let Some(line) = section.get("start_type").filter(|line| line.value != "automatic") {
        notes.push(line.note("a bridge connects at the start and whenever the connection is lost"));
    }
    let topics = section.lines.iter().filter(|line| line.key == "topic");
    let topics: Vec<_> = topics.filter_map(|line| topic(line, notes)).collect();
    if topics.is_empty() {
        return Err(head.note("no topic crosses it"));
    }
    text += &format!("topics = [\n{}]\n", topics.concat());
    Ok(Some(Bridge { name, text: text + &tls, password }))
}

/// The first address; others are noted.
fn address(section: &Section, head: &Line, notes: &mut Vec<Note>) -> Result<String, Note> {
    let line = section.get("address").or_else(|| section.get("addresses"));
    let line = line.ok_or_else(|| head.note("it has no address"))?;
    let mut addresses = line.value.split_whitespace();
    let first = addresses.next().ok_or_else(|| line.note("it has no address"))?;
    if addresses.next().is_some() {
        notes.push(line.note(format!("a bridge has one address: {first} is taken")));
    }
    Ok(if first.contains(':') { first.to_owned() } else { format!("{first}:1883") })
}

fn tls(section: &Section) -> Result<String, Note> {
    if let Some(line) = section.get("bridge_insecure").filter(|line| line.is_true()) {
        return Err(
            line.note("the other broker's certificate is always looked at: see bridge.tls.server_name")
        );
    }
    let Some(authorities) = section.get("bridge_cafile") else {
        let line =
            ["bridge_capath", "bridge_certfile", "bridge_keyfile"].iter().find_map(|key| section.get(key));
        return line.map_or(Ok(String::new()), |line| {
            Err(line.note("TLS needs the authorities in one file: bridge_cafile"))
        });
    };
    let mut text = format!("[bridge.tls]\nca = {}\n", path(authorities));
    if let (Some(certificate), Some(key)) = (section.get("bridge_certfile"), section.get("bridge_keyfile")) {
        text += &format!("certificate = {}\nkey = {}\n", path(certificate), path(key));
    }
    Ok(text)
}

/// `topic pattern [[[out | in | both] qos-level] local-prefix remote-prefix]`
fn topic(line: &Line, notes: &mut Vec<Note>) -> Option<String> {
    let words: Vec<&str> = line.value.split_whitespace().collect();
    let word = |at: usize| words.get(at).copied().filter(|word| *word != "\"\"");
    let Some(filter) = word(0) else {
        notes.push(line.note("one topic cannot cross under another name; a tree can, by its prefixes"));
        return None;
    };
    let direction = word(1).unwrap_or("out").to_lowercase();
    let qos = word(2).unwrap_or("0");
    if !["in", "out", "both"].contains(&&*direction) || !["0", "1", "2"].contains(&qos) {
        notes.push(line.note("Mosquitto does not take this line"));
        return None;
    }
    let mut text =
        format!("    {{ direction = {}, filter = {}, qos = {qos}", quoted(&direction), quoted(filter));
    for (key, at) in [("local_prefix", 3), ("remote_prefix", 4)] {
        text += &word(at).map_or(String::new(), |prefix| format!(", {key} = {}", quoted(prefix)));
    }
    Some(text + " },\n")
}
