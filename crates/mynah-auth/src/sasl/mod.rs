//! SASL (RFC 4422), once for every protocol that has it: messages of the peer go in, a challenge, a proof or a refusal
//! comes out. No clock, entropy or socket; whose password is right is asked of a [`Realm`].

mod anonymous;
mod bearer;
pub mod client;
mod external;
mod plain;
mod scram;

use mynah_model::{Instant, Reason};

pub(crate) use self::anonymous::NAME as ANONYMOUS;
pub(crate) use self::bearer::NAME as OAUTHBEARER;
pub(crate) use self::external::NAME as EXTERNAL;
pub(crate) use self::plain::NAME as PLAIN;
pub use self::plain::PlainMessage;
use crate::credential::{ScramHash, ScramVerifier};
use crate::peer::Login;

/// One exchange by which a peer proves who it is.
pub trait Mechanism: Send {
    /// Takes in what the peer says, the first message included, and answers. Not called again after a proof or a refusal.
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
    Proved {
        /// Who it is.
        login: Login,
        /// What the mechanism says last, if it has a last word.
        last_word: Option<Box<[u8]>>,
    },
}

/// Who decides what is proved. It counts failures and tells of them, so a mechanism asks it for every outcome that is not a
/// mistake in the form of a message.
pub(crate) trait Realm: Send {
    /// Whether the password is the user's. May take tens of milliseconds.
    fn password(&self, now: Instant, user: &str, password: &[u8]) -> Result<Login, Reason>;

    /// What a user is challenged with; one that looks real for a user who does not exist.
    fn verifier(&self, now: Instant, hash: ScramHash, user: &str) -> Result<ScramVerifier, Reason>;

    /// The outcome of a challenge: whether the peer knows what `verifier` was made of.
    fn challenged(
        &self,
        now: Instant,
        user: &str,
        verifier: &ScramVerifier,
        is_proved: bool,
    ) -> Result<Login, Reason>;

    /// Who the peer is by what its transport has proved.
    fn proof(&self, now: Instant) -> Result<Login, Reason>;

    /// Who a peer is that does not want to say.
    fn anonymous(&self, now: Instant) -> Result<Login, Reason>;

    /// Whom a token is for, which has to be `user` if the peer says who it is: nobody acts for others.
    fn token(&self, now: Instant, user: Option<&str>, token: &str) -> Result<Login, Reason>;

    /// What ties an exchange to the TLS below it, by the name of the kind (RFC 9266, RFC 5929).
    fn channel_binding(&self, kind: &str) -> Option<&[u8]>;
}

/// The mechanism of this name, none if there is none. `nonce` is different each time and cannot be guessed.
pub(crate) fn server(name: &str, realm: Box<dyn Realm>, nonce: &[u8]) -> Option<Box<dyn Mechanism>> {
    for hash in [ScramHash::Sha1, ScramHash::Sha256] {
        for (own, binds) in [(hash.name(), false), (hash.plus_name(), true)] {
            if own == name {
                return Some(Box::new(scram::Server::new(hash, binds, realm, nonce)));
            }
        }
    }
    match name {
        PLAIN => Some(Box::new(plain::Server::new(realm))),
        EXTERNAL => Some(Box::new(external::Server::new(realm))),
        ANONYMOUS => Some(Box::new(anonymous::Server::new(realm))),
        OAUTHBEARER => Some(Box::new(bearer::Server::new(realm))),
        _ => None,
    }
}

/// Lets a peer in that has proved who it is, if it does not want to act for somebody else, which nobody may.
fn acting_for(login: &Login, authzid: &str) -> Result<(), Reason> {
    if authzid.is_empty() || authzid == login.identity.name() { Ok(()) } else { Err(Reason::NotAuthorized) }
}

#[cfg(test)]
pub(crate) mod tests {
    use mynah_model::{Identity, TenantId};

    use super::*;

    /// Knows `user` with the password `pencil`, the certificate of `device`, the token `token`, and one channel binding.
    #[derive(Default)]
    pub(crate) struct Village {
        pub(crate) verifier: Option<ScramVerifier>,
        pub(crate) binding: Option<&'static [u8]>,
    }

    pub(crate) fn login(name: &str) -> Login {
        Login::new(Identity::user(TenantId::DEFAULT, name))
    }

    impl Realm for Village {
        fn password(&self, _: Instant, user: &str, password: &[u8]) -> Result<Login, Reason> {
            let right = user == "user" && password == b"pencil";
            if right { Ok(login(user)) } else { Err(Reason::BadCredentials) }
        }

        fn verifier(&self, _: Instant, hash: ScramHash, _: &str) -> Result<ScramVerifier, Reason> {
            self.verifier.clone().filter(|own| own.hash == hash).ok_or(Reason::BadCredentials)
        }

        fn challenged(
            &self,
            _: Instant,
            user: &str,
            _: &ScramVerifier,
            is_proved: bool,
        ) -> Result<Login, Reason> {
            if is_proved { Ok(login(user)) } else { Err(Reason::BadCredentials) }
        }

        fn proof(&self, _: Instant) -> Result<Login, Reason> {
            Ok(login("device"))
        }

        fn anonymous(&self, _: Instant) -> Result<Login, Reason> {
            Ok(login("anybody"))
        }

        fn token(&self, _: Instant, user: Option<&str>, token: &str) -> Result<Login, Reason> {
            match (token, user) {
                ("token", None | Some("user")) => Ok(login("user")),
                ("token", Some(_)) => Err(Reason::NotAuthorized),
                _ => Err(Reason::BadCredentials),
            }
        }

        fn channel_binding(&self, kind: &str) -> Option<&[u8]> {
            self.binding.filter(|_| kind == "tls-exporter")
        }
    }

    pub(crate) fn begin(name: &str, village: Village) -> Box<dyn Mechanism> {
        server(name, Box::new(village), b"nonce").unwrap()
    }

    pub(crate) fn proved(answer: Result<Answer, Reason>) -> (String, Option<Vec<u8>>) {
        match answer {
            Ok(Answer::Proved { login, last_word }) => {
                (login.identity.name().to_owned(), last_word.map(Vec::from))
            }
            other => panic!("a proof was expected: {other:?}"),
        }
    }

    pub(crate) fn challenge(answer: Result<Answer, Reason>) -> String {
        match answer {
            Ok(Answer::Challenge(challenge)) => String::from_utf8(challenge.into()).unwrap(),
            other => panic!("a challenge was expected: {other:?}"),
        }
    }

    #[test]
    fn a_mechanism_that_nobody_knows_is_none() {
        for name in ["", "plain", "SCRAM-SHA-512", "SCRAM-SHA-256-", "CRAM-MD5", "LOGIN"] {
            assert!(server(name, Box::new(Village::default()), b"n").is_none(), "{name}");
        }
    }
}
