//! Tests of TLS without sockets: which certificate a client gets, who gets in, and what a change of the files does.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::client::Resumption;
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind};

use super::*;

mod connecting;
mod serving;

/// A folder for the files of one test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("mynah-tls-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        fs::write(self.0.join(name), content).unwrap();
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
    der: CertificateDer<'static>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), der: certificate.der().clone(), issuer: Issuer::new(params, key) }
    }

    /// A certificate and its key, in PEM.
    pub(crate) fn certify(&self, name: &str, serial: u64) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from(serial));
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn revoke(&self, serial: u64) -> String {
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2046, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

pub(crate) fn files(folder: &Folder, authority: &Authority, name: &str) -> CertificateFiles {
    let (certificate, key) = authority.certify(name, 7);
    CertificateFiles {
        certificate: folder.write(&format!("{name}.pem"), &certificate),
        key: folder.write(&format!("{name}.key"), &key),
    }
}

pub(crate) fn settings(certificates: Vec<CertificateFiles>) -> TlsSettings {
    TlsSettings {
        certificates,
        client_certificates: ClientCertificates::None,
        client_ca: None,
        crl: None,
        min_version: TlsVersion::V1_2,
        alpn: vec![b"mqtt".to_vec()],
    }
}

/// A client that trusts one authority and shows a certificate, if it is given one.
pub(crate) fn client(authority: &Authority, shown: Option<(String, String)>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der.clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    match shown {
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            let key = PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key.into()).unwrap()
        }
        None => builder.with_no_client_auth(),
    }
}

/// Lets the two speak until neither has anything to say. What the server read, or why it ended.
fn speak(client: &mut ClientConnection, server: &mut Session, piece: usize) -> Result<Vec<u8>, String> {
    let (mut pending, mut plain) = (Vec::new(), Vec::new());
    loop {
        let (mut there, mut back) = (Vec::new(), Vec::new());
        while client.wants_write() {
            client.write_tls(&mut there).unwrap();
        }
        if there.is_empty() {
            return Ok(plain);
        }
        for piece in there.chunks(piece) {
            pending.extend_from_slice(piece);
            let opened = server.open(&mut pending, &mut plain, &mut back);
            pending.drain(..opened.consumed);
            if let Some(error) = opened.error {
                let _ = client.read_tls(&mut &back[..]).map(|_| client.process_new_packets().is_ok());
                return Err(error.to_string());
            }
        }
        let mut back = &back[..];
        while !back.is_empty() {
            client.read_tls(&mut back).unwrap();
            client.process_new_packets().map_err(|error| format!("the client: {error}"))?;
        }
    }
}

fn connect(tls: &Tls, config: &Arc<ClientConfig>, name: &str) -> Result<(ClientConnection, Session), String> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut server = tls.accept().unwrap();
    speak(&mut client, &mut server, 100)?;
    assert!(!server.is_handshaking() && !client.is_handshaking());
    Ok((client, server))
}

#[test]
fn bytes_go_both_ways_however_they_are_cut() {
    let (folder, authority) = (Folder::new(), Authority::new("CA"));
    let tls = Tls::load(settings(vec![files(&folder, &authority, "broker.example")])).unwrap();
    for version in [&TLS12, &TLS13] {
        let mut config = client(&authority, None);
        config.alpn_protocols = vec![b"other".to_vec(), b"mqtt".to_vec()];
        let versions = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let only = versions.with_protocol_versions(&[version]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(authority.der.clone()).unwrap();
        let config = Arc::new(only.with_root_certificates(roots).with_no_client_auth());
        let (mut client, mut server) = connect(&tls, &config, "broker.example").unwrap();
        let sent: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
        client.set_buffer_limit(None);
        client.writer().write_all(&sent).unwrap();
        assert!(speak(&mut client, &mut server, 777).unwrap() == sent);
        let mut sealed = Vec::new();
        server.seal(&mut [], &sent, &mut sealed).unwrap();
        server.close(&mut [], &mut sealed).unwrap();
        let (mut sealed, mut got) = (&sealed[..], Vec::new());
        while !sealed.is_empty() {
            client.read_tls(&mut sealed).unwrap();
            client.process_new_packets().unwrap();
            let mut buffer = [0; 20_000];
            while let Ok(count @ 1..) = client.reader().read(&mut buffer) {
                got.extend_from_slice(&buffer[..count]);
            }
        }
        assert!(got == sent);
        assert_eq!(client.reader().read(&mut [0; 1]).unwrap(), 0, "close_notify came");
    }
}

#[test]
fn a_client_gets_the_certificate_for_the_name_it_asked_for() {
    let (folder, authority) = (Folder::new(), Authority::new("CA"));
    let names = ["one.example", "two.example", "*.many.example"];
    let tls = Tls::load(settings(names.map(|name| files(&folder, &authority, name)).into())).unwrap();
    let mut config = client(&authority, None);
    config.resumption = Resumption::disabled();
    let config = Arc::new(config);
    for name in ["one.example", "two.example", "TWO.example", "a.many.example"] {
        connect(&tls, &config, name).unwrap();
    }
    for (name, why) in [("three.example", "NotValidForName"), ("a.b.many.example", "NotValidForName")] {
        let error = connect(&tls, &config, name).err().unwrap();
        assert!(
            error.contains("the client: ") && error.contains(why) || error.contains("not valid for name"),
            "{error}"
        );
    }
    let mut config = client(&authority, None);
    config.alpn_protocols = vec![b"h2".to_vec()];
    assert!(connect(&tls, &Arc::new(config), "one.example").is_err(), "it speaks something else");
}

#[test]
fn certificates_of_clients_are_asked_for_judged_and_told() {
    let (folder, authority) = (Folder::new(), Authority::new("CA"));
    let (clients, strangers) = (Authority::new("Clients"), Authority::new("Strangers"));
    let mut settings = settings(vec![files(&folder, &authority, "broker.example")]);
    settings.client_ca = Some(folder.write("clients.pem", &clients.pem));
    settings.crl = Some(folder.write("crl.pem", &clients.revoke(13)));
    let attempt = |mode, shown: Option<(String, String)>| {
        let tls = Tls::load(TlsSettings { client_certificates: mode, ..settings.clone() }).unwrap();
        let (mut client, server) = connect(&tls, &Arc::new(client(&authority, shown)), "broker.example")?;
        // What a client of TLS 1.3 is refused with comes after its handshake.
        client.writer().write_all(b"x").unwrap();
        Ok::<_, String>(server.proof().and_then(|proof| proof.certificate()?.common_name.clone()))
    };
    let good = || Some(clients.certify("sensor-7", 12));
    use ClientCertificates::{None as NotAsked, Optional, Required};
    assert_eq!(attempt(Required, good()).unwrap().as_deref(), Some("sensor-7"));
    assert_eq!(attempt(Optional, good()).unwrap().as_deref(), Some("sensor-7"));
    assert_eq!(attempt(Optional, None).unwrap(), None);
    assert_eq!(attempt(NotAsked, good()).unwrap(), None);
    assert!(attempt(Required, None).unwrap_err().contains("peer sent no certificates"));
    for mode in [Optional, Required] {
        let revoked = attempt(mode, Some(clients.certify("lost", 13))).unwrap_err();
        assert!(revoked.contains("Revoked") || revoked.contains("revoked"), "{revoked}");
        let stranger = attempt(mode, Some(strangers.certify("sensor-7", 12))).unwrap_err();
        assert!(stranger.contains("UnknownIssuer"), "{stranger}");
    }
}

#[test]
fn files_that_are_read_again_serve_those_that_come_after() {
    let (folder, authority, next) = (Folder::new(), Authority::new("CA"), Authority::new("Next"));
    let tls = Tls::load(settings(vec![files(&folder, &authority, "broker.example")])).unwrap();
    let config = Arc::new(client(&authority, None));
    let (mut old_client, mut old_server) = connect(&tls, &config, "broker.example").unwrap();
    assert_eq!(old_client.handshake_kind(), Some(HandshakeKind::Full));
    let (resumed, _) = connect(&tls, &config, "broker.example").unwrap();
    assert_eq!(resumed.handshake_kind(), Some(HandshakeKind::Resumed));

    let _ = files(&folder, &next, "broker.example");
    folder.write("broker.example.key", "no key");
    let error = tls.reload().unwrap_err();
    assert_eq!(error.file, Some(TlsFile::Key(0)));
    connect(&tls, &config, "broker.example").expect("what was there is still used");

    let _ = files(&folder, &next, "broker.example");
    tls.reload().unwrap();
    let error = connect(&tls, &config, "broker.example").err().unwrap();
    assert!(error.contains("UnknownIssuer"), "no ticket of before is taken: {error}");
    connect(&tls, &Arc::new(client(&next, None)), "broker.example").unwrap();
    old_client.writer().write_all(b"still here").unwrap();
    assert_eq!(speak(&mut old_client, &mut old_server, 9).unwrap(), b"still here");
}

#[test]
fn what_is_not_tls_gets_an_alert_and_an_end() {
    let (folder, authority) = (Folder::new(), Authority::new("CA"));
    let tls = Tls::load(settings(vec![files(&folder, &authority, "broker.example")])).unwrap();
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x10\x0c\0\x04MQTT\x04\x02\0\0\0\0", &[0x16; 300]] {
        let (mut plain, mut out) = (Vec::new(), Vec::new());
        let opened = tls.accept().unwrap().open(&mut garbage.to_vec(), &mut plain, &mut out);
        assert!(opened.ended && opened.error.is_some() && plain.is_empty());
        assert_eq!(out.first(), Some(&21), "an alert");
    }
}

/// Each flight of a handshake and a record after it, with a damaged byte, in pieces: an alert, or nothing comes of it.
#[test]
fn damaged_bytes_end_the_session_and_nothing_else() {
    let (folder, authority, clients) = (Folder::new(), Authority::new("CA"), Authority::new("Clients"));
    let mut settings = settings(vec![files(&folder, &authority, "broker.example")]);
    settings.client_ca = Some(folder.write("clients.pem", &clients.pem));
    settings.client_certificates = ClientCertificates::Required;
    let tls = Tls::load(settings).unwrap();
    let config = Arc::new(client(&authority, Some(clients.certify("sensor", 1))));
    let mut random = 1u32;
    for round in 0..400 {
        let name = ServerName::try_from("broker.example").unwrap();
        let mut client = ClientConnection::new(Arc::clone(&config), name).unwrap();
        client.writer().write_all(b"early").unwrap();
        let mut server = tls.accept().unwrap();
        let (mut pending, mut plain, mut back) = (Vec::new(), Vec::new(), Vec::new());
        for flight in 0..3 {
            let mut there = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut there).unwrap();
            }
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let place = (random >> 8) as usize % there.len().max(1);
            if let Some(byte) = there.get_mut(place).filter(|_| flight == round % 3) {
                *byte ^= 1 << (random % 8);
            }
            for piece in there.chunks(1 + round) {
                pending.extend_from_slice(piece);
                let opened = server.open(&mut pending, &mut plain, &mut back);
                pending.drain(..opened.consumed);
            }
            let _ = client.read_tls(&mut &back[..]).map(|_| client.process_new_packets().is_ok());
            back.clear();
        }
        let _ = server.seal(&mut pending, b"x", &mut back);
        let _ = server.close(&mut pending, &mut back);
        assert!(plain.is_empty() || plain == b"early");
    }
}

#[test]
fn each_file_that_cannot_be_used_is_named_with_what_is_wrong() {
    let (folder, authority) = (Folder::new(), Authority::new("CA"));
    let one = files(&folder, &authority, "one.example");
    let two = files(&folder, &authority, "two.example");
    let empty = folder.write("empty", "nothing\n");
    let broken = folder.write("broken", "-----BEGIN CERTIFICATE-----\nMIIB!\n-----END CERTIFICATE-----\n");
    let missing = folder.0.join("missing");
    let pair = |certificate: &PathBuf, key: &PathBuf| {
        settings(vec![one.clone(), CertificateFiles { certificate: certificate.clone(), key: key.clone() }])
    };
    let asks = |client_ca: &PathBuf, crl: Option<&PathBuf>| TlsSettings {
        client_certificates: ClientCertificates::Required,
        client_ca: Some(client_ca.clone()),
        crl: crl.cloned(),
        ..settings(vec![one.clone()])
    };
    let cases = [
        (pair(&missing, &two.key), TlsFile::Certificate(1), "missing: No such file"),
        (pair(&empty, &two.key), TlsFile::Certificate(1), "empty: there is no certificate in PEM"),
        (pair(&broken, &two.key), TlsFile::Certificate(1), "broken: it is not PEM"),
        (
            pair(&two.certificate, &two.certificate),
            TlsFile::Key(1),
            "two.example.pem: there is no private key",
        ),
        (pair(&two.certificate, &one.key), TlsFile::Key(1), "the key does not belong to the certificate in "),
        (asks(&missing, None), TlsFile::ClientCa, "missing: No such file"),
        (asks(&one.key, None), TlsFile::ClientCa, "one.example.key: there is no certificate in PEM"),
        (asks(&one.certificate, Some(&empty)), TlsFile::Crl, "empty: there is no revocation list"),
    ];
    for (settings, file, words) in cases {
        let error = Tls::load(settings).unwrap_err();
        assert!(error.file == Some(file) && error.to_string().contains(words), "{file:?}: {error}");
    }
}

#[test]
fn both_ends_know_what_binds_to_the_channel() {
    let (folder, authority) = (Folder::new(), Authority::new("CA"));
    let certificate = files(&folder, &authority, "broker.example");
    let tls = Tls::load(settings(vec![certificate.clone()])).unwrap();
    let shown: CertificateDer<'_> =
        all_of(&certificate.certificate, TlsFile::Certificate(0)).unwrap().remove(0);
    // The authority signs with ECDSA and SHA-256.
    let expected = ring::digest::digest(&ring::digest::SHA256, &shown);
    let suites = default_provider().cipher_suites;
    for suite in suites {
        let provider = CryptoProvider { cipher_suites: vec![suite], ..default_provider() };
        let mut roots = RootCertStore::empty();
        roots.add(authority.der.clone()).unwrap();
        let version: &[_] = if suite.tls13().is_some() { &[&TLS13] } else { &[&TLS12] };
        let builder = ClientConfig::builder_with_provider(provider.into()).with_protocol_versions(version);
        let config = builder.unwrap().with_root_certificates(roots).with_no_client_auth();
        let Ok((client, server)) = connect(&tls, &Arc::new(config), "broker.example") else {
            continue; // TLS 1.2 with RSA, for which the certificate has the wrong kind of key
        };
        let binding = server.binding();
        assert_eq!(binding.server_end_point.as_deref(), Some(expected.as_ref()), "{suite:?}");
        let exported =
            client.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).unwrap();
        assert_eq!(binding.exporter, suite.tls13().map(|_| exported), "{suite:?}");
        assert_eq!(format!("{binding:?}"), "ChannelBinding");
    }
}
