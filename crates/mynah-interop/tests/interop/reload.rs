//! What a reload changes and what it does not touch: certificates, keys, revocations, users and rules change under a thousand live
//! connections over TLS, one kind after another. None is dropped, and what is new is in force within a second.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mynah_interop::{Broker, Certificates, PATIENCE, Process, Setup};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::transports::tls;

const CONNECTIONS: usize = 1_000;
/// How soon what is new has to be in force.
const IN_FORCE: Duration = Duration::from_secs(1);

const RULES: &str = "[[rule]]\nidentity = \"ada\"\naction = \"publish\"\ndeny = [\"closed/#\"]\n";

type Secure = StreamOwned<ClientConnection, TcpStream>;

struct Stage {
    certificates: Certificates,
    broker: Broker,
}

impl Stage {
    fn new() -> Self {
        let certificates = Certificates::new();
        for (name, serial) in [("sensor", 2), ("lost", 3)] {
            certificates.issue(name, serial);
        }
        certificates.revoke("lost");
        let file = |name: &str| certificates.folder().path(name).display().to_string();
        let asks = format!(
            ", client_certificates = \"optional\", client_ca = \"{}\", crl = \"{}\"",
            file("ca.pem"),
            file("crl.pem")
        );
        let listener = format!(
            "[[listener]]\nname = \"tls\"\nprotocol = \"mqtt\"\naddress = \"127.0.0.1:0\"\n{}\n",
            tls(&certificates, &asks)
        );
        let setup = Setup::workers(2).first("rules_file = \"rules.toml\"\n").file("rules.toml", "");
        let broker = setup.user("ada", "engine").more(&listener).start();
        Self { certificates, broker }
    }

    /// A client of TLS, with its certificate if it has a name.
    fn client(&self, name: Option<&str>) -> Arc<ClientConfig> {
        let path = |name: &str| self.certificates.folder().path(name);
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(path("ca.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.unwrap().with_root_certificates(roots);
        Arc::new(match name {
            Some(name) => {
                let certificate = CertificateDer::from_pem_file(path(&format!("{name}.pem"))).unwrap();
                let key = PrivateKeyDer::from_pem_file(path(&format!("{name}.key"))).unwrap();
                builder.with_client_auth_cert(vec![certificate], key).unwrap()
            }
            None => builder.with_no_client_auth(),
        })
    }

    /// A client that logs in by MQTT 3.1.1: the connection, and the return code.
    fn log_in(
        &self,
        config: &Arc<ClientConfig>,
        id: &str,
        login: (&str, &str),
    ) -> std::io::Result<(Secure, u8)> {
        let stream = TcpStream::connect(self.broker.listener("tls"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let host = ServerName::try_from("localhost").unwrap();
        let mut secure = StreamOwned::new(ClientConnection::new(Arc::clone(config), host).unwrap(), stream);
        let mut body = b"\0\x04MQTT\x04\xC2\0\0".to_vec();
        for text in [id, login.0, login.1] {
            body.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
            body.extend_from_slice(text.as_bytes());
        }
        secure.write_all(&[&[0x10, u8::try_from(body.len()).unwrap()], &body[..]].concat())?;
        let mut answer = [0; 4];
        secure.read_exact(&mut answer)?;
        Ok((secure, answer[3]))
    }

    /// The status of an answer of HTTP to a publication by `ada`.
    fn publish(&self, topic: &str) -> u16 {
        let mut stream = TcpStream::connect(self.broker.http).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let login = STANDARD.encode("ada:engine");
        let request = format!(
            "POST /v1/topics/{topic} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {login}\r\nContent-Length: 4\r\n\
             Connection: close\r\n\r\ntold"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
    }

    /// Has the broker read everything again. Returns how long it took until `is_there` began to see what is new.
    fn reload(&self, what: &str, is_there: impl Fn() -> bool) -> Duration {
        assert!(!is_there(), "{what}: nothing has been read again");
        let begun = Instant::now();
        self.broker.signal("HUP");
        loop {
            let asked = begun.elapsed();
            if is_there() {
                println!("{what}: in force {} ms after SIGHUP", asked.as_millis());
                assert!(asked < IN_FORCE, "{what}: {asked:?}");
                return asked;
            }
            assert!(asked < PATIENCE, "{what}: not in force");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn expect(secure: &mut Secure, said: &[u8], answer: &[u8]) {
    secure.write_all(said).unwrap();
    let mut heard = vec![0; answer.len()];
    secure.read_exact(&mut heard).unwrap();
    assert_eq!(heard, answer);
}

#[test]
fn a_thousand_connections_outlive_a_reload_of_each_kind() {
    let stage = Stage::new();
    let plain = stage.client(None);
    let begun = Instant::now();
    let open = |number: usize| {
        let (mut secure, code) = stage.log_in(&plain, &format!("c{number}"), ("ada", "engine")).unwrap();
        assert_eq!(code, 0);
        expect(&mut secure, b"\x82\x09\0\x01\0\x04news\0", b"\x90\x03\0\x01\0");
        secure
    };
    let mut live: Vec<Secure> = (0..CONNECTIONS).map(open).collect();
    println!("{CONNECTIONS} connections after {} ms", begun.elapsed().as_millis());
    let mut all_live = || live.iter_mut().for_each(|secure| expect(secure, b"\xC0\0", b"\xD0\0"));

    let is_let_in =
        |config: &Arc<ClientConfig>, login| matches!(stage.log_in(config, "another", login), Ok((_, 0)));
    let shown = || {
        let (secure, _) = stage.log_in(&plain, "another", ("ada", "engine")).unwrap();
        secure.conn.peer_certificates().unwrap()[0].clone().into_owned()
    };
    let old = shown();
    // With its key: each certificate has one of its own.
    stage.certificates.issue("broker", 11);
    stage.reload("certificate and key", || shown() != old);
    all_live();

    let sensor = stage.client(Some("sensor"));
    assert!(is_let_in(&sensor, ("ada", "engine")));
    stage.certificates.revoke("sensor");
    stage.reload("revocations", || !is_let_in(&sensor, ("ada", "engine")));
    all_live();

    let mut add = Broker::program();
    add.args(["user", "add"]).arg(stage.broker.folder().path("users")).arg("bob");
    let _ = Process::start_with(&mut add, b"builder\n".to_vec()).finish().success();
    stage.reload("users", || is_let_in(&plain, ("bob", "builder")));
    all_live();

    fs::write(stage.broker.folder().path("rules.toml"), RULES).unwrap();
    stage.reload("rules", || stage.publish("closed/x") == 403);
    all_live();

    assert_eq!(stage.publish("news"), 204);
    for secure in &mut live {
        expect(secure, b"", b"\x30\x0A\0\x04newstold");
    }
}
