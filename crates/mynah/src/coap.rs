//! CoAP's stacks: one for each transport and tenant, all with one configuration and under the same bounds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use mynah_coap::directory::{Directory, SharedDirectory};
use mynah_coap::framing::Transport;
use mynah_coap::{Coap, CoapConfig, ConfigError};
use mynah_model::TenantId;
use mynah_net::Address;
use mynah_stack::Protocol;

use crate::config::Listener;

/// The stacks that listeners have asked for.
pub(crate) struct CoapStacks {
    first: Coap,
    registrations_max: usize,
    of_tenants: BTreeMap<TenantId, [Arc<dyn Protocol>; 4]>,
}

impl CoapStacks {
    /// Stacks whose random numbers follow from `key`, which nobody else may know.
    pub(crate) fn new(config: CoapConfig, key: [u64; 2]) -> Result<Self, ConfigError> {
        let registrations_max = config.registrations_max as usize;
        let first = Coap::new(config, Transport::Datagram, key)?;
        Ok(Self { first, registrations_max, of_tenants: BTreeMap::new() })
    }

    /// The stack of a listener.
    pub(crate) fn of(&mut self, listener: &Listener) -> &Arc<dyn Protocol> {
        let Self { first, registrations_max, of_tenants } = self;
        let stacks = of_tenants.entry(listener.admittance.tenant).or_insert_with(|| {
            let datagrams = match *registrations_max {
                0 => first.clone(),
                max => first.clone().with_directory(Arc::new(Locked(Mutex::new(Directory::new(max))))),
            };
            let [streams, web] = [Transport::Stream, Transport::WebSocket].map(|other| datagrams.over(other));
            let secure = datagrams.over(Transport::Datagram).with_verified_peers();
            [Arc::new(datagrams), Arc::new(secure), Arc::new(streams), Arc::new(web)]
        });
        let [datagrams, secure, streams, web] = stacks;
        match (&listener.address, &listener.entrance.websocket) {
            // The addresses of peers are their own.
            (Address::Datagrams(_), _) if listener.entrance.dtls.is_some() => secure,
            (Address::Datagrams(_), _) => datagrams,
            (_, None) => streams,
            (_, Some(_)) => web,
        }
    }
}

/// A directory for all threads.
#[derive(Debug)]
struct Locked(Mutex<Directory>);

impl SharedDirectory for Locked {
    fn with(&self, work: &mut dyn FnMut(&mut Directory)) {
        // Each change of it is made in one call: whoever panicked has not left it half done.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
