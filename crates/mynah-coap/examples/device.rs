//! A thermometer that sleeps most of the time, with a broker of one topic in the same program: it reports its temperature,
//! and observes the value that it is to keep. Every datagram is printed; time is made up, and one datagram in four is lost.

use std::time::Duration;

use mynah_coap::client::{Client, Event, Request};
use mynah_coap::framing::{Transport, next_datagram};
use mynah_coap::wire::{Code, Message, OptionNumber, content_format};
use mynah_coap::{Coap, CoapConfig, ConfigError};
use mynah_model::{Expiry, Instant, Topic};
use mynah_stack::{Command, Connection, Opened, Outbound, Outcome, Protocol, Step};

fn main() -> Result<(), ConfigError> {
    let protocol = Coap::new(CoapConfig::default(), Transport::Datagram, [1, 2])?;
    let mut server = protocol.accept(Instant::ZERO);
    let mut device = Client::new(CoapConfig::default(), Transport::Datagram, [3, 4]);
    let mut now = Instant::ZERO;
    let target = Request::topic(Code::GET, Topic::from_checked(b"heating/target"));
    device.request(now, target.observe().uint(OptionNumber::ACCEPT, content_format::TEXT.into()));
    let mut out = Outbound::new();
    let mut sent = 0;
    for reading in ["20.5", "20.7", "21.0"] {
        let report = Request::topic(Code::PUT, Topic::from_checked(b"heating/temperature"));
        device.request(now, report.payload(content_format::TEXT, reading.as_bytes()));
        let wakes = now + Duration::from_secs(60);
        loop {
            exchange(now, &mut device, server.as_mut(), &mut out, &mut sent);
            let deadlines = [device.deadline(), server.deadline()];
            let Some(due) = deadlines.into_iter().flatten().min().filter(|due| *due <= wakes) else { break };
            now = now.max(due);
            device.handle_timeout(now);
            server.handle_timeout(now, &mut out);
        }
        now = wakes;
    }
    Ok(())
}

/// Carries datagrams to and fro until both are silent, but loses each fourth.
fn exchange(
    now: Instant,
    device: &mut Client,
    server: &mut dyn Connection,
    out: &mut Outbound,
    sent: &mut usize,
) {
    loop {
        let (there, back) = (device.outbound().drain(), out.drain());
        if there.is_empty() && back.is_empty() {
            return;
        }
        for (name, mut bytes) in [("device", &there[..]), ("server", &back[..])] {
            while let Some(datagram) = next_datagram(&mut bytes) {
                *sent += 1;
                let is_lost = sent.is_multiple_of(4);
                show(now, name, datagram, is_lost);
                // Lengths of datagrams have two bytes.
                let unit = [&(datagram.len() as u16).to_be_bytes(), datagram].concat();
                match name {
                    _ if is_lost => {}
                    "device" => hear(now, server, &unit, out),
                    _ => device.handle_input(now, &mut &unit[..]),
                }
            }
        }
        while let Some(event) = device.poll_event() {
            if let Event::Response { response, .. } | Event::Notification { response, .. } = event {
                println!("        the device hears {} {}", response.code, response.payload.escape_ascii());
            }
        }
    }
}

/// What a broker does: it carries out the commands of the connection, here without keeping anything.
fn hear(now: Instant, server: &mut dyn Connection, unit: &[u8], out: &mut Outbound) {
    let mut input = unit;
    loop {
        let outcome = match server.step(now, &mut input, out) {
            Step::Idle | Step::Close(_) => return,
            Step::Command(Command::Open(_)) => {
                Outcome::Opened(Ok(Opened::new(false, Expiry::WithConnection)))
            }
            Step::Command(Command::PublishIf(command)) => Outcome::Published {
                receipt: command.publish.receipt,
                class: command.publish.header.class,
                result: Ok(false),
            },
            Step::Command(Command::Prepared(mut named)) => match named.command() {
                Command::Subscribe(subscribe) => {
                    let results: Vec<_> = subscribe
                        .requests
                        .iter()
                        .map(|request| request.map(|request| request.options.class_max))
                        .collect();
                    let outcome = Outcome::Subscribed { receipt: subscribe.receipt, results: &results };
                    server.handle_outcome(now, outcome, out);
                    continue;
                }
                _ => Outcome::Value(Ok(None)),
            },
            Step::Command(_) => continue,
        };
        server.handle_outcome(now, outcome, out);
    }
}

fn show(now: Instant, name: &str, datagram: &[u8], is_lost: bool) {
    let fate = if is_lost { " (lost)" } else { "" };
    if let Ok(Message { kind, id, body }) = Message::decode(datagram, 8) {
        let seconds = now.as_micros() as f64 / 1e6;
        println!("{seconds:6.1}s {name}: {kind:?} {} {}{fate}", id.0, body.code);
    }
}
