//! While a session is open: frames become commands.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use mynah_model::{Instant, QueueSettings};
use mynah_stack::{Command, Destination, Outbound, Publish, Step};

use super::ServerConnection;
use super::prepared::{self, Todo};
use super::subscribing::{multicast, topics};
use crate::flow::{Held, HeldPublish};
use crate::mapping::{self, Target, Temporary, Use};
use crate::wire::{Ack, Bracket, Frame, Send, Subscribe, Unsubscribe};
use crate::{Error, Violation, wire};

/// What a frame came to.
pub(super) enum Received<'b> {
    Command(Command<'b>),
    Answered,
    /// Something has to be there first: the frame is read again then.
    Again,
    /// The client leaves.
    GoodBye,
}

impl ServerConnection {
    /// Reads frames until one is a matter of the core, or the input ends.
    pub(super) fn step_open<'b>(
        &mut self,
        now: Instant,
        input: &mut &'b [u8],
        out: &mut Outbound,
    ) -> Step<'b> {
        let limits = self.config.limits(true);
        loop {
            if let Some(todo) = self.session.todo.pop_front() {
                return Step::Command(todo.into_command());
            }
            if !self.takes_frames() || !self.framing.skip_ends(input) {
                return Step::Idle;
            }
            let (frame, octets) = match self.framing.next(input, self.version, &limits) {
                Ok(Some(found)) => found,
                Ok(None) => return Step::Idle,
                Err(error) => return self.fail(error, self.framing.command(), None, out),
            };
            match self.receive(now, frame, out) {
                Ok(Received::Again) => {}
                Ok(Received::Command(command)) => {
                    self.framing.consume(input, octets);
                    return Step::Command(command);
                }
                Ok(Received::Answered) => self.framing.consume(input, octets),
                Ok(Received::GoodBye) => {
                    let receipt = frame.headers.get("receipt");
                    self.framing.consume(input, octets);
                    return match self.leave(now, receipt.as_deref()) {
                        Step::Idle => self.step_leaving(input, out),
                        step => step,
                    };
                }
                Err(error) => {
                    let receipt = frame.headers.get("receipt");
                    return self.fail(error, Some(frame.command), receipt.as_deref(), out);
                }
            }
        }
    }

    fn receive<'b>(
        &mut self,
        now: Instant,
        frame: Frame<'b>,
        out: &mut Outbound,
    ) -> Result<Received<'b>, Error> {
        use wire::Command as C;
        if frame.command == C::Send {
            return self.receive_send(now, Send::decode(frame)?, out);
        }
        let receipt = frame.headers.get("receipt");
        let receipt = receipt.as_deref();
        match frame.command {
            // NACK in STOMP 1.0 too, as RabbitMQ takes it.
            C::Ack | C::Nack => self.receive_ack(&Ack::decode(frame, self.version)?, receipt, out),
            C::Subscribe => self.receive_subscribe(&Subscribe::decode(frame, self.version)?, receipt),
            C::Unsubscribe => self.receive_unsubscribe(&Unsubscribe::decode(frame, self.version)?, receipt),
            C::Begin => {
                let bracket = Bracket::decode(frame)?;
                self.session.transactions.begin(&bracket.transaction, self.config.settings())?;
                self.say_receipt(receipt, out);
                Ok(Received::Answered)
            }
            C::Commit => self.receive_commit(&Bracket::decode(frame)?, receipt, out),
            C::Abort => {
                self.session.transactions.end(&Bracket::decode(frame)?.transaction)?;
                self.say_receipt(receipt, out);
                Ok(Received::Answered)
            }
            C::Disconnect => Ok(Received::GoodBye),
            C::Connect | C::Stomp => Err(Violation::SecondConnect.into()),
            C::Send | C::Connected | C::Message | C::Receipt | C::Error => {
                Err(Violation::UnexpectedFrame.into())
            }
        }
    }

    /// Where a message goes, and where its replies go if that is a temporary queue. Absent if a queue is made first.
    fn resolve(&mut self, send: &Send<'_>) -> Result<Option<(Target, Option<String>)>, Error> {
        let is_bare = !send.destination.starts_with('/');
        let said = if is_bare { send.headers.get("destination-type") } else { None };
        let profile = self.config.settings().profile;
        let target = profile.read(&send.destination, Use::Send, multicast(said.as_deref())?)?;
        let target = match topics(target) {
            Target::Temporary(temporary) => match self.temporary(&temporary) {
                Some(queue) => temporary.target(queue),
                None => return self.make_temporary(temporary, false).map(|()| None),
            },
            target => target,
        };
        let reply_to = match send.reply_to.as_deref().and_then(Temporary::read) {
            None => None,
            Some(temporary) => match self.temporary(&temporary) {
                Some(queue) => Some(temporary.remote(queue, profile)),
                None => return self.make_temporary(temporary, true).map(|()| None),
            },
        };
        if let Target::Queue { name, is_made: true } = &target
            && !self.session.made.contains(name.as_slice())
        {
            let settings = mapping::queue_settings(send.headers, QueueSettings::DURABLE)?;
            self.make_on_first_use(name, settings);
            return Ok(None);
        }
        Ok(Some((target, reply_to)))
    }

    fn receive_send<'b>(
        &mut self,
        now: Instant,
        send: Send<'b>,
        out: &mut Outbound,
    ) -> Result<Received<'b>, Error> {
        let Some((target, reply_to)) = self.resolve(&send)? else { return Ok(Received::Again) };
        let topic = match &target {
            Target::Topic(topic) => topic,
            Target::Queue { name, .. } => name,
            Target::Exchange { key, .. } => key,
            Target::Temporary(_) => return Err(Violation::UnexpectedFrame.into()),
        };
        let (header, native) = mapping::native(&send, topic, reply_to.as_deref(), now, self.epoch);
        let receipt = send.headers.get("receipt");
        let receipt = receipt.as_deref();
        if let Some(transaction) = &send.transaction {
            let publish = HeldPublish { header, native: native.into_owned(), target, delay: send.delay };
            let held = Held::Publish(publish);
            self.session.transactions.hold(transaction, held, self.config.settings())?;
            self.say_receipt(receipt, out);
            return Ok(Received::Answered);
        }
        let waits = receipt.is_some() || header.class.is_confirmed();
        let number = if waits { self.session.answers.wait(receipt) } else { 0 };
        let to = match &target {
            Target::Topic(_) => Destination::Topic,
            Target::Queue { .. } | Target::Temporary(_) => Destination::Queue,
            Target::Exchange { name, .. } => match in_place(&send.destination, name) {
                Some(name) => Destination::Exchange(name),
                None => {
                    let native = native.into_owned();
                    let publish = Box::new(HeldPublish { header, native, target, delay: send.delay });
                    self.session.todo.push_back(Todo::Publish { publish, receipt: number });
                    return Ok(Received::Answered);
                }
            },
        };
        let publish = Publish { delay: send.delay, ..prepared::command(header, native, number, to) };
        Ok(Received::Command(Command::Publish(publish)))
    }
}

/// The name of an exchange where it lies in the input, if it is spelled there as it is.
fn in_place<'b>(destination: &Cow<'b, str>, name: &Vec<u8>) -> Option<&'b [u8]> {
    let Cow::Borrowed(destination) = *destination else { return None };
    let rest = destination.as_bytes().strip_prefix(b"/exchange/")?;
    rest.get(..name.len()).filter(|spelled| spelled == name)
}
