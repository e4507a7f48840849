//! The words about exchanges of the protocol of lines.
//!
//! `exchange NAME KIND [SETTINGS]`, `seek NAME`, `raze NAME [unused]`, `link SOURCE TO KEY [ARGUMENTS]`, `unlink` like it, and
//! `send EXCHANGE KEY CLASS PAYLOAD`; `later MS` before that and before `put`. A destination is a queue's name, or an exchange's after a `>`. A key of `-` is empty.
//! Settings are `durable`, `auto`, `internal`, `alt=NAME`; arguments are `NAME=VALUE` with commas between. A message has
//! a property for each word of its payload that has such a form.

use std::time::Duration;

use mynah_model::{Argument, ExchangeKind, ExchangeSettings, PropertyValue, UserProperties};
use mynah_stack::{Bind, Command, Declaration, Declare, Delete, Destination, Entity, Publish, QueueCommand};

use crate::lines::{class_of, header};
use crate::queues;

pub(crate) fn command(line: &str, receipt: u16) -> Option<Command<'_>> {
    if let Some(native) = line.strip_prefix("send ") {
        return Some(Command::Publish(send(native, receipt)));
    }
    if let Some((delay, line)) = line.strip_prefix("later ").and_then(|rest| rest.split_once(' ')) {
        let said = command(line, receipt).or_else(|| queues::command(line, receipt));
        let Some(Command::Publish(publish)) = said else { panic!("nothing to be late with: {line}") };
        let delay = Some(Duration::from_millis(delay.parse().unwrap()));
        return Some(Command::Publish(Publish { delay, ..publish }));
    }
    let receipt = u32::from(receipt);
    let words: Vec<&str> = line.split(' ').collect();
    let declare = |name: &str, declaration| {
        let entity = Entity::Exchange(&line.as_bytes()[line.find(name).unwrap()..][..name.len()]);
        QueueCommand::Declare(Box::new(Declare { receipt, entity, declaration }))
    };
    Some(Command::Queue(match words[..] {
        ["exchange", name, kind, ref said @ ..] => {
            let settings = settings_of(kind, said.first().copied().unwrap_or_default());
            let at = line.find(name).unwrap();
            let entity = Entity::Exchange(&line.as_bytes()[at..][..name.len()]);
            let declaration = Declaration::Exchange(settings);
            QueueCommand::Declare(Box::new(Declare { receipt, entity, declaration }))
        }
        ["seek", name] => declare(name, Declaration::Passive),
        ["raze", name, ref only @ ..] => QueueCommand::Delete(Delete {
            receipt,
            entity: Entity::Exchange(name.as_bytes()),
            if_unused: only.contains(&"unused"),
            if_empty: false,
        }),
        ["link", source, to, key, ref said @ ..] => QueueCommand::Bind(bind(receipt, source, to, key, said)),
        ["unlink", source, to, key, ref said @ ..] => {
            QueueCommand::Unbind(bind(receipt, source, to, key, said))
        }
        _ => return None,
    }))
}

fn key_of(text: &str) -> &[u8] {
    if text == "-" { b"" } else { text.as_bytes() }
}

fn bind<'b>(receipt: u32, source: &'b str, to: &'b str, key: &'b str, said: &[&'b str]) -> Box<Bind<'b>> {
    let destination = match to.strip_prefix('>') {
        Some(name) => Entity::Exchange(name.as_bytes()),
        None => Entity::Queue(to.as_bytes()),
    };
    let argument = |word: &str| {
        let (name, value) = word.split_once('=').unwrap();
        (Box::from(name), Argument::Text(value.into()))
    };
    let arguments = said.first().map_or_else(Vec::new, |said| said.split(',').map(argument).collect());
    Box::new(Bind { receipt, source: source.as_bytes(), destination, key: key_of(key), arguments })
}

fn send(native: &str, receipt: u16) -> Publish<'_> {
    let words: Vec<&str> = native.splitn(4, ' ').collect();
    let mut header = header(0, native.len(), class_of(words[2]), false);
    let key = (words[0].len() + 1) as u32;
    header.topic = (key, key + key_of(words[1]).len() as u32);
    header.payload.0 = (native.len() - words[3].len()) as u32;
    Publish {
        to: Destination::Exchange(words[0].as_bytes()),
        confirm: true,
        ..Publish::new(header, native.as_bytes().into(), receipt)
    }
}

fn settings_of(kind: &str, said: &str) -> ExchangeSettings {
    let kind = match kind {
        "direct" => ExchangeKind::Direct,
        "fanout" => ExchangeKind::Fanout,
        "topic" => ExchangeKind::Topic,
        "headers" => ExchangeKind::Headers,
        "hash" => ExchangeKind::ConsistentHash,
        other => panic!("no kind of exchange: {other}"),
    };
    let mut settings = ExchangeSettings { durable: false, ..ExchangeSettings::durable(kind) };
    for word in said.split(',') {
        match word.split_once('=').unwrap_or((word, "")) {
            ("durable", _) => settings.durable = true,
            ("auto", _) => settings.auto_delete = true,
            ("internal", _) => settings.internal = true,
            ("alt", name) => settings.alternate = Some(name.as_bytes().into()),
            _ => {}
        }
    }
    settings
}

/// The properties that a payload says.
pub(crate) fn properties(payload: &[u8]) -> UserProperties<'_> {
    UserProperties::new(payload, |rest| {
        while !rest.is_empty() {
            let end = rest.iter().position(|&byte| byte == b' ').unwrap_or(rest.len());
            let word = core::str::from_utf8(&rest[..end]).ok()?;
            *rest = &rest[(end + 1).min(rest.len())..];
            if let Some((name, value)) = word.split_once('=') {
                return Some((name, PropertyValue::Text(value)));
            }
        }
        None
    })
}
