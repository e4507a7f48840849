//! What a server says to a client.

use alloc::vec::Vec;

use mynah_model::Instant;

use super::{ChannelState, Client, Ending, Event, OwnedMethod, State};
use crate::v0_9_1::flow::{Content, Part};
use crate::v0_9_1::framing::{Frame, next_frame};
use crate::v0_9_1::wire::connection::{Close, CloseOk, Open, Start, StartOk, Tune, TuneOk};
use crate::v0_9_1::wire::{
    FRAME_MIN_SIZE, FrameType, LongStr, Method, PROTOCOL_HEADER, Sender, ShortStr, TableBuilder, Value,
    basic, channel, split_id,
};
use crate::v0_9_1::{Error, Exception, Violation};

/// What a client understands beyond the specification, by the names that RabbitMQ gave it.
const CAPABILITIES: [&str; 6] = [
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "authentication_failure_close",
];

impl Client {
    /// Reads from `input`, advancing it past what was consumed; the rest is presented again with what follows.
    pub fn handle_input(&mut self, now: Instant, input: &mut &[u8]) {
        if !input.is_empty() {
            self.beats.note_heard(now);
        }
        while self.state != State::Closed {
            if matches!(self.state, State::AwaitingStart(_)) && input.first() == Some(&PROTOCOL_HEADER[0]) {
                return self.end(Ending::Version);
            }
            match next_frame(input, self.frame_bytes_max) {
                Ok(None) => return,
                Ok(Some(frame)) => {
                    if let Err(error) = self.handle_frame(now, frame) {
                        self.fail(now, error, frame.payload);
                    }
                }
                Err(error) => self.fail(now, error, &[]),
            }
        }
    }

    /// The server broke the protocol: it is told, and nothing more is read.
    fn fail(&mut self, now: Instant, error: Error, payload: &[u8]) {
        let method = split_id(payload).map(|(id, _)| id).unwrap_or_default();
        let text = alloc::string::ToString::to_string(&Exception::of_error(error, method));
        let close = Close {
            reply_code: error.reply_code().number(),
            reply_text: ShortStr::cut(&text),
            class_id: method.class,
            method_id: method.method,
        };
        self.write(now, 0, close);
        self.end(Ending::Error(error));
    }

    fn handle_frame(&mut self, now: Instant, frame: Frame<'_>) -> Result<(), Error> {
        let Frame { frame_type, channel, payload } = frame;
        match (frame_type, channel) {
            (FrameType::Heartbeat, 0) => Ok(()),
            (FrameType::Heartbeat, _) => Err(Violation::HeartbeatChannel.into()),
            (FrameType::Method, 0) => self.handle_connection(now, payload),
            (_, 0) => Err(Violation::ContentWithoutMethod.into()),
            _ => self.handle_channel(now, frame),
        }
    }

    fn handle_connection(&mut self, now: Instant, payload: &[u8]) -> Result<(), Error> {
        let method = Method::from_payload(payload)?;
        match (self.state, method) {
            (_, Method::ConnectionClose(_)) => {
                self.write(now, 0, CloseOk {});
                let ending = match self.state {
                    State::AwaitingCloseOk(_) => Ending::Finished,
                    _ => Ending::Refused(OwnedMethod::new(payload)?),
                };
                self.end(ending);
            }
            (State::AwaitingCloseOk(_), Method::ConnectionCloseOk(_)) => self.end(Ending::Finished),
            (State::AwaitingCloseOk(_), _) => {}
            (State::AwaitingStart(_), Method::ConnectionStart(start)) => self.start(now, &start),
            (State::AwaitingTune(_), Method::ConnectionSecure(secure)) => {
                self.events.push_back(Event::Challenge(secure.challenge.0.into()));
            }
            (State::AwaitingTune(_), Method::ConnectionTune(tune)) => self.tune(now, tune),
            (State::AwaitingOpenOk(_), Method::ConnectionOpenOk(_)) => {
                self.state = State::Open;
                self.events.push_back(Event::Connected);
            }
            (
                State::Open,
                Method::ConnectionBlocked(_)
                | Method::ConnectionUnblocked(_)
                | Method::ConnectionUpdateSecretOk(_),
            ) => {
                let method = OwnedMethod::new(payload)?;
                self.events.push_back(Event::Method { channel: 0, method });
            }
            _ => return Err(Violation::UnexpectedMethod.into()),
        }
        Ok(())
    }

    fn start(&mut self, now: Instant, start: &Start<'_>) {
        let login = &self.options.login;
        let offered = start.mechanisms.0.split(|&byte| byte == b' ');
        if !offered.into_iter().any(|name| name == login.mechanism().as_bytes()) {
            return self.end(Ending::Mechanism);
        }
        let mut understood = TableBuilder::new();
        for name in CAPABILITIES {
            understood.push(name, Value::Bool(true));
        }
        let properties =
            self.options.properties.clone().with("capabilities", Value::Table(understood.as_table()));
        let (mechanism, response) = (alloc::string::String::from(login.mechanism()), login.response());
        let start_ok = StartOk {
            client_properties: properties.as_table(),
            mechanism: ShortStr::cut(&mechanism),
            response: LongStr(&response),
            locale: ShortStr::cut("en_US"),
        };
        self.write(now, 0, start_ok);
        self.state = State::AwaitingTune(now);
    }

    /// Takes the lower of the two ends' limits; 0 of the server is no limit.
    fn tune(&mut self, now: Instant, tune: Tune) {
        let lower = |own: u32, proposed: u32| if proposed == 0 { own } else { own.min(proposed) };
        let frame_max = lower(
            self.options.frame_bytes_max(),
            tune.frame_max.max(FRAME_MIN_SIZE * u32::from(tune.frame_max > 0)),
        );
        let channel_max = lower(self.options.channel_max.into(), tune.channel_max.into()) as u16;
        let heartbeat = self.options.heartbeat.unwrap_or(tune.heartbeat);
        (self.frame_bytes_max, self.channel_max) = (frame_max as usize, channel_max);
        self.write(now, 0, TuneOk { channel_max, frame_max, heartbeat });
        let host = self.options.virtual_host.clone();
        self.write(now, 0, Open { virtual_host: ShortStr::cut(&host) });
        self.beats = crate::v0_9_1::flow::Heartbeats::new(heartbeat, now);
        self.state = State::AwaitingOpenOk(now);
    }

    fn handle_channel(&mut self, now: Instant, frame: Frame<'_>) -> Result<(), Error> {
        let Frame { frame_type, channel: number, payload } = frame;
        if matches!(self.state, State::AwaitingCloseOk(_)) {
            return Ok(());
        }
        let body_bytes_max = self.options.body_bytes_max;
        let channel = self.channels.get_mut(&number).ok_or(Violation::ChannelNotOpen)?;
        if frame_type == FrameType::Method {
            if channel.assembly.is_under_way() {
                return Err(Violation::ContentExpected.into());
            }
            return self.handle_channel_method(now, number, payload);
        }
        match channel.assembly.handle((frame_type, payload), body_bytes_max)? {
            Part::More => {}
            Part::Whole(content) => {
                if channel.state == ChannelState::Open {
                    self.events.push_back(message(number, content));
                }
            }
            Part::TooLarge(..) => return Err(Violation::BodyTooLong.into()),
        }
        Ok(())
    }

    fn handle_channel_method(&mut self, now: Instant, number: u16, payload: &[u8]) -> Result<(), Error> {
        let method = Method::from_payload(payload)?;
        if method.spec().sender == Sender::Client {
            return Err(Violation::Sender.into());
        }
        let Some(channel) = self.channels.get_mut(&number) else { return Ok(()) };
        match (channel.state, method) {
            (_, Method::ChannelClose(_)) => {
                self.channels.remove(&number);
                self.write(now, number, channel::CloseOk {});
                let reason = Some(OwnedMethod::new(payload)?);
                self.events.push_back(Event::ChannelClosed { channel: number, reason });
            }
            (ChannelState::Closing, Method::ChannelCloseOk(_)) => {
                self.channels.remove(&number);
                self.events.push_back(Event::ChannelClosed { channel: number, reason: None });
            }
            (_, Method::BasicDeliver(_) | Method::BasicGetOk(_) | Method::BasicReturn(_)) => {
                channel.assembly.begin(OwnedMethod::new(payload)?, Vec::new());
            }
            (ChannelState::Closing, _) => {}
            (ChannelState::Opening, Method::ChannelOpenOk(_)) => {
                channel.state = ChannelState::Open;
                self.events.push_back(Event::ChannelOpened(number));
            }
            (ChannelState::Open, method) => self.handle_answer(now, number, method, payload)?,
            (ChannelState::Opening, _) => return Err(Violation::UnexpectedMethod.into()),
        }
        Ok(())
    }

    fn handle_answer(
        &mut self,
        now: Instant,
        number: u16,
        method: Method<'_>,
        payload: &[u8],
    ) -> Result<(), Error> {
        match method {
            Method::BasicAck(basic::Ack { delivery_tag, multiple }) => {
                return self.confirm(number, delivery_tag, multiple, true);
            }
            Method::BasicNack(basic::Nack { delivery_tag, multiple, .. }) => {
                return self.confirm(number, delivery_tag, multiple, false);
            }
            Method::ChannelFlow(channel::Flow { active }) => {
                if let Some(channel) = self.channels.get_mut(&number) {
                    channel.is_stopped = !active;
                }
                self.write(now, number, channel::FlowOk { active });
                self.events.push_back(Event::Flow { channel: number, active });
                return Ok(());
            }
            Method::BasicCancel(cancel) if !cancel.no_wait => {
                self.write(now, number, basic::CancelOk { consumer_tag: cancel.consumer_tag });
            }
            Method::ChannelOpenOk(_) | Method::ChannelCloseOk(_) => {
                return Err(Violation::UnexpectedAnswer.into());
            }
            method if method.id().class == Close::ID.class => {
                return Err(Violation::ChannelZero.into());
            }
            _ => {}
        }
        let method = OwnedMethod::new(payload)?;
        self.events.push_back(Event::Method { channel: number, method });
        Ok(())
    }

    fn confirm(&mut self, number: u16, tag: u64, multiple: bool, accepted: bool) -> Result<(), Error> {
        let channel = self.channels.get_mut(&number);
        let publications = channel.and_then(|channel| channel.publications.as_mut());
        let publications = publications.ok_or(Violation::UnexpectedAnswer)?;
        let mut tags = Vec::new();
        let known = publications.settle(tag, multiple, |_, tag| tags.push(tag));
        known.map_err(|_| Violation::UnexpectedAnswer)?;
        self.events.push_back(Event::Confirmed { channel: number, tags, accepted });
        Ok(())
    }
}

fn message(channel: u16, content: Content<OwnedMethod>) -> Event {
    let (properties, body) = (content.properties().into(), content.body().into());
    Event::Message { channel, method: content.method, properties, body }
}
