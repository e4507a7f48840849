//! What stands between a listener's socket and its protocol: proxies, TLS, WebSocket. The files of TLS are read here,
//! so that what is wrong with one is told with its place in the configuration.

use std::path::Path;
use std::sync::Arc;

use mynah_engine::websocket;
use mynah_net::{
    Address, CertificateFiles, ClientCertificates, Dtls, Entrance, Network, Tls, TlsError, TlsFile,
    TlsSettings, TlsVersion,
};
use toml::Spanned;

use super::coap::Coap;
use super::document::{self, Document, Transport};
use super::listeners::Protocol;
use super::settings::Wrong;

/// What ALPN calls HTTP, and the handshake of WebSocket.
const HTTP: &[u8] = b"http/1.1";
/// Bounds of the head of a handshake of WebSocket, in bytes.
const REQUEST_BYTES: std::ops::RangeInclusive<usize> = 256..=65_536;
/// Bounds of a message of WebSocket, in bytes.
const MESSAGE_BYTES: std::ops::RangeInclusive<u64> = 1_024..=1 << 40;

pub(super) fn entrance(
    written: &document::Listener,
    protocol: Protocol,
    (address, folder): (&Address, &Path),
    coap: &Coap,
) -> Result<Entrance, Wrong> {
    let websocket = websocket(written, protocol, coap)?;
    let by_dtls = written.transport.as_ref().is_some_and(|transport| *transport.get_ref() == Transport::Dtls);
    if let (Address::Datagrams(_), Some(tls), false) = (address, &written.tls, by_dtls) {
        let message = "TLS is for transport = \"tcp\"; over datagrams it is transport = \"dtls\"";
        return Err(Wrong::at(tls, message));
    }
    if by_dtls {
        let dtls = Some(dtls(written, folder)?);
        return Ok(Entrance { proxies: proxies(written, protocol, address)?, dtls, ..Entrance::default() });
    }
    let alpn = match protocol {
        _ if websocket.is_some() => HTTP,
        Protocol::Mqtt | Protocol::Stomp | Protocol::Coap => protocol.name().as_bytes(),
        Protocol::Amqp091 => b"amqp",
        Protocol::Http | Protocol::Management => HTTP,
    };
    let tls = written.tls.as_ref().map(|tls| self::tls(tls, alpn, folder)).transpose()?;
    Ok(Entrance { proxies: proxies(written, protocol, address)?, tls, dtls: None, websocket })
}

fn proxies(
    written: &document::Listener,
    protocol: Protocol,
    address: &Address,
) -> Result<Vec<Network>, Wrong> {
    let Some(proxies) = &written.proxies else { return Ok(Vec::new()) };
    if !protocol.has_sockets() || address.inet().is_none() {
        return Err(Wrong::at(
            proxies,
            "the PROXY protocol is for listeners of MQTT, AMQP or STOMP with an IP address",
        ));
    }
    if proxies.get_ref().is_empty() {
        return Err(Wrong::at(proxies, "name the networks of the proxies, or leave the key out"));
    }
    let network =
        |text: &Spanned<String>| text.get_ref().parse().map_err(|wrong: &str| Wrong::at(text, wrong));
    proxies.get_ref().iter().map(network).collect()
}

fn websocket(
    written: &document::Listener,
    protocol: Protocol,
    coap: &Coap,
) -> Result<Option<Arc<websocket::Settings>>, Wrong> {
    let transport = written.transport.as_ref().filter(|t| *t.get_ref() == Transport::WebSocket);
    let (transport, settings) = match (transport, &written.websocket) {
        (Some(transport), settings) => (transport, settings.as_ref().map(Spanned::get_ref)),
        (None, Some(useless)) => {
            return Err(Wrong::at(useless, "this says nothing without transport = \"websocket\""));
        }
        (None, None) => return Ok(None),
    };
    let mut protocols = protocol.sub_protocols(coap);
    if protocols.is_empty() {
        return Err(Wrong::at(transport, "WebSocket is for listeners of MQTT, AMQP, STOMP or CoAP"));
    }
    for (stack, beside) in (1..).zip(protocol.beside()) {
        protocols.extend(beside.sub_protocols(coap).into_iter().map(|beside| beside.of_stack(stack)));
    }
    let default = document::WebSocket::default();
    let settings = settings.unwrap_or(&default);
    let mut paths: Vec<Box<str>> = Vec::new();
    let is_path = |text: &str| {
        text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?')
    };
    for path in &settings.paths {
        if !is_path(path.get_ref()) {
            return Err(Wrong::at(path, "write a path as it stands in a URL, such as \"/mqtt\""));
        }
        paths.push(path.get_ref().as_str().into());
    }
    let (request, message) = (&settings.request_bytes_max, &settings.message_bytes_max);
    if !REQUEST_BYTES.contains(request.get_ref()) {
        return Err(Wrong::at(request, "request_bytes_max must be 256 to 65536 bytes"));
    }
    if !MESSAGE_BYTES.contains(message.get_ref()) {
        return Err(Wrong::at(message, "message_bytes_max must be 1024 to 1099511627776 bytes"));
    }
    Ok(Some(Arc::new(websocket::Settings {
        paths,
        protocols,
        // RabbitMQ's and ActiveMQ's clients offer nothing.
        unnamed: (protocol == Protocol::Stomp).then_some(0),
        request_bytes_max: *request.get_ref(),
        message_bytes_max: *message.get_ref(),
    })))
}

/// Whether peers come in by TLS with the keys that they share with the broker.
pub(super) fn tls_psk(
    written: &document::Listener,
    protocol: Protocol,
    address: &Address,
    document: &Document,
) -> Result<bool, Wrong> {
    let Some(key) = written.tls_psk.as_ref().filter(|key| *key.get_ref()) else { return Ok(false) };
    let wrong = if !cfg!(feature = "tls-psk") {
        "this program has no TLS with pre-shared keys: build it with `--features tls-psk`"
    } else if !protocol.has_sockets() {
        "TLS with pre-shared keys is for listeners of MQTT, AMQP, STOMP or CoAP"
    } else if matches!(address, Address::Datagrams(_)) {
        "TLS is for transport = \"tcp\""
    } else if written.tls.is_some() {
        "a listener has certificates, which are listener.tls, or keys: make two of it"
    } else if document.auth.users_file.is_none() {
        "there are no keys: set users_file under [auth] (`mynah user add --psk` makes one)"
    } else {
        return Ok(true);
    };
    Err(Wrong::at(key, wrong))
}

fn tls(spanned: &Spanned<document::Tls>, alpn: &[u8], folder: &Path) -> Result<Arc<Tls>, Wrong> {
    let settings = tls_settings(spanned, alpn, folder)?;
    Tls::load(settings).map(Arc::new).map_err(|error| wrong_file(spanned, &error))
}

/// DTLS has the files of TLS, if there are any; keys are those of users.
fn dtls(written: &document::Listener, folder: &Path) -> Result<Arc<Dtls>, Wrong> {
    let Some(spanned) = &written.tls else {
        return Dtls::load(None)
            .map(Arc::new)
            .map_err(|error| Wrong::at(&written.address, error.to_string()));
    };
    let version = &spanned.get_ref().min_version;
    if *version == document::TlsVersion::V1_3 {
        return Err(Wrong::at(spanned, "DTLS is spoken in version 1.2: leave min_version out"));
    }
    let settings = tls_settings(spanned, b"coap", folder)?;
    Dtls::load(Some(settings)).map(Arc::new).map_err(|error| wrong_file(spanned, &error))
}

fn tls_settings(spanned: &Spanned<document::Tls>, alpn: &[u8], folder: &Path) -> Result<TlsSettings, Wrong> {
    let written = spanned.get_ref();
    let file = |path: &Spanned<String>| folder.join(path.get_ref());
    let mut certificates =
        vec![CertificateFiles { certificate: file(&written.certificate), key: file(&written.key) }];
    for pair in &written.additional {
        certificates.push(CertificateFiles { certificate: file(&pair.certificate), key: file(&pair.key) });
    }
    let client_certificates = match written.client_certificates {
        document::ClientCertificates::None => ClientCertificates::None,
        document::ClientCertificates::Optional => ClientCertificates::Optional,
        document::ClientCertificates::Required => ClientCertificates::Required,
    };
    let asks = client_certificates != ClientCertificates::None;
    if let Some(useless) = written.identity_from.as_ref().filter(|_| !asks) {
        let message = "this says nothing unless client_certificates is \"optional\" or \"required\"";
        return Err(Wrong::at(useless, message));
    }
    match (&written.client_ca, &written.crl) {
        (None, _) if asks => {
            let message =
                "client_ca is missing: the file with the authorities whose certificates clients may show";
            return Err(Wrong::at(spanned, message));
        }
        (Some(useless), _) | (None, Some(useless)) if !asks => {
            let message = "this says nothing unless client_certificates is \"optional\" or \"required\"";
            return Err(Wrong::at(useless, message));
        }
        _ => {}
    }
    Ok(TlsSettings {
        certificates,
        client_certificates,
        client_ca: written.client_ca.as_ref().map(file),
        crl: written.crl.as_ref().map(file),
        min_version: match written.min_version {
            document::TlsVersion::V1_2 => TlsVersion::V1_2,
            document::TlsVersion::V1_3 => TlsVersion::V1_3,
        },
        alpn: vec![alpn.to_vec()],
    })
}

/// What is wrong with a file, at the key that names it.
fn wrong_file(spanned: &Spanned<document::Tls>, error: &TlsError) -> Wrong {
    let written = spanned.get_ref();
    let additional = |place: usize| place.checked_sub(1).and_then(|place| written.additional.get(place));
    let key = match error.file {
        Some(TlsFile::Certificate(place)) => {
            Some(additional(place).map_or(&written.certificate, |pair| &pair.certificate))
        }
        Some(TlsFile::Key(place)) => Some(additional(place).map_or(&written.key, |pair| &pair.key)),
        Some(TlsFile::ClientCa) => written.client_ca.as_ref(),
        Some(TlsFile::Crl) => written.crl.as_ref(),
        Some(TlsFile::Ca) | None => None,
    };
    key.map_or_else(|| Wrong::at(spanned, error.to_string()), |key| Wrong::at(key, error.to_string()))
}
