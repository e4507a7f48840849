//! The wiring: stacks and settings become listeners of the engine, sockets of the workers, and sites of the web
//! server, which reaches the workers by links.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::http::Extensions;
use mynah_admin::{MetricsSource, Readiness, Snapshot, StoreCounts};
use mynah_amqp::v0_9_1::Amqp;
use mynah_core::SHARDS;
use mynah_core::rules::Rules;
use mynah_engine::{Changed, Shared};
use mynah_http::Http;
use mynah_http::adapter::{Busy, Dial};
use mynah_model::{Identity, TenantId, WallTime};
use mynah_mqtt::Mqtt;
use mynah_net::{
    Address, CLOCK_PAST, ClientTls, Dialer, Dtls, Entrance, Link, Secured, Server, Socketed, StartError,
    Storage, Tls, TlsError,
};
use mynah_store::{Status, Store};
use tokio::sync::{mpsc, watch};
use tokio::task::{self, JoinSet};

use crate::accounts::Reread;
use crate::administration::{Desk, Workers};
use crate::authentication::{self, Authentication};
use crate::bridges;
use crate::coap::CoapStacks;
use crate::complaint::Complaint;
use crate::config::{self, Bridge, Listener, Protocol, Settings, StoreSettings};
use crate::herald::{Gate, Herald};
use crate::stomp::StompStacks;
use crate::storage::{self, News, Watched};
use crate::web::{self, Bounds, Site};

/// What is shown as the broker's version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How long a login that was judged before the users were read again may be on its way to its worker.
const NEWS_DELAY: Duration = Duration::from_secs(1);

/// A running broker.
pub(crate) struct Broker {
    server: Server,
    store: Option<Watched>,
    authentication: Option<Authentication>,
    /// Who may not be here any more, until no login can be on its way that was judged before.
    gone: Vec<Identity>,
    gone_at: Instant,
    ready: Readiness,
    sites: JoinSet<()>,
    /// The TLS of listeners, by their names.
    tls: Vec<(String, Certified)>,
    /// The TLS of bridges, by their names.
    bridge_tls: Vec<(String, Arc<ClientTls>)>,
    /// The rules of the moment, for those who do not come to the workers.
    rules: watch::Sender<Arc<Rules>>,
    herald: Herald,
    /// Administrators who have changed the users file.
    rereading: mpsc::Receiver<Reread>,
    stopping: watch::Sender<bool>,
    grace: Duration,
}

impl Broker {
    /// Opens all listeners and starts the workers. Those of HTTP first: management is asked how far the start is, and
    /// others hear that it is not over; the others when everything that was stored has been read. Called inside the
    /// runtime.
    pub(crate) async fn start(
        settings: Settings,
        authentication: Option<Authentication>,
        herald: Herald,
    ) -> Result<Self, Complaint> {
        let (grace, http) = (settings.shutdown_grace, settings.http.clone());
        let limits = settings.limits.clone();
        let (rules, _) = watch::channel(Arc::clone(&settings.rules.rules));
        let sockets = web_sockets(&settings.listeners)?;
        let (listeners, bridges) = (settings.listeners.clone(), settings.bridges.clone());
        let tls = tls_of(&listeners);
        let bridge_tls = tls_of_bridges(&bridges);
        let statuses = bridges::statuses(&bridges, &herald);
        let first_bridge = place(&listeners, listeners.len());
        let ready = Readiness::default();
        let ((stopping, _), mut sites) = (watch::channel(false), JoinSet::new());
        let metrics = Arc::new(Metrics::new(&settings, statuses.clone()));
        let (mut dialers, workers) = (Vec::new(), Workers::default());
        let (wanted, rereading) = mpsc::channel(1);
        let desk = Desk::new(&workers, authentication.as_ref(), &rules, &wanted, &herald);
        for (at, socket) in sockets {
            let listener = &listeners[at];
            told(listener, socket.local_addr().ok().map(Address::Inet));
            let gate = Gate::new(listener);
            let links = Links::default();
            dialers.push((place(&listeners, at), links.clone()));
            let router = if listener.protocol == Protocol::Management {
                desk.router(listener, links, Arc::clone(&metrics), ready.clone())
            } else {
                let router = mynah_http::adapter::router(links, http.clone(), ready.flag());
                web::telling(router, gate.clone(), herald.clone())
            };
            // Each has bounds of its own: a flood of one does not shut the other.
            let bounds = Bounds::new(&limits, &http);
            let (tls, told) = (listener.entrance.tls.clone(), (gate, herald.clone()));
            sites.spawn(web::serve(Site { socket, router, tls, told }, bounds, stopping.subscribe()));
        }
        let known = statuses.clone();
        let starting = task::spawn_blocking(move || {
            start_server(settings, authentication.as_ref(), &known).map(|started| (started, authentication))
        });
        let started = starting.await;
        let ((server, store), authentication) =
            started.map_err(|_| Complaint::Other("the start failed; the log says why".to_owned()))??;
        metrics.begin(&server, store.as_ref().map(Watched::store));
        reached(&server, &workers, dialers);
        for (at, (bridge, status)) in bridges.into_iter().zip(&statuses).enumerate() {
            let dialer = server.dialer(first_bridge + at as u16);
            sites.spawn(bridges::run(bridge, Arc::clone(status), dialer, stopping.subscribe()));
        }
        herald.begin(server.auditor(), VERSION);
        ready.set(true);
        tracing::info!(version = VERSION, workers = server.shared().workers(), "ready");
        Ok(Self {
            server,
            store,
            authentication,
            gone: Vec::new(),
            gone_at: Instant::now(),
            ready,
            sites,
            tls,
            bridge_tls,
            rules,
            herald,
            rereading,
            stopping,
            grace,
        })
    }

    /// Whether a worker has stopped by itself.
    pub(crate) fn has_failed(&self) -> bool {
        self.server.has_failed()
    }

    /// Tells the log what the store has met with, and returns what keeps it from storing anything, if that is so.
    pub(crate) fn look_after_store(&mut self) -> Option<Complaint> {
        let store = self.store.as_mut()?;
        for news in store.look() {
            match news {
                News::Damage(finding) => self.herald.unchanged(Changed::Store, finding),
                News::Full => self.herald.unchanged(Changed::Store, "there is too little room on the disk"),
                News::Room => self.herald.changed(Changed::Store, "there is room on the disk again"),
            }
        }
        store.fatal()
    }

    /// Reads the rules of the configuration file, users and certificates again. Connections that are there stay, but for
    /// those that may not be there any more; new ones get what is in the files now. What is in a file that cannot be used
    /// stays as it was.
    pub(crate) fn reload(&mut self, file: Option<&Path>) {
        self.reload_rules(file);
        self.reload_users();
        self.reload_certificates();
    }

    /// Waits for an administrator who has changed the users file.
    pub(crate) async fn changed_users(&mut self) -> Reread {
        match self.rereading.recv().await {
            Some(changed) => changed,
            None => std::future::pending().await,
        }
    }

    /// Reads the users again for an administrator.
    pub(crate) fn reread_users(&mut self, told: Reread) {
        self.reload_users();
        // Whoever asked may be gone.
        let _ = told.send(());
    }

    fn reload_rules(&self, file: Option<&Path>) {
        match config::load_rules(file) {
            Ok(set) => {
                self.server.set_rules(&set.rules);
                tracing::info!(rules = set.rules.len(), "rules were read again");
                self.herald.changed(Changed::Rules, format!("{} rules", set.rules.len()));
                self.rules.send_replace(set.rules);
            }
            Err(complaint) => {
                tracing::error!(%complaint, "the rules stay as they were");
                self.herald.unchanged(Changed::Rules, "the log says why");
            }
        }
    }

    fn reload_users(&mut self) {
        match self.authentication.as_ref().map(Authentication::reload) {
            Some(Ok(standings)) => {
                let gone = standings.iter().filter(|(_, groups)| groups.is_none());
                self.gone_at = Instant::now();
                self.gone.extend(gone.map(|(identity, _)| identity.clone()));
                tracing::info!(gone = self.gone.len(), "users were read again");
                self.herald
                    .changed(Changed::Users, format!("{} stand otherwise than before", standings.len()));
                self.server.change_identities(standings);
            }
            Some(Err(error)) => {
                tracing::error!(%error, "the users stay as they were");
                self.herald.unchanged(Changed::Users, "the log says why");
            }
            None => {}
        }
    }

    fn reload_certificates(&self) {
        for (listener, tls) in &self.tls {
            let detail = format!("listener {listener}");
            match tls.reload() {
                Ok(()) => {
                    tracing::info!(listener, "certificates were read again");
                    self.herald.changed(Changed::Certificates, detail);
                }
                Err(error) => {
                    tracing::error!(listener, %error, "the certificates stay as they were");
                    self.herald.unchanged(Changed::Certificates, detail);
                }
            }
        }
        for (bridge, tls) in &self.bridge_tls {
            let detail = format!("bridge {bridge}");
            match tls.reload() {
                Ok(()) => {
                    tracing::info!(bridge, "certificates were read again");
                    self.herald.changed(Changed::Certificates, detail);
                }
                Err(error) => {
                    tracing::error!(bridge, %error, "the certificates stay as they were");
                    self.herald.unchanged(Changed::Certificates, detail);
                }
            }
        }
    }

    /// Looks after those who may not be here any more, a while after the users were read again: a login that had been judged
    /// by then may have come in behind the news.
    pub(crate) fn look_after(&mut self) {
        if self.gone_at.elapsed() < NEWS_DELAY {
            return;
        }
        let late = std::mem::take(&mut self.gone);
        if let Some(authentication) = self.authentication.as_ref().filter(|_| !late.is_empty()) {
            self.server.change_identities(authentication.gone(late.iter()));
        }
    }

    /// Takes leave of everybody and stops. Says whether all had read what waited for them within the grace.
    ///
    /// # Errors
    /// The store could not keep what it was given.
    pub(crate) async fn stop(self) -> Result<bool, Complaint> {
        let Self { server, store, ready, mut sites, herald, stopping, grace, .. } = self;
        ready.set(false);
        herald.changed(Changed::Broker, "stopping");
        // Whoever asks for a page now gets it to its end; streams end when the workers end their links.
        let _ = stopping.send(true);
        let stopped = task::spawn_blocking(move || {
            let drained = server.stop();
            store.map_or(Ok(()), Watched::close).map(|()| drained)
        });
        let drained = stopped.await.unwrap_or(Ok(false))?;
        let ended = tokio::time::timeout(grace, async { while sites.join_next().await.is_some() {} }).await;
        Ok(drained && ended.is_ok())
    }
}

/// There are workers: who asks for them by links, and for what administrators want, can reach them.
fn reached(server: &Server, workers: &Workers, dialers: Vec<(u16, Links)>) {
    workers.get_or_init(|| server.steward());
    for (listener, links) in dialers {
        links.0.get_or_init(|| server.dialer(listener));
    }
}

/// The TLS of those bridges that have one, by their names.
fn tls_of_bridges(bridges: &[Bridge]) -> Vec<(String, Arc<ClientTls>)> {
    bridges.iter().filter_map(|b| Some((b.name.clone(), Arc::clone(b.tls.as_ref()?)))).collect()
}

/// The place that a listener has among those of the engine.
fn place(listeners: &[Listener], index: usize) -> u16 {
    listeners[..index].iter().flat_map(Listener::protocols).count() as u16
}

/// What has certificates that can be read again.
enum Certified {
    Tls(Arc<Tls>),
    Dtls(Arc<Dtls>),
}

impl Certified {
    fn reload(&self) -> Result<(), TlsError> {
        match self {
            Self::Tls(tls) => tls.reload(),
            Self::Dtls(dtls) => dtls.reload(),
        }
    }
}

/// The TLS of listeners, by their names.
fn tls_of(listeners: &[Listener]) -> Vec<(String, Certified)> {
    let certified = |listener: &Listener| {
        let Entrance { tls, dtls, .. } = &listener.entrance;
        let tls = tls.as_ref().map(|tls| Certified::Tls(Arc::clone(tls)));
        let dtls = dtls.as_ref().map(|dtls| Certified::Dtls(Arc::clone(dtls)));
        Some((listener.name.clone(), tls.or(dtls)?))
    };
    listeners.iter().filter_map(certified).collect()
}

/// Opens the sockets of HTTP, with the listeners' places in the settings.
fn web_sockets(listeners: &[Listener]) -> Result<Vec<(usize, std::net::TcpListener)>, Complaint> {
    let of_web = listeners.iter().enumerate().filter(|(_, listener)| !listener.protocol.has_sockets());
    of_web
        .map(|(index, listener)| {
            let address = listener.address.clone();
            let bound = match address.inet() {
                Some(address) => std::net::TcpListener::bind(address),
                None => Err(std::io::ErrorKind::Unsupported.into()),
            };
            let opened = bound.and_then(|socket| {
                socket.set_nonblocking(true)?;
                Ok(socket)
            });
            let failed = |error| StartError::Listen { name: listener.name.clone(), address, error };
            opened.map(|socket| (index, socket)).map_err(|error| failed(error).into())
        })
        .collect()
}

/// Tells where a listener was found to listen, which differs from what was asked for if the port was 0.
fn told(listener: &Listener, found: Option<Address>) {
    let address = found.unwrap_or_else(|| listener.address.clone());
    tracing::info!(listener = listener.name, protocol = listener.protocol.name(), %address, "listening");
}

/// The last listeners of the engine are bridges: each is reached by links to the connections that it has made.
fn start_server(
    settings: Settings,
    authentication: Option<&Authentication>,
    statuses: &[Arc<bridges::Status>],
) -> Result<(Server, Option<Watched>), Complaint> {
    let protocol = |config| Arc::new(Mqtt::new(config)) as Arc<dyn mynah_stack::Protocol>;
    let mqtt = protocol(settings.mqtt);
    let profiles: BTreeMap<_, _> =
        settings.profiles.into_iter().map(|(name, config)| (name, protocol(config))).collect();
    // The bounds were checked when the configuration was read.
    let http = Http::new(settings.http).map_err(|error| Complaint::Other(error.to_string()))?;
    let http: Arc<dyn mynah_stack::Protocol> = Arc::new(http);
    let amqp = |config| Arc::new(Amqp::new(config, epoch())) as Arc<dyn mynah_stack::Protocol>;
    let (amqp, inner) = (amqp(settings.amqp091), amqp(mynah_amqp::v0_9_1::Config::default()));
    let stomp = StompStacks::new(&settings.stomp, epoch());
    let coap = CoapStacks::new(settings.coap, [seed(), seed()]);
    let mut coap = coap.map_err(|error| Complaint::Other(error.to_string()))?;
    let (mut listeners, mut sockets, mut served) = (Vec::new(), Vec::new(), Vec::new());
    for listener in &settings.listeners {
        if listener.protocol.has_sockets() {
            sockets.push(socketed(listener, listeners.len() as u16, authentication)?);
        }
        for protocol in listener.protocols() {
            let protocol = match protocol {
                Protocol::Mqtt => {
                    listener.profile.as_ref().and_then(|name| profiles.get(name)).unwrap_or(&mqtt)
                }
                Protocol::Amqp091 => &amqp,
                Protocol::Stomp => stomp.of(listener),
                Protocol::Coap => coap.of(listener),
                Protocol::Http => &http,
                Protocol::Management => &inner,
            };
            served.push(listener);
            listeners.push(engine_listener(listener, protocol));
        }
    }
    for (bridge, status) in settings.bridges.iter().zip(statuses) {
        listeners.push(bridge_listener(bridge, status)?);
    }
    let waiting: Vec<_> = served.iter().map(|l| (l.name.as_str(), l.waits)).collect();
    let storage = settings.store.as_ref();
    let storage =
        storage.map(|store| storage::open(store, seed(), &waiting, settings.bridges.len())).transpose()?;
    let (storage, found) = storage.unzip();
    let store = storage.as_ref().map(|storage| Arc::clone(storage.store()));
    let store = store.zip(settings.store);
    let store = store.map(|(store, settings)| Watched::new(store, settings, found.unwrap_or_default()));
    let engine = mynah_engine::Settings {
        workers: settings.workers.map_or_else(cores, std::num::NonZero::get),
        limits: settings.limits,
        listeners,
        verifies_credentials: authentication.is_some(),
        tenants: settings.tenants.by_name(),
        rules: Arc::clone(&settings.rules.rules),
        seed: storage.as_ref().map_or_else(seed, Storage::seed),
        sys_interval: settings.sys_interval,
        version: VERSION,
    };
    let doors = served.iter().map(|listener| authentication::door(listener)).collect();
    let verify = authentication.map(|authentication| authentication.verifier(doors));
    let grace = settings.shutdown_grace;
    let config = mynah_net::Config { settings: engine, sockets, verify, storage, grace };
    let server = Server::start(config)?;
    for local in server.addresses() {
        told(served[usize::from(local.listener)], Some(local.address.clone()));
    }
    Ok((server, store))
}

/// The socket of a listener that has this place.
fn socketed(
    listener: &Listener,
    place: u16,
    authentication: Option<&Authentication>,
) -> Result<Socketed, Complaint> {
    let mut entrance = listener.entrance.clone();
    if listener.tls_psk {
        entrance.tls = by_keys(listener, authentication)?;
    }
    Ok(Socketed {
        listener: place,
        address: listener.address.clone(),
        mode: listener.mode,
        groups: listener.groups.clone(),
        entrance,
    })
}

/// TLS by the keys that users share with the broker.
#[cfg(feature = "tls-psk")]
fn by_keys(
    listener: &Listener,
    authentication: Option<&Authentication>,
) -> Result<Option<Arc<Tls>>, Complaint> {
    let keys = authentication.map(|authentication| authentication.keys(listener.admittance.tenant));
    let tls = keys.map(Tls::by_keys).transpose().map_err(|error| Complaint::Other(error.to_string()))?;
    Ok(tls.map(Arc::new))
}

/// A program without them takes no configuration that asks for them.
#[cfg(not(feature = "tls-psk"))]
fn by_keys(listener: &Listener, _: Option<&Authentication>) -> Result<Option<Arc<Tls>>, Complaint> {
    Err(Complaint::Other(format!("listener `{}`: no TLS with pre-shared keys here", listener.name)))
}

/// Where peers come in that speak this.
fn engine_listener(listener: &Listener, protocol: &Arc<dyn mynah_stack::Protocol>) -> mynah_engine::Listener {
    mynah_engine::Listener {
        name: listener.name.clone(),
        protocol: Arc::clone(protocol),
        tenant: listener.admittance.tenant,
        anonymous: listener.admittance.anonymous,
        certificates: listener.admittance.identity_from.is_some(),
        identity: None,
    }
}

/// Where the connections of a bridge come in.
fn bridge_listener(
    bridge: &Bridge,
    status: &Arc<bridges::Status>,
) -> Result<mynah_engine::Listener, Complaint> {
    let stack = bridges::stack(bridge, status)
        .map_err(|misuse| Complaint::Other(format!("bridge `{}`: {misuse}", bridge.name)))?;
    let name = bridges::listener_name(&bridge.name);
    Ok(mynah_engine::Listener {
        protocol: Arc::new(stack),
        tenant: TenantId::DEFAULT,
        anonymous: false,
        certificates: false,
        identity: Some(Identity::user(TenantId::DEFAULT, &name)),
        name,
    })
}

/// The time of day when the workers' clock was at its origin, if it starts now.
fn epoch() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(CLOCK_PAST);
    WallTime::from_unix_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// One worker for each core.
fn cores() -> u16 {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u16::try_from(cores).map_or(SHARDS, |cores| cores.min(SHARDS))
}

/// A number that nobody can guess: the keys of a fresh hasher come from the operating system.
fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Links to the workers, one for each request, as soon as there are workers.
#[derive(Clone, Default)]
pub(crate) struct Links(Arc<OnceLock<Dialer>>);

impl Links {
    /// What opens links, if there are workers.
    pub(crate) fn reach(&self) -> Option<&Dialer> {
        self.0.get()
    }
}

impl Dial for Links {
    type Link = Link;

    fn dial(&self, peer: SocketAddr, extensions: &Extensions) -> Result<Link, Busy> {
        let secured = extensions.get::<Secured>().cloned();
        self.0.get().map(|dialer| dialer.dial_secured(peer, secured)).ok_or(Busy)
    }
}

/// What is counted, as far as it is there: management is served before the rest.
struct Metrics {
    durability: &'static str,
    bridges: Vec<Arc<bridges::Status>>,
    shared: OnceLock<Arc<Shared>>,
    /// Whoever asks does not keep it open.
    store: OnceLock<Weak<Store>>,
}

impl Metrics {
    fn new(settings: &Settings, bridges: Vec<Arc<bridges::Status>>) -> Self {
        let durability = settings.store.as_ref().map_or("memory", StoreSettings::keeping_name);
        Self { durability, bridges, shared: OnceLock::new(), store: OnceLock::new() }
    }

    /// From here on there is something to count.
    fn begin(&self, server: &Server, store: Option<&Arc<Store>>) {
        self.shared.get_or_init(|| Arc::clone(server.shared()));
        if let Some(store) = store {
            self.store.get_or_init(|| Arc::downgrade(store));
        }
    }
}

impl MetricsSource for Metrics {
    fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::new(VERSION);
        if let Some(shared) = self.shared.get() {
            for counters in shared.all_counters() {
                snapshot.add_worker(counters);
            }
            // Retained values belong to no worker.
            let sizes = shared.sizes();
            (snapshot.retained, snapshot.retained_bytes) =
                (sizes.retained_messages as u64, sizes.retained_bytes as u64);
        }
        snapshot.bridges = self.bridges.iter().map(|status| status.counts()).collect();
        snapshot.durability = self.durability;
        snapshot.store = self.store.get().and_then(Weak::upgrade).map(|store| counts(&store.status()));
        snapshot
    }
}

fn counts(status: &Status) -> StoreCounts {
    StoreCounts {
        full: status.is_low_on_space,
        syncs: status.syncs,
        sync_micros: u64::try_from(status.sync_time.as_micros()).unwrap_or(u64::MAX),
        segments: status.segments,
        journal_bytes: status.journal_bytes,
        live_messages: status.live_messages,
        live_bytes: status.live_bytes,
        waiting_bytes: status.waiting_bytes,
        free_bytes: status.free_bytes,
    }
}
