//! `mynah pub`: one message, and the server's confirmation if there is one.

use std::fs;
use std::io::{Read, stdin};

use mynah_mqtt::client::Event;

use super::transport::{Transport, misuse};
use crate::arguments::{Payload, Publish};
use crate::complaint::Complaint;

/// Publishes one message. With QoS 1 and 2 it has arrived when this returns.
pub(crate) fn publish(arguments: &Publish) -> Result<(), Complaint> {
    let payload = payload(&arguments.payload)?;
    let mut transport = Transport::open(&arguments.peer)?;
    let now = transport.now();
    let (topic, class, retain) = (&arguments.topic, arguments.qos, arguments.retain);
    let sent = transport.client.publish(now, topic, &payload, class, retain).map_err(misuse)?;
    while let Some(wanted) = sent {
        if matches!(transport.next(None)?, Some(Event::Acknowledged { id }) if id == wanted) {
            break;
        }
    }
    transport.close()
}

fn payload(from: &Payload) -> Result<Vec<u8>, Complaint> {
    if let Some(path) = &from.file {
        return fs::read(path).map_err(|error| Complaint::File { path: path.clone(), error });
    }
    if from.stdin {
        let mut bytes = Vec::new();
        let read = stdin().lock().read_to_end(&mut bytes);
        return read.map(|_| bytes).map_err(|error| Complaint::System { what: "standard input", error });
    }
    Ok(from.message.as_deref().unwrap_or_default().as_bytes().to_vec())
}
