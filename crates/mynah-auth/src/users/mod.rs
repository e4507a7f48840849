//! Users as the broker looks them up: accounts by name and by certificate, and those that stand in for users who do not
//! exist, so that nobody learns who does.

mod error;
pub(crate) mod file;
pub(crate) mod name;
mod user;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

pub use error::{FileError, LineError, Warning};
pub use file::UsersFile;
use mynah_model::{Groups, Identity, TenantId};
use ring::hmac;
pub use user::{DEFAULT_TENANT, PasswordForms, User, check_word, fingerprint};

use crate::credential::scram::{HASH_BYTES_MAX, SALT_BYTES};
use crate::credential::{HashError, ITERATIONS, ScramHash, ScramVerifier, equal, random};

/// The numbers of tenants by their names; `default` is always there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tenants(BTreeMap<Box<str>, TenantId>);

impl Tenants {
    /// The number of a tenant.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<TenantId> {
        if name == DEFAULT_TENANT { Some(TenantId::DEFAULT) } else { self.0.get(name).copied() }
    }
}

impl Tenants {
    /// All of them, `default` too.
    #[must_use]
    pub fn by_name(&self) -> BTreeMap<Box<str>, TenantId> {
        let mut named = self.0.clone();
        named.insert(DEFAULT_TENANT.into(), TenantId::DEFAULT);
        named
    }
}

impl FromIterator<(Box<str>, TenantId)> for Tenants {
    fn from_iter<I: IntoIterator<Item = (Box<str>, TenantId)>>(tenants: I) -> Self {
        Self(tenants.into_iter().collect())
    }
}

/// A user with what is remembered of its logins.
pub(crate) struct Account {
    pub(crate) user: User,
    pub(crate) identity: Identity,
    /// The password that was verified last, under a key that only this process knows.
    verified: Mutex<Option<[u8; 32]>>,
}

impl Account {
    /// Whether this is the tag of the password that was verified last.
    pub(crate) fn remembers(&self, tag: &[u8; 32]) -> bool {
        let verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        verified.as_ref().is_some_and(|own| equal(own, tag))
    }

    pub(crate) fn remember(&self, tag: [u8; 32]) {
        *self.verified.lock().unwrap_or_else(PoisonError::into_inner) = Some(tag);
    }
}

/// How an identity stands after the users have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The user was removed or locked.
    Gone,
    /// The user is in other groups than before.
    Groups(Groups),
}

/// Users as read from a [`UsersFile`].
pub struct Users {
    accounts: HashMap<TenantId, HashMap<Box<str>, Arc<Account>>>,
    certificates: HashMap<(TenantId, [u8; 32]), Arc<Account>>,
    /// Accounts that a password can prove; one of them is verified in place of a user who does not exist.
    with_password: Vec<Arc<Account>>,
    /// Likewise for SCRAM-SHA-1 and SCRAM-SHA-256.
    with_scram: [Vec<Arc<Account>>; 2],
    key: hmac::Key,
}

impl Users {
    /// Takes the users over from a file. What was remembered of those whose line is the same in `previous` is kept.
    ///
    /// # Errors
    /// A user is of a tenant that is not among `tenants`.
    pub fn new(file: &UsersFile, tenants: &Tenants, previous: Option<&Self>) -> Result<Self, FileError> {
        let mut users = Self::with_key(file.key().copied().map_or_else(random, Ok));
        for user in file.users() {
            let tenant_name = user.tenant.as_deref().unwrap_or(DEFAULT_TENANT);
            let Some(tenant) = tenants.get(tenant_name) else {
                let (path, user) = (file.path().to_owned(), user.name.clone());
                return Err(FileError::Tenant { path, user, tenant: tenant_name.into() });
            };
            let unchanged = previous
                .and_then(|users| users.account(tenant, &user.name))
                .filter(|old| old.user.to_string() == user.to_string());
            let made = || {
                let identity = Identity::user(tenant, &user.name);
                Arc::new(Account { user: user.clone(), identity, verified: Mutex::new(None) })
            };
            users.insert(tenant, unchanged.cloned().unwrap_or_else(made));
        }
        Ok(users)
    }

    fn with_key(key: Result<[u8; 32], HashError>) -> Self {
        Self {
            accounts: HashMap::new(),
            certificates: HashMap::new(),
            with_password: Vec::new(),
            with_scram: [Vec::new(), Vec::new()],
            // Without randomness the salts of users who do not exist can be told from others; nothing else depends on it.
            key: hmac::Key::new(hmac::HMAC_SHA256, &key.unwrap_or_default()),
        }
    }

    fn insert(&mut self, tenant: TenantId, account: Arc<Account>) {
        let user = &account.user;
        if let Some(sha256) = user.certificate {
            self.certificates.insert((tenant, sha256), Arc::clone(&account));
        }
        if user.has_password() {
            self.with_password.push(Arc::clone(&account));
        }
        for hash in [ScramHash::Sha1, ScramHash::Sha256] {
            if user.scram(hash).is_some() {
                self.with_scram[hash as usize].push(Arc::clone(&account));
            }
        }
        self.accounts.entry(tenant).or_default().insert(user.name.clone(), account);
    }

    /// How many users there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.accounts.values().map(HashMap::len).sum()
    }

    /// Whether there is no user, so that nobody can be let in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// Whether any user has a verifier for a mechanism of SCRAM.
    pub(crate) fn knows_scram(&self, hash: ScramHash) -> bool {
        !self.with_scram[hash as usize].is_empty()
    }

    pub(crate) fn account(&self, tenant: TenantId, name: &str) -> Option<&Arc<Account>> {
        self.accounts.get(&tenant)?.get(name)
    }

    pub(crate) fn account_of_certificate(
        &self,
        tenant: TenantId,
        sha256: &[u8; 32],
    ) -> Option<&Arc<Account>> {
        self.certificates.get(&(tenant, *sha256))
    }

    /// Whether an identity is a user who is not locked.
    #[must_use]
    pub fn stands(&self, identity: &Identity) -> bool {
        self.account(identity.tenant(), identity.name()).is_some_and(|account| !account.user.locked)
    }

    /// The key that a device which names itself so shares with the broker, if it is not locked.
    #[must_use]
    pub fn pre_shared_key(&self, tenant: TenantId, name: &str) -> Option<&[u8]> {
        let account = self.account(tenant, name).filter(|account| !account.user.locked)?;
        account.user.pre_shared_key.as_ref().map(super::PreSharedKey::as_bytes)
    }

    /// The account whose password is verified in place of that of a user who has none: the same one for the same name, and
    /// each as often as any other. None if nobody has a password, so that there is nothing to hide.
    pub(crate) fn stand_in(&self, tenant: TenantId, name: &str) -> Option<&Arc<Account>> {
        let tag = self.tag(b"password", tenant, name);
        pick(&self.with_password, &tag)
    }

    /// The verifier that a user who has none is challenged with: salt and iterations like those of others, and the same
    /// ones at every login. Nothing proves it.
    pub(crate) fn scram_stand_in(&self, hash: ScramHash, tenant: TenantId, name: &str) -> ScramVerifier {
        let tag = self.tag(hash.name().as_bytes(), tenant, name);
        let like = pick(&self.with_scram[hash as usize], &tag).and_then(|account| account.user.scram(hash));
        let (iterations, salt_bytes) =
            like.map_or((ITERATIONS, SALT_BYTES), |like| (like.iterations, like.salt.len()));
        let salt = self.tag(b"salt", tenant, name);
        let salt: Vec<u8> = salt.as_ref().iter().copied().cycle().take(salt_bytes).collect();
        let mut keys = [0; HASH_BYTES_MAX];
        keys.copy_from_slice(self.tag(b"keys", tenant, name).as_ref());
        ScramVerifier::unprovable(hash, &salt, iterations, &keys)
    }

    fn tag(&self, purpose: &[u8], tenant: TenantId, name: &str) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(purpose);
        context.update(&tenant.number().to_be_bytes());
        context.update(name.as_bytes());
        context.sign()
    }

    /// Whose standing is another in `newer`, in the order of their names.
    #[must_use]
    pub fn changes(&self, newer: &Self) -> Vec<(Identity, Standing)> {
        let mut changes = Vec::new();
        for (tenant, accounts) in &self.accounts {
            for (name, old) in accounts {
                let new = newer.account(*tenant, name).filter(|new| !new.user.locked);
                let standing = match new {
                    None if old.user.locked => continue,
                    None => Standing::Gone,
                    Some(new) if new.user.groups == old.user.groups => continue,
                    Some(new) => Standing::Groups(new.user.groups.clone()),
                };
                changes.push((old.identity.clone(), standing));
            }
        }
        changes.sort_by(|(a, _), (b, _)| (a.tenant(), a.name()).cmp(&(b.tenant(), b.name())));
        changes
    }
}

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Users").field("len", &self.len()).finish_non_exhaustive()
    }
}

fn pick<'a>(accounts: &'a [Arc<Account>], tag: &hmac::Tag) -> Option<&'a Arc<Account>> {
    let number = tag.as_ref().iter().take(8).fold(0, |number, byte| number << 8 | usize::from(*byte));
    accounts.get(number.checked_rem(accounts.len())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::file::tests::cheap_hash;
    use std::num::NonZeroU32;
    use std::path::Path;

    fn user(name: &str, change: impl FnOnce(&mut User)) -> User {
        let mut user = User::new(name);
        user.password = Some(cheap_hash(b"x"));
        change(&mut user);
        user
    }

    fn file_of(users: Vec<User>) -> UsersFile {
        let mut file = UsersFile::new(Path::new("users"));
        users.into_iter().for_each(|user| file.add(user).unwrap());
        file
    }

    fn loaded(users: Vec<User>) -> Users {
        Users::new(&file_of(users), &Tenants::default(), None).unwrap()
    }

    #[test]
    fn names_are_those_of_one_tenant() {
        let tenants = Tenants::from_iter([("factory".into(), TenantId::new(4))]);
        let there = user("ada", |ada| ada.tenant = Some("factory".into()));
        let file = file_of(vec![user("ada", |_| {}), there]);
        let users = Users::new(&file, &tenants, None).unwrap();
        assert_eq!(users.len(), 2);
        let account = users.account(TenantId::new(4), "ada").unwrap();
        assert_eq!(account.identity, Identity::user(TenantId::new(4), "ada"));
        assert!(users.account(TenantId::new(3), "ada").is_none());
        let error = Users::new(&file, &Tenants::default(), None).unwrap_err().to_string();
        assert!(error.contains("of the tenant `factory`, which the configuration does not name"), "{error}");
    }

    #[test]
    fn what_was_remembered_stays_until_the_line_changes() {
        let mut file = file_of(vec![user("ada", |_| {}), user("bob", |_| {})]);
        let old = Users::new(&file, &Tenants::default(), None).unwrap();
        for name in ["ada", "bob"] {
            old.account(TenantId::DEFAULT, name).unwrap().remember([7; 32]);
        }
        file.user_mut(None, "bob").unwrap().password = Some(cheap_hash(b"x"));
        let new = Users::new(&file, &Tenants::default(), Some(&old)).unwrap();
        let remembers = |name| new.account(TenantId::DEFAULT, name).unwrap().remembers(&[7; 32]);
        assert!(remembers("ada") && !remembers("bob"));
    }

    #[test]
    fn changes_are_who_has_to_go_and_who_is_in_other_groups() {
        let old = loaded(vec![
            user("ada", |_| {}),
            user("bob", |_| {}),
            user("cid", |_| {}),
            user("dan", |dan| dan.locked = true),
        ]);
        let new = loaded(vec![
            user("ada", |ada| ada.locked = true),
            user("cid", |cid| cid.groups = Groups::from_iter(["ops"])),
        ]);
        let named = |name| Identity::user(TenantId::DEFAULT, name);
        let ops = Standing::Groups(Groups::from_iter(["ops"]));
        let expected = [(named("ada"), Standing::Gone), (named("bob"), Standing::Gone), (named("cid"), ops)];
        assert_eq!(old.changes(&new), expected);
        assert_eq!(new.changes(&new), []);
        assert!(new.stands(&named("cid")) && !new.stands(&named("ada")) && !new.stands(&named("bob")));
    }

    #[test]
    fn a_stand_in_is_the_same_for_the_same_name_and_anybody_for_many() {
        let users = loaded((0..8).map(|number| user(&format!("u{number}"), |_| {})).collect());
        let stand_in = |name: &str| users.stand_in(TenantId::DEFAULT, name).unwrap().user.name.clone();
        let all: std::collections::BTreeSet<_> =
            (0..200).map(|number| stand_in(&format!("x{number}"))).collect();
        assert_eq!(all.len(), 8);
        assert_eq!(stand_in("x1"), stand_in("x1"));
        assert!(loaded(Vec::new()).stand_in(TenantId::DEFAULT, "x").is_none());
    }

    #[test]
    fn a_challenge_for_nobody_looks_like_others_and_does_not_change() {
        let iterations = NonZeroU32::new(4_096).unwrap();
        let verifier = ScramVerifier::derive(ScramHash::Sha256, b"x", b"twelve bytes", iterations);
        let file = file_of(vec![user("ada", |ada| ada.scram_sha_256 = Some(verifier))]);
        let users = Users::new(&file, &Tenants::default(), None).unwrap();
        let stand_in = |name| users.scram_stand_in(ScramHash::Sha256, TenantId::DEFAULT, name);
        assert_eq!((stand_in("eve").iterations, stand_in("eve").salt.len()), (iterations, 12));
        assert_eq!(stand_in("eve"), stand_in("eve"));
        assert_ne!(stand_in("eve").salt, stand_in("bob").salt);
        let nobody = users.scram_stand_in(ScramHash::Sha1, TenantId::DEFAULT, "eve");
        assert_eq!((nobody.iterations, nobody.salt.len()), (ITERATIONS, SALT_BYTES));
    }

    #[test]
    fn a_locked_device_has_no_key() {
        let key = crate::PreSharedKey::random().unwrap();
        let with_key = |name, locked| {
            user(name, |user| (user.pre_shared_key, user.locked) = (Some(key.clone()), locked))
        };
        let users = loaded(vec![with_key("a", false), with_key("b", true), user("c", |_| {})]);
        let shared = |name| users.pre_shared_key(TenantId::DEFAULT, name);
        assert_eq!(shared("a"), Some(key.as_bytes()));
        assert_eq!((shared("b"), shared("c"), shared("d")), (None, None, None));
    }
}
