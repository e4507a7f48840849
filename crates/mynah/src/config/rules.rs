//! Rules as they are written, in the configuration file and in one of their own, and as the core takes them.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mynah_auth::DEFAULT_TENANT;
use mynah_core::rules::{Action, Certificate, Check, Network, Quota, Reach, Rule, RuleFilter, Rules, Who};
use mynah_model::TenantId;
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use toml::Spanned;

use super::document::Document;
use super::listeners::Protocol;
use super::problem::{Problem, choice};
use super::settings::Wrong;

/// The rules with the places where they are written.
#[derive(Debug, Default)]
pub(crate) struct RuleSet {
    pub(crate) rules: Arc<Rules>,
    pub(crate) places: Vec<Place>,
    pub(crate) tenants: TenantNumbers,
}

/// The numbers of tenants by their names, that of the default one among them.
pub(crate) type TenantNumbers = BTreeMap<Box<str>, TenantId>;

/// Where a rule is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    path: Arc<Path>,
    line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.line)
    }
}

/// A file of rules.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RulesFile {
    rule: Vec<Spanned<RuleTable>>,
}

/// `[[rule]]`: who may, or may not, do what where, and how much of it.
#[derive(Debug, serde::Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct RuleTable {
    tenant: Option<Spanned<Listed>>,
    identity: Option<Spanned<Listed>>,
    group: Option<Spanned<Listed>>,
    certificate: Option<Spanned<Listed>>,
    address: Option<Spanned<Listed>>,
    protocol: Option<Spanned<Listed>>,
    anonymous: Option<bool>,
    action: Option<Spanned<Listed>>,
    allow: Option<Spanned<Listed>>,
    deny: Option<Spanned<Listed>>,
    check: Option<Spanned<CheckWord>>,
    limits: Option<RuleLimits>,
}

/// One text or several; or, where that has a meaning, a flag.
#[derive(Debug)]
#[cfg_attr(test, derive(serde::Serialize))]
#[cfg_attr(test, serde(untagged))]
enum Listed {
    Flag(bool),
    One(String),
    Several(Vec<Spanned<String>>),
}

/// `rule.check`
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "lowercase")]
enum CheckWord {
    Subscription,
    Delivery,
}

/// `rule.limits`
#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
struct RuleLimits {
    messages_per_s: Option<NonZeroU32>,
    bytes_per_s: Option<NonZeroU64>,
    connections: Option<NonZeroU32>,
    subscriptions: Option<NonZeroU32>,
    message_bytes: Option<NonZeroU64>,
}

impl<'de> Deserialize<'de> for Listed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Listed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text or a list of texts")
            }

            fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Listed, E> {
                Ok(Listed::Flag(flag))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Listed, E> {
                Ok(Listed::One(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<Listed, A::Error> {
                let mut all = Vec::new();
                while let Some(text) = texts.next_element()? {
                    all.push(text);
                }
                Ok(Listed::Several(all))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// The rules of a configuration file whose text was read from `path`, and of the file that it names.
pub(super) fn read(document: &Document, path: &Path, text: &str) -> Result<RuleSet, Vec<Problem>> {
    let named = document.tenants.iter();
    let named = named.map(|(name, number)| (name.as_str().into(), TenantId::new(*number.get_ref())));
    let tenants = named.chain([(Box::from(DEFAULT_TENANT), TenantId::DEFAULT)]).collect();
    let mut reading = Reading { tenants, ..Reading::default() };
    reading.tables(&document.rule, path, text);
    if let Some(file) = &document.rules_file {
        let own = path.parent().unwrap_or(Path::new("")).join(file.get_ref());
        match fs::read_to_string(&own) {
            Ok(text) => reading.file(&own, &text),
            Err(error) => {
                let message = format!("{}: {error}", own.display());
                reading.problems.push(Problem::new(path, text, file.span(), message));
            }
        }
    }
    let Reading { rules, places, problems, tenants } = reading;
    if !problems.is_empty() {
        return Err(problems);
    }
    let written = places.iter().map(|place| place.to_string().into()).collect();
    Ok(RuleSet { rules: Arc::new(Rules::new(rules).written_at(written)), places, tenants })
}

/// What was read so far.
#[derive(Default)]
struct Reading {
    rules: Vec<Rule>,
    places: Vec<Place>,
    problems: Vec<Problem>,
    tenants: TenantNumbers,
}

impl Reading {
    fn file(&mut self, path: &Path, text: &str) {
        match toml::from_str::<RulesFile>(text) {
            Ok(file) => self.tables(&file.rule, path, text),
            Err(error) => self.problems.push(Problem::of_toml(path, text, &error)),
        }
    }

    fn tables(&mut self, tables: &[Spanned<RuleTable>], path: &Path, text: &str) {
        let shared: Arc<Path> = PathBuf::from(path).into();
        let mut wrongs = Vec::new();
        // Lines are counted from the last rule on: there may be many.
        let (mut from, mut line) = (0, 1);
        for table in tables {
            let start = table.span().start.min(text.len());
            line += text.as_bytes()[from.min(start)..start].iter().filter(|&&b| b == b'\n').count();
            from = start;
            self.rules.push(rule(table, &self.tenants, &mut wrongs));
            self.places.push(Place { path: Arc::clone(&shared), line });
        }
        let problem = |wrong: Wrong| Problem::new(path, text, wrong.span, wrong.message);
        self.problems.extend(wrongs.into_iter().map(problem));
    }
}

/// A rule as the core takes it; where something is wrong with it, that is told and left out.
fn rule(spanned: &Spanned<RuleTable>, tenants: &TenantNumbers, wrongs: &mut Vec<Wrong>) -> Rule {
    let table = spanned.get_ref();
    let actions = actions(table, wrongs);
    let says_where = table.allow.is_some() || table.deny.is_some();
    let about_subscribing = table.action.is_none() || actions.contains(&Action::Subscribe);
    match (&table.action, &table.check) {
        (None, _) if says_where => {
            wrongs.push(Wrong::at(spanned, format!("name the action: {}", action_names())));
        }
        (Some(action), None) if !says_where => {
            wrongs.push(Wrong::at(action, "this says nothing without `allow` or `deny`"));
        }
        (_, Some(check)) if !about_subscribing => {
            wrongs.push(Wrong::at(check, "this is about subscribing: add that action, or leave it out"));
        }
        (None, None) if table.limits.is_none() => {
            wrongs
                .push(Wrong::at(spanned, "this rule says nothing: give it `action` with `allow` or `deny`"));
        }
        _ => {}
    }
    let limits = table.limits.unwrap_or_default();
    Rule {
        who: who(table, tenants, wrongs),
        allow: reach(table.allow.as_ref(), &actions, wrongs),
        deny: reach(table.deny.as_ref(), &actions, wrongs),
        check: match table.check.as_ref().map(Spanned::get_ref) {
            Some(CheckWord::Delivery) => Check::Delivery,
            Some(CheckWord::Subscription) | None => Check::Subscription,
        },
        quota: Quota {
            messages_per_s: limits.messages_per_s,
            bytes_per_s: limits.bytes_per_s,
            connections: limits.connections,
            subscriptions: limits.subscriptions,
            message_bytes: limits.message_bytes,
        },
        actions,
    }
}

fn who(table: &RuleTable, tenants: &TenantNumbers, wrongs: &mut Vec<Wrong>) -> Who {
    let names = |listed: &Option<Spanned<Listed>>, wrongs: &mut Vec<Wrong>| {
        each(listed.as_ref(), wrongs, |name| match name {
            "" | "*" => {
                Err("write a name, or leave the key out: then the rule is about everybody".to_owned())
            }
            name => Ok(name.into()),
        })
    };
    let protocol = |name: &str| {
        let names: Vec<_> = Protocol::ALL.iter().map(|protocol| protocol.name()).collect();
        let known = names.contains(&name);
        if known { Ok(name.into()) } else { Err(choice("protocol", name, &names)) }
    };
    let tenant = |name: &str| tenants.get(name).copied().ok_or_else(|| no_tenant(name));
    Who {
        tenants: each(table.tenant.as_ref(), wrongs, tenant),
        identities: names(&table.identity, wrongs),
        groups: names(&table.group, wrongs),
        certificates: each(table.certificate.as_ref(), wrongs, certificate),
        networks: each(table.address.as_ref(), wrongs, network),
        protocols: each(table.protocol.as_ref(), wrongs, protocol),
        anonymous: table.anonymous,
    }
}

/// What is wrong with the name of a tenant that is not there.
pub(crate) fn no_tenant(name: &str) -> String {
    format!("there is no tenant `{name}`: add `{name} = NUMBER` under [tenants]")
}

/// Each text of a key, read by `read`; nothing if the key is not there.
fn each<T>(
    listed: Option<&Spanned<Listed>>,
    wrongs: &mut Vec<Wrong>,
    mut read: impl FnMut(&str) -> Result<T, String>,
) -> Vec<T> {
    let Some(listed) = listed else { return Vec::new() };
    let texts: Vec<(Range<usize>, &str)> = match listed.get_ref() {
        Listed::Flag(_) => {
            wrongs.push(Wrong::at(listed, "write text or a list of texts"));
            return Vec::new();
        }
        Listed::One(text) => vec![(listed.span(), text)],
        Listed::Several(texts) => texts.iter().map(|text| (text.span(), text.get_ref().as_str())).collect(),
    };
    if texts.is_empty() {
        wrongs.push(Wrong::at(listed, "this list is empty: leave the key out"));
    }
    let mut all = Vec::new();
    for (span, text) in texts {
        match read(text) {
            Ok(read) => all.push(read),
            Err(message) => wrongs.push(Wrong { span, message }),
        }
    }
    all
}

fn actions(table: &RuleTable, wrongs: &mut Vec<Wrong>) -> Vec<Action> {
    each(table.action.as_ref(), wrongs, action)
}

/// The action of this name.
pub(crate) fn action(name: &str) -> Result<Action, String> {
    let known = Action::ALL.into_iter().find(|action| action.name() == name);
    known.ok_or_else(|| choice("action", name, &Action::ALL.map(Action::name)))
}

fn action_names() -> String {
    Action::ALL.map(Action::name).join(", ")
}

fn reach(listed: Option<&Spanned<Listed>>, actions: &[Action], wrongs: &mut Vec<Wrong>) -> Reach {
    let Some(spanned) = listed else { return Reach::Nothing };
    match spanned.get_ref() {
        Listed::Flag(true) => return Reach::Everything,
        Listed::Flag(false) => {
            wrongs.push(Wrong::at(spanned, "write true, filters, or leave the key out"));
            return Reach::Nothing;
        }
        Listed::One(_) | Listed::Several(_) => {}
    }
    if let Some(action) = actions.iter().find(|action| !action.has_target()) {
        let message = format!("`{}` is done to no topic: write true", action.name());
        wrongs.push(Wrong::at(spanned, message));
    }
    Reach::Filters(each(listed, wrongs, |filter| RuleFilter::new(filter).map_err(|error| error.to_string())))
}

/// A certificate: `sha256:` and its fingerprint, or the common name of its subject.
pub(crate) fn certificate(text: &str) -> Result<Certificate, String> {
    let Some(fingerprint) = text.strip_prefix("sha256:") else {
        let wrong = "write a common name, or sha256: and a fingerprint";
        return if text.is_empty() {
            Err(wrong.to_owned())
        } else {
            Ok(Certificate::CommonName(text.into()))
        };
    };
    let wrong = || "a fingerprint has 64 hexadecimal digits".to_owned();
    let digits: Vec<u8> = fingerprint.bytes().filter(|&byte| byte != b':').collect();
    if digits.len() != 64 {
        return Err(wrong());
    }
    let mut sha256 = [0; 32];
    for (byte, pair) in sha256.iter_mut().zip(digits.chunks(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16).ok_or_else(wrong);
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Ok(Certificate::Sha256(sha256))
}

fn network(text: &str) -> Result<Network, String> {
    let wrong = || "write a network such as \"192.0.2.0/24\" or \"2001:db8::/32\", or one address".to_owned();
    let (address, len) = text.split_once('/').map_or((text, None), |(address, len)| (address, Some(len)));
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let len = len.map_or(Ok(width), |len| len.parse().map_err(|_| wrong()))?;
    if len > width {
        return Err(wrong());
    }
    Ok(match address {
        IpAddr::V4(address) => Network::v4(address.to_bits(), len),
        IpAddr::V6(address) => Network::v6(address.to_bits(), len),
    })
}

#[cfg(test)]
mod tests;
