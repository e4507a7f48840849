//! A client of AMQP 0-9-1 that blocks: one connection with one channel.

use std::io::{Error, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use mynah_amqp::v0_9_1::wire::connection::{Open, StartOk, TuneOk};
use mynah_amqp::v0_9_1::wire::frame::{FRAME_END, FRAME_HEADER_LEN, FRAME_OVERHEAD, FrameType, encode_body};
use mynah_amqp::v0_9_1::wire::{
    ContentHeader, LongStr, MethodId, PROTOCOL_HEADER, PropertiesBuilder, PropertyId, ShortStr, Table, basic,
    channel, confirm, connection, queue,
};

const CHANNEL: u16 = 1;
const PATIENCE: Duration = Duration::from_secs(60);
const READ_BYTES: usize = 1 << 18;

/// What the broker says that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Another method.
    Method(MethodId),
    /// A publication, or all up to it, is kept.
    Kept(u64),
    /// A message, with its tag.
    Delivery(u64),
    /// The number that its payload begins with.
    Number(u64),
    Nothing,
}

pub(crate) struct Client {
    stream: TcpStream,
    out: Vec<u8>,
    input: Vec<u8>,
    read: usize,
}

impl Client {
    /// Connects and opens a channel.
    pub(crate) fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut client = Self { stream, out: PROTOCOL_HEADER.to_vec(), input: Vec::new(), read: 0 };
        client.wait_for(connection::Start::ID)?;
        let start_ok = StartOk {
            client_properties: Table::EMPTY,
            mechanism: ShortStr::cut("PLAIN"),
            response: LongStr(b"\0u\0p"),
            locale: ShortStr::cut("en_US"),
        };
        start_ok.encode(0, &mut client.out);
        client.wait_for(connection::Tune::ID)?;
        TuneOk { channel_max: 1, frame_max: 1 << 16, heartbeat: 0 }.encode(0, &mut client.out);
        Open { virtual_host: ShortStr::cut("/") }.encode(0, &mut client.out);
        client.wait_for(connection::OpenOk::ID)?;
        channel::Open {}.encode(CHANNEL, &mut client.out);
        client.wait_for(channel::OpenOk::ID)?;
        Ok(client)
    }

    pub(crate) fn declare(&mut self, name: &str, durable: bool) -> Result<()> {
        let declare = queue::Declare { queue: ShortStr::cut(name), durable, ..queue::Declare::default() };
        declare.encode(CHANNEL, &mut self.out);
        self.wait_for(queue::DeclareOk::ID)
    }

    /// Binds a queue to an exchange, with this key. Waits for the answer if that `is_awaited`.
    pub(crate) fn bind(&mut self, name: &str, exchange: &str, key: &str, is_awaited: bool) -> Result<()> {
        let (queue, exchange, routing_key) =
            (ShortStr::cut(name), ShortStr::cut(exchange), ShortStr::cut(key));
        let bind =
            queue::Bind { queue, exchange, routing_key, no_wait: !is_awaited, ..queue::Bind::default() };
        bind.encode(CHANNEL, &mut self.out);
        match is_awaited {
            true => self.wait_for(queue::BindOk::ID),
            false if self.out.len() >= READ_BYTES => self.flush(),
            false => Ok(()),
        }
    }

    pub(crate) fn delete(&mut self, name: &str) -> Result<()> {
        queue::Delete { queue: ShortStr::cut(name), ..queue::Delete::default() }
            .encode(CHANNEL, &mut self.out);
        self.wait_for(queue::DeleteOk::ID)
    }

    /// From here on publications are answered.
    pub(crate) fn confirm(&mut self) -> Result<()> {
        confirm::Select { nowait: false }.encode(CHANNEL, &mut self.out);
        self.wait_for(confirm::SelectOk::ID)
    }

    pub(crate) fn consume(&mut self, name: &str, prefetch: u16) -> Result<()> {
        let qos = basic::Qos { prefetch_count: prefetch, ..basic::Qos::default() };
        qos.encode(CHANNEL, &mut self.out);
        self.wait_for(basic::QosOk::ID)?;
        let consume = basic::Consume { queue: ShortStr::cut(name), ..basic::Consume::default() };
        consume.encode(CHANNEL, &mut self.out);
        self.wait_for(basic::ConsumeOk::ID)
    }

    /// Appends a publication; its payload begins with `number`.
    pub(crate) fn publish(&mut self, place: (&str, &str), number: u64, len: usize, is_persistent: bool) {
        let (exchange, key) = place;
        let publish = basic::Publish {
            exchange: ShortStr::cut(exchange),
            routing_key: ShortStr::cut(key),
            ..basic::Publish::default()
        };
        publish.encode(CHANNEL, &mut self.out);
        let mode = if is_persistent { 2 } else { 1 };
        let properties = PropertiesBuilder::new().octet(PropertyId::DeliveryMode, Some(mode));
        let header = ContentHeader { body_size: len as u64, properties: properties.as_properties() };
        header.encode(CHANNEL, &mut self.out);
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(len, b'x');
        encode_body(CHANNEL, &payload, 1 << 16, &mut self.out);
    }

    /// Accepts all deliveries up to this one.
    pub(crate) fn accept(&mut self, tag: u64) -> Result<()> {
        basic::Ack { delivery_tag: tag, multiple: true }.encode(CHANNEL, &mut self.out);
        self.flush()
    }

    pub(crate) fn flush(&mut self) -> Result<()> {
        self.stream.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    fn wait_for(&mut self, wanted: MethodId) -> Result<()> {
        self.flush()?;
        while self.hear()? != Heard::Method(wanted) {}
        Ok(())
    }

    /// The next frame.
    pub(crate) fn hear(&mut self) -> Result<Heard> {
        loop {
            if let Some((heard, len)) = parse(&self.input[self.read..])? {
                self.read += len;
                return Ok(heard);
            }
            self.input.drain(..self.read);
            self.read = 0;
            let filled = self.input.len();
            self.input.resize(filled + READ_BYTES, 0);
            let count = self.stream.read(&mut self.input[filled..])?;
            self.input.truncate(filled + count);
            if count == 0 {
                return Err(Error::other("the broker closes the connection"));
            }
        }
    }
}

/// The first frame and its length, if it is there whole.
fn parse(input: &[u8]) -> Result<Option<(Heard, usize)>> {
    let Some((&[frame_type, _, _, a, b, c, d], rest)) = input.split_first_chunk::<FRAME_HEADER_LEN>() else {
        return Ok(None);
    };
    let len = u32::from_be_bytes([a, b, c, d]) as usize;
    let Some((payload, &[end, ..])) = rest.split_at_checked(len) else { return Ok(None) };
    if end != FRAME_END {
        return Err(Error::other("a frame does not end"));
    }
    let heard = match FrameType::from_number(frame_type) {
        Some(FrameType::Method) => method(payload)?,
        Some(FrameType::Body) => number(payload).map_or(Heard::Nothing, Heard::Number),
        _ => Heard::Nothing,
    };
    Ok(Some((heard, len + FRAME_OVERHEAD)))
}

fn method(payload: &[u8]) -> Result<Heard> {
    let Some((&[c0, c1, m0, m1], rest)) = payload.split_first_chunk() else {
        return Err(Error::other("a method without its numbers"));
    };
    let id = MethodId::new(u16::from_be_bytes([c0, c1]), u16::from_be_bytes([m0, m1]));
    let tag = |bytes: &[u8]| number(bytes).ok_or_else(|| Error::other("no tag"));
    match id {
        basic::Ack::ID => tag(rest).map(Heard::Kept),
        basic::Deliver::ID => {
            let name_len = usize::from(rest.first().copied().unwrap_or_default());
            tag(rest.get(1 + name_len..).unwrap_or_default()).map(Heard::Delivery)
        }
        basic::Nack::ID | channel::Close::ID | connection::Close::ID => {
            Err(Error::other(format!("{id}: {}", String::from_utf8_lossy(rest))))
        }
        id => Ok(Heard::Method(id)),
    }
}

fn number(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|number| u64::from_be_bytes(*number))
}
