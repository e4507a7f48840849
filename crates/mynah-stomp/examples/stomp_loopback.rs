//! A client and a server in one program, without a broker: the server's commands are answered by hand.

use std::error::Error;
use std::sync::Arc;

use mynah_model::{Expiry, Instant, WallTime};
use mynah_stack::{Command, Connection, Opened, Outbound, Outcome, Step};
use mynah_stomp::Config;
use mynah_stomp::client::{Client, Event, Options};
use mynah_stomp::connection::ServerConnection;

fn main() -> Result<(), Box<dyn Error>> {
    let now = Instant::ZERO;
    let mut client = Client::new(Options::new("example.org"))?;
    let mut server = ServerConnection::new(Arc::new(Config::default()), WallTime::default(), now);
    client.connect(now);
    let mut out = Outbound::new();
    for _ in 0..3 {
        serve(&mut server, &client.outbound().drain(), &mut out);
        client.handle_input(now, &mut out.drain().as_slice());
        while let Some(event) = client.poll_event() {
            println!("client hears {event:?}");
            match event {
                Event::Connected { .. } => {
                    client.send(now, "/topic/greetings", [], b"hello", true)?;
                }
                Event::Receipt { .. } => client.disconnect(now)?,
                Event::Message(_) | Event::Closed(_) => {}
            }
        }
    }
    Ok(())
}

/// Lets the server read, and answers what it asks for.
fn serve(server: &mut ServerConnection, mut input: &[u8], out: &mut Outbound) {
    let now = Instant::ZERO;
    loop {
        match server.step(now, &mut input, out) {
            Step::Idle => return,
            Step::Close(close) => return println!("server closes: {}", close.reason),
            Step::Command(Command::Open(_)) => {
                let opened = Outcome::Opened(Ok(Opened::new(false, Expiry::WithConnection)));
                server.handle_outcome(now, opened, out);
            }
            Step::Command(Command::Publish(publish)) => {
                println!("server is given {:?}", publish.view());
                let (receipt, class) = (publish.receipt, publish.header.class);
                server.handle_outcome(now, Outcome::Published { receipt, class, result: Ok(true) }, out);
            }
            Step::Command(other) => println!("server asks for {other:?}"),
        }
    }
}
