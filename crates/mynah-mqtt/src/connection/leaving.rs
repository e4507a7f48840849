//! The end of a connection: what is said, and what the broker is told (sections 3.14 and 4.13 of MQTT 5.0).

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Display;

use mynah_model::Reason;
use mynah_stack::{Close, Outbound, Step};

use super::answers::Culprit;
use super::{ServerConnection, State};
use crate::Error;
use crate::error::reason_code;
use crate::wire::{DisconnectV5, PacketType, ReasonCode};

impl ServerConnection {
    /// Closes without a good-bye of the client: the will is wanted ([MQTT-3.1.2-8]).
    pub(super) fn close<'b>(&mut self, reason: Reason) -> Step<'b> {
        self.close_with(reason, true)
    }

    pub(super) fn close_with<'b>(&mut self, reason: Reason, publish_will: bool) -> Step<'b> {
        self.state = State::Closing { reason, publish_will };
        Step::Close(self.closing(reason, publish_will))
    }

    /// The end as it was decided.
    pub(super) fn closing(&self, reason: Reason, publish_will: bool) -> Close {
        let expiry = self.beside.as_ref().and_then(|beside| beside.expiry);
        Close { expiry, ..Close::new(reason, publish_will) }
    }

    pub(super) fn fail<'b>(&mut self, error: Error) -> Step<'b> {
        self.failure = Some(error);
        self.close(error.reason())
    }

    /// Ends an open connection because of an error in what the client sent.
    #[cold]
    pub(super) fn fail_open<'b>(
        &mut self,
        error: Error,
        culprit: Culprit<'_>,
        out: &mut Outbound,
    ) -> Step<'b> {
        if self.version.has_properties()
            && let Some(code) = self.config.settings().answers.disconnect_code(error, culprit)
        {
            self.say_disconnect(code, error, out);
        }
        self.fail(error)
    }

    /// Tells the client of an open connection why the broker ends it, where the version has a packet for that.
    pub(super) fn take_leave(&self, reason: Reason, out: &mut Outbound) {
        if self.version.has_properties() && self.state == State::Open {
            self.say_disconnect(reason_code(reason, PacketType::Disconnect), reason, out);
        }
    }

    fn say_disconnect(&self, code: ReasonCode, why: impl Display, out: &mut Outbound) {
        let why = self.explanation(why);
        let mut disconnect = DisconnectV5::new(code);
        disconnect.properties.reason_string = why.as_deref();
        if code == ReasonCode::ServerShuttingDown
            && let Some(other) = &self.config.settings().server_reference
        {
            disconnect.reason_code = ReasonCode::UseAnotherServer;
            disconnect.properties.server_reference = Some(other);
        }
        // What is larger than the client takes is not sent ([MQTT-3.1.2-24]).
        self.write(out, |size_max, packet| disconnect.encode(size_max, packet));
    }

    /// The Reason String for a failure, if the client and the operator want one.
    pub(super) fn explanation(&self, why: impl Display) -> Option<String> {
        let wanted = self.terms.problem_information && self.config.settings().reason_strings;
        wanted.then(|| why.to_string())
    }

    /// Writes a packet that fits what the client takes. False, and nothing is written, if it does not.
    pub(super) fn write(&self, out: &mut Outbound, encode: impl FnOnce(usize, &mut Vec<u8>) -> bool) -> bool {
        let mut packet = Vec::new();
        let fits = encode(self.terms.packet_bytes_max as usize, &mut packet);
        if fits {
            out.append(&packet);
        }
        fits
    }
}
