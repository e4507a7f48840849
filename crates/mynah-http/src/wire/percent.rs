//! Percent-encoding (RFC 3986, section 2.1): in paths and queries, and in the header fields that carry text.

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Appends `text` with its escapes decoded; `None` if one is malformed.
pub(crate) fn decode(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            out.push(u8::try_from(high << 4 | low).ok()?);
        } else {
            out.push(byte);
        }
    }
    Some(())
}

/// Appends `bytes`, each that is not plain as its escape. Only ASCII can be plain.
pub(crate) fn encode(bytes: &[u8], is_plain: impl Fn(u8) -> bool, out: &mut String) {
    for &byte in bytes {
        if byte.is_ascii() && is_plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}
