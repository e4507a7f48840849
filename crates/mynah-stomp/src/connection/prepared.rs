//! Commands that are given later than the frame that asked for them, or that spell a name otherwise than it did.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use mynah_model::{Argument, Filter, Header, QueueSettings, StreamOffset, SubscriptionOptions};
use mynah_stack::{
    Bind, Command, Consume, ConsumeOptions, ConsumerId, Credit, Declaration, Declare, Delete, Destination,
    Entity, Flow, Prepared, Publish, QueueCommand, SettleLeases, Subscribe, SubscribeRequest, Transaction,
    Unsubscribe, UnsubscribeRequest,
};

use crate::flow::HeldPublish;
use crate::mapping::Target;

/// The number that commands of a job have: there is one job at a time.
pub(super) const JOB: u16 = 1;

/// A command that is to be given.
#[derive(Debug)]
pub(super) enum Todo {
    Declare {
        receipt: u32,
        queue: Box<[u8]>,
        settings: Option<QueueSettings>,
    },
    Bind {
        exchange: Box<[u8]>,
        queue: Box<[u8]>,
        key: Box<[u8]>,
        retain_handling: Option<u8>,
    },
    Consume(Box<Consumer>),
    Cancel(ConsumerId),
    Delete {
        queue: Box<[u8]>,
    },
    Attach {
        filter: Box<[u8]>,
        options: SubscriptionOptions,
    },
    Detach {
        filter: Box<[u8]>,
    },
    Flow(Flow),
    Commit {
        receipt: u32,
        publications: Vec<HeldPublish>,
        settlements: Vec<SettleLeases>,
    },
    /// A message for an exchange whose name is spelled otherwise than in the frame.
    Publish {
        publish: Box<HeldPublish>,
        receipt: u16,
    },
}

/// A subscription to a queue.
#[derive(Clone, Debug)]
pub(super) struct Consumer {
    pub(super) consumer: ConsumerId,
    pub(super) queue: Box<[u8]>,
    pub(super) settled: bool,
    pub(super) exclusive: bool,
    pub(super) priority: i32,
    pub(super) no_local: bool,
    pub(super) selector: Option<Box<str>>,
    pub(super) offset: Option<StreamOffset>,
    pub(super) credit: Credit,
}

impl Todo {
    pub(super) fn into_command<'b>(self) -> Command<'b> {
        match self {
            Self::Flow(flow) => Command::Queue(QueueCommand::Flow(flow)),
            Self::Cancel(consumer) => Command::Queue(QueueCommand::Cancel { consumer, keep: false }),
            prepared => Command::Prepared(Box::new(prepared)),
        }
    }
}

impl Prepared for Todo {
    fn command(&mut self) -> Command<'_> {
        let receipt = u32::from(JOB);
        Command::Queue(match self {
            Self::Declare { receipt, queue, settings } => QueueCommand::Declare(Box::new(Declare {
                receipt: *receipt,
                entity: Entity::Queue(queue),
                declaration: settings.take().map_or(Declaration::OnFirstUse, Declaration::Queue),
            })),
            Self::Bind { exchange, queue, key, retain_handling } => {
                let retain = retain_handling.map(|number| Argument::Integer(i64::from(number)));
                QueueCommand::Bind(Box::new(Bind {
                    receipt,
                    source: exchange,
                    destination: Entity::Queue(queue),
                    key,
                    arguments: retain
                        .map(|number| ("x-mqtt-retain-handling".into(), number))
                        .into_iter()
                        .collect(),
                }))
            }
            Self::Consume(consumer) => QueueCommand::Consume(Box::new(consumer.command())),
            Self::Delete { queue } => QueueCommand::Delete(Delete {
                receipt,
                entity: Entity::Queue(queue),
                if_unused: false,
                if_empty: false,
            }),
            Self::Attach { filter, options } => {
                let filter = Filter::from_checked(filter);
                let request = SubscribeRequest { filter, share: None, options: *options };
                return Command::Subscribe(Subscribe { receipt: JOB, requests: vec![Ok(request)] });
            }
            Self::Detach { filter } => {
                let request = UnsubscribeRequest { filter: Filter::from_checked(filter), share: None };
                return Command::Unsubscribe(Unsubscribe { receipt: JOB, requests: vec![request] });
            }
            Self::Commit { receipt, publications, settlements } => {
                QueueCommand::Transact(Box::new(Transaction {
                    receipt: *receipt,
                    publications: publications.iter().map(|held| held.publish(0)).collect(),
                    settlements: core::mem::take(settlements),
                }))
            }
            Self::Publish { publish, receipt } => return Command::Publish(publish.publish(*receipt)),
            Self::Flow(flow) => QueueCommand::Flow(*flow),
            Self::Cancel(consumer) => QueueCommand::Cancel { consumer: *consumer, keep: false },
        })
    }
}

impl Consumer {
    fn command(&self) -> Consume<'_> {
        Consume {
            consumer: self.consumer,
            queue: &self.queue,
            options: ConsumeOptions {
                settled: self.settled,
                exclusive: self.exclusive,
                priority: self.priority,
                no_local: self.no_local,
                selector: self.selector.as_deref(),
                offset: self.offset,
                ..ConsumeOptions::ALL
            },
            credit: self.credit,
        }
    }
}

impl HeldPublish {
    fn publish(&self, receipt: u16) -> Publish<'_> {
        let to = match &self.target {
            Target::Topic(_) => Destination::Topic,
            Target::Queue { .. } | Target::Temporary(_) => Destination::Queue,
            Target::Exchange { name, .. } => Destination::Exchange(name),
        };
        Publish { delay: self.delay, ..command(self.header, Cow::Borrowed(&self.native), receipt, to) }
    }
}

/// A publication whose client hears of it if it is refused, whatever its class.
pub(super) fn command<'b>(
    header: Header,
    native: Cow<'b, [u8]>,
    receipt: u16,
    to: Destination<'b>,
) -> Publish<'b> {
    Publish { to, confirm: true, ..Publish::new(header, native, receipt) }
}
