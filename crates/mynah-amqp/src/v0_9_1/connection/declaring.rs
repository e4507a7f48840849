//! Queues, exchanges and bindings: methods of the classes queue and exchange become commands.

use alloc::boxed::Box;
use alloc::format;

use mynah_stack::{ConsumerId, Declaration, Outbound};

use super::ServerConnection;
use super::consuming::REPLY_TO;
use super::jobs::Kind;
use super::prepared::{Binding, Named, Todo};
use crate::v0_9_1::mapping::entities;
use crate::v0_9_1::wire::{Method, MethodId, ShortStr, Table, exchange, queue};
use crate::v0_9_1::{Exception, ReplyCode};

/// Names that begin so are the broker's.
const RESERVED: &[u8] = b"amq.";

impl ServerConnection {
    /// Handles the methods of the class queue.
    pub(super) fn handle_queue(
        &mut self,
        number: u16,
        method: &Method<'_>,
        out: &mut Outbound,
    ) -> Result<(), Exception> {
        match method {
            Method::QueueDeclare(declare) if declare.queue.as_bytes() == REPLY_TO => {
                // It is there for everybody.
                if !declare.no_wait {
                    let queue = declare.queue;
                    self.send(number, queue::DeclareOk { queue, message_count: 0, consumer_count: 1 }, out);
                }
                Ok(())
            }
            Method::QueueDeclare(declare) => self.declare_queue(number, declare),
            Method::QueueBind(bind) => {
                let queue = self.queue_named(number, bind.queue, queue::Bind::ID)?;
                // Without both names the queue's own is the key.
                let key = match (bind.queue.is_empty(), bind.routing_key.is_empty()) {
                    (true, true) => queue.clone(),
                    _ => bind.routing_key.as_bytes().into(),
                };
                let binding = binding(false, bind.exchange, Named::Queue(queue), &key, bind.arguments);
                self.bind(number, queue::Bind::ID, bind.no_wait, binding)
            }
            Method::QueueUnbind(unbind) => {
                let queue = self.queue_named(number, unbind.queue, queue::Unbind::ID)?;
                let key = unbind.routing_key.as_bytes();
                let binding = binding(true, unbind.exchange, Named::Queue(queue), key, unbind.arguments);
                self.bind(number, queue::Unbind::ID, false, binding)
            }
            Method::QueuePurge(purge) => {
                let queue = self.queue_named(number, purge.queue, queue::Purge::ID)?;
                let todo = Todo::Purge(queue.clone());
                self.begin(number, queue::Purge::ID, !purge.no_wait, &queue, Kind::Plain, todo);
                Ok(())
            }
            Method::QueueDelete(delete) => {
                let queue = self.queue_named(number, delete.queue, queue::Delete::ID)?;
                self.forget_pollers(&queue);
                let todo = Todo::Delete {
                    entity: Named::Queue(queue.clone()),
                    if_unused: delete.if_unused,
                    if_empty: delete.if_empty,
                };
                self.begin(number, queue::Delete::ID, !delete.no_wait, &queue, Kind::Plain, todo);
                Ok(())
            }
            method => Err(not_served(method.id())),
        }
    }

    /// Handles the methods of the class exchange.
    pub(super) fn handle_exchange(&mut self, number: u16, method: &Method<'_>) -> Result<(), Exception> {
        match method {
            Method::ExchangeDeclare(declare) => self.declare_exchange(number, declare),
            Method::ExchangeDelete(delete) => {
                let name = delete.exchange.as_bytes();
                check_exchange(name, exchange::Delete::ID)?;
                if name.starts_with(RESERVED) {
                    let text = format!("operation not permitted on the exchange '{}'", delete.exchange);
                    return Err(Exception::new(ReplyCode::AccessRefused, exchange::Delete::ID, text));
                }
                let entity = Named::Exchange(name.into());
                let todo = Todo::Delete { entity, if_unused: delete.if_unused, if_empty: false };
                self.begin(number, exchange::Delete::ID, !delete.no_wait, name, Kind::Plain, todo);
                Ok(())
            }
            Method::ExchangeBind(bind) => {
                let destination = bind.destination.as_bytes();
                check_exchange(destination, exchange::Bind::ID)?;
                let (to, key) = (Named::Exchange(destination.into()), bind.routing_key.as_bytes());
                let binding = binding(false, bind.source, to, key, bind.arguments);
                self.bind(number, exchange::Bind::ID, bind.no_wait, binding)
            }
            Method::ExchangeUnbind(unbind) => {
                let destination = unbind.destination.as_bytes();
                check_exchange(destination, exchange::Unbind::ID)?;
                let (to, key) = (Named::Exchange(destination.into()), unbind.routing_key.as_bytes());
                let binding = binding(true, unbind.source, to, key, unbind.arguments);
                self.bind(number, exchange::Unbind::ID, unbind.no_wait, binding)
            }
            method => Err(not_served(method.id())),
        }
    }

    fn declare_queue(&mut self, number: u16, declare: &queue::Declare<'_>) -> Result<(), Exception> {
        let method = queue::Declare::ID;
        let name: Box<[u8]> = match (declare.passive, declare.queue.is_empty()) {
            (true, true) => self.queue_named(number, declare.queue, method)?,
            _ => declare.queue.as_bytes().into(),
        };
        let is_reserved = name.starts_with(RESERVED);
        let declaration = if declare.passive || is_reserved {
            Declaration::Passive
        } else {
            let settings = entities::queue_settings(declare);
            Declaration::Queue(settings.map_err(|text| unusable(method, &text, declare.queue))?)
        };
        let kind = if is_reserved && !declare.passive { Kind::Reserved } else { Kind::Plain };
        let todo = Todo::Declare(Named::Queue(name.clone()), Some(declaration));
        self.begin(number, method, !declare.no_wait, &name, kind, todo);
        Ok(())
    }

    fn declare_exchange(&mut self, number: u16, declare: &exchange::Declare<'_>) -> Result<(), Exception> {
        let (method, name) = (exchange::Declare::ID, declare.exchange.as_bytes());
        let declaration = if declare.passive {
            Declaration::Passive
        } else {
            check_exchange(name, method)?;
            let settings = entities::exchange_settings(declare);
            match settings.map_err(|text| unusable(method, &text, declare.exchange))? {
                Some(settings) => Declaration::Exchange(settings),
                None => {
                    let text = format!("unknown exchange type '{}'", declare.r#type);
                    return Err(Exception::new(ReplyCode::CommandInvalid, method, text));
                }
            }
        };
        let is_reserved = name.starts_with(RESERVED) && !declare.passive;
        let kind = if is_reserved { Kind::Reserved } else { Kind::Plain };
        let todo = Todo::Declare(Named::Exchange(name.into()), Some(declaration));
        self.begin(number, method, !declare.no_wait, name, kind, todo);
        Ok(())
    }

    fn bind(
        &mut self,
        number: u16,
        method: MethodId,
        no_wait: bool,
        binding: Binding,
    ) -> Result<(), Exception> {
        check_exchange(&binding.source, method)?;
        let name = match &binding.destination {
            Named::Queue(name) | Named::Exchange(name) => name.clone(),
        };
        self.begin(number, method, !no_wait, &name, Kind::Plain, Todo::Bind(Box::new(binding)));
        Ok(())
    }

    /// The queue of this name, or the one that was declared last on the channel.
    pub(super) fn queue_named(
        &self,
        number: u16,
        name: ShortStr<'_>,
        method: MethodId,
    ) -> Result<Box<[u8]>, Exception> {
        if !name.is_empty() {
            return Ok(name.as_bytes().into());
        }
        match self.channels.get(&number).map(|channel| &channel.last_queue) {
            Some(last) if !last.is_empty() => Ok(last.clone()),
            _ => Err(Exception::new(ReplyCode::NotFound, method, "no previously declared queue")),
        }
    }

    /// A queue goes: who polls it begins anew.
    fn forget_pollers(&mut self, queue: &[u8]) {
        let numbers: alloc::vec::Vec<u32> =
            self.channels.values_mut().filter_map(|channel| channel.poller.take()).collect();
        for consumer in numbers {
            if self.consumers.get(consumer).is_some_and(|found| *found.queue != *queue) {
                let channel = self.consumers.get(consumer).map_or(0, |found| found.channel);
                if let Some(channel) = self.channels.get_mut(&channel) {
                    channel.poller = Some(consumer);
                }
                continue;
            }
            self.consumers.remove(consumer);
            self.todo.push_back(Todo::Cancel { consumer: ConsumerId(consumer), keep: true });
        }
    }
}

fn binding(
    is_undone: bool,
    source: ShortStr<'_>,
    destination: Named,
    key: &[u8],
    arguments: Table<'_>,
) -> Binding {
    Binding {
        is_undone,
        source: source.as_bytes().into(),
        destination,
        key: entities::binding_key(key),
        arguments: entities::binding_arguments(arguments),
    }
}

/// The default exchange is bound to every queue, and that is all.
fn check_exchange(name: &[u8], method: MethodId) -> Result<(), Exception> {
    if name.is_empty() {
        let text = "operation not permitted on the default exchange";
        return Err(Exception::new(ReplyCode::AccessRefused, method, text));
    }
    Ok(())
}

fn unusable(method: MethodId, text: &str, name: ShortStr<'_>) -> Exception {
    Exception::new(ReplyCode::PreconditionFailed, method, format!("invalid argument: {text} ('{name}')"))
}

pub(super) fn not_served(method: MethodId) -> Exception {
    Exception::new(ReplyCode::NotImplemented, method, format!("{method} is not served here"))
}
