//! The end of a connection: ERROR, and what DISCONNECT is answered with.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use mynah_model::{Instant, Reason};
use mynah_stack::{Close, Outbound, Step};

use super::{ServerConnection, State};
use crate::error::reason_message;
use crate::wire::{Command, ErrorFrame, Receipt};
use crate::{Error, Refused, Version};

impl ServerConnection {
    /// Ends the connection because of what the client has sent.
    #[cold]
    pub(super) fn fail<'b>(
        &mut self,
        error: Error,
        command: Option<Command>,
        receipt: Option<&str>,
        out: &mut Outbound,
    ) -> Step<'b> {
        self.failure = Some(error);
        let message = error.to_string();
        let versions = (error == Error::Refused(Refused::Version)).then(supported);
        let body = match (&versions, command) {
            (Some(versions), _) => format!("Supported protocol versions are {}", versions.replace(',', " ")),
            (None, Some(command)) => format!("{command}: {error}"),
            (None, None) => message.clone(),
        };
        let frame = ErrorFrame {
            message: message.into(),
            receipt_id: receipt.map(Cow::Borrowed),
            command,
            header: error.header().map(Cow::Borrowed),
            versions: versions.map(Cow::Owned),
            body: body.as_bytes().into(),
        };
        self.say_error(&frame, out);
        self.state = State::Closing(error.reason());
        Step::Close(Close::new(error.reason(), false))
    }

    /// Ends the connection for what the broker has decided; `detail` are its words for it, if it has any.
    #[cold]
    pub(super) fn refuse(&mut self, reason: Reason, detail: &str, receipt: Option<&str>, out: &mut Outbound) {
        if matches!(self.state, State::Closing(_)) {
            return;
        }
        let message = reason_message(reason);
        let frame = ErrorFrame {
            message: message.into(),
            receipt_id: receipt.map(Cow::Borrowed),
            body: if detail.is_empty() { message.as_bytes().into() } else { detail.as_bytes().into() },
            ..ErrorFrame::default()
        };
        self.say_error(&frame, out);
        self.state = State::Closing(reason);
    }

    fn say_error(&self, frame: &ErrorFrame<'_>, out: &mut Outbound) {
        let mut octets = Vec::new();
        frame.encode(self.version, &mut octets);
        out.append(&octets);
    }

    /// Answers a frame that asked for it.
    pub(super) fn say_receipt(&self, receipt: Option<&str>, out: &mut Outbound) {
        let Some(receipt) = receipt else { return };
        let mut octets = Vec::new();
        Receipt { receipt_id: receipt.into() }.encode(self.version, &mut octets);
        out.append(&octets);
    }

    /// The client takes leave. If it wants to hear that all has arrived, it does when all is answered.
    pub(super) fn leave<'b>(&mut self, now: Instant, receipt: Option<&str>) -> Step<'b> {
        let Some(receipt) = receipt else {
            self.state = State::Closing(Reason::Disconnected);
            return Step::Close(Close::new(Reason::Disconnected, false));
        };
        self.session.farewell = Some(receipt.into());
        self.since = now;
        self.state = State::Leaving;
        Step::Idle
    }

    pub(super) fn step_leaving<'b>(&mut self, input: &mut &'b [u8], out: &mut Outbound) -> Step<'b> {
        // Nothing may follow DISCONNECT.
        *input = &[];
        if let Some(todo) = self.session.todo.pop_front() {
            return Step::Command(todo.into_command());
        }
        if self.session.job.is_some() || self.session.answers.under_way() > 0 {
            return Step::Idle;
        }
        let receipt = self.session.farewell.take();
        self.say_receipt(receipt.as_deref(), out);
        self.state = State::Closing(Reason::Disconnected);
        Step::Close(Close::new(Reason::Disconnected, false))
    }
}

/// The versions that are served.
fn supported() -> String {
    Version::ALL.map(Version::text).join(",")
}
