//! What a request publishes: a message's header and native bytes, and back to its properties.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use mynah_model::{
    Class, Header, Instant, MessageView, PRIORITY_DEFAULT, Properties, PropertyValue, TenantId,
    UserProperties,
};
use mynah_stack::Publish;

use super::query::Said;
use super::{LAYOUT_NATIVE, NO_FORMAT};
use crate::Refusal;
use crate::wire::{Code, OptionNumber, Options, content_format, read_uint};

/// A message that is not published yet.
#[derive(Clone, Debug)]
pub(crate) struct Publication {
    pub(crate) header: Header,
    pub(crate) native: Vec<u8>,
}

impl Publication {
    /// The message of a PUT, POST or DELETE with these options and this payload on `topic`. An unconfirmable request is at
    /// most once, another at least once, unless the query says otherwise. PUT sets the value, and DELETE, which is PUT
    /// without a payload, clears it; POST is an event.
    pub(crate) fn new(
        method: Code,
        (options, payload): (Options<'_>, &[u8]),
        topic: &[u8],
        (now, is_confirmable): (Instant, bool),
    ) -> Result<Self, Refusal> {
        let said = Said::read(options)?;
        let payload = if method == Code::DELETE { &[][..] } else { payload };
        let (format, media_type) = format_of(options, !payload.is_empty());
        let room = 2 + topic.len() + 3 + media_type.len() + 2 + said.pairs.len() + payload.len();
        let mut native = Vec::with_capacity(room);
        // An option path is far shorter than 65,535 bytes: a datagram or a message bounds it.
        let topic_len = u16::try_from(topic.len()).map_err(|_| Refusal::Path)?;
        native.extend(topic_len.to_be_bytes());
        native.extend_from_slice(topic);
        native.extend(format.to_be_bytes());
        native.push(media_type.len() as u8);
        native.extend_from_slice(media_type);
        let pairs_len = u16::try_from(said.pairs.len()).map_err(|_| Refusal::Query)?;
        native.extend(pairs_len.to_be_bytes());
        native.extend_from_slice(&said.pairs);
        let at = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        let payload_at = at(native.len());
        native.extend_from_slice(payload);
        let default = if is_confirmable { Class::AtLeastOnce } else { Class::AtMostOnce };
        let header = Header {
            tenant: TenantId::DEFAULT,
            layout: LAYOUT_NATIVE,
            class: said.class.unwrap_or(default),
            retain: method != Code::POST || said.retain,
            priority: said.priority.unwrap_or(PRIORITY_DEFAULT),
            topic: (2, at(2 + topic.len())),
            payload: (payload_at, at(native.len())),
            deadline: said.expiry.map(|expiry| now + expiry),
            publisher: None,
        };
        Ok(Self { header, native })
    }

    /// The publication as the core is asked for it.
    pub(crate) fn into_publish<'b>(self, receipt: u16) -> Publish<'b> {
        Publish::new(self.header, Cow::Owned(self.native), receipt)
    }
}

/// What a request says of its payload; nothing if there is none.
fn format_of<'b>(options: Options<'b>, has_payload: bool) -> (u16, &'b [u8]) {
    if !has_payload {
        return (NO_FORMAT, &[]);
    }
    let number = options.first(OptionNumber::CONTENT_FORMAT).and_then(read_uint);
    let number = number.and_then(|number| u16::try_from(number).ok()).unwrap_or(NO_FORMAT);
    let said = options.first(OptionNumber::CONTENT_TYPE).unwrap_or_default();
    let is_text = said.len() <= 255 && said.iter().all(|byte| matches!(byte, b' '..=b'~'));
    // A number that says more than "octets" stands for itself.
    if is_text && matches!(number, NO_FORMAT | content_format::OCTET_STREAM) {
        return (number, said);
    }
    (number, &[])
}

/// The properties in the native bytes of a message.
pub(super) fn properties(message: MessageView<'_>) -> Properties<'_> {
    read(message).unwrap_or_default()
}

fn read(message: MessageView<'_>) -> Option<Properties<'_>> {
    read_after(message.native.get(message.header.topic_range().end..)?)
}

/// The properties in the bytes from the Content-Format on.
pub(super) fn read_after(rest: &[u8]) -> Option<Properties<'_>> {
    let (&[high, low, len], rest) = rest.split_first_chunk()?;
    let (media_type, rest) = rest.split_at_checked(usize::from(len))?;
    let (pairs_len, rest) = rest.split_first_chunk()?;
    let pairs = rest.get(..usize::from(u16::from_be_bytes(*pairs_len)))?;
    let format = u16::from_be_bytes([high, low]);
    let named = core::str::from_utf8(media_type).ok().filter(|text| !text.is_empty());
    Some(Properties {
        content_type: named.or_else(|| content_format::media_type(format)),
        content_encoding: content_format::content_coding(format),
        is_text: format == content_format::TEXT,
        user: UserProperties::new(pairs, read_pair),
        ..Properties::EMPTY
    })
}

fn read_pair<'m>(rest: &mut &'m [u8]) -> Option<(&'m str, PropertyValue<'m>)> {
    let (len, after) = rest.split_first_chunk()?;
    let (pair, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
    *rest = after;
    let (key, value) = core::str::from_utf8(pair).ok()?.split_once('=')?;
    Some((key, value.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::OptionWriter;
    use core::time::Duration;

    fn publication(method: Code, options: &[(OptionNumber, &[u8])], payload: &[u8]) -> Publication {
        let mut bytes = Vec::new();
        let mut writer = OptionWriter::new(&mut bytes);
        options.iter().for_each(|(number, value)| writer.put(*number, value));
        let options = Options::decode(&bytes).unwrap().0;
        Publication::new(method, (options, payload), b"a/b", (Instant::ZERO, true)).unwrap()
    }

    #[test]
    fn a_request_says_what_its_message_is() {
        let options = [
            (OptionNumber::CONTENT_FORMAT, &b"\x32"[..]),
            (OptionNumber::URI_QUERY, b"unit=C"),
            (OptionNumber::URI_QUERY, b"expiry=9"),
            (OptionNumber::URI_QUERY, b"unit=F"),
        ];
        let publication = publication(Code::PUT, &options, b"{}");
        let view = MessageView { header: &publication.header, native: &publication.native };
        assert_eq!((view.topic().as_bytes(), view.payload()), (&b"a/b"[..], &b"{}"[..]));
        assert!(publication.header.retain);
        assert_eq!(publication.header.deadline, Some(Instant::ZERO + Duration::from_secs(9)));
        let properties = properties(view);
        assert_eq!(properties.content_type, Some("application/json"));
        assert!(properties.user.texts().eq([("unit", "C"), ("unit", "F")]));
    }

    #[test]
    fn methods_differ_in_what_they_do_to_the_value() {
        for (method, retain, payload) in
            [(Code::PUT, true, &b"x"[..]), (Code::POST, false, b"x"), (Code::DELETE, true, b"")]
        {
            let publication = publication(method, &[], b"x");
            let view = MessageView { header: &publication.header, native: &publication.native };
            assert_eq!((publication.header.retain, view.payload()), (retain, payload), "{method}");
        }
    }

    #[test]
    fn a_type_without_a_number_is_named() {
        for (format, named, expected) in [
            (&b"\x2a"[..], &b"image/webp"[..], Some("image/webp")),
            (b"\x32", b"image/webp", Some("application/json")),
            (b"\x2a", b"\x01", Some("application/octet-stream")),
            (b"\x27\x0f", b"x/y", None),
        ] {
            let options = [(OptionNumber::CONTENT_FORMAT, format), (OptionNumber::CONTENT_TYPE, named)];
            let publication = publication(Code::POST, &options, b"x");
            let view = MessageView { header: &publication.header, native: &publication.native };
            assert_eq!(properties(view).content_type, expected);
        }
    }
}
