//! Groups of hosts by which servers are found (RFC 7252, section 12.8).

use core::net::{Ipv4Addr, Ipv6Addr};

/// "All CoAP Nodes".
pub const ALL_NODES_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 1, 187);

/// The same of a link, and of a site.
pub const ALL_NODES_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfd), Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 0xfd)];
