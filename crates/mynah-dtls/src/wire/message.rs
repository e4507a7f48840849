//! Messages of handshakes (RFC 6347, section 4.2.2; RFC 5246, section 7.4).

use super::reader::{Reader, put_u16, put_u24};

pub(crate) const HEADER_BYTES: usize = 12;

pub(crate) const CLIENT_HELLO: u8 = 1;
pub(crate) const SERVER_HELLO: u8 = 2;
pub(crate) const HELLO_VERIFY_REQUEST: u8 = 3;
pub(crate) const CERTIFICATE: u8 = 11;
pub(crate) const SERVER_KEY_EXCHANGE: u8 = 12;
pub(crate) const CERTIFICATE_REQUEST: u8 = 13;
pub(crate) const SERVER_HELLO_DONE: u8 = 14;
pub(crate) const CERTIFICATE_VERIFY: u8 = 15;
pub(crate) const CLIENT_KEY_EXCHANGE: u8 = 16;
pub(crate) const FINISHED: u8 = 20;

/// `ecdsa_secp256r1_sha256`, as a signature scheme of TLS 1.3 calls what is hash and algorithm here.
pub(crate) const ECDSA_SHA256: u16 = 0x0403;
/// `secp256r1`
pub(crate) const P256: u16 = 23;
const NAMED_CURVE: u8 = 3;
const ECDSA_SIGN: u8 = 64;
const RSA_SIGN: u8 = 1;

/// A piece of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fragment<'d> {
    pub(crate) kind: u8,
    /// Of the whole message.
    pub(crate) length: usize,
    pub(crate) sequence: u16,
    pub(crate) offset: usize,
    pub(crate) body: &'d [u8],
}

impl Fragment<'_> {
    /// Whether it is all of the message.
    pub(crate) const fn is_whole(&self) -> bool {
        self.offset == 0 && self.body.len() == self.length
    }
}

/// The next fragment of a record's body.
pub(crate) fn next<'d>(body: &mut &'d [u8]) -> Option<Fragment<'d>> {
    let mut reader = Reader(body);
    let (kind, length, sequence) = (reader.u8()?, reader.u24()?, reader.u16()?);
    let offset = reader.u24()?;
    let fragment = Fragment { kind, length, sequence, offset, body: reader.longest()? };
    *body = reader.0;
    (offset + fragment.body.len() <= length).then_some(fragment)
}

/// Appends the header of a fragment.
pub(crate) fn put_header(
    (kind, length, sequence): (u8, usize, u16),
    offset: usize,
    count: usize,
    out: &mut Vec<u8>,
) {
    out.push(kind);
    put_u24(length, out);
    out.extend(sequence.to_be_bytes());
    put_u24(offset, out);
    put_u24(count, out);
}

/// Certificates, the peer's own first. None if it cannot be read.
pub(crate) fn certificates(body: &[u8]) -> Option<Vec<&[u8]>> {
    let mut reader = Reader(body);
    let mut list = Reader(reader.longest()?);
    reader.end()?;
    let mut chain = Vec::new();
    while !list.0.is_empty() {
        chain.push(list.longest().filter(|certificate| !certificate.is_empty())?);
    }
    Some(chain)
}

pub(crate) fn put_certificates(chain: &[Box<[u8]>], out: &mut Vec<u8>) {
    put_u24(chain.iter().map(|certificate| 3 + certificate.len()).sum(), out);
    for certificate in chain {
        put_u24(certificate.len(), out);
        out.extend_from_slice(certificate);
    }
}

/// `ServerECDHParams` (RFC 8422, section 5.4).
pub(crate) fn put_share(public: &[u8], out: &mut Vec<u8>) {
    out.push(NAMED_CURVE);
    out.extend(P256.to_be_bytes());
    out.push(public.len() as u8);
    out.extend_from_slice(public);
}

/// A signature with how it was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signed<'m> {
    pub(crate) scheme: u16,
    pub(crate) signature: &'m [u8],
}

impl<'m> Signed<'m> {
    pub(crate) fn read(reader: &mut Reader<'m>) -> Option<Self> {
        let (scheme, signature) = (reader.u16()?, reader.long()?);
        reader.end()?;
        Some(Self { scheme, signature })
    }

    pub(crate) fn put(scheme: u16, signature: &[u8], out: &mut Vec<u8>) {
        out.extend(scheme.to_be_bytes());
        put_u16(signature.len(), out);
        out.extend_from_slice(signature);
    }
}

/// A server's share of the key, as it stands in the message, and what proves that it is the server's.
pub(crate) struct ServerShare<'m> {
    pub(crate) params: &'m [u8],
    pub(crate) public: &'m [u8],
    pub(crate) signed: Signed<'m>,
}

/// `ServerKeyExchange` of ECDHE. None if it cannot be read or is of another curve.
pub(crate) fn server_share(body: &[u8]) -> Option<ServerShare<'_>> {
    let mut reader = Reader(body);
    let is_known = reader.u8()? == NAMED_CURVE && reader.u16()? == P256;
    let public = reader.short().filter(|_| is_known)?;
    let params = &body[..body.len() - reader.0.len()];
    Some(ServerShare { params, public, signed: Signed::read(&mut reader)? })
}

/// `CertificateRequest`; no authorities are named, so that it stays small.
pub(crate) fn put_certificate_request(schemes: &[u16], out: &mut Vec<u8>) {
    out.extend([2, ECDSA_SIGN, RSA_SIGN]);
    put_u16(schemes.len() * 2, out);
    schemes.iter().for_each(|scheme| out.extend(scheme.to_be_bytes()));
    put_u16(0, out);
}

/// The schemes in a `CertificateRequest`, as a list of numbers of 16 bits.
pub(crate) fn requested_schemes(body: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader(body);
    reader.short()?;
    let schemes = reader.long()?;
    reader.long()?;
    reader.end()?;
    Some(schemes)
}
