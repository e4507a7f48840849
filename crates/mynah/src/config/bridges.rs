//! Bridges: which other brokers topics are exchanged with, and how.

use std::path::Path;
use std::sync::Arc;

use mynah_model::{Class, Topic};
use mynah_mqtt::client::{Options, OptionsV5};
use mynah_mqtt::mapping::EXPIRY_NEVER;
use mynah_mqtt::wire::{TextRule, check_topic_filter};
use mynah_mqtt::{Version, bridge};
use mynah_net::{CertificateFiles, ClientTls, ClientTlsSettings, ServerName, TlsError, TlsFile};
use toml::Spanned;

use super::document::{self, BridgeVersion};
use super::settings::Wrong;

/// A bridge to another broker.
#[derive(Clone, Debug)]
pub(crate) struct Bridge {
    pub(crate) name: String,
    /// Host and port.
    pub(crate) address: String,
    pub(crate) tls: Option<Arc<ClientTls>>,
    pub(crate) options: Options,
    pub(crate) receive_max: u16,
    pub(crate) bridge_bit: bool,
    pub(crate) topics: Vec<Topics>,
}

/// Topics that cross a bridge.
#[derive(Clone, Debug)]
pub(crate) struct Topics {
    pub(crate) direction: bridge::Direction,
    pub(crate) filter: String,
    pub(crate) local_prefix: String,
    pub(crate) remote_prefix: String,
    pub(crate) class_max: Class,
}

/// The bridges of the file. Paths in it are taken from `folder`.
pub(super) fn bridges(
    written: &[document::Bridge],
    packet_bytes_max: usize,
    folder: &Path,
    wrongs: &mut Vec<Wrong>,
) -> Vec<Bridge> {
    let mut settled: Vec<Bridge> = Vec::new();
    for bridge in written {
        match self::bridge(bridge, packet_bytes_max, folder, &settled) {
            Ok(bridge) => settled.push(bridge),
            Err(wrong) => wrongs.push(wrong),
        }
    }
    settled
}

fn bridge(
    written: &document::Bridge,
    packet_bytes_max: usize,
    folder: &Path,
    others: &[Bridge],
) -> Result<Bridge, Wrong> {
    let name = written.name.get_ref();
    if name.is_empty() || Topic::new(name.as_bytes()).is_err() {
        return Err(Wrong::at(&written.name, "a bridge needs a name, without `+` and `#`"));
    }
    if others.iter().any(|other| other.name == *name) {
        return Err(Wrong::at(&written.name, format!("another bridge is called `{name}` too; rename one")));
    }
    let address = written.address.get_ref();
    let is_place =
        |host: &str, port: &str| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0);
    let Some((host, _)) = address.rsplit_once(':').filter(|(host, port)| is_place(host, port)) else {
        let message = "write a host and a port, such as \"broker.example:1883\"";
        return Err(Wrong::at(&written.address, message));
    };
    if written.bridge_bit && written.version == BridgeVersion::V5 {
        let message = "only MQTT 3.1.1 has a bridge_bit; MQTT 5.0 asks for No Local instead";
        return Err(Wrong::at(&written.name, message));
    }
    if written.topics.get_ref().is_empty() {
        return Err(Wrong::at(&written.topics, "no topic crosses this bridge: say which"));
    }
    Ok(Bridge {
        name: name.clone(),
        address: address.clone(),
        tls: written.tls.as_ref().map(|tls| self::tls(tls, host, &written.address, folder)).transpose()?,
        options: options(written, packet_bytes_max, folder)?,
        receive_max: written.receive_max.get(),
        bridge_bit: written.bridge_bit,
        topics: written.topics.get_ref().iter().map(topics).collect::<Result<_, _>>()?,
    })
}

fn tls(
    spanned: &Spanned<document::BridgeTls>,
    host: &str,
    address: &Spanned<String>,
    folder: &Path,
) -> Result<Arc<ClientTls>, Wrong> {
    let written = spanned.get_ref();
    let file = |path: &Spanned<String>| folder.join(path.get_ref());
    let certificate = match (&written.certificate, &written.key) {
        (Some(certificate), Some(key)) => {
            Some(CertificateFiles { certificate: file(certificate), key: file(key) })
        }
        (Some(certificate), None) => {
            return Err(Wrong::at(certificate, "a certificate needs its key: set key"));
        }
        (None, Some(key)) => return Err(Wrong::at(key, "a key needs its certificate: set certificate")),
        (None, None) => None,
    };
    let (place, name) = match &written.server_name {
        Some(name) => (name, name.get_ref().as_str()),
        // An IPv6 address stands in brackets.
        None => (address, host.trim_start_matches('[').trim_end_matches(']')),
    };
    let server_name = ServerName::try_from(name.to_owned())
        .map_err(|_| Wrong::at(place, format!("no certificate can be for `{name}`: set tls.server_name")))?;
    let settings = ClientTlsSettings { ca: file(&written.ca), certificate, server_name };
    ClientTls::load(settings).map(Arc::new).map_err(|error| wrong_file(spanned, &error))
}

/// What is wrong with a file, at the key that names it.
fn wrong_file(spanned: &Spanned<document::BridgeTls>, error: &TlsError) -> Wrong {
    let written = spanned.get_ref();
    let key = match error.file {
        Some(TlsFile::Ca) => Some(&written.ca),
        Some(TlsFile::Certificate(_)) => written.certificate.as_ref(),
        Some(TlsFile::Key(_)) => written.key.as_ref(),
        Some(TlsFile::ClientCa | TlsFile::Crl) | None => None,
    };
    key.map_or_else(|| Wrong::at(spanned, error.to_string()), |key| Wrong::at(key, error.to_string()))
}

fn options(written: &document::Bridge, packet_bytes_max: usize, folder: &Path) -> Result<Options, Wrong> {
    let client_id = match &written.client_id {
        Some(id) if id.get_ref().is_empty() => {
            return Err(Wrong::at(id, "the other broker finds the session by this: it cannot be empty"));
        }
        Some(id) => id.get_ref().clone(),
        None => format!("mynah-{}", written.name.get_ref()),
    };
    let password = match (&written.password_file, &written.user) {
        (Some(file), None) if written.version == BridgeVersion::V3_1_1 => {
            return Err(Wrong::at(file, "MQTT 3.1.1 has no password without a user: set user"));
        }
        (Some(file), _) => {
            let path = folder.join(file.get_ref());
            let text = std::fs::read_to_string(&path)
                .map_err(|error| Wrong::at(file, format!("{}: {error}", path.display())))?;
            Some(text.lines().next().unwrap_or_default().as_bytes().into())
        }
        (None, _) => None,
    };
    let session_expiry = if written.clean { 0 } else { EXPIRY_NEVER };
    Ok(Options {
        version: match written.version {
            BridgeVersion::V3_1_1 => Version::V3_1_1,
            BridgeVersion::V5 => Version::V5,
        },
        clean_session: written.clean,
        keep_alive: written.keep_alive_s,
        user_name: written.user.as_ref().map(|user| user.get_ref().as_str().into()),
        password,
        packet_bytes_max,
        v5: OptionsV5 { session_expiry, ..OptionsV5::default() },
        ..Options::new(&client_id)
    })
}

fn topics(written: &document::BridgeTopic) -> Result<Topics, Wrong> {
    let is_prefix = |text: &String| text.is_empty() || Topic::new(text.as_bytes()).is_ok();
    if !is_prefix(&written.local_prefix) || !is_prefix(&written.remote_prefix) {
        let message = "a prefix is the beginning of a topic, without wildcards";
        return Err(Wrong::at(&written.filter, message));
    }
    let filter = written.filter.get_ref();
    for prefix in [&written.local_prefix, &written.remote_prefix] {
        let text = [prefix.as_str(), filter].concat();
        check_topic_filter(text.as_bytes(), TextRule::RefuseDiscouraged)
            .map_err(|error| Wrong::at(&written.filter, error.to_string()))?;
    }
    Ok(Topics {
        direction: match written.direction {
            document::Direction::In => bridge::Direction::In,
            document::Direction::Out => bridge::Direction::Out,
            document::Direction::Both => bridge::Direction::Both,
        },
        filter: filter.clone(),
        local_prefix: written.local_prefix.clone(),
        remote_prefix: written.remote_prefix.clone(),
        class_max: Class::from_number(*written.qos.get_ref())
            .ok_or_else(|| Wrong::at(&written.qos, "write 0, 1 or 2"))?,
    })
}
