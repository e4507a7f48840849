//! The client's side: which servers are taken, what is shown to them, and files that change.

use super::*;

fn settings_of_client(folder: &Folder, authority: &Authority, name: &str) -> ClientTlsSettings {
    ClientTlsSettings {
        ca: folder.write("ca.pem", &authority.pem),
        certificate: None,
        server_name: ServerName::try_from(name.to_owned()).unwrap(),
    }
}

/// Connects by the configuration of a client to the server that it names.
fn attempt(server: &Tls, client: &ClientTls) -> Result<Option<Box<str>>, String> {
    let config = Arc::clone(&client.current());
    let name = client.settings.server_name.to_str();
    let (mut client, server) = connect(server, &config, &name)?;
    client.writer().write_all(b"x").unwrap();
    Ok(server.proof().and_then(|proof| proof.certificate()?.common_name.clone()))
}

#[test]
fn a_server_is_verified_and_gets_to_see_a_certificate() {
    let (folder, authority, other) = (Folder::new(), Authority::new("CA"), Authority::new("Other"));
    let mut asks = settings(vec![files(&folder, &authority, "broker.example")]);
    asks.client_certificates = ClientCertificates::Required;
    asks.client_ca = Some(folder.write("clients.pem", &other.pem));
    let server = Tls::load(asks).unwrap();
    let plain = settings_of_client(&folder, &authority, "broker.example");
    let shown = Some(files(&folder, &other, "site-7"));
    let secure = ClientTlsSettings { certificate: shown, ..plain.clone() };
    let found = attempt(&server, &ClientTls::load(secure.clone()).unwrap()).unwrap();
    assert_eq!(found.as_deref(), Some("site-7"));
    let refused = attempt(&server, &ClientTls::load(plain.clone()).unwrap()).unwrap_err();
    assert!(refused.contains("peer sent no certificates"), "{refused}");
    for (name, words) in [("elsewhere.example", "not valid for name"), ("192.0.2.1", "not valid for name")] {
        let server_name = ServerName::try_from(name).unwrap();
        let wrong = ClientTlsSettings { server_name, ..secure.clone() };
        let refused = attempt(&server, &ClientTls::load(wrong).unwrap()).unwrap_err();
        assert!(refused.contains(words), "{refused}");
    }
}

#[test]
fn authorities_that_are_read_again_count_from_then_on() {
    let (folder, authority, next) = (Folder::new(), Authority::new("CA"), Authority::new("Next"));
    let server = Tls::load(settings(vec![files(&folder, &next, "broker.example")])).unwrap();
    let client = ClientTls::load(settings_of_client(&folder, &authority, "broker.example")).unwrap();
    let refused = attempt(&server, &client).unwrap_err();
    assert!(refused.contains("UnknownIssuer"), "{refused}");
    folder.write("ca.pem", "no certificate");
    assert_eq!(client.reload().unwrap_err().file, Some(TlsFile::Ca));
    folder.write("ca.pem", &[&*authority.pem, &*next.pem].concat());
    client.reload().unwrap();
    assert_eq!(attempt(&server, &client), Ok(None));
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let (folder, authority) = (Folder::new(), Authority::new("CA"));
    let plain = settings_of_client(&folder, &authority, "broker.example");
    let (one, two) = (files(&folder, &authority, "one"), files(&folder, &authority, "two"));
    let useless = folder.write("useless", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let with_ca = |ca: PathBuf| ClientTlsSettings { ca, ..plain.clone() };
    let shows = |certificate: &PathBuf, key: &PathBuf| {
        let files = CertificateFiles { certificate: certificate.clone(), key: key.clone() };
        ClientTlsSettings { certificate: Some(files), ..plain.clone() }
    };
    for (settings, file, words) in [
        (with_ca(folder.0.join("missing")), TlsFile::Ca, "missing: No such file"),
        (with_ca(one.key.clone()), TlsFile::Ca, "one.key: there is no certificate in PEM"),
        (with_ca(useless), TlsFile::Ca, "useless: no certificate in it can be used"),
        (shows(&one.key, &one.key), TlsFile::Certificate(0), "there is no certificate in PEM"),
        (
            shows(&one.certificate, &two.key),
            TlsFile::Key(0),
            "the key does not belong to the certificate in ",
        ),
    ] {
        let error = ClientTls::load(settings).unwrap_err();
        assert!(error.file == Some(file) && error.to_string().contains(words), "{file:?}: {error}");
    }
}
