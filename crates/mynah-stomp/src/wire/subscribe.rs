//! SUBSCRIBE and UNSUBSCRIBE, with the headers that RabbitMQ, ActiveMQ and Artemis have added.

use alloc::borrow::Cow;

use super::send::{number, truth};
use super::{Frame, Headers};
use crate::{Version, Violation};

/// A client wants messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe<'b> {
    /// Names the subscription within its connection.
    pub id: Option<Cow<'b, str>>,
    /// From where.
    pub destination: Cow<'b, str>,
    /// How messages are acknowledged.
    pub ack: AckMode,
    /// Which messages.
    pub selector: Option<Cow<'b, str>>,
    /// Messages that may be under way (`prefetch-count`, `activemq.prefetchSize`).
    pub prefetch_messages: Option<u64>,
    /// Octets that may be under way (`consumer-window-size`).
    pub prefetch_octets: Option<u64>,
    /// Whether what the connection itself sends is not wanted.
    pub no_local: bool,
    /// Whether nobody else may consume from the queue.
    pub exclusive: bool,
    /// Consumers with a higher one are served first.
    pub priority: i32,
    /// Where to begin in a stream (`x-stream-offset`).
    pub stream_offset: Option<Cow<'b, str>>,
    /// Which retained values are wanted: 0 all, 1 if the subscription is new, 2 none.
    pub retain_handling: Option<u8>,
    /// The queue's name, where the subscriber chooses it.
    pub queue_name: Option<Cow<'b, str>>,
    /// Whether the subscription outlives the connection, and by which name.
    pub durable: Durable<'b>,
    /// All headers.
    pub headers: Headers<'b>,
}

/// How a client acknowledges messages ("SUBSCRIBE ack Header").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AckMode {
    /// Not at all: a message is consumed by being sent.
    #[default]
    Auto,
    /// Each with all before it.
    Client,
    /// Each by itself.
    ClientIndividual,
}

impl AckMode {
    /// The mode as it is written.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Client => "client",
            Self::ClientIndividual => "client-individual",
        }
    }

    /// `client-individual` is taken in STOMP 1.0 too, as RabbitMQ and ActiveMQ take it.
    fn decode(value: Option<&str>) -> Result<Self, Violation> {
        match value {
            None | Some("auto") => Ok(Self::Auto),
            Some("client") => Ok(Self::Client),
            Some("client-individual") => Ok(Self::ClientIndividual),
            Some(_) => Err(Violation::HeaderValue("ack")),
        }
    }
}

/// Whether a subscription outlives its connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Durable<'b> {
    /// It does not.
    #[default]
    No,
    /// As RabbitMQ has it: `durable:true`, named by its `id`.
    ById,
    /// As ActiveMQ and Artemis have it: `activemq.subscriptionName` or `durable-subscription-name`, within the client's
    /// `client-id`.
    Named(Cow<'b, str>),
}

impl<'b> Durable<'b> {
    fn decode(headers: Headers<'b>) -> Result<Self, Violation> {
        let named =
            headers.get("activemq.subscriptionName").or_else(|| headers.get("durable-subscription-name"));
        if let Some(name) = named {
            return Ok(Self::Named(name));
        }
        let durable = headers.get("durable").or_else(|| headers.get("persistent"));
        let says = durable.map(|value| truth("durable", &value)).transpose()?;
        Ok(if says == Some(true) { Self::ById } else { Self::No })
    }
}

impl<'b> Subscribe<'b> {
    /// Reads the frame.
    ///
    /// # Errors
    /// A header is missing, or has a value that it cannot have.
    pub fn decode(frame: Frame<'b>, version: Version) -> Result<Self, Violation> {
        let headers = frame.headers;
        let id = headers.get("id");
        if version.demands_subscription_ids() && id.is_none() {
            return Err(Violation::HeaderMissing("id"));
        }
        let said_number =
            |name: &'static str| headers.get(name).map(|value| number(name, &value)).transpose();
        let says = |names: [&'static str; 2]| {
            let value = names.into_iter().find_map(|name| Some((name, headers.get(name)?)));
            value.map_or(Ok(false), |(name, value)| truth(name, &value))
        };
        let retain_handling = said_number("x-mqtt-retain-handling")?;
        if retain_handling.is_some_and(|number| number > 2) {
            return Err(Violation::HeaderValue("x-mqtt-retain-handling"));
        }
        Ok(Self {
            destination: headers.get("destination").ok_or(Violation::HeaderMissing("destination"))?,
            ack: AckMode::decode(headers.get("ack").as_deref())?,
            selector: headers.get("selector").filter(|selector| !selector.is_empty()),
            prefetch_messages: match said_number("prefetch-count")? {
                None => said_number("activemq.prefetchSize")?,
                said => said,
            },
            prefetch_octets: window(headers)?,
            no_local: says(["no-local", "activemq.noLocal"])?,
            exclusive: says(["x-exclusive-consumer", "activemq.exclusive"])?,
            priority: consumer_priority(headers)?,
            stream_offset: headers.get("x-stream-offset"),
            retain_handling: retain_handling.map(|number| number as u8),
            queue_name: headers.get("x-queue-name").filter(|name| !name.is_empty()),
            durable: Durable::decode(headers)?,
            headers,
            id,
        })
    }
}

/// Artemis' window; -1 asks for no bound, and is answered with the default.
fn window(headers: Headers<'_>) -> Result<Option<u64>, Violation> {
    match headers.get("consumer-window-size") {
        None => Ok(None),
        Some(value) if value == "-1" => Ok(None),
        Some(value) => number("consumer-window-size", &value).map(Some),
    }
}

fn consumer_priority(headers: Headers<'_>) -> Result<i32, Violation> {
    let Some((name, value)) =
        ["x-priority", "activemq.priority"].into_iter().find_map(|name| Some((name, headers.get(name)?)))
    else {
        return Ok(0);
    };
    value.parse().map_err(|_| Violation::HeaderValue(name))
}

/// A client wants messages no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'b> {
    /// The subscription; absent in STOMP 1.0 where its destination names it.
    pub id: Option<Cow<'b, str>>,
    /// The destination of a subscription without an identifier.
    pub destination: Option<Cow<'b, str>>,
    /// Whether a durable subscription ends too.
    pub durable: Durable<'b>,
}

impl<'b> Unsubscribe<'b> {
    /// Reads the frame.
    ///
    /// # Errors
    /// It does not say which subscription.
    pub fn decode(frame: Frame<'b>, version: Version) -> Result<Self, Violation> {
        let headers = frame.headers;
        let unsubscribe = Self {
            id: headers.get("id"),
            destination: headers.get("destination"),
            durable: Durable::decode(headers)?,
        };
        let is_durable = matches!(unsubscribe.durable, Durable::Named(_));
        match unsubscribe {
            Self { id: Some(_), .. } => Ok(unsubscribe),
            Self { destination: Some(_), .. } if !version.demands_subscription_ids() => Ok(unsubscribe),
            _ if is_durable => Ok(unsubscribe),
            _ => Err(Violation::HeaderMissing("id")),
        }
    }
}
