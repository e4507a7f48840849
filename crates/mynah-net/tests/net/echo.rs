//! A protocol that says back what it hears: all that the tests of sockets need.

use std::sync::Arc;
use std::time::Duration;

use mynah_engine::{Listener, Settings};
use mynah_model::{Expiry, Instant, Layout, Limits, MessageView, Properties, Reason, TenantId};
use mynah_net::{Address, Config, Entrance, Server, Socketed};
use mynah_stack::{
    Close, Command, Connection, Credentials, Delivery, Frame, FrameKind, LayoutCodec, Open, Outbound,
    Outcome, Protocol, SessionRequest, Step,
};

pub(crate) const LAYOUT: Layout = Layout { id: 9, version: 1 };

/// The first byte names a session, so that connections move between workers; a `q` after it ends the connection, and
/// an `x` is a violation.
pub(crate) struct Echo;

impl Protocol for Echo {
    fn name(&self) -> &'static str {
        "echo"
    }

    fn accept(&self, _: Instant) -> Box<dyn Connection> {
        Box::new(EchoConnection::Fresh)
    }

    fn codec(&self) -> Arc<dyn LayoutCodec> {
        Arc::new(EchoCodec)
    }
}

struct EchoCodec;

impl LayoutCodec for EchoCodec {
    fn layouts(&self) -> &[Layout] {
        &[LAYOUT]
    }

    fn properties<'m>(&self, _: MessageView<'m>) -> Properties<'m> {
        Properties::default()
    }

    fn encode(&self, _: MessageView<'_>, _: &Properties<'_>, _: Layout, _: FrameKind, _: &mut Frame) -> bool {
        false
    }
}

enum EchoConnection {
    Fresh,
    Opening,
    Open,
    Ending(Reason),
}

impl Connection for EchoConnection {
    fn step<'b>(&mut self, _: Instant, input: &mut &'b [u8], out: &mut Outbound) -> Step<'b> {
        match self {
            Self::Fresh => {
                let Some((&name, rest)) = input.split_first() else { return Step::Idle };
                *input = rest;
                *self = Self::Opening;
                let session = SessionRequest {
                    client_id: [name].into(),
                    clean_start: true,
                    expiry: Expiry::WithConnection,
                };
                let user = match name {
                    b'!' => Some("u"),
                    b'?' => Some("known"),
                    _ => None,
                };
                let credentials = user.map(|user| Credentials { user: user.into(), password: None });
                let open = Open { credentials, session: Some(session), ..Open::new(1) };
                Step::Command(Command::Open(Box::new(open)))
            }
            Self::Opening => Step::Idle,
            Self::Open => {
                out.append(input);
                if input.contains(&b'q') {
                    *self = Self::Ending(Reason::Disconnected);
                } else if input.contains(&b'x') {
                    *self = Self::Ending(Reason::ProtocolViolation);
                }
                *input = &[];
                match self {
                    Self::Ending(reason) => Step::Close(Close::new(*reason, false)),
                    _ => Step::Idle,
                }
            }
            Self::Ending(reason) => Step::Close(Close::new(*reason, false)),
        }
    }

    fn deliver(&mut self, _: Instant, _: Delivery<'_>, _: &mut Outbound) -> bool {
        true
    }

    fn handle_outcome(&mut self, _: Instant, outcome: Outcome<'_>, out: &mut Outbound) {
        match outcome {
            Outcome::Opened(Ok(_)) => {
                out.append(b"+");
                *self = Self::Open;
            }
            Outcome::Opened(Err(reason)) | Outcome::Ended(reason) => {
                out.append(b"-");
                *self = Self::Ending(reason);
            }
            _ => {}
        }
    }

    fn handle_timeout(&mut self, _: Instant, _: &mut Outbound) {}

    fn handle_shutdown(&mut self, _: Instant, out: &mut Outbound) {
        out.append(b".");
        *self = Self::Ending(Reason::ShuttingDown);
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn layout(&self) -> Layout {
        LAYOUT
    }

    fn input_bytes_max(&self) -> usize {
        1 << 20
    }
}

/// A server with a TCP listener (0) and one for links (1).
pub(crate) fn start(workers: u16, verify: Option<Arc<dyn mynah_net::Verify>>) -> Server {
    Server::start(config(workers, verify)).unwrap()
}

pub(crate) fn config(workers: u16, verify: Option<Arc<dyn mynah_net::Verify>>) -> Config {
    let listener = |name: &str| Listener {
        name: name.into(),
        protocol: Arc::new(Echo),
        tenant: TenantId::DEFAULT,
        anonymous: true,
        certificates: false,
        identity: None,
    };
    let settings = Settings {
        workers,
        limits: Limits::default(),
        listeners: vec![listener("tcp"), listener("link")],
        verifies_credentials: verify.is_some(),
        tenants: Default::default(),
        rules: Arc::default(),
        seed: 11,
        sys_interval: None,
        version: "0",
    };
    let address = Address::Inet(([127, 0, 0, 1], 0).into());
    let sockets = vec![Socketed {
        listener: 0,
        address,
        mode: 0o600,
        groups: Vec::new(),
        entrance: Entrance::default(),
    }];
    Config { settings, sockets, verify, storage: None, grace: Duration::from_secs(5) }
}
