//! Connections and their channels, by names that can stand in a path.

use mynah_core::WorkerId;
use mynah_core::administration::{ConnectionName, ConnectionView};
use mynah_model::ChannelDescription;

/// A connection's name: worker, slot and generation.
pub(crate) fn name(connection: &ConnectionView) -> String {
    let ConnectionView { worker, slot, generation, .. } = connection;
    format!("{}.{slot}.{generation}", worker.0)
}

/// The connection that this names, if it can be a name.
pub(crate) fn named(name: &str) -> Option<ConnectionName> {
    let mut parts = name.split('.');
    let worker = WorkerId(parts.next()?.parse().ok()?);
    let (slot, generation) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    parts.next().is_none().then_some(ConnectionName { worker, slot, generation })
}

/// The channels of connections, with the connection of each.
pub(crate) fn channels(
    connections: &[ConnectionView],
) -> impl Iterator<Item = (&ConnectionView, &ChannelDescription)> {
    connections.iter().flat_map(|connection| {
        connection.description.channels.iter().map(move |channel| (connection, channel))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_a_connection_has_three_numbers() {
        let name = ConnectionName { worker: WorkerId(1), slot: 20, generation: 3 };
        assert_eq!(named("1.20.3"), Some(name));
        for wrong in ["", "1.20", "1.20.3.4", "1.x.3", "-1.20.3", "1.20.99999999999"] {
            assert_eq!(named(wrong), None, "{wrong}");
        }
    }
}
