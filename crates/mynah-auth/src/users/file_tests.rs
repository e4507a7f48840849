//! Tests of the users file: what is read, what is refused and with which words, what is written.

use std::os::unix::fs::PermissionsExt;

use argon2::Params;
use proptest::prelude::*;

use super::*;
use crate::HashedPassword;

pub(crate) fn cheap_hash(password: &[u8]) -> HashedPassword {
    HashedPassword::with_cost(password, Params::new(Params::MIN_M_COST, 1, 1, None).unwrap()).unwrap()
}

fn user(name: &str, hash: HashedPassword) -> User {
    let mut user = User::new(name);
    user.password = Some(hash);
    user
}

fn add(path: &Path, name: &str) {
    UsersFile::edit(path, |file| file.add(user(name, cheap_hash(b"x")))).unwrap();
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
    let error = UsersFile::open(&folder.file()).unwrap_err().to_string();
    error.replace(folder.0.to_str().unwrap(), "")
}

#[test]
fn a_rewrite_keeps_comments_and_order() {
    let folder = Folder::new("rewrite");
    let (a, b, c) = (cheap_hash(b"a"), cheap_hash(b"b"), cheap_hash(b"c"));
    let key = format!(":key={}\n", to_base64(&[7; 32]));
    fs::write(folder.file(), format!("# staff\n\nada:{a}\n  # guests\nbob:{b}\n{key}")).unwrap();
    let change = |file: &mut UsersFile| {
        file.user_mut(None, "ada")?.password = Some(c.clone());
        file.add(user("eve", b.clone()))?;
        file.remove(None, "bob")?;
        assert!(matches!(file.remove(None, "bob"), Err(FileError::Unknown { .. })));
        file.user_mut(None, "eve")?.locked = true;
        Ok::<_, FileError>(())
    };
    UsersFile::edit(&folder.file(), change).unwrap();
    let text = fs::read_to_string(folder.file()).unwrap();
    assert_eq!(text, format!("# staff\n\nada:{c}\n  # guests\n{key}eve:{b} locked\n"));
    let file = UsersFile::open(&folder.file()).unwrap();
    assert_eq!(file.user(None, "eve").map(|eve| eve.locked), Some(true));
    assert!(file.user(None, "bob").is_none() && file.user(Some("factory"), "eve").is_none());
    assert_eq!(file.key(), Some(&[7; 32]));
}

#[test]
fn a_saved_file_is_private_and_nothing_else_is_left() {
    let folder = Folder::new("private");
    fs::write(folder.file(), "").unwrap();
    fs::set_permissions(folder.file(), fs::Permissions::from_mode(0o644)).unwrap();
    let path = folder.file();
    assert_eq!(
        UsersFile::open(&path).unwrap().warnings()[0].to_string(),
        format!(
            "{0}: every user of this machine can open the users file (mode 644); run `chmod 600 {0}`",
            path.display()
        )
    );
    add(&path, "ada");
    assert_eq!(mode(&path), 0o600);
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
    let file = UsersFile::open(&path).unwrap();
    assert_eq!(file.warnings(), []);
    let key = *file.key().unwrap();
    add(&path, "bob");
    assert_eq!(UsersFile::open(&path).unwrap().key(), Some(&key), "a key is made once");
}

#[test]
fn a_link_stays_a_link() {
    let folder = Folder::new("link");
    let real = folder.0.join("real");
    fs::write(&real, "# real\n").unwrap();
    std::os::unix::fs::symlink(&real, folder.file()).unwrap();
    add(&folder.file(), "ada");
    assert!(fs::symlink_metadata(folder.file()).unwrap().is_symlink());
    assert!(fs::read_to_string(&real).unwrap().contains("ada:"));
}

#[test]
fn a_file_that_cannot_be_replaced_is_left_as_it_was() {
    let folder = Folder::new("failed");
    let missing = folder.0.join("no/such/folder/users");
    let error = UsersFile::edit(&missing, |_| Ok::<_, FileError>(())).unwrap_err().to_string();
    assert!(error.contains("cannot replace the users file"), "{error}");
    add(&folder.file(), "ada");
    let before = fs::read_to_string(folder.file()).unwrap();
    let change = |file: &mut UsersFile| {
        file.remove(None, "ada")?;
        file.remove(None, "bob")
    };
    let error = UsersFile::edit(&folder.file(), change).unwrap_err().to_string();
    assert!(error.ends_with("there is no user \"bob\"; `mynah user list` shows who is there"), "{error}");
    assert_eq!(fs::read_to_string(folder.file()).unwrap(), before);
}

#[test]
fn programs_that_change_the_file_at_once_do_not_lose_each_others_changes() {
    let folder = Folder::new("at-once");
    let path = folder.file();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let path = &path;
            scope.spawn(move || (0..8).for_each(|number| add(path, &format!("u{thread}-{number}"))));
        }
    });
    assert_eq!(UsersFile::open(&path).unwrap().users().count(), 32);
}

#[test]
fn names_that_fold_together_are_refused_and_a_file_that_has_them_is_read() {
    let folder = Folder::new("fold");
    let mut file = UsersFile::new(Path::new("users"));
    let mut add = |name| file.add(user(name, cheap_hash(b"x"))).map_err(|error| error.to_string());
    add("Ada").unwrap();
    let alike = "the user name \"aDA\" is too much like \"Ada\": where case does not count they would be one; choose another";
    assert_eq!(add("aDA").unwrap_err(), alike);
    assert!(add("Ada").unwrap_err().contains("is in the file twice"));
    let mut elsewhere = user("ada", cheap_hash(b"x"));
    elsewhere.tenant = Some("factory".into());
    file.add(elsewhere).unwrap();
    file.remove(None, "Ada").unwrap();
    file.add(user("aDA", cheap_hash(b"x"))).unwrap();
    let a = cheap_hash(b"a");
    fs::write(folder.file(), format!("ada:{a}\nAda:{a}\n")).unwrap();
    fs::set_permissions(folder.file(), fs::Permissions::from_mode(0o600)).unwrap();
    let file = UsersFile::open(&folder.file()).unwrap();
    let warning = file.warnings()[0].to_string();
    assert!(warning.contains("\"Ada\" and \"ada\" would be one"), "{warning}");
    assert_eq!(file.users().count(), 2);
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
        "/users:1:5: this is neither a password hash nor anything else that a users file knows; set the password again \
         with `mynah user passwd`"
    );
    assert_eq!(
        error_of(&folder, &format!("ada:{a}\n\nada:{a}\n")),
        "/users:3:1: the user \"ada\" is in the file twice; remove one of the two lines"
    );
    fs::remove_file(folder.file()).unwrap();
    let error = UsersFile::open(&folder.file()).unwrap_err().to_string();
    assert!(error.ends_with("/users: there is no such users file; `mynah user add` makes one"), "{error}");
}

#[test]
fn a_name_that_would_be_read_back_differently_is_refused() {
    let mut file = UsersFile::new(Path::new("users"));
    for name in ["", "a:b", "a\nb", "#a", " a", "a ", "\u{2168}"] {
        let raw = User { name: name.into(), ..user("x", cheap_hash(b"x")) };
        assert!(file.add(raw).is_err(), "{name:?}");
    }
    assert_eq!(file.users().count(), 0);
}

proptest! {
    /// Whatever name is taken is read back.
    #[test]
    fn every_accepted_name_survives_the_file(name in any::<String>()) {
        let mut file = UsersFile::new(Path::new("users"));
        if file.add(user(&name, cheap_hash(b"x"))).is_ok() {
            let text = file.to_string();
            let mut read = UsersFile::new(Path::new("users"));
            for line in text.lines() {
                prop_assert!(read.take_line(line).is_ok());
            }
            prop_assert!(read.user(None, &name).is_some());
            prop_assert_eq!(read.to_string(), text);
        }
    }

    /// Any text is read or refused, never a panic.
    #[test]
    fn any_line_is_read_or_refused(line in any::<String>()) {
        let _ = UsersFile::new(Path::new("users")).take_line(&line);
    }
}
