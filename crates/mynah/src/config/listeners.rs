//! Listeners: where peers come in, and what is spoken there.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use mynah_coap::groups::{ALL_NODES_V4, ALL_NODES_V6};
use mynah_engine::websocket::SubProtocol;
use mynah_net::{Address, Entrance, Group};

use super::auth::{Admittance, admittance};
use super::document::{self, Document, Durability, Transport};
use super::entrance::{entrance, tls_psk};
use super::settings::Wrong;

/// The permissions of a Unix socket: its owner and their group.
const SOCKET_MODE: u32 = 0o660;

/// A place where peers come in.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
    pub(crate) address: Address,
    /// What is asked of its peers.
    pub(crate) admittance: Admittance,
    /// The profile of its protocol.
    pub(crate) profile: Option<String>,
    /// How destinations of STOMP are spelled there, if otherwise than elsewhere.
    pub(crate) destinations: Option<mynah_stomp::mapping::Profile>,
    /// Whether what is promised here waits until it is stored, if anything is.
    pub(crate) waits: bool,
    /// The permissions of a Unix socket.
    pub(crate) mode: u32,
    /// Groups of hosts that it belongs to.
    pub(crate) groups: Vec<Group>,
    /// What stands between the socket and the protocol.
    pub(crate) entrance: Entrance,
    /// Whether TLS stands there too, by the keys that users share with the broker.
    pub(crate) tls_psk: bool,
}

/// What is spoken at a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Mqtt,
    Amqp091,
    Stomp,
    Coap,
    Http,
    Management,
}

impl Listener {
    /// What is spoken here: by WebSocket, all that can be. The engine has a listener for each; that of management is for messages that
    /// are published and looked at there.
    pub(crate) fn protocols(&self) -> impl Iterator<Item = Protocol> {
        let is_web = self.entrance.websocket.is_some();
        let beside = self.protocol.beside().filter(move |_| is_web);
        std::iter::once(self.protocol).chain(beside)
    }
}

impl Protocol {
    pub(super) const ALL: [Self; 6] =
        [Self::Mqtt, Self::Amqp091, Self::Stomp, Self::Coap, Self::Http, Self::Management];

    /// The protocol's name in the configuration.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Amqp091 => "amqp091",
            Self::Stomp => "stomp",
            Self::Coap => "coap",
            Self::Http => "http",
            Self::Management => "management",
        }
    }

    /// The port that its clients expect.
    const fn port(self) -> u16 {
        match self {
            Self::Mqtt => 1883,
            Self::Amqp091 => 5672,
            Self::Stomp => 61613,
            Self::Coap => 5683,
            Self::Http => 8080,
            Self::Management => 9090,
        }
    }

    /// An address at which it is spoken over what usually carries it.
    const fn at(self, address: SocketAddr) -> Address {
        match self {
            Self::Coap => Address::Datagrams(address),
            Self::Mqtt | Self::Amqp091 | Self::Stomp | Self::Http | Self::Management => {
                Address::Inet(address)
            }
        }
    }

    /// The sub-protocols of WebSocket that it is, if it can be one.
    pub(super) fn sub_protocols(self, coap: &super::coap::Coap) -> Vec<SubProtocol> {
        match self {
            Self::Mqtt => vec![SubProtocol::binary("mqtt")],
            Self::Amqp091 => vec![SubProtocol::binary("amqp")],
            // Browsers send text.
            Self::Stomp => ["v12.stomp", "v11.stomp", "v10.stomp"].map(SubProtocol::either).into(),
            Self::Coap => vec![SubProtocol::units("coap", *coap.message_bytes_max.get_ref())],
            Self::Http | Self::Management => Vec::new(),
        }
    }

    /// The other protocols that are spoken at its listeners of WebSocket.
    pub(crate) fn beside(self) -> impl Iterator<Item = Self> {
        const WEB: [Protocol; 4] = [Protocol::Mqtt, Protocol::Amqp091, Protocol::Stomp, Protocol::Coap];
        WEB.into_iter().filter(move |other| WEB.contains(&self) && *other != self)
    }

    /// Whether its connections are sockets of the workers; the others are links of the web server.
    pub(crate) const fn has_sockets(self) -> bool {
        matches!(self, Self::Mqtt | Self::Amqp091 | Self::Stomp | Self::Coap)
    }
}

/// The listeners of the file; without any, one for each protocol on its standard port, for this machine only.
pub(super) fn listeners(document: &Document, folder: &Path, wrongs: &mut Vec<Wrong>) -> Vec<Listener> {
    let has_users = document.auth.has_any();
    if document.listener.is_empty() {
        let listener = |protocol: Protocol| Listener {
            name: protocol.name().to_owned(),
            protocol,
            address: protocol.at(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), protocol.port())),
            admittance: Admittance::local(has_users, protocol),
            profile: None,
            destinations: None,
            waits: document.store.durability == Durability::Sync,
            mode: SOCKET_MODE,
            groups: Vec::new(),
            entrance: Entrance::default(),
            tls_psk: false,
        };
        // CoAP has no passwords: where there are users it has to be asked for.
        let is_served = |protocol: &Protocol| *protocol != Protocol::Coap || !has_users;
        return Protocol::ALL.into_iter().filter(is_served).map(listener).collect();
    }
    let mut settled: Vec<Listener> = Vec::new();
    for listener in &document.listener {
        match self::listener(listener, document, folder, &settled) {
            Ok(listener) => settled.push(listener),
            Err(wrong) => wrongs.push(wrong),
        }
    }
    settled
}

fn listener(
    written: &document::Listener,
    document: &Document,
    folder: &Path,
    others: &[Listener],
) -> Result<Listener, Wrong> {
    let name = written.name.get_ref();
    if name.is_empty() {
        return Err(Wrong::at(&written.name, "a listener needs a name: it appears in logs and metrics"));
    }
    if others.iter().any(|other| other.name == *name) {
        return Err(Wrong::at(&written.name, format!("another listener is called `{name}` too; rename one")));
    }
    let protocol = match written.protocol {
        document::Protocol::Mqtt => Protocol::Mqtt,
        document::Protocol::Amqp091 => Protocol::Amqp091,
        document::Protocol::Stomp => Protocol::Stomp,
        document::Protocol::Coap => Protocol::Coap,
        document::Protocol::Http => Protocol::Http,
        document::Protocol::Management => Protocol::Management,
    };
    let address = address(written, protocol, folder)?;
    let is_chosen = address.inet().is_none_or(|address| address.port() != 0);
    if let Some(other) = others.iter().find(|other| other.address == address && is_chosen) {
        let message = format!("listener `{}` listens on {address} already; choose another port", other.name);
        return Err(Wrong::at(&written.address, message));
    }
    let mode = mode(written, &address)?;
    let groups = groups(written, &address)?;
    let entrance = entrance(written, protocol, (&address, folder), &document.coap)?;
    let admittance = admittance(written, protocol, (&address, &entrance), document)?;
    let destinations = destinations(written, protocol)?;
    let profile = profile(written, protocol, document)?;
    let waits = durability(written, protocol, document)? == Durability::Sync;
    let tls_psk = tls_psk(written, protocol, &address, document)?;
    let name = name.clone();
    Ok(Listener {
        name,
        protocol,
        address,
        admittance,
        profile,
        destinations,
        waits,
        mode,
        groups,
        entrance,
        tls_psk,
    })
}

/// What acknowledgements at a listener wait for.
fn durability(
    written: &document::Listener,
    protocol: Protocol,
    document: &Document,
) -> Result<Durability, Wrong> {
    let Some(own) = &written.durability else { return Ok(document.store.durability) };
    if protocol == Protocol::Management {
        return Err(Wrong::at(own, "nothing is published at a management listener"));
    }
    if document.store.durability == Durability::Memory && *own.get_ref() != Durability::Memory {
        return Err(Wrong::at(own, "there is no store: store.durability is \"memory\""));
    }
    Ok(*own.get_ref())
}

/// How a listener of STOMP spells destinations.
fn destinations(
    written: &document::Listener,
    protocol: Protocol,
) -> Result<Option<mynah_stomp::mapping::Profile>, Wrong> {
    let Some(name) = written.profile.as_ref().filter(|_| protocol == Protocol::Stomp) else {
        return Ok(None);
    };
    let profile = super::stomp::profile(name.get_ref());
    let wrong = || Wrong::at(name, "profiles of STOMP are \"rabbitmq\", \"activemq\" and \"plain\"");
    profile.map(Some).ok_or_else(wrong)
}

/// The profile of MQTT that a listener names.
fn profile(
    written: &document::Listener,
    protocol: Protocol,
    document: &Document,
) -> Result<Option<String>, Wrong> {
    let Some(name) = written.profile.as_ref().filter(|_| protocol != Protocol::Stomp) else {
        return Ok(None);
    };
    if protocol != Protocol::Mqtt {
        return Err(Wrong::at(name, "profiles are for listeners of MQTT and STOMP"));
    }
    if !document.profile.contains_key(name.get_ref()) {
        let message = format!("there is no profile `{0}`: add [profile.{0}]", name.get_ref());
        return Err(Wrong::at(name, message));
    }
    Ok(Some(name.get_ref().clone()))
}

fn address(written: &document::Listener, protocol: Protocol, folder: &Path) -> Result<Address, Wrong> {
    let text = written.address.get_ref();
    if let Some(path) = text.strip_prefix("unix:") {
        if path.is_empty() || !protocol.has_sockets() {
            let message = "a Unix socket is for MQTT, AMQP or STOMP, and has a path, such as \"unix:/run/mynah/mqtt.sock\"";
            return Err(Wrong::at(&written.address, message));
        }
        return Ok(Address::Unix(folder.join(path)));
    }
    let wrong =
        "write an IP address and a port, such as \"127.0.0.1:1883\", \"0.0.0.0:1883\" or \"[::]:1883\"";
    let address = text.parse().map_err(|_| Wrong::at(&written.address, wrong))?;
    let Some(transport) = &written.transport else { return Ok(protocol.at(address)) };
    match transport.get_ref() {
        Transport::Udp | Transport::Dtls if protocol == Protocol::Coap => Ok(Address::Datagrams(address)),
        Transport::Udp | Transport::Dtls => Err(Wrong::at(transport, "UDP is for listeners of CoAP")),
        Transport::Tcp | Transport::WebSocket => Ok(Address::Inet(address)),
    }
}

/// The permissions of a Unix socket.
fn mode(written: &document::Listener, address: &Address) -> Result<u32, Wrong> {
    let Some(mode) = &written.socket_mode else { return Ok(SOCKET_MODE) };
    match u32::from_str_radix(mode.get_ref(), 8) {
        Ok(mode @ 0..=0o777) if address.inet().is_none() => Ok(mode),
        Ok(0..=0o777) => Err(Wrong::at(mode, "only a Unix socket (address = \"unix:…\") has permissions")),
        _ => Err(Wrong::at(mode, "write permissions in octal digits, such as \"0660\"")),
    }
}

/// The groups of CoAP's nodes at the interfaces that a listener names: those by which it is found.
fn groups(written: &document::Listener, address: &Address) -> Result<Vec<Group>, Wrong> {
    let Some(multicast) = &written.multicast else { return Ok(Vec::new()) };
    let by_dtls = written.transport.as_ref().is_some_and(|transport| *transport.get_ref() == Transport::Dtls);
    let addresses: Vec<IpAddr> = match address {
        Address::Datagrams(own) if !by_dtls && !own.ip().is_loopback() => match own.ip() {
            IpAddr::V4(_) => vec![ALL_NODES_V4.into()],
            IpAddr::V6(_) => ALL_NODES_V6.map(IpAddr::from).into(),
        },
        _ => {
            let message = "multicast is for listeners of CoAP by UDP, at an address that the network reaches";
            return Err(Wrong::at(multicast, message));
        }
    };
    let mut groups = Vec::new();
    for interface in multicast.get_ref() {
        // Linux has names of up to 15 bytes.
        if !(1..16).contains(&interface.get_ref().len()) {
            return Err(Wrong::at(interface, "write the name of an interface, such as \"eth0\""));
        }
        let group = |address: &IpAddr| Group { address: *address, interface: interface.get_ref().clone() };
        groups.extend(addresses.iter().map(group));
    }
    Ok(groups)
}
