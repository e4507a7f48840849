//! Frames of a connection whose virtual host is open.

use mynah_model::{Instant, Reason};
use mynah_stack::{Command, LeaseSettlement, Outbound, Outcome};

use super::declaring::not_served;
use super::{ServerConnection, State};
use crate::v0_9_1::framing::{Frame, next_frame};
use crate::v0_9_1::wire::connection::{UpdateSecret, UpdateSecretOk};
use crate::v0_9_1::wire::{
    FrameType, Method, Sender, basic, channel, confirm, connection, exchange, queue, split_id, tx,
};
use crate::v0_9_1::{Error, Exception, Malformed, ReplyCode, Violation};

impl ServerConnection {
    /// Handles frames until one asks something of the broker, or nothing more can be done with what has come.
    pub(super) fn step_open<'b>(
        &mut self,
        now: Instant,
        input: &mut &'b [u8],
        out: &mut Outbound,
    ) -> Option<Command<'b>> {
        while self.state == State::Open {
            if let Some(todo) = self.todo.pop_front() {
                return Some(todo.into_command());
            }
            if !self.takes_frames() {
                break;
            }
            match next_frame(input, self.terms.frame_bytes_max) {
                Ok(Some(frame)) => {
                    if let Some(command) = self.handle_frame(now, frame, input, out) {
                        return Some(command);
                    }
                }
                Ok(None) => break,
                Err(error) => self.raise_error(now, error, &[], out),
            }
        }
        if self.state == State::Open {
            self.confirm(out);
        }
        None
    }

    #[inline]
    fn handle_frame<'b>(
        &mut self,
        now: Instant,
        frame: Frame<'b>,
        rest: &[u8],
        out: &mut Outbound,
    ) -> Option<Command<'b>> {
        if frame.channel == 0 {
            return self.handle_connection_frame(now, frame, out);
        }
        if frame.frame_type == FrameType::Heartbeat {
            self.raise_error(now, Violation::HeartbeatChannel.into(), &[], out);
            return None;
        }
        let Some(channel) = self.channels.get_mut(&frame.channel) else {
            if frame.frame_type == FrameType::Method {
                self.handle_unopened(now, frame.channel, frame.payload, out);
            } else {
                self.raise_error(now, Violation::ChannelNotOpen.into(), &[], out);
            }
            return None;
        };
        if channel.is_closing {
            if frame.frame_type == FrameType::Method {
                self.handle_closing_channel(frame.channel, frame.payload, out);
            }
            return None;
        }
        match frame.frame_type {
            FrameType::Method if channel.assembly.is_under_way() => {
                self.raise_error(now, Violation::ContentExpected.into(), frame.payload, out);
                None
            }
            FrameType::Method => self.handle_method(now, frame, rest, out),
            _ => self.handle_content(now, frame, out),
        }
    }

    fn handle_connection_frame<'b>(
        &mut self,
        now: Instant,
        frame: Frame<'b>,
        out: &mut Outbound,
    ) -> Option<Command<'b>> {
        let error: Error = match frame.frame_type {
            FrameType::Heartbeat if frame.payload.is_empty() => return None,
            FrameType::Heartbeat => Malformed::HeartbeatPayload.into(),
            FrameType::Header | FrameType::Body => Violation::ContentWithoutMethod.into(),
            FrameType::Method => match Method::from_payload(frame.payload) {
                Ok(Method::ConnectionClose(_)) => {
                    self.handle_close(out);
                    return None;
                }
                Ok(Method::ConnectionUpdateSecret(update)) => return Some(self.renew(update)),
                Ok(method) if method.id().class != 10 => Violation::ChannelZero.into(),
                Ok(method) if method.spec().sender == Sender::Server => Violation::Sender.into(),
                Ok(_) => Violation::UnexpectedMethod.into(),
                Err(malformed) => malformed.into(),
            },
        };
        self.raise_error(now, error, frame.payload, out);
        None
    }

    /// A new secret is a password that proves the same name.
    fn renew<'b>(&self, update: UpdateSecret<'_>) -> Command<'b> {
        let data = [b"\0", self.user.as_bytes(), b"\0", update.new_secret.0].concat();
        let exchange = mynah_stack::Exchange { method: "PLAIN".into(), data: data.into() };
        Command::Authenticate(exchange.into())
    }

    #[inline]
    fn handle_method<'b>(
        &mut self,
        now: Instant,
        frame: Frame<'b>,
        rest: &[u8],
        out: &mut Outbound,
    ) -> Option<Command<'b>> {
        let Frame { channel, payload, .. } = frame;
        let (id, arguments) = match split_id(payload) {
            Ok(split) => split,
            Err(malformed) => {
                self.raise_error(now, malformed.into(), payload, out);
                return None;
            }
        };
        if id == basic::Publish::ID {
            match basic::Publish::decode(arguments) {
                Ok(publish) => self.begin_publish(now, channel, publish, rest, out),
                Err(malformed) => self.raise_error(now, malformed.into(), payload, out),
            }
            return None;
        }
        match Method::decode(id, arguments) {
            Ok(method) => self.handle_channel_method(now, channel, &method, out),
            Err(malformed) => self.raise_error(now, malformed.into(), payload, out),
        }
        None
    }

    fn handle_channel_method(&mut self, now: Instant, number: u16, method: &Method<'_>, out: &mut Outbound) {
        let id = method.id();
        let violation = match id.class {
            connection::CLASS => Violation::ChannelZero,
            channel::CLASS => return self.handle_channel(now, number, *method, out),
            _ if method.spec().sender == Sender::Server => Violation::Sender,
            class => {
                let result = match class {
                    queue::CLASS => self.handle_queue(number, method, out),
                    exchange::CLASS => self.handle_exchange(number, method),
                    tx::CLASS => self.handle_tx(number, method, out),
                    confirm::CLASS => self.select_confirms(number, method, out),
                    _ => self.handle_basic(now, number, method, out),
                };
                if let Err(exception) = result {
                    self.raise(now, number, exception, out);
                }
                return;
            }
        };
        self.raise(now, 0, Exception::of_error(violation.into(), id), out);
    }

    /// Handles the methods of the class basic, but for basic.publish.
    fn handle_basic(
        &mut self,
        now: Instant,
        number: u16,
        method: &Method<'_>,
        out: &mut Outbound,
    ) -> Result<(), Exception> {
        use LeaseSettlement as L;
        let id = method.id();
        match *method {
            Method::BasicAck(ack) => self.settle(number, id, (ack.delivery_tag, ack.multiple), L::Accepted),
            Method::BasicNack(nack) => {
                let settlement = if nack.requeue { L::RELEASED } else { L::Rejected };
                self.settle(number, id, (nack.delivery_tag, nack.multiple), settlement)
            }
            Method::BasicReject(reject) => {
                let settlement = if reject.requeue { L::FAILED } else { L::Rejected };
                self.settle(number, id, (reject.delivery_tag, false), settlement)
            }
            Method::BasicRecover(basic::Recover { requeue })
            | Method::BasicRecoverAsync(basic::RecoverAsync { requeue }) => {
                self.recover(number, requeue, id, out)
            }
            Method::BasicQos(qos) => self.qos(number, qos, out),
            Method::BasicConsume(consume) => self.consume(now, number, &consume),
            Method::BasicCancel(cancel) => {
                self.cancel(number, &cancel, out);
                Ok(())
            }
            // Its answer to a consumer that was ended.
            Method::BasicCancelOk(_) => Ok(()),
            Method::BasicGet(get) => self.get(number, &get),
            _ => Err(not_served(id)),
        }
    }

    fn select_confirms(
        &mut self,
        number: u16,
        method: &Method<'_>,
        out: &mut Outbound,
    ) -> Result<(), Exception> {
        let Method::ConfirmSelect(confirm::Select { nowait }) = *method else {
            return Err(not_served(method.id()));
        };
        if let Some(channel) = self.channels.get_mut(&number) {
            if channel.tx.is_some() {
                let text = "cannot switch from tx to confirm mode";
                return Err(Exception::new(ReplyCode::PreconditionFailed, method.id(), text));
            }
            channel.confirms.get_or_insert_default();
        }
        if !nowait {
            self.send(number, confirm::SelectOk {}, out);
        }
        Ok(())
    }

    pub(super) fn handle_open_outcome(&mut self, now: Instant, outcome: Outcome<'_>, out: &mut Outbound) {
        match outcome {
            Outcome::Published { receipt, result, .. } => self.handle_published(now, receipt, result, out),
            Outcome::Queue(outcome) => self.handle_queue_outcome(now, outcome, out),
            // What proved who the client is was nothing that has to be renewed.
            Outcome::Authenticated(Ok(_) | Err(Reason::BadAuthenticationMethod)) => {
                self.send(0, UpdateSecretOk {}, out);
            }
            Outcome::Authenticated(Err(reason)) => self.end(now, reason, out),
            Outcome::Challenge(_) => self.end(now, Reason::BadCredentials, out),
            // Nothing of this is asked for by this protocol while open, and the end is handled for all states.
            _ => {}
        }
    }
}
