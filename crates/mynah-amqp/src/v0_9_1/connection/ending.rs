//! Exceptions and good-byes: a soft error ends a channel, a hard one the connection (section 1.1).

use alloc::string::ToString;

use mynah_model::{Instant, Reason};
use mynah_stack::Outbound;

use super::{ServerConnection, State};
use crate::v0_9_1::error::reply_code;
use crate::v0_9_1::framing::next_frame;
use crate::v0_9_1::wire::{FrameType, MethodId, ShortStr, channel, connection, split_id};
use crate::v0_9_1::{Error, Exception};

impl ServerConnection {
    /// Ends the connection, or the channel if the exception is soft and there is one. What is known of publications is
    /// told before.
    pub(super) fn raise(&mut self, now: Instant, channel: u16, exception: Exception, out: &mut Outbound) {
        self.confirm(out);
        let text = exception.to_string();
        let (reply_code, reply_text) = (exception.code.number(), ShortStr::cut(&text));
        let MethodId { class: class_id, method: method_id } = exception.method;
        if channel == 0 || exception.is_hard() {
            self.send(0, connection::Close { reply_code, reply_text, class_id, method_id }, out);
            self.state = State::AwaitingCloseOk { since: now, reason: Reason::ProtocolViolation };
            self.release_all();
        } else {
            self.send(channel, channel::Close { reply_code, reply_text, class_id, method_id }, out);
            self.begin_channel_close(channel);
        }
        self.failure = Some(exception.into());
    }

    /// Ends the connection because of an error; the payload of the frame that caused it says which method that was.
    #[cold]
    pub(super) fn raise_error(&mut self, now: Instant, error: Error, payload: &[u8], out: &mut Outbound) {
        let method = split_id(payload).map_or(MethodId::NONE, |(id, _)| id);
        self.raise(now, 0, Exception::of_error(error, method), out);
    }

    /// The broker ends the connection.
    pub(super) fn end(&mut self, now: Instant, reason: Reason, out: &mut Outbound) {
        if self.state == State::AwaitingHeader {
            self.state = State::Closing(reason);
            return;
        }
        let code = reply_code(reason);
        self.raise(now, 0, Exception::new(code, MethodId::NONE, reason.to_string()), out);
        if let State::AwaitingCloseOk { reason: why, .. } = &mut self.state {
            *why = reason;
        }
        // Close-ok may come from somebody who does not read any more.
        if matches!(reason, Reason::SlowConsumer | Reason::ShuttingDown) {
            self.state = State::Closing(reason);
        }
    }

    /// The client says good-bye.
    pub(super) fn handle_close(&mut self, out: &mut Outbound) {
        self.confirm(out);
        self.send(0, connection::CloseOk {}, out);
        self.release_all();
        self.state = State::Closing(Reason::Disconnected);
    }

    /// Passes over what comes after the server's close, until it is answered.
    pub(super) fn step_closing(&mut self, input: &mut &[u8], out: &mut Outbound) {
        let State::AwaitingCloseOk { reason, .. } = self.state else { return };
        loop {
            let frame = match next_frame(input, self.terms.frame_bytes_max) {
                Ok(Some(frame)) => frame,
                Ok(None) => return,
                Err(_) => {
                    // What follows cannot be told apart any more.
                    *input = &input[input.len()..];
                    self.state = State::Closing(reason);
                    return;
                }
            };
            if frame.frame_type != FrameType::Method || frame.channel != 0 {
                continue;
            }
            match split_id(frame.payload) {
                Ok((connection::CloseOk::ID, _)) => {
                    self.state = State::Closing(reason);
                    return;
                }
                Ok((connection::Close::ID, _)) => self.send(0, connection::CloseOk {}, out),
                _ => {}
            }
        }
    }

    /// Lets go of everything that channels hold.
    fn release_all(&mut self) {
        self.channels.clear();
        self.consumers.clear();
        self.job = None;
        self.todo.clear();
        self.unconfirmed.clear();
        self.contents_bytes = 0;
    }
}
