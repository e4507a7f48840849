//! Requests and their answers as messages: what a broker-wide request says to a device, and what the device says back.
//!
//! **Native bytes of layout [`LAYOUT_ADDRESSED`]**: those of [`LAYOUT_NATIVE`](super::LAYOUT_NATIVE), with a correlation
//! and a reply address, each with its length before it (2), between the topic and the Content-Format.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use mynah_model::{Class, Header, Instant, MessageView, PRIORITY_DEFAULT, Properties, TenantId};

use super::path::{topic_of_segments, uri_path};
use super::publication::{Publication, read_after};
use super::{LAYOUT_ADDRESSED, Note};
use crate::Refusal;
use crate::wire::cbor::{Item, NotCbor, Reader};
use crate::wire::{Block, Code, OptionNumber, OptionWriter};

/// The first segment of the topics that requests are published to; the name of the one who answers follows.
pub(crate) const REQUEST: &[u8] = b"$request/";
/// The first segment of the topics of answers.
pub(crate) const REPLY: &[u8] = b"$reply/";
/// The user property that names the method of a request.
const METHOD: &str = "method";
/// The user property that has the code of an answer.
const CODE: &str = "code";
/// Bytes of a reply address or a correlation that are kept for a device's answer.
const ADDRESS_BYTES_MAX: usize = 1_024;

/// A message that is about another.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Addressed<'a> {
    pub(crate) topic: &'a [u8],
    pub(crate) correlation: &'a [u8],
    pub(crate) reply_to: &'a [u8],
    /// The number, or [`super::NO_FORMAT`].
    pub(crate) format: u16,
    pub(crate) media_type: &'a [u8],
    pub(crate) deadline: Option<Instant>,
}

impl Addressed<'_> {
    /// The message with these user properties and this payload.
    pub(crate) fn publication<'s>(
        &self,
        properties: impl Iterator<Item = (&'s str, &'s str)>,
        payload: &[u8],
    ) -> Result<Publication, Refusal> {
        let mut native = Vec::with_capacity(64 + self.topic.len() + payload.len());
        for bytes in [self.topic, self.correlation, self.reply_to] {
            native.extend(u16::try_from(bytes.len()).map_err(|_| Refusal::Path)?.to_be_bytes());
            native.extend_from_slice(bytes);
        }
        native.extend(self.format.to_be_bytes());
        native.push(u8::try_from(self.media_type.len()).map_err(|_| Refusal::ContentFormat)?);
        native.extend_from_slice(self.media_type);
        let mut pairs = Vec::new();
        for (key, value) in properties {
            let len = u16::try_from(key.len() + 1 + value.len()).map_err(|_| Refusal::Query)?;
            pairs.extend(len.to_be_bytes());
            pairs.extend_from_slice(key.as_bytes());
            pairs.push(b'=');
            pairs.extend_from_slice(value.as_bytes());
        }
        native.extend(u16::try_from(pairs.len()).map_err(|_| Refusal::Query)?.to_be_bytes());
        native.append(&mut pairs);
        let at = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        let payload_at = at(native.len());
        native.extend_from_slice(payload);
        let header = Header {
            tenant: TenantId::DEFAULT,
            layout: LAYOUT_ADDRESSED,
            class: Class::AtLeastOnce,
            retain: false,
            priority: PRIORITY_DEFAULT,
            topic: (2, at(2 + self.topic.len())),
            payload: (payload_at, at(native.len())),
            deadline: self.deadline,
            publisher: None,
        };
        Ok(Publication { header, native })
    }

    /// The request with this method and these properties.
    pub(crate) fn request<'s>(
        &self,
        method: Code,
        properties: impl Iterator<Item = (&'s str, &'s str)>,
        payload: &[u8],
    ) -> Result<Publication, Refusal> {
        let name = METHODS.iter().find(|(_, code)| *code == method).map_or("POST", |(name, _)| *name);
        self.publication([(METHOD, name)].into_iter().chain(properties), payload)
    }

    /// The answer with this code.
    pub(crate) fn answer(&self, code: Code, payload: &[u8]) -> Result<Publication, Refusal> {
        let code = alloc::format!("{code}");
        self.publication([(CODE, &*code)].into_iter(), payload)
    }
}

/// The methods that a request may name.
const METHODS: [(&str, Code); 7] = [
    ("GET", Code::GET),
    ("POST", Code::POST),
    ("PUT", Code::PUT),
    ("DELETE", Code::DELETE),
    ("FETCH", Code::FETCH),
    ("PATCH", Code::PATCH),
    ("iPATCH", Code::IPATCH),
];

/// The properties in the native bytes of a message.
pub(super) fn properties(message: MessageView<'_>) -> Properties<'_> {
    let read = || {
        let rest = message.native.get(message.header.topic_range().end..)?;
        let (correlation, rest) = take(rest)?;
        let (reply_to, rest) = take(rest)?;
        let reply_to = core::str::from_utf8(reply_to).ok().filter(|address| !address.is_empty());
        let correlation = Some(correlation).filter(|correlation| !correlation.is_empty());
        Some(Properties { correlation, reply_to, ..read_after(rest)? })
    };
    read().unwrap_or_default()
}

/// Bytes with their length before them, and what follows.
fn take(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
}

/// The topic `$request/…` of the path behind `/r`; none if nobody is named there.
pub(super) fn request_topic<'b>(
    segments: impl Iterator<Item = &'b [u8]>,
) -> Result<Option<Vec<u8>>, Refusal> {
    let path = topic_of_segments(segments)?.filter(|path| !path.is_empty() && path[0] != b'/');
    Ok(path.map(|path| [REQUEST, &path].concat()))
}

/// A request to a device as it was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Demand {
    pub(crate) method: Code,
    /// The options of path and query, in the order of their numbers, and what stands between them.
    path: Vec<Vec<u8>>,
    query: Vec<String>,
    pub(crate) reply_to: Box<[u8]>,
    pub(crate) correlation: Box<[u8]>,
    pub(crate) format: u16,
    pub(crate) payload: Vec<u8>,
    /// Seconds that somebody waits for the answer.
    pub(crate) seconds: Option<u32>,
}

impl Demand {
    /// A GET of this path, asked by the broker itself.
    pub(crate) fn get(path: &[&str]) -> Self {
        Self {
            method: Code::GET,
            path: path.iter().map(|segment| segment.as_bytes().to_vec()).collect(),
            query: Vec::new(),
            reply_to: [].into(),
            correlation: [].into(),
            format: super::NO_FORMAT,
            payload: Vec::new(),
            seconds: None,
        }
    }

    /// Reads a delivery; none if it cannot be a request. Without a method it is GET, with a payload POST.
    pub(crate) fn of_note(note: &Note<'_>) -> Option<Self> {
        let payload = note.pieces(false).0.concat();
        let mut demand = Self { format: note.format, seconds: note.max_age, ..Self::get(&[]) };
        demand.method = if payload.is_empty() { Code::GET } else { Code::POST };
        demand.payload = payload;
        demand.read(note.envelope()).ok()?;
        let is_address = |bytes: &[u8]| bytes.len() <= ADDRESS_BYTES_MAX;
        (is_address(&demand.reply_to) && is_address(&demand.correlation)).then_some(demand)
    }

    /// Takes over what the envelope says, up to its payload.
    fn read(&mut self, envelope: &[u8]) -> Result<(), NotCbor> {
        let mut reader = Reader::new(envelope);
        let Item::Map(pairs) = reader.item()? else { return Err(NotCbor) };
        for _ in 0..pairs {
            let Item::Text(name) = reader.item()? else { return Err(NotCbor) };
            match name {
                "topic" => match reader.item()? {
                    Item::Text(topic) => self.path = path_behind(topic.as_bytes()).ok_or(NotCbor)?,
                    _ => return Err(NotCbor),
                },
                "reply_to" => match reader.item()? {
                    Item::Text(address) => self.reply_to = address.as_bytes().into(),
                    _ => return Err(NotCbor),
                },
                "correlation" => match reader.item()? {
                    Item::Bytes(bytes) => self.correlation = bytes.into(),
                    _ => return Err(NotCbor),
                },
                "properties" => self.read_properties(&mut reader)?,
                // Its bytes are not in the envelope.
                "payload" => return Ok(()),
                _ => reader.skip(64)?,
            }
        }
        Ok(())
    }

    fn read_properties(&mut self, reader: &mut Reader<'_>) -> Result<(), NotCbor> {
        let Item::Array(count) = reader.item()? else { return Err(NotCbor) };
        for _ in 0..count {
            let (Item::Array(2), Item::Text(key)) = (reader.item()?, reader.item()?) else {
                return Err(NotCbor);
            };
            let value = match reader.item()? {
                Item::Text(value) => value.into(),
                Item::Uint(number) => alloc::format!("{number}"),
                Item::Array(_) | Item::Map(_) | Item::Tag(_) => return Err(NotCbor),
                _ => continue,
            };
            if key == METHOD {
                let named = METHODS.iter().find(|(name, _)| name.eq_ignore_ascii_case(&value));
                self.method = named.ok_or(NotCbor)?.1;
            } else if key.len() + value.len() < 255 {
                self.query.push(if value.is_empty() { key.into() } else { alloc::format!("{key}={value}") });
            }
        }
        Ok(())
    }

    /// Writes the options, with those of blocks, Block2 first.
    pub(crate) fn options(&self, blocks: [Option<Block>; 2]) -> Vec<u8> {
        let mut options = Vec::with_capacity(64);
        let mut writer = OptionWriter::new(&mut options);
        self.path.iter().for_each(|segment| writer.put(OptionNumber::URI_PATH, segment));
        if self.format != super::NO_FORMAT && !self.payload.is_empty() {
            writer.put_uint(OptionNumber::CONTENT_FORMAT, self.format.into());
        }
        self.query.iter().for_each(|part| writer.put(OptionNumber::URI_QUERY, part.as_bytes()));
        for (number, block) in [OptionNumber::BLOCK2, OptionNumber::BLOCK1].into_iter().zip(blocks) {
            if let Some(block) = block {
                writer.put_uint(number, block.to_uint());
            }
        }
        options
    }
}

/// The path on the device: what follows its name.
fn path_behind(topic: &[u8]) -> Option<Vec<Vec<u8>>> {
    let named = topic.strip_prefix(REQUEST)?;
    let Some(at) = named.iter().position(|byte| *byte == b'/') else { return Some(Vec::new()) };
    let path = mynah_model::Topic::new(&named[at + 1..]).ok();
    let segments: Vec<Vec<u8>> = path.into_iter().flat_map(uri_path).map(Cow::into_owned).collect();
    segments.iter().all(|segment| segment.len() <= 255).then_some(segments)
}

/// The code that an answer has; 2.05 if it says none.
pub(crate) fn code_of_answer(note: &Note<'_>) -> Code {
    let mut reader = Reader::new(note.envelope());
    let mut answer = Demand::get(&[]);
    // An answer's topic is no request's; only its properties are of interest.
    let Ok(Item::Map(pairs)) = reader.item() else { return Code::CONTENT };
    for _ in 0..pairs {
        match reader.item() {
            Ok(Item::Text("properties")) if answer.read_properties(&mut reader).is_ok() => break,
            Ok(Item::Text("payload")) | Err(_) => break,
            Ok(_) if reader.skip(64).is_ok() => {}
            Ok(_) => break,
        }
    }
    let said = answer.query.iter().find_map(|part| part.strip_prefix(CODE)?.strip_prefix('='));
    let code = said.and_then(|said| {
        let (class, detail) = said.split_once('.')?;
        let (class, detail): (u8, u8) = (class.parse().ok()?, detail.parse().ok()?);
        (matches!(class, 2 | 4 | 5) && detail < 32).then(|| Code::from_byte(class << 5 | detail))
    });
    code.unwrap_or(Code::CONTENT)
}
