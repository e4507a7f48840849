//! Hashes of other brokers, as their files have them. They serve peers that send the password itself, until the user
//! gets a new one.

use std::fmt;
use std::num::NonZeroU32;

use ring::digest::{Context, SHA256, SHA512};
use ring::pbkdf2;

use super::{equal, from_base64, to_base64};

const RABBIT_SHA256: &str = "rabbit_password_hashing_sha256$";
const RABBIT_SHA512: &str = "rabbit_password_hashing_sha512$";
const MOSQUITTO_PBKDF2: &str = "$7$";
const MOSQUITTO_SHA512: &str = "$6$";
/// Bytes of the salt in front of a hash of RabbitMQ.
const RABBIT_SALT_BYTES: usize = 4;

/// A password hash of another broker.
#[derive(Clone, PartialEq, Eq)]
pub struct ImportedHash {
    function: Function,
    salt: Box<[u8]>,
    hash: Box<[u8]>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Function {
    /// SHA-256 of salt and password.
    RabbitSha256,
    /// SHA-512 of salt and password.
    RabbitSha512,
    /// PBKDF2 with HMAC-SHA-512.
    MosquittoPbkdf2(NonZeroU32),
    /// SHA-512 of password and salt.
    MosquittoSha512,
}

impl Function {
    const fn hash_bytes(self) -> usize {
        match self {
            Self::RabbitSha256 => 32,
            Self::RabbitSha512 | Self::MosquittoPbkdf2(_) | Self::MosquittoSha512 => 64,
        }
    }
}

impl ImportedHash {
    /// Reads `rabbit_password_hashing_sha256$…` and `…sha512$…`, where `…` is the `password_hash` of a RabbitMQ
    /// definitions file, and `$7$iterations$salt$hash` and `$6$salt$hash` of a Mosquitto password file. None for any
    /// other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let read = if let Some(rest) = text.strip_prefix(RABBIT_SHA256) {
            Self::of_rabbit(Function::RabbitSha256, rest)
        } else if let Some(rest) = text.strip_prefix(RABBIT_SHA512) {
            Self::of_rabbit(Function::RabbitSha512, rest)
        } else if let Some(rest) = text.strip_prefix(MOSQUITTO_PBKDF2) {
            let (iterations, rest) = rest.split_once('$')?;
            Self::of_mosquitto(Function::MosquittoPbkdf2(iterations.parse().ok()?), rest)
        } else {
            Self::of_mosquitto(Function::MosquittoSha512, text.strip_prefix(MOSQUITTO_SHA512)?)
        };
        read.filter(|read| read.hash.len() == read.function.hash_bytes())
    }

    fn of_rabbit(function: Function, text: &str) -> Option<Self> {
        let bytes = from_base64(text)?;
        let (salt, hash) = bytes.split_at_checked(RABBIT_SALT_BYTES)?;
        Some(Self { function, salt: salt.into(), hash: hash.into() })
    }

    fn of_mosquitto(function: Function, text: &str) -> Option<Self> {
        let (salt, hash) = text.split_once('$')?;
        Some(Self { function, salt: from_base64(salt)?, hash: from_base64(hash)? })
    }

    /// Whether `password` is the one that was hashed.
    #[must_use]
    pub fn matches(&self, password: &[u8]) -> bool {
        match self.function {
            Function::RabbitSha256 => self.is_digest(&SHA256, [&self.salt, password]),
            Function::RabbitSha512 => self.is_digest(&SHA512, [&self.salt, password]),
            Function::MosquittoSha512 => self.is_digest(&SHA512, [password, &self.salt]),
            Function::MosquittoPbkdf2(iterations) => {
                let mut hash = [0; 64];
                pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, iterations, &self.salt, password, &mut hash);
                equal(&hash, &self.hash)
            }
        }
    }

    fn is_digest(&self, algorithm: &'static ring::digest::Algorithm, parts: [&[u8]; 2]) -> bool {
        let mut context = Context::new(algorithm);
        parts.iter().for_each(|part| context.update(part));
        equal(context.finish().as_ref(), &self.hash)
    }
}

impl fmt::Display for ImportedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rabbit = || to_base64(&[&*self.salt, &*self.hash].concat());
        let mosquitto = || format!("{}${}", to_base64(&self.salt), to_base64(&self.hash));
        match self.function {
            Function::RabbitSha256 => write!(f, "{RABBIT_SHA256}{}", rabbit()),
            Function::RabbitSha512 => write!(f, "{RABBIT_SHA512}{}", rabbit()),
            Function::MosquittoPbkdf2(iterations) => {
                write!(f, "{MOSQUITTO_PBKDF2}{iterations}${}", mosquitto())
            }
            Function::MosquittoSha512 => write!(f, "{MOSQUITTO_SHA512}{}", mosquitto()),
        }
    }
}

impl fmt::Debug for ImportedHash {
    /// Says only that there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ImportedHash")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hash as the other broker makes it, by the recipe of its manual.
    fn made(function: Function, salt: &[u8], password: &[u8]) -> ImportedHash {
        let digest =
            |algorithm, parts: [&[u8]; 2]| ring::digest::digest(algorithm, &parts.concat()).as_ref().into();
        let hash = match function {
            Function::RabbitSha256 => digest(&SHA256, [salt, password]),
            Function::RabbitSha512 => digest(&SHA512, [salt, password]),
            Function::MosquittoSha512 => digest(&SHA512, [password, salt]),
            Function::MosquittoPbkdf2(iterations) => {
                let mut hash = [0; 64];
                pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, iterations, salt, password, &mut hash);
                hash.into()
            }
        };
        ImportedHash { function, salt: salt.into(), hash }
    }

    #[test]
    fn the_example_of_rabbitmqs_manual_is_its_password() {
        // "Computing a Password Hash" of the manual: salt 908D C60A, password "test12".
        let hash = ImportedHash::parse(
            "rabbit_password_hashing_sha256$kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR",
        );
        let hash = hash.unwrap();
        assert!(hash.matches(b"test12") && !hash.matches(b"test13"));
    }

    #[test]
    fn hashes_of_every_kind_know_their_password_and_survive_their_text() {
        let iterations = NonZeroU32::new(101).unwrap();
        for function in [
            Function::RabbitSha256,
            Function::RabbitSha512,
            Function::MosquittoPbkdf2(iterations),
            Function::MosquittoSha512,
        ] {
            let salt: &[u8] = if matches!(function, Function::RabbitSha256 | Function::RabbitSha512) {
                b"salt"
            } else {
                b"twelve bytes"
            };
            let text = made(function, salt, b"secret").to_string();
            let hash = ImportedHash::parse(&text).unwrap();
            assert!(hash.matches(b"secret") && !hash.matches(b"Secret") && !hash.matches(b""), "{text}");
            assert_eq!(hash.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        for text in [
            "",
            "secret",
            "$7$101$c2FsdA==",
            "$7$0$c2FsdA==$aGFzaA==",
            "$7$x$c2FsdA==$aGFzaA==",
            "$6$c2FsdA==$aGFzaA==",
            "$6$c2FsdA==$!",
            "rabbit_password_hashing_sha256$",
            "rabbit_password_hashing_sha256$AAAA",
            "rabbit_password_hashing_md5$AAAA",
        ] {
            assert_eq!(ImportedHash::parse(text), None, "{text}");
        }
    }
}
