//! The configuration: TOML as it is written ([`document`]), checked and turned into what the crates take
//! ([`settings`]). What is wrong is told with its place, the line itself and a suggestion ([`problem`]).

mod amqp091;
mod auth;
mod bridges;
mod coap;
mod document;
mod entrance;
mod ldap;
mod listeners;
mod mqtt;
mod others;
mod problem;
mod rules;
mod settings;
mod stomp;

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) use bridges::Bridge;
pub(crate) use others::Others;
pub(crate) use problem::Problem;
pub(crate) use rules::{RuleSet, action, certificate, no_tenant};
pub(crate) use settings::{Listener, LogFormat, Protocol, Settings, StoreSettings};

use crate::complaint::Complaint;

/// The settings in the file, or the safe ones if there is no file.
pub(crate) fn load(file: Option<&Path>) -> Result<Settings, Complaint> {
    let Some(path) = file else {
        return parse(Path::new(""), "").map_err(Complaint::Configuration);
    };
    parse(path, &text_of(path)?).map_err(Complaint::Configuration)
}

/// The rules in the file and in the one that it names: what else the file says is not looked at.
pub(crate) fn load_rules(file: Option<&Path>) -> Result<RuleSet, Complaint> {
    let Some(path) = file else { return Ok(RuleSet::default()) };
    let text = text_of(path)?;
    let rules = document(path, &text).and_then(|document| rules::read(&document, path, &text));
    rules.map_err(Complaint::Configuration)
}

/// The users file that the file names: what else it says is not looked at.
pub(crate) fn users_file(path: &Path) -> Result<Option<PathBuf>, Complaint> {
    let document = document(path, &text_of(path)?).map_err(Complaint::Configuration)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    Ok(document.auth.users_file.map(|file| folder.join(file.into_inner())))
}

fn text_of(path: &Path) -> Result<String, Complaint> {
    fs::read_to_string(path).map_err(|error| Complaint::File { path: path.to_owned(), error })
}

fn document(path: &Path, text: &str) -> Result<document::Document, Vec<Problem>> {
    toml::from_str(text).map_err(|error| vec![Problem::of_toml(path, text, &error)])
}

/// The settings in `text`, or everything that is wrong with it. `path` names it in messages.
fn parse(path: &Path, text: &str) -> Result<Settings, Vec<Problem>> {
    let document = document(path, text)?;
    let (rules, mut problems) = match rules::read(&document, path, text) {
        Ok(rules) => (rules, Vec::new()),
        Err(problems) => (RuleSet::default(), problems),
    };
    match settings::settle(document, rules, path) {
        Ok(settings) if problems.is_empty() => return Ok(settings),
        Ok(_) => {}
        Err(wrongs) => {
            let problem = |wrong: settings::Wrong| Problem::new(path, text, wrong.span, wrong.message);
            problems.extend(wrongs.into_iter().map(problem));
        }
    }
    Err(problems)
}

#[cfg(test)]
mod bridges_tests;
#[cfg(test)]
mod others_tests;
#[cfg(test)]
mod tests;
