//! A plain MQTT client over a blocking socket, for the honest and the hostile.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use mynah_bench::{connect, subscribe};
use mynah_mqtt::Version;
use mynah_mqtt::framing::next_unit;
use mynah_mqtt::wire::{PacketType, Publish, TextRule};

/// How long an answer may take before the broker counts as silent.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// How often a reader looks whether it is time to end.
const TICK: Duration = Duration::from_millis(50);

/// A connection to the broker.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    unread: Vec<u8>,
    read: usize,
}

/// What a client reads.
pub(crate) enum Packet {
    /// A message of QoS 1 (or 0, then the identifier is 0) and the number at the start of its payload.
    Message { packet_id: u16, number: u64 },
    /// Something else.
    Other(PacketType),
}

impl Client {
    /// A client that was let in.
    pub(crate) fn open(address: SocketAddr, name: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TICK))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut client = Self { stream, unread: Vec::new(), read: 0 };
        client.stream.write_all(&connect(name))?;
        client.expect(PacketType::Connack)?;
        Ok(client)
    }

    /// A client that was let in and has subscribed.
    pub(crate) fn subscriber(address: SocketAddr, name: &str, filter: &str, qos: u8) -> Result<Self> {
        let mut client = Self::open(address, name)?;
        client.stream.write_all(&subscribe(filter, qos))?;
        client.expect(PacketType::Suback)?;
        Ok(client)
    }

    fn expect(&mut self, wanted: PacketType) -> Result<()> {
        for _ in 0..PATIENCE.as_millis() / TICK.as_millis() {
            match self.next()? {
                Some(Packet::Other(found)) if found == wanted => return Ok(()),
                Some(_) => return Err(Error::other(format!("something else than {wanted:?}"))),
                None => {}
            }
        }
        Err(Error::new(ErrorKind::TimedOut, format!("no {wanted:?}")))
    }

    /// The next packet; none if there is none within [`TICK`].
    pub(crate) fn next(&mut self) -> Result<Option<Packet>> {
        loop {
            if let Some(packet) = self.take_packet()? {
                return Ok(Some(packet));
            }
            let mut chunk = [0; 16 << 10];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.unread.extend_from_slice(&chunk[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads at most `count` bytes and returns the packets that are then complete.
    pub(crate) fn sip(&mut self, count: usize) -> Result<Vec<Packet>> {
        let mut chunk = vec![0; count];
        match self.stream.read(&mut chunk) {
            Ok(count) => self.unread.extend_from_slice(&chunk[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
        let mut packets = Vec::new();
        while let Some(packet) = self.take_packet()? {
            packets.push(packet);
        }
        Ok(packets)
    }

    fn take_packet(&mut self) -> Result<Option<Packet>> {
        let wrong = |error: mynah_mqtt::Error| Error::other(error.to_string());
        let mut input = &self.unread[self.read..];
        let before = input.len();
        let Some(unit) = next_unit(&mut input, Version::default(), usize::MAX).map_err(wrong)? else {
            self.unread.drain(..self.read);
            self.read = 0;
            return Ok(None);
        };
        self.read += before - input.len();
        if unit.packet_type != PacketType::Publish {
            return Ok(Some(Packet::Other(unit.packet_type)));
        }
        let publish = Publish::decode(unit.flags, unit.body, TextRule::AcceptDiscouraged, Version::default())
            .map_err(wrong)?;
        let number = publish.payload.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let packet_id = publish.packet_id.map_or(0, mynah_mqtt::wire::PacketId::number);
        Ok(Some(Packet::Message { packet_id, number }))
    }
}
