//! Passwords as the workers have them verified: as they are, or as SASL's PLAIN carries them. A name of the password file
//! belongs to it alone; about all others those are asked that say who a peer is, if there are any.

use std::sync::Arc;

use mynah_auth::remote::Login;
use mynah_auth::{PlainMessage, Users};
use mynah_model::{Identity, Reason, TenantId};
use mynah_net::{Answer, Mechanism, Verify};
use tokio::sync::Semaphore;

use crate::identity::Others;

/// Threads that may wait for others, beside those that hash.
const WAITING_THREADS: usize = 32;

/// Verifies passwords. All listeners are in one tenant until configuration knows others.
pub(crate) struct Passwords(Arc<Sources>);

struct Sources {
    users: Option<Users>,
    others: Option<Arc<Others>>,
    /// Rights to hash: however many threads wait for others, no more than these keep the processor busy.
    hashing: Semaphore,
}

impl Passwords {
    pub(crate) fn new(users: Option<Users>, others: Option<Arc<Others>>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self(Arc::new(Sources { users, others, hashing: Semaphore::new(cores.div_ceil(2)) }))
    }
}

impl Sources {
    fn verify(&self, user: &str, password: &[u8]) -> Result<Identity, Reason> {
        let users = self.users.as_ref();
        let Some(others) = &self.others else {
            return users.map_or(Err(Reason::BadCredentials), |users| {
                users.verify(TenantId::DEFAULT, user, password)
            });
        };
        if let Some(users) = users.filter(|users| users.knows(user)) {
            // The semaphore is never closed.
            let _permit = others.wait(self.hashing.acquire());
            return users.verify(TenantId::DEFAULT, user, password);
        }
        let password = Some(password).filter(|password| !password.is_empty());
        let login = Login { tenant: TenantId::DEFAULT, user, password, ..Login::default() };
        others.wait(others.ask(&login)).map(|grant| grant.identity)
    }
}

impl Verify for Passwords {
    fn threads(&self, cores: usize) -> usize {
        cores.div_ceil(2) + if self.0.others.is_some() { WAITING_THREADS } else { 0 }
    }

    fn verify(&self, user: &str, password: &[u8]) -> Result<Identity, Reason> {
        self.0.verify(user, password)
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
struct Plain(Arc<Sources>);

impl Mechanism for Plain {
    fn step(&mut self, message: &[u8]) -> Result<Answer, Reason> {
        let PlainMessage { user, password } = PlainMessage::decode(message)?;
        let identity = self.0.verify(user, password)?;
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
        let passwords = Passwords::new(Some(Users::from(&file)), None);
        let said = |message: &[u8]| passwords.begin("PLAIN")?.step(message);
        assert!(
            matches!(said(b"\0ada\0engine"), Ok(Answer::Proved(proved)) if proved.identity.name() == "ada")
        );
        assert_eq!(said(b"\0ada\0builder").err(), Some(Reason::BadCredentials));
        assert_eq!(said(b"eve\0ada\0engine").err(), Some(Reason::NotAuthorized));
        assert_eq!(passwords.begin("plain").err(), Some(Reason::BadAuthenticationMethod));
    }
}
