//! A running broker: its workers' threads, from start to drain.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;
use std::time::Duration;

use mio::Poll;
use mio::net::UdpSocket;
use mynah_core::WorkerId;
use mynah_core::rules::Rules;
use mynah_engine::{Engine, Settings, Shared};
use mynah_model::{Groups, Identity};

use crate::acceptor::Acceptor;
use crate::address::Address;
use crate::audit::Auditor;
use crate::clock::Clock;
use crate::datagrams::{self, Group};
use crate::entrance::Entrance;
use crate::error::StartError;
use crate::link::Dialer;
use crate::mailbox::{Letter, Mailbox};
use crate::steward::Steward;
use crate::storage::{Storage, Wall};
use crate::stream::Listening;
use crate::verifier::{Verifier, Verify};
use crate::worker::{self, Parts, Worker};

/// What a server is started with.
pub struct Config {
    /// The broker. `settings.workers` threads are started.
    pub settings: Settings,
    /// Which of the listeners have a socket; the others are reached by links.
    pub sockets: Vec<Socketed>,
    /// Verifies credentials, if `settings.verifies_credentials` is set.
    pub verify: Option<Arc<dyn Verify>>,
    /// Where what is durable is kept; nowhere, if absent. `settings.seed` has to be [`Storage::seed`].
    pub storage: Option<Storage>,
    /// How long peers may take to read their last bytes when the server stops.
    pub grace: Duration,
}

/// A listener that listens on a socket.
pub struct Socketed {
    /// The place of the listener in [`Settings::listeners`]. Each has one socket at most.
    pub listener: u16,
    /// Where to listen; port 0 lets the system choose.
    pub address: Address,
    /// The permissions of a Unix socket, such as `0o660`.
    pub mode: u32,
    /// Groups of hosts whose datagrams are for this listener, if it is one of datagrams without DTLS.
    pub groups: Vec<Group>,
    /// What stands between the socket and the protocol.
    pub entrance: Entrance,
}

/// Where a listener was found to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalAddress {
    /// The place of the listener in [`Settings::listeners`].
    pub listener: u16,
    /// Its address, with the port that the system chose if it was left to it.
    pub address: Address,
}

/// Sockets that are open and wait for their workers.
#[derive(Default)]
struct Bound {
    streams: Vec<(Listening, u16)>,
    /// For each listener one for each worker.
    datagrams: Vec<(Vec<UdpSocket>, u16)>,
    groups: Vec<(UdpSocket, u16)>,
}

impl Bound {
    fn open(&mut self, socketed: &Socketed, workers: u16) -> io::Result<()> {
        let Socketed { listener, ref address, mode, ref groups, .. } = *socketed;
        let Address::Datagrams(address) = address else {
            self.streams.push((Listening::open(address, mode)?, listener));
            return Ok(());
        };
        let first = datagrams::open(*address)?;
        // The system may have chosen the port.
        let address = first.local_addr()?;
        let others = (1..workers).map(|_| datagrams::open(address));
        let sockets = std::iter::once(Ok(first)).chain(others).collect::<io::Result<_>>()?;
        self.datagrams.push((sockets, listener));
        for group in groups {
            self.groups.push((group.open(address.port())?, listener));
        }
        Ok(())
    }
}

/// A running broker. Dropping it without [`Server::stop`] leaves its threads running.
pub struct Server {
    shared: Arc<Shared>,
    mailboxes: Arc<[Arc<Mailbox>]>,
    workers: Vec<JoinHandle<io::Result<bool>>>,
    verifier: Option<Verifier>,
    verifiers: Vec<JoinHandle<()>>,
    addresses: Vec<LocalAddress>,
    next_link: Arc<AtomicUsize>,
    clock: Clock,
}

impl Server {
    /// Opens the listeners and starts the threads.
    ///
    /// # Errors
    /// An address cannot be used, or the system refuses a thread or an epoll.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let Config { settings, sockets, verify, storage, grace } = config;
        let mut bound = Bound::default();
        let bare = Arc::new(Entrance::default());
        let mut entrances = vec![bare; settings.listeners.len()];
        for socketed in sockets {
            let name = settings.listeners.get(usize::from(socketed.listener)).map(|l| l.name.clone());
            let opened = bound.open(&socketed, settings.workers);
            let Socketed { listener, address, entrance, .. } = socketed;
            opened.map_err(|error| StartError::Listen { name: name.unwrap_or_default(), address, error })?;
            let entrance = Arc::new(entrance);
            for stack in 0..=entrance.stacks() {
                if let Some(place) = entrances.get_mut(usize::from(listener) + usize::from(stack)) {
                    *place = Arc::clone(&entrance);
                }
            }
        }
        let shared = Shared::new(settings);
        Self::start_bound(shared, bound, entrances.into(), verify.as_ref(), storage, grace)
            .map_err(|error| StartError::System { what: "the server's threads cannot be started", error })
    }

    fn start_bound(
        shared: Arc<Shared>,
        bound: Bound,
        entrances: Arc<[Arc<Entrance>]>,
        verify: Option<&Arc<dyn Verify>>,
        storage: Option<Storage>,
        grace: Duration,
    ) -> io::Result<Self> {
        let mut addresses = Vec::new();
        for (socket, listener) in &bound.streams {
            addresses.push(LocalAddress { listener: *listener, address: socket.local_address()? });
        }
        for (sockets, listener) in &bound.datagrams {
            if let Some(socket) = sockets.first() {
                let address = Address::Datagrams(socket.local_addr()?);
                addresses.push(LocalAddress { listener: *listener, address });
            }
        }
        let polls: Vec<Poll> = (0..shared.workers()).map(|_| Poll::new()).collect::<io::Result<_>>()?;
        let mailbox = |poll: &Poll| {
            let waker = mio::Waker::new(poll.registry(), worker::wake_token())?;
            Ok(Arc::new(Mailbox::new(waker)))
        };
        let mailboxes: Arc<[Arc<Mailbox>]> =
            polls.iter().map(mailbox).collect::<io::Result<Vec<_>>>()?.into();
        let clock = storage.as_ref().map_or_else(Clock::start, Storage::clock);
        let wall = Wall::now(clock);
        shared.set_time_of_day(wall.here(), wall.time(wall.here()));
        let (verifier, verifiers) = match verify {
            Some(verify) => {
                let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
                let (verifier, handles) = Verifier::start(verify, verify.threads(cores), clock)?;
                (Some(verifier), handles)
            }
            None => (None, Vec::new()),
        };
        let mut server = Self {
            shared,
            mailboxes,
            workers: Vec::new(),
            verifier,
            verifiers,
            addresses,
            next_link: Arc::new(AtomicUsize::new(0)),
            clock,
        };
        server.start_workers(polls, bound, &entrances, clock, storage, grace)?;
        Ok(server)
    }

    fn start_workers(
        &mut self,
        polls: Vec<Poll>,
        bound: Bound,
        entrances: &Arc<[Arc<Entrance>]>,
        clock: Clock,
        mut storage: Option<Storage>,
        grace: Duration,
    ) -> io::Result<()> {
        let engine = |number| Engine::new(WorkerId(number), Arc::clone(&self.shared), clock.now());
        let mut engines: Vec<Engine> = (0..self.shared.workers()).map(engine).collect();
        if let Some(storage) = &mut storage {
            storage.restore(&mut engines);
        }
        let Bound { streams, mut datagrams, groups } = bound;
        // The first worker accepts for all, and is who groups reach.
        let (mut streams, mut groups) = (Some(streams), Some(groups));
        for ((number, poll), engine) in polls.into_iter().enumerate().zip(engines) {
            let mut acceptor = Acceptor::default();
            for (socket, listener) in streams.take().unwrap_or_default() {
                let entrance = Arc::clone(&entrances[usize::from(listener)]);
                acceptor.watch(poll.registry(), socket, listener, entrance)?;
            }
            let mailbox = Arc::clone(&self.mailboxes[number]);
            let recorder =
                storage.as_ref().map(|s| s.recorder(Box::new(move || mailbox.post(Letter::Synced))));
            let (mailboxes, verifier) = (Arc::clone(&self.mailboxes), self.verifier.clone());
            let entrances = Arc::clone(entrances);
            let own = |(sockets, listener): &mut (Vec<UdpSocket>, u16)| Some((sockets.pop()?, *listener));
            let datagrams = datagrams.iter_mut().filter_map(own).collect();
            let parts = Parts {
                engine,
                poll,
                mailboxes,
                acceptor,
                datagrams,
                groups: groups.take().unwrap_or_default(),
                entrances,
                verifier,
                recorder,
                clock,
                grace,
            };
            let builder = std::thread::Builder::new().name(format!("mynah-worker-{number}"));
            self.workers.push(builder.spawn(move || Worker::new(parts)?.run())?);
        }
        Ok(())
    }

    /// Where the listeners listen.
    #[must_use]
    pub fn addresses(&self) -> &[LocalAddress] {
        &self.addresses
    }

    /// What the workers share: counters and sizes are read there.
    #[must_use]
    pub const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Opens links that come in at the listener with this place in [`Settings::listeners`].
    #[must_use]
    pub fn dialer(&self, listener: u16) -> Dialer {
        Dialer::new(&self.mailboxes, &self.next_link, listener)
    }

    /// Administrators' way to the workers.
    #[must_use]
    pub fn steward(&self) -> Steward {
        Steward::new(&self.shared, &self.mailboxes)
    }

    /// Tells what happens outside the workers.
    #[must_use]
    pub fn auditor(&self) -> Auditor {
        Auditor::new(Arc::clone(&self.shared), Arc::clone(&self.mailboxes[0]), self.clock)
    }

    /// Lets other rules hold, within a second for everything that is there.
    pub fn set_rules(&self, rules: &Arc<Rules>) {
        for mailbox in &*self.mailboxes {
            mailbox.post(Letter::Rules(Arc::clone(rules)));
        }
    }

    /// Tells the workers how identities stand from now on: the groups that one is in, or none if nobody may be it any more;
    /// then its connections end.
    pub fn change_identities(&self, standings: HashMap<Identity, Option<Groups>>) {
        let standings = Arc::new(standings);
        for mailbox in &*self.mailboxes {
            mailbox.post(Letter::Identities(Arc::clone(&standings)));
        }
    }

    /// Whether a worker has stopped by itself: then the broker is no longer whole.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.workers.iter().any(JoinHandle::is_finished)
    }

    /// Takes leave of all peers and stops. Returns whether everybody had read their last bytes within the grace.
    pub fn stop(self) -> bool {
        for mailbox in &*self.mailboxes {
            mailbox.post(Letter::Shutdown);
        }
        let mut drained = true;
        for worker in self.workers {
            match worker.join() {
                Ok(Ok(all_gone)) => drained &= all_gone,
                Ok(Err(error)) => {
                    tracing::error!(%error, "a worker has failed");
                    drained = false;
                }
                Err(_) => drained = false,
            }
        }
        if let Some(verifier) = self.verifier {
            verifier.close();
        }
        for verifier in self.verifiers {
            drained &= verifier.join().is_ok();
        }
        drained
    }
}
