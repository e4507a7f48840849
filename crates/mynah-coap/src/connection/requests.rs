//! Requests: to which resource, and what is done about them.

use alloc::string::String;
use alloc::vec::Vec;

use mynah_model::Instant;
use mynah_stack::{Command, Outbound};

use super::asked::{Asked, upload_key};
use super::exchange::{Carrier, Exchange, Work};
use super::response::{Representation, Response};
use super::{ServerConnection, State};
use crate::Refusal;
use crate::flow::{Content, Pieces, Received};
use crate::mapping::{Deed, Resource, Selection};
use crate::wire::link_format::{LinkWriter, links};
use crate::wire::{BlockSize, Body, Code, OptionNumber, Token, content_format};

/// What discovery tells (RFC 6690, section 4; RFC 7252, section 7.2).
const RESOURCES: [(&str, &str); 5] = [
    ("/.well-known/core", ";ct=40"),
    ("/t", ";rt=\"core.ps.data\";ct=60;obs;title=\"topics\""),
    ("/rd", ";rt=\"core.rd\";ct=40"),
    ("/rd-lookup/ep", ";rt=\"core.rd-lookup-ep\";ct=40"),
    ("/rd-lookup/res", ";rt=\"core.rd-lookup-res\";ct=40"),
];
/// How many of them are there without a directory.
const RESOURCES_ALONE: usize = 2;

/// What answers are kept under for the blocks after the first, beside topics, whose names are not empty and do not begin
/// with NUL.
const DISCOVERY_KEY: &[u8] = b"\0core";

impl ServerConnection {
    /// Takes a request that is new.
    pub(super) fn request<'b>(
        &mut self,
        now: Instant,
        body: &Body<'_>,
        (carrier, request_bytes): (Carrier, usize),
        out: &mut Outbound,
    ) -> Option<Command<'b>> {
        let (asked, judged) = match Asked::judge(body) {
            Ok(asked) => (Asked { request_bytes, ..asked }, Ok(())),
            Err(refusal) => (Asked { request_bytes, ..Asked::default() }, Err(refusal)),
        };
        let token = Token::new(body.token);
        let mut exchange = Exchange { receipt: 0, carrier, token, asked, work: Work::None };
        let done = match (judged, self.state) {
            (_, State::Refused(reason)) => {
                self.state = State::Ending(reason);
                Err(Refusal::Core(reason))
            }
            // A critical option that is not known: a message that wants no acknowledgement is passed over (section 5.4.1).
            (Err(Refusal::Option(_)), _) if carrier == Carrier::NonConfirmable => return None,
            (Err(refusal), _) => Err(refusal),
            (Ok(()), _) => self.dispatch(now, body, &mut exchange, out),
        };
        match done {
            Ok(command) => command,
            Err(refusal) => {
                self.refuse(now, &exchange, refusal, out);
                None
            }
        }
    }

    fn dispatch<'b>(
        &mut self,
        now: Instant,
        body: &Body<'_>,
        exchange: &mut Exchange,
        out: &mut Outbound,
    ) -> Result<Option<Command<'b>>, Refusal> {
        if let Some(echo) = exchange.asked.echo {
            self.hear_echo(echo);
        }
        let blocks = [exchange.asked.block1, exchange.asked.block2];
        let has_bert = blocks.into_iter().flatten().any(|block| block.size == BlockSize::BERT);
        if has_bert && exchange.carrier != Carrier::Reliable {
            return Err(Refusal::BlockSize);
        }
        let resource = Resource::find(body.options, self.stack.config.compat)?;
        check_method(&resource, body.code)?;
        let config = &self.stack.config;
        if self.exchanges.len() + self.answers_waiting() >= usize::from(config.exchanges_max) {
            return Err(Refusal::TooManyRequests);
        }
        let announced = exchange.asked.size1.map_or(0, |size| size as usize).max(body.payload.len());
        if announced > config.body_bytes_max as usize {
            return Err(Refusal::TooLarge(config.body_bytes_max));
        }
        let whole;
        let payload = match self.upload(now, body, exchange, out)? {
            None => return Ok(None),
            Some(None) => body.payload,
            Some(Some(bytes)) => {
                whole = bytes;
                &whole
            }
        };
        self.serve(now, resource, (body, payload), exchange, out)
    }

    /// Does what a request that is whole asks for.
    fn serve<'b>(
        &mut self,
        now: Instant,
        resource: Resource,
        (body, payload): (&Body<'_>, &[u8]),
        exchange: &mut Exchange,
        out: &mut Outbound,
    ) -> Result<Option<Command<'b>>, Refusal> {
        match (resource, body.code) {
            (Resource::Answerer(topic), _) => {
                self.ask_answerer(now, (&topic, body, payload), exchange, out).map(|()| None)
            }
            (Resource::Connection, method) => {
                self.greet_client(now, method, exchange, out);
                Ok(None)
            }
            (Resource::Leases(leases), _) => self.lease(now, &leases, body, exchange, out).map(|()| None),
            (Resource::Queue(topic), method) => {
                self.publish(now, method, (&topic, body, payload), exchange, out)
            }
            (Resource::Discovery, _) => self.discover(now, body, exchange, out).map(|()| None),
            (Resource::Topic(topic), Code::GET) => self.get(now, (topic, body), exchange, out).map(|()| None),
            (Resource::Topic(topic), method) => {
                self.publish(now, method, (&topic, body, payload), exchange, out)
            }
            (Resource::Topics, method) => {
                let filters_max = usize::from(self.stack.config.filters_max);
                let mut selection = Selection::of_query(body.options, filters_max)?;
                if method == Code::FETCH && !payload.is_empty() {
                    if !is_cbor(body) {
                        return Err(Refusal::ContentFormat);
                    }
                    selection.of_payload(payload, filters_max)?;
                }
                self.select(now, selection, exchange, out).map(|()| None)
            }
            (resource, _) => {
                self.directory_request(now, &resource, (body, payload), exchange, out).map(|()| None)
            }
        }
    }

    /// Answers a client of EMQX that begins, keeps up or ends a connection: the association is one as it is, so that the
    /// token which further requests are to name says nothing.
    fn greet_client(&mut self, now: Instant, method: Code, exchange: &Exchange, out: &mut Outbound) {
        let token = alloc::format!("{:016x}", self.random.next_number());
        let (code, payload) = match method {
            Code::POST => (Code::CREATED, token.as_bytes()),
            Code::DELETE => (Code::DELETED, &[][..]),
            _ => (Code::CHANGED, &[][..]),
        };
        self.respond(now, exchange, &Response { payload: Pieces::one(payload), ..Response::new(code) }, out);
    }

    /// Takes the payload of a request that comes in blocks. None while it is not whole, and the client has been told; the
    /// inner is none if it came in one piece.
    #[expect(clippy::option_option, reason = "not whole, whole in the message, or whole by itself")]
    fn upload(
        &mut self,
        now: Instant,
        body: &Body<'_>,
        exchange: &Exchange,
        out: &mut Outbound,
    ) -> Result<Option<Option<Vec<u8>>>, Refusal> {
        let Some(block) = exchange.asked.block1 else { return Ok(Some(None)) };
        if block.number == 0 && !block.more {
            return Ok(Some(None));
        }
        let config = self.stack.config.clone();
        let patience = config.exchange_lifetime();
        let uploads = &mut self.bodies().uploads;
        match uploads.take(now, upload_key(body), (block, body.payload), (&config, patience))? {
            Received::Whole(bytes) => Ok(Some(Some(bytes))),
            Received::More => {
                self.respond(now, exchange, &Response::new(Code::CONTINUE), out);
                Ok(None)
            }
        }
    }

    /// Lists resources, those that the query selects.
    fn discover(
        &mut self,
        now: Instant,
        body: &Body<'_>,
        exchange: &Exchange,
        out: &mut Outbound,
    ) -> Result<(), Refusal> {
        if exchange.asked.accept.is_some_and(|format| format != content_format::LINK_FORMAT) {
            return Err(Refusal::NotAcceptable);
        }
        let document = self.discovery(body)?;
        let pieces = Pieces::one(document.as_bytes());
        let tag = pieces.tag();
        if exchange.asked.has(tag) {
            let response = Response { etag: Some(tag), ..Response::new(Code::VALID) };
            self.respond(now, exchange, &response, out);
            return Ok(());
        }
        let representation = Representation {
            tag: Some(tag),
            format: Some(content_format::LINK_FORMAT),
            media_type: &[],
            max_age: None,
            body: pieces,
        };
        let keep = || Content { head: document.as_bytes().into(), tail: None };
        self.respond_with(now, exchange, &representation, (DISCOVERY_KEY, None), keep, out);
        Ok(())
    }

    /// What discovery tells whoever asks this.
    pub(super) fn discovery(&self, body: &Body<'_>) -> Result<String, Refusal> {
        let has_directory = self.stack.directory.is_some();
        discovery(body, if has_directory { &RESOURCES } else { &RESOURCES[..RESOURCES_ALONE] })
    }

    /// Reads a topic's value, the next block of one, or begins or ends an observation.
    fn get(
        &mut self,
        now: Instant,
        (topic, body): (Vec<u8>, &Body<'_>),
        exchange: &mut Exchange,
        out: &mut Outbound,
    ) -> Result<(), Refusal> {
        let selection = Selection::of_query(body.options, 0)?;
        if exchange.asked.block2.is_some_and(|block| block.number > 0) {
            if self.go_on(now, &topic, exchange, out) {
                return Ok(());
            }
        } else {
            match exchange.asked.observe {
                Some(0) => return self.observe(now, topic, selection, exchange),
                Some(1) => self.cancel(&exchange.token),
                _ => {}
            }
        }
        self.read_value(exchange, Work::Read { topic });
        Ok(())
    }

    /// Answers with the next block of what was begun. False if nothing was.
    pub(super) fn go_on(
        &mut self,
        now: Instant,
        key: &[u8],
        exchange: &Exchange,
        out: &mut Outbound,
    ) -> bool {
        let Some(bodies) = &mut self.bodies else { return false };
        let Some(download) = bodies.downloads.find(now, key).cloned() else { return false };
        let representation = Representation::of_download(&download);
        let keep = || Content { head: [].into(), tail: None };
        let (size, bytes) = self.block_size(exchange.asked.block2, representation.body.len());
        let offset = exchange.asked.block2.map_or(0, |block| crate::wire::Block { size, ..block }.offset());
        if offset + bytes >= representation.body.len() {
            self.bodies().downloads.end(key);
        }
        self.respond_with_code(now, exchange, (download.code, &representation), (key, None), keep, out);
        true
    }

    /// Begins an exchange whose answer needs a value.
    pub(super) fn read_value(&mut self, exchange: &Exchange, work: Work) {
        let receipt = self.begin_exchange(exchange, work);
        self.reads.push_back(receipt);
    }

    /// Keeps a request until the core has answered.
    pub(super) fn begin_exchange(&mut self, exchange: &Exchange, work: Work) -> u16 {
        let receipt = self.next_receipt();
        if self.exchanges.capacity() == 0 {
            // Most peers have one at a time.
            self.exchanges.reserve_exact(1);
        }
        self.exchanges.push(Exchange { receipt, work, ..exchange.clone() });
        receipt
    }
}

/// Whether a resource has a method.
fn check_method(resource: &Resource, method: Code) -> Result<(), Refusal> {
    let is_there = match resource {
        Resource::Discovery | Resource::Lookup(_) => method == Code::GET,
        Resource::Directory | Resource::SimpleRegistration => method == Code::POST,
        Resource::Registration(_) => matches!(method, Code::POST | Code::DELETE),
        Resource::Answerer(_) => Code::GET.byte() <= method.byte() && method.byte() <= Code::IPATCH.byte(),
        Resource::Connection => matches!(method, Code::POST | Code::PUT | Code::DELETE),
        Resource::Queue(_) => method == Code::POST,
        Resource::Leases(leases) => {
            let wanted = match leases.lease {
                Some((_, _, Deed::Accept)) => Code::DELETE,
                _ => Code::POST,
            };
            method == wanted
        }
        Resource::Topics => matches!(method, Code::GET | Code::FETCH),
        Resource::Topic(_) => matches!(method, Code::GET | Code::PUT | Code::POST | Code::DELETE),
    };
    is_there.then_some(()).ok_or(Refusal::Method)
}

/// Whether a payload is said to be CBOR, or nothing is said.
fn is_cbor(body: &Body<'_>) -> bool {
    let format = body.options.first(OptionNumber::CONTENT_FORMAT).and_then(crate::wire::read_uint);
    format.is_none_or(|format| format == u32::from(content_format::CBOR))
}

/// The links that every part of the query selects.
fn discovery(body: &Body<'_>, resources: &[(&str, &str)]) -> Result<String, Refusal> {
    let mut queries = Vec::new();
    for query in body.options.all(OptionNumber::URI_QUERY) {
        queries.push(core::str::from_utf8(query).map_err(|_| Refusal::Option(OptionNumber::URI_QUERY))?);
    }
    let mut all = LinkWriter::default();
    resources.iter().for_each(|(target, attributes)| all.put(target, attributes));
    let all = all.finish();
    let mut selected = LinkWriter::default();
    for (link, (target, attributes)) in links(&all).flatten().zip(resources) {
        if queries.iter().all(|query| link.is_selected_by(query)) {
            selected.put(target, attributes);
        }
    }
    Ok(selected.finish())
}
