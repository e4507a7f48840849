//! The exchange of enhanced authentication (section 4.12): one method for the whole connection, and turns.

use alloc::boxed::Box;

use crate::wire::{Auth, ReasonCode};
use crate::{Error, Violation};

/// How far an exchange has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The method judges what the client said.
    Method,
    /// The client has been challenged.
    Client,
    /// Nobody's: the exchange is over.
    Over,
}

/// The method of a connection and the exchange that it is in.
#[derive(Debug)]
pub(crate) struct Exchanging {
    method: Box<str>,
    pub(crate) turn: Turn,
}

impl Exchanging {
    /// The exchange that a CONNECT with this method begins.
    pub(crate) fn new(method: &str) -> Self {
        Self { method: method.into(), turn: Turn::Method }
    }

    pub(crate) fn method(&self) -> &str {
        &self.method
    }

    /// Takes a step of the client: an answer if it was challenged, the beginning of another exchange if none is under way.
    ///
    /// # Errors
    /// It is not its turn, or it names another method ([MQTT-4.12.0-5], [MQTT-4.12.1-1]).
    pub(crate) fn hear(&mut self, auth: &Auth<'_>) -> Result<(), Error> {
        let awaited = match self.turn {
            Turn::Client => Some(ReasonCode::ContinueAuthentication),
            Turn::Over => Some(ReasonCode::ReAuthenticate),
            Turn::Method => None,
        };
        let method = auth.properties.authentication_method;
        if awaited != Some(auth.reason_code) || method != Some(&*self.method) {
            return Err(Violation::AuthenticationStep.into());
        }
        self.turn = Turn::Method;
        Ok(())
    }
}
