//! The OAUTHBEARER mechanism (RFC 7628): a token that somebody else has given to the peer.

use mynah_model::{Instant, Reason};

use super::{Answer, Mechanism, Realm};

/// The name of the mechanism.
pub(crate) const NAME: &str = "OAUTHBEARER";
/// What a peer hears whose token proves nothing (section 3.2.2).
const FAILED: &[u8] = br#"{"status":"invalid_token"}"#;
/// How pairs are separated.
const SEPARATOR: u8 = 0x01;

/// The server's side.
pub(super) struct Server {
    realm: Box<dyn Realm>,
    /// The token was refused: the peer hears why before the exchange ends.
    refused: Option<Reason>,
}

impl Server {
    pub(super) fn new(realm: Box<dyn Realm>) -> Self {
        Self { realm, refused: None }
    }
}

impl Mechanism for Server {
    fn step(&mut self, now: Instant, message: &[u8]) -> Result<Answer, Reason> {
        if let Some(reason) = self.refused {
            return Err(reason);
        }
        let message = BearerMessage::decode(message).ok_or(Reason::BadCredentials)?;
        let user = Some(&*message.authzid).filter(|user| !user.is_empty());
        match self.realm.token(now, user, message.token) {
            Ok(login) => Ok(Answer::Proved { login, last_word: None }),
            Err(reason) => {
                self.refused = Some(reason);
                Ok(Answer::Challenge(FAILED.into()))
            }
        }
    }
}

/// The first message of a peer (section 3.1).
struct BearerMessage<'m> {
    authzid: String,
    token: &'m str,
}

impl<'m> BearerMessage<'m> {
    fn decode(message: &'m [u8]) -> Option<Self> {
        let message = str::from_utf8(message).ok()?;
        let mut parts = message.strip_suffix("\u{1}\u{1}")?.split(char::from(SEPARATOR));
        // A gs2-header without channel binding, which the mechanism does not have.
        let header = parts.next()?.strip_suffix(',')?;
        let authzid = header.strip_prefix("n,").or_else(|| header.strip_prefix("y,"))?;
        let authzid = if authzid.is_empty() { "" } else { authzid.strip_prefix("a=")? };
        let mut token = None;
        for pair in parts {
            let (key, value) = pair.split_once('=')?;
            if key == "auth" {
                let (scheme, value) = value.split_once(' ')?;
                token = Some(value.trim_matches(' ')).filter(|_| scheme.eq_ignore_ascii_case("bearer"));
            }
        }
        let authzid = super::scram::saslname(authzid)?;
        Some(Self { authzid, token: token.filter(|token| !token.is_empty())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sasl::tests::{Village, begin, challenge, proved};

    #[test]
    fn the_example_of_rfc_7628_is_a_token() {
        // Section 4.1.
        let message = b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01\
            auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01";
        let read = BearerMessage::decode(message).unwrap();
        assert_eq!(
            (read.authzid.as_str(), read.token),
            ("user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==")
        );
    }

    #[test]
    fn a_token_proves_whom_it_is_for() {
        let said = |message: &[u8]| begin(NAME, Village::default()).step(Instant::ZERO, message);
        assert_eq!(proved(said(b"n,,\x01auth=Bearer token\x01\x01")).0, "user");
        assert_eq!(proved(said(b"n,a=user,\x01auth=bearer token\x01\x01")).0, "user");
    }

    #[test]
    fn who_has_a_bad_token_is_told_before_the_end() {
        let mut server = begin(NAME, Village::default());
        let told = challenge(server.step(Instant::ZERO, b"n,,\x01auth=Bearer x\x01\x01"));
        assert_eq!(told, r#"{"status":"invalid_token"}"#);
        assert_eq!(server.step(Instant::ZERO, b"\x01").err(), Some(Reason::BadCredentials));
        let mut server = begin(NAME, Village::default());
        let told = challenge(server.step(Instant::ZERO, b"n,a=ada,\x01auth=Bearer token\x01\x01"));
        assert_eq!(told, r#"{"status":"invalid_token"}"#);
        assert_eq!(server.step(Instant::ZERO, b"\x01").err(), Some(Reason::NotAuthorized));
    }

    #[test]
    fn what_is_not_a_message_proves_nothing() {
        for message in [
            &b""[..],
            b"n,,",
            b"n,,\x01\x01",
            b"n,,\x01auth=Bearer \x01\x01",
            b"n,,\x01auth=Basic token\x01\x01",
            b"n,,\x01auth=Bearer token\x01",
            b"p=tls-exporter,,\x01auth=Bearer token\x01\x01",
            b"n,a=user\x01auth=Bearer token\x01\x01",
            b"\xFF",
        ] {
            let said = begin(NAME, Village::default()).step(Instant::ZERO, message);
            assert_eq!(said.err(), Some(Reason::BadCredentials), "{message:?}");
        }
    }
}
