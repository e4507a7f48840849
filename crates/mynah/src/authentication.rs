//! The users of a running broker: read at the start and again on SIGHUP.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mynah_auth::{
    Authenticator, DEFAULT_TENANT, Door, FileError, LoginEvent, Standing, Tenants, Users, UsersFile,
    VerifyToken,
};
use mynah_model::{Groups, Identity, TenantId};
#[cfg(feature = "tls-psk")]
use mynah_net::PreSharedKeys;
use mynah_net::Verify;

use crate::complaint::Complaint;
use crate::config::{Listener, Settings};
use crate::courier::Tickets;
use crate::doorkeeper::Doorkeeper;
use crate::herald::Herald;
use crate::identity::Others;

/// The keys that the users of a tenant share with the broker, as they are when somebody asks.
#[cfg(feature = "tls-psk")]
struct Keys {
    authenticator: Arc<Authenticator>,
    tenant: TenantId,
}

#[cfg(feature = "tls-psk")]
impl PreSharedKeys for Keys {
    fn key(&self, user: &str) -> Option<Box<[u8]>> {
        self.authenticator.users().pre_shared_key(self.tenant, user).map(Box::from)
    }
}

/// Who is let in, and where that is written.
pub(crate) struct Authentication {
    authenticator: Arc<Authenticator>,
    others: Option<Arc<Others>>,
    herald: Herald,
    file: Option<PathBuf>,
    tenants: Tenants,
    /// Those whom management listeners have let in.
    tickets: Tickets,
}

impl Authentication {
    /// Reads the users, and begins to fetch what others know. Called inside the runtime. None if no listener asks who its peers are.
    pub(crate) fn load(settings: &Settings, herald: &Herald) -> Result<Option<Self>, Complaint> {
        let certifies = settings.listeners.iter().any(|l| l.admittance.identity_from.is_some());
        if settings.users_file.is_none() && settings.others.is_empty() && !certifies {
            return Ok(None);
        }
        let (file, tenants) = (settings.users_file.clone(), settings.tenants.clone());
        let users = read(file.as_deref(), &tenants, None)?;
        let others = Others::start(settings.others.clone())?.map(Arc::new);
        let asked = others.clone().map(|others| others as Arc<dyn VerifyToken>);
        let (herald, own) = (herald.clone(), herald.clone());
        let on_login = move |event: &LoginEvent<'_>| own.login(event);
        let authenticator = Authenticator::new(users, settings.throttle, asked, on_login)?;
        Ok(Some(Self {
            authenticator: Arc::new(authenticator),
            others,
            herald,
            file,
            tenants,
            tickets: Tickets::default(),
        }))
    }

    /// Verifies for the engine, whose listeners have these doors.
    pub(crate) fn verifier(&self, doors: Vec<Door>) -> Arc<dyn Verify> {
        let (authenticator, waits) = (Arc::clone(&self.authenticator), self.others.is_some());
        Arc::new(Doorkeeper::new(authenticator, doors, waits, self.herald.clone(), self.tickets.clone()))
    }

    /// By which those are known whom management listeners have let in.
    pub(crate) const fn tickets(&self) -> &Tickets {
        &self.tickets
    }

    /// The users file, and the name of a tenant there; the default one has none.
    pub(crate) fn place(&self, tenant: TenantId) -> Option<(PathBuf, Option<Box<str>>)> {
        let name = self.tenants.by_name().into_iter().find(|(_, number)| *number == tenant);
        let name = name.map(|(name, _)| name).filter(|name| **name != *DEFAULT_TENANT);
        Some((self.file.clone()?, name))
    }

    /// Who verifies.
    pub(crate) const fn authenticator(&self) -> &Arc<Authenticator> {
        &self.authenticator
    }

    /// The keys that the users of a tenant share with the broker.
    #[cfg(feature = "tls-psk")]
    pub(crate) fn keys(&self, tenant: TenantId) -> Arc<dyn PreSharedKeys> {
        Arc::new(Keys { authenticator: Arc::clone(&self.authenticator), tenant })
    }

    /// Reads the users again. Returns how identities stand that stand otherwise than before. If the file cannot be used, the
    /// users stay as they were.
    pub(crate) fn reload(&self) -> Result<HashMap<Identity, Option<Groups>>, FileError> {
        if let Some(others) = &self.others {
            others.reload();
        }
        let users = read(self.file.as_deref(), &self.tenants, Some(&self.authenticator.users()))?;
        let changes = self.authenticator.replace_users(users).into_iter();
        let standing = |(identity, standing)| match standing {
            Standing::Gone => (identity, None),
            Standing::Groups(groups) => (identity, Some(groups)),
        };
        Ok(changes.map(standing).collect())
    }

    /// Those of `identities` that nobody may be.
    pub(crate) fn gone<'i>(
        &self,
        identities: impl Iterator<Item = &'i Identity>,
    ) -> HashMap<Identity, Option<Groups>> {
        let users = self.authenticator.users();
        identities
            .filter(|identity| !users.stands(identity))
            .map(|identity| (identity.clone(), None))
            .collect()
    }
}

/// The users of the file, or nobody if there is no file.
fn read(path: Option<&Path>, tenants: &Tenants, previous: Option<&Users>) -> Result<Users, FileError> {
    let Some(path) = path else { return Users::new(&UsersFile::new(Path::new("")), tenants, previous) };
    let file = UsersFile::open(path)?;
    for warning in file.warnings() {
        tracing::warn!("{warning}");
    }
    let users = Users::new(&file, tenants, previous)?;
    if users.is_empty() {
        tracing::warn!("{}: no users, so nobody with a password is let in", path.display());
    }
    Ok(users)
}

/// A listener, as logging in depends on it.
pub(crate) fn door(listener: &Listener) -> Door {
    let admittance = &listener.admittance;
    Door {
        listener: listener.name.as_str().into(),
        protocol: listener.protocol.name(),
        tenant: admittance.tenant,
        is_named: false,
        anonymous: admittance.anonymous,
        passwords: admittance.passwords,
        plaintext_auth: admittance.plaintext_auth,
        identity_from: admittance.identity_from,
    }
}
