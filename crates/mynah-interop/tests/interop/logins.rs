//! Who is let in when others say who a peer is: tokens that `openssl` signed, a hook, a directory.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mynah_interop::{Broker, Certificates, Folder, Process, Setup};

use crate::curl::curl;
use crate::directory::Directory;
use crate::mosquitto::published;
use crate::transports::tls;

/// What identities may do, so that it shows who somebody was found to be.
pub(crate) const RULES: &str = "
[[rule]]
action = \"publish\"
allow = [\"devices/%u/#\"]
";

/// What answers a request of HTTP, by its body.
type Answer = Box<dyn Fn(&str) -> String + Send>;

/// A server of HTTP that answers one request of each connection.
struct Site {
    address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    asked: Arc<AtomicUsize>,
    is_down: Arc<AtomicBool>,
}

impl Site {
    fn start(answer: impl Fn(&str) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answer: Arc<Mutex<Answer>> = Arc::new(Mutex::new(Box::new(answer)));
        let (asked, is_down) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let site = Self { address, answer, asked, is_down };
        let (answer, asked, is_down) =
            (Arc::clone(&site.answer), Arc::clone(&site.asked), Arc::clone(&site.is_down));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                if is_down.load(Ordering::Relaxed) {
                    continue;
                }
                let Some(body) = request(&mut stream) else { continue };
                asked.fetch_add(1, Ordering::Relaxed);
                let body = answer.lock().unwrap()(&body);
                let head =
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                // Whoever does not read the answer is judged by what it does then.
                let _ = stream.write_all((head + &body).as_bytes());
            }
        });
        site
    }

    fn answers(&self, answer: impl Fn(&str) -> String + Send + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }
}

/// The body of a request, once it is there.
fn request(stream: &mut impl Read) -> Option<String> {
    let (mut text, mut buffer) = (String::new(), [0; 4_096]);
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
            if body.len() >= length.parse().unwrap() {
                return Some(body.to_owned());
            }
        }
        let length = stream.read(&mut buffer).ok().filter(|length| *length > 0)?;
        text.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
    }
}

/// Whether a name and a password are let in by MQTT and, as Basic authentication, by HTTP.
#[track_caller]
fn is_let_in(broker: &Broker, user: &str, password: &str) -> bool {
    let topic = format!("devices/{user}/x");
    let by_mqtt = published(broker, &["-t", &topic, "-m", "x", "-q", "1", "-u", user, "-P", password], "");
    let basic = format!("{user}:{password}");
    let by_http = curl(&["-u", &basic, &broker.http_url("/v1/topics/none")]);
    match (by_mqtt.code, by_http.status) {
        (Some(0), 404) => true,
        (Some(4), 401) => {
            assert!(by_mqtt.error.contains("bad user name or password"), "{by_mqtt:?}");
            false
        }
        _ => panic!("MQTT and HTTP differ: {by_mqtt:?} {by_http:?}"),
    }
}

/// Asserts that a login is told to come again later.
#[track_caller]
pub(crate) fn is_put_off(broker: &Broker, user: &str, password: &str) {
    let basic = format!("{user}:{password}");
    assert_eq!(curl(&["-u", &basic, &broker.http_url("/v1/topics/none")]).status, 503);
    let refused = published(broker, &["-t", "x", "-m", "x", "-u", user, "-P", password], "");
    assert!(refused.code != Some(0) && refused.error.contains("unavailable"), "{refused:?}");
}

/// An RSA key made by `openssl`.
pub(crate) struct Issuer {
    folder: Folder,
    id: &'static str,
}

impl Issuer {
    pub(crate) fn new(id: &'static str) -> Self {
        let issuer = Self { folder: Folder::new(), id };
        let key = issuer.folder.path("key.pem");
        let mut command = Command::new("openssl");
        command.args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out"]).arg(key);
        let _ = Process::start(&mut command).finish().success();
        issuer
    }

    /// The public key as the issuer publishes it.
    fn jwk(&self) -> String {
        let mut command = Command::new("openssl");
        command.args(["rsa", "-noout", "-modulus", "-in"]).arg(self.folder.path("key.pem"));
        let output = Process::start(&mut command).finish().success();
        let digits = output.trim().strip_prefix("Modulus=").unwrap();
        let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        let modulus: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
        let modulus = URL_SAFE_NO_PAD.encode(modulus);
        format!(
            "{{\"kty\":\"RSA\",\"use\":\"sig\",\"kid\":\"{}\",\"e\":\"AQAB\",\"n\":\"{modulus}\"}}",
            self.id
        )
    }

    /// A token for `ada` that ends `seconds` from now.
    pub(crate) fn token(&self, audience: &str, seconds: i64) -> String {
        self.token_with(audience, seconds, "")
    }

    /// The same with more claims, each behind a comma.
    pub(crate) fn token_with(&self, audience: &str, seconds: i64, more: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let end = now.checked_add_signed(seconds).unwrap();
        let header = format!("{{\"alg\":\"RS256\",\"kid\":\"{}\"}}", self.id);
        let claims =
            format!("{{\"iss\":\"the issuer\",\"aud\":\"{audience}\",\"sub\":\"ada\",\"exp\":{end}{more}}}");
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let (text, signature) = (self.folder.write("text", &signed), self.folder.path("signature"));
        let mut command = Command::new("openssl");
        command.args(["dgst", "-sha256", "-sign"]).arg(self.folder.path("key.pem"));
        command.arg("-out").arg(&signature).arg(text);
        let _ = Process::start(&mut command).finish().success();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(std::fs::read(signature).unwrap()))
    }
}

pub(crate) fn published_keys(issuers: &[&Issuer]) -> String {
    let keys: Vec<String> = issuers.iter().map(|issuer| issuer.jwk()).collect();
    format!("{{\"keys\":[{}]}}", keys.join(","))
}

#[test]
fn a_token_lets_its_bearer_in_whatever_the_protocol() {
    let (first, second) = (Issuer::new("first"), Issuer::new("second"));
    let keys = published_keys(&[&first]);
    let site = Site::start(move |_| keys.clone());
    let table = format!(
        "{RULES}[auth]\npair_failures_max = 1000\naddress_failures_max = 1000\nidentity_failures_max = 1000\n[auth.jwt]\nalgorithms = [\"RS256\"]\nissuer = \"the issuer\"\naudience = [\"mynah\"]\n\
         jwks_url = \"http://{}/keys\"\n",
        site.address
    );
    let broker = Setup::workers(1).more(&table).start();
    let good = first.token("mynah", 600);
    for user in ["ada", "anybody"] {
        assert!(is_let_in(&broker, user, &good), "the name beside a token says nothing");
    }
    let bearer = |token: &str, topic: &str| {
        let (field, url) = (format!("Authorization: Bearer {token}"), broker.http_url(topic));
        curl(&["-H", &field, "-X", "PUT", "-d", "x", &url]).status
    };
    assert_eq!(bearer(&good, "/v1/topics/devices/ada/x"), 204);
    assert_eq!(bearer(&good, "/v1/topics/devices/anybody/x"), 403);

    let unsigned = format!("{}.", good.rsplit_once('.').unwrap().0);
    let parts: Vec<&str> = good.split('.').collect();
    let none = format!("{}.{}.", URL_SAFE_NO_PAD.encode("{\"alg\":\"none\"}"), parts[1]);
    let stranger = Issuer::new("first").token("mynah", 600);
    let (late, other) = (first.token("mynah", -600), first.token("other", 600));
    for wrong in [&unsigned, &none, &stranger, &late, &other] {
        assert!(!is_let_in(&broker, "ada", wrong), "{wrong}");
        assert_eq!(bearer(wrong, "/v1/topics/devices/ada/x"), 401, "{wrong}");
    }
    assert!(!is_let_in(&broker, "ada", "engine"), "a password is nobody's");

    // The issuer goes over to another key, and takes the first one back.
    let keys = published_keys(&[&second]);
    site.answers(move |_| keys.clone());
    assert!(is_let_in(&broker, "ada", &second.token("mynah", 600)));
    assert!(!is_let_in(&broker, "ada", &good));
}

#[test]
fn the_hook_decides_about_everybody_who_is_not_in_the_password_file() {
    let site = Site::start(|question| {
        let has = |text: &str| question.contains(text);
        assert!(!has("\"ada\""), "a user of the file: {question}");
        let allow = "{\"result\":\"allow\",\"identity\":\"robert\",\"cache_s\":0}";
        let good = has("\"user\":\"bob\"") && has("\"password\":\"builder\"");
        if good { allow.to_owned() } else { "{\"result\":\"deny\"}".to_owned() }
    });
    let table = format!("[auth.http]\nurl = \"http://{}/login\"\ntimeout_s = 1\n{RULES}", site.address);
    let broker = Setup::workers(2).user("ada", "engine").more(&table).start();
    assert!(is_let_in(&broker, "ada", "engine"));
    assert!(!is_let_in(&broker, "ada", "builder"));
    assert_eq!(site.asked.load(Ordering::Relaxed), 0);
    assert!(!is_let_in(&broker, "bob", "engine"));
    assert!(!is_let_in(&broker, "eve", "builder"));
    let put =
        |topic: &str| curl(&["-u", "bob:builder", "-X", "PUT", "-d", "x", &broker.http_url(topic)]).status;
    assert_eq!(put("/v1/topics/devices/robert/x"), 204);
    assert_eq!(put("/v1/topics/devices/bob/x"), 403);
    for answer in ["", "{\"result\":\"ignore\",\"cache_s\":0}x", "<html>", "{\"result\":\"maybe\"}"] {
        site.answers(|_| answer.to_owned());
        is_put_off(&broker, "bob", "builder");
    }
    site.answers(|_| "{\"result\":\"ignore\",\"cache_s\":0}".to_owned());
    assert!(!is_let_in(&broker, "bob", "builder"), "there is nobody else");
    site.is_down.store(true, Ordering::Relaxed);
    is_put_off(&broker, "bob", "builder");
    assert!(is_let_in(&broker, "ada", "engine"), "the file needs no hook");
}

#[test]
fn the_hook_hears_what_is_known_of_a_login() {
    let certificates = Certificates::new();
    certificates.issue("thing", 2);
    let (sender, questions) = std::sync::mpsc::channel();
    let sender = Mutex::new(sender);
    let site = Site::start(move |question| {
        sender.lock().unwrap().send(question.to_owned()).unwrap();
        "{\"result\":\"allow\"}".to_owned()
    });
    let file = |name: &str| certificates.folder().path(name).display().to_string();
    let asks = format!(", client_certificates = \"optional\", client_ca = \"{}\"", file("ca.pem"));
    let table = format!(
        "[auth.http]\nurl = \"http://{}/login\"\n[[listener]]\nname = \"secure\"\nprotocol = \"mqtt\"\n\
         address = \"127.0.0.1:0\"\n{}\n",
        site.address,
        tls(&certificates, &asks)
    );
    let broker = Setup::workers(1).more(&table).start();
    let login = ["-t", "x", "-m", "x", "-u", "bob", "-P", "builder", "-q", "1", "-i", "the client"];
    let _ = published(&broker, &login, "").success();
    let by_mqtt = "{\"user\":\"bob\",\"password\":\"builder\",\"client_id\":\"the client\",\
                   \"address\":\"127.0.0.1\",\"listener\":\"the-mqtt\",\"protocol\":\"mqtt\"}";
    assert_eq!(questions.recv().unwrap(), by_mqtt);
    let port = broker.listener("secure").port().to_string();
    let (ca, certificate, key) = (file("ca.pem"), file("thing.pem"), file("thing.key"));
    let shown = ["-h", "localhost", "-p", &port, "--cafile", &ca, "--cert", &certificate, "--key", &key];
    let _ = published(&broker, &[&login[..], &shown[..]].concat(), "").success();
    let question = questions.recv().unwrap();
    let begin = "\"listener\":\"secure\",\"protocol\":\"mqtt\",\"certificate\":{\"subject\":\"CN=thing\",\
                 \"common_name\":\"thing\",\"fingerprint\":\"";
    assert!(question.contains(begin), "{question}");
    assert_eq!(curl(&["-u", "bob:builder", &broker.http_url("/v1/topics/none")]).status, 404);
    let by_http = "{\"user\":\"bob\",\"password\":\"builder\",\"address\":\"127.0.0.1\",\
                   \"listener\":\"the-http\",\"protocol\":\"http\"}";
    assert_eq!(questions.recv().unwrap(), by_http);
}

#[test]
fn a_hook_that_hangs_holds_up_nobody_else() {
    let site = Site::start(|_| {
        thread::sleep(Duration::from_secs(30));
        String::new()
    });
    let table = format!("[auth.http]\nurl = \"http://{}/login\"\ntimeout_s = 8\n", site.address);
    let broker = Setup::workers(1).user("ada", "engine").more(&table).start();
    let waiting: Vec<_> = (0..8)
        .map(|number| {
            let (user, url) = (format!("user{number}:x"), broker.http_url("/v1/topics/none"));
            let start = Instant::now();
            thread::spawn(move || (curl(&["-u", &user, &url]).status, start.elapsed()))
        })
        .collect();
    // By now they have asked.
    while site.asked.load(Ordering::Relaxed) == 0 {
        thread::sleep(Duration::from_millis(10));
    }
    let start = Instant::now();
    assert!(is_let_in(&broker, "ada", "engine"));
    assert!(start.elapsed() < Duration::from_secs(7), "{:?}", start.elapsed());
    for waiting in waiting {
        let (status, took) = waiting.join().unwrap();
        assert_eq!(status, 503);
        assert!(took >= Duration::from_secs(8), "{took:?}");
    }
    let start = Instant::now();
    let rushed: Vec<_> = (0..4)
        .map(|number| {
            let (user, url) = (format!("late{number}:x"), broker.http_url("/v1/topics/none"));
            thread::spawn(move || (curl(&["-u", &user, &url]).status, start.elapsed()))
        })
        .collect();
    let ends: Vec<_> = rushed.into_iter().map(|rushed| rushed.join().unwrap()).collect();
    assert!(ends.iter().all(|(status, _)| *status == 503), "{ends:?}");
    let at_once = ends.iter().filter(|(_, took)| *took < Duration::from_secs(7)).count();
    assert_eq!(at_once, 3, "all but the one that finds out: {ends:?}");
}

#[test]
fn a_directory_lets_its_users_in() {
    let directory = Directory::start();
    let table = format!(
        "{RULES}[auth.ldap]\nurl = \"ldap://{}\"\nuser_dn = \"uid={{user}},ou=people,dc=example,dc=org\"\n\
         cache_s = 0\ncache_denied_s = 0\n",
        directory.address
    );
    let broker = Setup::workers(1).user("bob", "builder").more(&table).start();
    assert!(is_let_in(&broker, "ada", "engine"));
    assert!(is_let_in(&broker, "twin1", "twin"));
    assert!(is_let_in(&broker, "bob", "builder"));
    for (user, password) in [("ada", "builder"), ("eve", "engine"), ("x,uid=ada", "engine"), ("*", "engine")]
    {
        assert!(!is_let_in(&broker, user, password), "{user} {password}");
    }
    let url = broker.http_url("/v1/topics/devices/ada/x");
    assert_eq!(
        curl(&["-u", "ADA:engine", "-X", "PUT", "-d", "x", &url]).status,
        204,
        "however it is written"
    );
    drop(directory);
    is_put_off(&broker, "ada", "engine");
    assert!(is_let_in(&broker, "bob", "builder"), "the file needs no directory");
}
