//! Commands that are given later than the frame that asked for them, or from bytes of their own.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use mynah_model::{Argument, Header, MessageView, StreamOffset};
use mynah_stack::{
    Bind, Command, Consume, ConsumeOptions, ConsumerId, Credit, Declaration, Declare, Delete, Destination,
    Entity, Flow, Prepared, Publish, Purge, QueueCommand, SettleLeases, Transaction,
};

use crate::v0_9_1::mapping::{TOPIC_EXCHANGE, published};

/// The receipt of commands that a job gives: there is one job at a time.
const JOB: u32 = 1;

/// A command that is to be given.
#[derive(Debug)]
pub(super) enum Todo {
    Declare(Named, Option<Declaration>),
    Delete { entity: Named, if_unused: bool, if_empty: bool },
    Purge(Box<[u8]>),
    Bind(Box<Binding>),
    Consume(Box<Consuming>),
    Cancel { consumer: ConsumerId, keep: bool },
    Flow(Flow),
    Settle(SettleLeases),
    Publish(Box<HeldPublish>, u16),
    Commit { publications: Vec<HeldPublish>, settlements: Vec<SettleLeases> },
}

/// An entity by its name.
#[derive(Clone, Debug)]
pub(super) enum Named {
    Queue(Box<[u8]>),
    Exchange(Box<[u8]>),
}

impl Named {
    fn entity(&self) -> Entity<'_> {
        match self {
            Self::Queue(name) => Entity::Queue(name),
            Self::Exchange(name) => Entity::Exchange(name),
        }
    }
}

/// A binding that is made, or undone.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) is_undone: bool,
    pub(super) source: Box<[u8]>,
    pub(super) destination: Named,
    pub(super) key: Box<[u8]>,
    pub(super) arguments: Vec<(Box<str>, Argument)>,
}

/// Somebody who begins to consume.
#[derive(Debug)]
pub(super) struct Consuming {
    pub(super) consumer: ConsumerId,
    pub(super) queue: Box<[u8]>,
    pub(super) settled: bool,
    pub(super) exclusive: bool,
    pub(super) polls: bool,
    pub(super) priority: i32,
    pub(super) no_local: bool,
    pub(super) selector: Option<Box<str>>,
    pub(super) offset: Option<StreamOffset>,
}

/// A publication with bytes of its own.
#[derive(Debug)]
pub(super) struct HeldPublish {
    pub(super) header: Header,
    pub(super) native: Vec<u8>,
    pub(super) delay: Option<Duration>,
    /// It comes back if it reaches nobody.
    pub(super) mandatory: bool,
}

impl Todo {
    pub(super) fn into_command<'b>(self) -> Command<'b> {
        match self {
            Self::Cancel { consumer, keep } => Command::Queue(QueueCommand::Cancel { consumer, keep }),
            Self::Flow(flow) => Command::Queue(QueueCommand::Flow(flow)),
            Self::Settle(settle) => Command::Queue(QueueCommand::Settle(settle)),
            prepared => Command::Prepared(Box::new(prepared)),
        }
    }
}

impl Prepared for Todo {
    fn command(&mut self) -> Command<'_> {
        let receipt = JOB;
        Command::Queue(match self {
            Self::Declare(entity, declaration) => QueueCommand::Declare(Box::new(Declare {
                receipt,
                entity: entity.entity(),
                declaration: declaration.take().unwrap_or(Declaration::Passive),
            })),
            Self::Delete { entity, if_unused, if_empty } => QueueCommand::Delete(Delete {
                receipt,
                entity: entity.entity(),
                if_unused: *if_unused,
                if_empty: *if_empty,
            }),
            Self::Purge(queue) => QueueCommand::Purge(Purge { receipt, queue }),
            Self::Bind(binding) => {
                let Binding { is_undone, source, destination, key, arguments } = &mut **binding;
                let bind = Box::new(Bind {
                    receipt,
                    source,
                    destination: destination.entity(),
                    key,
                    arguments: core::mem::take(arguments),
                });
                if *is_undone { QueueCommand::Unbind(bind) } else { QueueCommand::Bind(bind) }
            }
            Self::Consume(consuming) => QueueCommand::Consume(Box::new(consuming.command())),
            Self::Commit { publications, settlements } => QueueCommand::Transact(Box::new(Transaction {
                receipt,
                publications: publications.iter().map(|held| held.publish(0)).collect(),
                settlements: core::mem::take(settlements),
            })),
            Self::Publish(held, receipt) => return Command::Publish(held.publish(*receipt)),
            Self::Cancel { consumer, keep } => QueueCommand::Cancel { consumer: *consumer, keep: *keep },
            Self::Flow(flow) => QueueCommand::Flow(*flow),
            Self::Settle(settle) => QueueCommand::Settle(*settle),
        })
    }
}

impl Consuming {
    fn command(&self) -> Consume<'_> {
        Consume {
            consumer: self.consumer,
            queue: &self.queue,
            options: ConsumeOptions {
                settled: self.settled,
                exclusive: self.exclusive,
                polls: self.polls,
                priority: self.priority,
                no_local: self.no_local,
                selector: self.selector.as_deref(),
                offset: self.offset,
            },
            // Others get theirs once it is known what the channel leaves them.
            credit: if self.settled && !self.polls { Credit::UNLIMITED } else { Credit::NONE },
        }
    }
}

impl HeldPublish {
    fn publish(&self, receipt: u16) -> Publish<'_> {
        let view = MessageView { header: &self.header, native: &self.native };
        let exchange = published(view).map_or(&b""[..], |published| published.exchange.as_bytes());
        Publish {
            delay: self.delay,
            ..publication(self.header, Cow::Borrowed(&self.native), receipt, destination(exchange))
        }
    }
}

/// Where a message goes that is published to this exchange.
pub(super) fn destination(exchange: &[u8]) -> Destination<'_> {
    match exchange {
        b"" => Destination::Queue,
        TOPIC_EXCHANGE => Destination::Topic,
        name => Destination::Exchange(name),
    }
}

/// A publication whose client hears of it if it is refused, whatever its class.
pub(super) fn publication<'b>(
    header: Header,
    native: Cow<'b, [u8]>,
    receipt: u16,
    to: Destination<'b>,
) -> Publish<'b> {
    Publish { to, confirm: true, ..Publish::new(header, native, receipt) }
}
