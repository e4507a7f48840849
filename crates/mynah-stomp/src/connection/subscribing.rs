//! SUBSCRIBE and UNSUBSCRIBE: the steps that they take with the broker, one after another.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use mynah_model::{Class, QueueSettings, RetainHandling, SubscriptionId, SubscriptionOptions};
use mynah_stack::{ConsumerId, Outbound, Refusal};

use super::ServerConnection;
use super::established::Received;
use super::prepared::{Consumer, JOB, Todo};
use super::subscriptions::{Source, Subscription};
use crate::mapping::{self, Profile, Target, Temporary, Use};
use crate::wire::{AckMode, Durable, Subscribe, Unsubscribe};
use crate::{Error, Refused, Violation};

/// Where messages of the topic space come from.
const TOPICS: &[u8] = b"amq.topic";

/// Something that takes several commands.
#[derive(Debug)]
pub(super) enum Job {
    /// What is left of a SUBSCRIBE.
    Subscribing(Box<Subscribing>),
    /// What is left of an UNSUBSCRIBE: a durable subscription is deleted at last.
    Unsubscribing { delete: Option<Box<[u8]>>, receipt: Option<Box<str>> },
    /// A temporary queue or topic is made; `subscribes` if the client is to get the messages of a queue without asking.
    MakingTemporary { temporary: Temporary, subscribes: bool },
    /// The queue of this name is made, which SEND names, unless it is there.
    MakingQueue(Box<[u8]>),
}

#[derive(Debug, Default)]
pub(super) struct Subscribing {
    bind: Option<Binding>,
    consumer: Option<Consumer>,
    receipt: Option<Box<str>>,
}

#[derive(Debug)]
struct Binding {
    exchange: Box<[u8]>,
    key: Box<[u8]>,
    retain_handling: Option<u8>,
}

impl ServerConnection {
    pub(super) fn receive_subscribe(
        &mut self,
        subscribe: &Subscribe<'_>,
        receipt: Option<&str>,
    ) -> Result<Received<'static>, Error> {
        let settings = self.config.settings();
        if subscribe.id.as_deref().is_some_and(|id| self.session.subscriptions.has_id(id)) {
            return Err(Violation::SubscriptionExists.into());
        }
        if self.session.subscriptions.len() >= settings.subscriptions_max {
            return Err(Refused::TooManySubscriptions.into());
        }
        let is_multicast = multicast(subscribe.headers.get("subscription-type").as_deref())?;
        let target = settings.profile.read(&subscribe.destination, Use::Subscribe, is_multicast)?;
        let target = match topics(target) {
            Target::Temporary(temporary) => match self.temporary(&temporary) {
                Some(queue) => temporary.target(queue),
                None => return self.make_temporary(temporary, false).map(|()| Received::Again),
            },
            target => target,
        };
        match target {
            Target::Temporary(_) => return Err(Violation::UnexpectedFrame.into()),
            Target::Queue { name, is_made } => {
                let declared = mapping::queue_settings(subscribe.headers, QueueSettings::DURABLE)?;
                let declare = is_made.then_some(declared);
                self.take_queue(subscribe, name.into(), declare, receipt)?;
            }
            Target::Topic(filter) if self.is_plain(subscribe, &filter)? => {
                self.attach(subscribe, filter.into(), receipt)?;
            }
            Target::Topic(filter) => self.take_bound(subscribe, TOPICS.into(), filter.into(), receipt)?,
            Target::Exchange { name, key } => {
                self.take_bound(subscribe, name.into(), key.into(), receipt)?;
            }
        }
        Ok(Received::Answered)
    }

    /// Whether messages need no queue on their way: nobody acknowledges them, and all that match are wanted.
    fn is_plain(&self, subscribe: &Subscribe<'_>, filter: &[u8]) -> Result<bool, Error> {
        Ok(subscribe.ack == AckMode::Auto
            && subscribe.selector.is_none()
            && subscribe.durable == Durable::No
            && subscribe.queue_name.is_none()
            && subscribe.stream_offset.is_none()
            && mapping::queue_settings(subscribe.headers, QueueSettings::DURABLE)?.is_none()
            && !self.session.subscriptions.has_filter(filter))
    }

    fn attach(
        &mut self,
        subscribe: &Subscribe<'_>,
        filter: Box<[u8]>,
        receipt: Option<&str>,
    ) -> Result<(), Error> {
        let number = self.add(subscribe, Source::Filter(filter.clone()))?;
        let options = SubscriptionOptions {
            retain_handling: match subscribe.retain_handling {
                Some(0) => RetainHandling::EachTime,
                Some(1) => RetainHandling::WhenNew,
                _ => RetainHandling::Never,
            },
            no_local: subscribe.no_local,
            id: SubscriptionId::new(number),
            ..SubscriptionOptions::new(Class::AtMostOnce)
        };
        self.session.todo.push_back(Todo::Attach { filter, options });
        self.subscribing(Subscribing { receipt: receipt.map(Box::from), ..Subscribing::default() });
        Ok(())
    }

    /// Consumes from a queue by its name, declared before if that is asked for.
    fn take_queue(
        &mut self,
        subscribe: &Subscribe<'_>,
        queue: Box<[u8]>,
        declare: Option<Option<QueueSettings>>,
        receipt: Option<&str>,
    ) -> Result<(), Error> {
        let number = self.add(subscribe, Source::Queue(queue.clone()))?;
        let consumer = self.consumer(subscribe, number, queue.clone())?;
        let receipt = receipt.map(Box::from);
        match declare {
            Some(settings) => {
                self.session.todo.push_back(Todo::Declare { receipt: u32::from(JOB), queue, settings });
                self.subscribing(Subscribing { consumer: Some(consumer), receipt, bind: None });
            }
            None => {
                self.session.todo.push_back(Todo::Consume(Box::new(consumer)));
                self.subscribing(Subscribing { receipt, ..Subscribing::default() });
            }
        }
        Ok(())
    }

    /// Consumes from a queue of the subscription's own that is bound to an exchange.
    fn take_bound(
        &mut self,
        subscribe: &Subscribe<'_>,
        exchange: Box<[u8]>,
        key: Box<[u8]>,
        receipt: Option<&str>,
    ) -> Result<(), Error> {
        let durable =
            self.durable_name(&subscribe.durable, subscribe.id.as_deref(), &subscribe.destination)?;
        let chosen = subscribe.queue_name.as_deref().map(|name| Box::from(name.as_bytes()));
        let queue = chosen.or(durable.clone()).unwrap_or_default();
        let base = match &durable {
            Some(_) => QueueSettings::DURABLE,
            // One with a name may be shared.
            None => QueueSettings { exclusive: queue.is_empty(), ..self.transient() },
        };
        let settings = mapping::queue_settings(subscribe.headers, base.clone())?.unwrap_or(base);
        let durable = durable.map(|_| queue.clone());
        let number = self.add(subscribe, Source::Bound { exchange: exchange.clone(), durable })?;
        let consumer = self.consumer(subscribe, number, queue.clone())?;
        let declare = Todo::Declare { receipt: u32::from(JOB), queue, settings: Some(settings) };
        self.session.todo.push_back(declare);
        self.subscribing(Subscribing {
            bind: Some(Binding { exchange, key, retain_handling: subscribe.retain_handling }),
            consumer: Some(consumer),
            receipt: receipt.map(Box::from),
        });
        Ok(())
    }

    /// A queue that ends with its subscription.
    fn transient(&self) -> QueueSettings {
        let settings = self.config.settings();
        QueueSettings {
            durable: false,
            exclusive: true,
            auto_delete: true,
            length_max: Some(u64::from(settings.backlog_messages_max.get())),
            bytes_max: Some(u64::from(settings.backlog_octets_max.get())),
            ..QueueSettings::DURABLE
        }
    }

    /// The name of the queue of a durable subscription.
    fn durable_name(
        &self,
        durable: &Durable<'_>,
        id: Option<&str>,
        destination: &str,
    ) -> Result<Option<Box<[u8]>>, Violation> {
        let name: String = match durable {
            Durable::No => return Ok(None),
            Durable::ById => {
                let id = id.ok_or(Violation::HeaderMissing("id"))?;
                format!("stomp-subscription-{id}-{destination}")
            }
            Durable::Named(name) => {
                let client_id = self.session.client_id.as_deref();
                format!("{}.{name}", client_id.ok_or(Violation::HeaderMissing("client-id"))?)
            }
        };
        Ok(Some(name.into_bytes().into()))
    }

    fn add(&mut self, subscribe: &Subscribe<'_>, source: Source) -> Result<u32, Error> {
        let number = self.session.subscriptions.next_number().ok_or(Refused::TooManySubscriptions)?;
        let prefetch = self.config.prefetch(subscribe.prefetch_messages, subscribe.prefetch_octets);
        let id = subscribe.id.as_deref();
        let Subscribe { destination, ack, .. } = subscribe;
        let added = Subscription::new(number, id, destination, *ack, source, prefetch, self.version);
        let is_stream = subscribe.stream_offset.is_some();
        self.session.subscriptions.add(Subscription { is_stream, ..added });
        Ok(number)
    }

    fn consumer(
        &self,
        subscribe: &Subscribe<'_>,
        number: u32,
        queue: Box<[u8]>,
    ) -> Result<Consumer, Violation> {
        let settled = subscribe.ack == AckMode::Auto;
        let prefetch = self.config.prefetch(subscribe.prefetch_messages, subscribe.prefetch_octets);
        Ok(Consumer {
            consumer: ConsumerId(number),
            queue,
            settled,
            exclusive: subscribe.exclusive,
            priority: subscribe.priority,
            no_local: subscribe.no_local,
            selector: subscribe.selector.as_deref().map(Box::from),
            offset: subscribe.stream_offset.as_deref().map(mapping::stream_offset).transpose()?,
            credit: if settled { mynah_stack::Credit::UNLIMITED } else { prefetch },
        })
    }

    fn subscribing(&mut self, subscribing: Subscribing) {
        self.session.job = Some(Job::Subscribing(Box::new(subscribing)));
    }

    /// The broker's queue for a temporary queue or topic that is there.
    pub(super) fn temporary(&self, temporary: &Temporary) -> Option<&[u8]> {
        let (_, queue) = self.session.temporary.iter().find(|(own, _)| own == temporary)?;
        Some(queue)
    }

    /// Makes a temporary queue, or a temporary topic, which is called as its queue is: no other is. The frame that named it
    /// is read again then.
    pub(super) fn make_temporary(&mut self, temporary: Temporary, subscribes: bool) -> Result<(), Error> {
        if self.session.temporary.len() >= self.config.settings().subscriptions_max {
            return Err(Refused::TooManySubscriptions.into());
        }
        let settings = QueueSettings { auto_delete: false, ..self.transient() };
        let declare =
            Todo::Declare { receipt: u32::from(JOB), queue: Box::default(), settings: Some(settings) };
        self.session.todo.push_back(declare);
        // RabbitMQ's clients get replies without asking for them.
        let is_rabbitmq = self.config.settings().profile == Profile::RabbitMq;
        let subscribes = subscribes && is_rabbitmq && !temporary.is_topic;
        self.session.job = Some(Job::MakingTemporary { temporary, subscribes });
        Ok(())
    }

    /// Has a queue made, if it is not there, before the first message goes to it: the frame is read again then. A message
    /// that goes out before all workers see the queue goes nowhere.
    pub(super) fn make_on_first_use(&mut self, name: &[u8], settings: Option<QueueSettings>) {
        self.session.todo.push_back(Todo::Declare { receipt: u32::from(JOB), queue: name.into(), settings });
        self.session.job = Some(Job::MakingQueue(name.into()));
    }

    /// Goes on with what several commands were needed for, now that a queue has its name.
    pub(super) fn go_on_with(&mut self, queue: &[u8], out: &mut Outbound) {
        match self.session.job.take() {
            Some(Job::MakingTemporary { temporary, subscribes }) => {
                if subscribes {
                    self.subscribe_to_replies(&temporary.name, queue);
                }
                self.session.temporary.push((temporary, queue.into()));
            }
            Some(Job::MakingQueue(name)) => {
                if self.session.made.len() >= self.config.settings().queues_max {
                    self.session.made.clear();
                }
                self.session.made.insert(name);
            }
            Some(Job::Subscribing(mut subscribing)) => {
                if let Some(consumer) = &mut subscribing.consumer {
                    consumer.queue = queue.into();
                }
                self.session.job = Some(Job::Subscribing(subscribing));
                self.go_on(Ok(()), out);
            }
            job => self.session.job = job,
        }
    }

    /// Replies come as if the client had subscribed under the name of its temporary queue.
    fn subscribe_to_replies(&mut self, name: &str, queue: &[u8]) {
        let Some(number) = self.session.subscriptions.next_number() else { return };
        let id = format!("/temp-queue/{name}");
        let credit = mynah_stack::Credit::UNLIMITED;
        self.session.subscriptions.add(Subscription::new(
            number,
            Some(&id),
            &id,
            AckMode::Auto,
            Source::Queue(queue.into()),
            credit,
            self.version,
        ));
        self.session.todo.push_back(Todo::Consume(Box::new(Consumer {
            consumer: ConsumerId(number),
            queue: queue.into(),
            settled: true,
            exclusive: false,
            priority: 0,
            no_local: false,
            selector: None,
            offset: None,
            credit,
        })));
        self.subscribing(Subscribing::default());
    }

    /// Goes on with what several commands are needed for, or ends it.
    pub(super) fn go_on(&mut self, result: Result<(), Refusal<'_>>, out: &mut Outbound) {
        let receipt = match self.session.job.take() {
            None => return,
            Some(Job::Subscribing(mut subscribing)) if result.is_ok() => {
                if let Some(todo) = subscribing.next() {
                    self.session.todo.push_back(todo);
                    self.session.job = Some(Job::Subscribing(subscribing));
                    return;
                }
                subscribing.receipt
            }
            Some(Job::Unsubscribing { delete: Some(queue), receipt }) if result.is_ok() => {
                self.session.todo.push_back(Todo::Delete { queue });
                self.session.job = Some(Job::Unsubscribing { delete: None, receipt });
                return;
            }
            Some(Job::Subscribing(subscribing)) => subscribing.receipt,
            Some(Job::Unsubscribing { receipt, .. }) => receipt,
            Some(Job::MakingTemporary { .. } | Job::MakingQueue(_)) => None,
        };
        match result {
            Ok(()) => self.say_receipt(receipt.as_deref(), out),
            Err(refusal) => self.refuse(refusal.reason, refusal.detail, receipt.as_deref(), out),
        }
    }

    pub(super) fn receive_unsubscribe(
        &mut self,
        unsubscribe: &Unsubscribe<'_>,
        receipt: Option<&str>,
    ) -> Result<Received<'static>, Error> {
        let id = unsubscribe.id.as_deref();
        let removed = self.session.subscriptions.remove(id, unsubscribe.destination.as_deref());
        let delete = match (&unsubscribe.durable, removed.as_ref().map(|removed| &removed.source)) {
            (Durable::Named(_), _) => self.durable_name(&unsubscribe.durable, None, "")?,
            (Durable::ById, Some(Source::Bound { durable, .. })) => durable.clone(),
            _ => None,
        };
        let receipt = receipt.map(Box::from);
        match removed {
            Some(Subscription { source: Source::Filter(filter), .. }) => {
                self.session.todo.push_back(Todo::Detach { filter });
                self.session.job = Some(Job::Unsubscribing { delete, receipt });
            }
            Some(Subscription { number, .. }) => {
                self.session.todo.push_back(Todo::Cancel(ConsumerId(number)));
                self.session.job = Some(Job::Unsubscribing { delete, receipt });
            }
            None => {
                let queue = delete.ok_or(Violation::SubscriptionUnknown)?;
                self.session.todo.push_back(Todo::Delete { queue });
                self.session.job = Some(Job::Unsubscribing { delete: None, receipt });
            }
        }
        Ok(Received::Answered)
    }
}

impl Subscribing {
    /// The next command.
    fn next(&mut self) -> Option<Todo> {
        let consumer = self.consumer.as_ref()?;
        if let Some(Binding { exchange, key, retain_handling }) = self.bind.take() {
            return Some(Todo::Bind { exchange, queue: consumer.queue.clone(), key, retain_handling });
        }
        self.consumer.take().map(|consumer| Todo::Consume(Box::new(consumer)))
    }
}

/// What Artemis' `destination-type` and `subscription-type` say of a bare name.
pub(super) fn multicast(said: Option<&str>) -> Result<Option<bool>, Violation> {
    match said {
        None => Ok(None),
        Some("MULTICAST") => Ok(Some(true)),
        Some("ANYCAST") => Ok(Some(false)),
        Some(_) => Err(Violation::HeaderValue("destination-type")),
    }
}

/// The exchange `amq.topic` is the topic space.
pub(super) fn topics(target: Target) -> Target {
    match target {
        Target::Exchange { name, key } if name == TOPICS && !key.is_empty() => Target::Topic(key),
        target => target,
    }
}
