//! Certificates: the names in them. Whether a certificate is good was decided by rustls before it is read here.

use mynah_engine::{AlternativeName, PeerCertificate};

use super::subject;

/// Tags of DER (X.690) that occur here.
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
pub(super) const OBJECT_ID: u8 = 0x06;
const BITS: u8 = 0x03;
const OCTETS: u8 = 0x04;
const UTF8_STRING: u8 = 0x0C;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
const VERSION: u8 = 0xA0;
const EXTENSIONS: u8 = 0xA3;

/// `id-at-commonName`, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// `id-ce-subjectAltName`, 2.5.29.17.
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1D, 0x11];

/// Describes a certificate. What cannot be read in it is left out.
pub(crate) fn describe(der: &[u8]) -> PeerCertificate {
    let names = read(der).unwrap_or_default();
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, der).as_ref());
    PeerCertificate {
        der: der.into(),
        sha256,
        subject: names.subject,
        common_name: names.common,
        names: names.alternative.into(),
    }
}

/// The object identifier of the algorithm by which a certificate is signed.
pub(super) fn signature_algorithm(mut der: &[u8]) -> Option<&[u8]> {
    let mut certificate = expect(&mut der, SEQUENCE)?;
    expect(&mut certificate, SEQUENCE)?;
    expect(&mut expect(&mut certificate, SEQUENCE)?, OBJECT_ID)
}

/// The key of a certificate: its algorithm, and its bits.
pub(super) fn public_key(mut der: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut certificate = expect(&mut der, SEQUENCE)?;
    let mut body = expect(&mut certificate, SEQUENCE)?;
    if body.first() == Some(&VERSION) {
        next(&mut body)?;
    }
    // Serial number, algorithm, issuer, validity, subject.
    for _ in 0..5 {
        next(&mut body)?;
    }
    let mut key = expect(&mut body, SEQUENCE)?;
    let algorithm = expect(&mut key, SEQUENCE)?;
    // No bits of the last byte are unused.
    let bits = expect(&mut key, BITS)?.strip_prefix(&[0])?;
    Some((algorithm, bits))
}

#[derive(Default)]
struct Names {
    subject: Box<str>,
    common: Option<Box<str>>,
    alternative: Vec<AlternativeName>,
}

/// The value that comes next, with its tag (definite lengths only, as DER demands).
pub(super) fn next<'d>(der: &mut &'d [u8]) -> Option<(u8, &'d [u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
            (
                bytes
                    .iter()
                    .try_fold(0usize, |len, byte| len.checked_mul(256)?.checked_add((*byte).into()))?,
                rest,
            )
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(len)?;
    *der = rest;
    Some((tag, value))
}

/// The content of the value that comes next, if it has this tag.
pub(super) fn expect<'d>(der: &mut &'d [u8], tag: u8) -> Option<&'d [u8]> {
    next(der).filter(|(found, _)| *found == tag).map(|(_, value)| value)
}

/// `Certificate`, RFC 5280, section 4.1.
fn read(mut der: &[u8]) -> Option<Names> {
    let mut certificate = expect(&mut der, SEQUENCE)?;
    let mut body = expect(&mut certificate, SEQUENCE)?;
    if body.first() == Some(&VERSION) {
        next(&mut body)?;
    }
    // Serial number, algorithm, issuer, validity.
    for _ in 0..4 {
        next(&mut body)?;
    }
    let subject = expect(&mut body, SEQUENCE)?;
    let mut alternative = Vec::new();
    while let Some((tag, value)) = next(&mut body) {
        if tag == EXTENSIONS {
            alternative = alternative_names(value).unwrap_or_default();
        }
    }
    Some(Names { subject: subject::line(subject), common: common_name(subject), alternative })
}

/// A value that is text of a kind that is read here.
pub(super) fn text((tag, value): (u8, &[u8])) -> Option<&str> {
    matches!(tag, UTF8_STRING | PRINTABLE_STRING | IA5_STRING).then(|| str::from_utf8(value).ok())?
}

/// The last, most specific common name of a `Name`.
fn common_name(mut name: &[u8]) -> Option<Box<str>> {
    let mut found = None;
    while let Some(mut set) = expect(&mut name, SET) {
        while let Some(mut attribute) = expect(&mut set, SEQUENCE) {
            if expect(&mut attribute, OBJECT_ID) == Some(COMMON_NAME)
                && let Some(value) = next(&mut attribute).and_then(text)
            {
                found = Some(value.into());
            }
        }
    }
    found
}

/// The names of the extension that has them.
fn alternative_names(mut extensions: &[u8]) -> Option<Vec<AlternativeName>> {
    let mut list = expect(&mut extensions, SEQUENCE)?;
    while let Some(mut extension) = expect(&mut list, SEQUENCE) {
        if expect(&mut extension, OBJECT_ID)? != SUBJECT_ALT_NAME {
            continue;
        }
        // `critical` may stand before the value.
        let mut value = loop {
            match next(&mut extension)? {
                (OCTETS, value) => break value,
                _ => continue,
            }
        };
        let mut names = expect(&mut value, SEQUENCE)?;
        let mut found = Vec::new();
        while let Some((tag, name)) = next(&mut names) {
            let Ok(name) = str::from_utf8(name) else { continue };
            match tag {
                0x81 => found.push(AlternativeName::Email(name.into())),
                0x82 => found.push(AlternativeName::Dns(name.into())),
                0x86 => found.push(AlternativeName::Uri(name.into())),
                _ => {}
            }
        }
        return Some(found);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn certificate(common: Option<&str>, names: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Mynah");
        if let Some(common) = common {
            params.distinguished_name.push(DnType::CommonName, common);
        }
        params.subject_alt_names = names;
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_names_of_a_subject_are_read() {
        let names = vec![
            SanType::DnsName("sensor-7.example".try_into().unwrap()),
            SanType::IpAddress([192, 0, 2, 1].into()),
            SanType::Rfc822Name("ada@example.com".try_into().unwrap()),
            SanType::URI("urn:dev:7".try_into().unwrap()),
        ];
        let read = describe(&certificate(Some("Sensor Nº 7"), names));
        assert_eq!(read.common_name.as_deref(), Some("Sensor Nº 7"));
        assert_eq!(*read.subject, *"CN=Sensor Nº 7,O=Mynah");
        assert_eq!(
            *read.names,
            [
                AlternativeName::Dns("sensor-7.example".into()),
                AlternativeName::Email("ada@example.com".into()),
                AlternativeName::Uri("urn:dev:7".into()),
            ]
        );
        let bare = describe(&certificate(None, Vec::new()));
        assert_eq!((bare.common_name.clone(), bare.names.len()), (None, 0));
        assert_ne!(bare.sha256, read.sha256);
    }

    #[test]
    fn a_certificate_that_is_damaged_is_read_as_far_as_it_goes() {
        let der = certificate(Some("x"), vec![SanType::DnsName("a.b".try_into().unwrap())]);
        for at in 0..der.len() {
            let _ = describe(&der[..at]);
            for bit in 0..8 {
                let mut damaged = der.clone();
                damaged[at] ^= 1 << bit;
                let _ = describe(&damaged);
            }
        }
    }
}
