//! A client talks to a server in memory, without a broker: this program answers the server's commands itself.

use std::sync::Arc;

use mynah_amqp::v0_9_1::Config;
use mynah_amqp::v0_9_1::client::{Client, Event, Login, Misuse, Options};
use mynah_amqp::v0_9_1::connection::ServerConnection;
use mynah_amqp::v0_9_1::wire::{PropertiesBuilder, PropertyId, ShortStr, basic, confirm};
use mynah_model::{Expiry, Instant, WallTime};
use mynah_stack::{Command, Connection, Opened, Outbound, Outcome, Step};

fn main() -> Result<(), Misuse> {
    // Time is an argument: here it stands still.
    let now = Instant::ZERO;
    let login = Login::Plain { user: "guest".into(), password: b"guest"[..].into() };
    let mut client = Client::new(Options::new(login));
    let mut server = ServerConnection::new(Arc::new(Config::default()), WallTime::default(), now);
    let mut out = Outbound::new();

    client.connect(now);
    exchange(now, &mut client, &mut server, &mut out);
    let channel = client.open_channel(now)?;
    exchange(now, &mut client, &mut server, &mut out);
    client.send(now, channel, confirm::Select { nowait: false })?;
    let publish = basic::Publish {
        exchange: ShortStr::cut("amq.topic"),
        routing_key: ShortStr::cut("greetings.all"),
        ..basic::Publish::default()
    };
    let persistent = PropertiesBuilder::new().octet(PropertyId::DeliveryMode, Some(2));
    client.publish(now, channel, publish, persistent.as_properties(), b"hello")?;
    exchange(now, &mut client, &mut server, &mut out);
    client.close(now);
    exchange(now, &mut client, &mut server, &mut out);
    Ok(())
}

/// Carries bytes to and fro until both are silent.
fn exchange(now: Instant, client: &mut Client, server: &mut ServerConnection, out: &mut Outbound) {
    while !client.outbound().is_empty() {
        let request = client.outbound().drain();
        println!("client: {}", request.escape_ascii());
        let mut input = request.as_slice();
        loop {
            match server.step(now, &mut input, out) {
                Step::Command(command) => execute(now, command, server, out),
                Step::Close(close) => {
                    println!("server closes: {}", close.reason);
                    break;
                }
                Step::Idle => break,
            }
        }
        let answer = out.drain();
        println!("server: {}", answer.escape_ascii());
        client.handle_input(now, &mut answer.as_slice());
        while let Some(event) = client.poll_event() {
            match event {
                Event::Method { method, .. } => println!("  {:?}", method.get()),
                event => println!("  {event:?}"),
            }
        }
    }
}

/// What a broker would do, for a client that everybody listens to.
fn execute(now: Instant, command: Command<'_>, server: &mut ServerConnection, out: &mut Outbound) {
    match command {
        Command::Open(_) => {
            let opened = Opened::new(false, Expiry::WithConnection);
            server.handle_outcome(now, Outcome::Opened(Ok(opened)), out);
        }
        Command::Publish(publish) => {
            println!("  message on {}", publish.view().topic());
            let (receipt, class) = (publish.receipt, publish.header.class);
            server.handle_outcome(now, Outcome::Published { receipt, class, result: Ok(true) }, out);
        }
        other => println!("  the client has no use for {other:?} here"),
    }
}
