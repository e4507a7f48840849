//! CONNECT and CONNECTED ("Connecting").

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use mynah_model::{Instant, Reason};
use mynah_stack::{Command, Credentials, Open, Opened, Outbound, Step};

use super::{ServerConnection, State};
use crate::flow::HeartBeats;
use crate::wire::{Connect, Connected, Frame, HeartBeat};
use crate::{Error, Version, Violation, wire};

/// What CONNECTED says of the server.
const SERVER: &str = concat!("Mynah/", env!("CARGO_PKG_VERSION"));

impl ServerConnection {
    /// Reads the first frame.
    pub(super) fn step_connect<'b>(&mut self, input: &mut &'b [u8], out: &mut Outbound) -> Step<'b> {
        if !self.framing.skip_ends(input) {
            return Step::Idle;
        }
        let limits = self.config.limits(false);
        // Before CONNECT no version is known, and only CONNECT is read.
        let next = self.framing.next(input, Version::V1_2, &limits);
        if self.framing.command().is_some_and(|command| !is_first(command)) {
            return self.fail(Violation::FirstFrameNotConnect.into(), self.framing.command(), None, out);
        }
        match next {
            Ok(None) => Step::Idle,
            Ok(Some((frame, octets))) => match self.receive_connect(frame) {
                Ok(open) => {
                    self.framing.consume(input, octets);
                    self.state = State::Opening;
                    Step::Command(Command::Open(Box::new(open)))
                }
                Err(error) => self.fail(error, Some(frame.command), None, out),
            },
            Err(error) => self.fail(error, self.framing.command(), None, out),
        }
    }

    fn receive_connect(&mut self, frame: Frame<'_>) -> Result<Open, Error> {
        let (connect, version) = Connect::decode(frame)?;
        self.version = version;
        self.theirs = connect.heart_beat;
        self.session.client_id = connect.client_id.map(|id| id.into_owned().into());
        let credentials = connect.login.map(|login| Credentials {
            user: login.into_owned().into(),
            password: connect.passcode.map(|passcode| passcode.as_bytes().into()),
        });
        // What is confirmed comes by queues, with a credit of its own.
        let tenant = connect.host.map(|host| host.into_owned().into());
        Ok(Open { credentials, tenant, ..Open::new(1) })
    }

    /// Lets the client in, or says why not.
    pub(super) fn handle_opened(
        &mut self,
        now: Instant,
        result: Result<Opened<'_>, Reason>,
        out: &mut Outbound,
    ) {
        let opened = match result {
            Ok(opened) => opened,
            Err(reason) => return self.refuse(reason, "", None, out),
        };
        let millis = self.config.settings().heart_beat_min.as_millis();
        let millis = u32::try_from(millis).unwrap_or(u32::MAX);
        let ours = HeartBeat { sends: millis, wants: millis };
        self.beats = HeartBeats::new(now, ours, self.theirs);
        self.state = State::Open;
        let assigned = opened.assigned_client_id.and_then(|id| core::str::from_utf8(id).ok());
        let session = match assigned {
            Some(id) => Cow::Borrowed(id),
            None => Cow::Owned(format!("mynah-{:x}", self.since.as_micros())),
        };
        let connected = Connected {
            version: self.version,
            session: Some(session),
            server: Some(SERVER.into()),
            heart_beat: ours,
        };
        let mut octets = Vec::new();
        connected.encode(&mut octets);
        out.append(&octets);
    }
}

const fn is_first(command: wire::Command) -> bool {
    matches!(command, wire::Command::Connect | wire::Command::Stomp)
}
