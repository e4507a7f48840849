//! Publishes and gets messages for those who ask for that at a management listener: as a client of AMQP 0-9-1 on a link to the
//! workers, so that the rules say what each of them may.

mod properties;
mod tickets;

use std::time::Duration;

use mynah_admin::Asker;
use mynah_admin::messages::{Afterwards, Fetch, Fetched, Publication};
use mynah_amqp::v0_9_1::ReplyCode;
use mynah_amqp::v0_9_1::client::{Client, Ending, Event, Login, Misuse, Options, OwnedMethod};
use mynah_amqp::v0_9_1::wire::{Method, ShortStr, basic, confirm};
use mynah_core::administration::Declined;
use mynah_model::Reason;
use mynah_net::Link;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::authentication::Authentication;
use crate::broker::Links;
use crate::herald::Herald;

pub(crate) use tickets::{Ticket, Tickets};

/// How long one request may take; a broker that stores waits for its disk.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes of payloads that one request gets, beside the last.
const FETCHED_BYTES_MAX: usize = 16 << 20;

type Done<T> = Result<T, Declined>;

/// The way of messages from and to a management listener. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Courier {
    links: Links,
    tickets: Tickets,
    herald: Herald,
}

impl Courier {
    /// The way by these links. Without users everybody is anonymous, with a ticket or without.
    pub(crate) fn new(links: Links, authentication: Option<&Authentication>, herald: &Herald) -> Self {
        let tickets = authentication.map(Authentication::tickets).cloned().unwrap_or_default();
        Self { links, tickets, herald: herald.clone() }
    }

    /// What tells what is changed.
    pub(crate) const fn herald(&self) -> &Herald {
        &self.herald
    }

    /// Publishes a message; says whether it has reached a queue. None if there are no workers.
    pub(crate) async fn publish(self, asker: Asker, publication: Publication) -> Option<Done<bool>> {
        let link = self.link(&asker)?;
        let work = async {
            let mut errand = self.begin(link, &asker).await?;
            errand.publish(&publication).await
        };
        Some(in_time(work).await)
    }

    /// Gets messages. None if there are no workers.
    pub(crate) async fn fetch(self, asker: Asker, fetch: Fetch) -> Option<Done<Vec<Fetched>>> {
        let link = self.link(&asker)?;
        let work = async {
            let mut errand = self.begin(link, &asker).await?;
            errand.fetch(&fetch).await
        };
        Some(in_time(work).await)
    }

    fn link(&self, asker: &Asker) -> Option<Link> {
        self.links.reach().map(|dialer| dialer.dial_secured(asker.address, None))
    }

    /// Opens a connection in the name of somebody, and a channel.
    async fn begin(&self, link: Link, asker: &Asker) -> Done<Errand> {
        let ticket = self.tickets.issue(asker);
        let login = Login::Plain { user: ticket.number().into(), password: Box::default() };
        let options = Options { heartbeat: Some(0), ..Options::new(login) };
        let mut client = Client::new(options);
        client.connect(self.herald.now());
        let mut errand = Errand {
            link,
            client,
            input: Vec::new(),
            channel: 0,
            herald: self.herald.clone(),
            _ticket: ticket,
        };
        errand.until(|event| matches!(event, Event::Connected)).await?;
        errand.channel = errand.client.open_channel(self.herald.now()).map_err(misused)?;
        errand.until(|event| matches!(event, Event::ChannelOpened(_))).await?;
        Ok(errand)
    }
}

async fn in_time<T>(work: impl Future<Output = Done<T>>) -> Done<T> {
    let late = |_| Err(declined(Reason::ServerBusy, "the broker took too long"));
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(late)
}

fn declined(reason: Reason, detail: impl Into<Box<str>>) -> Declined {
    Declined { reason, detail: detail.into() }
}

fn misused(misuse: Misuse) -> Declined {
    declined(Reason::PreconditionFailed, misuse.to_string())
}

/// Why the broker closed a channel or the connection.
fn refused(close: &OwnedMethod) -> Declined {
    let (code, text) = match close.get() {
        Method::ChannelClose(close) => (close.reply_code, close.reply_text),
        Method::ConnectionClose(close) => (close.reply_code, close.reply_text),
        _ => return declined(Reason::ServerBusy, "the broker ended the connection"),
    };
    let reasons = [
        (ReplyCode::NotFound, Reason::NotFound),
        (ReplyCode::AccessRefused, Reason::NotAuthorized),
        (ReplyCode::ResourceLocked, Reason::Locked),
        (ReplyCode::ResourceError, Reason::QuotaExceeded),
        (ReplyCode::ConnectionForced, Reason::ServerBusy),
    ];
    let known = reasons.iter().find(|(known, _)| known.number() == code);
    declined(known.map_or(Reason::PreconditionFailed, |(_, reason)| *reason), text.to_string())
}

/// One connection, for one request.
struct Errand {
    link: Link,
    client: Client,
    /// What came and is not a whole frame.
    input: Vec<u8>,
    channel: u16,
    herald: Herald,
    _ticket: Ticket,
}

impl Errand {
    /// What happens next.
    async fn event(&mut self) -> Done<Event> {
        loop {
            match self.client.poll_event() {
                Some(
                    Event::ChannelClosed { reason: Some(close), .. } | Event::Closed(Ending::Refused(close)),
                ) => {
                    return Err(refused(&close));
                }
                Some(Event::Closed(_)) => {
                    return Err(declined(Reason::ServerBusy, "the broker ended the connection"));
                }
                Some(event) => return Ok(event),
                None => self.exchange().await,
            }
        }
    }

    /// Sends what waits to be sent, and takes in what comes.
    async fn exchange(&mut self) {
        let waiting = self.client.outbound().drain();
        let sent = self.link.write_all(&waiting).await;
        let read = self.link.read_buf(&mut self.input).await;
        if sent.is_err() || !matches!(read, Ok(1..)) {
            return self.client.handle_end();
        }
        let mut rest = &self.input[..];
        self.client.handle_input(self.herald.now(), &mut rest);
        let taken = self.input.len() - rest.len();
        self.input.drain(..taken);
    }

    /// Waits for an event of this kind.
    async fn until(&mut self, is_wanted: impl Fn(&Event) -> bool) -> Done<Event> {
        loop {
            let event = self.event().await?;
            if is_wanted(&event) {
                return Ok(event);
            }
        }
    }

    async fn publish(&mut self, publication: &Publication) -> Done<bool> {
        let Publication { exchange, key, payload, properties } = publication;
        let properties =
            properties::read(properties).map_err(|wrong| declined(Reason::PreconditionFailed, wrong))?;
        let name = |text| ShortStr::new(str::as_bytes(text));
        let (Some(exchange), Some(routing_key)) = (name(exchange), name(key)) else {
            return Err(declined(Reason::TopicInvalid, "a name has at most 255 bytes"));
        };
        let select = confirm::Select { nowait: false };
        self.client.send(self.herald.now(), self.channel, select).map_err(misused)?;
        self.until(|event| matches!(event, Event::Method { .. })).await?;
        let publish = basic::Publish { exchange, routing_key, mandatory: true, immediate: false };
        let now = self.herald.now();
        let sent = self.client.publish(now, self.channel, publish, properties.as_properties(), payload);
        sent.map_err(misused)?;
        let mut routed = true;
        loop {
            match self.event().await? {
                Event::Message { .. } => routed = false,
                Event::Confirmed { accepted: true, .. } => return Ok(routed),
                Event::Confirmed { accepted: false, .. } => {
                    return Err(declined(Reason::QueueFull, "a queue did not take the message"));
                }
                _ => {}
            }
        }
    }

    async fn fetch(&mut self, fetch: &Fetch) -> Done<Vec<Fetched>> {
        let Some(queue) = ShortStr::new(fetch.queue.as_bytes()) else {
            return Err(declined(Reason::NotFound, "a name has at most 255 bytes"));
        };
        let (mut fetched, mut bytes, mut last) = (Vec::new(), 0, None);
        while fetched.len() < fetch.count && bytes <= FETCHED_BYTES_MAX {
            let get = basic::Get { queue, no_ack: false };
            self.client.send(self.herald.now(), self.channel, get).map_err(misused)?;
            let event =
                self.until(|event| matches!(event, Event::Message { .. } | Event::Method { .. })).await?;
            let Event::Message { method, body, .. } = &event else { break };
            let Method::BasicGetOk(got) = method.get() else { break };
            (bytes, last) = (bytes + body.len(), Some(got.delivery_tag));
            fetched.push(Fetched {
                exchange: got.exchange.to_string(),
                key: got.routing_key.to_string(),
                payload: body.to_vec(),
                redelivered: got.redelivered,
                left: got.message_count.into(),
                properties: properties::show(event.properties()),
            });
        }
        if let Some(delivery_tag) = last {
            self.settle(fetch.then, delivery_tag).await?;
        }
        Ok(fetched)
    }

    /// Settles all up to a delivery; what a transaction or a close would undo is done when the good-bye is answered.
    async fn settle(&mut self, then: Afterwards, delivery_tag: u64) -> Done<()> {
        let now = self.herald.now();
        let nack = |requeue| basic::Nack { delivery_tag, multiple: true, requeue };
        let sent = match then {
            Afterwards::Accept => {
                self.client.send(now, self.channel, basic::Ack { delivery_tag, multiple: true })
            }
            Afterwards::GiveBack => self.client.send(now, self.channel, nack(true)),
            Afterwards::Reject => self.client.send(now, self.channel, nack(false)),
        };
        sent.map_err(misused)?;
        self.client.close_channel(self.herald.now(), self.channel).map_err(misused)?;
        self.until(|event| matches!(event, Event::ChannelClosed { .. })).await.map(drop)
    }
}
