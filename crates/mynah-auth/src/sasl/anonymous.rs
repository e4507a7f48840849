//! The ANONYMOUS mechanism (RFC 4505): the peer does not say who it is. What it leaves as a trace is not looked at.

use mynah_model::{Instant, Reason};

use super::{Answer, Mechanism, Realm};

/// The name of the mechanism.
pub(crate) const NAME: &str = "ANONYMOUS";

/// The server's side.
pub(super) struct Server(Box<dyn Realm>);

impl Server {
    pub(super) fn new(realm: Box<dyn Realm>) -> Self {
        Self(realm)
    }
}

impl Mechanism for Server {
    fn step(&mut self, now: Instant, _: &[u8]) -> Result<Answer, Reason> {
        let login = self.0.anonymous(now)?;
        Ok(Answer::Proved { login, last_word: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sasl::tests::{Village, begin, proved};

    #[test]
    fn who_does_not_say_is_anybody() {
        let said = |message: &[u8]| begin(NAME, Village::default()).step(Instant::ZERO, message);
        assert_eq!(proved(said(b"")).0, "anybody");
        assert_eq!(proved(said(b"sirhc@example.com")).0, "anybody");
    }
}
