//! The broker: the real program as a child process, with a store of its own in a new folder.

use std::fs;
use std::io::{BufRead, BufReader, Error, Result};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

/// A running broker. Killed when the value goes, and its folder goes with it.
pub(crate) struct Broker {
    pub(crate) address: SocketAddr,
    child: Child,
    folder: PathBuf,
}

impl Broker {
    /// Starts `program` on one worker, with the promise `durability`.
    pub(crate) fn start(program: &Path, durability: &str) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("mynah-queues-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let file = folder.join("mynah.toml");
        let store = folder.join("store");
        let listener = "[[listener]]\nname = \"a\"\nprotocol = \"amqp091\"\naddress = \"127.0.0.1:0\"\n";
        let (log, store) = ("[log]\nformat = \"json\"\n", store.display());
        let store = format!("[store]\npath = \"{store}\"\ndurability = \"{durability}\"\n");
        fs::write(&file, format!("workers = 1\n{listener}{log}{store}"))?;
        let mut command = Command::new(program);
        command.args(["serve", "-c"]).arg(&file).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let stderr = child.stderr.take().ok_or_else(|| Error::other("no log"))?;
        let mut log = BufReader::new(stderr);
        let address = loop {
            let mut line = String::new();
            if log.read_line(&mut line)? == 0 {
                return Err(Error::other("the broker ended"));
            }
            if let Some(address) = address(&line) {
                break address;
            }
        };
        // A pipe that nobody reads would stop the broker.
        thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Ok(Self { address, child, folder })
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
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Where the listener is, if this line of the log says so.
fn address(line: &str) -> Option<SocketAddr> {
    let field = |name: &str| {
        let (_, rest) = line.split_once(&format!("\"{name}\":\""))?;
        rest.split_once('"').map(|(value, _)| value)
    };
    field("protocol").filter(|protocol| *protocol == "amqp091")?;
    field("address")?.parse().ok()
}
