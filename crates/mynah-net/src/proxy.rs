//! The PROXY protocol, versions 1 and 2: what a proxy says of the peer it speaks for, before anything else.
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest header of version 1, with its end of line.
const V1_BYTES_MAX: usize = 107;
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_START_BYTES: usize = 16;
/// Longest header of version 2 that is taken: addresses and what a proxy may add, such as a certificate's names.
const V2_BYTES_MAX: usize = 4_096;

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Its length in bytes: what follows is the peer's.
    pub(crate) len: usize,
    /// The peer, unless the proxy speaks for itself or does not know.
    pub(crate) peer: Option<SocketAddr>,
}

/// What came is not a header that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Reads a header at the start of `bytes`; none if more is needed.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let start = bytes.len().min(V2_SIGNATURE.len());
    if bytes[..start] == V2_SIGNATURE[..start] {
        return if bytes.len() < V2_START_BYTES { Ok(None) } else { read_v2(bytes) };
    }
    let start = bytes.len().min(6);
    if bytes[..start] == b"PROXY "[..start] { read_v1(bytes) } else { Err(Malformed) }
}

fn read_v1(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let line = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(end) = line.windows(2).position(|window| window == b"\r\n") else {
        return if line.len() < V1_BYTES_MAX { Ok(None) } else { Err(Malformed) };
    };
    let text = str::from_utf8(&line[..end]).map_err(|_| Malformed)?;
    let words: Vec<&str> = text.split(' ').collect();
    let peer = match words[..] {
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", family @ ("TCP4" | "TCP6"), source, destination, port, destination_port] => {
            let address = |text: &str| -> Result<IpAddr, Malformed> {
                let address: IpAddr = text.parse().map_err(|_| Malformed)?;
                if address.is_ipv4() == (family == "TCP4") { Ok(address) } else { Err(Malformed) }
            };
            let port_of = |text: &str| text.parse::<u16>().map_err(|_| Malformed);
            let _ = (address(destination)?, port_of(destination_port)?);
            Some(SocketAddr::new(address(source)?, port_of(port)?))
        }
        _ => return Err(Malformed),
    };
    Ok(Some(Header { len: end + 2, peer }))
}

/// `bytes` has the signature and the four bytes after it.
fn read_v2(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let (version, command) = (bytes[12] >> 4, bytes[12] & 0x0F);
    let len = V2_START_BYTES + usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    if version != 2 || command > 1 || len > V2_BYTES_MAX {
        return Err(Malformed);
    }
    let Some(body) = bytes.get(V2_START_BYTES..len) else { return Ok(None) };
    // The proxy speaks for itself (LOCAL), or for a peer of no family that has addresses here.
    let (Some(source), true) = (source_v2(bytes[13], body)?, command == 1) else {
        return Ok(Some(Header { len, peer: None }));
    };
    Ok(Some(Header { len, peer: Some(source) }))
}

/// The source address in the body of a header of version 2.
fn source_v2(family: u8, body: &[u8]) -> Result<Option<SocketAddr>, Malformed> {
    let port = |at: usize| body.get(at..at + 2).map(|port| u16::from_be_bytes([port[0], port[1]]));
    match family >> 4 {
        1 => {
            let source = body.first_chunk::<4>().zip(port(8).filter(|_| body.len() >= 12));
            let (address, port) = source.ok_or(Malformed)?;
            Ok(Some(SocketAddr::new(Ipv4Addr::from(*address).into(), port)))
        }
        2 => {
            let source = body.first_chunk::<16>().zip(port(32).filter(|_| body.len() >= 36));
            let (address, port) = source.ok_or(Malformed)?;
            Ok(Some(SocketAddr::new(Ipv6Addr::from(*address).into(), port)))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(version: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let len = (body.len() as u16).to_be_bytes();
        [&V2_SIGNATURE[..], &[version, family], &len, body].concat()
    }

    fn peer(text: &str) -> Option<SocketAddr> {
        Some(text.parse().unwrap())
    }

    /// Each header with the peer it names.
    fn headers() -> Vec<(Vec<u8>, Option<SocketAddr>)> {
        let mut inet6 = [0; 36];
        (inet6[0], inet6[15], inet6[33]) = (0xFD, 1, 80);
        vec![
            (b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n".to_vec(), peer("192.0.2.1:56324")),
            (b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n".to_vec(), peer("[2001:db8::1]:1")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 x 0 0\r\n".to_vec(), None),
            (v2(0x21, 0x11, &[192, 0, 2, 9, 1, 1, 1, 1, 0x12, 0x34, 7, 0x5B]), peer("192.0.2.9:4660")),
            (v2(0x21, 0x11, &[192, 0, 2, 9, 1, 1, 1, 1, 0, 1, 0, 2, 3, 0, 1, 9]), peer("192.0.2.9:1")),
            (v2(0x21, 0x21, &inet6), peer("[fd00::1]:80")),
            (v2(0x20, 0x00, b""), None),
            (v2(0x20, 0x11, &[192, 0, 2, 9, 1, 1, 1, 1, 0x12, 0x34, 7, 0x5B]), None),
            (v2(0x21, 0x31, &[b'/'; 216]), None),
        ]
    }

    #[test]
    fn headers_of_both_versions_name_the_peer() {
        for (header, peer) in headers() {
            let len = header.len();
            let bytes = [header, b"\x10rest".to_vec()].concat();
            assert_eq!(read(&bytes), Ok(Some(Header { len, peer })), "{bytes:?}");
        }
    }

    #[test]
    fn a_header_that_is_cut_is_waited_for() {
        for (header, _) in headers() {
            for cut in 0..header.len() {
                assert_eq!(read(&header[..cut]), Ok(None), "{cut} of {header:?}");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let mut long = v2(0x21, 0x11, &[0; 12]);
        (long[14], long[15]) = (0x0F, 0xF1);
        let cases: Vec<Vec<u8>> = vec![
            b"\x10\x0c".to_vec(),
            b"PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n".to_vec(),
            b"PROXY TCP4 ::1 ::1 1 2\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n".to_vec(),
            b"PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n".to_vec(),
            b"PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n".to_vec(),
            [&b"PROXY UNKNOWN "[..], &[b'x'; 100]].concat(),
            v2(0x11, 0x11, &[0; 12]),
            v2(0x22, 0x11, &[0; 12]),
            v2(0x21, 0x11, &[0; 11]),
            v2(0x21, 0x21, &[0; 35]),
            long,
        ];
        for case in cases {
            assert_eq!(read(&case), Err(Malformed), "{case:?}");
        }
    }
}
