//! Content-Format numbers and the media types they stand for (the registry "CoAP Content-Formats"; RFC 7252, section
//! 12.3). A media type is compared without regard to case and spaces; an unknown one is octet-stream beside an option.

/// `text/plain; charset=utf-8`
pub const TEXT: u16 = 0;
/// `application/link-format`
pub const LINK_FORMAT: u16 = 40;
/// `application/octet-stream`
pub const OCTET_STREAM: u16 = 42;
/// `application/cbor`
pub const CBOR: u16 = 60;

/// What is registered without a content coding, by number.
const FORMATS: &[(u16, &str)] = &[
    (TEXT, "text/plain; charset=utf-8"),
    (16, "application/cose; cose-type=\"cose-encrypt0\""),
    (17, "application/cose; cose-type=\"cose-mac0\""),
    (18, "application/cose; cose-type=\"cose-sign1\""),
    (19, "application/ace+cbor"),
    (21, "image/gif"),
    (22, "image/jpeg"),
    (23, "image/png"),
    (LINK_FORMAT, "application/link-format"),
    (41, "application/xml"),
    (OCTET_STREAM, "application/octet-stream"),
    (47, "application/exi"),
    (50, "application/json"),
    (51, "application/json-patch+json"),
    (52, "application/merge-patch+json"),
    (CBOR, "application/cbor"),
    (61, "application/cwt"),
    (62, "application/multipart-core"),
    (63, "application/cbor-seq"),
    (64, "application/edhoc+cbor-seq"),
    (96, "application/cose; cose-type=\"cose-encrypt\""),
    (97, "application/cose; cose-type=\"cose-mac\""),
    (98, "application/cose; cose-type=\"cose-sign\""),
    (101, "application/cose-key"),
    (102, "application/cose-key-set"),
    (110, "application/senml+json"),
    (111, "application/sensml+json"),
    (112, "application/senml+cbor"),
    (113, "application/sensml+cbor"),
    (114, "application/senml-exi"),
    (115, "application/sensml-exi"),
    (140, "application/yang-data+cbor; id=sid"),
    (256, "application/coap-group+json"),
    (257, "application/concise-problem-details+cbor"),
    (258, "application/swid+cbor"),
    (271, "application/dots+cbor"),
    (310, "application/senml+xml"),
    (311, "application/sensml+xml"),
    (320, "application/senml-etch+json"),
    (322, "application/senml-etch+cbor"),
    (432, "application/td+json"),
    (10_000, "application/vnd.ocf+cbor"),
    (10_001, "application/oscore"),
    (10_002, "application/javascript"),
    (11_050, "application/json"),
    (11_060, "application/cbor"),
    (11_542, "application/vnd.oma.lwm2m+tlv"),
    (11_543, "application/vnd.oma.lwm2m+json"),
    (11_544, "application/vnd.oma.lwm2m+cbor"),
    (20_000, "text/css"),
    (30_000, "image/svg+xml"),
];

/// Those whose payload is encoded once more: they are carried by number only.
const DEFLATED: &[u16] = &[11_050, 11_060];

/// The media type of a number; absent if it is not known here.
#[must_use]
pub fn media_type(number: u16) -> Option<&'static str> {
    let at = FORMATS.binary_search_by_key(&number, |(known, _)| *known).ok()?;
    Some(FORMATS[at].1)
}

/// The content coding of a number.
#[must_use]
pub fn content_coding(number: u16) -> Option<&'static str> {
    DEFLATED.contains(&number).then_some("deflate")
}

/// The number of a media type with a content coding; absent if none is registered.
#[must_use]
pub fn number(media_type: &str, content_coding: Option<&str>) -> Option<u16> {
    let is_deflated = match content_coding {
        None => false,
        Some(coding) if coding.eq_ignore_ascii_case("deflate") => true,
        Some(_) => return None,
    };
    let same = |known: &str| {
        let spelled = |text: &'_ str| text.bytes().filter(|byte| *byte != b' ' && *byte != b'"').count();
        spelled(known) == spelled(media_type) && letters(known).eq(letters(media_type))
    };
    let found =
        FORMATS.iter().find(|(number, known)| DEFLATED.contains(number) == is_deflated && same(known));
    found.map(|(number, _)| *number)
}

/// A media type without what may be spelled in several ways.
fn letters(media_type: &str) -> impl Iterator<Item = u8> {
    let bytes = media_type.bytes().filter(|byte| *byte != b' ' && *byte != b'"');
    bytes.map(|byte| byte.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_media_types_stand_for_each_other() {
        for (known, media_type) in FORMATS {
            assert_eq!(super::media_type(*known), Some(*media_type));
            assert_eq!(number(media_type, content_coding(*known)), Some(*known), "{media_type}");
        }
        assert!(FORMATS.is_sorted_by_key(|(number, _)| *number));
    }

    #[test]
    fn spaces_case_and_quotes_do_not_matter_and_what_is_unknown_has_no_number() {
        assert_eq!(number("Text/Plain;charset=UTF-8", None), Some(TEXT));
        assert_eq!(number("application/cose; cose-type=cose-mac", None), Some(97));
        assert_eq!(number("text/plain", None), None);
        assert_eq!(number("application/json", Some("deflate")), Some(11_050));
        assert_eq!(number("application/json", Some("gzip")), None);
        assert_eq!(number("image/webp", None), None);
        assert_eq!(media_type(9_999), None);
    }
}
