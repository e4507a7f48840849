//! One worker's engine whose sockets take everything at once.

use std::sync::Arc;

use mynah_core::WorkerId;
use mynah_core::rules::Rules;
use mynah_engine::{Authenticated, ConnectionId, Engine, Event, Listener, Settings, Shared};
use mynah_model::{Groups, Identity, Instant, Limits, TenantId};
use mynah_mqtt::{Config, Mqtt};

use crate::connect;

/// A broker of one worker that serves MQTT.
pub struct Broker {
    engine: Engine,
    now: Instant,
}

impl Default for Broker {
    fn default() -> Self {
        Self::with_rules(Arc::default())
    }
}

impl Broker {
    /// A broker of one worker with these rules.
    #[must_use]
    pub fn with_rules(rules: Arc<Rules>) -> Self {
        let listener = Listener {
            name: "bench".into(),
            protocol: Arc::new(Mqtt::new(Config::default())),
            tenant: TenantId::DEFAULT,
            anonymous: true,
            certificates: false,
            identity: None,
        };
        let shared = Shared::new(Settings {
            workers: 1,
            limits: Limits::default(),
            listeners: vec![listener],
            verifies_credentials: true,
            tenants: Default::default(),
            rules,
            seed: 1,
            sys_interval: None,
            version: "bench",
        });
        let now = Instant::from_micros(1);
        Self { engine: Engine::new(WorkerId(0), shared, now), now }
    }

    /// A client of MQTT 3.1.1 with an open session.
    ///
    /// # Panics
    /// The broker does not let it in.
    pub fn client(&mut self, client_id: &str) -> ConnectionId {
        self.open(&connect(client_id))
    }

    /// A client with an open session, which it has asked for with this CONNECT packet.
    ///
    /// # Panics
    /// The broker does not let it in.
    pub fn open(&mut self, connect: &[u8]) -> ConnectionId {
        let Ok(id) = self.engine.handle_accepted(self.now, 0) else { panic!("the broker has room") };
        self.turn(&[(id, connect)]);
        id
    }

    /// A client with an open session that has proved who it is; its CONNECT packet names a user.
    ///
    /// # Panics
    /// The broker does not let it in.
    pub fn open_as(&mut self, connect: &[u8], user: &str, groups: Groups) -> ConnectionId {
        let id = self.open(connect);
        while let Some(event) = self.engine.poll_event() {
            if matches!(event, Event::Authenticate { connection, .. } if connection == id) {
                let identity = Identity::user(TenantId::DEFAULT, user);
                let proved = Authenticated { groups, ..Authenticated::from(identity) };
                self.engine.handle_authenticated(self.now, id, Ok(proved));
                self.turn(&[]);
                return id;
            }
        }
        panic!("the packet names no user");
    }

    /// Bytes of a client are taken in, and nothing else is done.
    pub fn bytes(&mut self, id: ConnectionId, bytes: &[u8]) {
        self.engine.handle_bytes(self.now, id, bytes);
    }

    /// Other rules hold.
    pub fn handle_rules(&mut self, rules: Arc<Rules>) {
        self.engine.handle_rules(rules);
    }

    /// One turn without input. Returns whether there is more to do at once.
    pub fn pump(&mut self) -> bool {
        let more = self.engine.pump(self.now);
        self.flush();
        more
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.engine.connections()
    }

    /// One turn: these clients' bytes are taken in, and everything that came of it is written. Returns the number of
    /// bytes written.
    pub fn turn(&mut self, input: &[(ConnectionId, &[u8])]) -> usize {
        for (id, bytes) in input {
            self.engine.handle_bytes(self.now, *id, bytes);
        }
        self.engine.pump(self.now);
        self.flush()
    }

    fn flush(&mut self) -> usize {
        let mut written = 0;
        while let Some(id) = self.engine.poll_dirty() {
            let count = self.engine.outbound(id).map_or(0, mynah_stack::Outbound::len);
            self.engine.handle_written(id, count);
            written += count;
        }
        written
    }
}
