//! Tests of the password file: what is read, what is refused and with which words, what is written.

use std::os::unix::fs::PermissionsExt;

use argon2::Params;
use proptest::prelude::*;

use super::*;

pub(crate) fn cheap_hash(password: &[u8]) -> HashedPassword {
    HashedPassword::with_cost(password, Params::new(Params::MIN_M_COST, 1, 1, None).unwrap()).unwrap()
}

pub(crate) fn file_of(users: &[(&str, &HashedPassword)]) -> PasswordFile {
    let mut file = PasswordFile::new(Path::new("users"));
    for (user, hash) in users {
        assert!(!file.set(user, (*hash).clone()).unwrap());
    }
    file
}

/// A folder of its own for each test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mynah-auth-{}-{test}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("users")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn error_of(folder: &Folder, text: &str) -> String {
    fs::write(folder.file(), text).unwrap();
    let error = PasswordFile::open(&folder.file()).unwrap_err().to_string();
    error.replace(folder.0.to_str().unwrap(), "")
}

#[test]
fn a_rewrite_keeps_comments_and_order() {
    let folder = Folder::new("rewrite");
    let (a, b) = (cheap_hash(b"a"), cheap_hash(b"b"));
    fs::write(folder.file(), format!("# staff\n\nada:{a}\n  # guests\nbob:{b}\n")).unwrap();
    let mut file = PasswordFile::open(&folder.file()).unwrap();
    let c = cheap_hash(b"c");
    assert!(file.set("ada", c.clone()).unwrap());
    assert!(!file.set("eve", b.clone()).unwrap());
    assert!(file.remove("bob"));
    assert!(!file.remove("bob"));
    file.save().unwrap();
    let text = fs::read_to_string(folder.file()).unwrap();
    assert_eq!(text, format!("# staff\n\nada:{c}\n  # guests\neve:{b}\n"));
}

#[test]
fn a_saved_file_is_private_and_nothing_else_is_left() {
    let folder = Folder::new("private");
    fs::write(folder.file(), "").unwrap();
    fs::set_permissions(folder.file(), fs::Permissions::from_mode(0o644)).unwrap();
    let mut file = PasswordFile::open(&folder.file()).unwrap();
    let warning = file.warning().unwrap().to_string();
    let path = folder.file();
    assert_eq!(
        warning,
        format!(
            "{0}: every user of this machine can open the password file (mode 644); run `chmod 600 {0}`",
            path.display()
        )
    );
    file.set("ada", cheap_hash(b"x")).unwrap();
    file.save().unwrap();
    assert_eq!(mode(&path), 0o600);
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
    assert_eq!(PasswordFile::open(&path).unwrap().warning(), None);
}

#[test]
fn a_link_stays_a_link() {
    let folder = Folder::new("link");
    let real = folder.0.join("real");
    fs::write(&real, "# real\n").unwrap();
    std::os::unix::fs::symlink(&real, folder.file()).unwrap();
    let mut file = PasswordFile::open(&folder.file()).unwrap();
    file.set("ada", cheap_hash(b"x")).unwrap();
    file.save().unwrap();
    assert!(fs::symlink_metadata(folder.file()).unwrap().is_symlink());
    assert!(fs::read_to_string(&real).unwrap().contains("ada:"));
}

#[test]
fn a_file_that_cannot_be_replaced_is_left_as_it_was() {
    let folder = Folder::new("failed");
    let missing = folder.0.join("no/such/folder/users");
    let error = PasswordFile::new(&missing).save().unwrap_err().to_string();
    assert!(error.contains("cannot replace the password file"), "{error}");
}

#[test]
fn a_wrong_line_is_named_with_its_place_and_the_way_out() {
    let folder = Folder::new("wrong");
    let a = cheap_hash(b"a");
    assert_eq!(error_of(&folder, "# x\nada\n"), "/users:2:1: a line is `user:hash`; there is no `:` here");
    assert_eq!(
        error_of(&folder, "  :x\n"),
        "/users:1:3: the user name before the `:` is empty; write `user:hash`"
    );
    assert_eq!(
        error_of(&folder, "äda:secret\n"),
        "/users:1:5: this is not a password hash in the PHC string format; set the password again with `mynah passwd add`"
    );
    assert_eq!(
        error_of(&folder, &format!("ada:{a}\n\nada:{a}\n")),
        "/users:3:1: the user \"ada\" is in the file twice; remove one of the two lines"
    );
    fs::remove_file(folder.file()).unwrap();
    let error = PasswordFile::open(&folder.file()).unwrap_err().to_string();
    assert!(
        error.ends_with("/users: there is no such password file; `mynah passwd add` makes one"),
        "{error}"
    );
}

#[test]
fn a_name_that_would_be_read_back_differently_is_refused() {
    let mut file = PasswordFile::new(Path::new("users"));
    for name in ["", "a:b", "a\nb", "#a", " a", "a "] {
        assert!(file.set(name, cheap_hash(b"x")).is_err(), "{name:?}");
    }
    assert_eq!(file.entries().count(), 0);
}

proptest! {
    /// Whatever name is taken is read back.
    #[test]
    fn every_accepted_name_survives_the_file(name in any::<String>()) {
        let mut file = PasswordFile::new(Path::new("users"));
        if file.set(&name, cheap_hash(b"x")).is_ok() {
            let text = file.to_string();
            let mut lines = text.lines();
            let line = PasswordFile::new(Path::new("users")).parse_line(lines.next().unwrap());
            let survives = matches!(line, Ok(Line::User { name: read, .. }) if *read == *name);
            prop_assert!(survives);
            prop_assert_eq!(lines.next(), None);
        }
    }

    /// Any text is read or refused, never a panic.
    #[test]
    fn any_line_is_read_or_refused(line in any::<String>()) {
        let _ = PasswordFile::new(Path::new("users")).parse_line(&line);
    }
}
