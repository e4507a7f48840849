//! Requests of this peer to whoever answers them, by whatever protocol: `/r/…` (`docs/mapping.md`).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use mynah_model::{Instant, Reason};
use mynah_stack::Outbound;

use super::exchange::{Exchange, Work};
use super::response::Representation;
use super::{ServerConnection, Todo};
use crate::Refusal;
use crate::flow::Content;
use crate::mapping::{Addressed, Note, Publication, REPLY, code_of_answer, effective};
use crate::wire::{Body, OptionNumber, content_format, read_uint};

/// A request that is on its way.
#[derive(Clone, Debug)]
pub(super) struct Brokered {
    /// The subscription to its answer.
    number: u32,
    reply_to: Box<[u8]>,
    due: Instant,
    /// Somebody has it. What the core has not answered is not given up, so that no more is asked of it than there are
    /// exchanges.
    is_asked: bool,
    /// What is published once the answer can come.
    publication: Option<Publication>,
    /// What the answer's blocks after the first are kept under.
    key: Box<[u8]>,
}

impl Brokered {
    /// Until when the answer is waited for, once somebody is asked.
    pub(super) fn due(&self) -> Option<Instant> {
        self.is_asked.then_some(self.due)
    }
}

impl ServerConnection {
    /// Asks who answers on `topic`.
    pub(super) fn ask_answerer(
        &mut self,
        now: Instant,
        (topic, body, payload): (&[u8], &Body<'_>, &[u8]),
        exchange: &Exchange,
        out: &mut Outbound,
    ) -> Result<(), Refusal> {
        let key: Box<[u8]> = [b"\0r", topic].concat().into();
        let later = exchange.asked.block2.is_some_and(|block| block.number > 0);
        if later && self.go_on(now, &key, exchange, out) {
            return Ok(());
        }
        let max = self.stack.config.request_timeout;
        let (mut patience, mut properties) = (max, Vec::new());
        for part in body.options.all(OptionNumber::URI_QUERY) {
            let part = core::str::from_utf8(part).map_err(|_| Refusal::Option(OptionNumber::URI_QUERY))?;
            match part.split_once('=').unwrap_or((part, "")) {
                ("timeout", value) => {
                    let seconds = value.parse::<u32>().ok().filter(|seconds| *seconds > 0);
                    patience = Duration::from_secs(seconds.ok_or(Refusal::Query)?.into()).min(max);
                }
                // It is the request's own.
                ("method", _) => return Err(Refusal::Query),
                pair => properties.push(pair),
            }
        }
        let format = body.options.first(OptionNumber::CONTENT_FORMAT).and_then(read_uint);
        let format = format.and_then(|format| u16::try_from(format).ok());
        let number = self.observations.free_number();
        let token = [self.random.next_number(), self.random.next_number()];
        let reply_to: Box<[u8]> =
            [REPLY, alloc::format!("{:016x}{:016x}", token[0], token[1]).as_bytes()].concat().into();
        let due = now + patience;
        let said = Addressed {
            topic,
            reply_to: &reply_to,
            correlation: exchange.token.as_bytes(),
            format: format.filter(|_| !payload.is_empty()).unwrap_or(crate::mapping::NO_FORMAT),
            deadline: Some(due),
            ..Addressed::default()
        };
        let publication = Some(said.request(body.code, properties.into_iter(), payload)?);
        let brokered =
            Brokered { number, reply_to: reply_to.clone(), due, is_asked: false, publication, key };
        let receipt = self.begin_exchange(exchange, Work::Await(Box::new(brokered)));
        self.subscribe_plainly(receipt, number, reply_to.into());
        Ok(())
    }

    /// Its answer can come now, or not.
    pub(super) fn may_ask(
        &mut self,
        now: Instant,
        receipt: u16,
        refused: Option<Reason>,
        out: &mut Outbound,
    ) {
        let Some(exchange) = self.exchange(receipt) else { return };
        let Work::Await(brokered) = &mut exchange.work else { return };
        match (refused, brokered.publication.take()) {
            (None, Some(publication)) => {
                self.todo.push_back(Todo::Publish(Box::new((publication, receipt, Vec::new()))));
            }
            (Some(reason), _) => self.end_asking(now, receipt, Refusal::Core(reason), out),
            (None, None) => {}
        }
    }

    /// It was published: somebody has it, or nobody.
    pub(super) fn asked(
        &mut self,
        now: Instant,
        receipt: u16,
        result: Result<bool, Reason>,
        out: &mut Outbound,
    ) {
        match result {
            Ok(true) => {
                if let Some(Exchange { work: Work::Await(brokered), .. }) = self.exchange(receipt) {
                    brokered.is_asked = true;
                }
            }
            Ok(false) => self.end_asking(now, receipt, Refusal::NobodyAnswers, out),
            Err(reason) => self.end_asking(now, receipt, Refusal::Core(reason), out),
        }
    }

    /// Gives up what is not answered in time.
    pub(super) fn askings_due(&mut self, now: Instant, out: &mut Outbound) {
        while let Some(exchange) =
            self.exchanges.iter().find(|e| e.answer_due().is_some_and(|due| due <= now))
        {
            self.end_asking(now, exchange.receipt, Refusal::NoAnswer, out);
        }
    }

    fn end_asking(&mut self, now: Instant, receipt: u16, refusal: Refusal, out: &mut Outbound) {
        let Some(exchange) = self.take_exchange(receipt) else { return };
        if let Work::Await(brokered) = &exchange.work {
            self.unsubscribe(&brokered.reply_to);
        }
        self.refuse(now, &exchange, refusal, out);
    }

    /// Takes a delivery that is an answer; false if it is another.
    pub(super) fn take_answer(
        &mut self,
        now: Instant,
        number: u32,
        note: &Note<'_>,
        out: &mut Outbound,
    ) -> bool {
        let is_this = |e: &&Exchange| matches!(&e.work, Work::Await(b) if b.number == number);
        let Some(receipt) = self.exchanges.iter().find(is_this).map(|e| e.receipt) else { return false };
        let Some(exchange) = self.take_exchange(receipt) else { return false };
        let Work::Await(brokered) = &exchange.work else { return false };
        self.unsubscribe(&brokered.reply_to);
        let format = Some(note.format).filter(|format| *format != crate::mapping::NO_FORMAT);
        if let (Some(accept), Some(format)) = (exchange.asked.accept, format)
            && accept != effective(format)
        {
            self.refuse(now, &exchange, Refusal::NotAcceptable, out);
            return true;
        }
        let body = note.pieces(false);
        let representation = Representation {
            tag: None,
            format: format.or((!body.is_empty()).then_some(content_format::OCTET_STREAM)),
            media_type: note.media_type,
            max_age: None,
            body,
        };
        let keep = || -> Content { note.content(false) };
        let code = code_of_answer(note);
        self.respond_with_code(now, &exchange, (code, &representation), (&brokered.key, None), keep, out);
        true
    }
}
