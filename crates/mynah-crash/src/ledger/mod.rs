//! The ledger: what was published, promised and delivered, and whether the promises were kept.
//!
//! Pure: events come in, in the order in which the clients saw them, and violations come out. What a message is
//! allowed to do is decided here and nowhere else:
//!
//! * an acknowledged message comes to each session whose subscription was confirmed before it was first attempted;
//! * delivered with QoS 2, it comes once; with QoS 1 again only with DUP, or once for each time its producer sent it;
//! * first arrivals of one producer, topic and class keep their order at each session;
//! * nothing comes that was not published, nor where it was not subscribed to;
//! * a session that was confirmed is there, and a retained value is the last acknowledged or one attempted later.

mod queues;
mod retained;
mod session;
#[cfg(test)]
mod tests;
mod violation;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mynah_model::Class;

pub use queues::{GroupId, Taken};
pub use violation::{Kind, Violation};

use crate::payload::{self, MessageId};
use queues::{Finding, Queues};
use retained::Writes;
use session::Session;
use violation::{Entry, Happening, history};

/// What is published.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Where.
    pub topic: Arc<str>,
    /// With which class.
    pub class: Class,
    /// Whether it is to be retained. A topic with retained values has one producer, which uses one class there.
    pub retain: bool,
    /// Whether it clears the retained value: its payload is empty, so nobody can tell whose it is.
    pub clears: bool,
    /// Whether its place among the producer's other messages is kept. By HTTP each request stands for itself.
    pub is_ordered: bool,
}

/// What came to a session.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Where it was published.
    pub topic: &'a str,
    /// Its payload.
    pub payload: &'a [u8],
    /// With which class it was delivered.
    pub class: Class,
    /// Whether it is marked as possibly delivered before.
    pub dup: bool,
    /// Whether it is marked as a retained value.
    pub retain: bool,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages that were attempted.
    pub attempted: u64,
    /// Those that were acknowledged.
    pub acknowledged: u64,
    /// Deliveries, retained values at subscription not included.
    pub arrivals: u64,
    /// Those of them that had come before.
    pub again: u64,
    /// Retained values that were looked at.
    pub values: u64,
    /// Messages that were sent to queues.
    pub sent: u64,
    /// Messages that came from queues.
    pub taken: u64,
    /// Those of them that were marked as handed out before.
    pub retaken: u64,
    /// What was confirmed of queues: messages and acknowledgements alone, and transactions.
    pub confirmed: u64,
}

/// What is known of a message.
#[derive(Debug)]
struct Message {
    publication: Publication,
    /// When it was first attempted.
    attempted: u64,
    /// How often it may come without DUP.
    sendings: u32,
    /// Whether its producer has sent it again.
    is_resent: bool,
    is_acknowledged: bool,
    /// The copies that each session got: without and with DUP.
    copies: Vec<(u16, u32, u32)>,
    history: Vec<Entry>,
}

/// The ledger.
#[derive(Debug)]
pub struct Ledger {
    now: u64,
    cycle: u32,
    peers: Vec<String>,
    sessions: Vec<Session>,
    messages: BTreeMap<MessageId, Message>,
    /// Messages of which something is still expected.
    open: BTreeSet<MessageId>,
    retained: BTreeMap<Arc<str>, Writes>,
    queues: Queues,
    violations: Vec<Violation>,
    totals: Totals,
}

impl Ledger {
    /// An empty ledger for these peers, producers and consumers, which are known by their place.
    #[must_use]
    pub fn new(peers: Vec<String>) -> Self {
        let sessions = peers.iter().map(|_| Session::default()).collect();
        Self {
            now: 0,
            cycle: 0,
            peers,
            sessions,
            messages: BTreeMap::new(),
            open: BTreeSet::new(),
            retained: BTreeMap::new(),
            queues: Queues::default(),
            violations: Vec::new(),
            totals: Totals::default(),
        }
    }

    /// The number of the last event.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.now
    }

    /// What was found so far.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// What was counted so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// A cycle begins.
    pub fn begin_cycle(&mut self, cycle: u32) {
        self.cycle = cycle;
    }

    /// A peer, all of whose sessions are to be kept, was let in.
    pub fn connected(&mut self, peer: usize, session_present: bool) {
        self.now += 1;
        let session = &mut self.sessions[peer];
        if session.known && !session_present {
            let line = format!("{} was connected before, and its session is not there", self.peers[peer]);
            self.report(Kind::SessionLost, line);
        } else {
            session.known = true;
        }
    }

    /// A subscription is asked for.
    pub fn subscribing(&mut self, peer: usize, filter: &str, class_max: Class) {
        self.now += 1;
        self.sessions[peer].ask(filter, class_max);
    }

    /// The answer to the last request for a subscription to the filter.
    pub fn subscribed(&mut self, peer: usize, filter: &str, granted: Option<Class>) {
        self.now += 1;
        let asked = self.sessions[peer].confirm(filter, self.now);
        if asked != granted {
            let line = format!("{} asked for {filter} with {asked:?} and got {granted:?}", self.peers[peer]);
            self.report(Kind::SubscriptionRefused, line);
        }
    }

    /// The end of a subscription is asked for.
    pub fn unsubscribing(&mut self, peer: usize, filter: &str) {
        self.now += 1;
        self.sessions[peer].ask_end(filter, self.now);
    }

    /// The end of a subscription is confirmed.
    pub fn unsubscribed(&mut self, peer: usize, filter: &str) {
        self.now += 1;
        self.sessions[peer].end(filter, self.now);
    }

    /// A message is about to be sent for the first time.
    pub fn attempt(&mut self, id: MessageId, publication: Publication) {
        self.now += 1;
        self.totals.attempted += 1;
        if publication.retain {
            let writes = self.retained.entry(publication.topic.clone()).or_default();
            writes.attempt(id.sequence, publication.clears);
        }
        let message = Message {
            publication,
            attempted: self.now,
            sendings: 1,
            is_resent: false,
            is_acknowledged: false,
            copies: Vec::new(),
            history: Vec::new(),
        };
        self.messages.insert(id, message);
        self.open.insert(id);
        self.note(id, Happening::Attempted);
    }

    /// The producer sends a message again. With QoS 1 that may make it come again.
    pub fn resend(&mut self, id: MessageId) {
        self.now += 1;
        self.note(id, Happening::Resent);
        if let Some(message) = self.messages.get_mut(&id) {
            message.is_resent = true;
            message.sendings += u32::from(message.publication.class == Class::AtLeastOnce);
        }
    }

    /// The promise is given: PUBACK, PUBCOMP, a status of success.
    pub fn acknowledge(&mut self, id: MessageId) {
        self.now += 1;
        self.note(id, Happening::Acknowledged);
        let Some(message) = self.messages.get_mut(&id) else { return };
        self.totals.acknowledged += u64::from(!message.is_acknowledged);
        message.is_acknowledged = true;
        if message.publication.retain
            && let Some(writes) = self.retained.get_mut(&message.publication.topic)
        {
            writes.acknowledge(id.sequence);
        }
    }

    /// The producer will neither learn of an acknowledgement nor send the message again.
    pub fn give_up(&mut self, id: MessageId) {
        self.now += 1;
        self.note(id, Happening::GivenUp);
        self.open.remove(&id);
    }

    /// A message came to a session.
    pub fn arrive(&mut self, peer: usize, arrival: Arrival<'_>) {
        self.now += 1;
        let Arrival { topic, payload, class, dup, retain } = arrival;
        if payload.is_empty() && self.retained.get(topic).is_some_and(|writes| writes.was_cleared) {
            return;
        }
        let known = payload::decode(payload, topic)
            .filter(|id| self.messages.get(id).is_some_and(|message| &*message.publication.topic == topic));
        let Some(id) = known else {
            let what = String::from_utf8_lossy(&payload[..payload.len().min(payload::PAYLOAD_BYTES_MIN)]);
            let line = format!("{topic} brought {} {} bytes: {what:?}", self.peers[peer], payload.len());
            return self.report(Kind::Unpublished, line);
        };
        // There are far fewer peers.
        let number = u16::try_from(peer).unwrap_or(u16::MAX);
        self.note(id, Happening::Came { peer: number, class, dup, retain });
        self.judge(peer, number, id, arrival);
    }

    fn judge(&mut self, peer: usize, number: u16, id: MessageId, arrival: Arrival<'_>) {
        let Some(message) = self.messages.get(&id) else { return };
        let (attempted, published) = (message.attempted, message.publication.class);
        let session = &self.sessions[peer];
        let classes: Vec<Class> =
            session.classes_max(arrival.topic, attempted).map(|max| max.min(published)).collect();
        let wrong = if classes.is_empty() {
            Some((Kind::Unpublished, "came without a subscription"))
        } else if classes.contains(&arrival.class) {
            None
        } else {
            Some((Kind::WrongClass, "came with another QoS"))
        };
        if let Some((kind, what)) = wrong {
            self.accuse(kind, peer, id, what);
        }
        // A retained value at subscription is no delivery of the message as it was published.
        if !arrival.retain {
            self.count(peer, number, id, arrival);
        }
    }

    /// Counts the copies that a session got, and looks at the order of the first ones.
    fn count(&mut self, peer: usize, number: u16, id: MessageId, arrival: Arrival<'_>) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        let publication = &message.publication;
        let at = message.copies.iter().position(|&(session, ..)| session == number);
        let at = at.unwrap_or_else(|| {
            message.copies.push((number, 0, 0));
            message.copies.len() - 1
        });
        let (_, plain, marked) = &mut message.copies[at];
        let is_first = *plain + *marked == 0;
        *(if arrival.dup { marked } else { plain }) += 1;
        self.totals.arrivals += 1;
        self.totals.again += u64::from(!is_first);
        let (_, plain, _) = message.copies[at];
        let late_for = if is_first && publication.is_ordered {
            self.sessions[peer].arrive(id, &publication.topic, publication.class)
        } else {
            None
        };
        // If it was sent again, it may be that it did not concern the session at first.
        let concerned = self.sessions[peer].must_get(&publication.topic, message.attempted);
        let (sendings, is_resent) = (message.sendings, message.is_resent);
        if let Some(later) = late_for
            && (concerned || !is_resent)
        {
            self.accuse(Kind::OutOfOrder, peer, id, &format!("came after message {later}"));
        }
        if arrival.class == Class::ExactlyOnce && !is_first {
            self.accuse(Kind::Duplicate, peer, id, "came again");
        } else if !arrival.dup && plain > sendings {
            self.accuse(Kind::Duplicate, peer, id, "came again without DUP");
        }
    }

    /// What GET says of a topic with retained values, while nobody publishes there.
    pub fn look_at(&mut self, topic: &str, value: Option<&[u8]>) {
        self.now += 1;
        self.totals.values += 1;
        let sequence = match value.map(|payload| payload::decode(payload, topic)) {
            None => None,
            Some(Some(id)) => Some(id.sequence),
            Some(None) => {
                return self.report(Kind::Retained, format!("{topic} has a value that was never set"));
            }
        };
        let writes = self.retained.entry(topic.into()).or_default();
        if !writes.allows(sequence) {
            let found = sequence.map_or_else(|| "no value".to_owned(), |s| format!("the value of write {s}"));
            let line = format!("{topic} has {found}; allowed: {}", writes.shown());
            self.report(Kind::Retained, line);
        }
    }

    /// How many messages are not yet acknowledged or have not yet come to each session that has to get them.
    pub fn outstanding(&mut self) -> usize {
        let (messages, sessions) = (&self.messages, &self.sessions);
        self.open.retain(|id| {
            messages.get(id).is_some_and(|m| !m.is_acknowledged || !lacking(m, sessions).is_empty())
        });
        self.open.len() + self.queues.outstanding()
    }

    /// Everything had time to come: what is outstanding is lost.
    pub fn settle(&mut self) {
        self.outstanding();
        for id in std::mem::take(&mut self.open) {
            let Some(message) = self.messages.get(&id) else { continue };
            if !message.is_acknowledged {
                let line = self.story(id);
                self.report(Kind::Unanswered, line);
                continue;
            }
            for peer in lacking(message, &self.sessions) {
                self.accuse(Kind::Missing, peer, id, "did not come");
            }
        }
        let findings = self.queues.judge();
        self.find(findings);
    }

    /// Messages and acknowledgements are about to be sent together, at once or when they are committed.
    pub fn begin_group(&mut self, is_held: bool) -> GroupId {
        self.now += 1;
        self.queues.begin(is_held)
    }

    /// Another run of the broker begins: what comes in it and was sent before, it had stored.
    pub const fn cut_off(&mut self) {
        self.queues.cut_off();
    }

    /// The run of the broker: how often it was cut off before.
    #[must_use]
    pub const fn run(&self) -> u32 {
        self.queues.run()
    }

    /// A producer to queues has another connection, in which it sends what has this number or a higher one.
    pub fn connect(&mut self, producer: u16, first: u32) {
        self.queues.connect(producer, first);
    }

    /// A message of the group is about to be sent to a queue.
    pub fn send(&mut self, group: GroupId, id: MessageId, queue: &str) {
        self.totals.sent += 1;
        self.queues.send(group, id, queue);
    }

    /// The acknowledgement of a message of a queue is about to be sent.
    pub fn settle_message(&mut self, group: GroupId, id: MessageId) {
        self.queues.settle(group, id);
    }

    /// A group that is held is about to be committed.
    pub fn commit_group(&mut self, group: GroupId) {
        self.queues.commit(group);
    }

    /// All of a group is done.
    pub fn confirm_group(&mut self, group: GroupId) {
        self.now += 1;
        self.totals.confirmed += 1;
        let finding = self.queues.confirm(group);
        self.find(finding);
    }

    /// A group was not done.
    pub fn refuse_group(&mut self, group: GroupId) {
        self.now += 1;
        self.queues.refuse(group);
    }

    /// Nobody will know what came of a group.
    pub fn give_up_group(&mut self, group: GroupId) {
        self.queues.give_up(group);
    }

    /// A message came from a queue to a consumer. Returns which.
    pub fn take(&mut self, peer: usize, taken: Taken<'_>) -> Option<MessageId> {
        self.now += 1;
        self.totals.taken += 1;
        self.totals.retaken += u64::from(taken.redelivered);
        let (id, finding) = self.queues.take(peer, &self.peers[peer], taken);
        self.find(finding);
        id
    }

    fn find(&mut self, findings: impl IntoIterator<Item = Finding>) {
        for (kind, line) in findings {
            self.report(kind, line);
        }
    }

    fn note(&mut self, id: MessageId, what: Happening) {
        if let Some(message) = self.messages.get_mut(&id) {
            message.history.push(Entry { at: self.now, cycle: self.cycle, what });
        }
    }

    fn accuse(&mut self, kind: Kind, peer: usize, id: MessageId, what: &str) {
        let line = format!("{what} to {}: {}", self.peers[peer], self.story(id));
        self.report(kind, line);
    }

    fn story(&self, id: MessageId) -> String {
        let Some(Message { publication, history: entries, .. }) = self.messages.get(&id) else {
            return id.to_string();
        };
        history(id, &publication.topic, publication.class, entries, &self.peers)
    }

    fn report(&mut self, kind: Kind, line: String) {
        self.violations.push(Violation { kind, cycle: self.cycle, line });
    }
}

/// The sessions that have to get a message and have not.
fn lacking(message: &Message, sessions: &[Session]) -> Vec<usize> {
    let Publication { topic, clears, .. } = &message.publication;
    let lacks = |(peer, session): &(usize, &Session)| {
        session.must_get(topic, message.attempted)
            && !message.copies.iter().any(|&(number, ..)| usize::from(number) == *peer)
    };
    let sessions = sessions.iter().enumerate().filter(lacks).map(|(peer, _)| peer);
    if *clears { Vec::new() } else { sessions.collect() }
}
