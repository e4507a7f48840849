//! Properties: a block of bytes in a request head, and so in a message's native bytes.
//!
//! ```text
//! length of what follows (u32), then in ascending order of their tags, each at most once but the last:
//! 1 | content type (u16, text)     2 | content encoding (u16, text)     3 | correlation (u16, bytes)
//! 4 | reply address (u16, text)    5 | message id (u16, text)           6 | created (u64: ms since the Unix epoch)
//! 7   the payload is text          8 | key (u16, text) | value (u16, text)
//! ```

use mynah_model::{Properties, UserProperties, WallTime};

use super::{Fields, Malformed, put_string};

const CONTENT_TYPE: u8 = 1;
const CONTENT_ENCODING: u8 = 2;
const CORRELATION: u8 = 3;
const REPLY_TO: u8 = 4;
const MESSAGE_ID: u8 = 5;
const CREATED: u8 = 6;
const TEXT: u8 = 7;
const USER: u8 = 8;

/// Appends the block.
///
/// # Errors
/// A property is longer than 65,535 bytes, or all are longer than 4 GiB; `out` is then of no use.
pub(crate) fn encode(properties: &Properties<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    for (tag, value) in [
        (CONTENT_TYPE, properties.content_type.map(str::as_bytes)),
        (CONTENT_ENCODING, properties.content_encoding.map(str::as_bytes)),
        (CORRELATION, properties.correlation),
        (REPLY_TO, properties.reply_to.map(str::as_bytes)),
        (MESSAGE_ID, properties.message_id.map(str::as_bytes)),
    ] {
        if let Some(value) = value {
            out.push(tag);
            put_string(out, value)?;
        }
    }
    if let Some(created) = properties.created {
        out.push(CREATED);
        out.extend_from_slice(&created.as_unix_millis().to_be_bytes());
    }
    if properties.is_text {
        out.push(TEXT);
    }
    for (key, value) in properties.user.iter() {
        value.spelled(|value| push_pair(key, value, out))?;
    }
    let length = u32::try_from(out.len() - length_at - 4).map_err(|_| Malformed::TooLarge)?;
    out[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Appends one user property as a block holds it, for [`user`].
///
/// # Errors
/// Key or value is longer than 65,535 bytes.
pub(crate) fn push_pair(key: &str, value: &str, out: &mut Vec<u8>) -> Result<(), Malformed> {
    out.push(USER);
    put_string(out, key.as_bytes())?;
    put_string(out, value.as_bytes())
}

/// What [`push_pair`] has appended.
pub(crate) const fn user(pairs: &[u8]) -> UserProperties<'_> {
    UserProperties::new(pairs, |rest| {
        let mut fields = Fields(rest);
        let pair = read_pair(&mut fields).ok()?;
        *rest = fields.0;
        Some((pair.0, pair.1.into()))
    })
}

fn read_pair<'b>(fields: &mut Fields<'b>) -> Result<(&'b str, &'b str), Malformed> {
    match fields.u8()? {
        USER => Ok((fields.text()?, fields.text()?)),
        _ => Err(Malformed::Value),
    }
}

/// The properties of the block at the start of `bytes`.
///
/// # Errors
/// It ends too soon, or a property is not what it has to be.
pub(crate) fn decode(bytes: &[u8]) -> Result<Properties<'_>, Malformed> {
    read(&mut Fields(bytes))
}

/// Reads the block.
pub(super) fn read<'b>(fields: &mut Fields<'b>) -> Result<Properties<'b>, Malformed> {
    let length = usize::try_from(fields.u32()?).map_err(|_| Malformed::TooLarge)?;
    let mut fields = Fields(fields.bytes(length)?);
    let mut properties = Properties::EMPTY;
    let mut last = 0;
    while let Some(&tag) = fields.0.first() {
        if tag <= last {
            return Err(Malformed::Value);
        }
        last = tag;
        if tag == USER {
            properties.user = user(fields.0);
            while !fields.0.is_empty() {
                read_pair(&mut fields)?;
            }
            break;
        }
        fields.u8()?;
        match tag {
            CONTENT_TYPE => properties.content_type = Some(fields.text()?),
            CONTENT_ENCODING => properties.content_encoding = Some(fields.text()?),
            CORRELATION => properties.correlation = Some(fields.string()?),
            REPLY_TO => properties.reply_to = Some(fields.text()?),
            MESSAGE_ID => properties.message_id = Some(fields.text()?),
            CREATED => properties.created = Some(WallTime::from_unix_millis(fields.u64()?)),
            TEXT => properties.is_text = true,
            _ => return Err(Malformed::Value),
        }
    }
    Ok(properties)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bytes_are_what_the_picture_says() {
        let mut pairs = Vec::new();
        push_pair("k", "1", &mut pairs).unwrap();
        push_pair("k", "", &mut pairs).unwrap();
        let properties = Properties {
            content_type: Some("a/b"),
            content_encoding: Some("gzip"),
            correlation: Some(&[0xff]),
            reply_to: Some("r"),
            message_id: Some(""),
            created: Some(WallTime::from_unix_millis(258)),
            is_text: true,
            user: user(&pairs),
            remaining: None,
        };
        let mut out = Vec::new();
        encode(&properties, &mut out).unwrap();
        let expected = concat!(
            "\x01\0\x03a/b\x02\0\x04gzip\x03\0\x01?\x04\0\x01r\x05\0\0",
            "\x06\0\0\0\0\0\0\x01\x02\x07\x08\0\x01k\0\x011\x08\0\x01k\0\0"
        );
        let expected = [&[0, 0, 0, 47][..], expected.as_bytes()].concat();
        let expected: Vec<u8> = expected.iter().map(|&b| if b == b'?' { 0xff } else { b }).collect();
        assert_eq!(out, expected);
        assert_eq!(decode(&out), Ok(properties));
        assert_eq!(decode(&[0; 4]), Ok(Properties::EMPTY));
    }

    #[test]
    fn impossible_blocks_are_refused() {
        for (block, error) in [
            (&b"\x09"[..], Malformed::Value),
            (b"\x00", Malformed::Value),
            (b"\x07\x07", Malformed::Value),           // twice
            (b"\x07\x05\0\0", Malformed::Value),       // out of order
            (b"\x08\0\0\0\0\x07", Malformed::Value),   // after the last
            (b"\x01\0\x01\xff", Malformed::Value),     // no text
            (b"\x08\0\x01\xff\0\0", Malformed::Value), // no text
            (b"\x01\0\x02a", Malformed::Length),
            (b"\x06\0", Malformed::Length),
            (b"\x08\0\0", Malformed::Length),
        ] {
            let bytes = [&u32::try_from(block.len()).unwrap().to_be_bytes()[..], block].concat();
            assert_eq!(decode(&bytes), Err(error), "{block:?}");
        }
        assert_eq!(decode(b"\0\0\0\x01"), Err(Malformed::Length));
    }

    proptest! {
        #[test]
        fn any_block_is_read_or_refused(block in proptest::collection::vec(0..12_u8, 0..40)) {
            let bytes = [&u32::try_from(block.len()).unwrap().to_be_bytes()[..], &block].concat();
            if let Ok(properties) = decode(&bytes) {
                let mut out = Vec::new();
                encode(&properties, &mut out).unwrap();
                prop_assert_eq!(out, bytes);
            }
        }
    }
}
