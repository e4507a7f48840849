//! What a program asks of a client.

use mynah_model::Instant;

use super::{Channel, ChannelState, Client, Misuse, State};
use crate::v0_9_1::ReplyCode;
use crate::v0_9_1::wire::frame::encode_body;
use crate::v0_9_1::wire::{
    BasicProperties, ContentHeader, FRAME_OVERHEAD, LongStr, Method, Sender, ShortStr, basic, channel,
    connection,
};

impl Client {
    /// Opens a channel; [`super::Event::ChannelOpened`] follows.
    ///
    /// # Errors
    /// The connection is not open, or all numbers are in use.
    pub fn open_channel(&mut self, now: Instant) -> Result<u16, Misuse> {
        self.check_open()?;
        let is_free = |number: &u16| !self.channels.contains_key(number);
        let number = (1..=self.channel_max).find(is_free).ok_or(Misuse::NoChannelLeft)?;
        self.channels.insert(number, Channel::default());
        self.write(now, number, channel::Open {});
        Ok(number)
    }

    /// Closes a channel; [`super::Event::ChannelClosed`] follows.
    ///
    /// # Errors
    /// It is not open.
    pub fn close_channel(&mut self, now: Instant, number: u16) -> Result<(), Misuse> {
        self.channel(number)?.state = ChannelState::Closing;
        let reply_code = ReplyCode::ReplySuccess;
        let reply_text = ShortStr::cut(reply_code.name());
        let close = channel::Close { reply_code: reply_code.number(), reply_text, class_id: 0, method_id: 0 };
        self.write(now, number, close);
        Ok(())
    }

    /// Says good-bye; [`super::Event::Closed`] follows.
    pub fn close(&mut self, now: Instant) {
        if matches!(self.state, State::Closed | State::AwaitingStart(_) | State::AwaitingCloseOk(_)) {
            return;
        }
        let reply_code = ReplyCode::ReplySuccess;
        let reply_text = ShortStr::cut(reply_code.name());
        let close =
            connection::Close { reply_code: reply_code.number(), reply_text, class_id: 0, method_id: 0 };
        self.write(now, 0, close);
        self.state = State::AwaitingCloseOk(now);
    }

    /// Answers [`super::Event::Challenge`].
    ///
    /// # Errors
    /// The connection is not being opened.
    pub fn respond(&mut self, now: Instant, response: &[u8]) -> Result<(), Misuse> {
        if !matches!(self.state, State::AwaitingTune(_)) {
            return Err(Misuse::NotAsked);
        }
        self.write(now, 0, connection::SecureOk { response: LongStr(response) });
        Ok(())
    }

    /// Sends a method on a channel; its answer is an [`super::Event::Method`]. Publications, and the opening and closing of
    /// channels, have functions of their own.
    ///
    /// # Errors
    /// The channel is not open, or the method is not one that a client sends there.
    pub fn send<'m>(
        &mut self,
        now: Instant,
        number: u16,
        method: impl Into<Method<'m>>,
    ) -> Result<(), Misuse> {
        let method = method.into();
        if method.spec().sender == Sender::Server {
            return Err(Misuse::Sender);
        }
        let frame_bytes_max = self.frame_bytes_max;
        match method {
            Method::BasicPublish(_)
            | Method::ChannelOpen(_)
            | Method::ChannelClose(_)
            | Method::ChannelCloseOk(_) => {
                return Err(Misuse::WrongChannel);
            }
            Method::ConnectionUpdateSecret(_) if number == 0 => self.check_open()?,
            _ if method.id().class == 10 => return Err(Misuse::WrongChannel),
            Method::ConfirmSelect(_) => {
                self.channel(number)?.publications.get_or_insert_default();
            }
            _ => drop(self.channel(number)?),
        }
        self.scratch.clear();
        method.encode(number, &mut self.scratch);
        if self.scratch.len() > frame_bytes_max {
            return Err(Misuse::MethodTooLarge);
        }
        self.flush(now);
        Ok(())
    }

    /// Publishes a message. Where publications are confirmed, returns its number: [`super::Event::Confirmed`] follows.
    ///
    /// # Errors
    /// The channel is not open, the server does not want contents, or the properties do not fit into a frame.
    pub fn publish(
        &mut self,
        now: Instant,
        number: u16,
        publish: basic::Publish<'_>,
        properties: BasicProperties<'_>,
        body: &[u8],
    ) -> Result<Option<u64>, Misuse> {
        let frame_bytes_max = self.frame_bytes_max;
        let channel = self.channel(number)?;
        if channel.is_stopped {
            return Err(Misuse::Stopped);
        }
        if 12 + properties.as_bytes().len() + FRAME_OVERHEAD > frame_bytes_max {
            return Err(Misuse::PropertiesTooLarge);
        }
        let tag = channel.publications.as_mut().map(|publications| {
            let next = publications.last_tag() + 1;
            publications.push(next)
        });
        self.scratch.clear();
        publish.encode(number, &mut self.scratch);
        ContentHeader { body_size: body.len() as u64, properties }.encode(number, &mut self.scratch);
        encode_body(number, body, frame_bytes_max, &mut self.scratch);
        self.flush(now);
        Ok(tag)
    }

    fn check_open(&self) -> Result<(), Misuse> {
        if self.state == State::Open { Ok(()) } else { Err(Misuse::NotOpen) }
    }

    fn channel(&mut self, number: u16) -> Result<&mut Channel, Misuse> {
        self.check_open()?;
        let channel = self.channels.get_mut(&number);
        channel.filter(|channel| channel.state == ChannelState::Open).ok_or(Misuse::ChannelNotOpen)
    }
}
