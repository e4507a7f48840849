//! Configurations of Mosquitto, imported: for each of the examples under `data/mosquitto` Debian's Mosquitto runs with it
//! and the broker with what `mynah import mosquitto` makes of it, and `mosquitto_pub` and `mosquitto_sub` are answered the
//! same by both. The examples have been written for this from the options of mosquitto.conf(5).

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use mynah_interop::{Broker, Folder, PATIENCE, Process, line_buffered};

/// The reason code of MQTT 5.0 from which on something has failed.
const FAILED: u8 = 0x80;

/// What is done, and whether it is permitted. `name/client` is who does it, with the password of the name: `-` is nobody,
/// `!` a wrong password, and `@2` means the second listener. The message of `receive` is published by the last.
const PLAIN: &str = "
yes connect    ada/a1
no  connect    ada!/a1
no  connect    eve/e1
no  connect    -/x1
yes publish    ada/a1 commands/c7
no  publish    ada/a1 commands/c7/deep
no  publish    ada/a1 devices/bob/t
yes publish    ada/a1 devices/ada/t
no  publish    ada/a1 devices/ada/secret
yes publish    bob/b1 devices/bob/secret
no  publish    bob/b1 devices/ada/t
yes publish    bob/b1 rooms/attic
no  publish    bob/b1 rooms/attic/safe/door
no  publish    bob/b1 rooms/cellar
no  publish    ada/a1 $SYS/broker/version
yes publish    cid/c7 homes/cid/c7/state
no  publish    cid/c7 homes/cid/c8/state
no  publish    cid/c7 homes/ada/c7/state
yes subscribe  ada/a1 #
yes subscribe  bob/b1 rooms/attic/safe/#
yes receive    ada/a1 devices/#          devices/bob/t           bob/b1
no  receive    ada/a1 #                  devices/bob/secret      bob/b1
yes receive    cid/c7 commands/+         commands/c7             ada/a1
no  receive    cid/c8 commands/+         commands/c7             ada/a1
yes receive    bob/b2 rooms/#            rooms/attic/lamp        bob/b1
no  receive    ada/a1 rooms/#            rooms/attic/lamp        bob/b1
";

const GUESTS: &str = "
yes connect    -/g1
no  connect    ada!/a1
yes publish    -/g1   feedback
no  publish    ada/a1 feedback
no  publish    -/g1   news/today
yes publish    ada/a1 news/internal/today
yes publish    -/g1   shared/g/locked
no  publish    ada/a1 shared/ada/locked
yes publish    ada/a1 shared/bob/locked
no  publish    bob/b1 shared/x/y/hidden
yes publish    bob/b1 inbox/bob
no  publish    ada/a1 inbox/bob
yes receive    -/g1   #                  news/today              ada/a1
no  receive    -/g1   news/#             news/internal/today     ada/a1
yes receive    ada/a1 news/#             news/internal/today     ada/a2
no  receive    bob/b1 #                  news/today              ada/a1
yes receive    bob/b1 mail/+             mail/bob                -/g1
no  receive    bob/b1 mail/+             mail/ada                -/g1
no  receive    -/g1   mail/+             mail/ada                ada/a1
no  receive    bob/b1 shared/#           shared/bob/locked       ada/a1
";

const LAYERED: &str = "
no  connect    -/x1
yes connect    -/x1@2
no  publish    ada/a1 logs/bob
yes publish    bob/b1 logs/bob
no  publish    bob/b1 logs/bob/private
yes publish    bob/b1 logs/bob/public
yes publish    -/x1@2 logs/bob/private
yes publish    ada/a1 clients/a1/answer
no  publish    cid/c1 clients/c1/answer
yes receive    ada/a1 logs/#             logs/bob/private        -/x1@2
yes receive    ada/a1 #                  lamp/status             -/x1@2
no  receive    bob/b1 #                  lamp/status             -/x1@2
yes receive    bob/b1 clients/+/+        clients/b1/order        -/x1@2
no  receive    cid/c1 clients/+/+        clients/c1/x            -/x1@2
";

#[test]
fn users_with_an_acl_may_do_the_same() {
    same("plain", PLAIN);
}

#[test]
fn guests_beside_users_may_do_the_same() {
    same("guests", GUESTS);
}

#[test]
fn listeners_with_settings_of_their_own_let_do_the_same() {
    same("layered", LAYERED);
}

#[test]
fn the_table_has_sixty_actions() {
    let count = [PLAIN, GUESTS, LAYERED].map(|table| table.trim().lines().count()).iter().sum::<usize>();
    assert_eq!(count, 60);
}

/// A broker with one of the examples.
struct Peer {
    name: &'static str,
    ports: [u16; 2],
    _process: Process,
}

#[track_caller]
fn same(example: &str, table: &str) {
    let folder = Folder::new();
    let [mosquitto, mynah] = [mosquitto(&folder, example), mynah(&folder, example)];
    let wrong: Vec<String> = table
        .trim()
        .lines()
        .filter_map(|action| {
            let expected = action.starts_with("yes");
            let found = [&mosquitto, &mynah].map(|peer| peer.permits(action));
            let told = || format!("{action}: {} {}, {} {}", mosquitto.name, found[0], mynah.name, found[1]);
            (found != [expected; 2]).then(told)
        })
        .collect();
    assert!(wrong.is_empty(), "{example}: {wrong:#?}");
}

/// Mosquitto with an example, on ports that are free.
fn mosquitto(folder: &Folder, example: &str) -> Peer {
    let (file, ports) = copied(folder, example, "there");
    // Under root it would become another user, who cannot read the files.
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}\nuser root\n")).unwrap();
    let mut command = Command::new("/usr/sbin/mosquitto");
    let process = Process::start(command.arg("-c").arg(&file).current_dir(file.parent().unwrap()));
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", ports[0])).is_err() {
        assert!(Instant::now() < deadline, "mosquitto does not listen");
        thread::sleep(Duration::from_millis(20));
    }
    Peer { name: "Mosquitto", ports, _process: process }
}

/// The broker with what is imported, on other ports.
fn mynah(folder: &Folder, example: &str) -> Peer {
    let (file, ports) = copied(folder, example, "here");
    let output = folder.path("imported");
    let mut import = Broker::program();
    import.args(["import", "mosquitto"]).arg(file).arg("--output").arg(&output);
    let _ = Process::start(&mut import).finish().success();
    let file = output.join("mynah.toml");
    let _ = Process::start(Broker::program().args(["check", "-c"]).arg(&file)).finish().success();
    // What one client publishes after another comes in this order on one worker.
    let text = format!("workers = 1\n{}\n[log]\nformat = \"json\"\n", fs::read_to_string(&file).unwrap());
    fs::write(&file, text).unwrap();
    let mut process = Process::start(Broker::program().args(["serve", "-c"]).arg(&file));
    process.line("that it is ready", |line| line.contains("\"message\":\"ready\""));
    Peer { name: "Mynah", ports, _process: process }
}

/// A copy of an example whose listeners are on ports that are free.
fn copied(folder: &Folder, example: &str, name: &str) -> (PathBuf, [u16; 2]) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/mosquitto").join(example);
    let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let ports = sockets.map(|socket| socket.local_addr().unwrap().port());
    let target = folder.path(name);
    copy(&source, &target, ports);
    (target.join("mosquitto.conf"), ports)
}

fn copy(source: &Path, target: &Path, ports: [u16; 2]) {
    fs::create_dir_all(target).unwrap();
    for entry in fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        let target = target.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target, ports);
            continue;
        }
        let mut text = fs::read_to_string(&path).unwrap();
        for (written, free) in ["listener 1883 ", "listener 1884 "].iter().zip(ports) {
            text = text.replace(written, &format!("listener {free} "));
        }
        fs::write(target, text).unwrap();
    }
}

impl Peer {
    /// Whether an action succeeds.
    fn permits(&self, action: &str) -> bool {
        let words: Vec<&str> = action.split_whitespace().collect();
        match words[1..] {
            ["connect", who] => self.connects(who),
            ["publish", who, topic] => self.publishes(who, topic),
            ["subscribe", who, filter] => self.subscribes(who, filter),
            ["receive", who, filter, topic, by] => self.receives(who, filter, topic, by),
            _ => panic!("this is no action: {action}"),
        }
    }

    /// Where, and as whom.
    fn say(&self, command: &mut Command, who: &str) {
        let (user, client) = who.split_once('/').unwrap();
        let (client, port) = client.strip_suffix("@2").map_or((client, 0), |client| (client, 1));
        command.args(["-V", "mqttv5", "-d", "-h", "127.0.0.1", "-p", &self.ports[port].to_string()]);
        command.args(["-i", client]);
        let name = user.trim_end_matches('!');
        if name != "-" {
            let password = if user == name { format!("{name}-secret") } else { "guessed".to_owned() };
            command.args(["-u", name, "-P", &password]);
        }
    }

    fn connects(&self, who: &str) -> bool {
        let mut command = line_buffered("mosquitto_sub");
        self.say(&mut command, who);
        let finished = Process::start(command.args(["-E", "-t", "fence/x"])).finish();
        let is_in = finished.output.contains("received SUBACK");
        assert!(is_in || (finished.output + &finished.error).contains("CONNACK"), "{who} got no answer");
        is_in
    }

    fn publishes(&self, who: &str, topic: &str) -> bool {
        let mut command = line_buffered("mosquitto_pub");
        self.say(&mut command, who);
        let finished = Process::start(command.args(["-q", "1", "-t", topic, "-m", topic])).finish();
        let (_, code) = finished.output.split_once("RC:").unwrap_or_else(|| panic!("{who}: {finished:?}"));
        let digits = code.split(|c: char| !c.is_ascii_digit()).next().unwrap();
        digits.parse::<u8>().unwrap() < FAILED
    }

    fn subscribes(&self, who: &str, filter: &str) -> bool {
        let line = self.subscriber(who, filter).1;
        let (_, codes) = line.split_once("): ").unwrap();
        codes.split(", ").all(|code| code.trim().parse::<u8>().unwrap() < FAILED)
    }

    /// A subscriber, and the line in which it says what it was granted.
    fn subscriber(&self, who: &str, filter: &str) -> (Process, String) {
        let mut command = line_buffered("mosquitto_sub");
        self.say(&mut command, who);
        command.args(["-q", "1", "-F", "> %t", "-t", filter, "-t", "fence/x"]);
        let mut process = Process::start(&mut command);
        let line = process.line("that it is subscribed", |line| line.starts_with("Subscribed "));
        (process, line)
    }

    /// Whether the subscriber gets the message, before one that everybody gets.
    fn receives(&self, who: &str, filter: &str, topic: &str, by: &str) -> bool {
        let (mut subscriber, _) = self.subscriber(who, filter);
        for topic in [topic, "fence/x"] {
            assert!(self.publishes(by, topic), "{}: {by} cannot publish to {topic}", self.name);
        }
        let line = subscriber.line("a message", |line| line.starts_with("> "));
        let is_wanted = line == format!("> {topic}");
        assert!(is_wanted || line == "> fence/x", "{line}");
        is_wanted
    }
}
