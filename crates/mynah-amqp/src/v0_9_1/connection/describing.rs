//! What administrators see of a connection: what the client has said of itself, and its channels.

use mynah_model::{ChannelDescription, Description};

use super::ServerConnection;
use crate::v0_9_1::mapping::entities;
use crate::v0_9_1::wire::Table;

/// Bytes of what a client has said of itself that are kept: what customary clients say takes a few hundred.
const PROPERTIES_BYTES_MAX: usize = 1_024;

impl ServerConnection {
    /// Keeps what a client says of itself, unless that is much.
    pub(super) fn keep_properties(&mut self, properties: Table<'_>) {
        let bytes = properties.as_bytes();
        if bytes.len() <= PROPERTIES_BYTES_MAX {
            self.properties = bytes.into();
        }
    }

    pub(super) fn description(&self) -> Description {
        let channel = |(&number, channel): (&u16, &alloc::boxed::Box<super::Channel>)| ChannelDescription {
            number,
            consumers: self.consumers.of_channel(number).filter(|(_, consumer)| !consumer.polls).count(),
            unacknowledged: channel.unacknowledged.len(),
            prefetch: channel.prefetch_count,
            confirms: channel.confirms.is_some(),
            unconfirmed: channel.confirms.as_ref().map_or(0, |confirms| confirms.len()),
            transactional: channel.tx.is_some(),
        };
        let open = self.channels.iter().filter(|(_, channel)| !channel.is_closing);
        Description {
            properties: entities::binding_arguments(Table::from_checked(&self.properties)),
            channels: open.map(channel).collect(),
        }
    }
}
