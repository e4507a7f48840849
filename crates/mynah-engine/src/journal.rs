//! What changes of sessions and retained values are to be stored, as data, and what waits until they are.
//!
//! Changes that are taken together have a [`Mark`]. Who made them waits for it; who made them on another worker has given them a
//! token there, and hears of it when they are stored.

use core::ops::Range;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use mynah_core::{Cursor, Entry, GroupKey, SessionKey, SessionRef, Via, WorkerId};
use mynah_model::{Class, DeliveryId, Message, SubscriptionOptions, TenantId, Will};

use crate::connections::ConnectionId;
use crate::deeds::{Deed, Part};
use crate::delayed::DelayedNote;
use crate::inbox::Parcel;
use crate::named::{ExchangeNote, QueueNote};
use crate::passing::Passing;

/// Memory for so many notes is kept.
const NOTES_KEPT_MAX: usize = 8_192;

/// Names the changes that were taken at one time and all before them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(pub(crate) u64);

/// When a promise counts as kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// When what it is about is stored.
    Stored,
    /// At once: what is stored later may be lost with the machine.
    AtOnce,
}

/// A change as it is kept until it is taken. Sessions are named by reference: names are long.
#[derive(Debug)]
pub(crate) enum Note {
    /// The session is there, as it is when the note is taken.
    Session(SessionRef),
    Ended(SessionKey),
    /// With how far the replay of retained values has come, if one is under way.
    Subscribed(SessionRef, Attached, SubscriptionOptions, Option<Cursor>),
    Unsubscribed(SessionRef, Attached),
    Received(SessionRef, u16),
    Completed(SessionRef, u16),
    Will(SessionRef, Option<Box<Will>>),
    Enqueued(SessionRef, Enqueued),
    /// An entry that was ready is handed out.
    Leased(SessionRef, u64, DeliveryId),
    /// The receiver has it and will not take it again.
    Taken(SessionRef, u64, DeliveryId),
    /// The entries with numbers from the first up to the second are gone.
    Settled(SessionRef, u64, u64),
    Queue(QueueNote),
    Exchange(ExchangeNote),
    /// A message waits for its time, or does not any more.
    Delayed(Box<DelayedNote>),
    DelayedDone(TenantId, u16, u64),
    Retained(Message),
    Cleared(TenantId, Box<[u8]>),
    /// What this worker has done of something, and who got the message.
    Part(Part, Box<[u64]>),
    PartGone(Arc<Deed>, u64),
    /// The broker owes a message to everybody, or to one of a group.
    Errand(Arc<Deed>, Message, Option<Arc<GroupKey>>),
    ErrandDone(Arc<Deed>),
}

impl Note {
    /// Bytes of the message that it keeps in memory.
    fn message_bytes(&self) -> usize {
        let message = match self {
            Self::Enqueued(_, Enqueued { message, .. })
            | Self::Retained(message)
            | Self::Errand(_, message, _) => message,
            Self::Will(_, Some(will)) => &will.message,
            Self::Delayed(note) => note.message(),
            _ => return 0,
        };
        message.view().native.len()
    }
}

/// The group and the filter of a subscription.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) share: Option<Box<[u8]>>,
    pub(crate) filter: Box<[u8]>,
}

#[derive(Debug)]
pub(crate) struct Enqueued {
    pub(crate) sequence: u64,
    pub(crate) message: Message,
    pub(crate) class: Class,
    pub(crate) retain: bool,
    pub(crate) via: Option<Arc<Via>>,
    pub(crate) delivery: Option<DeliveryId>,
}

/// What an answer waits for: changes up to a mark, and everything up to a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct After {
    pub(crate) mark: u64,
    pub(crate) token: u64,
}

/// What other workers were asked to tell.
#[derive(Debug)]
struct Asked {
    /// How many have not answered.
    answers: usize,
    then: Then,
}

/// What is to be noted when all have answered.
#[derive(Debug)]
pub(crate) enum Then {
    Nothing,
    /// An entry of a queue is now elsewhere.
    Gone {
        queue: SessionRef,
        sequence: u64,
    },
    /// The message is now with all who want it: a publication of the session is a duplicate from here on.
    Done {
        session: Option<SessionRef>,
        deed: Arc<Deed>,
        parts: Range<u64>,
    },
}

/// The changes of a worker.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    promise: Option<Promise>,
    /// Listeners whose peers are answered at once all the same.
    hasty: Vec<u16>,
    pub(crate) notes: Vec<Note>,
    /// Bytes of the messages in them.
    pub(crate) bytes: usize,
    /// Where notes begin that do not belong to those before them.
    bounds: Vec<usize>,
    /// Where the notes of the command begin that is being carried out, and its tokens.
    since: (usize, u64),
    /// The mark of the notes that are not taken yet, less one.
    taken: u64,
    stored: u64,
    last_token: u64,
    /// The next of the numbers that are given once.
    next_number: u64,
    asked: BTreeMap<u64, Asked>,
    pub(crate) passing: Passing,
    /// What others hear when a mark is stored.
    late: VecDeque<(u64, WorkerId, Parcel)>,
    /// Connections that wait for a mark.
    by_mark: VecDeque<(u64, ConnectionId)>,
    /// Connections that wait for a token.
    by_token: VecDeque<(u64, ConnectionId)>,
    /// Nothing more is to be stored for the moment.
    pub(crate) full: bool,
}

impl Journal {
    pub(crate) fn start(&mut self, promise: Promise, first_number: u64) {
        (self.promise, self.next_number) = (Some(promise), first_number);
    }

    /// The number that is given next.
    pub(crate) const fn next_number(&self) -> u64 {
        self.next_number
    }

    /// A number that no other worker gives for the same client, and nobody in another run.
    pub(crate) const fn take_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }

    /// Whether changes are stored at all.
    #[inline]
    pub(crate) const fn is_on(&self) -> bool {
        self.promise.is_some()
    }

    /// Whether promises wait for that.
    #[inline]
    pub(crate) const fn waits(&self) -> bool {
        matches!(self.promise, Some(Promise::Stored))
    }

    /// Whether some are told what is stored only later: after a crash they may know more than is stored.
    pub(crate) fn may_forget(&self) -> bool {
        self.promise == Some(Promise::AtOnce) || !self.hasty.is_empty()
    }

    /// Peers of this listener are answered at once.
    pub(crate) fn hasten(&mut self, listener: u16) {
        self.hasty.push(listener);
    }

    /// Whether what is promised to peers of this listener waits like all the rest.
    #[inline]
    pub(crate) fn waits_at(&self, listener: u16) -> bool {
        !self.hasty.contains(&listener)
    }

    #[inline]
    pub(crate) fn note(&mut self, note: Note) {
        self.bytes += note.message_bytes();
        self.notes.push(note);
    }

    /// Notes what the answer of the command that is being carried out does not wait for.
    pub(crate) fn note_aside(&mut self, note: Note) {
        let is_first = self.notes.len() == self.since.0;
        self.note(note);
        self.since.0 += usize::from(is_first);
    }

    pub(crate) fn note_entry(&mut self, session: SessionRef, entry: &Entry, delivery: Option<DeliveryId>) {
        let Entry { class, retain, sequence, .. } = *entry;
        let (message, via) = (entry.message.clone(), entry.via.clone());
        let enqueued = Enqueued { sequence, message, class, retain, via, delivery };
        self.note(Note::Enqueued(session, enqueued));
    }

    /// The entries from one number up to another are gone, if there are any. Nobody waits to hear that: so what goes on
    /// where the last note ends makes that one longer, whoever made it.
    pub(crate) fn note_settled(&mut self, session: SessionRef, from: u64, to: u64) {
        if let Some(Note::Settled(last, _, end)) = self.notes.last_mut()
            && (*last, *end) == (session, from)
        {
            *end = to.max(from);
        } else if from < to {
            self.note(Note::Settled(session, from, to));
        }
    }

    /// A command begins: what is noted from here on is what its answer waits for.
    #[inline]
    pub(crate) fn begin(&mut self) {
        self.since = (self.notes.len(), self.last_token);
        if self.notes.len() > self.bounds.last().copied().unwrap_or_default() {
            self.bounds.push(self.notes.len());
        }
    }

    /// What the answer of the command waits for that is being carried out; nothing if it has changed nothing.
    pub(crate) const fn after(&self) -> Option<After> {
        let (notes, token) = self.since;
        let (noted, asked) = (self.notes.len() > notes, self.last_token > token);
        if !self.waits() || !(noted || asked) {
            return None;
        }
        let mark = if noted { self.taken + 1 } else { 0 };
        Some(After { mark, token: if asked { self.last_token } else { 0 } })
    }

    /// What waits for everything that is known so far.
    pub(crate) const fn after_all(&self) -> After {
        After {
            mark: if self.notes.is_empty() { self.taken } else { self.taken + 1 },
            token: self.last_token,
        }
    }

    /// The mark of what was noted last.
    pub(crate) const fn mark(&self) -> u64 {
        self.taken + 1
    }

    pub(crate) fn is_past(&self, after: After) -> bool {
        after.mark <= self.stored
            && self.asked.first_key_value().is_none_or(|(first, _)| *first > after.token)
    }

    pub(crate) const fn is_stored(&self, mark: u64) -> bool {
        mark <= self.stored
    }

    pub(crate) fn await_after(&mut self, after: After, id: ConnectionId) {
        if after.mark > self.stored && self.by_mark.back() != Some(&(after.mark, id)) {
            self.by_mark.push_back((after.mark, id));
        }
        if after.token > 0 && self.by_token.back() != Some(&(after.token, id)) {
            self.by_token.push_back((after.token, id));
        }
    }

    /// The token that the next [`Journal::ask`] gives.
    pub(crate) const fn next_token(&self) -> u64 {
        self.last_token + 1
    }

    /// A token for `answers` questions to other workers.
    pub(crate) fn ask(&mut self, answers: usize, then: Then) -> u64 {
        self.last_token += 1;
        self.asked.insert(self.last_token, Asked { answers, then });
        self.last_token
    }

    /// Whether publications of a client are under way.
    pub(crate) fn is_under_way(&self, key: &SessionKey) -> bool {
        self.asked.values().any(|asked| match &asked.then {
            Then::Done { deed, .. } => deed.tenant == key.tenant && deed.client_id == key.client_id,
            Then::Nothing | Then::Gone { .. } => false,
        })
    }

    /// One has answered. Says what is to be done if all have.
    pub(crate) fn answered(&mut self, token: u64) -> Option<Then> {
        let asked = self.asked.get_mut(&token)?;
        asked.answers = asked.answers.saturating_sub(1);
        if asked.answers > 0 {
            return None;
        }
        self.asked.remove(&token).map(|asked| asked.then)
    }

    /// Another worker is to hear something when what was noted since [`Journal::begin`] is stored. Returns it if that can be
    /// at once.
    pub(crate) fn postpone(&mut self, to: WorkerId, parcel: Parcel) -> Option<Parcel> {
        let mark = self.after().map_or(0, |after| after.mark);
        if mark == 0 {
            return Some(parcel);
        }
        self.late.push_back((mark, to, parcel));
        None
    }

    /// The same when everything is stored that is known so far.
    pub(crate) fn postpone_all(&mut self, to: WorkerId, parcel: Parcel) -> Option<Parcel> {
        let After { mark, .. } = self.after_all();
        if !self.waits() || self.is_stored(mark) {
            return Some(parcel);
        }
        self.late.push_back((mark, to, parcel));
        None
    }

    /// Takes the notes. They have the mark that is returned.
    pub(crate) fn take(&mut self) -> (Vec<Note>, Vec<usize>, Mark) {
        let (notes, bounds) = (core::mem::take(&mut self.notes), core::mem::take(&mut self.bounds));
        self.taken += u64::from(!notes.is_empty());
        (self.since, self.bytes) = ((0, self.last_token), 0);
        (notes, bounds, Mark(self.taken))
    }

    /// Whether anybody waits for what is not taken yet.
    pub(crate) fn is_awaited(&self) -> bool {
        let last = self.by_mark.back().map(|(mark, _)| *mark).max(self.late.back().map(|(mark, ..)| *mark));
        last.is_some_and(|mark| mark > self.taken)
    }

    /// Keeps the memory of notes that were taken.
    pub(crate) fn give_back(&mut self, mut memory: Vec<Note>, mut bounds: Vec<usize>) {
        memory.clear();
        bounds.clear();
        if self.bounds.is_empty() {
            self.bounds = bounds;
        }
        if self.notes.is_empty() && memory.capacity() <= NOTES_KEPT_MAX {
            self.notes = memory;
        }
    }

    pub(crate) fn note_stored(&mut self, mark: Mark) {
        self.stored = self.stored.max(mark.0);
    }

    /// What another worker hears next of what is stored now.
    pub(crate) fn next_late(&mut self) -> Option<(WorkerId, Parcel)> {
        self.late.pop_front_if(|(mark, ..)| *mark <= self.stored).map(|(_, to, parcel)| (to, parcel))
    }

    /// The next connection that may have waited for what is stored now, here or elsewhere.
    pub(crate) fn next_waiter(&mut self) -> Option<ConnectionId> {
        let first = self.asked.first_key_value().map_or(u64::MAX, |(first, _)| *first);
        let waiter = self.by_mark.pop_front_if(|(mark, _)| *mark <= self.stored);
        waiter.or_else(|| self.by_token.pop_front_if(|(token, _)| *token < first)).map(|(_, id)| id)
    }
}
