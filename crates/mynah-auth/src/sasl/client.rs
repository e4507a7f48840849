//! The client's side of SASL: what bridges and tests say to servers.

use std::fmt;
use std::num::NonZeroU32;

use super::scram::to_saslname;
use crate::credential::scram::ITERATIONS_MAX;
use crate::credential::{ScramHash, equal, from_base64, to_base64};
use crate::users::name::prepared;

/// One exchange by which this end proves who it is.
pub trait Client: Send {
    /// The name of the mechanism.
    fn name(&self) -> &'static str;

    /// The first message.
    fn first(&mut self) -> Vec<u8>;

    /// The answer to a challenge.
    ///
    /// # Errors
    /// The server says what the mechanism does not have, or what would give the password away.
    fn step(&mut self, challenge: &[u8]) -> Result<Vec<u8>, ClientError>;

    /// Takes in what the server says last, which is nothing in most mechanisms.
    ///
    /// # Errors
    /// The server has not shown that it knows the password, so it may be anybody.
    fn finish(&mut self, last_word: &[u8]) -> Result<(), ClientError>;
}

/// Why an exchange has failed at the client's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// The server says what the mechanism does not have.
    Unexpected,
    /// The server has not shown that it knows the password.
    ServerUnproved,
    /// The name or the password has what no protocol may carry.
    Unpreparable,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unexpected => "the server says what this mechanism of SASL does not have",
            Self::ServerUnproved => "the server has not shown that it knows the password",
            Self::Unpreparable => "the name or the password has a character that SASL may not carry",
        })
    }
}

impl std::error::Error for ClientError {}

/// A mechanism of one message: PLAIN or EXTERNAL.
pub struct OneMessage {
    name: &'static str,
    message: Vec<u8>,
}

impl OneMessage {
    /// PLAIN (RFC 4616): name and password as they are, so only for those whom nobody else hears.
    #[must_use]
    pub fn plain(user: &str, password: &str) -> Self {
        Self { name: super::plain::NAME, message: format!("\0{user}\0{password}").into_bytes() }
    }

    /// EXTERNAL (RFC 4422, appendix A): this end has shown its certificate.
    #[must_use]
    pub fn external() -> Self {
        Self { name: super::external::NAME, message: Vec::new() }
    }
}

impl Client for OneMessage {
    fn name(&self) -> &'static str {
        self.name
    }

    fn first(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.message)
    }

    fn step(&mut self, _: &[u8]) -> Result<Vec<u8>, ClientError> {
        Err(ClientError::Unexpected)
    }

    fn finish(&mut self, last_word: &[u8]) -> Result<(), ClientError> {
        if last_word.is_empty() { Ok(()) } else { Err(ClientError::Unexpected) }
    }
}

/// SCRAM (RFC 5802), with channel binding if there is something to bind to.
pub struct Scram {
    hash: ScramHash,
    password: String,
    nonce: String,
    header: String,
    binding: Option<Vec<u8>>,
    /// `client-first-message-bare`
    bare: String,
    /// The `ServerSignature` that only a server has which knows the password.
    expected: Option<Vec<u8>>,
}

impl Scram {
    /// An exchange. `nonce` is different each time and cannot be guessed; `binding` is a kind of channel binding, such as
    /// `tls-exporter`, with its data.
    ///
    /// # Errors
    /// The name or the password has what no protocol may carry.
    pub fn new(
        hash: ScramHash,
        user: &str,
        password: &str,
        nonce: &[u8],
        binding: Option<(&str, &[u8])>,
    ) -> Result<Self, ClientError> {
        let user = to_saslname(&prepared(user).ok_or(ClientError::Unpreparable)?);
        let password = prepared(password).ok_or(ClientError::Unpreparable)?.into_owned();
        let nonce = to_base64(nonce);
        let bare = format!("n={user},r={nonce}");
        let header = binding.map_or_else(|| "n,,".to_owned(), |(kind, _)| format!("p={kind},,"));
        let binding = binding.map(|(_, data)| data.to_vec());
        Ok(Self { hash, password, nonce, header, binding, bare, expected: None })
    }
}

impl Client for Scram {
    fn name(&self) -> &'static str {
        if self.binding.is_some() { self.hash.plus_name() } else { self.hash.name() }
    }

    fn first(&mut self) -> Vec<u8> {
        format!("{}{}", self.header, self.bare).into_bytes()
    }

    fn step(&mut self, challenge: &[u8]) -> Result<Vec<u8>, ClientError> {
        let server_first = str::from_utf8(challenge).map_err(|_| ClientError::Unexpected)?;
        let mut attributes = server_first.split(',');
        let mut next = |key| attributes.next()?.strip_prefix(key);
        let (Some(nonce), Some(salt), Some(iterations)) =
            (next("r="), next("s=").and_then(from_base64), next("i="))
        else {
            return Err(ClientError::Unexpected);
        };
        let iterations: NonZeroU32 = iterations.parse().map_err(|_| ClientError::Unexpected)?;
        let is_ours = nonce.len() > self.nonce.len() && nonce.starts_with(&self.nonce);
        if !is_ours || iterations.get() > ITERATIONS_MAX || self.expected.is_some() {
            return Err(ClientError::Unexpected);
        }
        let binding = [self.header.as_bytes(), self.binding.as_deref().unwrap_or_default()].concat();
        let without_proof = format!("c={},r={nonce}", to_base64(&binding));
        let auth_message = format!("{},{server_first},{without_proof}", self.bare);
        let (hash, auth) = (self.hash, auth_message.as_bytes());
        let (salted, len) = hash.salted_password(self.password.as_bytes(), &salt, iterations);
        let client_key = hash.hmac(&salted[..len], b"Client Key");
        let signature = hash.hmac(hash.h(client_key.as_ref()).as_ref(), auth);
        let proof: Vec<u8> = client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        let server_key = hash.hmac(&salted[..len], b"Server Key");
        self.expected = Some(hash.hmac(server_key.as_ref(), auth).as_ref().to_vec());
        Ok(format!("{without_proof},p={}", to_base64(&proof)).into_bytes())
    }

    fn finish(&mut self, last_word: &[u8]) -> Result<(), ClientError> {
        let signature = str::from_utf8(last_word).ok().and_then(|text| from_base64(text.strip_prefix("v=")?));
        match (signature, &self.expected) {
            (Some(signature), Some(expected)) if equal(&signature, expected) => Ok(()),
            _ => Err(ClientError::ServerUnproved),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mechanisms_of_one_message_have_no_more_to_say() {
        let mut plain = OneMessage::plain("tim", "tanstaaftanstaaf");
        assert_eq!((plain.name(), plain.first()), ("PLAIN", b"\0tim\0tanstaaftanstaaf".to_vec()));
        assert_eq!(plain.step(b"more"), Err(ClientError::Unexpected));
        assert_eq!(plain.finish(b""), Ok(()));
        let mut external = OneMessage::external();
        assert_eq!((external.name(), external.first()), ("EXTERNAL", Vec::new()));
        assert_eq!(external.finish(b"x"), Err(ClientError::Unexpected));
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_found_out() {
        let scram = || Scram::new(ScramHash::Sha256, "user", "pencil", b"nonce", None).unwrap();
        for challenge in ["", "r=x,s=c2FsdA==,i=1", "r=bm9uY2U=,s=c2FsdA==,i=1", "r=bm9uY2U=x,s=c2FsdA==,i=0"]
        {
            assert_eq!(scram().step(challenge.as_bytes()), Err(ClientError::Unexpected), "{challenge}");
        }
        let mut client = scram();
        assert_eq!(client.finish(b"v=AAAA"), Err(ClientError::ServerUnproved));
        client.step(b"r=bm9uY2U=x,s=c2FsdA==,i=1").unwrap();
        assert_eq!(client.finish(b"v=AAAA"), Err(ClientError::ServerUnproved));
        assert_eq!(client.finish(b""), Err(ClientError::ServerUnproved));
        assert_eq!(
            client.step(b"r=bm9uY2U=x,s=c2FsdA==,i=1"),
            Err(ClientError::Unexpected),
            "a second challenge"
        );
    }
}
