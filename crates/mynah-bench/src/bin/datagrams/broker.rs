//! The broker as a child process, with CoAP by UDP and by DTLS, and its memory.

use std::fs;
use std::io::{BufRead, BufReader, Error, Result};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

/// The user who comes with a key, and the key.
pub(crate) const USER: &str = "sensor";
pub(crate) const KEY: &[u8] = b"sixteen letters.";

const CONFIGURATION: &str = "workers = 2\n\
    [[listener]]\nname = \"udp\"\nprotocol = \"coap\"\naddress = \"127.0.0.1:0\"\nauth = \"none\"\n\
    [[listener]]\nname = \"dtls\"\nprotocol = \"coap\"\ntransport = \"dtls\"\naddress = \"127.0.0.1:0\"\n\
    [auth]\nusers_file = \"people\"\n[log]\nformat = \"json\"\n[store]\ndurability = \"memory\"\n";

/// A running broker. Killed when the value goes.
pub(crate) struct Broker {
    pub(crate) udp: SocketAddr,
    pub(crate) dtls: SocketAddr,
    child: Child,
    folder: PathBuf,
}

impl Broker {
    pub(crate) fn start(program: &Path) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("mynah-datagrams-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let file = folder.join("mynah.toml");
        fs::write(&file, CONFIGURATION)?;
        let key: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(folder.join("people"), format!("{USER}: psk={key}\n"))?;
        let mut command = Command::new(program);
        command.args(["serve", "-c"]).arg(&file).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let stderr = child.stderr.take().ok_or_else(|| Error::other("no log"))?;
        let mut log = BufReader::new(stderr);
        let (mut udp, mut dtls) = (None, None);
        while udp.is_none() || dtls.is_none() {
            let mut line = String::new();
            if log.read_line(&mut line)? == 0 {
                return Err(Error::other("the broker ended: is its program of this version?"));
            }
            let address =
                field(&line, "address").and_then(|address| address.strip_prefix("udp:")?.parse().ok());
            match field(&line, "listener") {
                Some("udp") => udp = udp.or(address),
                Some("dtls") => dtls = dtls.or(address),
                _ => {}
            }
        }
        // A pipe that nobody reads would stop the broker.
        thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        let no_address = || Error::other("the log does not say where it listens");
        let (udp, dtls) = (udp.ok_or_else(no_address)?, dtls.ok_or_else(no_address)?);
        Ok(Self { udp, dtls, child, folder })
    }

    /// Bytes of memory that the process has.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kibibytes.map(|n| n << 10).ok_or_else(|| Error::other("no memory figures"))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A text of a log line. What is looked for here has no character that JSON escapes.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!("\"{name}\":\""))?;
    rest.split_once('"').map(|(value, _)| value)
}
