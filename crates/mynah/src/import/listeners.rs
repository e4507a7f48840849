//! Listeners of `mosquitto.conf`, as tables of TOML. One that would let in whom Mosquitto keeps out, or show more than it
//! does, is left out.

use std::net::IpAddr;

use super::lines::{Conf, Line, Section};
use super::notes::{Note, quoted};

/// A listener, translated.
#[derive(Debug)]
pub(super) struct Listener<'c> {
    /// Its tables, and that of its profile.
    pub(super) text: String,
    /// Whether clients without credentials are let in, here and there.
    pub(super) anonymous: bool,
    /// Whether names and passwords or certificates are taken.
    pub(super) users: bool,
    pub(super) acl: Option<&'c Line>,
    pub(super) passwords: Option<&'c Line>,
}

/// What is asked of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    Password,
    Certificate,
}

/// What keeps a listener out, with the reason.
const BARRED: &[(&str, &str)] = &[
    ("bind_interface", "it would listen on other interfaces too: name an address"),
    ("mount_point", "its clients would see all topics: topics are not moved for a listener"),
    ("psk_hint", "keys are those of users: see listener.tls_psk, and `mynah user add --psk`"),
    ("tls_engine", "keys are files"),
    (
        "use_subject_as_username",
        "the whole subject of a certificate cannot be a user's name: see identity_from",
    ),
    ("use_username_as_clientid", "clients could take the identifiers of others: use rules with %u"),
];

/// Translates a listener; what it may mean is noted. None if it is left out.
pub(super) fn listener<'c>(
    conf: &'c Conf,
    section: &'c Section,
    name: &str,
    notes: &mut Vec<Note>,
) -> Option<Listener<'c>> {
    match translated(conf, section, name, notes) {
        Ok(listener) => Some(listener),
        Err(mut note) => {
            let place = section.head.as_ref().map_or(String::new(), |head| format!(" of {}", head.place));
            note.why = format!("the listener{place} is left out: {}", note.why);
            notes.push(note);
            None
        }
    }
}

fn translated<'c>(
    conf: &'c Conf,
    section: &'c Section,
    name: &str,
    notes: &mut Vec<Note>,
) -> Result<Listener<'c>, Note> {
    let is_set = |line: &&Line| line.value != "false" && !line.value.is_empty();
    for (key, why) in BARRED {
        let of_both = *key == "use_subject_as_username" && section.is_true("use_identity_as_username");
        if let Some(line) = section.get(key).filter(is_set).filter(|_| !of_both) {
            return Err(line.note(*why));
        }
    }
    let (address, is_local) = address(conf, section)?;
    let mut text = format!(
        "\n[[listener]]\nname = {}\nprotocol = \"mqtt\"\naddress = {}\n",
        quoted(name),
        quoted(&address)
    );
    match section.get("protocol") {
        Some(line) if line.value == "websockets" => text.push_str("transport = \"websocket\"\n"),
        Some(line) if line.value != "mqtt" => return Err(line.note("this protocol is not spoken")),
        _ => {}
    }
    let profile = profile(conf, section, name, notes);
    if profile.is_some() {
        text += &format!("profile = {}\n", quoted(name));
    }
    let tls = tls(section, notes)?;
    let asks = section.is_true("require_certificate") && tls.is_some();
    let by_certificate = asks && section.is_true("use_identity_as_username");
    let passwords = conf.security(section, "password_file").filter(|_| !by_certificate);
    let anonymous = conf.allows_anonymous(section) && !by_certificate;
    let asked = match (by_certificate, anonymous) {
        (true, _) => Asked::Certificate,
        (false, true) if is_local => Asked::Nothing,
        (false, _) => Asked::Password,
    };
    if anonymous && !is_local {
        let why = "a listener that is open to the network never lets in clients without credentials: add users, \
                   or listen on an address of this machine";
        let place = conf.security(section, "allow_anonymous").map(|line| line.note(why));
        notes.extend(place);
    }
    text.push_str(match asked {
        Asked::Nothing => "auth = \"anonymous\"\n",
        Asked::Password => "auth = \"password\"\n",
        Asked::Certificate => "auth = \"certificate\"\n",
    });
    text.push_str(&tls.unwrap_or_default());
    text.push_str(&profile.unwrap_or_default());
    Ok(Listener {
        text,
        anonymous: asked == Asked::Nothing,
        users: passwords.is_some() || asked != Asked::Nothing,
        acl: conf.security(section, "acl_file"),
        passwords,
    })
}

/// Where it listens, and whether that is only on this machine.
fn address(conf: &Conf, section: &Section) -> Result<(String, bool), Note> {
    let (port, host, line) = match &section.head {
        Some(head) => {
            let (port, host) = head.value.split_once(' ').unwrap_or((&head.value, ""));
            (port, host.trim(), Some(head))
        }
        None => {
            let port = section.value("port").unwrap_or("1883");
            (port, section.value("bind_address").unwrap_or(""), section.get("bind_address"))
        }
    };
    let wrong = |why: &str| match line.or(section.get("port")) {
        Some(line) => line.note(why),
        None => Note::new("", "port", why),
    };
    let port: u16 = port.parse().map_err(|_| wrong("this is no port"))?;
    if port == 0 {
        let is_path = host.starts_with('/');
        let socket = is_path.then(|| (format!("unix:{host}"), true));
        return socket.ok_or_else(|| wrong("write the whole path of the socket"));
    }
    let ip: IpAddr = match (host, section.value("socket_domain")) {
        ("", _) if conf.is_local => IpAddr::from([127, 0, 0, 1]),
        ("", Some("ipv4")) => IpAddr::from([0; 4]),
        // It takes connections of IPv4 too.
        ("", _) => IpAddr::from([0; 16]),
        ("localhost", Some("ipv6")) => IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
        ("localhost", _) => IpAddr::from([127, 0, 0, 1]),
        (host, _) => host.parse().map_err(|_| wrong("write the IP address of this name"))?,
    };
    Ok((std::net::SocketAddr::new(ip, port).to_string(), ip.is_loopback()))
}

/// The table of TLS, if it is spoken.
fn tls(section: &Section, notes: &mut Vec<Note>) -> Result<Option<String>, Note> {
    let (certificate, key) = match (section.get("certfile"), section.get("keyfile")) {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, None) => {
            return section.get("cafile").map_or(Ok(None), |line| Err(line.note("certfile is missing")));
        }
        (Some(line), None) | (None, Some(line)) => {
            return Err(line.note("certfile and keyfile belong together"));
        }
    };
    let file = |key: &str, line: &Line| format!("{key} = {}\n", path(line));
    let mut text = format!("[listener.tls]\n{}{}", file("certificate", certificate), file("key", key));
    match section.get("tls_version") {
        Some(line) if line.value == "tlsv1.3" => text.push_str("min_version = \"1.3\"\n"),
        Some(line) if line.value == "tlsv1.1" => {
            notes.push(line.note("TLS 1.1 is not spoken: the lowest version is 1.2"));
        }
        _ => {}
    }
    if !section.is_true("require_certificate") {
        let idle = ["use_identity_as_username", "crlfile"].iter().filter_map(|key| section.get(key));
        notes.extend(idle.map(|line| line.note("this needs require_certificate, there and here")));
        return Ok(Some(text));
    }
    let missing = || certificate.note("require_certificate needs cafile");
    let authorities = section.get("cafile").ok_or_else(|| {
        section
            .get("capath")
            .map_or_else(missing, |line| line.note("write the authorities into one file: client_ca"))
    })?;
    notes.extend(section.get("capath").map(|line| line.note("authorities are in the file of cafile only")));
    text += &format!("client_certificates = \"required\"\n{}", file("client_ca", authorities));
    text += &section.get("crlfile").map_or(String::new(), |line| file("crl", line));
    if section.is_true("use_identity_as_username") {
        text.push_str("identity_from = \"common-name\"\n");
    }
    Ok(Some(text))
}

/// The table of its profile, if it needs one.
fn profile(conf: &Conf, section: &Section, name: &str, notes: &mut Vec<Note>) -> Option<String> {
    let mut text = String::new();
    if let Some(line) = section.get("max_qos") {
        text += &number(line, 0..=2, notes).map_or(String::new(), |qos| format!("qos_max = {qos}\n"));
    }
    if let Some(line) = section.get("max_topic_alias") {
        let aliases = number(line, 0..=1000, notes);
        text += &aliases.map_or(String::new(), |aliases| format!("topic_alias_max = {aliases}\n"));
    }
    if let Some(line) = conf.security(section, "allow_zero_length_clientid").filter(|_| conf.per_listener) {
        text += &format!("allow_empty_client_id = {}\n", line.is_true());
    }
    (!text.is_empty()).then(|| format!("\n[profile.{}]\n{text}", quoted(name)))
}

/// The number of an option, if it is within what is possible here; a note says if it is not.
pub(super) fn number(
    line: &Line,
    range: std::ops::RangeInclusive<u64>,
    notes: &mut Vec<Note>,
) -> Option<u64> {
    let number = line.value.parse().ok().filter(|number| range.contains(number));
    if number.is_none() {
        let why = format!("this is possible from {} to {} here", range.start(), range.end());
        notes.push(line.note(why));
    }
    number
}

/// A file that an option names, as text of TOML.
pub(super) fn path(line: &Line) -> String {
    let path = line.path();
    let path = std::path::absolute(&path).unwrap_or(path);
    quoted(&path.to_string_lossy())
}
