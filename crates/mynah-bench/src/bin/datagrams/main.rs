//! What CoAP over datagrams takes, and what it stands: the broker's memory for each observer by UDP and for each association
//! of DTLS, and whether honest clients get in beside a flood of hellos.
//!
//! `datagrams --mynah PROGRAM [--observers N] [--associations N]` starts the program, prints the figures, and fails if an
//! association takes more than 12 KiB, an observer more than 2.5 KiB, or an honest client is late.

mod broker;
mod device;
mod flood;

use std::io::{Error, Result};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use mynah_bench::coap::{OBSERVE, PUT};

use crate::broker::Broker;

const ASSOCIATION_BYTES_MAX: u64 = 12 << 10;
const OBSERVER_BYTES_MAX: u64 = 2_560;
/// Peers that come before what the others take is measured: what they share is made by then.
const FIRST: usize = 200;
/// How long the broker is given to come to rest.
const REST: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("datagrams: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let text = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
    let number = |name: &str, default: usize| match text(name) {
        Some(text) => text.parse().map_err(|_| Error::other(format!("{name} {text}: a number is needed"))),
        None => Ok(default),
    };
    let program = text("--mynah").map(PathBuf::from).ok_or_else(|| Error::other("--mynah is missing"))?;
    let associations = number("--associations", 4_000)?;
    let observers = number("--observers", 8_000)?;

    let broker = Broker::start(&program)?;
    let outcome = flood::run(broker.dtls)?;
    println!(
        "{} honest clients done, the last after {:.2} s, beside {:.0} hellos in a second",
        outcome.done,
        outcome.last.as_secs_f64(),
        outcome.hellos_per_second
    );
    drop(broker);

    let broker = Broker::start(&program)?;
    let association = bytes_each(&broker, associations, |_| {
        let socket = device::socket("127.0.0.1", broker.dtls)?;
        let association = device::associate(&socket, PUT)?;
        Ok((socket, association))
    })?;
    println!("{association} bytes of memory for an association of DTLS, of {associations}");
    drop(broker);

    let broker = Broker::start(&program)?;
    device::ask(&device::socket("127.0.0.1", broker.udp)?, PUT)?;
    let observer = bytes_each(&broker, observers, |_| {
        let socket = device::socket("127.0.0.1", broker.udp)?;
        device::ask(&socket, OBSERVE)?;
        Ok(socket)
    })?;
    println!("{observer} bytes of memory for an observer by UDP, of {observers}");
    Ok(outcome.is_good() && association <= ASSOCIATION_BYTES_MAX && observer <= OBSERVER_BYTES_MAX)
}

/// Has peers come, and returns how much more memory the broker has for each.
fn bytes_each<P>(broker: &Broker, count: usize, come: impl Fn(usize) -> Result<P>) -> Result<u64> {
    let _first = (0..FIRST).map(&come).collect::<Result<Vec<_>>>()?;
    thread::sleep(REST);
    let before = broker.resident_bytes()?;
    let _peers = (0..count).map(&come).collect::<Result<Vec<_>>>()?;
    thread::sleep(REST);
    Ok(broker.resident_bytes()?.saturating_sub(before) / count.max(1) as u64)
}
