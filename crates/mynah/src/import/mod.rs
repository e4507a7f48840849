//! `mynah import`: configurations and users of other brokers. What means something else here, or nothing, is told with
//! its place; where something is in doubt less is permitted than there.

mod acl;
#[cfg(test)]
mod agreement;
mod bridges;
mod definitions;
mod lines;
mod listeners;
mod mosquitto;
mod notes;
mod options;
mod rabbitmq;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use mynah_auth::{FileError, User, Users, UsersFile};

use self::notes::{Note, comments};
use crate::arguments::Import;
use crate::complaint::Complaint;
use crate::config;

/// The file of the configuration.
const CONFIGURATION: &str = "mynah.toml";

/// Carries one of the commands out.
pub(crate) fn run(command: &Import) -> Result<(), Complaint> {
    match command {
        Import::Mosquitto { file, output } => from_mosquitto(file, output),
        Import::RabbitmqUsers { file, output } => from_rabbitmq(file, output),
        Import::RabbitmqDefinitions { file, to, user, password } => {
            let mut notes = Vec::new();
            let login = user.as_deref().zip(password.as_deref());
            let count = definitions::send(file, *to, login, &mut notes)?;
            println!("the broker has {count} queues, exchanges and bindings of {}", file.display());
            told(&notes);
            Ok(())
        }
    }
}

fn from_mosquitto(file: &Path, folder: &Path) -> Result<(), Complaint> {
    let mut translation = mosquitto::translate(file)?;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| Complaint::File { path, error }
    };
    fs::create_dir_all(folder).map_err(failed(folder))?;
    let configuration = folder.join(CONFIGURATION);
    let files: Vec<PathBuf> = [CONFIGURATION, mosquitto::RULES, mosquitto::USERS]
        .into_iter()
        .chain(translation.passwords.iter().map(|(name, _)| name.as_str()))
        .map(|name| folder.join(name))
        .collect();
    if let Some(other) = files.iter().find(|path| path.exists()) {
        return Err(Complaint::Other(format!(
            "{} is there already: name another folder, or remove it",
            other.display()
        )));
    }
    if let Some(users) = translation.users.take() {
        let path = folder.join(mosquitto::USERS);
        let count = add_users(&path, users, &mut translation.notes)?;
        println!("wrote {}: {count} users", path.display());
    }
    let notes = &translation.notes;
    let head = format!("# Made from {} by `mynah import mosquitto`.\n", file.display());
    let head = head.replace(|c: char| c.is_control() && c != '\n', " ");
    let missing = if notes.is_empty() { "" } else { "#\n# Not translated, or not the same here:\n" };
    let mut texts = Vec::new();
    if !translation.rules.is_empty() {
        texts.push((folder.join(mosquitto::RULES), format!("{head}\n{}", translation.rules)));
    }
    texts.extend(translation.passwords.iter().map(|(name, text)| (folder.join(name), format!("{text}\n"))));
    let text = format!("{head}{missing}{}\n{}", comments(notes), translation.configuration);
    texts.push((configuration.clone(), text));
    for (path, text) in texts {
        write(&path, &text).map_err(failed(&path))?;
        println!("wrote {}", path.display());
    }
    told(notes);
    let settings = config::load(Some(&configuration))?;
    if let Some(path) = &settings.users_file {
        Users::new(&UsersFile::open(path)?, &settings.tenants, None)?;
    }
    Ok(())
}

fn from_rabbitmq(file: &Path, output: &Path) -> Result<(), Complaint> {
    let mut notes = Vec::new();
    let users = rabbitmq::users(file, &mut notes)?;
    let count = add_users(output, users, &mut notes)?;
    println!("added {count} users to {}; a running broker reads the file again on SIGHUP", output.display());
    told(&notes);
    Ok(())
}

/// Adds users to a file, which is made if it is not there, and says how many. Those whose name cannot be added are noted.
fn add_users(path: &Path, users: Vec<(String, User)>, notes: &mut Vec<Note>) -> Result<usize, Complaint> {
    UsersFile::edit(path, |file| -> Result<usize, Complaint> {
        let mut count = 0;
        for (place, user) in users {
            let name = user.name.clone();
            match file.add(user) {
                Ok(()) => count += 1,
                Err(FileError::User(why)) => {
                    notes.push(Note::new(place, format!("user {name}"), why.to_string()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(count)
    })
}

/// Writes a new file, for its owner only: it may say what is secret.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}

fn told(notes: &[Note]) {
    if notes.is_empty() {
        return;
    }
    println!("not translated, or not the same here:");
    for note in notes {
        println!("  {note}");
    }
}
