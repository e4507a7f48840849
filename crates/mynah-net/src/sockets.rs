//! The table of a worker's sockets, beside the engine's table of connections.

use mio::Registry;
use mynah_engine::ConnectionId;

use crate::transport::Transport;
use crate::verifier::Dialogue;

/// One connection's socket.
pub(crate) struct Socket {
    pub(crate) id: ConnectionId,
    pub(crate) transport: Transport,
    /// There may be bytes to be read.
    pub(crate) readable: bool,
    /// The connection is in the list of those to be read.
    pub(crate) queued: bool,
    /// The peer has ended its direction, or the socket is broken: reading goes on until that shows.
    pub(crate) ends: bool,
    /// An exchange in which the peer was challenged.
    pub(crate) dialogue: Option<Box<Dialogue>>,
}

impl Socket {
    pub(crate) fn new(id: ConnectionId, transport: Transport) -> Self {
        Self { id, transport, readable: false, queued: false, ends: false, dialogue: None }
    }

    /// Takes the socket out of the worker's epoll.
    pub(crate) fn unwatch(&mut self, registry: &Registry) {
        self.transport.unwatch(registry);
    }
}

/// Sockets by the slot of their connection.
#[derive(Default)]
pub(crate) struct Sockets {
    slots: Vec<Option<Socket>>,
}

impl Sockets {
    pub(crate) fn insert(&mut self, socket: Socket) {
        let slot = socket.id.slot as usize;
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        self.slots[slot] = Some(socket);
    }

    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<Socket> {
        self.slots.get_mut(id.slot as usize)?.take_if(|s| s.id == id)
    }

    pub(crate) fn at(&mut self, slot: usize) -> Option<&mut Socket> {
        self.slots.get_mut(slot)?.as_mut()
    }

    pub(crate) fn get(&mut self, id: ConnectionId) -> Option<&mut Socket> {
        self.at(id.slot as usize).filter(|s| s.id == id)
    }
}
