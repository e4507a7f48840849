//! The PLAIN mechanism of SASL (RFC 4616): a name and a password in one message.

use mynah_model::{Instant, Reason};

use super::{Answer, Mechanism, Realm};

/// The name of the mechanism.
pub(crate) const NAME: &str = "PLAIN";

/// The server's side.
pub(super) struct Server(Box<dyn Realm>);

impl Server {
    pub(super) fn new(realm: Box<dyn Realm>) -> Self {
        Self(realm)
    }
}

impl Mechanism for Server {
    fn step(&mut self, now: Instant, message: &[u8]) -> Result<Answer, Reason> {
        let PlainMessage { user, password } = PlainMessage::decode(message)?;
        let login = self.0.password(now, user, password)?;
        Ok(Answer::Proved { login, last_word: None })
    }
}

/// What a peer says by the PLAIN mechanism.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PlainMessage<'m> {
    /// The user that the password belongs to.
    pub user: &'m str,
    /// The password.
    pub password: &'m [u8],
}

impl<'m> PlainMessage<'m> {
    /// Reads `[authzid] NUL authcid NUL passwd`.
    ///
    /// # Errors
    /// [`Reason::BadCredentials`] if the message is not one of PLAIN; [`Reason::NotAuthorized`] if the peer wants to act
    /// for somebody else than the user that the password belongs to, which nobody may.
    pub fn decode(message: &'m [u8]) -> Result<Self, Reason> {
        let mut parts = message.split(|&byte| byte == 0);
        let (Some(acts_for), Some(user), Some(password), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Reason::BadCredentials);
        };
        if user.is_empty() || password.is_empty() {
            return Err(Reason::BadCredentials);
        }
        if !acts_for.is_empty() && acts_for != user {
            return Err(Reason::NotAuthorized);
        }
        let user = core::str::from_utf8(user).map_err(|_| Reason::BadCredentials)?;
        Ok(Self { user, password })
    }
}

impl core::fmt::Debug for PlainMessage<'_> {
    /// Shows the name; the password is never shown.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PlainMessage").field("user", &self.user).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_a_name_and_a_password() {
        // The examples of RFC 4616, section 4.
        let tim = PlainMessage { user: "tim", password: b"tanstaaftanstaaf" };
        assert_eq!(PlainMessage::decode(b"\0tim\0tanstaaftanstaaf"), Ok(tim));
        assert_eq!(PlainMessage::decode(b"tim\0tim\0tanstaaftanstaaf"), Ok(tim));
        assert_eq!(PlainMessage::decode(b"Ursel\0Kurt\0xipj3plmq"), Err(Reason::NotAuthorized));
        assert_eq!(format!("{tim:?}"), "PlainMessage { user: \"tim\", .. }");
    }

    #[test]
    fn a_message_with_the_right_password_proves_its_user() {
        use crate::sasl::tests::{Village, begin, proved};
        let said = |message: &[u8]| begin(NAME, Village::default()).step(Instant::ZERO, message);
        assert_eq!(proved(said(b"\0user\0pencil")), ("user".to_owned(), None));
        assert_eq!(said(b"\0user\0pen").err(), Some(Reason::BadCredentials));
        assert_eq!(said(b"user").err(), Some(Reason::BadCredentials));
    }

    #[test]
    fn what_is_not_a_message_proves_nothing() {
        for message in
            [&b""[..], b"\0", b"\0u", b"u\0p", b"\0u\0", b"\0\0p", b"\0u\0p\0", b"\0u\0p\0x", b"\0\xff\0p"]
        {
            assert_eq!(PlainMessage::decode(message), Err(Reason::BadCredentials), "{message:?}");
        }
    }
}
