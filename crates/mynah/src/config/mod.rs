//! The configuration: TOML as it is written ([`document`]), checked and turned into what the crates take
//! ([`settings`]). What is wrong is told with its place, the line itself and a suggestion ([`problem`]).

mod auth;
mod bridges;
mod document;
mod entrance;
mod ldap;
mod listeners;
mod mqtt;
mod others;
mod problem;
mod settings;

use std::fs;
use std::path::Path;

pub(crate) use bridges::Bridge;
pub(crate) use others::Others;
pub(crate) use problem::Problem;
pub(crate) use settings::{Listener, LogFormat, Protocol, Settings, StoreSettings};

use crate::complaint::Complaint;

/// The settings in the file, or the safe ones if there is no file.
pub(crate) fn load(file: Option<&Path>) -> Result<Settings, Complaint> {
    let Some(path) = file else {
        return parse(Path::new(""), "").map_err(Complaint::Configuration);
    };
    let text = fs::read_to_string(path).map_err(|error| Complaint::File { path: path.to_owned(), error })?;
    parse(path, &text).map_err(Complaint::Configuration)
}

/// The settings in `text`, or everything that is wrong with it. `path` names it in messages.
fn parse(path: &Path, text: &str) -> Result<Settings, Vec<Problem>> {
    let document = toml::from_str(text).map_err(|error| vec![Problem::of_toml(path, text, &error)])?;
    settings::settle(document, path).map_err(|wrongs| {
        wrongs.into_iter().map(|wrong| Problem::new(path, text, wrong.span, wrong.message)).collect()
    })
}

#[cfg(test)]
mod others_tests;
#[cfg(test)]
mod tests;
