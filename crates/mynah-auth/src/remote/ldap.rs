//! A directory (LDAP version 3, RFC 4511): a peer proves who it is by a bind that succeeds, and its groups are what its
//! entry or a search says.
//!
//! A bind with a name and without a password succeeds and proves nothing (RFC 4513 section 5.1.2): it is never tried.
//! What a peer says stands in names and filters in its escaped form only.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ldap3::{
    Ldap as Connection, LdapConnAsync, LdapConnSettings, Scope, SearchEntry, SearchOptions, dn_escape,
    ldap_escape,
};
use mynah_model::Identity;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::cache::Cache;
use super::watch::Watch;
use super::{Endpoint, EndpointError, EndpointSettings, Judgement, Login, Unavailable};
use crate::Grant;
use crate::grant::{GROUPS_MAX, is_name};

/// `success` of RFC 4511 section 4.1.9.
const SUCCESS: u32 = 0;
/// Results of a bind that mean the peer, not the directory: `inappropriateAuthentication`, `invalidCredentials`,
/// `insufficientAccessRights`, `unwillingToPerform`, `noSuchObject`, `invalidDNSyntax`.
const REFUSALS: [u32; 6] = [48, 49, 50, 53, 32, 34];

/// Where the directory is, and how users are found in it.
#[derive(Clone, PartialEq, Eq)]
pub struct LdapSettings {
    /// Where: `ldap:` or `ldaps:`.
    pub endpoint: EndpointSettings,
    /// Whether a connection to `ldap:` becomes secure before it is used.
    pub starttls: bool,
    /// How the entry of a user is found.
    pub user: UserFrom,
    /// The attribute of the entry that has the name of the identity. A directory does not mind capitals; rules do.
    pub identity_attribute: String,
    /// Where groups are named, if anywhere.
    pub groups: Option<GroupsFrom>,
    /// How long a login may take, the wait for others included.
    pub timeout: Duration,
    /// Connections at most; more logins wait.
    pub connections_max: usize,
    /// How long a login that was right is known.
    pub cache: Duration,
    /// How long a login that was wrong is known.
    pub cache_denied: Duration,
    /// Logins that are known.
    pub cache_entries_max: usize,
}

impl fmt::Debug for LdapSettings {
    /// The password of the service account is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LdapSettings").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// How the entry of a user is found. In names and filters, `{user}` stands for what the peer calls itself.
#[derive(Clone, PartialEq, Eq)]
pub enum UserFrom {
    /// Its distinguished name is known but for the user, such as `uid={user},ou=people,dc=example,dc=org`.
    Template(String),
    /// A service account looks for it.
    Search {
        /// The distinguished name of the service account.
        bind_dn: String,
        /// Its password.
        bind_password: String,
        /// Where it looks.
        base: String,
        /// What it looks for, such as `(&(objectClass=person)(uid={user}))`.
        filter: String,
    },
}

/// Where groups are named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupsFrom {
    /// In an attribute of the user's entry, such as `memberOf`. Of a distinguished name the value of its first part is
    /// the group.
    Attribute(String),
    /// In entries that name their members.
    Search {
        /// Where they are.
        base: String,
        /// What they are found by, such as `(member={dn})`: `{dn}` is the user's entry, `{user}` the identity.
        filter: String,
        /// The attribute that has the name of a group.
        attribute: String,
    },
}

/// Asks the directory.
pub struct Ldap {
    settings: LdapSettings,
    endpoint: Endpoint,
    permits: Semaphore,
    idle: Mutex<Vec<Connection>>,
    cache: Cache<Judgement>,
    watch: Watch,
}

impl fmt::Debug for Ldap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ldap").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// The entry of a user.
struct Entry {
    dn: String,
    /// Values of the attribute that names the identity.
    names: Vec<String>,
    /// Values of the attribute that names groups.
    groups: Vec<String>,
}

impl Ldap {
    /// A directory that is asked from now on.
    ///
    /// # Errors
    /// What of the settings cannot be used.
    pub fn new(settings: LdapSettings) -> Result<Self, LdapError> {
        let schemes = [("ldap", 389), ("ldaps", 636)];
        let endpoint =
            Endpoint::new(&settings.endpoint, schemes, settings.starttls).map_err(LdapError::Endpoint)?;
        if settings.starttls && settings.endpoint.url.starts_with("ldaps:") {
            return Err(LdapError::StartTls);
        }
        match &settings.user {
            UserFrom::Template(dn) if dn.contains("{user}") => {}
            UserFrom::Search { filter, bind_password, .. }
                if filter.contains("{user}") && !bind_password.is_empty() => {}
            UserFrom::Search { bind_password, .. } if bind_password.is_empty() => {
                return Err(LdapError::ServicePassword);
            }
            _ => return Err(LdapError::Placeholder),
        }
        if let Some(GroupsFrom::Search { filter, .. }) = &settings.groups
            && !filter.contains("{dn}")
            && !filter.contains("{user}")
        {
            return Err(LdapError::Placeholder);
        }
        Ok(Self {
            permits: Semaphore::new(settings.connections_max.clamp(1, Semaphore::MAX_PERMITS)),
            idle: Mutex::default(),
            cache: Cache::new(settings.cache_entries_max),
            watch: Watch::new("the directory"),
            endpoint,
            settings,
        })
    }

    /// What the directory says of a login, now or not long ago.
    ///
    /// # Errors
    /// [`Unavailable`] if it cannot be asked in time, or its answer is of no use; at once while that is known.
    pub async fn ask(&self, login: &Login<'_>) -> Result<Judgement, Unavailable> {
        let password = login.password.map(std::str::from_utf8);
        // Without a password a bind proves nothing; and no password of a directory is anything but UTF-8.
        let (Some(Ok(password @ [_, ..])), true) =
            (password.map(|password| password.map(str::as_bytes)), is_name(login.user))
        else {
            return Ok(Judgement::Denied);
        };
        let tenant = login.tenant.number().to_be_bytes();
        let key = self.cache.key([Some(&tenant[..]), Some(login.user.as_bytes()), Some(password)]);
        if let Some(known) = self.cache.get(&key, Instant::now()) {
            return Ok(known);
        }
        let _admission = self.watch.admit().ok_or(Unavailable)?;
        let judged = timeout(self.settings.timeout, async {
            // The semaphore is never closed.
            let _permit = self.permits.acquire().await;
            self.judge(login).await
        });
        match judged.await.unwrap_or(Err(AskError::Timeout)) {
            Ok(judgement) => {
                self.watch.answers();
                let granted = matches!(judgement, Judgement::Granted(_));
                let kept = if granted { self.settings.cache } else { self.settings.cache_denied };
                self.cache.put(key, judgement.clone(), kept, Instant::now());
                Ok(judgement)
            }
            Err(error) => {
                self.watch.fails(error);
                Err(Unavailable)
            }
        }
    }

    /// Forgets what the directory has said.
    pub fn forget(&self) {
        self.cache.clear();
    }

    /// Asks over a connection that is kept, or a new one if that has ended meanwhile.
    async fn judge(&self, login: &Login<'_>) -> Result<Judgement, AskError> {
        let kept = self.idle().pop();
        if let Some(mut kept) = kept {
            match self.judge_over(&mut kept, login).await {
                Err(AskError::Ldap(_)) => {}
                judged => return self.keep(kept, judged),
            }
        }
        let mut fresh = self.connect().await?;
        let judged = self.judge_over(&mut fresh, login).await;
        self.keep(fresh, judged)
    }

    /// A connection whose last answer was understood serves again: each login binds anew.
    fn keep<T>(&self, connection: Connection, judged: Result<T, AskError>) -> Result<T, AskError> {
        if judged.is_ok() {
            self.idle().push(connection);
        }
        judged
    }

    async fn connect(&self) -> Result<Connection, AskError> {
        let mut settings = LdapConnSettings::new().set_starttls(self.settings.starttls);
        if let Some((config, _)) = &self.endpoint.tls {
            settings = settings.set_config(config.clone());
        }
        let url = &self.settings.endpoint.url;
        let (driver, connection) = LdapConnAsync::with_settings(settings, url).await?;
        // Why it ends is told to whoever waits for an answer.
        tokio::spawn(async { drop(driver.drive().await) });
        Ok(connection)
    }

    async fn judge_over(
        &self,
        connection: &mut Connection,
        login: &Login<'_>,
    ) -> Result<Judgement, AskError> {
        let password =
            login.password.and_then(|password| std::str::from_utf8(password).ok()).unwrap_or_default();
        let (entry, is_found) = match &self.settings.user {
            UserFrom::Template(template) => {
                let dn = template.replace("{user}", &dn_escape(login.user));
                (Entry { dn, names: Vec::new(), groups: Vec::new() }, false)
            }
            UserFrom::Search { base, filter, .. } => {
                self.bind_service(connection).await?;
                let filter = filter.replace("{user}", &ldap_escape(login.user));
                match self.find(connection, base, Scope::Subtree, &filter).await? {
                    Some(entry) => (entry, true),
                    None => return Ok(Judgement::Denied),
                }
            }
        };
        if !bind(connection, &entry.dn, password).await? {
            return Ok(Judgement::Denied);
        }
        let entry = if is_found {
            entry
        } else {
            // The entry says how the name is really written.
            let found = self.find(connection, &entry.dn, Scope::Base, "(objectClass=*)").await?;
            found.ok_or(AskError::NoEntry)?
        };
        let name = canonical(&entry.names, login.user).ok_or(AskError::NoName)?;
        let groups = self.groups(connection, &entry, name).await?;
        let identity = Identity::user(login.tenant, name);
        Ok(Judgement::Granted(Grant { identity, groups, rights: None, valid_until: None }))
    }

    async fn bind_service(&self, connection: &mut Connection) -> Result<(), AskError> {
        let UserFrom::Search { bind_dn, bind_password, .. } = &self.settings.user else { return Ok(()) };
        if bind(connection, bind_dn, bind_password).await? { Ok(()) } else { Err(AskError::Service) }
    }

    /// The only entry that is found. More than one is none: nobody could say whose password is asked for.
    async fn find(
        &self,
        connection: &mut Connection,
        base: &str,
        scope: Scope,
        filter: &str,
    ) -> Result<Option<Entry>, AskError> {
        let name = self.settings.identity_attribute.as_str();
        let mut attributes = vec![name];
        let groups = match &self.settings.groups {
            Some(GroupsFrom::Attribute(attribute)) => Some(attribute.as_str()),
            _ => None,
        };
        attributes.extend(groups);
        let mut found = search(connection, (base, scope), filter, attributes, 2).await?;
        let (Some(entry), true) = (found.pop(), found.is_empty()) else { return Ok(None) };
        let values = |attribute: &str| {
            let is_it = |(found, _): &(&String, &Vec<String>)| found.eq_ignore_ascii_case(attribute);
            entry.attrs.iter().find(is_it).map(|(_, values)| values.clone()).unwrap_or_default()
        };
        let (names, groups) = (values(name), groups.map(values).unwrap_or_default());
        Ok(Some(Entry { dn: entry.dn, names, groups }))
    }

    async fn groups(
        &self,
        connection: &mut Connection,
        entry: &Entry,
        name: &str,
    ) -> Result<Vec<Box<str>>, AskError> {
        let mut groups: Vec<Box<str>> = match &self.settings.groups {
            None => Vec::new(),
            Some(GroupsFrom::Attribute(_)) => entry.groups.iter().map(|group| first_value(group)).collect(),
            Some(GroupsFrom::Search { base, filter, attribute }) => {
                self.bind_service(connection).await?;
                let filter = filled(filter, &entry.dn, name);
                let found =
                    search(connection, (base, Scope::Subtree), &filter, vec![attribute], GROUPS_MAX + 1)
                        .await?;
                let of_attribute = |entry: SearchEntry| {
                    entry.attrs.into_iter().find(|(n, _)| n.eq_ignore_ascii_case(attribute))
                };
                let values = found.into_iter().filter_map(of_attribute).flat_map(|(_, values)| values);
                values.map(String::into_boxed_str).collect()
            }
        };
        if groups.len() > GROUPS_MAX || !groups.iter().all(|group| is_name(group)) {
            return Err(AskError::Groups);
        }
        // A directory answers in any order.
        groups.sort_unstable();
        groups.dedup();
        Ok(groups)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the directory takes this password for this entry.
async fn bind(connection: &mut Connection, dn: &str, password: &str) -> Result<bool, AskError> {
    match connection.simple_bind(dn, password).await?.rc {
        SUCCESS => Ok(true),
        refusal if REFUSALS.contains(&refusal) => Ok(false),
        other => Err(AskError::Result(other)),
    }
}

/// What a search finds, `max` entries at most. If there are more the directory says so (`sizeLimitExceeded`), after that
/// many.
async fn search(
    connection: &mut Connection,
    (base, scope): (&str, Scope),
    filter: &str,
    attributes: Vec<&str>,
    max: usize,
) -> Result<Vec<SearchEntry>, AskError> {
    /// `sizeLimitExceeded`
    const MORE: u32 = 4;
    /// `noSuchObject`
    const NO_BASE: u32 = 32;
    let bound = i32::try_from(max).unwrap_or(i32::MAX);
    connection.with_search_options(SearchOptions::new().sizelimit(bound));
    let mut stream = connection.streaming_search(base, scope, filter, attributes).await?;
    let mut found = Vec::new();
    while let Some(entry) = stream.next().await? {
        if found.len() == max {
            return Err(AskError::TooMany);
        }
        if !entry.is_ref() && !entry.is_intermediate() {
            found.push(SearchEntry::construct(entry));
        }
    }
    match stream.finish().await.rc {
        SUCCESS | MORE | NO_BASE => Ok(found),
        other => Err(AskError::Result(other)),
    }
}

/// A filter with what its placeholders stand for. Filled in one pass: what stands for one is never taken for another.
fn filled(filter: &str, dn: &str, name: &str) -> String {
    let mut text = String::new();
    let mut rest = filter;
    while let Some(at) = rest.find('{') {
        let (before, after) = rest.split_at(at);
        text.push_str(before);
        let (value, placeholder) = if after.starts_with("{dn}") {
            (ldap_escape(dn), "{dn}")
        } else if after.starts_with("{user}") {
            (ldap_escape(name), "{user}")
        } else {
            ("{".into(), "{")
        };
        text.push_str(&value);
        rest = &after[placeholder.len()..];
    }
    text + rest
}

/// The name as the directory writes it: the one that the peer meant, or the only one.
fn canonical<'n>(names: &'n [String], user: &str) -> Option<&'n str> {
    let lower = user.to_lowercase();
    let meant = names.iter().find(|name| name.to_lowercase() == lower);
    let only = if let [only] = names { Some(only) } else { None };
    meant.or(only).map(String::as_str).filter(|name| is_name(name))
}

/// Of a distinguished name such as `cn=staff,ou=groups,…` the value of its first part, else the text as it is. What is
/// escaped in it stays so.
fn first_value(text: &str) -> Box<str> {
    let mut escaped = false;
    let is_end = |c: char| {
        let ends = !escaped && (c == ',' || c == '+');
        escaped = !escaped && c == '\\';
        ends
    };
    let first = text.split(is_end).next().unwrap_or_default();
    first.split_once('=').map_or(text, |(_, value)| value).into()
}

/// What of the settings cannot be used, in words for an operator.
#[derive(Debug)]
pub enum LdapError {
    /// The URL or the file of the authorities.
    Endpoint(EndpointError),
    /// A connection that is secure from the beginning does not become so later.
    StartTls,
    /// A name or filter is the same for every user.
    Placeholder,
    /// A service account without a password proves nothing.
    ServicePassword,
}

impl fmt::Display for LdapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(error) => error.fmt(f),
            Self::StartTls => {
                f.write_str("starttls is for ldap:// only; ldaps:// is secure from the beginning")
            }
            Self::Placeholder => f.write_str(
                "write {user} where the name of the user belongs (in a filter for groups: {dn} or {user})",
            ),
            Self::ServicePassword => f.write_str("the password of the service account is empty"),
        }
    }
}

impl std::error::Error for LdapError {}

/// Why there is no answer of use. Holds no secret.
#[derive(Debug)]
enum AskError {
    Ldap(ldap3::LdapError),
    Result(u32),
    Service,
    NoEntry,
    NoName,
    Groups,
    TooMany,
    Timeout,
}

impl From<ldap3::LdapError> for AskError {
    fn from(error: ldap3::LdapError) -> Self {
        Self::Ldap(error)
    }
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ldap(error) => write!(f, "cannot be asked: {error}"),
            Self::Result(code) => write!(f, "the directory answers with result code {code}"),
            Self::Service => f.write_str("the directory refuses the service account"),
            Self::NoEntry => f.write_str("a user cannot read the own entry"),
            Self::NoName => f.write_str("the entry of a user does not say how the user is called"),
            Self::Groups => f.write_str("a user is in too many groups, or in one without a usable name"),
            Self::TooMany => f.write_str("the directory finds more than it was asked for"),
            Self::Timeout => f.write_str("no answer in time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_is_no_part_of_a_filter_or_a_name() {
        assert_eq!(
            filled("(&(m={dn})(u={user}){)", "cn={user}", "*)(x"),
            "(&(m=cn={user})(u=\\2a\\29\\28x){)"
        );
        assert_eq!(dn_escape("a,ou=b+c=d #\\"), "a\\2cou\\3db\\2bc\\3dd #\\5c");
    }

    #[test]
    fn a_name_is_the_one_of_the_directory() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(canonical(&names(&["lovelace", "ada"]), "ADA"), Some("ada"));
        assert_eq!(canonical(&names(&["ada"]), "ada@example.org"), Some("ada"));
        assert_eq!(canonical(&names(&["ada", "lovelace"]), "ada@example.org"), None);
        assert_eq!(canonical(&[], "ada"), None);
        assert_eq!(canonical(&names(&["a\nda"]), "ada"), None);
    }

    #[test]
    fn a_group_is_the_first_part_of_its_name() {
        for (text, group) in [
            ("cn=staff,ou=groups,dc=example", "staff"),
            ("staff", "staff"),
            ("cn=a\\,b,ou=groups", "a\\,b"),
            ("cn=x+gid=7,ou=groups", "x"),
        ] {
            assert_eq!(&*first_value(text), group);
        }
    }

    fn settings() -> LdapSettings {
        LdapSettings {
            endpoint: EndpointSettings { url: "ldap://127.0.0.1:1".to_owned(), ca: None, plaintext: false },
            starttls: false,
            user: UserFrom::Template("uid={user},dc=example".to_owned()),
            identity_attribute: "uid".to_owned(),
            groups: None,
            timeout: Duration::from_secs(2),
            connections_max: 2,
            cache: Duration::ZERO,
            cache_denied: Duration::ZERO,
            cache_entries_max: 0,
        }
    }

    #[tokio::test]
    async fn what_can_prove_nothing_is_not_asked() {
        // Nobody listens there: whoever is denied was not asked about.
        let ldap = Ldap::new(settings()).unwrap();
        let login = |user, password| Login { user, password, ..Login::default() };
        for (user, password) in [
            ("ada", None),
            ("ada", Some(&b""[..])),
            ("ada", Some(b"\xff")),
            ("", Some(b"x")),
            ("a\0da", Some(b"x")),
        ] {
            assert_eq!(
                ldap.ask(&login(user, password)).await,
                Ok(Judgement::Denied),
                "{user:?} {password:?}"
            );
        }
        assert_eq!(ldap.ask(&login("ada", Some(b"x"))).await, Err(Unavailable));
    }

    #[test]
    fn settings_that_cannot_work_are_refused_and_show_no_secret() {
        let search = |filter: &str, password: &str| UserFrom::Search {
            bind_dn: "cn=service".to_owned(),
            bind_password: password.to_owned(),
            base: "dc=example".to_owned(),
            filter: filter.to_owned(),
        };
        let refused = |change: &dyn Fn(&mut LdapSettings)| {
            let mut settings = settings();
            change(&mut settings);
            assert!(!format!("{settings:?}").contains("secret"));
            Ldap::new(settings).map(|ldap| assert!(!format!("{ldap:?}").contains("secret"))).is_err()
        };
        assert!(refused(&|s| s.user = UserFrom::Template("uid=ada".to_owned())));
        assert!(refused(&|s| s.user = search("(uid=ada)", "secret")));
        assert!(refused(&|s| s.user = search("(uid={user})", "")));
        assert!(!refused(&|s| s.user = search("(uid={user})", "secret")));
        assert!(refused(&|s| s.endpoint.url = "ldap://directory.example".to_owned()));
        assert!(refused(&|s| s.starttls = true), "no authorities");
        assert!(refused(&|s| s.endpoint.url = "http://127.0.0.1".to_owned()));
        assert!(refused(&|s| {
            let (base, attribute) = ("dc=example".to_owned(), "cn".to_owned());
            s.groups = Some(GroupsFrom::Search { base, filter: "(cn=staff)".to_owned(), attribute });
        }));
    }
}
