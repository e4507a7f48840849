//! The server's side on a runtime: what it learns of a peer.

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

/// What a server learns of a client, what the client exports, and the name of its host.
fn secure(tls: &Tls, client: ClientConfig) -> std::io::Result<(Secured, [u8; 32])> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (near, far) = tokio::io::duplex(4_096);
        let connector = TlsConnector::from(Arc::new(client));
        let host = ServerName::try_from("broker.example").unwrap();
        let (secured, connected) = tokio::join!(tls.secure(near), connector.connect(host, far));
        let ((mut near, secured), mut far) = (secured?, connected?);
        near.write_all(b"hello").await?;
        near.flush().await?;
        let mut got = [0; 5];
        far.read_exact(&mut got).await?;
        assert_eq!(got, *b"hello");
        let exported = far.get_ref().1.export_keying_material([0; 32], binding::LABEL, Some(b""));
        Ok((secured, exported.unwrap()))
    })
}

#[test]
fn a_server_on_a_runtime_learns_what_the_client_shows_and_what_binds_to_the_connection() {
    let (folder, authority) = (Folder::new(), Authority::new("CA"));
    let clients = Authority::new("Clients");
    let mut settings = settings(vec![files(&folder, &authority, "broker.example")]);
    settings.client_ca = Some(folder.write("clients.pem", &clients.pem));
    settings.client_certificates = ClientCertificates::Optional;
    let tls = Tls::load(settings.clone()).unwrap();
    let (secured, exported) = secure(&tls, client(&authority, Some(clients.certify("site-7", 7)))).unwrap();
    assert_eq!(secured.proof.unwrap().certificate().unwrap().common_name.as_deref(), Some("site-7"));
    assert_eq!(secured.channel.exporter, Some(exported));
    let (secured, _) = secure(&tls, client(&authority, None)).unwrap();
    assert!(secured.proof.is_none());
    let strange = Authority::new("Strangers").certify("site-7", 7);
    assert!(secure(&tls, client(&authority, Some(strange))).is_err());
    settings.client_certificates = ClientCertificates::Required;
    let tls = Tls::load(settings).unwrap();
    assert!(secure(&tls, client(&authority, None)).is_err());
}
