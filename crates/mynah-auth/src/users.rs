//! The question whether a name and a password belong together. An unknown name costs what a known one costs, so that
//! the time of an answer does not tell which names exist.

use std::collections::HashMap;

use mynah_model::{Identity, Reason, TenantId};

use crate::{HashedPassword, PasswordFile};

/// Users and their password hashes, as read from a [`PasswordFile`].
#[derive(Clone, Debug, Default)]
pub struct Users {
    hashes: HashMap<Box<str>, HashedPassword>,
    /// Verified in place of an unknown user's hash; absent if there is no user at all, so nothing to hide.
    stand_in: Option<HashedPassword>,
}

impl Users {
    /// How many users there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there is no user, so that nobody can be let in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Whether there is a user of this name.
    #[must_use]
    pub fn knows(&self, user: &str) -> bool {
        self.hashes.contains_key(user)
    }

    /// The identity that `user` and `password` prove, in the tenant of the listener that the peer came through. Costs
    /// what the hash says, tens of milliseconds by default.
    ///
    /// # Errors
    /// [`Reason::BadCredentials`] if they prove nothing, whatever the cause.
    pub fn verify(&self, tenant: TenantId, user: &str, password: &[u8]) -> Result<Identity, Reason> {
        let known = self.hashes.get(user);
        let Some(hash) = known.or(self.stand_in.as_ref()) else {
            return Err(Reason::BadCredentials);
        };
        let matches = hash.matches(password);
        if known.is_some() && matches {
            Ok(Identity::user(tenant, user))
        } else {
            Err(Reason::BadCredentials)
        }
    }
}

impl From<&PasswordFile> for Users {
    fn from(file: &PasswordFile) -> Self {
        let hashes: HashMap<Box<str>, HashedPassword> =
            file.entries().map(|(user, hash)| (user.into(), hash.clone())).collect();
        let stand_in = file.entries().next().map(|(_, hash)| hash.clone());
        Self { hashes, stand_in }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::tests::{cheap_hash, file_of};

    #[test]
    fn a_user_proves_itself_in_the_tenant_of_the_listener() {
        let users =
            Users::from(&file_of(&[("ada", &cheap_hash(b"engine")), ("bob", &cheap_hash(b"builder"))]));
        let tenant = TenantId::new(3);
        assert_eq!(users.verify(tenant, "ada", b"engine"), Ok(Identity::user(tenant, "ada")));
        assert_eq!(users.len(), 2);
        assert!(users.knows("bob") && !users.knows("Bob"));
    }

    #[test]
    fn a_wrong_password_and_an_unknown_user_get_the_same_answer() {
        let users =
            Users::from(&file_of(&[("ada", &cheap_hash(b"engine")), ("bob", &cheap_hash(b"builder"))]));
        let refused = Err(Reason::BadCredentials);
        assert_eq!(users.verify(TenantId::DEFAULT, "ada", b"builder"), refused);
        assert_eq!(users.verify(TenantId::DEFAULT, "eve", b"engine"), refused, "the stand-in's password");
        assert_eq!(users.verify(TenantId::DEFAULT, "Ada", b"engine"), refused);
        assert_eq!(users.verify(TenantId::DEFAULT, "", b""), refused);
    }

    #[test]
    fn an_unknown_user_costs_a_hash() {
        let users = Users::from(&file_of(&[("ada", &cheap_hash(b"engine"))]));
        assert!(users.stand_in.is_some_and(|hash| hash.matches(b"engine")));
    }

    #[test]
    fn without_users_nobody_is_let_in() {
        let users = Users::default();
        assert!(users.is_empty());
        assert_eq!(users.verify(TenantId::DEFAULT, "ada", b"engine"), Err(Reason::BadCredentials));
    }
}
