//! The SCRAM family (RFC 5802, RFC 7677), the server's side: the peer shows that it knows the password, and hears that the
//! server knows it too, without either saying it.

use mynah_model::{Instant, Reason};

use super::{Answer, Mechanism, Realm};
use crate::credential::{ScramHash, ScramVerifier, from_base64, to_base64};

/// The kinds of channel binding that may be had, best first.
pub(crate) const BINDINGS: [&str; 2] = ["tls-exporter", "tls-server-end-point"];
/// Bytes of a message beyond which it is not looked at.
const MESSAGE_BYTES_MAX: usize = 4_096;

/// An exchange.
pub(super) struct Server {
    hash: ScramHash,
    /// The mechanism is one of those with channel binding.
    binds: bool,
    realm: Box<dyn Realm>,
    nonce: String,
    challenged: Option<Box<Challenged>>,
}

/// What was said until the peer was challenged.
struct Challenged {
    user: String,
    verifier: ScramVerifier,
    /// What the peer has to repeat, in base64: the header of its first message, and the channel binding.
    binding: String,
    nonce: String,
    /// `client-first-message-bare "," server-first-message ","`
    said: String,
}

impl Server {
    pub(super) fn new(hash: ScramHash, binds: bool, realm: Box<dyn Realm>, nonce: &[u8]) -> Self {
        Self { hash, binds, realm, nonce: to_base64(nonce), challenged: None }
    }

    /// What the peer has to repeat of a header, if the header is one that fits the mechanism.
    fn binding(&self, header: &Header<'_>) -> Result<String, Reason> {
        let data = match header.flag {
            Flag::Bound(kind) if self.binds => {
                self.realm.channel_binding(kind).ok_or(Reason::BadCredentials)?
            }
            Flag::None if !self.binds => &[],
            // The peer could bind, and believes that the server cannot: somebody between them has said so.
            Flag::Unoffered if !self.binds && self.can_bind() => return Err(Reason::BadCredentials),
            Flag::Unoffered if !self.binds => &[],
            Flag::Bound(_) | Flag::None | Flag::Unoffered => return Err(Reason::BadCredentials),
        };
        Ok(to_base64(&[header.text.as_bytes(), data].concat()))
    }

    fn can_bind(&self) -> bool {
        BINDINGS.iter().any(|kind| self.realm.channel_binding(kind).is_some())
    }

    fn challenge(&mut self, now: Instant, message: &str) -> Result<Answer, Reason> {
        let first = ClientFirst::decode(message).ok_or(Reason::BadCredentials)?;
        let binding = self.binding(&first.header)?;
        if !first.header.authzid.is_empty() && first.header.authzid != first.user {
            return Err(Reason::NotAuthorized);
        }
        let verifier = self.realm.verifier(now, self.hash, &first.user)?;
        let nonce = format!("{}{}", first.nonce, self.nonce);
        let (salt, iterations) = (to_base64(&verifier.salt), verifier.iterations);
        let server_first = format!("r={nonce},s={salt},i={iterations}");
        let said = format!("{},{server_first},", first.bare);
        self.challenged = Some(Box::new(Challenged { user: first.user, verifier, binding, nonce, said }));
        Ok(Answer::Challenge(server_first.into_bytes().into()))
    }

    fn judge(&self, now: Instant, challenged: &Challenged, message: &str) -> Result<Answer, Reason> {
        let Challenged { user, verifier, binding, nonce, said } = challenged;
        // A message that is not one, or not an answer to the challenge, is a failed guess like any other.
        let read = ClientFinal::decode(message);
        let repeats = |read: &ClientFinal<'_>| read.binding == binding && read.nonce == nonce;
        let auth_message =
            read.as_ref().map(|read| format!("{said}{}", read.without_proof)).unwrap_or_default();
        let proves = |read: &ClientFinal<'_>| verifier.is_proved(&read.proof, auth_message.as_bytes());
        let is_proved = read.as_ref().is_some_and(|read| repeats(read) && proves(read));
        let login = self.realm.challenged(now, user, verifier, is_proved)?;
        let signature = to_base64(verifier.server_signature(auth_message.as_bytes()).as_ref());
        Ok(Answer::Proved { login, last_word: Some(format!("v={signature}").into_bytes().into()) })
    }
}

impl Mechanism for Server {
    fn step(&mut self, now: Instant, message: &[u8]) -> Result<Answer, Reason> {
        let text = str::from_utf8(message).ok().filter(|text| text.len() <= MESSAGE_BYTES_MAX);
        match self.challenged.take() {
            None => self.challenge(now, text.ok_or(Reason::BadCredentials)?),
            Some(challenged) => self.judge(now, &challenged, text.unwrap_or_default()),
        }
    }
}

/// `gs2-header` (RFC 5801, section 4).
struct Header<'m> {
    text: &'m str,
    flag: Flag<'m>,
    authzid: String,
}

/// Whether the peer binds the exchange to the TLS below it.
#[derive(Clone, Copy)]
enum Flag<'m> {
    /// It cannot.
    None,
    /// It could, if the server could.
    Unoffered,
    /// It does, by this kind.
    Bound(&'m str),
}

/// `client-first-message`
struct ClientFirst<'m> {
    header: Header<'m>,
    bare: &'m str,
    user: String,
    nonce: &'m str,
}

impl<'m> ClientFirst<'m> {
    fn decode(message: &'m str) -> Option<Self> {
        let (flag, rest) = message.split_once(',')?;
        let (authzid, bare) = rest.split_once(',')?;
        let flag = match flag {
            "n" => Flag::None,
            "y" => Flag::Unoffered,
            bound => Flag::Bound(bound.strip_prefix("p=")?),
        };
        let authzid = if authzid.is_empty() { String::new() } else { saslname(authzid.strip_prefix("a=")?)? };
        let text = &message[..message.len() - bare.len()];
        let mut attributes = bare.split(',');
        // An extension that has to be known, m=, would stand first.
        let user = saslname(attributes.next()?.strip_prefix("n=")?)?;
        let nonce = attributes.next()?.strip_prefix("r=")?;
        let is_nonce = !nonce.is_empty() && nonce.bytes().all(|byte| byte.is_ascii_graphic());
        let header = Header { text, flag, authzid };
        Some(Self { header, bare, user, nonce }).filter(|first| is_nonce && !first.user.is_empty())
    }
}

/// `client-final-message`
struct ClientFinal<'m> {
    without_proof: &'m str,
    binding: &'m str,
    nonce: &'m str,
    proof: Box<[u8]>,
}

impl<'m> ClientFinal<'m> {
    fn decode(message: &'m str) -> Option<Self> {
        let (without_proof, proof) = message.rsplit_once(",p=")?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next()?.strip_prefix("c=")?;
        let nonce = attributes.next()?.strip_prefix("r=")?;
        Some(Self { without_proof, binding, nonce, proof: from_base64(proof)? })
    }
}

/// Reads a name in which `,` and `=` are escaped.
pub(super) fn saslname(text: &str) -> Option<String> {
    let mut pieces = text.split('=');
    let mut name = pieces.next()?.to_owned();
    for piece in pieces {
        let (escaped, rest) = match (piece.strip_prefix("2C"), piece.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            (None, None) => return None,
        };
        name.push(escaped);
        name.push_str(rest);
    }
    Some(name)
}

/// Writes a name so that [`saslname`] reads it.
pub(super) fn to_saslname(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

#[cfg(test)]
#[path = "scram_tests.rs"]
mod tests;
