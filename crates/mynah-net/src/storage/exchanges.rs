//! Exchanges and bindings as records of the store.
//!
//! A binding is a subscription of its destination. Its key begins with a zero byte, which no filter does, and says
//! everything that makes it one binding and no other.

use mynah_engine::Binding;
use mynah_model::{Argument, ExchangeKind, ExchangeSettings, Expiry, HashOn};
use mynah_store::{Options, OptionsBuf, OwnerValue};

/// Options of an exchange. Numbers have eight bytes; what is absent was not said.
mod option {
    pub(super) const NUMBER: u8 = 1;
    pub(super) const FLAGS: u8 = 2;
    pub(super) const KIND: u8 = 3;
    pub(super) const ALTERNATE: u8 = 4;
    pub(super) const HASH_ON: u8 = 5;
    pub(super) const HASH_PROPERTY: u8 = 6;
}

/// The option of a binding that tells the exchange from others that had the name.
pub(super) const NUMBER: u8 = 2;

const AUTO_DELETE: u64 = 1;
const INTERNAL: u64 = 2;
const DELAYED: u64 = 4;

/// The numbers of kinds are their places here.
const KINDS: [ExchangeKind; 5] = [
    ExchangeKind::Direct,
    ExchangeKind::Fanout,
    ExchangeKind::Topic,
    ExchangeKind::Headers,
    ExchangeKind::ConsistentHash,
];

/// What is kept of an exchange.
pub(super) fn value<'o>(
    options: &'o mut OptionsBuf,
    settings: &ExchangeSettings,
    number: u64,
) -> OwnerValue<'o> {
    *options = OptionsBuf::new();
    let flags = u64::from(settings.auto_delete) * AUTO_DELETE
        + u64::from(settings.internal) * INTERNAL
        + u64::from(settings.delayed) * DELAYED;
    let kind = KINDS.iter().position(|kind| *kind == settings.kind).unwrap_or_default() as u64;
    for (option, number) in [(option::NUMBER, number), (option::FLAGS, flags), (option::KIND, kind)] {
        options.push(option, &number.to_le_bytes());
    }
    if let Some(alternate) = &settings.alternate {
        options.push(option::ALTERNATE, alternate);
    }
    let hash_on: u64 = match &settings.hash_on {
        HashOn::Key => 0,
        HashOn::Property(name) => {
            options.push(option::HASH_PROPERTY, name.as_bytes());
            1
        }
        HashOn::MessageId => 2,
        HashOn::Correlation => 3,
        HashOn::Created => 4,
    };
    if hash_on > 0 {
        options.push(option::HASH_ON, &hash_on.to_le_bytes());
    }
    OwnerValue {
        identity: &[],
        anonymous: false,
        expiry: Expiry::Never,
        receive_max: 0,
        detached_at: None,
        head: 0,
        options: options.as_options(),
    }
}

/// What was said of an exchange, and its number; none if a later version has written it.
pub(super) fn settings(options: Options<'_>) -> Option<(ExchangeSettings, u64)> {
    let number = |option: u8| options.get(option).and_then(read);
    let flags = number(option::FLAGS).unwrap_or_default();
    let kind = *KINDS.get(usize::try_from(number(option::KIND)?).ok()?)?;
    let settings = ExchangeSettings {
        kind,
        durable: true,
        auto_delete: flags & AUTO_DELETE != 0,
        internal: flags & INTERNAL != 0,
        alternate: options.get(option::ALTERNATE).map(Box::from),
        delayed: flags & DELAYED != 0,
        hash_on: match number(option::HASH_ON).unwrap_or_default() {
            0 => HashOn::Key,
            1 => HashOn::Property(core::str::from_utf8(options.get(option::HASH_PROPERTY)?).ok()?.into()),
            2 => HashOn::MessageId,
            3 => HashOn::Correlation,
            4 => HashOn::Created,
            _ => return None,
        },
    };
    Some((settings, number(option::NUMBER)?))
}

fn read(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// The key of a binding beside its destination.
pub(super) fn binding_key(binding: &Binding) -> Vec<u8> {
    let mut key = vec![0];
    push(&mut key, &binding.source);
    push(&mut key, &binding.key);
    for (name, value) in &binding.arguments {
        push(&mut key, name.as_bytes());
        let (kind, bytes) = match value {
            Argument::Null => (0, Vec::new()),
            Argument::Bool(value) => (1, vec![u8::from(*value)]),
            Argument::Integer(value) => (2, value.to_le_bytes().to_vec()),
            Argument::Float(value) => (3, value.to_le_bytes().to_vec()),
            Argument::Text(text) => (4, text.as_bytes().to_vec()),
            Argument::Binary(bytes) => (5, bytes.to_vec()),
        };
        key.push(kind);
        push(&mut key, &bytes);
    }
    key
}

/// The binding that a key tells of, if it is one.
pub(super) fn binding_of(key: &[u8], options: Options<'_>) -> Option<Binding> {
    let mut rest = key.strip_prefix(&[0])?;
    let (source, key) = (take(&mut rest)?.into(), take(&mut rest)?.into());
    let mut arguments = Vec::new();
    while !rest.is_empty() {
        let name = core::str::from_utf8(take(&mut rest)?).ok()?;
        let (kind, after) = rest.split_first()?;
        rest = after;
        let bytes = take(&mut rest)?;
        let value = match kind {
            0 => Argument::Null,
            1 => Argument::Bool(bytes == [1]),
            2 => Argument::Integer(i64::from_le_bytes(bytes.try_into().ok()?)),
            3 => Argument::Float(f64::from_le_bytes(bytes.try_into().ok()?)),
            4 => Argument::Text(core::str::from_utf8(bytes).ok()?.into()),
            5 => Argument::Binary(bytes.into()),
            _ => return None,
        };
        arguments.push((name.into(), value));
    }
    let number = read(options.get(NUMBER)?)?;
    Some(Binding { source, number, key, arguments: arguments.into() })
}

/// Bytes after their length in two bytes. What is longer than a key may be makes one that is refused.
fn push(key: &mut Vec<u8>, bytes: &[u8]) {
    key.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
    key.extend_from_slice(bytes);
}

fn take<'k>(rest: &mut &'k [u8]) -> Option<&'k [u8]> {
    let (length, after) = rest.split_first_chunk()?;
    let (taken, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    *rest = after;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_is_read_as_it_was_written_and_what_is_torn_is_none() {
        let arguments = [
            ("x-match", Argument::Text("any".into())),
            ("null", Argument::Null),
            ("", Argument::Bool(true)),
            ("count", Argument::Integer(-5)),
            ("level", Argument::Float(0.5)),
            ("raw", Argument::Binary((*b"\0\xff").into())),
        ];
        let arguments = arguments.map(|(name, value)| (name.into(), value));
        let (source, key) = ((*b"a\0b").into(), (*b"halls/#").into());
        let binding = Binding { source, number: 7, key, arguments: arguments.into() };
        let mut options = OptionsBuf::new();
        options.push(NUMBER, &7u64.to_le_bytes());
        let written = binding_key(&binding);
        assert_eq!(binding_of(&written, options.as_options()), Some(binding.clone()));
        assert_eq!(binding_of(b"halls/#", options.as_options()), None, "a filter");
        let plain = Binding { arguments: Box::default(), ..binding };
        assert_eq!(binding_of(&binding_key(&plain), options.as_options()), Some(plain));
        for end in 0..written.len() {
            let torn = binding_of(&written[..end], options.as_options());
            assert!(torn.is_none_or(|torn| torn.arguments.len() < 6));
        }
    }

    #[test]
    fn an_exchange_is_read_as_it_was_written() {
        let plain = ExchangeSettings::durable(ExchangeKind::Direct);
        let hashes = [HashOn::Key, HashOn::MessageId, HashOn::Correlation, HashOn::Created];
        let property = HashOn::Property("zone".into());
        for (at, hash_on) in hashes.into_iter().chain([property]).enumerate() {
            let said = ExchangeSettings {
                kind: KINDS[at],
                auto_delete: at == 1,
                internal: at == 2,
                delayed: at == 3,
                alternate: (at == 4).then(|| (*b"spare").into()),
                hash_on,
                ..plain.clone()
            };
            let mut options = OptionsBuf::new();
            let written = value(&mut options, &said, 7);
            assert_eq!(settings(written.options), Some((said, 7)));
        }
    }
}
