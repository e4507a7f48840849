//! `mynah pub`: one message, and the server's confirmation if there is one.

use std::fs;
use std::io::{Read, stdin};

use mynah_mqtt::client::{Event, MessageProperties, Publication};

use super::transport::{Transport, misuse};
use crate::arguments::{Payload, Publish};
use crate::complaint::Complaint;

/// Publishes one message. With QoS 1 and 2 it has arrived when this returns.
pub(crate) fn publish(arguments: &Publish) -> Result<(), Complaint> {
    let payload = payload(&arguments.payload)?;
    let mut transport = Transport::open(&arguments.peer)?;
    let now = transport.now();
    let publication = Publication {
        topic: &arguments.topic,
        payload: &payload,
        class: arguments.qos,
        retain: arguments.retain,
        properties: &properties(arguments),
    };
    let sent = transport.client.publish_with(now, &publication).map_err(misuse)?;
    while let Some(wanted) = sent {
        match transport.next(None)? {
            Some(Event::Acknowledged { id, reason_code, .. }) if id == wanted => {
                if reason_code.is_failure() {
                    return Err(Complaint::Other(format!("the server refused the message: {reason_code}")));
                }
                break;
            }
            _ => {}
        }
    }
    transport.close()
}

fn properties(arguments: &Publish) -> MessageProperties {
    let said = &arguments.properties;
    MessageProperties {
        is_text: said.text,
        expiry: said.expiry,
        content_type: said.content_type.as_deref().map(Into::into),
        response_topic: said.response_topic.as_deref().map(Into::into),
        correlation: said.correlation.as_deref().map(|text| text.as_bytes().into()),
        user: said
            .user_properties
            .iter()
            .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
            .collect(),
    }
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
