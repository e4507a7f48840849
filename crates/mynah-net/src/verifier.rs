//! Verifying who peers are beside the workers: a password takes tens of milliseconds on purpose, an exchange may ask
//! others.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use mynah_engine::{Attempt, Authenticated};
use mynah_model::{Instant, Reason};
use mynah_stack::{Credentials, Exchange};

use crate::caller::Caller;
use crate::clock::Clock;
use crate::mailbox::{Letter, Verification};
use crate::waiting::Waiting;

/// Verifications that may wait; a peer that comes when so many do is told that the server is busy.
const WAITING_MAX: usize = 1_024;

/// Finds out who peers are.
pub trait Verify: Send + Sync {
    /// What can be said of credentials at once, by a thread that serves connections: none if they have to be verified.
    fn recall(
        &self,
        now: Instant,
        caller: &Caller,
        credentials: &Credentials,
    ) -> Option<Result<Authenticated, Reason>> {
        let _ = (now, caller, credentials);
        None
    }

    /// Who the user is, if the password is the user's. May take its time, as everything below: called on threads that have
    /// nothing else to do.
    ///
    /// # Errors
    /// Why the user is not let in. An unknown user and a wrong password cannot be told apart.
    fn verify(
        &self,
        now: Instant,
        caller: &Caller,
        credentials: &Credentials,
    ) -> Result<Authenticated, Reason>;

    /// Who the peer is by what its transport has proved; `user` is the name that it gives besides. A verifier that does not
    /// say otherwise takes nothing.
    ///
    /// # Errors
    /// Why it is not let in.
    fn proved(&self, now: Instant, caller: &Caller, user: Option<&str>) -> Result<Authenticated, Reason> {
        let _ = (now, caller, user);
        Err(Reason::BadCredentials)
    }

    /// The key that is shared with the user of this name, who comes in at this listener. A verifier that does not say otherwise
    /// knows none. Called by threads that serve connections: it must not take its time.
    fn pre_shared_key(&self, listener: u16, user: &str) -> Option<Box<[u8]>> {
        let _ = (listener, user);
        None
    }

    /// Hears of a peer that has said it is this user, and does not have the key that is shared with the user.
    fn unproved(&self, now: Instant, caller: &Caller, user: &str) {
        let _ = (now, caller, user);
    }

    /// How many threads verify, on a machine of `cores` cores. A verifier that waits for others wants more than one that
    /// only computes.
    fn threads(&self, cores: usize) -> usize {
        cores.div_ceil(2)
    }

    /// Begins an exchange by the method of this name. A verifier that does not say otherwise knows none.
    ///
    /// # Errors
    /// [`Reason::BadAuthenticationMethod`] if there is no such method.
    fn begin(&self, caller: &Caller, method: &str) -> Result<Box<dyn Mechanism>, Reason> {
        let _ = (caller, method);
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
    fn step(&mut self, now: Instant, message: &[u8]) -> Result<Answer, Reason>;
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
    /// Too many wait: nobody has looked at it.
    NotHeard,
}

/// Who verifies, for one worker.
#[derive(Clone)]
pub(crate) struct Verifier {
    verify: Arc<dyn Verify>,
    waiting: Arc<Waiting<Verification>>,
}

impl Verifier {
    /// Starts `threads` threads that verify what they are sent until [`Verifier::close`].
    pub(crate) fn start(
        verify: &Arc<dyn Verify>,
        threads: usize,
        clock: Clock,
    ) -> io::Result<(Self, Vec<JoinHandle<()>>)> {
        let own = Self { verify: Arc::clone(verify), waiting: Arc::new(Waiting::new(WAITING_MAX)) };
        let spawn = |number| {
            let own = own.clone();
            let builder = std::thread::Builder::new().name(format!("mynah-verify-{number}"));
            builder.spawn(move || own.work(clock))
        };
        let handles = (0..threads).map(spawn).collect::<io::Result<_>>()?;
        Ok((own, handles))
    }

    /// Lets the threads end.
    pub(crate) fn close(&self) {
        self.waiting.close();
    }

    /// Who knows keys.
    pub(crate) const fn verify(&self) -> &Arc<dyn Verify> {
        &self.verify
    }

    /// What can be said at once.
    pub(crate) fn recall(&self, now: Instant, verification: &Verification) -> Option<Verdict> {
        let Attempt::Credentials(credentials) = &verification.attempt else { return None };
        let result = self.verify.recall(now, &verification.caller, credentials)?;
        Some(result.map_or_else(Verdict::Refused, Verdict::Proved))
    }

    /// Has something verified. If there is no room, somebody is told that the server is busy.
    pub(crate) fn send(&self, verification: Verification) {
        let address = verification.caller.address;
        if let Some(Verification { connection, reply_to, .. }) = self.waiting.push(address, verification) {
            reply_to.post(Letter::Verified { connection, verdict: Verdict::NotHeard });
        }
    }

    fn work(&self, clock: Clock) {
        while let Some(verification) = self.waiting.pop() {
            let Verification { connection, caller, attempt, dialogue, reply_to } = verification;
            let verdict = judge(&*self.verify, clock.now(), &caller, attempt, dialogue);
            reply_to.post(Letter::Verified { connection, verdict: verdict.unwrap_or_else(Verdict::Refused) });
        }
    }
}

fn judge(
    verify: &dyn Verify,
    now: Instant,
    caller: &Caller,
    attempt: Attempt,
    dialogue: Option<Box<Dialogue>>,
) -> Result<Verdict, Reason> {
    let (exchange, dialogue) = match attempt {
        Attempt::Credentials(credentials) => {
            return verify.verify(now, caller, &credentials).map(Verdict::Proved);
        }
        Attempt::Proof { user } => {
            return verify.proved(now, caller, user.as_deref()).map(Verdict::Proved);
        }
        Attempt::Begin(exchange) => {
            let mechanism = verify.begin(caller, &exchange.method)?;
            let method = exchange.method.clone();
            (exchange, Box::new(Dialogue { method, mechanism }))
        }
        Attempt::Continue(exchange) => (exchange, dialogue.ok_or(Reason::ProtocolViolation)?),
    };
    go_on(now, &exchange, dialogue)
}

fn go_on(now: Instant, exchange: &Exchange, mut dialogue: Box<Dialogue>) -> Result<Verdict, Reason> {
    if exchange.method != dialogue.method {
        return Err(Reason::ProtocolViolation);
    }
    dialogue.mechanism.step(now, &exchange.data).map(|answer| match answer {
        Answer::Challenge(challenge) => Verdict::Challenge(challenge, dialogue),
        Answer::Proved(authenticated) => Verdict::Proved(authenticated),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mynah_model::{Identity, TenantId};

    fn judge(
        verify: &dyn Verify,
        attempt: Attempt,
        dialogue: Option<Box<Dialogue>>,
    ) -> Result<Verdict, Reason> {
        super::judge(verify, Instant::ZERO, &Caller::default(), attempt, dialogue)
    }

    /// Asks for the next letter until the peer has said `abc`.
    struct Spelling(u8);

    impl Mechanism for Spelling {
        fn step(&mut self, _: Instant, message: &[u8]) -> Result<Answer, Reason> {
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
        fn verify(&self, _: Instant, _: &Caller, _: &Credentials) -> Result<Authenticated, Reason> {
            Err(Reason::BadCredentials)
        }

        fn begin(&self, _: &Caller, method: &str) -> Result<Box<dyn Mechanism>, Reason> {
            let known = method == "SPELLING";
            if known { Ok(Box::new(Spelling(b'a'))) } else { Err(Reason::BadAuthenticationMethod) }
        }
    }

    struct Stranger;

    impl Verify for Stranger {
        fn verify(&self, _: Instant, _: &Caller, _: &Credentials) -> Result<Authenticated, Reason> {
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
