//! PUT, POST and DELETE: what becomes a message, and what its publisher is told.

use alloc::boxed::Box;
use alloc::vec::Vec;

use mynah_model::{Condition, Instant, Reason};
use mynah_stack::{Command, Outbound, PublishIf};

use super::exchange::{Carrier, Exchange, Work};
use super::response::Response;
use super::{ServerConnection, Todo};
use crate::Refusal;
use crate::mapping::Publication;
use crate::wire::{Body, Code};

impl ServerConnection {
    /// Publishes the payload of a request. PUT tells whether there was a value before, which has to be looked up.
    pub(super) fn publish<'b>(
        &mut self,
        now: Instant,
        method: Code,
        (topic, body, payload): (&[u8], &Body<'_>, &[u8]),
        exchange: &Exchange,
        out: &mut Outbound,
    ) -> Result<Option<Command<'b>>, Refusal> {
        let is_confirmable = exchange.carrier != Carrier::NonConfirmable;
        let publication = Publication::new(method, (body.options, payload), topic, (now, is_confirmable))?;
        if method == Code::PUT {
            self.read_value(exchange, Work::Look(publication));
            return Ok(None);
        }
        let conditions = exchange.asked.conditions.clone();
        let waits =
            publication.header.class.is_confirmed() || publication.header.retain || !conditions.is_empty();
        let receipt = if waits {
            self.begin_exchange(exchange, Work::Publish { method, is_new: false })
        } else {
            self.respond(now, exchange, &published_response(method, false), out);
            0
        };
        Ok(Some(command(publication, receipt, conditions)))
    }

    /// It is known whether the topic of a PUT has a value: now it gets one.
    pub(super) fn looked(&mut self, receipt: u16, is_new: bool) {
        let Some(exchange) = self.exchange(receipt) else { return };
        let work = Work::Publish { method: Code::PUT, is_new };
        let conditions = exchange.asked.conditions.clone();
        if let Work::Look(publication) = core::mem::replace(&mut exchange.work, work) {
            self.todo.push_back(Todo::Publish(Box::new((publication, receipt, conditions))));
        }
    }

    /// The core has published, or not.
    pub(super) fn published(
        &mut self,
        now: Instant,
        receipt: u16,
        result: Result<bool, Reason>,
        out: &mut Outbound,
    ) {
        if self.exchange(receipt).is_some_and(|exchange| matches!(exchange.work, Work::Await(_))) {
            return self.asked(now, receipt, result, out);
        }
        let Some(exchange) = self.take_exchange(receipt) else { return };
        let Work::Publish { method, is_new } = exchange.work else { return };
        match result {
            Ok(_) => {
                self.respond(now, &exchange, &published_response(method, is_new), out);
            }
            Err(reason) => self.refuse(now, &exchange, Refusal::Core(reason), out),
        }
    }
}

const fn published_response(method: Code, is_new: bool) -> Response<'static> {
    Response::new(match method {
        Code::DELETE => Code::DELETED,
        Code::PUT if is_new => Code::CREATED,
        _ => Code::CHANGED,
    })
}

/// What is retained, and what has conditions, is judged and written in one step.
pub(super) fn command<'b>(publication: Publication, receipt: u16, conditions: Vec<Condition>) -> Command<'b> {
    let is_plain = !publication.header.retain && conditions.is_empty();
    let publish = publication.into_publish(receipt);
    if is_plain {
        return Command::Publish(publish);
    }
    Command::PublishIf(Box::new(PublishIf { publish, conditions }))
}
