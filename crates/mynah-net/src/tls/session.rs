//! One peer's TLS, without I/O, by certificates or by keys that are shared.

use mynah_engine::Proof;
use rustls::Error;

use super::certified::Certified;
#[cfg(feature = "tls-psk")]
use super::keyed::Keyed;
use crate::caller::ChannelBinding;

/// The server's side of a connection of TLS. Whoever keeps one boxes it.
#[cfg_attr(
    feature = "tls-psk",
    expect(
        clippy::large_enum_variant,
        reason = "few listeners have keys, and a second box would be all others' cost"
    )
)]
pub(crate) enum Session {
    Certified(Certified),
    #[cfg(feature = "tls-psk")]
    Keyed(Keyed),
}

/// What came of sealed bytes.
#[derive(Debug)]
pub(crate) struct Opened {
    /// How many of them are done with. The others have to be presented again, with more behind them.
    pub(crate) consumed: usize,
    /// No more is to come: the peer has said so, or the error has ended it.
    pub(crate) ended: bool,
    pub(crate) error: Option<Error>,
}

impl Session {
    /// Whether the handshake is still under way.
    pub(crate) fn is_handshaking(&self) -> bool {
        match self {
            Self::Certified(session) => session.is_handshaking(),
            #[cfg(feature = "tls-psk")]
            Self::Keyed(session) => session.is_handshaking(),
        }
    }

    /// What ties what is said inside to this connection, once the handshake is done.
    pub(crate) const fn binding(&self) -> &ChannelBinding {
        match self {
            Self::Certified(session) => session.binding(),
            #[cfg(feature = "tls-psk")]
            Self::Keyed(session) => session.binding(),
        }
    }

    /// The name of the host that the peer has asked for, once the handshake is done.
    pub(crate) fn take_host(&mut self) -> Option<Box<str>> {
        match self {
            Self::Certified(session) => session.take_host(),
            #[cfg(feature = "tls-psk")]
            Self::Keyed(session) => session.take_host(),
        }
    }

    /// What proves who the peer is, once the handshake is done: its certificate, if it was asked and has shown one, or its key.
    pub(crate) fn proof(&self) -> Option<Proof> {
        match self {
            Self::Certified(session) => session.proof(),
            #[cfg(feature = "tls-psk")]
            Self::Keyed(session) => session.proof(),
        }
    }

    /// Takes in sealed bytes. Plain ones are appended to `plain`, what has to be sent to `out`.
    pub(crate) fn open(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>, out: &mut Vec<u8>) -> Opened {
        match self {
            Self::Certified(session) => session.open(bytes, plain, out),
            #[cfg(feature = "tls-psk")]
            Self::Keyed(session) => session.open(bytes, plain, out),
        }
    }

    /// Seals `plain` into `out`. `pending` are the bytes that [`Session::open`] has left.
    pub(crate) fn seal(&mut self, pending: &mut [u8], plain: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Self::Certified(session) => session.seal(pending, plain, out),
            #[cfg(feature = "tls-psk")]
            Self::Keyed(session) => session.seal(plain, out),
        }
    }

    /// Says good-bye: appends the alert `close_notify`.
    pub(crate) fn close(&mut self, pending: &mut [u8], out: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Self::Certified(session) => session.close(pending, out),
            #[cfg(feature = "tls-psk")]
            Self::Keyed(session) => session.close(out),
        }
    }
}
