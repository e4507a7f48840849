//! Associations: what a handshake leads to.

use std::fmt;

use crate::alert::Alert;
use crate::datagrams::Datagrams;
use crate::peer::PeerIdentity;
use crate::protection::Keys;
use crate::replay::Replay;
use crate::suite::Suite;
use crate::wire::message;
use crate::wire::record::{self, Record};

/// Datagrams that nobody else can read or make, whatever seals them.
pub trait SecureDatagram: Send {
    /// Opens what is in a datagram of the peer: plain datagrams for `plain`, and what is to be answered for `answers`. What was
    /// not sealed by the peer, or came before, is left out.
    fn open(&mut self, datagram: &[u8], plain: &mut Datagrams, answers: &mut Datagrams) -> Opened;

    /// Seals a plain datagram, behind the bytes of `out`.
    ///
    /// # Errors
    /// No more can be sealed: the association has to end.
    fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), Exhausted>;

    /// Says that nothing more will be said, behind the bytes of `out`.
    fn close(&mut self, out: &mut Vec<u8>);

    /// Who the peer has proved to be.
    fn identity(&self) -> &PeerIdentity;
}

/// What came of a datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Something in it was sealed by the peer.
    pub is_genuine: bool,
    /// The peer has ended the association, with this.
    pub ended: Option<Alert>,
}

/// No more records can be sealed with these keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted;

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("all numbers of records are used up, or a datagram is too long")
    }
}

impl std::error::Error for Exhausted {}

/// An association of DTLS 1.2.
pub struct Association {
    suite: Suite,
    identity: PeerIdentity,
    remote: Keys,
    local: Keys,
    /// The number of the next record.
    next: u64,
    replay: Replay,
    /// What is said again to a client that has not heard it.
    last: Option<LastFlight>,
}

/// The end of a handshake, as a server says it.
pub(crate) struct LastFlight {
    /// The Finished message.
    pub(crate) finished: Box<[u8]>,
    /// The number of the next record that is not protected.
    pub(crate) record: u64,
}

impl Association {
    pub(crate) fn new(
        suite: Suite,
        identity: PeerIdentity,
        (remote, local): (Keys, Keys),
        (next, replay): (u64, Replay),
        last: Option<LastFlight>,
    ) -> Self {
        Self { suite, identity, remote, local, next, replay, last }
    }

    /// Its cipher suite.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// Bytes of memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let identity = match &self.identity {
            PeerIdentity::PreSharedKey(bytes) | PeerIdentity::Certificate(bytes) => bytes.len(),
            PeerIdentity::Nobody => 0,
        };
        let last = self.last.as_ref().map_or(0, |last| last.finished.len());
        let keys = self.remote.bytes() + self.local.bytes() - 2 * size_of::<Keys>();
        size_of::<Self>() + identity + last + keys
    }

    fn put(&mut self, kind: u8, plain: &[u8], out: &mut Vec<u8>) -> Result<(), Exhausted> {
        if self.next >= record::NUMBER_MAX {
            return Err(Exhausted);
        }
        let number = record::number(1, self.next);
        self.next += 1;
        if self.local.seal(kind, number, plain, out) { Ok(()) } else { Err(Exhausted) }
    }

    /// Reads a message of a handshake: the last of the one that is over, if the client has not heard ours, or the first of
    /// another, which there is not.
    fn read_message(&mut self, plain: &[u8], answers: &mut Datagrams) {
        answers.finish();
        let Some(kind) = plain.first() else { return };
        let mut answer = Vec::new();
        if *kind == message::FINISHED
            && let Some(mut last) = self.last.take()
        {
            record::put(record::CHANGE_CIPHER_SPEC, last.record, &[1], &mut answer);
            last.record += 1;
            let _ = self.put(record::HANDSHAKE, &last.finished, &mut answer);
            self.last = Some(last);
        } else if *kind == message::CLIENT_HELLO {
            let _ = self.put(record::ALERT, &Alert::NO_RENEGOTIATION.bytes(), &mut answer);
        }
        answers.add(|bytes| bytes.extend(answer));
    }

    fn open_record(
        &mut self,
        record: &Record<'_>,
        plain: &mut Datagrams,
        answers: &mut Datagrams,
    ) -> Option<Opened> {
        if record.epoch() != 1 || !self.replay.may_come(record.sequence()) {
            return None;
        }
        let mut ended = None;
        if record.kind == record::APPLICATION {
            let mut is_good = false;
            plain.add(|bytes| is_good = self.remote.open(record, bytes));
            is_good.then_some(())?;
        } else {
            let mut bytes = Vec::new();
            self.remote.open(record, &mut bytes).then_some(())?;
            match record.kind {
                record::ALERT => ended = Alert::final_of(&bytes),
                record::HANDSHAKE => self.read_message(&bytes, answers),
                _ => {}
            }
        }
        self.replay.note(record.sequence());
        Some(Opened { is_genuine: true, ended })
    }
}

impl SecureDatagram for Association {
    fn open(&mut self, mut datagram: &[u8], plain: &mut Datagrams, answers: &mut Datagrams) -> Opened {
        let mut all = Opened::default();
        while let Some(record) = record::next(&mut datagram) {
            if let Some(opened) = self.open_record(&record, plain, answers) {
                all = opened;
            }
            if all.ended.is_some() {
                break;
            }
        }
        all
    }

    fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), Exhausted> {
        self.put(record::APPLICATION, plain, out)
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        // An association that cannot say so ends all the same.
        let _ = self.put(record::ALERT, &Alert::CLOSE_NOTIFY.bytes(), out);
    }

    fn identity(&self) -> &PeerIdentity {
        &self.identity
    }
}
