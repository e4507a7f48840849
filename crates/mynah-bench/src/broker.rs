//! One worker's engine whose sockets take everything at once.

use std::sync::Arc;

use mynah_core::{AccessRules, WorkerId};
use mynah_engine::{ConnectionId, Engine, Listener, Settings, Shared};
use mynah_model::{Instant, Limits, TenantId};
use mynah_mqtt::{Config, Mqtt};

use crate::connect;

/// A broker of one worker that serves MQTT.
pub struct Broker {
    engine: Engine,
    now: Instant,
}

impl Default for Broker {
    fn default() -> Self {
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
            verifies_credentials: false,
            access: AccessRules::new(Vec::new()),
            seed: 1,
            sys_interval: None,
            version: "bench",
        });
        let now = Instant::from_micros(1);
        Self { engine: Engine::new(WorkerId(0), shared, now), now }
    }
}

impl Broker {
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

    /// One turn: these clients' bytes are taken in, and everything that came of it is written. Returns the number of
    /// bytes written.
    pub fn turn(&mut self, input: &[(ConnectionId, &[u8])]) -> usize {
        for (id, bytes) in input {
            self.engine.handle_bytes(self.now, *id, bytes);
        }
        self.engine.pump(self.now);
        let mut written = 0;
        while let Some(id) = self.engine.poll_dirty() {
            let count = self.engine.outbound(id).map_or(0, mynah_stack::Outbound::len);
            self.engine.handle_written(id, count);
            written += count;
        }
        written
    }
}
