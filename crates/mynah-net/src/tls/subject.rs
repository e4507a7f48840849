//! The subject of a certificate as a line of text (RFC 4514).

use std::fmt::Write;

use super::certificate::{OBJECT_ID, SEQUENCE, SET, expect, next, text};

/// The types of attributes that have a short name (RFC 4514, section 3, and `emailAddress` of RFC 2985), by the content of
/// their object identifier.
const SHORT_NAMES: [(&[u8], &str); 11] = [
    (&[0x55, 0x04, 0x03], "CN"),
    (&[0x55, 0x04, 0x05], "SERIALNUMBER"),
    (&[0x55, 0x04, 0x06], "C"),
    (&[0x55, 0x04, 0x07], "L"),
    (&[0x55, 0x04, 0x08], "ST"),
    (&[0x55, 0x04, 0x09], "STREET"),
    (&[0x55, 0x04, 0x0A], "O"),
    (&[0x55, 0x04, 0x0B], "OU"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xF2, 0x2C, 0x64, 0x01, 0x19], "DC"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xF2, 0x2C, 0x64, 0x01, 0x01], "UID"),
    (&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x09, 0x01], "EMAILADDRESS"),
];

/// A `Name`, the most specific part first. What cannot be read in it is left out.
pub(super) fn line(mut name: &[u8]) -> Box<str> {
    let mut parts = Vec::new();
    while let Some(mut set) = expect(&mut name, SET) {
        let mut part = String::new();
        while let Some(attribute) = expect(&mut set, SEQUENCE) {
            if !part.is_empty() {
                part.push('+');
            }
            put_attribute(attribute, &mut part);
        }
        parts.push(part);
    }
    parts.reverse();
    parts.join(",").into()
}

fn put_attribute(mut attribute: &[u8], line: &mut String) {
    let Some(object_id) = expect(&mut attribute, OBJECT_ID) else { return };
    let encoded = attribute;
    let value = next(&mut attribute);
    let short = SHORT_NAMES.iter().find(|(known, _)| *known == object_id);
    match (short, value.and_then(text)) {
        (Some((_, name)), Some(value)) => {
            line.push_str(name);
            line.push('=');
            put_escaped(value, line);
        }
        (short, _) => {
            match short {
                Some((_, name)) => line.push_str(name),
                None => put_dotted(object_id, line),
            }
            line.push_str("=#");
            let bytes = &encoded[..encoded.len() - attribute.len()];
            // Writing to a string does not fail.
            for byte in bytes {
                let _ = write!(line, "{byte:02x}");
            }
        }
    }
}

/// An object identifier as numbers (X.690, section 8.19); of one that is too large the beginning.
fn put_dotted(object_id: &[u8], line: &mut String) {
    let (mut number, mut is_first) = (0_u64, true);
    for byte in object_id {
        let Some(shifted) = number.checked_mul(128) else { return };
        number = shifted | u64::from(byte & 0x7F);
        if byte & 0x80 != 0 {
            continue;
        }
        let _ = if std::mem::take(&mut is_first) {
            let root = (number / 40).min(2);
            write!(line, "{root}.{}", number - root * 40)
        } else {
            write!(line, ".{number}")
        };
        number = 0;
    }
}

/// A value with what would be read otherwise behind `\` (RFC 4514, section 2.4).
fn put_escaped(value: &str, line: &mut String) {
    let last = value.chars().count().saturating_sub(1);
    for (at, character) in value.chars().enumerate() {
        let is_special = match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => true,
            '#' => at == 0,
            ' ' => at == 0 || at == last,
            _ => false,
        };
        if character == '\0' {
            line.push_str("\\00");
            continue;
        }
        if is_special {
            line.push('\\');
        }
        line.push(character);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A value of DER that is short.
    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, content.len() as u8], content].concat()
    }

    fn attribute(object_id: &[u8], tag: u8, value: &[u8]) -> Vec<u8> {
        der(SEQUENCE, &[der(OBJECT_ID, object_id), der(tag, value)].concat())
    }

    const UTF8: u8 = 0x0C;

    #[test]
    fn a_subject_is_written_as_rfc_4514_has_it() {
        let name = [
            der(SET, &attribute(SHORT_NAMES[2].0, 0x13, b"GB")),
            der(SET, &attribute(SHORT_NAMES[6].0, UTF8, b"Analytical, Engines; Inc.")),
            der(
                SET,
                &[
                    attribute(SHORT_NAMES[0].0, UTF8, "#1 Löve \\ \"lace\" ".as_bytes()),
                    attribute(SHORT_NAMES[9].0, UTF8, b" a\0"),
                ]
                .concat(),
            ),
            // The example of section 4 of the RFC.
            der(SET, &attribute(&[0x2B, 0x06, 0x01, 0x04, 0x01, 0x8B, 0x3A, 0x00], 0x04, &[0x48, 0x69])),
            der(SET, &attribute(&[0x88, 0x37, 0x03], UTF8, b"x")),
            der(SET, &attribute(SHORT_NAMES[3].0, 0x1E, &[0, 0x41])),
        ]
        .concat();
        assert_eq!(
            *line(&name),
            *concat!(
                "L=#1e020041,2.999.3=#0c0178,1.3.6.1.4.1.1466.0=#04024869,",
                "CN=\\#1 Löve \\\\ \\\"lace\\\"\\ +UID=\\ a\\00,O=Analytical\\, Engines\\; Inc.,C=GB"
            )
        );
        assert_eq!(*line(&[]), *"");
    }

    #[test]
    fn what_is_damaged_is_read_as_far_as_it_goes() {
        let name = der(SET, &attribute(&[0xFF; 40], UTF8, b"x"));
        assert_eq!(*line(&name), *"=#0c0178");
        for at in 0..name.len() {
            let _ = line(&name[..at]);
        }
    }
}
