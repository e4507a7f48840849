//! Hellos (RFC 6347, section 4.2.1; RFC 5246, section 7.4.1) and their extensions.

use super::message::{ECDSA_SHA256, P256};
use super::reader::{Reader, numbers, put_u16};
use super::record::VERSION;
use crate::suite::Suite;

const SERVER_NAME: u16 = 0;
const SUPPORTED_GROUPS: u16 = 10;
const EC_POINT_FORMATS: u16 = 11;
const SIGNATURE_ALGORITHMS: u16 = 13;
const EXTENDED_MASTER_SECRET: u16 = 23;
const RENEGOTIATION_INFO: u16 = 0xFF01;
/// `TLS_EMPTY_RENEGOTIATION_INFO_SCSV` (RFC 5746, section 3.3).
const SCSV: u16 = 0x00FF;

/// What a client begins with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientHello<'m> {
    pub(crate) random: &'m [u8; 32],
    pub(crate) cookie: &'m [u8],
    /// Before the cookie with its length, and behind it.
    pub(crate) around: (&'m [u8], &'m [u8]),
    /// Suites, as numbers of 16 bits.
    pub(crate) suites: &'m [u8],
    pub(crate) extensions: Extensions<'m>,
}

/// Extensions that mean something here.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extensions<'m> {
    pub(crate) server_name: Option<&'m str>,
    /// Groups and schemes, as numbers of 16 bits; None if the peer does not say.
    pub(crate) groups: Option<&'m [u8]>,
    pub(crate) schemes: Option<&'m [u8]>,
    pub(crate) has_point_formats: bool,
    pub(crate) extended_master_secret: bool,
    pub(crate) renegotiation_info: bool,
}

impl<'m> Extensions<'m> {
    fn read(bytes: &'m [u8]) -> Option<Self> {
        let mut all = Reader(bytes);
        let mut found = Self::default();
        while !all.0.is_empty() {
            let (kind, body) = (all.u16()?, all.long()?);
            let mut reader = Reader(body);
            match kind {
                SERVER_NAME if !body.is_empty() => {
                    let mut names = Reader(reader.long()?);
                    let (kind, name) = (names.u8()?, names.long()?);
                    found.server_name = str::from_utf8(name).ok().filter(|_| kind == 0);
                }
                SUPPORTED_GROUPS => found.groups = Some(reader.long()?),
                SIGNATURE_ALGORITHMS => found.schemes = Some(reader.long()?),
                EC_POINT_FORMATS => found.has_point_formats = true,
                EXTENDED_MASTER_SECRET => found.extended_master_secret = true,
                RENEGOTIATION_INFO => found.renegotiation_info = reader.short()?.is_empty(),
                _ => {}
            }
        }
        Some(found)
    }

    /// Whether the peer takes shares of P-256 and signatures by ECDSA with SHA-256.
    fn has_curve(&self) -> bool {
        let lists = |list: Option<&[u8]>, wanted| list.is_none_or(|list| numbers(list).any(|n| n == wanted));
        lists(self.groups, P256) && lists(self.schemes, ECDSA_SHA256)
    }
}

impl<'m> ClientHello<'m> {
    /// None if it cannot be read, or is not of DTLS 1.2 or later.
    pub(crate) fn read(body: &'m [u8]) -> Option<Self> {
        let mut reader = Reader(body);
        // The versions of DTLS count downwards.
        let [major, minor] = *reader.array()?;
        let random = reader.array()?;
        reader.short()?;
        let before = &body[..body.len() - reader.0.len()];
        let cookie = reader.short()?;
        let behind = reader.0;
        let suites = reader.long()?;
        let has_no_compression = reader.short()?.contains(&0);
        let bytes = if reader.0.is_empty() { &[] } else { reader.long()? };
        reader.end()?;
        let mut extensions = Extensions::read(bytes)?;
        extensions.renegotiation_info |= numbers(suites).any(|code| code == SCSV);
        let is_spoken = major == VERSION[0] && minor <= VERSION[1] && has_no_compression;
        is_spoken.then_some(Self { random, cookie, around: (before, behind), suites, extensions })
    }

    /// The suite that the client likes best of those for which there is what they need.
    pub(crate) fn choose(&self, has_keys: bool, has_certificate: bool) -> Option<Suite> {
        let may = |suite: &Suite| {
            if suite.is_psk() { has_keys } else { has_certificate && self.extensions.has_curve() }
        };
        numbers(self.suites).filter_map(Suite::of).find(may)
    }
}

/// Appends a client's hello.
pub(crate) fn put_client_hello(
    random: &[u8; 32],
    cookie: &[u8],
    suites: &[Suite],
    server_name: Option<&str>,
    out: &mut Vec<u8>,
) {
    out.extend(VERSION);
    out.extend(random);
    out.extend([0, cookie.len() as u8]);
    out.extend_from_slice(cookie);
    put_u16(suites.len() * 2 + 2, out);
    suites.iter().for_each(|suite| out.extend(suite.code().to_be_bytes()));
    out.extend(SCSV.to_be_bytes());
    out.extend([1, 0]);
    let mut extensions = Vec::new();
    put_extension(EXTENDED_MASTER_SECRET, &[], &mut extensions);
    if suites.iter().any(|suite| !suite.is_psk()) {
        let list = |number: u16| [&[0, 2][..], &number.to_be_bytes()].concat();
        put_extension(SUPPORTED_GROUPS, &list(P256), &mut extensions);
        put_extension(EC_POINT_FORMATS, &[1, 0], &mut extensions);
        put_extension(SIGNATURE_ALGORITHMS, &list(ECDSA_SHA256), &mut extensions);
    }
    if let Some(name) = server_name {
        let mut body = Vec::new();
        put_u16(name.len() + 3, &mut body);
        body.push(0);
        put_u16(name.len(), &mut body);
        body.extend_from_slice(name.as_bytes());
        put_extension(SERVER_NAME, &body, &mut extensions);
    }
    put_u16(extensions.len(), out);
    out.extend(extensions);
}

fn put_extension(kind: u16, body: &[u8], out: &mut Vec<u8>) {
    out.extend(kind.to_be_bytes());
    put_u16(body.len(), out);
    out.extend_from_slice(body);
}

/// Appends a server's hello: what of the client's extensions it answers.
pub(crate) fn put_server_hello(random: &[u8; 32], suite: Suite, asked: &Extensions<'_>, out: &mut Vec<u8>) {
    out.extend(VERSION);
    out.extend(random);
    // No session is resumed later.
    out.push(0);
    out.extend(suite.code().to_be_bytes());
    out.push(0);
    let mut extensions = Vec::new();
    if asked.renegotiation_info {
        put_extension(RENEGOTIATION_INFO, &[0], &mut extensions);
    }
    if asked.extended_master_secret {
        put_extension(EXTENDED_MASTER_SECRET, &[], &mut extensions);
    }
    if asked.has_point_formats && !suite.is_psk() {
        put_extension(EC_POINT_FORMATS, &[1, 0], &mut extensions);
    }
    if !extensions.is_empty() {
        put_u16(extensions.len(), out);
        out.extend(extensions);
    }
}

/// A server's hello.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerHello<'m> {
    pub(crate) random: &'m [u8; 32],
    pub(crate) suite: Suite,
    pub(crate) extended_master_secret: bool,
}

impl<'m> ServerHello<'m> {
    /// None if it cannot be read, or is of another version or an unknown suite.
    pub(crate) fn read(body: &'m [u8]) -> Option<Self> {
        let mut reader = Reader(body);
        let is_spoken = reader.array::<2>()? == &VERSION;
        let random = reader.array()?;
        reader.short()?;
        let suite = Suite::of(reader.u16()?)?;
        let is_plain = reader.u8()? == 0;
        let bytes = if reader.0.is_empty() { &[] } else { reader.long()? };
        reader.end()?;
        let extended_master_secret = Extensions::read(bytes)?.extended_master_secret;
        (is_spoken && is_plain).then_some(Self { random, suite, extended_master_secret })
    }
}

/// Appends a request to repeat the hello with a cookie; it says DTLS 1.0 whatever follows (RFC 6347, section 4.2.1).
pub(crate) fn put_verify_request(cookie: &[u8], out: &mut Vec<u8>) {
    out.extend([0xFE, 0xFF, cookie.len() as u8]);
    out.extend_from_slice(cookie);
}

/// The cookie in a request to repeat the hello.
pub(crate) fn requested_cookie(body: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader(body);
    reader.array::<2>()?;
    let cookie = reader.short()?;
    reader.end()?;
    Some(cookie)
}
