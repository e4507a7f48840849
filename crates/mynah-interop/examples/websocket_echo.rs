//! An echo server with the broker's framing of WebSocket, for test suites: `websocket_echo PORT`. Each message comes
//! back as it was, text or binary, on any of the paths that suites use.

use std::io::{Read, Result, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use mynah_engine::websocket::{CloseCode, Decoder, Handshake, Header, OpCode, Settings, Unit};

/// Suites send messages of 16 MiB.
const MESSAGE_BYTES_MAX: u64 = 64 << 20;

fn main() -> Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(9001);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    println!("listening on {}", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        // A peer that breaks off ends its own thread only.
        thread::spawn(move || echo(stream));
    }
    Ok(())
}

fn echo(mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let settings = Settings {
        paths: vec!["/".into(), "/echo".into()],
        protocols: Vec::new(),
        unnamed: None,
        request_bytes_max: 8_192,
        message_bytes_max: MESSAGE_BYTES_MAX,
    };
    let mut buffer = vec![0; 64 << 10];
    let (mut handshake, mut answers) = (Handshake::new(), Vec::new());
    let (mut decoder, mut message) = (Decoder::new(None, MESSAGE_BYTES_MAX), Vec::new());
    let mut is_open = false;
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let (bytes, mut at) = (&mut buffer[..count], 0);
        if !is_open {
            match handshake.read(&settings, bytes, &mut answers) {
                Ok(None) => continue,
                Ok(Some(accepted)) => (is_open, at) = (true, accepted.rest),
                Err(_) => return stream.write_all(&answers),
            }
        }
        let code = loop {
            match decoder.decode(bytes, &mut at) {
                Ok(None) => break None,
                Ok(Some(Unit::Data { range, text, ends })) => {
                    message.extend_from_slice(&bytes[range]);
                    if ends {
                        append(if text { OpCode::Text } else { OpCode::Binary }, &message, &mut answers);
                        message.clear();
                    }
                }
                Ok(Some(Unit::Ping)) => append(OpCode::Pong, decoder.control(), &mut answers),
                Ok(Some(Unit::Pong)) => {}
                Ok(Some(Unit::Close(code))) => break Some(code),
                Err(code) => break Some(Some(code)),
            }
        };
        if let Some(code) = code {
            let code = code.map(CloseCode::get).map(u16::to_be_bytes);
            append(OpCode::Close, code.as_ref().map_or(&[], |code| code), &mut answers);
            return stream.write_all(&answers);
        }
        stream.write_all(&answers)?;
        answers.clear();
    }
}

fn append(opcode: OpCode, payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(Header::new(opcode, true, payload.len() as u64).as_bytes());
    out.extend_from_slice(payload);
}
