//! Sockets, threads and time for engines: moves bytes in and out, decides nothing.
//!
//! A [`Server`] runs one [`mynah_engine::Engine`] on each worker thread, in turns of its own epoll (see
//! `docs/adr/0001-workers.md`). Programs in the same process, such as the HTTP adapter, come in by [`Link`]s, which
//! are byte streams like any other. Who a peer is is verified on threads of their own, so that no turn waits for that.

mod acceptor;
mod address;
mod audit;
mod buffers;
mod caller;
mod clock;
mod datagrams;
mod entrance;
mod error;
mod keys;
mod layers;
mod lingering;
mod link;
mod mailbox;
mod proxy;
mod server;
mod sockets;
mod steward;
mod storage;
mod stream;
mod tls;
mod transport;
mod verifier;
mod waiting;
mod worker;

pub use address::{Address, Network};
pub use audit::Auditor;
pub use caller::{Caller, ChannelBinding};
pub use clock::CLOCK_PAST;
pub use datagrams::Group;
pub use entrance::Entrance;
pub use error::StartError;
pub use keys::PreSharedKeys;
pub use link::{Dialer, Link};
pub use rustls::pki_types::ServerName;
pub use server::{Config, LocalAddress, Server, Socketed};
pub use steward::Steward;
pub use storage::{Keeping, Records, Recovered, Recovery, Storage, Wall};
pub use tls::{
    CertificateFiles, ClientCertificates, ClientTls, ClientTlsSettings, Dtls, Secured, Tls, TlsError,
    TlsFile, TlsSettings, TlsVersion,
};
pub use verifier::{Answer, Mechanism, Verify};
