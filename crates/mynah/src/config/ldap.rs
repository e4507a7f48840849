//! `[auth.ldap]`: a directory that knows users and their groups. The table can be read without the feature, so that what
//! is wrong with it is told in the same words.

use serde::Deserialize;
use toml::Spanned;

use super::others::{cache, cache_denied, cache_entries, concurrency, timeout};

/// `[auth.ldap]`
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[cfg_attr(
    not(any(feature = "ldap", test)),
    expect(dead_code, reason = "read and refused without the feature")
)]
#[serde(deny_unknown_fields)]
pub(super) struct Directory {
    url: Spanned<String>,
    #[serde(default)]
    starttls: bool,
    ca: Option<Spanned<String>>,
    #[serde(default)]
    plaintext: bool,
    user_dn: Option<Spanned<String>>,
    search: Option<Spanned<Search>>,
    #[serde(default = "identity_attribute")]
    identity_attribute: String,
    groups_attribute: Option<Spanned<String>>,
    groups_search: Option<Spanned<GroupsSearch>>,
    #[serde(default = "timeout")]
    timeout_s: Spanned<u64>,
    #[serde(default = "concurrency")]
    connections_max: Spanned<usize>,
    #[serde(default = "cache")]
    cache_s: Spanned<u64>,
    #[serde(default = "cache_denied")]
    cache_denied_s: Spanned<u64>,
    #[serde(default = "cache_entries")]
    cache_entries_max: Spanned<usize>,
}

/// `auth.ldap.search`
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[cfg_attr(
    not(any(feature = "ldap", test)),
    expect(dead_code, reason = "read and refused without the feature")
)]
#[serde(deny_unknown_fields)]
struct Search {
    bind_dn: String,
    password_file: Spanned<String>,
    base: String,
    filter: String,
}

/// `auth.ldap.groups_search`
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[cfg_attr(
    not(any(feature = "ldap", test)),
    expect(dead_code, reason = "read and refused without the feature")
)]
#[serde(deny_unknown_fields)]
struct GroupsSearch {
    base: String,
    filter: String,
    #[serde(default = "group_attribute")]
    attribute: String,
}

fn identity_attribute() -> String {
    "uid".to_owned()
}

fn group_attribute() -> String {
    "cn".to_owned()
}

#[cfg(feature = "ldap")]
pub(super) use settled::directory;

#[cfg(feature = "ldap")]
mod settled {
    use std::path::Path;

    use mynah_auth::remote::{GroupsFrom, Ldap, LdapError, LdapSettings, UserFrom};
    use toml::Spanned;

    use super::super::others::{answer_time, at_once, cached, cached_entries, endpoint, endpoint_key};
    use super::super::settings::Wrong;
    use super::Directory;

    /// The directory, which is not asked yet. Paths are taken from `folder`.
    pub(in super::super) fn directory(spanned: &Spanned<Directory>, folder: &Path) -> Result<Ldap, Wrong> {
        let written = spanned.get_ref();
        let [cache, cache_denied] = cached(&written.cache_s, &written.cache_denied_s)?;
        let settings = LdapSettings {
            endpoint: endpoint(&written.url, written.ca.as_ref(), written.plaintext, folder),
            starttls: written.starttls,
            user: user(spanned, folder)?,
            identity_attribute: written.identity_attribute.clone(),
            groups: groups(written)?,
            timeout: answer_time(&written.timeout_s)?,
            connections_max: at_once(&written.connections_max, "connections_max")?,
            cache,
            cache_denied,
            cache_entries_max: cached_entries(&written.cache_entries_max)?,
        };
        Ldap::new(settings).map_err(|error| {
            let place = match &error {
                LdapError::Endpoint(error) => endpoint_key(error, Some(&written.url), written.ca.as_ref()),
                LdapError::StartTls => Some(&written.url),
                LdapError::ServicePassword => {
                    written.search.as_ref().map(|search| &search.get_ref().password_file)
                }
                LdapError::Placeholder => None,
            };
            let place = place.map_or_else(|| spanned.span(), Spanned::span);
            Wrong { span: place, message: error.to_string() }
        })
    }

    fn user(spanned: &Spanned<Directory>, folder: &Path) -> Result<UserFrom, Wrong> {
        let written = spanned.get_ref();
        match (&written.user_dn, &written.search) {
            (Some(template), None) => Ok(UserFrom::Template(template.get_ref().clone())),
            (None, Some(search)) => {
                let search = search.get_ref();
                let path = folder.join(search.password_file.get_ref());
                let text = std::fs::read_to_string(&path).map_err(|error| {
                    Wrong::at(&search.password_file, format!("{}: {error}", path.display()))
                })?;
                Ok(UserFrom::Search {
                    bind_dn: search.bind_dn.clone(),
                    bind_password: text.lines().next().unwrap_or_default().to_owned(),
                    base: search.base.clone(),
                    filter: search.filter.clone(),
                })
            }
            (Some(template), Some(_)) => {
                Err(Wrong::at(template, "users are found by user_dn or by search, not by both"))
            }
            (None, None) => Err(Wrong::at(spanned, "say how users are found: set user_dn or search")),
        }
    }

    fn groups(written: &Directory) -> Result<Option<GroupsFrom>, Wrong> {
        match (&written.groups_attribute, &written.groups_search) {
            (Some(attribute), None) => Ok(Some(GroupsFrom::Attribute(attribute.get_ref().clone()))),
            (None, Some(search)) => {
                let search = search.get_ref();
                Ok(Some(GroupsFrom::Search {
                    base: search.base.clone(),
                    filter: search.filter.clone(),
                    attribute: search.attribute.clone(),
                }))
            }
            (Some(attribute), Some(_)) => Err(Wrong::at(
                attribute,
                "groups come from groups_attribute or from groups_search, not from both",
            )),
            (None, None) => Ok(None),
        }
    }
}
