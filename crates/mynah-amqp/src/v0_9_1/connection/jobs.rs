//! What waits for the broker, and is answered when the broker has: one method at a time, so that what a client asks for in
//! a row happens in a row.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use mynah_model::{Instant, Reason};
use mynah_stack::{ConsumerId, Outbound, QueueOutcome, Refusal};

use super::ServerConnection;
use super::prepared::Todo;
use super::publishing::Returned;
use crate::v0_9_1::error::reply_code;
use crate::v0_9_1::wire::{Method, MethodId, ShortStr, basic, exchange, queue, tx};
use crate::v0_9_1::{Exception, ReplyCode};

/// A method that waits for the broker.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) channel: u16,
    /// Of the channel.
    pub(super) epoch: u32,
    pub(super) method: MethodId,
    /// Whether the client wants to hear of it.
    pub(super) is_answered: bool,
    /// What it is about, for people.
    pub(super) name: Box<[u8]>,
    pub(super) kind: Kind,
}

impl Job {
    /// Whether it undoes a binding.
    fn undoes(&self) -> bool {
        [queue::Unbind::ID, exchange::Unbind::ID].contains(&self.method)
    }
}

/// What there is to know of a job beside its method.
#[derive(Debug)]
pub(super) enum Kind {
    /// Nothing.
    Plain,
    /// The name is one of the broker's: if it is not there, nobody may make it.
    Reserved,
    /// Of this consumer.
    Consumer(u32),
    /// A queue for replies is made, for a consumer of this tag.
    Replies { tag: Box<[u8]> },
    /// A transaction ends; these come back if they have reached nobody, whose places are in front.
    Commit { returned: Vec<(u32, Returned)> },
    /// A message is asked for.
    Get { consumer: u32, is_there: bool },
}

impl ServerConnection {
    /// Begins a job with its first command.
    pub(super) fn begin(
        &mut self,
        number: u16,
        method: MethodId,
        is_answered: bool,
        name: &[u8],
        kind: Kind,
        todo: Todo,
    ) {
        let epoch = self.channels.get(&number).map_or(0, |channel| channel.epoch);
        self.todo.push_back(todo);
        self.job =
            Some(Box::new(Job { channel: number, epoch, method, is_answered, name: name.into(), kind }));
    }

    /// Takes the job; none if its channel is not there any more.
    fn take_job(&mut self) -> Option<Box<Job>> {
        let job = self.job.take()?;
        let channel = self.channels.get(&job.channel);
        channel.filter(|channel| channel.epoch == job.epoch && !channel.is_closing).map(|_| job)
    }

    /// Writes the answer to a job, if one is wanted.
    pub(super) fn answer_job<'m>(&mut self, job: &Job, method: impl Into<Method<'m>>, out: &mut Outbound) {
        if job.is_answered {
            self.send(job.channel, method, out);
        }
    }

    pub(super) fn handle_queue_outcome(
        &mut self,
        now: Instant,
        outcome: QueueOutcome<'_>,
        out: &mut Outbound,
    ) {
        match outcome {
            QueueOutcome::Declared { result, .. } => {
                let Some(job) = self.take_job() else { return };
                match (result, &job.kind) {
                    (Ok(declared), Kind::Replies { tag }) => {
                        self.consume_replies(&job, tag, declared.name);
                    }
                    (Ok(declared), _) => self.answer_declare(&job, declared, out),
                    (Err(refusal), _) => self.refuse_job(now, &job, refusal, out),
                }
            }
            QueueOutcome::Deleted { result, .. } => {
                let Some(job) = self.take_job() else { return };
                match result {
                    Ok(count) => self.answer_delete(&job, count, out),
                    Err(Refusal { reason: Reason::NotFound, .. }) if job.method != queue::Purge::ID => {
                        self.answer_delete(&job, 0, out);
                    }
                    Err(refusal) => self.refuse_job(now, &job, refusal, out),
                }
            }
            QueueOutcome::Bound { result, .. } => {
                let Some(job) = self.take_job() else { return };
                match result {
                    Ok(()) => self.answer_bind(&job, out),
                    // As good as undone.
                    Err(Refusal { reason: Reason::NotFound, .. }) if job.undoes() => {
                        self.answer_bind(&job, out);
                    }
                    Err(refusal) => self.refuse_job(now, &job, refusal, out),
                }
            }
            QueueOutcome::Consuming { consumer, result } => self.consuming(now, consumer.0, result, out),
            QueueOutcome::Cancelled(consumer) => self.cancelled(consumer.0, out),
            QueueOutcome::ConsumerEnded { consumer, .. } => self.consumer_ended(consumer.0, out),
            QueueOutcome::Drained(consumer) => self.drained(consumer.0, out),
            QueueOutcome::Settled { .. } | QueueOutcome::Held { .. } => {}
            QueueOutcome::Committed { result, unwanted, .. } => {
                let Some(job) = self.take_job() else { return };
                match result {
                    Ok(()) => self.answer_commit(&job, unwanted, out),
                    Err(refusal) => self.refuse_job(now, &job, refusal, out),
                }
            }
        }
    }

    fn answer_declare(&mut self, job: &Job, declared: mynah_stack::Declared<'_>, out: &mut Outbound) {
        if job.method != queue::Declare::ID {
            return self.answer_job(job, exchange::DeclareOk {}, out);
        }
        if let Some(channel) = self.channels.get_mut(&job.channel) {
            channel.last_queue = declared.name.into();
        }
        let answer = queue::DeclareOk {
            queue: ShortStr::new(declared.name).unwrap_or_default(),
            message_count: u32::try_from(declared.messages).unwrap_or(u32::MAX),
            consumer_count: declared.consumers,
        };
        self.answer_job(job, answer, out);
    }

    fn answer_delete(&mut self, job: &Job, count: u64, out: &mut Outbound) {
        let message_count = u32::try_from(count).unwrap_or(u32::MAX);
        match job.method {
            queue::Delete::ID => self.answer_job(job, queue::DeleteOk { message_count }, out),
            queue::Purge::ID => self.answer_job(job, queue::PurgeOk { message_count }, out),
            _ => self.answer_job(job, exchange::DeleteOk {}, out),
        }
    }

    fn answer_commit(&mut self, job: &Job, unwanted: &[u32], out: &mut Outbound) {
        if let Kind::Commit { returned } = &job.kind {
            for (_, returned) in returned.iter().filter(|(place, _)| unwanted.contains(place)) {
                self.give_back(job.channel, returned, out);
            }
        }
        self.answer_job(job, tx::CommitOk {}, out);
    }

    fn answer_bind(&mut self, job: &Job, out: &mut Outbound) {
        match job.method {
            queue::Bind::ID => self.answer_job(job, queue::BindOk {}, out),
            queue::Unbind::ID => self.answer_job(job, queue::UnbindOk {}, out),
            exchange::Bind::ID => self.answer_job(job, exchange::BindOk {}, out),
            _ => self.answer_job(job, exchange::UnbindOk {}, out),
        }
    }

    /// A consumer is there, or is not.
    fn consuming(
        &mut self,
        now: Instant,
        consumer: u32,
        result: Result<(), Refusal<'_>>,
        out: &mut Outbound,
    ) {
        let Some(mut job) = self.take_job() else {
            if result.is_ok() {
                self.todo.push_back(Todo::Cancel { consumer: ConsumerId(consumer), keep: false });
            }
            return;
        };
        match result {
            Err(refusal) => {
                self.forget_consumer(consumer);
                self.refuse_job(now, &job, refusal, out);
            }
            Ok(()) if matches!(job.kind, Kind::Get { .. }) => {
                self.poll(consumer);
                job.kind = Kind::Get { consumer, is_there: false };
                self.job = Some(job);
            }
            Ok(()) => {
                let tag: Box<[u8]> = match self.consumers.get(consumer) {
                    Some(found) => found.tag.clone(),
                    None => Box::default(),
                };
                let answer = basic::ConsumeOk { consumer_tag: ShortStr::new(&tag).unwrap_or_default() };
                self.answer_job(&job, answer, out);
                self.balance(job.channel);
            }
        }
    }

    fn cancelled(&mut self, consumer: u32, out: &mut Outbound) {
        let is_it = |job: &Job| matches!(job.kind, Kind::Consumer(number) if number == consumer);
        if !self.job.as_deref().is_some_and(|job| is_it(job) && job.method == basic::Cancel::ID) {
            return;
        }
        self.forget_consumer(consumer);
        if let Some(job) = self.take_job() {
            let tag = job.name.clone();
            let answer = basic::CancelOk { consumer_tag: ShortStr::new(&tag).unwrap_or_default() };
            self.answer_job(&job, answer, out);
            self.balance(job.channel);
        }
    }

    /// The broker has ended a consumer. A client that understands it is told (RabbitMQ).
    fn consumer_ended(&mut self, consumer: u32, out: &mut Outbound) {
        self.drained(consumer, out);
        let Some(found) = self.forget_consumer(consumer) else { return };
        if !found.polls && self.terms.capabilities.consumer_cancel_notify {
            let consumer_tag = ShortStr::new(&found.tag).unwrap_or_default();
            self.send(found.channel, basic::Cancel { consumer_tag, no_wait: true }, out);
        }
        self.balance(found.channel);
    }

    /// A consumer has no credit left: one that polls has got what there was.
    fn drained(&mut self, consumer: u32, out: &mut Outbound) {
        if let Some(Job { kind: Kind::Get { consumer: polling, is_there }, .. }) = self.job.as_deref()
            && *polling == consumer
        {
            let is_there = *is_there;
            if let Some(job) = self.take_job()
                && !is_there
            {
                self.answer_job(&job, basic::GetEmpty {}, out);
            }
            return;
        }
        let Some(channel) = self.consumers.get(consumer).map(|found| found.channel) else { return };
        if let Some(found) = self.channels.get_mut(&channel) {
            found.prefetch.drained(consumer);
        }
        self.balance(channel);
    }

    /// A job cannot be done: the channel ends.
    fn refuse_job(&mut self, now: Instant, job: &Job, refusal: Refusal<'_>, out: &mut Outbound) {
        let is_in_use = refusal.reason == Reason::Locked && refusal.detail.is_empty();
        let is_reserved = matches!(job.kind, Kind::Reserved) && refusal.reason == Reason::NotFound;
        let code = match refusal.reason {
            _ if is_in_use || is_reserved => ReplyCode::AccessRefused,
            reason => reply_code(reason),
        };
        let text = self.refusal_text(job, refusal);
        self.raise(now, job.channel, Exception::new(code, job.method, text), out);
    }

    fn refusal_text(&self, job: &Job, refusal: Refusal<'_>) -> String {
        let name = job.name.escape_ascii();
        let host = &self.virtual_host;
        let entity = if job.method.class == exchange::CLASS { "exchange" } else { "queue" };
        let is_binding = [queue::Bind::ID, queue::Unbind::ID, exchange::Bind::ID, exchange::Unbind::ID]
            .contains(&job.method);
        match refusal.reason {
            Reason::NotFound if matches!(job.kind, Kind::Reserved) => {
                format!("{entity} name '{name}' contains reserved prefix 'amq.*'")
            }
            reason if job.method.class == tx::CLASS => format!("the transaction was not done: {reason}"),
            Reason::NotFound if !is_binding => format!("no {entity} '{name}' in vhost '{host}'"),
            Reason::Locked if refusal.detail.is_empty() => {
                format!("{entity} '{name}' in vhost '{host}' in exclusive use")
            }
            Reason::PreconditionFailed if job.method == queue::Declare::ID => {
                format!("inequivalent arg for {entity} '{name}' in vhost '{host}': {}", refusal.detail)
            }
            reason => {
                let text = match refusal.detail {
                    "" => reason.to_string(),
                    detail => detail.into(),
                };
                format!("{text} ({entity} '{name}' in vhost '{host}')")
            }
        }
    }
}
