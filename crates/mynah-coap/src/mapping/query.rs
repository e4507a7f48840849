//! Queries, and the payload of a FETCH: how a message is published, or what is observed and how.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use mynah_model::{Class, Filter};

use super::path::EMQX_TOPICS;
use crate::Refusal;
use crate::flow::Mode;
use crate::wire::cbor::{Item, NotCbor, Reader};
use crate::wire::{OptionNumber, Options};

/// What the query of a publication says.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) class: Option<Class>,
    pub(super) retain: bool,
    pub(super) expiry: Option<Duration>,
    pub(super) priority: Option<u8>,
    /// Everything else, as native bytes hold it.
    pub(super) pairs: Vec<u8>,
}

/// A key and its value; the value of a key without one is empty.
fn parameters(options: Options<'_>) -> impl Iterator<Item = Result<(&str, &str), Refusal>> {
    let is_emqx = options.first(OptionNumber::URI_PATH) == Some(EMQX_TOPICS);
    let all = options.all(OptionNumber::URI_QUERY).map(|value| {
        let text = core::str::from_utf8(value).map_err(|_| Refusal::Option(OptionNumber::URI_QUERY))?;
        Ok(text.split_once('=').unwrap_or((text, "")))
    });
    all.filter(move |said| !is_emqx || said.is_err() || said.is_ok_and(|(key, _)| !EMQX_OWN.contains(&key)))
}

/// What clients of EMQX say with each request: who they are, which the association says here, and options of MQTT's that
/// are always as they are here. Receivers of a publication are to see none of it.
const EMQX_OWN: [&str; 6] = ["clientid", "token", "username", "password", "nl", "rh"];

impl Said {
    pub(super) fn read(options: Options<'_>) -> Result<Self, Refusal> {
        let mut said = Self::default();
        for parameter in parameters(options) {
            let (key, value) = parameter?;
            match key {
                "qos" => said.class = Some(class(value)?),
                "retain" => said.retain = flag(value)?,
                "expiry" => said.expiry = Some(expiry(value)?),
                "priority" => {
                    let digit = value.parse().ok().filter(|digit| *digit <= 9);
                    said.priority = Some(digit.ok_or(Refusal::Query)?);
                }
                _ => {
                    // An option has at most 255 bytes.
                    said.pairs.extend(((key.len() + 1 + value.len()) as u16).to_be_bytes());
                    said.pairs.extend(key.as_bytes());
                    said.pairs.push(b'=');
                    said.pairs.extend(value.as_bytes());
                }
            }
        }
        Ok(said)
    }
}

/// What is observed, and how.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Filters; empty if the path names a topic.
    pub(crate) filters: Vec<Box<[u8]>>,
    pub(crate) class_max: Class,
    pub(crate) mode: Option<Mode>,
}

impl Selection {
    /// What a query says: `f=` for each filter where the path names no topic, `qos` and `mode`.
    pub(crate) fn of_query(options: Options<'_>, filters_max: usize) -> Result<Self, Refusal> {
        let mut selection = Self { filters: Vec::new(), class_max: Class::AtLeastOnce, mode: None };
        for parameter in parameters(options) {
            match parameter? {
                ("f", filter) => selection.add(filter, filters_max)?,
                ("qos", value) => selection.class_max = class(value)?,
                ("mode", value) => selection.mode = Some(mode(value)?),
                _ => return Err(Refusal::Query),
            }
        }
        Ok(selection)
    }

    /// What the payload of a FETCH says beside the query: a CBOR map with `filters`, `qos` and `mode`.
    pub(crate) fn of_payload(&mut self, payload: &[u8], filters_max: usize) -> Result<(), Refusal> {
        let mut reader = Reader::new(payload);
        let Ok(Item::Map(pairs @ ..=16)) = reader.item() else { return Err(Refusal::Selection) };
        let wrong = |_: NotCbor| Refusal::Selection;
        for _ in 0..pairs {
            match (reader.item().map_err(wrong)?, reader.item().map_err(wrong)?) {
                (Item::Text("filters"), Item::Array(count)) => {
                    for _ in 0..count {
                        let Ok(Item::Text(filter)) = reader.item() else { return Err(Refusal::Selection) };
                        self.add(filter, filters_max)?;
                    }
                }
                (Item::Text("qos"), Item::Uint(number @ 0..=2)) => {
                    self.class_max = if number == 0 { Class::AtMostOnce } else { Class::AtLeastOnce };
                }
                (Item::Text("mode"), Item::Text(value)) => self.mode = Some(mode(value)?),
                _ => return Err(Refusal::Selection),
            }
        }
        if reader.is_empty() { Ok(()) } else { Err(Refusal::Selection) }
    }

    fn add(&mut self, filter: &str, filters_max: usize) -> Result<(), Refusal> {
        if Filter::new(filter.as_bytes()).is_err() {
            return Err(Refusal::Query);
        }
        if self.filters.iter().any(|other| **other == *filter.as_bytes()) {
            return Ok(());
        }
        if self.filters.len() >= filters_max {
            return Err(Refusal::Query);
        }
        self.filters.push(filter.as_bytes().into());
        Ok(())
    }
}

fn class(value: &str) -> Result<Class, Refusal> {
    match value {
        "0" => Ok(Class::AtMostOnce),
        "1" => Ok(Class::AtLeastOnce),
        _ => Err(Refusal::Query),
    }
}

fn mode(value: &str) -> Result<Mode, Refusal> {
    match value {
        "state" => Ok(Mode::State),
        "stream" => Ok(Mode::Stream),
        _ => Err(Refusal::Query),
    }
}

fn flag(value: &str) -> Result<bool, Refusal> {
    match value {
        "1" | "true" | "" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(Refusal::Query),
    }
}

/// Whole seconds, more than none.
fn expiry(value: &str) -> Result<Duration, Refusal> {
    let seconds = value.parse::<u32>().ok().filter(|seconds| *seconds > 0);
    seconds.map(|seconds| Duration::from_secs(seconds.into())).ok_or(Refusal::Query)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::OptionWriter;
    use crate::wire::cbor::Writer;

    fn options(queries: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = OptionWriter::new(&mut bytes);
        queries.iter().for_each(|query| writer.put(OptionNumber::URI_QUERY, query.as_bytes()));
        bytes
    }

    #[test]
    fn publications_are_described_by_the_query_and_the_rest_is_kept() {
        let bytes = options(&["qos=0", "retain", "expiry=60", "priority=9", "unit=C", "x"]);
        let said = Said::read(Options::decode(&bytes).unwrap().0).unwrap();
        assert_eq!((said.class, said.retain, said.priority), (Some(Class::AtMostOnce), true, Some(9)));
        assert_eq!(said.expiry, Some(Duration::from_secs(60)));
        assert_eq!(said.pairs, b"\0\x06unit=C\0\x02x=");
        for wrong in
            ["qos=2", "qos=", "retain=maybe", "expiry=0", "expiry=-1", "expiry=4294967296", "priority=10"]
        {
            let bytes = options(&[wrong]);
            assert_eq!(
                Said::read(Options::decode(&bytes).unwrap().0).unwrap_err(),
                Refusal::Query,
                "{wrong}"
            );
        }
    }

    #[test]
    fn selections_come_from_the_query_and_the_payload() {
        let bytes = options(&["f=a/+", "f=#", "f=a/+", "mode=stream", "qos=0"]);
        let selection = Selection::of_query(Options::decode(&bytes).unwrap().0, 2).unwrap();
        assert_eq!(selection.filters, [Box::from(&b"a/+"[..]), Box::from(&b"#"[..])]);
        assert_eq!((selection.mode, selection.class_max), (Some(Mode::Stream), Class::AtMostOnce));
        for wrong in ["f=", "f=a+", "mode=x", "unknown=1"] {
            let bytes = options(&[wrong]);
            assert_eq!(
                Selection::of_query(Options::decode(&bytes).unwrap().0, 2),
                Err(Refusal::Query),
                "{wrong}"
            );
        }
        let mut payload = Vec::new();
        let mut writer = Writer::new(&mut payload);
        writer.map(2);
        writer.text("filters");
        writer.array(2);
        writer.text("a/#");
        writer.text("b");
        writer.text("qos");
        writer.uint(1);
        let empty = || Selection::of_query(Options::EMPTY, 2).unwrap();
        let mut selection = empty();
        selection.of_payload(&payload, 2).unwrap();
        assert_eq!(selection.filters.len(), 2);
        assert_eq!(empty().of_payload(&payload, 1), Err(Refusal::Query));
        for wrong in
            [&b""[..], b"\xa1", b"\x80", b"\xa1\x61x\x01", b"\xa0\0", b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff"]
        {
            assert_eq!(empty().of_payload(wrong, 2), Err(Refusal::Selection), "{wrong:x?}");
        }
    }
}
