//! The broker as a child process: started on ports that the system chose, killed without a chance to take leave, started
//! again on the same folder.

use std::fs::{self, File};
use std::io::{Error, Result};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a broker may take until it is ready. It reads everything that the killed one left.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// How long a broker may take to stop when it is asked to.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// How often the log is looked at.
const LOG_INTERVAL: Duration = Duration::from_millis(2);

/// Logs of earlier brokers that are kept.
const LOGS_MAX: u32 = 4;

/// Where a broker listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) mqtt: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) stomp: SocketAddr,
    pub(crate) amqp: SocketAddr,
    pub(crate) coap: SocketAddr,
}

/// How brokers are started.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) program: PathBuf,
    /// For the configuration, the logs and the broker's folder.
    pub(crate) folder: PathBuf,
    /// Whether the broker has a store, in its folder.
    pub(crate) names_store: bool,
    pub(crate) workers: u16,
    /// What the broker finds in its environment.
    pub(crate) environment: Vec<(&'static str, PathBuf)>,
}

impl Setup {
    /// The broker's own folder.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.join("store")
    }

    /// Writes the configuration and makes the folders.
    pub(crate) fn prepare(&self) -> Result<()> {
        fs::create_dir_all(self.store())?;
        let mut text = format!("workers = {}\n", self.workers);
        for protocol in ["mqtt", "http", "stomp", "amqp091", "coap"] {
            text += &format!(
                "[[listener]]\nname = \"{protocol}\"\nprotocol = \"{protocol}\"\naddress = \"127.0.0.1:0\"\n"
            );
        }
        // Nothing may be dropped because it waited, however long the run.
        text += "[limits]\nbacklog_messages_max = 10000000\nbacklog_bytes_max = 4294967296\n";
        text += "[log]\nformat = \"json\"\n[sys]\ninterval_s = 0\n";
        text += if self.names_store {
            "[store]\npath = \"store\"\n"
        } else {
            "[store]\ndurability = \"memory\"\n"
        };
        fs::write(self.configuration(), text)
    }

    fn configuration(&self) -> PathBuf {
        self.folder.join("mynah.toml")
    }
}

/// A running broker. Killed when the value goes.
#[derive(Debug)]
pub(crate) struct Broker {
    child: Child,
    log: PathBuf,
}

impl Broker {
    /// Starts a broker, the `number`-th of the run, without waiting for it.
    pub(crate) fn start(setup: &Setup, number: u32) -> Result<Self> {
        let log = |number: u32| setup.folder.join(format!("broker-{number}.log"));
        if let Some(old) = number.checked_sub(LOGS_MAX) {
            let _ = fs::remove_file(log(old));
        }
        let log = log(number);
        let mut command = Command::new(&setup.program);
        command.args(["serve", "-c"]).arg(setup.configuration());
        command.envs(setup.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
        let child = command
            .spawn()
            .map_err(|error| Error::other(format!("{} does not start: {error}", setup.program.display())))?;
        Ok(Self { child, log })
    }

    /// Waits until the broker is ready.
    ///
    /// # Errors
    /// It ends before, or takes too long; with the end of its log.
    pub(crate) fn ready(&mut self) -> Result<Addresses> {
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            let ended = self.child.try_wait()?;
            let log = fs::read_to_string(&self.log)?;
            if let Some(addresses) = listening(&log) {
                return Ok(addresses);
            }
            if let Some(status) = ended {
                return Err(Error::other(format!("the broker ended ({status}):\n{}", tail(&log))));
            }
            if Instant::now() > deadline {
                return Err(Error::other(format!("the broker does not become ready:\n{}", tail(&log))));
            }
            thread::sleep(LOG_INTERVAL);
        }
    }

    /// Bytes of memory that the process has.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kibibytes.map(|count| count << 10).ok_or_else(|| Error::other("the broker's memory is not told"))
    }

    /// Kills the broker and waits until it is gone.
    ///
    /// # Errors
    /// It had ended by itself; with the end of its log.
    pub(crate) fn kill(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            return Err(Error::other(format!("the broker ended by itself ({status}):\n{}", tail(&log))));
        }
        self.child.kill()?;
        self.child.wait().map(|_| ())
    }

    /// Asks the broker to stop and waits until it has.
    ///
    /// # Errors
    /// It does not, or not well.
    pub(crate) fn stop(mut self) -> Result<()> {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status()?;
        let deadline = Instant::now() + STOP_PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                let failed = || Error::other(format!("the broker stopped with {status}:\n{}", tail(&log)));
                return if status.success() { Ok(()) } else { Err(failed()) };
            }
            thread::sleep(LOG_INTERVAL);
        }
        Err(Error::other("the broker does not stop"))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a broker listens, once its log says that it is ready.
fn listening(log: &str) -> Option<Addresses> {
    let (mut mqtt, mut http, mut stomp, mut amqp, mut coap) = (None, None, None, None, None);
    for line in log.lines() {
        match field(line, "message") {
            Some("ready") => {
                let (mqtt, http, stomp, amqp, coap) = (mqtt?, http?, stomp?, amqp?, coap?);
                return Some(Addresses { mqtt, http, stomp, amqp, coap });
            }
            Some("listening") => {
                let address = field(line, "address").map(|address| address.trim_start_matches("udp:"));
                let address = address.and_then(|address| address.parse().ok());
                match field(line, "protocol") {
                    Some("mqtt") => mqtt = address,
                    Some("http") => http = address,
                    Some("stomp") => stomp = address,
                    Some("amqp091") => amqp = address,
                    Some("coap") => coap = address,
                    _ => {}
                }
            }
            _ => {}
        }
    }
    None
}

/// A text of a log line. What is looked for here has no character that JSON escapes.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!("\"{name}\":\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

/// The last lines of a log.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// The program in a path, as the broker is started from another folder.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    let broken = |error| Error::other(format!("{}: {error}", path.display()));
    fs::canonicalize(path).map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_ready_when_its_log_says_so() {
        let lines = [
            r#"{"level":"INFO","message":"listening","name":"m","protocol":"mqtt","address":"127.0.0.1:41"}"#,
            r#"{"level":"INFO","message":"listening","name":"h","protocol":"http","address":"127.0.0.1:42"}"#,
            r#"{"level":"INFO","message":"listening","name":"s","protocol":"stomp","address":"127.0.0.1:43"}"#,
            r#"{"level":"INFO","message":"listening","name":"a","protocol":"amqp091","address":"127.0.0.1:44"}"#,
            r#"{"level":"INFO","message":"listening","name":"c","protocol":"coap","address":"udp:127.0.0.1:45"}"#,
            r#"{"level":"INFO","message":"ready"}"#,
        ];
        assert!(listening(&lines[..5].join("\n")).is_none());
        let addresses = listening(&lines.join("\n")).unwrap();
        let Addresses { mqtt, http, stomp, amqp, coap } = addresses;
        assert_eq!([mqtt, http, stomp, amqp, coap].map(|address| address.port()), [41, 42, 43, 44, 45]);
    }
}
