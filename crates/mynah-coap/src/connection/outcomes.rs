//! What the core says to what it was asked, and the end of an association.

use alloc::vec::Vec;

use mynah_model::{Instant, Reason};
use mynah_stack::{Outbound, Value};

use super::device::LOOKUP;
use super::exchange::Work;
use super::response::Response;
use super::{ServerConnection, State};
use crate::Refusal;
use crate::mapping::{effective, format_of};
use crate::wire::{Code, content_format};

impl Work {
    /// The topic whose value is wanted.
    pub(super) fn topic(&self) -> Option<&[u8]> {
        match self {
            Self::Read { topic } | Self::Begin { topic, .. } => Some(topic),
            Self::LookUp { .. } => Some(LOOKUP),
            Self::Look(publication) => publication.native.get(publication.header.topic_range()),
            _ => None,
        }
    }
}

impl ServerConnection {
    /// The value that was read last.
    pub(super) fn value(
        &mut self,
        now: Instant,
        result: Result<Option<&Value<'_>>, Reason>,
        out: &mut Outbound,
    ) {
        self.is_reading = false;
        let Some(receipt) = self.reads.pop_front() else { return };
        if self.exchange(receipt).is_some_and(|exchange| matches!(exchange.work, Work::Look(_))) {
            match result {
                Ok(value) => return self.looked(receipt, value.is_none()),
                // Who may not read may still write: nobody is told whether there was a value.
                Err(_) => return self.looked(receipt, false),
            }
        }
        let Some(exchange) = self.take_exchange(receipt) else { return };
        let answer = match (&exchange.work, result) {
            (_, Err(reason)) => Err(Refusal::Core(reason)),
            (Work::Read { topic }, Ok(Some(value))) => match is_acceptable(exchange.asked.accept, value) {
                true => {
                    self.respond_with_value(now, &exchange, value, (topic, None), out);
                    Ok(())
                }
                false => Err(Refusal::NotAcceptable),
            },
            (Work::LookUp { lookup, query }, Ok(_)) => self.look_up(now, &exchange, (*lookup, query), out),
            (Work::Read { .. }, Ok(None)) if !exchange.asked.conditions.is_empty() => {
                Err(Refusal::Core(Reason::ConditionFailed))
            }
            (Work::Read { .. }, Ok(None)) => Err(Refusal::NoValue),
            (Work::Begin { number, topic }, Ok(value)) => {
                self.begin_observation(now, &exchange, (*number, topic), value, out)
            }
            _ => return,
        };
        if let Err(refusal) = answer {
            if let Work::Begin { number, .. } = exchange.work {
                self.end_observation(number);
            }
            self.refuse(now, &exchange, refusal, out);
        }
        self.flush(now, out);
    }

    /// The first answer to an observer: the value, or that there is none yet.
    fn begin_observation(
        &mut self,
        now: Instant,
        exchange: &super::exchange::Exchange,
        (number, topic): (u32, &[u8]),
        value: Option<&Value<'_>>,
        out: &mut Outbound,
    ) -> Result<(), Refusal> {
        let accept = exchange.asked.accept;
        if value.is_some_and(|value| !is_acceptable(accept, value)) {
            return Err(Refusal::NotAcceptable);
        }
        let first = accept.unwrap_or(content_format::OCTET_STREAM);
        let format = value.map_or(first, |value| effective(format_of(&value.properties).0));
        let Some(observation) = self.observations.by_number(number) else { return Ok(()) };
        observation.is_begun = true;
        observation.format = Some(format);
        let sequence = Some(observation.next_sequence());
        let is_answered = match value {
            Some(value) => self.respond_with_value(now, exchange, value, (topic, sequence), out),
            None => {
                let response =
                    Response { observe: sequence, format: Some(format), ..Response::new(Code::CONTENT) };
                self.respond(now, exchange, &response, out)
            }
        };
        if !is_answered {
            self.end_observation(number);
        }
        self.rest();
        Ok(())
    }

    /// Gives back the memory of what is done: observers are many, and most of them say nothing more for long.
    pub(super) fn rest(&mut self) {
        if self.exchanges.is_empty() {
            self.exchanges = Vec::new();
        }
        self.todo.shrink_to_fit();
        self.reads.shrink_to_fit();
    }

    /// The association is over: observers are told, and who has asked something.
    pub(super) fn end(&mut self, now: Instant, reason: Reason, out: &mut Outbound) {
        if matches!(self.state, State::Ending(_) | State::Closed) {
            return;
        }
        let exchanges: Vec<_> = core::mem::take(&mut self.exchanges);
        for exchange in &exchanges {
            self.refuse(now, exchange, Refusal::Core(reason), out);
        }
        for observation in self.observations.take_all() {
            self.send_last(&observation, Refusal::Core(reason), out);
        }
        self.release(out);
        self.state = State::Ending(reason);
    }
}

/// Whether a value is in the format that is asked for (RFC 7252, section 5.10.4).
fn is_acceptable(accept: Option<u16>, value: &Value<'_>) -> bool {
    accept.is_none_or(|accept| accept == effective(format_of(&value.properties).0))
}
