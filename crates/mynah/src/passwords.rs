//! Passwords as the workers have them verified: as they are, or as SASL's PLAIN carries them.

use std::sync::Arc;

use mynah_auth::{PlainMessage, Users};
use mynah_model::{Identity, Reason, TenantId};
use mynah_net::{Answer, Mechanism, Verify};

/// Verifies passwords. All listeners are in one tenant until configuration knows others.
pub(crate) struct Passwords(Arc<Users>);

impl Passwords {
    pub(crate) fn new(users: Users) -> Self {
        Self(Arc::new(users))
    }
}

impl Verify for Passwords {
    fn verify(&self, user: &str, password: &[u8]) -> Result<Identity, Reason> {
        self.0.verify(TenantId::DEFAULT, user, password)
    }

    fn begin(&self, method: &str) -> Result<Box<dyn Mechanism>, Reason> {
        if method == PlainMessage::METHOD {
            Ok(Box::new(Plain(Arc::clone(&self.0))))
        } else {
            Err(Reason::BadAuthenticationMethod)
        }
    }
}

/// An exchange of one message.
struct Plain(Arc<Users>);

impl Mechanism for Plain {
    fn step(&mut self, message: &[u8]) -> Result<Answer, Reason> {
        let PlainMessage { user, password } = PlainMessage::decode(message)?;
        let identity = self.0.verify(TenantId::DEFAULT, user, password)?;
        Ok(Answer::Proved(identity.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mynah_auth::{HashedPassword, PasswordFile};
    use std::path::Path;

    #[test]
    fn plain_proves_who_knows_a_password_of_the_file() {
        let mut file = PasswordFile::new(Path::new("users"));
        file.set("ada", HashedPassword::new(b"engine").unwrap()).unwrap();
        let passwords = Passwords::new(Users::from(&file));
        let said = |message: &[u8]| passwords.begin("PLAIN")?.step(message);
        assert!(
            matches!(said(b"\0ada\0engine"), Ok(Answer::Proved(proved)) if proved.identity.name() == "ada")
        );
        assert_eq!(said(b"\0ada\0builder").err(), Some(Reason::BadCredentials));
        assert_eq!(said(b"eve\0ada\0engine").err(), Some(Reason::NotAuthorized));
        assert_eq!(passwords.begin("plain").err(), Some(Reason::BadAuthenticationMethod));
    }
}
