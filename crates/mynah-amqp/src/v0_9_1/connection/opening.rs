//! From the protocol header to an open virtual host (section 2.2.4).

use alloc::boxed::Box;

use mynah_model::{Instant, Reason};
use mynah_stack::{Command, Exchange, Opened, Outbound};

use super::{Capabilities, ServerConnection, State};
use crate::v0_9_1::flow::Heartbeats;
use crate::v0_9_1::framing::{Opening, next_frame, take_protocol_header};
use crate::v0_9_1::wire::connection::{Close, Open, OpenOk, Secure, SecureOk, Start, StartOk, Tune, TuneOk};
use crate::v0_9_1::wire::{
    FRAME_MIN_SIZE, FrameType, LongStr, Method, MethodId, PROTOCOL_HEADER, Table, TableBuilder, Value,
};
use crate::v0_9_1::{Error, Exception, Malformed, Mechanism, ReplyCode, Violation, mapping};

/// What the server can do beyond the specification, by the names that RabbitMQ gave it.
const CAPABILITIES: [&str; 9] = [
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
];

impl ServerConnection {
    pub(super) fn step_opening<'b>(
        &mut self,
        now: Instant,
        input: &mut &'b [u8],
        out: &mut Outbound,
    ) -> Option<Command<'b>> {
        match self.state {
            State::AwaitingHeader => self.take_header(input, out),
            State::Authenticating => {}
            _ => match next_frame(input, self.terms.frame_bytes_max) {
                Ok(None) => {}
                Ok(Some(frame)) if frame.frame_type == FrameType::Heartbeat => {}
                Ok(Some(frame)) => {
                    let is_method = frame.frame_type == FrameType::Method && frame.channel == 0;
                    let method = match (is_method, frame.channel) {
                        (true, _) => Method::from_payload(frame.payload).map_err(Error::from),
                        (_, 0) => Err(Violation::ContentWithoutMethod.into()),
                        _ => Err(Violation::ChannelNotOpen.into()),
                    };
                    match method {
                        Ok(method) => return self.handle_opening(now, method, out),
                        Err(error) => self.raise_error(now, error, frame.payload, out),
                    }
                }
                Err(error) => self.raise_error(now, error, &[], out),
            },
        }
        None
    }

    fn take_header(&mut self, input: &mut &[u8], out: &mut Outbound) {
        match take_protocol_header(input) {
            Opening::Incomplete => {}
            Opening::Header => {
                self.start(out);
                self.state = State::AwaitingStartOk;
            }
            Opening::Unknown => {
                out.append(&PROTOCOL_HEADER);
                let exception = Exception::of_error(Violation::ProtocolHeader.into(), MethodId::NONE);
                self.failure = Some(exception.into());
                self.state = State::Closing(Reason::ProtocolViolation);
            }
        }
    }

    fn start(&mut self, out: &mut Outbound) {
        let mut capabilities = TableBuilder::new();
        for name in CAPABILITIES {
            capabilities.push(name, Value::Bool(true));
        }
        let properties = TableBuilder::new()
            .with("capabilities", Value::Table(capabilities.as_table()))
            .with("product", Value::LongStr(b"Mynah"))
            .with("version", Value::LongStr(env!("CARGO_PKG_VERSION").as_bytes()));
        let names: alloc::vec::Vec<&str> =
            self.config.settings().mechanisms.iter().map(|mechanism| mechanism.name()).collect();
        let mechanisms = names.join(" ");
        let start = Start {
            version_major: 0,
            version_minor: 9,
            server_properties: properties.as_table(),
            mechanisms: LongStr(mechanisms.as_bytes()),
            locales: LongStr(b"en_US"),
        };
        self.send(0, start, out);
    }

    fn handle_opening<'b>(
        &mut self,
        now: Instant,
        method: Method<'b>,
        out: &mut Outbound,
    ) -> Option<Command<'b>> {
        match (self.state, method) {
            (State::AwaitingStartOk, Method::ConnectionStartOk(start_ok)) => {
                return self.authenticate(now, &start_ok, out);
            }
            (State::AwaitingSecureOk, Method::ConnectionSecureOk(SecureOk { response })) => {
                self.state = State::Authenticating;
                let exchange = Exchange { method: self.user.clone(), data: response.0.into() };
                return Some(Command::Authenticate(exchange.into()));
            }
            (State::AwaitingTuneOk, Method::ConnectionTuneOk(tune_ok)) => self.tune(now, tune_ok, out),
            (State::AwaitingOpen, Method::ConnectionOpen(open)) => return self.open_host(now, open, out),
            (_, Method::ConnectionClose(Close { .. })) => self.handle_close(out),
            (_, method) => {
                self.raise(now, 0, Exception::of_error(Violation::UnexpectedMethod.into(), method.id()), out);
            }
        }
        None
    }

    fn authenticate<'b>(
        &mut self,
        now: Instant,
        start_ok: &StartOk<'_>,
        out: &mut Outbound,
    ) -> Option<Command<'b>> {
        self.terms.capabilities = capabilities(start_ok.client_properties);
        self.keep_properties(start_ok.client_properties);
        let settings = self.config.settings();
        let mechanism = Mechanism::from_name(start_ok.mechanism.as_bytes());
        let Some(mechanism) = mechanism.filter(|mechanism| settings.mechanisms.contains(mechanism)) else {
            let text = alloc::format!("the mechanism '{}' is not offered", start_ok.mechanism);
            self.raise(now, 0, Exception::new(ReplyCode::AccessRefused, StartOk::ID, text), out);
            return None;
        };
        let receive_max = u16::MAX;
        let Some(open) = mapping::login::open(mechanism, start_ok.response.0, receive_max) else {
            let error = Error::from(Malformed::Credentials);
            self.raise(now, 0, Exception::of_error(error, StartOk::ID), out);
            return None;
        };
        self.user = match &open.credentials {
            Some(credentials) => credentials.user.clone(),
            None => mechanism.name().into(),
        };
        if open.exchange.is_none() && !settings.tenants.is_empty() {
            self.login = Some(open.into());
            self.propose(out);
            return None;
        }
        self.state = State::Authenticating;
        Some(Command::Open(open.into()))
    }

    fn propose(&mut self, out: &mut Outbound) {
        let settings = self.config.settings();
        let tune = Tune {
            channel_max: settings.channel_max.get(),
            frame_max: settings.frame_bytes_max,
            heartbeat: settings.heartbeat,
        };
        self.state = State::AwaitingTuneOk;
        self.send(0, tune, out);
    }

    /// Hands on what the mechanism has to say.
    pub(super) fn challenge(&mut self, challenge: &[u8], out: &mut Outbound) {
        self.state = State::AwaitingSecureOk;
        self.send(0, Secure { challenge: LongStr(challenge) }, out);
    }

    /// The broker knows who the client is, or does not.
    pub(super) fn handle_opened(
        &mut self,
        now: Instant,
        result: Result<Opened<'_>, Reason>,
        out: &mut Outbound,
    ) {
        match result {
            Ok(_) if self.virtual_host.is_empty() => self.propose(out),
            Ok(_) => self.opened(now, out),
            Err(Reason::NotAuthorized) if !self.virtual_host.is_empty() => {
                let text = alloc::format!(
                    "access to vhost '{}' refused for user '{}'",
                    self.virtual_host,
                    self.user
                );
                self.raise(now, 0, Exception::new(ReplyCode::NotAllowed, Open::ID, text), out);
            }
            Err(reason) => self.refuse(now, reason, out),
        }
    }

    /// A client that does not say that it understands a close at this time is not told why.
    fn refuse(&mut self, now: Instant, reason: Reason, out: &mut Outbound) {
        let code = crate::v0_9_1::error::reply_code(reason);
        let text = match code {
            ReplyCode::AccessRefused => "login was refused".into(),
            _ => alloc::string::ToString::to_string(&reason),
        };
        let exception = Exception::new(code, StartOk::ID, text);
        if code == ReplyCode::AccessRefused && !self.terms.capabilities.authentication_failure_close {
            self.failure = Some(exception.into());
            self.state = State::Closing(reason);
            return;
        }
        self.raise(now, 0, exception, out);
        if let State::AwaitingCloseOk { reason: why, .. } = &mut self.state {
            *why = reason;
        }
    }

    /// A client may ask for less than was proposed; 0 of it is what was proposed.
    fn tune(&mut self, now: Instant, tune_ok: TuneOk, out: &mut Outbound) {
        let settings = self.config.settings();
        let frame_max = if tune_ok.frame_max == 0 { settings.frame_bytes_max } else { tune_ok.frame_max };
        let channel_max =
            if tune_ok.channel_max == 0 { settings.channel_max.get() } else { tune_ok.channel_max };
        let is_within = (FRAME_MIN_SIZE..=settings.frame_bytes_max).contains(&frame_max)
            && channel_max <= settings.channel_max.get();
        if !is_within {
            return self.raise(now, 0, Exception::of_error(Violation::Tuning.into(), TuneOk::ID), out);
        }
        self.terms.frame_bytes_max = frame_max as usize;
        self.terms.channel_max = channel_max;
        self.beats = Heartbeats::new(tune_ok.heartbeat, now);
        self.state = State::AwaitingOpen;
    }

    fn open_host<'b>(&mut self, now: Instant, open: Open<'_>, out: &mut Outbound) -> Option<Command<'b>> {
        let host = open.virtual_host;
        let settings = self.config.settings();
        let is_named = |names: &[Box<str>]| names.iter().any(|known| known.as_bytes() == host.as_bytes());
        let is_tenant = is_named(&settings.tenants);
        let is_known = is_named(&settings.virtual_hosts) || (is_tenant && self.login.is_some());
        if !is_known {
            let text = alloc::format!("vhost '{host}' not found");
            self.raise(now, 0, Exception::new(ReplyCode::NotAllowed, Open::ID, text), out);
            return None;
        }
        self.virtual_host = alloc::string::String::from_utf8_lossy(host.as_bytes()).into();
        let Some(mut login) = self.login.take() else {
            self.opened(now, out);
            return None;
        };
        login.tenant = is_tenant.then(|| self.virtual_host.clone());
        self.state = State::Authenticating;
        Some(Command::Open(login))
    }

    /// The virtual host is open.
    fn opened(&mut self, now: Instant, out: &mut Outbound) {
        self.state = State::Open;
        self.beats.note_heard(now);
        self.send(0, OpenOk {}, out);
    }
}

/// What a client says that it understands.
fn capabilities(properties: Table<'_>) -> Capabilities {
    let Some(Value::Table(table)) = properties.get("capabilities") else { return Capabilities::default() };
    let has = |name: &str| table.get(name) == Some(Value::Bool(true));
    Capabilities {
        authentication_failure_close: has("authentication_failure_close"),
        connection_blocked: has("connection.blocked"),
        consumer_cancel_notify: has("consumer_cancel_notify"),
    }
}
