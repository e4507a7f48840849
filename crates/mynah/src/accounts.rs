//! The users file, as administrators see and change it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mynah_admin::Asker;
use mynah_admin::accounts::{Permissions, Secret, UserChange, UserView};
use mynah_auth::{FileError, ImportedHash, PasswordForms, User, UsersFile, check_word};
use mynah_core::administration::Declined;
use mynah_core::rules::{Action, Peer, Resolver, Rules};
use mynah_engine::{Changed, shown};
use mynah_model::{Groups, Identity, Reason, TenantId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task;

use crate::authentication::Authentication;
use crate::config::Protocol;
use crate::herald::{Gate, Herald};

/// Asks for the users to be read again, and to be told when they are.
pub(crate) type Reread = oneshot::Sender<()>;

/// Names of groups of one user.
const GROUPS_MAX: usize = 64;

/// The users of one tenant. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Accounts {
    /// The users file, and the tenant's name there; the default one has none.
    place: Option<(PathBuf, Option<Box<str>>)>,
    tenant: TenantId,
    listener: Arc<str>,
    rules: watch::Receiver<Arc<Rules>>,
    rereading: mpsc::Sender<Reread>,
    herald: Herald,
}

impl Accounts {
    pub(crate) fn new(
        gate: &Gate,
        authentication: Option<&Authentication>,
        rules: watch::Receiver<Arc<Rules>>,
        rereading: mpsc::Sender<Reread>,
        herald: &Herald,
    ) -> Self {
        let Gate { listener, tenant, .. } = gate.clone();
        let place = authentication.and_then(|authentication| authentication.place(tenant));
        Self { place, tenant, listener, rules, rereading, herald: herald.clone() }
    }

    /// The users, with what the rules of the moment let them do.
    pub(crate) async fn users(self) -> Option<Result<Vec<UserView>, Declined>> {
        let read = move || {
            let Some((path, tenant)) = &self.place else { return Ok(Vec::new()) };
            let file = UsersFile::open(path).map_err(unreadable)?;
            let rules = Arc::clone(&self.rules.borrow());
            let own = file.users().filter(|user| user.tenant == *tenant);
            Ok(own.map(|user| view(user, self.tenant, &rules)).collect())
        };
        task::spawn_blocking(read).await.ok()
    }

    /// Changes the file, and has the broker read it.
    pub(crate) async fn change(self, asker: Asker, change: UserChange) -> Option<Result<(), Declined>> {
        let Some((path, tenant)) = self.place else {
            let detail = "there is no users file: set users_file under [auth]";
            return Some(Err(declined(Reason::PreconditionFailed, detail)));
        };
        let what = described(&change);
        let edit = move || change_file(&path, tenant.as_deref(), &change);
        let detail = format!("{what}, by {asker} at {}", self.listener);
        if let Err(declined) = task::spawn_blocking(edit).await.ok()? {
            self.herald.unchanged(Changed::Users, format!("{detail}: {}", declined.detail));
            return Some(Err(declined));
        }
        self.herald.changed(Changed::Users, detail);
        let (told, read) = oneshot::channel();
        self.rereading.send(told).await.ok()?;
        read.await.ok().map(Ok)
    }
}

fn declined(reason: Reason, detail: impl ToString) -> Declined {
    Declined { reason, detail: detail.to_string().into() }
}

/// What is wrong with the file is for the log: it may show where the file is.
fn unreadable(error: FileError) -> Declined {
    match error {
        FileError::Unknown { .. } => declined(Reason::NotFound, "there is no such user"),
        FileError::User(what) => declined(Reason::PreconditionFailed, what),
        error => {
            tracing::error!(%error, "the users file cannot be used");
            declined(Reason::ServerBusy, "the users file cannot be used; the log says why")
        }
    }
}

fn view(user: &User, tenant: TenantId, rules: &Arc<Rules>) -> UserView {
    let identity = Identity::user(tenant, &user.name);
    let peer = Peer { groups: &user.groups, ..Peer::new(&identity, Protocol::Amqp091.name()) };
    let rights = Resolver::new(Arc::clone(rules)).resolve(&peer);
    let permissions = Permissions {
        configure: rights.permits_at_all(Action::Configure),
        write: rights.permits_at_all(Action::Publish),
        read: rights.permits_at_all(Action::Consume),
    };
    let groups = user.groups.iter().map(str::to_owned).collect();
    UserView { name: user.name.to_string(), groups, permissions }
}

/// What a change is, for the audit.
fn described(change: &UserChange) -> String {
    match change {
        UserChange::Put { name, .. } => format!("user {} set", shown(name.as_bytes())),
        UserChange::Remove(names) if names.len() == 1 => {
            format!("user {} removed", shown(names[0].as_bytes()))
        }
        UserChange::Remove(names) => format!("{} users removed", names.len()),
    }
}

/// An error on the way through the file's editing.
struct Failed(Declined);

impl From<FileError> for Failed {
    fn from(error: FileError) -> Self {
        Self(unreadable(error))
    }
}

impl From<Declined> for Failed {
    fn from(declined: Declined) -> Self {
        Self(declined)
    }
}

fn change_file(path: &Path, tenant: Option<&str>, change: &UserChange) -> Result<(), Declined> {
    let changed = match change {
        UserChange::Put { name, secret, groups } => {
            let user = put(path, tenant, name, secret.as_ref(), groups)?;
            UsersFile::edit(path, |file| -> Result<(), Failed> {
                match file.user(tenant, name) {
                    Some(_) => *file.user_mut(tenant, name)? = user,
                    None => file.add(user)?,
                }
                Ok(())
            })
        }
        UserChange::Remove(names) => UsersFile::edit(path, |file| -> Result<(), Failed> {
            for name in names {
                match file.remove(tenant, name) {
                    Err(FileError::Unknown { .. }) if names.len() > 1 => {}
                    removed => removed?,
                }
            }
            Ok(())
        }),
    };
    changed.map_err(|Failed(declined)| declined)
}

/// The user as it is to be. A password takes its time to be hashed, so that this is not done while the file is locked.
fn put(
    path: &Path,
    tenant: Option<&str>,
    name: &str,
    secret: Option<&Secret>,
    groups: &[String],
) -> Result<User, Declined> {
    let wrong = |what: &dyn ToString| declined(Reason::PreconditionFailed, what.to_string());
    let known = UsersFile::open(path).map_err(unreadable)?.user(tenant, name).cloned();
    if known.is_none() && secret.is_none() {
        return Err(wrong(&"a new user needs a password, or the hash of one"));
    }
    if groups.len() > GROUPS_MAX {
        return Err(wrong(&"these are too many tags"));
    }
    groups.iter().try_for_each(|group| check_word(group)).map_err(|what| wrong(&what))?;
    let mut user = known.unwrap_or_else(|| User { tenant: tenant.map(Into::into), ..User::new(name) });
    user.groups = groups.iter().map(String::as_str).collect::<Groups>();
    match secret {
        None => {}
        Some(Secret::Password(password)) => {
            let had_scram = user.scram_sha_256.is_some() || user.scram_sha_1.is_some();
            let forms = PasswordForms {
                argon2: user.password.is_some() || !had_scram,
                scram_sha_256: user.scram_sha_256.is_some(),
                scram_sha_1: user.scram_sha_1.is_some(),
                iterations: mynah_auth::ITERATIONS,
            };
            user.set_password(password, forms).map_err(|what| wrong(&what))?;
            user.imported = None;
        }
        Some(Secret::Hash(hash)) => {
            let imported =
                ImportedHash::parse(hash).ok_or_else(|| wrong(&"this is no hash of a password"))?;
            user.imported = Some(imported);
            (user.password, user.scram_sha_256, user.scram_sha_1) = (None, None, None);
        }
    }
    Ok(user)
}
