//! Consumers: basic.consume, basic.cancel, basic.get, basic.qos and channel.flow.

use alloc::boxed::Box;
use alloc::format;

use mynah_model::{Instant, QueueSettings};
use mynah_stack::{ConsumerId, Credit, CreditChange, Declaration, Flow, Outbound};

use super::ServerConnection;
use super::consumers::Consumer;
use super::jobs::{Job, Kind};
use super::prepared::{Consuming, Named, Todo};
use crate::v0_9_1::flow::Grant;
use crate::v0_9_1::mapping::arguments::ConsumeArguments;
use crate::v0_9_1::mapping::entities;
use crate::v0_9_1::wire::{ShortStr, basic};
use crate::v0_9_1::{Exception, ReplyCode};

/// Consuming from this, a client gets the replies to what it publishes on the channel with this as the address of
/// replies (RabbitMQ).
pub(super) const REPLY_TO: &[u8] = b"amq.rabbitmq.reply-to";

impl ServerConnection {
    pub(super) fn consume(
        &mut self,
        now: Instant,
        number: u16,
        consume: &basic::Consume<'_>,
    ) -> Result<(), Exception> {
        let method = basic::Consume::ID;
        let fail = |code, text: alloc::string::String| Err(Exception::new(code, method, text));
        let arguments = match ConsumeArguments::read(consume.arguments) {
            Ok(arguments) => arguments,
            Err(text) => return fail(ReplyCode::PreconditionFailed, text),
        };
        let tag = self.consumer_tag(number, consume.consumer_tag);
        if self.consumers.by_tag(number, &tag).is_some() {
            let text = format!("attempt to reuse consumer tag '{}'", tag.escape_ascii());
            return fail(ReplyCode::NotAllowed, text);
        }
        if consume.queue.as_bytes() == REPLY_TO {
            return self.begin_replies(number, consume, tag);
        }
        let queue = self.queue_named(number, consume.queue, method)?;
        let consumer = self.consumers.add(Consumer {
            channel: number,
            tag,
            queue: queue.clone(),
            settled: consume.no_ack,
            polls: false,
            is_stream: arguments.stream_offset.is_some(),
        });
        if let Some(channel) = self.channels.get_mut(&number).filter(|_| !consume.no_ack) {
            channel.prefetch.add(consumer, channel.prefetch_count.into());
        }
        let epoch = self.epoch_of_time;
        let todo = Todo::Consume(Box::new(Consuming {
            consumer: ConsumerId(consumer),
            queue: queue.clone(),
            settled: consume.no_ack,
            exclusive: consume.exclusive,
            polls: false,
            priority: arguments.priority,
            no_local: consume.no_local,
            selector: arguments.selector,
            offset: arguments.stream_offset.map(|offset| entities::stream_offset(offset, epoch, now)),
        }));
        self.begin(number, method, !consume.no_wait, &queue, Kind::Consumer(consumer), todo);
        Ok(())
    }

    /// The client's name for a consumer, or one of ours.
    fn consumer_tag(&mut self, number: u16, tag: ShortStr<'_>) -> Box<[u8]> {
        if !tag.is_empty() {
            return tag.as_bytes().into();
        }
        loop {
            self.tags += 1;
            let tag = format!("amq.ctag-{}", self.tags).into_bytes().into_boxed_slice();
            if self.consumers.by_tag(number, &tag).is_none() {
                return tag;
            }
        }
    }

    /// Makes the queue that replies come by.
    fn begin_replies(
        &mut self,
        number: u16,
        consume: &basic::Consume<'_>,
        tag: Box<[u8]>,
    ) -> Result<(), Exception> {
        let method = basic::Consume::ID;
        let has_one = self.channels.get(&number).is_some_and(|channel| !channel.reply_queue.is_empty());
        if !consume.no_ack || has_one {
            let text =
                if has_one { "reply consumer already set" } else { "reply consumer cannot acknowledge" };
            return Err(Exception::new(ReplyCode::PreconditionFailed, method, text));
        }
        let settings =
            QueueSettings { durable: false, exclusive: true, auto_delete: true, ..QueueSettings::DURABLE };
        let todo = Todo::Declare(Named::Queue(Box::default()), Some(Declaration::Queue(settings)));
        self.begin(number, method, !consume.no_wait, REPLY_TO, Kind::Replies { tag }, todo);
        Ok(())
    }

    /// Consumes from the queue that replies come by, now that it is there.
    pub(super) fn consume_replies(&mut self, job: &Job, tag: &[u8], queue: &[u8]) {
        if let Some(channel) = self.channels.get_mut(&job.channel) {
            channel.reply_queue = queue.into();
        }
        let consumer = self.consumers.add(Consumer {
            channel: job.channel,
            tag: tag.into(),
            queue: queue.into(),
            settled: true,
            polls: false,
            is_stream: false,
        });
        let todo = Todo::Consume(Box::new(plain(consumer, queue, true, false)));
        self.begin(job.channel, job.method, job.is_answered, REPLY_TO, Kind::Consumer(consumer), todo);
    }

    pub(super) fn cancel(&mut self, number: u16, cancel: &basic::Cancel<'_>, out: &mut Outbound) {
        let tag = cancel.consumer_tag;
        let Some(consumer) = self.consumers.by_tag(number, tag.as_bytes()) else {
            if !cancel.no_wait {
                self.send(number, basic::CancelOk { consumer_tag: tag }, out);
            }
            return;
        };
        let todo = Todo::Cancel { consumer: ConsumerId(consumer), keep: true };
        let (method, is_answered) = (basic::Cancel::ID, !cancel.no_wait);
        self.begin(number, method, is_answered, tag.as_bytes(), Kind::Consumer(consumer), todo);
    }

    /// A consumer is no more.
    pub(super) fn forget_consumer(&mut self, consumer: u32) -> Option<Consumer> {
        let found = self.consumers.remove(consumer)?;
        if let Some(channel) = self.channels.get_mut(&found.channel) {
            channel.prefetch.remove(consumer);
            channel.poller.take_if(|poller| *poller == consumer);
            if *channel.reply_queue == *found.queue {
                channel.reply_queue = Box::default();
            }
        }
        Some(found)
    }

    pub(super) fn get(&mut self, number: u16, get: &basic::Get<'_>) -> Result<(), Exception> {
        let (method, settled) = (basic::Get::ID, get.no_ack);
        let queue = self.queue_named(number, get.queue, method)?;
        let Some(channel) = self.channels.get_mut(&number) else { return Ok(()) };
        if let Some(poller) = channel.poller {
            let found = self.consumers.get(poller);
            if found.is_some_and(|found| *found.queue == *queue && found.settled == settled) {
                let kind = Kind::Get { consumer: poller, is_there: false };
                self.begin(number, method, true, &queue, kind, poll(poller));
                return Ok(());
            }
            channel.poller = None;
            self.consumers.remove(poller);
            self.todo.push_back(Todo::Cancel { consumer: ConsumerId(poller), keep: true });
        }
        let (tag, queue_name) = (Box::default(), queue.clone());
        let consumer = self.consumers.add(Consumer {
            channel: number,
            tag,
            queue: queue_name,
            settled,
            polls: true,
            is_stream: false,
        });
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.poller = Some(consumer);
        }
        let todo = Todo::Consume(Box::new(plain(consumer, &queue, settled, true)));
        self.begin(number, method, true, &queue, Kind::Get { consumer, is_there: false }, todo);
        Ok(())
    }

    /// Asks for one message.
    pub(super) fn poll(&mut self, consumer: u32) {
        self.todo.push_back(poll(consumer));
    }

    pub(super) fn qos(&mut self, number: u16, qos: basic::Qos, out: &mut Outbound) -> Result<(), Exception> {
        if qos.prefetch_size != 0 {
            let text = format!("prefetch_size!=0 ({})", qos.prefetch_size);
            return Err(Exception::new(ReplyCode::NotImplemented, basic::Qos::ID, text));
        }
        if let Some(channel) = self.channels.get_mut(&number) {
            if qos.global {
                channel.prefetch.set_channel_limit(qos.prefetch_count.into());
            } else {
                channel.prefetch_count = qos.prefetch_count;
            }
        }
        self.send(number, basic::QosOk {}, out);
        self.balance(number);
        Ok(())
    }

    /// The client wants deliveries on a channel, or none at present.
    pub(super) fn set_active(&mut self, number: u16, active: bool) {
        let Some(channel) = self.channels.get_mut(&number) else { return };
        channel.prefetch.set_active(active);
        let credit = if active { Credit::UNLIMITED } else { Credit::NONE };
        for (consumer, found) in self.consumers.of_channel(number) {
            if found.settled && !found.polls {
                let (consumer, change) = (ConsumerId(consumer), CreditChange::Set(credit));
                self.todo.push_back(Todo::Flow(Flow { consumer, change, drain: false }));
            }
        }
        self.balance(number);
    }

    /// Gives the consumers of a channel what its bounds leave them.
    pub(super) fn balance(&mut self, number: u16) {
        let unlimited = self.config.settings().unacknowledged_max.get();
        let Some(channel) = self.channels.get_mut(&number) else { return };
        let todo = &mut self.todo;
        channel.prefetch.balance(unlimited, |consumer, grant| {
            let consumer = ConsumerId(consumer);
            todo.push_back(Todo::Flow(match grant {
                Grant::Add(messages) => {
                    let change = CreditChange::Add(Credit { messages, bytes: u64::MAX });
                    Flow { consumer, change, drain: false }
                }
                Grant::Withdraw => Flow { consumer, change: CreditChange::Set(Credit::NONE), drain: true },
            }));
        });
    }
}

fn poll(consumer: u32) -> Todo {
    let change = CreditChange::Set(Credit { messages: 1, bytes: u64::MAX });
    Todo::Flow(Flow { consumer: ConsumerId(consumer), change, drain: true })
}

fn plain(consumer: u32, queue: &[u8], settled: bool, polls: bool) -> Consuming {
    Consuming {
        consumer: ConsumerId(consumer),
        queue: queue.into(),
        settled,
        exclusive: false,
        polls,
        priority: 0,
        no_local: false,
        selector: None,
        offset: None,
    }
}
