//! Verifying who peers are beside the workers: a password takes tens of milliseconds on purpose, an exchange may ask
//! others.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use mynah_engine::{Attempt, Authenticated};
use mynah_model::{Identity, Reason};
use mynah_stack::Exchange;

use crate::mailbox::{Letter, Verification};

/// Verifications that may wait; a peer that comes when so many do is told that the server is busy.
const WAITING_MAX: usize = 1_024;

/// Finds out who peers are. May take its time; called on threads that have nothing else to do.
pub trait Verify: Send + Sync {
    /// The identity of the user, if `password` is the user's.
    ///
    /// # Errors
    /// Why the user is not let in. An unknown user and a wrong password cannot be told apart.
    fn verify(&self, user: &str, password: &[u8]) -> Result<Identity, Reason>;

    /// How many threads verify, on a machine of `cores` cores. A verifier that waits for others wants more than one that
    /// only computes.
    fn threads(&self, cores: usize) -> usize {
        cores.div_ceil(2)
    }

    /// Begins an exchange by the method of this name. A verifier that does not say otherwise knows none.
    ///
    /// # Errors
    /// [`Reason::BadAuthenticationMethod`] if there is no such method.
    fn begin(&self, method: &str) -> Result<Box<dyn Mechanism>, Reason> {
        let _ = method;
        Err(Reason::BadAuthenticationMethod)
    }
}

/// One exchange with one peer by which it proves who it is, such as those of SASL (RFC 4422). It goes from thread to
/// thread, and is dropped with the connection.
pub trait Mechanism: Send {
    /// Takes in what the peer says, the first message included, and answers.
    ///
    /// # Errors
    /// Why the peer is not let in: the exchange is over.
    fn step(&mut self, message: &[u8]) -> Result<Answer, Reason>;
}

/// What a [`Mechanism`] says to a peer.
#[derive(Debug)]
pub enum Answer {
    /// The peer has to say more; this is what it is asked.
    Challenge(Box<[u8]>),
    /// The peer has proved who it is: the exchange is over.
    Proved(Authenticated),
}

/// An exchange that is under way.
pub(crate) struct Dialogue {
    method: Box<str>,
    mechanism: Box<dyn Mechanism>,
}

/// What came of a verification.
pub(crate) enum Verdict {
    Challenge(Box<[u8]>, Box<Dialogue>),
    Proved(Authenticated),
    Refused(Reason),
}

/// Starts `threads` threads that verify what is sent to them until the sender is gone.
pub(crate) fn start(
    verify: &Arc<dyn Verify>,
    threads: usize,
) -> io::Result<(SyncSender<Verification>, Vec<JoinHandle<()>>)> {
    let (sender, receiver) = sync_channel(WAITING_MAX);
    let receiver = Arc::new(Mutex::new(receiver));
    let spawn = |number| {
        let (verify, receiver) = (Arc::clone(verify), Arc::clone(&receiver));
        let builder = std::thread::Builder::new().name(format!("mynah-verify-{number}"));
        builder.spawn(move || work(&*verify, &receiver))
    };
    let handles = (0..threads).map(spawn).collect::<io::Result<_>>()?;
    Ok((sender, handles))
}

fn work(verify: &dyn Verify, receiver: &Mutex<Receiver<Verification>>) {
    loop {
        let received = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Verification { connection, attempt, dialogue, reply_to }) = received else { return };
        let verdict = judge(verify, attempt, dialogue).unwrap_or_else(Verdict::Refused);
        reply_to.post(Letter::Verified { connection, verdict });
    }
}

fn judge(verify: &dyn Verify, attempt: Attempt, dialogue: Option<Box<Dialogue>>) -> Result<Verdict, Reason> {
    let (exchange, dialogue) = match attempt {
        Attempt::Credentials(credentials) => {
            let password = credentials.password.as_deref().unwrap_or_default();
            return verify
                .verify(&credentials.user, password)
                .map(|identity| Verdict::Proved(identity.into()));
        }
        Attempt::Begin(exchange) => {
            let mechanism = verify.begin(&exchange.method)?;
            let method = exchange.method.clone();
            (exchange, Box::new(Dialogue { method, mechanism }))
        }
        Attempt::Continue(exchange) => (exchange, dialogue.ok_or(Reason::ProtocolViolation)?),
    };
    go_on(&exchange, dialogue)
}

fn go_on(exchange: &Exchange, mut dialogue: Box<Dialogue>) -> Result<Verdict, Reason> {
    if exchange.method != dialogue.method {
        return Err(Reason::ProtocolViolation);
    }
    dialogue.mechanism.step(&exchange.data).map(|answer| match answer {
        Answer::Challenge(challenge) => Verdict::Challenge(challenge, dialogue),
        Answer::Proved(authenticated) => Verdict::Proved(authenticated),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mynah_model::TenantId;

    /// Asks for the next letter until the peer has said `abc`.
    struct Spelling(u8);

    impl Mechanism for Spelling {
        fn step(&mut self, message: &[u8]) -> Result<Answer, Reason> {
            if message != [self.0] {
                return Err(Reason::BadCredentials);
            }
            self.0 += 1;
            Ok(match self.0 {
                b'd' => Answer::Proved(Identity::user(TenantId::DEFAULT, "abc").into()),
                letter => Answer::Challenge([letter].into()),
            })
        }
    }

    struct Teacher;

    impl Verify for Teacher {
        fn verify(&self, _: &str, _: &[u8]) -> Result<Identity, Reason> {
            Err(Reason::BadCredentials)
        }

        fn begin(&self, method: &str) -> Result<Box<dyn Mechanism>, Reason> {
            let known = method == "SPELLING";
            if known { Ok(Box::new(Spelling(b'a'))) } else { Err(Reason::BadAuthenticationMethod) }
        }
    }

    struct Stranger;

    impl Verify for Stranger {
        fn verify(&self, _: &str, _: &[u8]) -> Result<Identity, Reason> {
            Err(Reason::BadCredentials)
        }
    }

    fn said(method: &str, data: &[u8]) -> Exchange {
        Exchange { method: method.into(), data: data.into() }
    }

    /// The challenge and the exchange that goes on.
    fn challenged(verdict: Result<Verdict, Reason>) -> (Box<[u8]>, Option<Box<Dialogue>>) {
        match verdict {
            Ok(Verdict::Challenge(challenge, dialogue)) => (challenge, Some(dialogue)),
            _ => panic!("a challenge was expected"),
        }
    }

    #[test]
    fn an_exchange_goes_on_by_its_method_until_it_is_proved_or_refused() {
        let first = || judge(&Teacher, Attempt::Begin(said("SPELLING", b"a")), None);
        let (challenge, dialogue) = challenged(first());
        assert_eq!(*challenge, *b"b");
        let (challenge, dialogue) =
            challenged(judge(&Teacher, Attempt::Continue(said("SPELLING", b"b")), dialogue));
        assert_eq!(*challenge, *b"c");
        let last = judge(&Teacher, Attempt::Continue(said("SPELLING", b"c")), dialogue);
        assert!(matches!(last, Ok(Verdict::Proved(proved)) if proved.identity.name() == "abc"));

        let (_, dialogue) = challenged(first());
        let wrong = judge(&Teacher, Attempt::Continue(said("SPELLING", b"x")), dialogue);
        assert!(matches!(wrong, Err(Reason::BadCredentials)));
        let (_, dialogue) = challenged(first());
        let changed = judge(&Teacher, Attempt::Continue(said("PLAIN", b"b")), dialogue);
        assert!(matches!(changed, Err(Reason::ProtocolViolation)));
        let from_nowhere = judge(&Teacher, Attempt::Continue(said("SPELLING", b"b")), None);
        assert!(matches!(from_nowhere, Err(Reason::ProtocolViolation)));
    }

    #[test]
    fn a_method_that_nobody_knows_is_refused() {
        for (verify, method) in [(&Teacher as &dyn Verify, "READING"), (&Stranger, "SPELLING")] {
            let verdict = judge(verify, Attempt::Begin(said(method, b"a")), None);
            assert!(matches!(verdict, Err(Reason::BadAuthenticationMethod)));
        }
    }
}
