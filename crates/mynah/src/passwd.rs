//! `mynah passwd`: keeps a password file. A password comes from the terminal or from standard input, never from the
//! command line, where every user of the machine can see it.

use std::io::{BufRead, IsTerminal, stdin};
use std::path::Path;

use mynah_auth::{HashedPassword, PasswordFile};

use crate::arguments::Passwd;
use crate::complaint::Complaint;

/// Carries one of the commands out.
pub(crate) fn run(command: &Passwd) -> Result<(), Complaint> {
    match command {
        Passwd::Add { file, user } => add(file, user),
        Passwd::Remove { file, user } => remove(file, user),
        Passwd::List { file } => list(file),
    }
}

fn add(path: &Path, user: &str) -> Result<(), Complaint> {
    let mut file = if path.exists() { PasswordFile::open(path)? } else { PasswordFile::new(path) };
    let hash = HashedPassword::new(password(user)?.as_bytes())?;
    let changed = file.set(user, hash)?;
    file.save()?;
    let what = if changed { "changed the password of" } else { "added" };
    println!("{what} {user}; a running broker reads the file when it starts again");
    Ok(())
}

fn remove(path: &Path, user: &str) -> Result<(), Complaint> {
    let mut file = PasswordFile::open(path)?;
    if !file.remove(user) {
        return Err(Complaint::Other(format!("{}: there is no user {user:?}", path.display())));
    }
    file.save()?;
    println!("removed {user}; a running broker reads the file when it starts again");
    Ok(())
}

fn list(path: &Path) -> Result<(), Complaint> {
    let file = PasswordFile::open(path)?;
    if let Some(warning) = file.warning() {
        eprintln!("mynah: warning: {warning}");
    }
    for (user, _) in file.entries() {
        println!("{user}");
    }
    Ok(())
}

/// Asks for the password twice at a terminal; elsewhere takes the first line of standard input.
fn password(user: &str) -> Result<String, Complaint> {
    let unreadable = |error| Complaint::System { what: "the password cannot be read", error };
    if !stdin().is_terminal() {
        let mut line = String::new();
        stdin().lock().read_line(&mut line).map_err(unreadable)?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    let first = rpassword::prompt_password(format!("password of {user}: ")).map_err(unreadable)?;
    let second = rpassword::prompt_password("the same again: ").map_err(unreadable)?;
    if first == second {
        Ok(first)
    } else {
        Err(Complaint::Other("the two are not the same; try again".to_owned()))
    }
}
