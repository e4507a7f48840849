//! A broker as a child process, on loopback and on ports that the system chose.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::process::Command;

use crate::binary;
use crate::folder::Folder;
use crate::process::{Finished, Process};

/// What the broker of a test is to be.
#[derive(Debug)]
pub struct Setup {
    workers: u16,
    /// Name, password and, if it is not the tenant `default`, tenant.
    users: Vec<(String, String, Option<String>)>,
    /// Users and the keys that they share with the broker.
    keys: Vec<(String, String)>,
    files: Vec<(String, String)>,
    first: String,
    more: String,
}

impl Setup {
    /// A broker that lets everybody in, with a number of worker threads.
    #[must_use]
    pub fn workers(workers: u16) -> Self {
        Self {
            workers,
            users: Vec::new(),
            keys: Vec::new(),
            files: Vec::new(),
            first: String::new(),
            more: String::new(),
        }
    }

    /// Adds a user. From the first one on, whoever has no password stays outside.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.users.push((name.to_owned(), password.to_owned(), None));
        self
    }

    /// Adds a user of a tenant.
    #[must_use]
    pub fn user_of(mut self, tenant: &str, name: &str, password: &str) -> Self {
        self.users.push((name.to_owned(), password.to_owned(), Some(tenant.to_owned())));
        self
    }

    /// Gives a user of the default tenant a key that it shares with the broker.
    #[must_use]
    pub fn key(mut self, name: &str, key: &str) -> Self {
        self.keys.push((name.to_owned(), key.bytes().map(|byte| format!("{byte:02x}")).collect()));
        self
    }

    /// Puts a file into the folder of the configuration.
    #[must_use]
    pub fn file(mut self, name: &str, content: &str) -> Self {
        self.files.push((name.to_owned(), content.to_owned()));
        self
    }

    /// Adds keys that belong to no table of the configuration.
    #[must_use]
    pub fn first(mut self, toml: &str) -> Self {
        self.first.push_str(toml);
        self
    }

    /// Adds tables to the configuration.
    #[must_use]
    pub fn more(mut self, toml: &str) -> Self {
        self.more.push_str(toml);
        self
    }

    /// Starts the broker and waits until it is ready.
    ///
    /// # Panics
    ///
    /// If it does not become ready; what it logged is printed.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Broker {
        let folder = Folder::new();
        for (name, password, tenant) in &self.users {
            let mut add = Broker::program();
            add.args(["user", "add"]).arg(folder.path("users")).arg(name);
            add.args(tenant.iter().flat_map(|tenant| ["--tenant", tenant]));
            let _ = Process::start_with(&mut add, format!("{password}\n").into_bytes()).finish().success();
        }
        for (name, key) in &self.keys {
            let users = folder.read("users");
            let with_key = |line: &str| match line.strip_prefix(&format!("{name}:")) {
                Some(_) => format!("{line} psk={key}\n"),
                None => format!("{line}\n"),
            };
            folder.write("users", users.lines().map(with_key).collect::<String>());
        }
        for (name, content) in &self.files {
            folder.write(name, content);
        }
        Broker::start(folder, &self.configuration())
    }

    fn configuration(&self) -> String {
        let mut text = format!("workers = {}\n{}", self.workers, self.first);
        for protocol in ["mqtt", "http", "management"] {
            let auth = if protocol == "management" { "auth = \"anonymous\"\n" } else { "" };
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "[[listener]]\nname = \"the-{protocol}\"\nprotocol = \"{protocol}\"\naddress = \"127.0.0.1:0\"\n{auth}"
            );
        }
        text.push_str("[log]\nformat = \"json\"\n");
        if !self.users.is_empty() {
            text.push_str("[auth]\nusers_file = \"users\"\n");
        }
        text + &self.more
    }
}

/// A running broker. Killed when the value goes; if the test fails, its log is printed.
#[derive(Debug)]
pub struct Broker {
    /// Where it speaks MQTT.
    pub mqtt: SocketAddr,
    /// Where it speaks HTTP.
    pub http: SocketAddr,
    /// Where metrics and health are.
    pub management: SocketAddr,
    /// Where each listener listens, by its name; Unix sockets are where the test has put them.
    listeners: BTreeMap<String, SocketAddr>,
    process: Process,
    folder: Folder,
}

impl Broker {
    #[track_caller]
    fn start(folder: Folder, configuration: &str) -> Self {
        folder.write("mynah.toml", configuration);
        Self::serve(folder)
    }

    /// Starts a broker with the configuration that is in the folder.
    #[track_caller]
    fn serve(folder: Folder) -> Self {
        let file = folder.path("mynah.toml");
        let mut process = Process::start(Self::program().args(["serve", "-c"]).arg(file));
        let mut listeners = BTreeMap::new();
        loop {
            let line = process
                .line("that it is ready", |line| is_event(line, "listening") || is_event(line, "ready"));
            if is_event(&line, "ready") {
                break;
            }
            if let (Some(name), Some(address)) = (field(&line, "listener"), field(&line, "address"))
                && let Ok(address) = address.trim_start_matches("udp:").parse()
            {
                listeners.insert(name.to_owned(), address);
            }
        }
        let found = |protocol: &str| match listeners.get(&format!("the-{protocol}")) {
            Some(address) => *address,
            None => panic!("the log does not say where {protocol} is"),
        };
        let (mqtt, http, management) = (found("mqtt"), found("http"), found("management"));
        Self { mqtt, http, management, listeners, process, folder }
    }

    /// Where the listener with this name listens.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    #[track_caller]
    pub fn listener(&self, name: &str) -> SocketAddr {
        match self.listeners.get(name) {
            Some(address) => *address,
            None => panic!("the log does not say where {name} is"),
        }
    }

    /// Sends the broker a signal, such as `HUP`.
    ///
    /// # Panics
    ///
    /// If that is not possible.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Kills the broker, which hears nothing of it, and starts it again with what it has left in its folder.
    ///
    /// # Panics
    ///
    /// If it does not become ready.
    #[must_use]
    #[track_caller]
    pub fn kill_and_start(self) -> Self {
        self.process.signal("KILL");
        let _ = self.process.finish();
        Self::serve(self.folder)
    }

    /// A command that runs the program under test.
    #[must_use]
    pub fn program() -> Command {
        Command::new(binary::path())
    }

    /// The broker's MQTT, as `mynah pub` and `mynah sub` take it.
    #[must_use]
    pub fn mqtt_url(&self) -> String {
        format!("mqtt://{}", self.mqtt)
    }

    /// The address of something that the broker serves by HTTP.
    #[must_use]
    pub fn http_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    /// The address of something for operators.
    #[must_use]
    pub fn management_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.management)
    }

    /// The folder of the broker's configuration, with room for the test's own files.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Asks the broker to stop, and waits for its end.
    ///
    /// # Panics
    ///
    /// If it does not end.
    #[must_use]
    #[track_caller]
    pub fn stop(self) -> Finished {
        self.process.signal("TERM");
        self.process.finish()
    }
}

/// Whether a line of the log reports `message`.
fn is_event(line: &str, message: &str) -> bool {
    field(line, "message") == Some(message)
}

/// A text of a log line. What is looked for here has no character that JSON escapes.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!("\"{name}\":\""))?;
    rest.split_once('"').map(|(value, _)| value)
}
