//! `mynah sub`: prints messages until it has had enough.

use std::io::{self, Write, stdout};
use std::time::Duration;

use mynah_model::Message;
use mynah_mqtt::client::Event;
use mynah_mqtt::mapping;
use mynah_mqtt::wire::ReasonCode;
use mynah_mqtt::wire::properties::Property;

use super::transport::{Transport, misuse};
use crate::arguments::Subscribe;
use crate::complaint::Complaint;

/// Prints the messages of the filters, each followed by a line feed.
pub(crate) fn subscribe(arguments: &Subscribe) -> Result<(), Complaint> {
    let mut transport = Transport::open(&arguments.peer)?;
    let now = transport.now();
    let until = arguments.timeout.map(|seconds| now + Duration::from_secs(seconds.into()));
    let filters: Vec<_> = arguments.topics.iter().map(|topic| (topic.as_str(), arguments.qos)).collect();
    transport.client.subscribe(now, &filters).map_err(misuse)?;
    let mut printed = 0;
    while arguments.count.is_none_or(|count| printed < count) {
        match transport.next(until)? {
            Some(Event::Message { message, .. }) => {
                match print(&message, arguments) {
                    Ok(()) => printed += 1,
                    // Whoever read the output has had enough.
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
                    Err(error) => return Err(Complaint::System { what: "standard output", error }),
                }
            }
            Some(Event::Subscribed { granted, .. }) => refused(&filters, &granted)?,
            Some(_) => {}
            None => {
                transport.close()?;
                return match arguments.count {
                    Some(count) => {
                        Err(Complaint::Other(format!("{printed} of {count} messages came in time")))
                    }
                    None => Ok(()),
                };
            }
        }
    }
    transport.close()
}

fn print(message: &Message, arguments: &Subscribe) -> io::Result<()> {
    let mut out = stdout().lock();
    if arguments.verbose {
        out.write_all(message.topic().as_bytes())?;
        out.write_all(b" ")?;
    }
    if arguments.properties {
        for property in mapping::section(message.view()).iter() {
            write_property(&property, &mut out)?;
        }
    }
    out.write_all(message.payload())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Writes a property as `NAME=VALUE` and a space; what only the connection is about is left out.
fn write_property(property: &Property<'_>, out: &mut impl Write) -> io::Result<()> {
    match property {
        Property::PayloadFormatIndicator(is_text) => write!(out, "text={is_text} "),
        Property::MessageExpiryInterval(seconds) => write!(out, "expiry={seconds} "),
        Property::ContentType(text) => write!(out, "content-type={text:?} "),
        Property::ResponseTopic(topic) => write!(out, "response-topic={topic:?} "),
        Property::CorrelationData(bytes) => write!(out, "correlation=\"{}\" ", bytes.escape_ascii()),
        Property::UserProperty((name, value)) => write!(out, "{name:?}={value:?} "),
        _ => Ok(()),
    }
}

/// Complains of the filters that the server refused.
fn refused<C>(filters: &[(&str, C)], granted: &[Result<C, ReasonCode>]) -> Result<(), Complaint> {
    let refused: Vec<_> = filters
        .iter()
        .zip(granted)
        .filter(|(_, granted)| granted.is_err())
        .map(|((filter, _), _)| *filter)
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    Err(Complaint::Other(format!("the server refused the subscription to {}", refused.join(", "))))
}
