//! Who asks a management listener for something.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request};
use mynah_core::rules::Mandate;
use mynah_model::{Groups, Identity, TenantId};

/// Who asks. Whoever serves the routes finds that out, and puts it into the extensions of the request.
#[derive(Clone, Debug)]
pub struct Asker {
    /// Where it is.
    pub address: SocketAddr,
    /// Who it has proved to be, or the anonymous identity of the listener.
    pub identity: Identity,
    /// The groups that it is in.
    pub groups: Groups,
    /// What it may do at most, if whoever vouches for it says that.
    pub mandate: Option<Arc<Mandate>>,
}

impl Asker {
    /// Somebody at this address of whom no more is known.
    #[must_use]
    pub fn anonymous(address: SocketAddr, tenant: TenantId, listener: &str) -> Self {
        Self { address, identity: Identity::anonymous(tenant, listener), groups: Groups::NONE, mandate: None }
    }

    /// Who sent a request.
    pub(crate) fn of(request: &Request) -> Self {
        if let Some(known) = request.extensions().get::<Self>() {
            return known.clone();
        }
        let address = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let address = address.map_or_else(|| SocketAddr::from(([0; 4], 0)), |ConnectInfo(address)| *address);
        Self::anonymous(address, TenantId::DEFAULT, "management")
    }
}

impl fmt::Display for Asker {
    /// The address, and the name if that was proved.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.identity.is_anonymous() {
            write!(f, "{} at ", self.identity.name())?;
        }
        write!(f, "{}", self.address.ip().to_canonical())
    }
}
