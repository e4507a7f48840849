//! Devices: the peer registers in the Resource Directory (RFC 9176), and gets the requests to it as long as it is.
//!
//! A registration subscribes to the topics of requests to the endpoint, so that the rules for subscribing say who may be
//! which endpoint; who updates or removes one takes it over the same way.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use mynah_model::{Class, Instant, Reason, RetainHandling, SubscriptionId, SubscriptionOptions};
use mynah_stack::Outbound;

use super::calling::{Asker, Call};
use super::exchange::{Exchange, Work};
use super::named::{Named, NamedRequest};
use super::response::{Representation, Response};
use super::{ServerConnection, Todo};
use crate::Refusal;
use crate::directory::{Directory, LIFETIME_DEFAULT, Lookup, NAME_BYTES_MAX, Registration};
use crate::flow::{Content, Pieces};
use crate::mapping::{Demand, Note, REQUEST, Resource, topic_of_segments};
use crate::wire::link_format::links;
use crate::wire::{Body, Code, OptionNumber, content_format, read_uint};

/// The topic that is asked for its value before a lookup: who may not subscribe to it may look nobody up.
pub(super) const LOOKUP: &[u8] = b"$rd";
/// What a lookup's blocks after the first are kept under.
const LOOKUP_KEY: &[u8] = b"\0rd";

/// What an association is to the broker that asks it.
#[derive(Debug, Default)]
pub(super) struct Device {
    registered: Vec<Registered>,
    pub(super) calls: Vec<Call>,
    /// The last call that was answered: its answer may come again.
    pub(super) last_answered: Option<u32>,
}

/// A registration that this association holds.
#[derive(Debug)]
struct Registered {
    /// The subscription to its requests.
    number: u32,
    registration: u64,
    filter: Box<[u8]>,
    expires_at: Instant,
}

/// A change of the directory that waits until it is known whether the peer may be this endpoint.
#[derive(Clone, Debug)]
pub(super) struct Registering {
    number: u32,
    filter: Box<[u8]>,
    said: Registration,
    kind: Change,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    New,
    /// The links are to be fetched.
    Simple,
    Update(u64),
    Remove(u64),
}

impl ServerConnection {
    pub(super) fn device(&mut self) -> &mut Device {
        self.device.get_or_insert_default()
    }

    fn with_directory<T>(&self, work: impl FnOnce(&mut Directory) -> T) -> Option<T> {
        let (mut work, mut done) = (Some(work), None);
        self.stack.directory.as_ref()?.with(&mut |directory| {
            done = work.take().map(|work| work(directory));
        });
        done
    }

    /// Takes a request that is about the directory.
    pub(super) fn directory_request(
        &mut self,
        now: Instant,
        resource: &Resource,
        (body, payload): (&Body<'_>, &[u8]),
        exchange: &Exchange,
        out: &mut Outbound,
    ) -> Result<(), Refusal> {
        if self.stack.directory.is_none() {
            return Err(Refusal::UnknownPath);
        }
        let (said, kind) = match *resource {
            Resource::Lookup(lookup) => return self.begin_lookup(now, lookup, body, exchange, out),
            Resource::Registration(number) => {
                let found = self.with_directory(|directory| directory.get(now, number).cloned());
                let mut said = found.flatten().ok_or(Refusal::NoRegistration)?;
                if body.code == Code::DELETE {
                    (said, Change::Remove(number))
                } else {
                    if !payload.is_empty() {
                        return Err(Refusal::Links);
                    }
                    read_query(body, &mut said, false)?;
                    (said, Change::Update(number))
                }
            }
            Resource::SimpleRegistration => {
                let mut said = Registration::default();
                read_query(body, &mut said, true)?;
                if said.base.is_some() || !payload.is_empty() {
                    return Err(Refusal::Query);
                }
                (said, Change::Simple)
            }
            _ => {
                let mut said = Registration::default();
                read_query(body, &mut said, true)?;
                let format = body.options.first(OptionNumber::CONTENT_FORMAT).and_then(read_uint);
                if !payload.is_empty() && format.is_some_and(|f| f != content_format::LINK_FORMAT.into()) {
                    return Err(Refusal::ContentFormat);
                }
                said.links = self.check_links(payload)?;
                (said, Change::New)
            }
        };
        self.begin_registering(said, kind, exchange)
    }

    /// A document of links that may be kept.
    fn check_links(&self, payload: &[u8]) -> Result<Box<str>, Refusal> {
        let max = self.stack.config.registration_bytes_max;
        if payload.len() > max as usize {
            return Err(Refusal::TooLarge(max));
        }
        let text = core::str::from_utf8(payload).map_err(|_| Refusal::Links)?;
        let is_sound = links(text).all(|link| link.is_ok()) && !text.contains(char::is_control);
        if is_sound { Ok(text.into()) } else { Err(Refusal::Links) }
    }

    /// Subscribes to the requests to an endpoint: only who may can be it.
    fn begin_registering(
        &mut self,
        said: Registration,
        kind: Change,
        exchange: &Exchange,
    ) -> Result<(), Refusal> {
        let max = usize::from(self.stack.config.observations_max);
        if self.device().registered.len() >= max {
            return Err(Refusal::TooManyRequests);
        }
        let endpoint = topic_of_segments([said.name.as_bytes()].into_iter())?.unwrap_or_default();
        let filter: Box<[u8]> = [REQUEST, &endpoint, b"/#"].concat().into();
        let number = self.observations.free_number();
        let registering = Registering { number, filter: filter.clone(), said, kind };
        let receipt = self.begin_exchange(exchange, Work::Register(Box::new(registering)));
        self.subscribe_plainly(receipt, number, filter.into());
        Ok(())
    }

    /// Subscribes to what is meant for this association alone: nothing is retained there, and who has asked asks again.
    pub(super) fn subscribe_plainly(&mut self, receipt: u16, number: u32, name: Vec<u8>) {
        let options = SubscriptionOptions {
            retain_handling: RetainHandling::Never,
            separate: true,
            id: SubscriptionId::new(number),
            ..SubscriptionOptions::new(Class::AtMostOnce)
        };
        let request = NamedRequest::Subscribe { receipt, options };
        self.todo.push_back(Todo::Named(Named { request, name }));
    }

    pub(super) fn unsubscribe(&mut self, name: &[u8]) {
        let request = NamedRequest::Unsubscribe { receipt: 0 };
        self.todo.push_back(Todo::Named(Named { request, name: name.to_vec() }));
    }

    /// It is known whether the peer may be the endpoint.
    pub(super) fn may_register(
        &mut self,
        now: Instant,
        exchange: &Exchange,
        registering: Registering,
        refused: Option<Reason>,
        out: &mut Outbound,
    ) {
        if let Some(reason) = refused {
            return self.refuse(now, exchange, Refusal::Core(reason), out);
        }
        let changed = match registering.kind {
            Change::Simple => {
                self.respond(now, exchange, &Response::new(Code::CHANGED), out);
                let demand = Demand::get(&[".well-known", "core"]);
                return self.call(now, demand, Asker::Directory(Box::new(registering)), out);
            }
            Change::Remove(number) => {
                self.with_directory(|directory| directory.remove(number));
                self.forget_registered(&registering.filter);
                self.unsubscribe(&registering.filter);
                Ok(Response::new(Code::DELETED))
            }
            Change::Update(_) => self.enter(now, registering).map(|_| Response::new(Code::CHANGED)),
            Change::New => self
                .enter(now, registering)
                .map(|number| Response { location: Some(number), ..Response::new(Code::CREATED) }),
        };
        match changed {
            Ok(response) => drop(self.respond(now, exchange, &response, out)),
            Err(refusal) => self.refuse(now, exchange, refusal, out),
        }
    }

    /// Writes the directory, and remembers what is held here.
    fn enter(&mut self, now: Instant, registering: Registering) -> Result<u64, Refusal> {
        let Registering { number, filter, said, kind } = registering;
        let (lifetime, holder) = (said.lifetime, self.random.stream());
        let fresh = if let Change::Update(number) = kind { number } else { self.random.next_number() };
        let entered = self.with_directory(|directory| directory.register(now, said, (fresh, holder)));
        let Some(Ok(registration)) = entered else {
            self.unsubscribe(&filter);
            return Err(Refusal::NoMemory);
        };
        self.forget_registered(&filter);
        let registered = Registered { number, registration, filter, expires_at: now + lifetime };
        self.device().registered.push(registered);
        Ok(registration)
    }

    fn forget_registered(&mut self, filter: &[u8]) {
        self.device().registered.retain(|registered| *registered.filter != *filter);
    }

    /// The links of a device that has only said that it is there.
    pub(super) fn links_came(
        &mut self,
        now: Instant,
        mut registering: Registering,
        code: Code,
        payload: &[u8],
        _: &mut Outbound,
    ) {
        match self.check_links(payload) {
            Ok(links) if code == Code::CONTENT => {
                registering.said.links = links;
                // Who is not told of a full directory looks itself up.
                let _ = self.enter(now, registering);
            }
            _ => self.unsubscribe(&registering.filter),
        }
    }

    /// When the last registration held here ends.
    pub(super) fn registered_until(&self) -> Option<Instant> {
        self.device.as_ref()?.registered.iter().map(|registered| registered.expires_at).max()
    }

    /// Takes a delivery that is a request to the device; false if it is another.
    pub(super) fn take_demand(
        &mut self,
        now: Instant,
        number: u32,
        note: &Note<'_>,
        out: &mut Outbound,
    ) -> bool {
        let Some(device) = &self.device else { return false };
        let Some(registered) = device.registered.iter().find(|registered| registered.number == number) else {
            return false;
        };
        let (registration, holder) = (registered.registration, self.random.stream());
        let held = self.with_directory(|directory| directory.held(registration, holder)).flatten();
        if held.is_none_or(|expires_at| expires_at <= now) {
            // It is over, or the device has come from another address.
            let filter = registered.filter.clone();
            self.forget_registered(&filter);
            self.unsubscribe(&filter);
        } else if let Some(demand) = Demand::of_note(note) {
            self.call(now, demand, Asker::Requester, out);
        }
        true
    }

    fn begin_lookup(
        &mut self,
        now: Instant,
        lookup: Lookup,
        body: &Body<'_>,
        exchange: &Exchange,
        out: &mut Outbound,
    ) -> Result<(), Refusal> {
        if exchange.asked.accept.is_some_and(|format| format != content_format::LINK_FORMAT) {
            return Err(Refusal::NotAcceptable);
        }
        let later = exchange.asked.block2.is_some_and(|block| block.number > 0);
        if later && self.go_on(now, LOOKUP_KEY, exchange, out) {
            return Ok(());
        }
        let mut query: Vec<Box<str>> = Vec::new();
        for part in body.options.all(OptionNumber::URI_QUERY) {
            let part = core::str::from_utf8(part).map_err(|_| Refusal::Option(OptionNumber::URI_QUERY))?;
            query.push(part.into());
        }
        self.read_value(exchange, Work::LookUp { lookup, query });
        Ok(())
    }

    /// Answers a lookup of a peer that may look others up.
    pub(super) fn look_up(
        &mut self,
        now: Instant,
        exchange: &Exchange,
        (lookup, query): (Lookup, &[Box<str>]),
        out: &mut Outbound,
    ) -> Result<(), Refusal> {
        let query: Vec<&str> = query.iter().map(|part| &**part).collect();
        let bytes_max = self.stack.config.body_bytes_max as usize;
        let found: Option<Result<String, _>> =
            self.with_directory(|directory| directory.lookup(now, lookup, &query, bytes_max));
        let document = found.ok_or(Refusal::UnknownPath)?.map_err(|_| Refusal::Query)?;
        let representation = Representation {
            tag: None,
            format: Some(content_format::LINK_FORMAT),
            media_type: &[],
            max_age: None,
            body: Pieces::one(document.as_bytes()),
        };
        let keep = || Content { head: document.as_bytes().into(), tail: None };
        self.respond_with(now, exchange, &representation, (LOOKUP_KEY, None), keep, out);
        Ok(())
    }
}

/// Takes over what the query of a registration or an update says (sections 5 and 5.3.1).
fn read_query(body: &Body<'_>, said: &mut Registration, is_new: bool) -> Result<(), Refusal> {
    if is_new {
        said.lifetime = Duration::from_secs(LIFETIME_DEFAULT.into());
    }
    for part in body.options.all(OptionNumber::URI_QUERY) {
        let part = core::str::from_utf8(part).map_err(|_| Refusal::Option(OptionNumber::URI_QUERY))?;
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        // What is written into a document of links has to stay one attribute.
        let is_key =
            !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._*".contains(&b));
        if !is_key || value.chars().any(|c| c.is_control() || matches!(c, '"' | '<' | '>' | '\\')) {
            return Err(Refusal::Query);
        }
        match key {
            "ep" | "d" if !is_new || value.len() > NAME_BYTES_MAX => return Err(Refusal::Query),
            "ep" => said.name = value.into(),
            "d" => said.sector = value.into(),
            "base" => said.base = Some(value.into()),
            "lt" => {
                let seconds = value.parse::<u32>().ok().filter(|seconds| *seconds > 0);
                said.lifetime = Duration::from_secs(seconds.ok_or(Refusal::Query)?.into());
            }
            "rt" | "href" | "page" | "count" => return Err(Refusal::Query),
            _ => {
                said.attributes.retain(|(known, _)| **known != *key);
                said.attributes.push((key.into(), value.into()));
            }
        }
    }
    if said.name.is_empty() || matches!(&*said.name, "." | "..") { Err(Refusal::Query) } else { Ok(()) }
}
