//! One peer's TLS by a key that it shares with the broker (RFC 4279; RFC 8446, section 2.2), without I/O. rustls has no keys of this
//! kind, so this is OpenSSL, and only in programs that were built with the feature `tls-psk`. An idle session costs its buffers.

use std::io::{self, Read, Write};
use std::sync::Arc;

use mynah_engine::Proof;
use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{
    Error, ErrorCode, NameType, Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslRef,
    SslSessionCacheMode, SslStream, SslVersion,
};

use ring::rand::{SecureRandom, SystemRandom};

use super::session::Opened;
use crate::caller::ChannelBinding;
use crate::keys::PreSharedKeys;

/// Of TLS 1.2: what gives the key of the session forward secrecy first, and no block chaining.
const CIPHERS: &str = "ECDHE-PSK-CHACHA20-POLY1305:PSK-AES256-GCM-SHA384:PSK-AES128-GCM-SHA256:PSK-CHACHA20-POLY1305:\
                       PSK-AES128-CCM:PSK-AES128-CCM8";

/// Length of a key for those who have none: what `mynah user add --psk` makes.
const PRETENDED_BYTES: usize = 32;

/// What sessions of a listener are made from.
pub(super) struct Keyring {
    context: SslContext,
    /// Where a session has the name of the user whose key was found.
    user: Index<Ssl, Box<str>>,
}

impl Keyring {
    pub(super) fn new(keys: Arc<dyn PreSharedKeys>) -> Result<Self, ErrorStack> {
        let user = Ssl::new_ex_index()?;
        let mut context = SslContextBuilder::new(SslMethod::tls_server())?;
        context.set_min_proto_version(Some(SslVersion::TLS1_2))?;
        context.set_cipher_list(CIPHERS)?;
        // A session that is taken up again would not say whose it is.
        context.set_session_cache_mode(SslSessionCacheMode::OFF);
        context.set_options(SslOptions::NO_TICKET | SslOptions::NO_RENEGOTIATION);
        context.set_num_tickets(0)?;
        context.set_mode(SslMode::ENABLE_PARTIAL_WRITE | SslMode::RELEASE_BUFFERS);
        context.set_psk_server_callback(move |ssl, identity, room| {
            let Some((name, len)) = find(&*keys, identity, room) else { return Ok(pretend(room)) };
            ssl.set_ex_data(user, name);
            Ok(len)
        });
        Ok(Self { context: context.build(), user })
    }

    pub(super) fn accept(&self) -> Result<Keyed, ErrorStack> {
        let stream = SslStream::new(Ssl::new(&self.context)?, Pipe::default())?;
        Ok(Keyed { stream, user: self.user, binding: ChannelBinding::default(), state: State::Handshaking })
    }
}

/// The name of the user who has this identity, and how long its key is, which is in `room` then.
fn find(keys: &dyn PreSharedKeys, identity: Option<&[u8]>, room: &mut [u8]) -> Option<(Box<str>, usize)> {
    let name = str::from_utf8(identity?).ok()?;
    let key = keys.key(name)?;
    room.get_mut(..key.len())?.copy_from_slice(&key);
    Some((name.into(), key.len()))
}

/// Puts a key into `room` that nobody has, so that who has no key here and who has another one hear the same (RFC 4279, section
/// 2). Returns its length; none without randomness, which ends the handshake.
fn pretend(room: &mut [u8]) -> usize {
    let Some(room) = room.get_mut(..PRETENDED_BYTES) else { return 0 };
    SystemRandom::new().fill(room).map_or(0, |()| PRETENDED_BYTES)
}

/// The server's side of a connection of TLS.
pub(crate) struct Keyed {
    stream: SslStream<Pipe>,
    user: Index<Ssl, Box<str>>,
    /// Nothing: what is said inside is not tied to TLS where both ends have one key.
    binding: ChannelBinding,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Handshaking,
    Open,
    /// The peer has said good-bye, or an error has ended it.
    Ended,
}

/// Sealed bytes on their way in and out.
#[derive(Debug, Default)]
struct Pipe {
    inbound: Vec<u8>,
    read: usize,
    outbound: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let left = &self.inbound[self.read..];
        let count = left.len().min(room.len());
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        room[..count].copy_from_slice(&left[..count]);
        self.read += count;
        Ok(count)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outbound.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Keyed {
    pub(super) fn is_handshaking(&self) -> bool {
        self.state == State::Handshaking
    }

    pub(super) const fn binding(&self) -> &ChannelBinding {
        &self.binding
    }

    pub(super) fn take_host(&self) -> Option<Box<str>> {
        self.stream.ssl().servername(NameType::HOST_NAME).map(Box::from)
    }

    pub(super) fn proof(&self) -> Option<Proof> {
        let ssl: &SslRef = self.stream.ssl();
        ssl.ex_data(self.user).cloned().map(Proof::PreSharedKey)
    }

    pub(super) fn open(&mut self, bytes: &[u8], plain: &mut Vec<u8>, out: &mut Vec<u8>) -> Opened {
        self.stream.get_mut().inbound.extend_from_slice(bytes);
        let error = self.process(plain).err();
        let pipe = self.stream.get_mut();
        out.append(&mut pipe.outbound);
        // What is left is a piece of a record, if anything.
        pipe.inbound.drain(..pipe.read);
        pipe.read = 0;
        if pipe.inbound.is_empty() {
            pipe.inbound = Vec::new();
        }
        Opened { consumed: bytes.len(), ended: self.state == State::Ended, error: error.map(general) }
    }

    fn process(&mut self, plain: &mut Vec<u8>) -> Result<(), Error> {
        if self.state == State::Handshaking {
            let accepted = self.stream.accept();
            if !self.has_done(accepted)? {
                return Ok(());
            }
            self.state = State::Open;
        }
        let mut room = [0; 4 << 10];
        while self.state == State::Open {
            let read = self.stream.ssl_read(&mut room);
            let count = *read.as_ref().unwrap_or(&0);
            plain.extend_from_slice(&room[..count]);
            if !self.has_done(read)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether something is done that may need more bytes first.
    fn has_done<T>(&mut self, result: Result<T, Error>) -> Result<bool, Error> {
        match result {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.code(), ErrorCode::WANT_READ | ErrorCode::WANT_WRITE) => Ok(false),
            Err(error) => {
                self.state = State::Ended;
                if error.code() == ErrorCode::ZERO_RETURN { Ok(false) } else { Err(error) }
            }
        }
    }

    pub(super) fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), rustls::Error> {
        let mut left = plain;
        while !left.is_empty() {
            let count = self.stream.ssl_write(left).map_err(general)?;
            left = &left[count..];
        }
        out.append(&mut self.stream.get_mut().outbound);
        Ok(())
    }

    pub(super) fn close(&mut self, out: &mut Vec<u8>) -> Result<(), rustls::Error> {
        let said = self.stream.shutdown();
        out.append(&mut self.stream.get_mut().outbound);
        said.map(|_| ()).map_err(general)
    }
}

/// An error of OpenSSL where errors of TLS are rustls's.
fn general(error: Error) -> rustls::Error {
    rustls::Error::General(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::ssl::{SslContextBuilder, SslMethod, SslVerifyMode};

    struct Ada;

    impl PreSharedKeys for Ada {
        fn key(&self, user: &str) -> Option<Box<[u8]>> {
            (user == "ada").then(|| Box::from([7; 32]))
        }
    }

    type Client = SslStream<Pipe>;

    fn client(identity: &'static str, key: &'static [u8], version: SslVersion) -> Client {
        let mut context = SslContextBuilder::new(SslMethod::tls_client()).unwrap();
        context.set_verify(SslVerifyMode::NONE);
        context.set_min_proto_version(Some(version)).unwrap();
        context.set_max_proto_version(Some(version)).unwrap();
        context.set_cipher_list("PSK").unwrap();
        context.set_psk_client_callback(move |_, _, name, room| {
            name[..identity.len()].copy_from_slice(identity.as_bytes());
            name[identity.len()] = 0;
            room[..key.len()].copy_from_slice(key);
            Ok(key.len())
        });
        let mut ssl = Ssl::new(&context.build()).unwrap();
        ssl.set_hostname("factory").unwrap();
        SslStream::new(ssl, Pipe::default()).unwrap()
    }

    /// Carries what one end has for the other in pieces of so many bytes. Returns what the server opened, or its error.
    fn carry(client: &mut Client, server: &mut Keyed, piece: usize) -> Result<Vec<u8>, String> {
        let (mut plain, mut out) = (Vec::new(), Vec::new());
        for bytes in std::mem::take(&mut client.get_mut().outbound).chunks(piece) {
            let opened = server.open(bytes, &mut plain, &mut out);
            assert_eq!(opened.consumed, bytes.len());
            if let Some(error) = opened.error {
                return Err(error.to_string());
            }
        }
        client.get_mut().inbound.append(&mut out);
        Ok(plain)
    }

    fn shake(client: &mut Client, server: &mut Keyed, piece: usize) -> Result<(), String> {
        for _ in 0..4 {
            let _ = client.connect();
            carry(client, server, piece)?;
        }
        if server.is_handshaking() { Err("it is still under way".to_owned()) } else { Ok(()) }
    }

    #[test]
    fn a_peer_comes_in_by_its_key_and_is_the_user_who_has_it() {
        for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
            for piece in [1, 7, 20_000] {
                let mut server = Keyring::new(Arc::new(Ada)).unwrap().accept().unwrap();
                let mut peer = client("ada", &[7; 32], version);
                shake(&mut peer, &mut server, piece).unwrap();
                assert_eq!(server.proof(), Some(Proof::PreSharedKey("ada".into())));
                assert_eq!(server.take_host().as_deref(), Some("factory"));

                let long = vec![9; 40_000];
                peer.write_all(&long).unwrap();
                assert_eq!(carry(&mut peer, &mut server, piece).unwrap(), long);
                let mut out = Vec::new();
                server.seal(&long, &mut out).unwrap();
                peer.get_mut().inbound.append(&mut out);
                let mut read = vec![0; long.len()];
                peer.read_exact(&mut read).unwrap();
                assert_eq!(read, long);
                assert!(peer.get_mut().inbound.len() < 100_000 && server.stream.get_ref().inbound.is_empty());

                peer.shutdown().unwrap();
                let mut bytes = std::mem::take(&mut peer.get_mut().outbound);
                let opened = server.open(&bytes, &mut Vec::new(), &mut out);
                assert!(opened.ended && opened.error.is_none(), "{version:?}: {opened:?}");
                bytes.clear();
                server.close(&mut bytes).unwrap();
                assert!(!bytes.is_empty());
            }
        }
    }

    #[test]
    fn whoever_has_another_key_or_another_name_stays_out_and_cannot_tell_which() {
        for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
            let mut first = None;
            for (name, key) in [("ada", &[8; 32]), ("bob", &[7; 32]), ("a name that is longer", &[7; 32])] {
                let mut server = Keyring::new(Arc::new(Ada)).unwrap().accept().unwrap();
                let mut peer = client(name, key, version);
                let error = shake(&mut peer, &mut server, 20_000).unwrap_err();
                assert_eq!(error, *first.get_or_insert_with(|| error.clone()), "{name} by {version:?}");
                assert!(server.is_handshaking() || server.state == State::Ended);
            }
        }
    }

    #[test]
    fn what_is_no_tls_ends_it() {
        let mut server = Keyring::new(Arc::new(Ada)).unwrap().accept().unwrap();
        let opened = server.open(b"GET / HTTP/1.1\r\n\r\n", &mut Vec::new(), &mut Vec::new());
        assert!(opened.ended && opened.error.is_some());
    }
}
