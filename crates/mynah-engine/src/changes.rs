//! Changes as who stores them sees them: facts about sessions by their names, and about topics.

use std::sync::Arc;

use mynah_core::{Cursor, GroupKey, SessionKey, SessionRef, Via, shard};
use mynah_model::{
    Class, DeliveryId, Expiry, Identity, Instant, Message, SubscriptionOptions, TenantId, Will,
};

use crate::deeds::Deed;
use crate::engine::Engine;
use crate::journal::{Attached, Mark, Note, Promise};
use crate::named::{ExchangeChange, QueueChange, QueueName};
use crate::passing::Rest;

/// The name of a session, and the shard that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionName<'c> {
    /// The tenant.
    pub tenant: TenantId,
    /// The partition of durable state.
    pub shard: u16,
    /// The client identifier.
    pub client_id: &'c [u8],
}

/// A change that is to be stored. Facts, not operations: stored twice or late, the last one about something holds.
#[derive(Clone, Debug)]
pub enum Change<'c> {
    /// What follows may be stored without what went before, if it follows that in the store.
    Apart,
    /// A session is there.
    Session {
        /// Which.
        session: SessionName<'c>,
        /// Whose it is.
        identity: &'c Identity,
        /// How long it outlives its connection.
        expiry: Expiry,
        /// How many unconfirmed deliveries its peer takes at a time.
        receive_max: u16,
        /// When its last connection ended; none while there is one.
        detached_at: Option<Instant>,
        /// The number of the next entry.
        next_sequence: u64,
        /// Parts of its peer's publications with lower numbers are not its own.
        since: u64,
    },
    /// A session and everything of it is gone.
    SessionEnded(SessionName<'c>),
    /// A session has a subscription with these options; none: it has not.
    Subscription {
        /// Which session.
        session: SessionName<'c>,
        /// The group that shares it.
        share: Option<&'c [u8]>,
        /// Its filter.
        filter: &'c [u8],
        /// Its options.
        options: Option<SubscriptionOptions>,
        /// How far the replay of retained values has come, if one is under way.
        replay: Option<&'c Cursor>,
    },
    /// An exactly-once publication of a session's peer has arrived, or is complete.
    Received {
        /// Which session.
        session: SessionName<'c>,
        /// The publication's identifier.
        id: u16,
        /// Whether it is complete.
        complete: bool,
    },
    /// A session has a will; none: it has not.
    Will {
        /// Which session.
        session: SessionName<'c>,
        /// The will.
        will: Option<&'c Will>,
    },
    /// A message is in a session's queue.
    Entry {
        /// Which session.
        session: SessionName<'c>,
        /// Its number there.
        sequence: u64,
        /// The message.
        message: &'c Message,
        /// The guarantee of this delivery.
        class: Class,
        /// Whether the receiver sees it as a retained value.
        retain: bool,
        /// The subscriptions that it came by.
        via: Option<&'c Arc<Via>>,
        /// The identifier under which it was handed out at once, if it was.
        delivery: Option<DeliveryId>,
    },
    /// An entry was handed out.
    Lease {
        /// Which session.
        session: SessionName<'c>,
        /// The entry's number.
        sequence: u64,
        /// Under which identifier.
        delivery: DeliveryId,
        /// Whether the receiver has it and will not take it again: the entry is gone, the identifier is not.
        received: bool,
    },
    /// Entries are gone, and what was known of their delivery.
    Settled {
        /// Which session.
        session: SessionName<'c>,
        /// From this number on.
        from: u64,
        /// Up to this one, which is not among them.
        to: u64,
    },
    /// Something that several workers do was done in part. It is to be kept until it is [`Change::PartGone`].
    Part {
        /// The session whose peer has published; one without a name if it is an [`Change::Errand`].
        session: SessionName<'c>,
        /// The publication's identifier, or the number of the errand.
        of: u64,
        /// The number of the part.
        number: u64,
        /// Who has got the message.
        receivers: &'c [u64],
    },
    /// A part need not be known any more.
    PartGone {
        /// The session whose peer has published; one without a name if it is an [`Change::Errand`].
        session: SessionName<'c>,
        /// The publication's identifier, or the number of the errand.
        of: u64,
        /// The number of the part.
        number: u64,
    },
    /// The broker owes a message to others.
    Errand {
        /// The tenant.
        tenant: TenantId,
        /// The partition of durable state.
        shard: u16,
        /// The number of the errand.
        number: u64,
        /// The message.
        message: &'c Message,
        /// The group that it goes to; none if it goes to everybody who wants it.
        group: Option<&'c Arc<GroupKey>>,
    },
    /// The broker owes a message no longer.
    ErrandDone {
        /// The tenant.
        tenant: TenantId,
        /// The partition of durable state.
        shard: u16,
        /// The number of the errand.
        number: u64,
    },
    /// A message is to be published later.
    Delayed {
        /// The partition of durable state.
        shard: u16,
        /// Its number.
        number: u64,
        /// The message.
        message: &'c Message,
        /// When.
        due: Instant,
        /// The topic that it goes to, if that is not its own.
        address: Option<&'c [u8]>,
    },
    /// A message was published that waited for its time.
    DelayedDone {
        /// The tenant.
        tenant: TenantId,
        /// The partition of durable state.
        shard: u16,
        /// Its number.
        number: u64,
    },
    /// A queue has changed.
    Queue(QueueName<'c>, QueueChange<'c>),
    /// An exchange has changed.
    Exchange(QueueName<'c>, ExchangeChange<'c>),
    /// A message is the value of its topic.
    Retained {
        /// The partition of durable state.
        shard: u16,
        /// The message.
        message: &'c Message,
    },
    /// A topic has no value.
    Cleared {
        /// The tenant.
        tenant: TenantId,
        /// The partition of durable state.
        shard: u16,
        /// The topic.
        topic: &'c [u8],
    },
}

impl Engine {
    /// From here on changes are noted for a store: the I/O layer takes them with [`Engine::take_changes`], at the latest
    /// before it sends what the engine has for other workers. The numbers of entries begin at `first_sequence`, above those that an earlier
    /// run has given, so that none is given twice.
    pub fn store_changes(&mut self, promise: Promise, first_sequence: u64) {
        self.first_sequence = first_sequence;
        self.lane.journal.start(promise, first_sequence);
    }

    /// Peers of the listener with this place in [`crate::Settings::listeners`] are answered at once: what they are told
    /// is stored later and may be lost with the machine.
    pub fn answer_at_once(&mut self, listener: u16) {
        self.lane.journal.hasten(listener);
    }

    /// How many changes have been noted since they were taken last.
    #[must_use]
    pub const fn changes(&self) -> usize {
        self.lane.journal.notes.len()
    }

    /// Bytes of the messages in these changes, which stay in memory until they are taken.
    #[must_use]
    pub const fn changes_bytes(&self) -> usize {
        self.lane.journal.bytes
    }

    /// Whether anybody waits until the changes that are not taken yet are stored.
    #[must_use]
    pub fn awaits_changes(&self) -> bool {
        self.lane.journal.is_awaited()
    }

    /// Hands over the changes since the last call, in their order: they are to be stored all together or not at all,
    /// unless they are parted by [`Change::Apart`]. What came and went since then is not among them: the longer it is
    /// since the last call, the less there is. [`Engine::handle_stored`] is to be called with the mark that is
    /// returned; none if nothing has changed.
    pub fn take_changes(&mut self, mut each: impl FnMut(Change<'_>)) -> Option<Mark> {
        if self.lane.journal.notes.is_empty() {
            return None;
        }
        let (notes, bounds, mark) = self.lane.journal.take();
        let mut passing = core::mem::take(&mut self.lane.journal.passing);
        passing.look_through(&notes);
        let mut ahead = bounds.iter().copied().peekable();
        for (place, note) in notes.iter().enumerate() {
            if ahead.next_if_eq(&place).is_some() {
                each(Change::Apart);
            }
            // What concerns a session that has ended since is followed by that.
            let change = match passing.rest(note) {
                Rest::All => self.change(note),
                Rest::Settled(session, from, to) => self.change_of_settled(session, from, to),
                Rest::Nothing => None,
            };
            if let Some(change) = change {
                each(change);
            }
        }
        self.lane.journal.passing = passing;
        self.lane.journal.give_back(notes, bounds);
        Some(mark)
    }

    fn change<'c>(&'c self, note: &'c Note) -> Option<Change<'c>> {
        Some(match *note {
            Note::Session(session_ref) => {
                let session = self.lane.sessions.get(session_ref)?;
                Change::Session {
                    session: self.name(session_ref)?,
                    identity: &session.identity,
                    expiry: session.expiry,
                    receive_max: session.receive_max,
                    detached_at: session.detached_at,
                    next_sequence: session.queue.next_sequence(),
                    since: self.since.get(&session_ref).copied().unwrap_or_default(),
                }
            }
            Note::Ended(ref key) => Change::SessionEnded(self.name_of(key)),
            Note::Subscribed(session, Attached { ref share, ref filter }, options, ref replay) => {
                let (session, share, options) = (self.name(session)?, share.as_deref(), Some(options));
                Change::Subscription { session, share, filter, options, replay: replay.as_ref() }
            }
            Note::Unsubscribed(session, Attached { ref share, ref filter }) => {
                let (session, share) = (self.name(session)?, share.as_deref());
                Change::Subscription { session, share, filter, options: None, replay: None }
            }
            Note::Received(session, id) => {
                Change::Received { session: self.name(session)?, id, complete: false }
            }
            Note::Completed(session, id) => {
                Change::Received { session: self.name(session)?, id, complete: true }
            }
            Note::Will(session, ref will) => {
                Change::Will { session: self.name(session)?, will: will.as_deref() }
            }
            Note::Enqueued(session, ref entry) => Change::Entry {
                session: self.name(session)?,
                sequence: entry.sequence,
                message: &entry.message,
                class: entry.class,
                retain: entry.retain,
                via: entry.via.as_ref(),
                delivery: entry.delivery,
            },
            Note::Leased(session, sequence, delivery) => {
                Change::Lease { session: self.name(session)?, sequence, delivery, received: false }
            }
            Note::Taken(session, sequence, delivery) => {
                Change::Lease { session: self.name(session)?, sequence, delivery, received: true }
            }
            Note::Settled(session, from, to) => return self.change_of_settled(session, from, to),
            Note::Retained(ref message) => {
                let shard = self.shard(message.header().tenant, message.topic().as_bytes());
                Change::Retained { shard, message }
            }
            Note::Cleared(tenant, ref topic) => {
                Change::Cleared { tenant, shard: self.shard(tenant, topic), topic }
            }
            Note::Queue(ref note) => return self.change_of_queue(note),
            Note::Exchange(ref note) => self.change_of_exchange(note),
            Note::Delayed(ref note) => note.change(),
            Note::DelayedDone(tenant, shard, number) => Change::DelayedDone { tenant, shard, number },
            Note::Part(..) | Note::PartGone(..) | Note::Errand(..) | Note::ErrandDone(_) => {
                return change_of_deed(note);
            }
        })
    }

    fn change_of_settled(&self, session: SessionRef, from: u64, to: u64) -> Option<Change<'_>> {
        Some(Change::Settled { session: self.name(session)?, from, to })
    }

    fn name(&self, session: SessionRef) -> Option<SessionName<'_>> {
        let (SessionKey { tenant, client_id }, shard) = self.lane.sessions.place(session)?;
        Some(SessionName { tenant: *tenant, shard, client_id })
    }

    fn name_of<'c>(&self, key: &'c SessionKey) -> SessionName<'c> {
        let SessionKey { tenant, ref client_id } = *key;
        SessionName { tenant, shard: self.shard(tenant, client_id), client_id }
    }

    fn shard(&self, tenant: TenantId, name: &[u8]) -> u16 {
        shard(tenant, name, self.shared.seed)
    }
}

fn name_of(deed: &Deed) -> SessionName<'_> {
    SessionName { tenant: deed.tenant, shard: deed.shard, client_id: &deed.client_id }
}

fn change_of_deed(note: &Note) -> Option<Change<'_>> {
    Some(match *note {
        Note::Part(ref part, ref receivers) => {
            let (session, of) = (name_of(&part.deed), part.deed.of);
            Change::Part { session, of, number: part.number, receivers }
        }
        Note::PartGone(ref deed, number) => Change::PartGone { session: name_of(deed), of: deed.of, number },
        Note::Errand(ref deed, ref message, ref group) => {
            let Deed { tenant, shard, of: number, .. } = **deed;
            Change::Errand { tenant, shard, number, message, group: group.as_ref() }
        }
        Note::ErrandDone(ref deed) => {
            let Deed { tenant, shard, of: number, .. } = **deed;
            Change::ErrandDone { tenant, shard, number }
        }
        _ => return None,
    })
}
