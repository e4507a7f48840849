//! `mynah user`: keeps a users file. A password comes from the terminal, from standard input or from a file, never from the
//! command line, where every user of the machine can see it.

use std::fs;
use std::io::{BufRead, IsTerminal, stdin};
use std::path::Path;

use mynah_auth::{
    DEFAULT_TENANT, FileError, LineError, PasswordForms, PreSharedKey, User, UsersFile, check_word,
    fingerprint,
};

use crate::arguments::{Account, Forms, NewUser, UserCommand};
use crate::complaint::Complaint;

/// What has to be done that a running broker hears of a change.
const RELOAD: &str = "a running broker reads the file again on SIGHUP";

/// Carries one of the commands out.
pub(crate) fn run(command: &UserCommand) -> Result<(), Complaint> {
    match command {
        UserCommand::Add(new) => add(new),
        UserCommand::Passwd { account, forms } => passwd(account, forms),
        UserCommand::Remove { account } => {
            edit(account, |file| Ok(file.remove(tenant(account), &account.user)?))?;
            told("removed", account)
        }
        UserCommand::Lock { account } => lock(account, true),
        UserCommand::Unlock { account } => lock(account, false),
        UserCommand::List { file } => list(file),
    }
}

fn add(new: &NewUser) -> Result<(), Complaint> {
    let NewUser { account, forms, groups, certificate, psk, no_password } = new;
    let mut user = User::new(&account.user);
    user.tenant = tenant(account).map(Into::into);
    user.tenant.as_deref().map_or(Ok(()), check_word).map_err(wrong)?;
    groups.iter().try_for_each(|group| check_word(group)).map_err(wrong)?;
    user.groups = groups.iter().map(String::as_str).collect();
    if let Some(text) = certificate {
        user.certificate = Some(fingerprint(text).ok_or(LineError::Fingerprint).map_err(wrong)?);
    }
    if *psk {
        user.pre_shared_key = Some(PreSharedKey::random()?);
    }
    if *no_password && user.certificate.is_none() && user.pre_shared_key.is_none() {
        let message = "without a password the user needs --certificate or --psk";
        return Err(Complaint::Other(message.to_owned()));
    }
    // A name that cannot be used is not worth a password.
    check(account, &user)?;
    if !no_password {
        user.set_password(&password(account, forms)?, forms.of_new())?;
    }
    let key = user.pre_shared_key.clone();
    edit(account, |file| Ok(file.add(user)?))?;
    if let Some(key) = key {
        println!("the pre-shared key, shown only once: {}", key.to_hex());
    }
    told("added", account)
}

/// Whether the user could be added, without adding it.
fn check(account: &Account, user: &User) -> Result<(), Complaint> {
    let path = &account.file;
    let mut file = if path.exists() { UsersFile::open(path)? } else { UsersFile::new(path) };
    Ok(file.add(user.clone())?)
}

fn passwd(account: &Account, forms: &Forms) -> Result<(), Complaint> {
    let unchanged = UsersFile::open(&account.file)?;
    let unknown = || FileError::Unknown { path: account.file.clone(), user: account.user.as_str().into() };
    let mut user = unchanged.user(tenant(account), &account.user).ok_or_else(unknown)?.clone();
    let forms_kept = forms.of(&user);
    user.set_password(&password(account, forms)?, forms_kept)?;
    edit(account, |file| {
        let current = file.user_mut(tenant(account), &account.user)?;
        (current.password, current.imported) = (user.password, None);
        (current.scram_sha_256, current.scram_sha_1) = (user.scram_sha_256, user.scram_sha_1);
        Ok(())
    })?;
    told("changed the password of", account)
}

fn lock(account: &Account, locked: bool) -> Result<(), Complaint> {
    edit(account, |file| {
        file.user_mut(tenant(account), &account.user)?.locked = locked;
        Ok(())
    })?;
    told(if locked { "locked" } else { "unlocked" }, account)
}

fn list(path: &Path) -> Result<(), Complaint> {
    let file = UsersFile::open(path)?;
    for warning in file.warnings() {
        eprintln!("mynah: warning: {warning}");
    }
    for user in file.users() {
        println!("{}", shown(user));
    }
    Ok(())
}

/// A user in one line, without anything secret.
fn shown(user: &User) -> String {
    let mut words = vec![user.name.to_string()];
    let proofs = [
        ("argon2id", user.password.is_some()),
        ("SCRAM-SHA-256", user.scram_sha_256.is_some()),
        ("SCRAM-SHA-1", user.scram_sha_1.is_some()),
        ("imported", user.imported.is_some()),
        ("psk", user.pre_shared_key.is_some()),
        ("certificate", user.certificate.is_some()),
    ];
    let proofs: Vec<_> = proofs.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect();
    words.push(proofs.join("+"));
    words.extend(user.tenant.as_ref().map(|tenant| format!("tenant={tenant}")));
    let groups: Vec<_> = user.groups.iter().collect();
    words.extend((!groups.is_empty()).then(|| format!("groups={}", groups.join(","))));
    words.extend(user.locked.then(|| "locked".to_owned()));
    words.join(" ")
}

fn edit(
    account: &Account,
    change: impl FnOnce(&mut UsersFile) -> Result<(), Complaint>,
) -> Result<(), Complaint> {
    UsersFile::edit(&account.file, change)
}

fn told(what: &str, account: &Account) -> Result<(), Complaint> {
    println!("{what} {}; {RELOAD}", account.user);
    Ok(())
}

fn wrong(what: LineError) -> Complaint {
    Complaint::Users(FileError::User(what))
}

/// The tenant as a users file has it.
fn tenant(account: &Account) -> Option<&str> {
    account.tenant.as_deref().filter(|tenant| *tenant != DEFAULT_TENANT)
}

impl Forms {
    /// How a first password is kept.
    fn of_new(&self) -> PasswordForms {
        let scram = self.scram || self.scram_sha1;
        PasswordForms {
            argon2: !scram || self.argon2,
            scram_sha_256: self.scram,
            scram_sha_1: self.scram_sha1,
            iterations: self.iterations,
        }
    }

    /// How another password is kept: as the one before, if nothing else is asked for.
    fn of(&self, user: &User) -> PasswordForms {
        let is_asked = self.scram || self.scram_sha1 || self.argon2;
        let had_scram = user.scram_sha_256.is_some() || user.scram_sha_1.is_some();
        if is_asked || !had_scram {
            return self.of_new();
        }
        PasswordForms {
            argon2: user.password.is_some(),
            scram_sha_256: user.scram_sha_256.is_some(),
            scram_sha_1: user.scram_sha_1.is_some(),
            iterations: self.iterations,
        }
    }
}

/// Asks for the password twice at a terminal; elsewhere takes the first line of standard input, or of a file that is named.
fn password(account: &Account, forms: &Forms) -> Result<String, Complaint> {
    let unreadable = |error| Complaint::System { what: "the password cannot be read", error };
    if let Some(path) = &forms.password_file {
        let text = fs::read_to_string(path).map_err(|error| Complaint::File { path: path.clone(), error })?;
        return Ok(text.lines().next().unwrap_or_default().to_owned());
    }
    if !stdin().is_terminal() {
        let mut line = String::new();
        stdin().lock().read_line(&mut line).map_err(unreadable)?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    let first = rpassword::prompt_password(format!("password of {}: ", account.user)).map_err(unreadable)?;
    let second = rpassword::prompt_password("the same again: ").map_err(unreadable)?;
    if first == second {
        Ok(first)
    } else {
        Err(Complaint::Other("the two are not the same; try again".to_owned()))
    }
}
