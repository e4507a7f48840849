//! A client talks to a server in memory, without a broker: this program answers the server's commands itself.

use std::sync::Arc;

use mynah_model::{Class, Instant, Properties};
use mynah_mqtt::Config;
use mynah_mqtt::client::{Client, Event, Misuse, Options};
use mynah_mqtt::connection::ServerConnection;
use mynah_mqtt::mapping::{LAYOUT_V3, MqttCodec};
use mynah_stack::{
    Command, Connection, Delivery, Frame, FrameKind, LayoutCodec, Opened, Outbound, Outcome, Step,
};

fn main() -> Result<(), Misuse> {
    // Time is an argument: here it stands still.
    let now = Instant::ZERO;
    let mut client = Client::new(Options::new("loopback"))?;
    let mut server = ServerConnection::new(Arc::new(Config::default()), now);
    let mut out = Outbound::new();

    client.connect(now);
    exchange(now, &mut client, &mut server, &mut out);
    client.subscribe(now, &[("greetings/#", Class::AtMostOnce)])?;
    client.publish(now, "greetings/all", b"hello", Class::AtLeastOnce, false)?;
    exchange(now, &mut client, &mut server, &mut out);
    client.disconnect(now);
    exchange(now, &mut client, &mut server, &mut out);
    Ok(())
}

/// Carries bytes to and fro until both are silent.
fn exchange(now: Instant, client: &mut Client, server: &mut ServerConnection, out: &mut Outbound) {
    loop {
        let request = client.outbound().drain();
        println!("client: {}", request.escape_ascii());
        let mut input = request.as_slice();
        loop {
            match server.step(now, &mut input, out) {
                Step::Command(command) => execute(now, command, server, out),
                Step::Close(close) => return println!("server closes: {}", close.reason),
                Step::Idle => break,
            }
        }
        let answer = out.drain();
        println!("server: {}", answer.escape_ascii());
        client.handle_input(now, &mut answer.as_slice());
        while let Some(event) = client.poll_event() {
            match event {
                Event::Message { message, .. } => {
                    println!("  message on {}: {}", message.topic(), message.payload().escape_ascii());
                }
                event => println!("  {event:?}"),
            }
        }
        if client.outbound().is_empty() {
            return;
        }
    }
}

/// What a broker would do, for one client that subscribes to everything it publishes.
fn execute(now: Instant, command: Command<'_>, server: &mut ServerConnection, out: &mut Outbound) {
    match command {
        Command::Open(_) => {
            let opened = Opened::new(false, mynah_model::Expiry::Never);
            server.handle_outcome(now, Outcome::Opened(Ok(opened)), out);
        }
        Command::Subscribe(subscribe) => {
            let results: Vec<_> =
                subscribe.requests.iter().map(|request| request.map(|r| r.options.class_max)).collect();
            let outcome = Outcome::Subscribed { receipt: subscribe.receipt, results: &results };
            server.handle_outcome(now, outcome, out);
        }
        Command::Publish(publish) => {
            let (receipt, class) = (publish.receipt, publish.header.class);
            server.handle_outcome(now, Outcome::Published { receipt, class, result: Ok(true) }, out);
            let mut frame = Frame::default();
            let kind = FrameKind { identified: false, retain: false };
            if MqttCodec.encode(publish.view(), &Properties::default(), LAYOUT_V3, kind, &mut frame) {
                let class = Class::AtMostOnce;
                let delivery = Delivery::Message {
                    frame: &frame,
                    class,
                    id: None,
                    retain: false,
                    redelivered: false,
                    subscription_ids: &[],
                };
                server.deliver(now, delivery, out);
            }
        }
        other => println!("  the client has no use for {other:?} here"),
    }
}
