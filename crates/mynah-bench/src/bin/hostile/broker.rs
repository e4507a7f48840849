//! The broker under attack: the real program as a child process, its memory and its metrics.

use std::fs;
use std::io::{BufRead, BufReader, Error, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// A running broker. Killed when the value goes.
pub(crate) struct Broker {
    pub(crate) mqtt: SocketAddr,
    management: SocketAddr,
    child: Child,
    folder: PathBuf,
}

/// What the broker counted up to some moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    /// Upper bounds in seconds and how many turns took at most that.
    turns: Vec<(f64, u64)>,
    pub(crate) half_open: u64,
    pub(crate) connections_opened: u64,
    pub(crate) backlog_full: u64,
    pub(crate) slow_consumer: u64,
}

/// The bounds that the broker runs with, as far as the attacks meet them.
pub(crate) struct Bounds {
    pub(crate) workers: u16,
    pub(crate) half_open_max: usize,
    pub(crate) backlog_bytes_max: usize,
    pub(crate) outbound_bytes_max: usize,
    pub(crate) connect_timeout: Duration,
}

impl Bounds {
    fn configuration(&self) -> String {
        format!(
            "workers = {}\n\
             [[listener]]\nname = \"m\"\nprotocol = \"mqtt\"\naddress = \"127.0.0.1:0\"\n\
             [[listener]]\nname = \"o\"\nprotocol = \"management\"\naddress = \"127.0.0.1:0\"\n\
             [limits]\nhalf_open_max = {}\nbacklog_bytes_max = {}\noutbound_bytes_max = {}\n\
             [mqtt]\nconnect_timeout_s = {}\n[log]\nformat = \"json\"\nlevel = \"info\"\n[store]\ndurability = \"memory\"\n",
            self.workers,
            self.half_open_max,
            self.backlog_bytes_max,
            self.outbound_bytes_max,
            self.connect_timeout.as_secs()
        )
    }
}

impl Broker {
    pub(crate) fn start(program: &Path, bounds: &Bounds) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("mynah-hostile-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let file = folder.join("mynah.toml");
        fs::write(&file, bounds.configuration())?;
        let mut command = Command::new(program);
        command.args(["serve", "-c"]).arg(&file).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let stderr = child.stderr.take().ok_or_else(|| Error::other("no log"))?;
        let mut log = BufReader::new(stderr);
        let (mut mqtt, mut management) = (None, None);
        while mqtt.is_none() || management.is_none() {
            let mut line = String::new();
            if log.read_line(&mut line)? == 0 {
                return Err(Error::other("the broker ended"));
            }
            let address = field(&line, "address").and_then(|address| address.parse().ok());
            match field(&line, "protocol") {
                Some("mqtt") => mqtt = mqtt.or(address),
                Some("management") => management = management.or(address),
                _ => {}
            }
        }
        // A pipe that nobody reads would stop the broker.
        thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        let no_address = || Error::other("the log does not say where it listens");
        let (mqtt, management) = (mqtt.ok_or_else(no_address)?, management.ok_or_else(no_address)?);
        Ok(Self { mqtt, management, child, folder })
    }

    /// Bytes of memory that the process has now and that it had at the most.
    pub(crate) fn resident_bytes(&self) -> Result<(u64, u64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let kibibytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        let read = |name| kibibytes(name).map(|n| n << 10).ok_or_else(|| Error::other("no memory figures"));
        Ok((read("VmRSS:")?, read("VmHWM:")?))
    }

    pub(crate) fn metrics(&self) -> Result<Metrics> {
        let mut stream = TcpStream::connect(self.management)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(Metrics::parse(&text))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Metrics {
    fn parse(text: &str) -> Self {
        let mut metrics = Self::default();
        for (name, value) in text.lines().filter_map(|line| line.rsplit_once(' ')) {
            let count = value.parse().unwrap_or(0);
            if let Some(bound) = name.strip_prefix("mynah_worker_turn_seconds_bucket{le=\"") {
                let bound = bound.trim_end_matches("\"}").parse().unwrap_or(f64::INFINITY);
                metrics.turns.push((bound, count));
            }
            match name {
                "mynah_connections_half_open" => metrics.half_open = count,
                "mynah_connections_opened_total" => metrics.connections_opened = count,
                "mynah_messages_dropped_total{reason=\"backlog_full\"}" => metrics.backlog_full = count,
                "mynah_messages_dropped_total{reason=\"slow_consumer\"}" => metrics.slow_consumer = count,
                _ => {}
            }
        }
        metrics
    }

    /// The bound, in milliseconds, below which the share of the turns since `before` lies.
    pub(crate) fn turn_millis(&self, before: &Self, share: f64) -> f64 {
        let since = |at: usize| self.turns[at].1 - before.turns.get(at).map_or(0, |turn| turn.1);
        let Some(last) = self.turns.len().checked_sub(1) else { return f64::NAN };
        let wanted = (since(last) as f64 * share).ceil() as u64;
        let at = (0..=last).find(|&at| since(at) >= wanted).unwrap_or(last);
        self.turns[at].0 * 1e3
    }
}

/// A text of a log line. What is looked for here has no character that JSON escapes.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!("\"{name}\":\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_turns_between_two_scrapes() {
        let text = |a, b, c| {
            format!(
                "mynah_worker_turn_seconds_bucket{{le=\"0.001\"}} {a}\n\
                 mynah_worker_turn_seconds_bucket{{le=\"0.002\"}} {b}\n\
                 mynah_worker_turn_seconds_bucket{{le=\"+Inf\"}} {c}\n\
                 mynah_connections_half_open 7\n"
            )
        };
        let (before, after) = (Metrics::parse(&text(100, 100, 100)), Metrics::parse(&text(198, 199, 200)));
        assert_eq!(after.half_open, 7);
        assert_eq!(after.turn_millis(&before, 0.5), 1.0);
        assert_eq!(after.turn_millis(&before, 0.99), 2.0);
        assert_eq!(after.turn_millis(&before, 1.0), f64::INFINITY);
    }
}
