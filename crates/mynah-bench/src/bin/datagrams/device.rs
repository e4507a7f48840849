//! A device: a socket, and the handshake or the association by which it is known.

use std::io::{Error, ErrorKind, Result};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant as Clock};

use mynah_dtls::{Alert, Association, Client, ClientSettings, Datagrams, SecureDatagram, SharedKey, Suite};
use mynah_model::Instant;
use ring::rand::SystemRandom;

use crate::broker::{KEY, USER};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
const DATAGRAM_BYTES_MAX: usize = 2048;

/// What a client offers and shows.
pub(crate) fn settings() -> ClientSettings {
    let key = SharedKey { identity: USER.as_bytes().into(), key: KEY.into() };
    ClientSettings { suites: vec![Suite::PskCcm8], key: Some(key), server_name: None }
}

/// A handshake that has failed.
pub(crate) fn failed(alert: Alert) -> Error {
    Error::other(format!("a handshake has failed: {alert}"))
}

/// A socket of its own at an address of this machine, which sends to the broker only.
pub(crate) fn socket(own: &str, broker: SocketAddr) -> Result<UdpSocket> {
    let socket = UdpSocket::bind((own, 0))?;
    socket.connect(broker)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Asks by a socket and returns the answer.
pub(crate) fn ask(socket: &UdpSocket, request: &[u8]) -> Result<Vec<u8>> {
    let mut answer = [0; DATAGRAM_BYTES_MAX];
    socket.send(request)?;
    let length = socket.recv(&mut answer)?;
    Ok(answer[..length].to_vec())
}

/// A handshake from end to end, and a first request by its association.
pub(crate) fn associate(socket: &UdpSocket, request: &[u8]) -> Result<Association> {
    let (random, begin) = (SystemRandom::new(), Clock::now());
    let now = || Instant::from_micros(begin.elapsed().as_micros() as u64);
    let mut out = Datagrams::default();
    let mut client = Client::new(now(), settings(), None, &random, &mut out).map_err(failed)?;
    let mut buffer = [0; DATAGRAM_BYTES_MAX];
    let mut association = loop {
        for datagram in out.iter() {
            socket.send(datagram)?;
        }
        out.clear();
        let length = socket.recv(&mut buffer)?;
        if let Some(done) = client.receive(now(), &buffer[..length], &random, &mut out).map_err(failed)? {
            break done;
        }
    };
    for datagram in out.iter() {
        socket.send(datagram)?;
    }
    let (mut sealed, mut plain, mut answers) = (Vec::new(), Datagrams::default(), Datagrams::default());
    association.seal(request, &mut sealed).map_err(Error::other)?;
    socket.send(&sealed)?;
    let length = socket.recv(&mut buffer)?;
    association.open(&buffer[..length], &mut plain, &mut answers);
    if plain.is_empty() {
        return Err(Error::new(ErrorKind::InvalidData, "nothing was answered by the association"));
    }
    Ok(association)
}
