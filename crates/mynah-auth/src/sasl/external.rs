//! The EXTERNAL mechanism (RFC 4422, appendix A): the peer has proved who it is below SASL, by its certificate
//! or by a key that it shares with the broker.

use mynah_model::{Instant, Reason};

use super::{Answer, Mechanism, Realm, acting_for};

/// The name of the mechanism.
pub(crate) const NAME: &str = "EXTERNAL";

/// The server's side.
pub(super) struct Server(Box<dyn Realm>);

impl Server {
    pub(super) fn new(realm: Box<dyn Realm>) -> Self {
        Self(realm)
    }
}

impl Mechanism for Server {
    fn step(&mut self, now: Instant, message: &[u8]) -> Result<Answer, Reason> {
        let authzid = str::from_utf8(message).map_err(|_| Reason::BadCredentials)?;
        let login = self.0.proof(now)?;
        acting_for(&login, authzid)?;
        Ok(Answer::Proved { login, last_word: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sasl::tests::{Village, begin, proved};

    #[test]
    fn a_certificate_proves_its_identity_and_no_other() {
        let said = |message: &[u8]| begin(NAME, Village::default()).step(Instant::ZERO, message);
        assert_eq!(proved(said(b"")).0, "device");
        assert_eq!(proved(said(b"device")).0, "device");
        assert_eq!(said(b"user").err(), Some(Reason::NotAuthorized));
        assert_eq!(said(b"\xFF").err(), Some(Reason::BadCredentials));
    }
}
