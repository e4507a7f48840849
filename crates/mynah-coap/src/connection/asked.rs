//! What the options of a request say, judged once: which of them are known, and what an answer depends on.

use alloc::vec::Vec;

use mynah_model::{Condition, ValueTag};

use crate::Refusal;
use crate::wire::{Block, Body, Code, OptionNumber, Options, read_uint};

/// What an answer to a request depends on.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    /// Classes of answers that the client does not want (RFC 7967): bit `n - 1` for `n.xx`.
    pub(super) no_response: u8,
    pub(super) observe: Option<u32>,
    pub(super) accept: Option<u16>,
    pub(super) etags: Vec<u64>,
    pub(super) conditions: Vec<Condition>,
    pub(super) block1: Option<Block>,
    pub(super) block2: Option<Block>,
    pub(super) size1: Option<u32>,
    pub(super) wants_size: bool,
    pub(super) echo: Option<u64>,
    /// Bytes of the request: an answer to a stranger is not much larger.
    pub(super) request_bytes: usize,
}

impl Asked {
    /// Judges the options of a request.
    pub(super) fn judge(body: &Body<'_>) -> Result<Self, Refusal> {
        let mut asked = Self::default();
        let mut last = None;
        let mut one_of = None;
        let mut has_location = false;
        for (number, value) in body.options.iter() {
            let is_repeated = last.replace(number) == Some(number);
            if !is_understood(number, value, is_repeated) {
                let is_of_location = has_location && OptionNumber::LOCATION_RESERVED.contains(&number);
                if number.is_critical() || is_of_location {
                    return Err(Refusal::Option(number));
                }
                continue;
            }
            match number {
                OptionNumber::PROXY_URI | OptionNumber::PROXY_SCHEME => return Err(Refusal::Proxy),
                OptionNumber::HOP_LIMIT if value == [0] => return Err(Refusal::HopLimit),
                OptionNumber::NO_RESPONSE => asked.no_response = value.first().copied().unwrap_or_default(),
                OptionNumber::OBSERVE => asked.observe = read_uint(value),
                // Two bytes at most.
                OptionNumber::ACCEPT => {
                    asked.accept = read_uint(value).and_then(|number| number.try_into().ok());
                }
                OptionNumber::ETAG => asked.etags.extend(tag(value)),
                OptionNumber::IF_MATCH if value.is_empty() => asked.conditions.push(Condition::Present),
                OptionNumber::IF_MATCH => {
                    let tags = one_of.get_or_insert_with(Vec::new);
                    tags.extend(tag(value).map(ValueTag::from_number));
                }
                OptionNumber::IF_NONE_MATCH => asked.conditions.push(Condition::Absent),
                OptionNumber::BLOCK1 => asked.block1 = Block::decode(value),
                OptionNumber::BLOCK2 => asked.block2 = Block::decode(value),
                OptionNumber::SIZE1 => asked.size1 = read_uint(value),
                OptionNumber::SIZE2 => asked.wants_size = true,
                OptionNumber::ECHO => asked.echo = tag(value),
                OptionNumber::LOCATION_PATH | OptionNumber::LOCATION_QUERY => has_location = true,
                _ => {}
            }
        }
        // Of several If-Match, one that holds is enough (RFC 7252, section 5.10.8.1).
        if let Some(tags) = one_of.filter(|_| !asked.conditions.contains(&Condition::Present)) {
            asked.conditions.push(Condition::OneOf(tags));
        }
        Ok(asked)
    }

    /// Whether the client has this value already.
    pub(super) fn has(&self, tag: u64) -> bool {
        self.etags.contains(&tag)
    }

    /// Whether the client does not want to hear this answer.
    pub(super) fn suppresses(&self, code: Code) -> bool {
        self.no_response & 1_u8.checked_shl(u32::from(code.class()) - 1).unwrap_or_default() != 0
    }
}

/// Whether an occurrence is one that its definition knows (RFC 7252, sections 5.4.3 and 5.4.5).
fn is_understood(number: OptionNumber, value: &[u8], is_repeated: bool) -> bool {
    let Some(definition) = number.definition() else { return false };
    let fits = u16::try_from(value.len()).is_ok_and(|len| definition.bytes.contains(&len));
    fits && (definition.is_repeatable || !is_repeated)
}

/// The number that a tag of a value here spells; none if it is another's.
fn tag(value: &[u8]) -> Option<u64> {
    value.try_into().ok().map(u64::from_be_bytes)
}

/// What tells the blocks of one body from those of others: everything that is part of a cache's key, but for the blocks
/// (RFC 7959, section 2.5; RFC 9175, section 3.3).
pub(super) fn upload_key(body: &Body<'_>) -> alloc::boxed::Box<[u8]> {
    let mut key = Vec::from([body.code.byte()]);
    for (number, value) in identifying(body.options) {
        key.extend(number.0.to_be_bytes());
        // An option's length has 16 bits.
        key.extend((value.len() as u16).to_be_bytes());
        key.extend_from_slice(value);
    }
    key.into()
}

fn identifying<'b>(options: Options<'b>) -> impl Iterator<Item = (OptionNumber, &'b [u8])> {
    options.iter().filter(|(number, _)| {
        !number.is_no_cache_key()
            && !matches!(*number, OptionNumber::BLOCK1 | OptionNumber::BLOCK2 | OptionNumber::OBSERVE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::OptionWriter;

    fn judge(options: &[(OptionNumber, &[u8])]) -> Result<Asked, Refusal> {
        let mut bytes = Vec::new();
        let mut writer = OptionWriter::new(&mut bytes);
        options.iter().for_each(|(number, value)| writer.put(*number, value));
        let options = Options::decode(&bytes).unwrap().0;
        Asked::judge(&Body { code: Code::GET, token: b"", options, payload: b"" })
    }

    //= rfc7252 [5.4.1-1] [5.4.1-2] [5.4.3-1] [5.4.5-1]
    #[test]
    fn elective_options_that_are_not_understood_are_passed_over_and_critical_ones_are_not() {
        for (number, value) in [
            (9, &b"x"[..]),
            (0xfde9, b""),
            (OptionNumber::IF_NONE_MATCH.0, b"x"),
            (OptionNumber::ACCEPT.0, b"abc"),
        ] {
            let number = OptionNumber(number);
            assert_eq!(judge(&[(number, value)]).unwrap_err(), Refusal::Option(number));
        }
        let twice = [(OptionNumber::ACCEPT, &b"\x01"[..]), (OptionNumber::ACCEPT, b"\x01")];
        assert_eq!(judge(&twice).unwrap_err(), Refusal::Option(OptionNumber::ACCEPT));
        for (number, value) in
            [(10, &b"x"[..]), (OptionNumber::SIZE1.0, b"12345"), (OptionNumber::OBSERVE.0, b"abcd")]
        {
            let asked = judge(&[(OptionNumber(number), value)]).unwrap();
            assert!(asked.size1.is_none() && asked.observe.is_none());
        }
    }

    //= rfc7252 [5.7.2-1] [5.10.2-1]
    #[test]
    fn this_is_no_proxy() {
        assert_eq!(judge(&[(OptionNumber::PROXY_URI, b"coap://x/")]).unwrap_err(), Refusal::Proxy);
        assert_eq!(judge(&[(OptionNumber::PROXY_SCHEME, b"coap")]).unwrap_err(), Refusal::Proxy);
        assert_eq!(judge(&[(OptionNumber::HOP_LIMIT, &[0])]).unwrap_err(), Refusal::HopLimit);
        assert!(judge(&[(OptionNumber::HOP_LIMIT, &[1])]).is_ok());
    }

    //= rfc7252 [5.10.8.1-1] [5.10.8.2-1]
    #[test]
    fn conditions_are_taken_over() {
        let conditions = |options| judge(options).unwrap().conditions;
        assert_eq!(conditions(&[(OptionNumber::IF_MATCH, b"")]), [Condition::Present]);
        assert_eq!(conditions(&[(OptionNumber::IF_NONE_MATCH, b"")]), [Condition::Absent]);
        let tags = [(OptionNumber::IF_MATCH, &7_u64.to_be_bytes()[..]), (OptionNumber::IF_MATCH, b"foreign")];
        assert_eq!(conditions(&tags), [Condition::OneOf(Vec::from([ValueTag::from_number(7)]))]);
    }

    #[test]
    fn no_response_speaks_of_classes() {
        let asked = judge(&[(OptionNumber::NO_RESPONSE, &[0b0000_1010])]).unwrap();
        assert!(asked.suppresses(Code::CONTENT) && asked.suppresses(Code::NOT_FOUND));
        assert!(!asked.suppresses(Code::SERVICE_UNAVAILABLE));
        assert!(!judge(&[(OptionNumber::NO_RESPONSE, b"")]).unwrap().suppresses(Code::CONTENT));
    }
}
