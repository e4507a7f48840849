//! One user, as a line of the users file has it: what proves who it is, its tenant and groups, and whether it is locked.

use std::fmt;
use std::num::NonZeroU32;

use mynah_model::Groups;

use super::error::LineError;
use super::name::prepared;
use crate::credential::{
    HashError, HashedPassword, ImportedHash, PASSWORD_BYTES_MAX, PreSharedKey, ScramHash, ScramVerifier,
    from_hex, to_hex,
};

/// A user of the file. Equal users have equal lines.
#[derive(Clone, Debug, Default)]
pub struct User {
    /// The tenant by its name; none is the tenant `default`.
    pub tenant: Option<Box<str>>,
    /// The name, prepared by SASLprep.
    pub name: Box<str>,
    /// The password for peers that send it as it is.
    pub password: Option<HashedPassword>,
    /// The password for SCRAM-SHA-256, and for peers that send it if there is nothing else.
    pub scram_sha_256: Option<ScramVerifier>,
    /// The password for SCRAM-SHA-1, likewise.
    pub scram_sha_1: Option<ScramVerifier>,
    /// A hash of another broker, for peers that send the password.
    pub imported: Option<ImportedHash>,
    /// A key that the user's device has too.
    pub pre_shared_key: Option<PreSharedKey>,
    /// The SHA-256 of the certificate that proves who the user is.
    pub certificate: Option<[u8; 32]>,
    /// The groups that the user is in.
    pub groups: Groups,
    /// Whether the user is kept out.
    pub locked: bool,
}

/// In which forms a new password is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordForms {
    /// argon2id.
    pub argon2: bool,
    /// A verifier of SCRAM-SHA-256.
    pub scram_sha_256: bool,
    /// A verifier of SCRAM-SHA-1.
    pub scram_sha_1: bool,
    /// Iterations of the verifiers.
    pub iterations: NonZeroU32,
}

impl User {
    /// A user without anything that would prove it.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let name = prepared(name).map_or_else(|| name.into(), |name| (*name).into());
        Self { name, ..Self::default() }
    }

    /// Sets the password in these forms; what was kept of an earlier one goes.
    ///
    /// # Errors
    /// The password cannot be used, or the operating system has no randomness to give.
    pub fn set_password(&mut self, password: &str, forms: PasswordForms) -> Result<(), HashError> {
        if password.is_empty() {
            return Err(HashError::Empty);
        }
        let password = prepared(password).ok_or(HashError::Unpreparable)?;
        let password = password.as_bytes();
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(HashError::TooLong);
        }
        let scram = |hash, wanted: bool| {
            wanted.then(|| ScramVerifier::new(hash, password, forms.iterations)).transpose()
        };
        let argon2 = forms.argon2.then(|| HashedPassword::new(password)).transpose()?;
        let sha_256 = scram(ScramHash::Sha256, forms.scram_sha_256)?;
        let sha_1 = scram(ScramHash::Sha1, forms.scram_sha_1)?;
        (self.password, self.scram_sha_256, self.scram_sha_1, self.imported) = (argon2, sha_256, sha_1, None);
        Ok(())
    }

    /// The verifier for a mechanism of SCRAM.
    #[must_use]
    pub fn scram(&self, hash: ScramHash) -> Option<&ScramVerifier> {
        match hash {
            ScramHash::Sha1 => self.scram_sha_1.as_ref(),
            ScramHash::Sha256 => self.scram_sha_256.as_ref(),
        }
    }

    /// Whether a password can prove the user.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.password.is_some()
            || self.scram_sha_256.is_some()
            || self.imported.is_some()
            || self.scram_sha_1.is_some()
    }

    /// Whether the password is the user's: `prepared` by SASLprep, or for another broker's hash as it was `sent`. One hash
    /// is computed, whatever the user has.
    pub(crate) fn has_this_password(&self, prepared: &[u8], sent: &[u8]) -> bool {
        if let Some(hash) = &self.password {
            hash.matches(prepared)
        } else if let Some(verifier) = self.scram_sha_256.as_ref() {
            verifier.matches(prepared)
        } else if let Some(hash) = &self.imported {
            hash.matches(sent)
        } else {
            self.scram_sha_1.as_ref().is_some_and(|verifier| verifier.matches(prepared))
        }
    }

    /// Reads what stands behind the colon of a line.
    pub(super) fn parse(name: &str, fields: &str) -> Result<Self, (usize, LineError)> {
        let mut user = Self { name: name.into(), ..Self::default() };
        let mut column = 0;
        for word in fields.split(' ') {
            if !word.is_empty() {
                user.take_word(word).map_err(|what| (column, what))?;
            }
            column += word.chars().count() + 1;
        }
        let proves = user.has_password() || user.pre_shared_key.is_some() || user.certificate.is_some();
        if proves { Ok(user) } else { Err((0, LineError::NothingProves)) }
    }

    fn take_word(&mut self, word: &str) -> Result<(), LineError> {
        let Some((key, value)) = word.split_once('=').filter(|(key, _)| !key.contains('$')) else {
            return self.take_credential(word);
        };
        let once = |is_first: bool| if is_first { Ok(()) } else { Err(LineError::Twice(key.into())) };
        match key {
            "tenant" => {
                once(self.tenant.is_none())?;
                check_word(value)?;
                self.tenant = (value != DEFAULT_TENANT).then(|| value.into());
            }
            "groups" => {
                once(self.groups == Groups::NONE)?;
                value.split(',').try_for_each(check_word)?;
                self.groups = value.split(',').collect();
            }
            "psk" => {
                once(self.pre_shared_key.is_none())?;
                self.pre_shared_key = Some(PreSharedKey::parse(value).ok_or(LineError::PreSharedKey)?);
            }
            "certificate" => {
                once(self.certificate.is_none())?;
                self.certificate = Some(fingerprint(value).ok_or(LineError::Fingerprint)?);
            }
            _ => return self.take_credential(word),
        }
        Ok(())
    }

    fn take_credential(&mut self, word: &str) -> Result<(), LineError> {
        let twice = |kind: &str| Err(LineError::Twice(kind.into()));
        if word == "locked" {
            self.locked = true;
        } else if let Some(hash) = ImportedHash::parse(word) {
            if self.imported.replace(hash).is_some() {
                return twice("the hash of another broker");
            }
        } else if let Some(verifier) = ScramVerifier::parse(word) {
            let name = verifier.hash.name();
            let place = match verifier.hash {
                ScramHash::Sha1 => &mut self.scram_sha_1,
                ScramHash::Sha256 => &mut self.scram_sha_256,
            };
            if place.replace(verifier).is_some() {
                return twice(name);
            }
        } else if word.starts_with("$argon2") {
            let hash = HashedPassword::parse(word).map_err(LineError::Hash)?;
            if self.password.replace(hash).is_some() {
                return twice("argon2");
            }
        } else {
            return Err(LineError::Unknown);
        }
        Ok(())
    }
}

/// The tenant that always exists.
pub const DEFAULT_TENANT: &str = "default";

/// The SHA-256 of a certificate in hexadecimal digits, with or without the colons that `openssl` writes.
#[must_use]
pub fn fingerprint(text: &str) -> Option<[u8; 32]> {
    from_hex(&text.replace(':', ""))?.as_ref().try_into().ok()
}

/// Whether the name of a group or a tenant can be written in a line.
///
/// # Errors
/// [`LineError::WordUnusable`] if it cannot.
pub fn check_word(word: &str) -> Result<(), LineError> {
    let is_usable = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '@');
    if !word.is_empty() && word.chars().all(is_usable) {
        Ok(())
    } else {
        Err(LineError::WordUnusable(word.into()))
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        words.extend(self.password.as_ref().map(ToString::to_string));
        words.extend(self.scram_sha_256.as_ref().map(ToString::to_string));
        words.extend(self.scram_sha_1.as_ref().map(ToString::to_string));
        words.extend(self.imported.as_ref().map(ToString::to_string));
        words.extend(self.pre_shared_key.as_ref().map(|key| format!("psk={}", key.to_hex())));
        words.extend(self.certificate.as_ref().map(|sha256| format!("certificate={}", to_hex(sha256))));
        words.extend(self.tenant.as_ref().map(|tenant| format!("tenant={tenant}")));
        let groups: Vec<&str> = self.groups.iter().collect();
        words.extend((!groups.is_empty()).then(|| format!("groups={}", groups.join(","))));
        words.extend(self.locked.then(|| "locked".to_owned()));
        write!(f, "{}:{}", self.name, words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::file::tests::cheap_hash;

    fn forms() -> PasswordForms {
        PasswordForms {
            argon2: false,
            scram_sha_256: true,
            scram_sha_1: true,
            iterations: NonZeroU32::new(100_000).unwrap(),
        }
    }

    #[test]
    fn a_user_survives_its_line() {
        let mut user = User::new("ada");
        user.set_password("engine", forms()).unwrap();
        user.password = Some(cheap_hash(b"engine"));
        user.imported = ImportedHash::parse(
            "rabbit_password_hashing_sha256$kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR",
        );
        user.pre_shared_key = Some(PreSharedKey::random().unwrap());
        user.certificate = Some([7; 32]);
        user.tenant = Some("factory".into());
        user.groups = ["ops", "staff"].into_iter().collect();
        user.locked = true;
        let line = user.to_string();
        let (name, fields) = line.split_once(':').unwrap();
        let read = User::parse(name, fields).unwrap();
        assert_eq!(read.to_string(), line);
        assert!(line.ends_with(" tenant=factory groups=ops,staff locked"), "{line}");
        assert!(
            line.contains("$argon2id$") && line.contains(" SCRAM-SHA-256$100000:") && line.contains(" psk=")
        );
    }

    #[test]
    fn a_new_password_replaces_the_old_one_in_every_form() {
        let mut user = User::new("ada");
        user.imported = ImportedHash::parse(
            "rabbit_password_hashing_sha256$kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR",
        );
        assert!(user.has_this_password(b"", b"test12") && !user.has_this_password(b"test12", b""));
        user.set_password("\u{2168}", forms()).unwrap();
        assert!(user.imported.is_none() && user.password.is_none());
        assert!(user.has_this_password(b"IX", b"") && !user.has_this_password(b"ix", b""));
        assert!(user.scram(ScramHash::Sha1).unwrap().matches(b"IX"));
        assert_eq!(user.set_password("", forms()), Err(HashError::Empty));
        assert_eq!(user.set_password("a\u{7}", forms()), Err(HashError::Unpreparable));
        assert!(user.has_this_password(b"IX", b""), "a refused change changes nothing");
    }

    #[test]
    fn a_wrong_word_is_named_with_its_place() {
        let key = "ab".repeat(16);
        for (fields, column, what) in [
            ("", 0, LineError::NothingProves),
            ("locked groups=a", 0, LineError::NothingProves),
            (&format!("psk={key} colour"), 37, LineError::Unknown),
            (&format!("psk={key}  psk={key}"), 38, LineError::Twice("psk".into())),
            ("psk=12", 0, LineError::PreSharedKey),
            ("certificate=12", 0, LineError::Fingerprint),
            ("groups=a,,b", 0, LineError::WordUnusable("".into())),
            ("tenant=a:b", 0, LineError::WordUnusable("a:b".into())),
            ("$6$x", 0, LineError::Unknown),
            ("$argon2id$x", 0, LineError::Hash(crate::PhcError::Malformed)),
        ] {
            assert_eq!(User::parse("a", fields).unwrap_err(), (column, what), "{fields}");
        }
    }

    #[test]
    fn fingerprints_are_read_as_openssl_writes_them() {
        let colons = ["AB"; 32].join(":");
        assert_eq!(fingerprint(&colons), Some([0xAB; 32]));
        assert_eq!(fingerprint(&"ab".repeat(32)), Some([0xAB; 32]));
        assert_eq!(fingerprint(&"ab".repeat(31)), None);
    }
}
