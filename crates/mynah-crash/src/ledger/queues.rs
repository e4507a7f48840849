//! What named queues promise, and whether they kept it.
//!
//! * a message whose receipt came is handed out until somebody's acknowledgement of it is confirmed, and not after that;
//! * it comes to one consumer at a time: what comes again is marked;
//! * what was not marked keeps the order in which its producer sent it to the queue, at each consumer; what a connection has
//!   left unconfirmed at its end may be on its way still while the next one sends;
//! * a transaction is done as a whole or not at all: its messages, and its acknowledgements.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::violation::Kind;
use crate::payload::{self, MessageId};

/// A message that came from a queue.
#[derive(Clone, Copy, Debug)]
pub struct Taken<'a> {
    /// The queue.
    pub queue: &'a str,
    /// The payload.
    pub payload: &'a [u8],
    /// Whether it is marked as handed out before.
    pub redelivered: bool,
    /// The run of the broker that the consumer was connected to, or one before it.
    pub run: u32,
}

/// What was sent together: messages and acknowledgements. One that is alone is a group as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupId(usize);

/// What is known of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing of it may be seen: it was not committed.
    Held,
    /// It was sent; the answer has not come.
    Asked,
    /// The answer came.
    Confirmed,
    /// The answer was that it is not done.
    Refused,
    /// The answer will not come: all of it is done, or nothing.
    Unknown,
}

#[derive(Debug)]
struct Group {
    state: State,
    messages: Vec<MessageId>,
    settled: Vec<MessageId>,
    /// The run of the broker in which it was last sent or committed.
    run: u32,
    /// Something that it acknowledged came after that: it was not done.
    is_refuted: bool,
}

/// What is known of a message.
#[derive(Debug)]
struct Message {
    queue: Box<str>,
    group: GroupId,
    arrivals: u32,
    /// It came in a later run of the broker than that in which it was sent, or its acknowledgement was confirmed: it is
    /// stored. What came only before that may have been shown and not kept.
    was_kept: bool,
    /// Acknowledgements that were sent for it, in their order.
    settlements: Vec<GroupId>,
    history: String,
}

/// What was found to be wrong.
pub(super) type Finding = (Kind, String);

/// The ledger of the queues.
#[derive(Debug, Default)]
pub(super) struct Queues {
    groups: Vec<Group>,
    messages: BTreeMap<MessageId, Message>,
    /// The last that came to a consumer without a mark: by consumer, queue and producer.
    last: BTreeMap<(usize, Box<str>, u16), u32>,
    /// The first message of each connection, by producer.
    connections: BTreeMap<u16, Vec<u32>>,
    /// Groups that were looked at for the last time.
    judged: usize,
    /// Runs of the broker before this one.
    run: u32,
}

impl Queues {
    /// Something is about to be sent; nothing of it may be seen yet if it waits for a commit.
    pub(super) fn begin(&mut self, is_held: bool) -> GroupId {
        let state = if is_held { State::Held } else { State::Asked };
        let (messages, settled, run) = (Vec::new(), Vec::new(), self.run);
        self.groups.push(Group { state, messages, settled, run, is_refuted: false });
        GroupId(self.groups.len() - 1)
    }

    /// Another run of the broker begins: what comes in it and was sent before was stored.
    pub(super) const fn cut_off(&mut self) {
        self.run += 1;
    }

    /// The run of the broker.
    pub(super) const fn run(&self) -> u32 {
        self.run
    }

    /// A producer has another connection, in which it sends what has this number or a higher one.
    pub(super) fn connect(&mut self, producer: u16, first: u32) {
        self.connections.entry(producer).or_default().push(first);
    }

    /// Whether a message may come after a later one: it was not confirmed, its connection had ended when that was sent, and
    /// both were sent in one run of the broker, in which it may have been on its way still.
    fn may_be_late(&self, id: MessageId, later: u32) -> bool {
        let group = |id| self.messages.get(&id).map(|message| &self.groups[message.group.0]);
        let (Some(own), Some(other)) = (group(id), group(MessageId { sequence: later, ..id })) else {
            return false;
        };
        let firsts = self.connections.get(&id.producer).map_or(&[][..], Vec::as_slice);
        let is_of_another = firsts.iter().any(|first| (id.sequence + 1..=later).contains(first));
        own.state == State::Unknown && own.run == other.run && is_of_another
    }

    pub(super) fn send(&mut self, group: GroupId, id: MessageId, queue: &str) {
        self.groups[group.0].messages.push(id);
        let message = Message {
            queue: queue.into(),
            group,
            arrivals: 0,
            was_kept: false,
            settlements: Vec::new(),
            history: format!("sent in group {};", group.0),
        };
        self.messages.insert(id, message);
    }

    pub(super) fn settle(&mut self, group: GroupId, id: MessageId) {
        self.groups[group.0].settled.push(id);
        if let Some(message) = self.messages.get_mut(&id) {
            message.settlements.push(group);
            let _ = write!(message.history, " acknowledged in group {};", group.0);
        }
    }

    /// What was held is about to be committed.
    pub(super) fn commit(&mut self, group: GroupId) {
        (self.groups[group.0].state, self.groups[group.0].run) = (State::Asked, self.run);
    }

    pub(super) fn confirm(&mut self, group: GroupId) -> Option<Finding> {
        self.change(group, State::Confirmed, "confirmed");
        let Group { is_refuted, settled, .. } = &self.groups[group.0];
        for id in settled {
            if let Some(message) = self.messages.get_mut(id) {
                message.was_kept = true;
            }
        }
        let first = settled.first().filter(|_| *is_refuted)?;
        Some((Kind::Undone, self.accuse(*first, "a confirmed acknowledgement was not done")))
    }

    /// It was not done, and will not be.
    pub(super) fn refuse(&mut self, group: GroupId) {
        self.change(group, State::Refused, "refused");
    }

    /// The connection is gone, and with it the answer.
    pub(super) fn give_up(&mut self, group: GroupId) {
        if self.groups[group.0].state == State::Asked {
            self.change(group, State::Unknown, "unknown");
        }
    }

    fn change(&mut self, group: GroupId, state: State, word: &str) {
        let Group { state: old, messages, settled, .. } = &mut self.groups[group.0];
        *old = state;
        for id in messages.iter().chain(settled.iter()) {
            if let Some(message) = self.messages.get_mut(id) {
                let _ = write!(message.history, " group {} {word};", group.0);
            }
        }
    }

    /// A message came to a consumer. Returns what it is, and what is wrong with it.
    pub(super) fn take(
        &mut self,
        peer: usize,
        name: &str,
        taken: Taken<'_>,
    ) -> (Option<MessageId>, Option<Finding>) {
        let Taken { queue, payload, redelivered, run } = taken;
        let known = payload::decode(payload, queue).filter(|id| self.messages.contains_key(id));
        let Some(id) = known else {
            let line = format!("{queue} brought {name} {} bytes that nobody sent there", payload.len());
            return (None, Some((Kind::Unpublished, line)));
        };
        let Some(message) = self.messages.get_mut(&id) else { return (None, None) };
        message.arrivals += 1;
        message.was_kept |= self.groups[message.group.0].run < run;
        let mark = if redelivered { " again" } else { "" };
        let _ = write!(message.history, " came to {name}{mark};");
        let mut is_undone = false;
        for group in &message.settlements {
            let group = &mut self.groups[group.0];
            group.is_refuted = true;
            is_undone |= group.state == State::Confirmed;
        }
        let mut wrong = None;
        let state = self.groups[message.group.0].state;
        if state == State::Held {
            wrong = Some((Kind::Unpublished, "came before it was committed".to_owned()));
        } else if state == State::Refused {
            wrong = Some((Kind::Unpublished, "came although it was refused".to_owned()));
        } else if is_undone {
            wrong = Some((Kind::Undone, "came after its acknowledgement was confirmed".to_owned()));
        } else if !redelivered && message.arrivals > 1 {
            wrong = Some((Kind::Duplicate, "came again without a mark".to_owned()));
        } else if !redelivered {
            let last = self.last.entry((peer, queue.into(), id.producer)).or_default();
            let later = *last;
            *last = id.sequence.max(later);
            if later > id.sequence && !self.may_be_late(id, later) {
                let other = self.accuse(MessageId { sequence: later, ..id }, "which");
                wrong = Some((Kind::OutOfOrder, format!("came after another, {other},")));
            }
        }
        let wrong = wrong.map(|(kind, what)| (kind, self.accuse(id, &what)));
        (Some(id), wrong)
    }

    fn accuse(&self, id: MessageId, what: &str) -> String {
        let Some(Message { queue, history, .. }) = self.messages.get(&id) else { return id.to_string() };
        format!("{what}: {id}, {queue}:{history}")
    }

    /// Whether a message was confirmed and its end was not.
    fn is_waiting(&self, id: MessageId) -> bool {
        let Some(message) = self.messages.get(&id) else { return false };
        let may_be_done = |group: &GroupId| {
            let Group { state, is_refuted, .. } = &self.groups[group.0];
            matches!(state, State::Confirmed | State::Unknown) && !is_refuted
        };
        let is_confirmed = self.groups[message.group.0].state == State::Confirmed;
        is_confirmed && !message.settlements.iter().any(may_be_done)
    }

    /// Groups without an answer, and messages that are to come.
    pub(super) fn outstanding(&self) -> usize {
        let of = |group: &Group| {
            let waiting = group.messages.iter().filter(|id| self.is_waiting(**id)).count();
            waiting + usize::from(group.state == State::Asked)
        };
        self.groups[self.judged..].iter().map(of).sum()
    }

    /// Everything had time to come: what is outstanding is lost.
    pub(super) fn judge(&mut self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for group in &self.groups[self.judged..] {
            if group.state == State::Asked {
                let first = group.messages.iter().chain(&group.settled).next();
                let story = first.map_or_else(String::new, |id| self.accuse(*id, "no answer"));
                findings.push((Kind::Unanswered, story));
            }
            for id in group.messages.iter().filter(|id| self.is_waiting(**id)) {
                findings.push((Kind::Lost, self.accuse(*id, "did not come")));
            }
            if group.state == State::Unknown {
                findings.extend(self.torn(group));
            }
        }
        self.judged = self.groups.len();
        findings
    }

    /// Whether a group whose answer was lost was done in part.
    fn torn(&self, group: &Group) -> Option<Finding> {
        let message = |id: &MessageId| self.messages.get(id);
        let came = |id: &&MessageId| message(id).is_some_and(|message| message.arrivals > 0);
        let was_kept = |id: &&MessageId| message(id).is_some_and(|message| message.was_kept);
        // Nothing was lost since it was sent.
        let kept = |id: &&MessageId| was_kept(id) || (group.run == self.run && came(id));
        let seen = group.messages.iter().find(kept);
        let missing = group.messages.iter().find(|id| !came(id));
        let refuted = group.settled.first().filter(|_| group.is_refuted);
        let (Some(seen), Some(other)) = (seen, missing.or(refuted)) else { return None };
        let line = format!("{}, while {}", self.accuse(*seen, "came"), self.accuse(*other, "was not done"));
        Some((Kind::Torn, line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: &str = "/queue/a";

    fn id(sequence: u32) -> MessageId {
        MessageId { producer: 1, sequence }
    }

    fn take(queues: &mut Queues, sequence: u32, redelivered: bool) -> Option<Kind> {
        take_in(queues, queues.run, sequence, redelivered)
    }

    fn take_in(queues: &mut Queues, run: u32, sequence: u32, redelivered: bool) -> Option<Kind> {
        let payload = payload::encode(id(sequence), QUEUE, 0);
        let taken = Taken { queue: QUEUE, payload: &payload, redelivered, run };
        queues.take(2, "c", taken).1.map(|(kind, _)| kind)
    }

    fn confirmed(queues: &mut Queues, sequences: &[u32]) {
        let group = queues.begin(false);
        for sequence in sequences {
            queues.send(group, id(*sequence), QUEUE);
        }
        assert_eq!(queues.confirm(group), None);
    }

    fn kinds(queues: &mut Queues) -> Vec<Kind> {
        queues.judge().into_iter().map(|(kind, _)| kind).collect()
    }

    #[test]
    fn what_was_confirmed_waits_for_its_settlement_and_does_not_come_after_it() {
        let mut queues = Queues::default();
        confirmed(&mut queues, &[1]);
        assert_eq!(queues.outstanding(), 1);
        assert_eq!(take(&mut queues, 1, false), None);
        let group = queues.begin(false);
        queues.settle(group, id(1));
        assert_eq!(queues.outstanding(), 2);
        assert_eq!(queues.confirm(group), None);
        assert_eq!(queues.outstanding(), 0);
        assert_eq!(kinds(&mut queues), []);
        assert_eq!(take(&mut queues, 1, true), Some(Kind::Undone));
    }

    #[test]
    fn what_does_not_come_is_missing_unless_its_settlement_may_have_arrived() {
        let mut queues = Queues::default();
        confirmed(&mut queues, &[1, 2]);
        let group = queues.begin(false);
        queues.settle(group, id(1));
        queues.give_up(group);
        assert_eq!(kinds(&mut queues), [Kind::Lost]);
    }

    #[test]
    fn what_comes_again_is_marked_and_the_rest_keeps_its_order() {
        let mut queues = Queues::default();
        confirmed(&mut queues, &[1, 2, 3]);
        assert_eq!(take(&mut queues, 1, false), None);
        assert_eq!(take(&mut queues, 1, false), Some(Kind::Duplicate));
        assert_eq!(take(&mut queues, 3, false), None);
        assert_eq!(take(&mut queues, 1, true), None);
        assert_eq!(take(&mut queues, 2, false), Some(Kind::OutOfOrder));
        assert_eq!(take(&mut queues, 9, false), Some(Kind::Unpublished));
    }

    #[test]
    fn what_a_lost_connection_has_sent_may_be_late_unless_it_was_confirmed() {
        for (confirms, connects, wrong) in [
            (false, true, None),
            (true, true, Some(Kind::OutOfOrder)),
            (false, false, Some(Kind::OutOfOrder)),
        ] {
            let mut queues = Queues::default();
            queues.connect(1, 1);
            let group = queues.begin(false);
            queues.send(group, id(1), QUEUE);
            if confirms {
                assert_eq!(queues.confirm(group), None);
            }
            queues.give_up(group);
            if connects {
                queues.connect(1, 2);
            }
            confirmed(&mut queues, &[2]);
            assert_eq!(take(&mut queues, 2, false), None);
            assert_eq!(take(&mut queues, 1, false), wrong);
        }
    }

    #[test]
    fn a_transaction_is_seen_whole_and_not_before_its_commit() {
        let mut queues = Queues::default();
        let group = queues.begin(true);
        queues.send(group, id(1), QUEUE);
        queues.send(group, id(2), QUEUE);
        assert_eq!(take(&mut queues, 1, false), Some(Kind::Unpublished));
        queues.commit(group);
        assert_eq!(take(&mut queues, 1, true), None);
        queues.give_up(group);
        queues.cut_off();
        assert_eq!(kinds(&mut queues), [], "it was shown, and may not have been kept");
        let group = queues.begin(true);
        queues.send(group, id(4), QUEUE);
        queues.send(group, id(5), QUEUE);
        queues.commit(group);
        queues.give_up(group);
        queues.cut_off();
        assert_eq!(take(&mut queues, 4, true), None);
        assert_eq!(kinds(&mut queues), [Kind::Torn]);
        let group = queues.begin(true);
        queues.send(group, id(6), QUEUE);
        queues.send(group, id(7), QUEUE);
        queues.commit(group);
        assert_eq!(take(&mut queues, 6, true), None);
        queues.give_up(group);
        assert_eq!(kinds(&mut queues), [Kind::Torn], "nothing was cut off: what was shown is there");
        let aborted = queues.begin(true);
        queues.send(aborted, id(3), QUEUE);
        queues.give_up(aborted);
        assert_eq!(kinds(&mut queues), []);
        assert_eq!(take(&mut queues, 3, false), Some(Kind::Unpublished));
    }

    #[test]
    fn what_comes_after_its_acknowledgement_says_that_this_was_not_done() {
        let mut queues = Queues::default();
        confirmed(&mut queues, &[1, 2]);
        let acknowledgement = queues.begin(false);
        queues.settle(acknowledgement, id(1));
        assert_eq!(take(&mut queues, 1, true), None);
        assert_eq!(queues.confirm(acknowledgement).map(|(kind, _)| kind), Some(Kind::Undone));
        let moved = queues.begin(true);
        queues.settle(moved, id(2));
        queues.send(moved, id(3), QUEUE);
        queues.commit(moved);
        queues.give_up(moved);
        assert_eq!(take(&mut queues, 3, false), None);
        assert_eq!(take(&mut queues, 2, true), None);
        assert_eq!(kinds(&mut queues), [Kind::Lost, Kind::Lost, Kind::Torn]);
    }

    #[test]
    fn what_is_not_answered_is_found() {
        let mut queues = Queues::default();
        let group = queues.begin(false);
        queues.send(group, id(1), QUEUE);
        assert_eq!(kinds(&mut queues), [Kind::Unanswered]);
    }
    #[test]
    fn nothing_is_late_over_the_end_of_a_run() {
        for (ends, wrong) in [(false, None), (true, Some(Kind::OutOfOrder))] {
            let mut queues = Queues::default();
            queues.connect(1, 1);
            let group = queues.begin(false);
            queues.send(group, id(1), QUEUE);
            queues.give_up(group);
            if ends {
                queues.cut_off();
            }
            queues.connect(1, 2);
            confirmed(&mut queues, &[2]);
            assert_eq!(take(&mut queues, 2, false), None);
            assert_eq!(take(&mut queues, 1, false), wrong);
        }
    }

    #[test]
    fn what_was_refused_is_not_waited_for_and_does_not_come() {
        let mut queues = Queues::default();
        queues.connect(1, 1);
        let group = queues.begin(false);
        queues.send(group, id(1), QUEUE);
        queues.refuse(group);
        // The end of its connection makes it no less refused.
        queues.give_up(group);
        assert_eq!((queues.outstanding(), kinds(&mut queues)), (0, vec![]));
        assert_eq!(take(&mut queues, 1, false), Some(Kind::Unpublished));
    }

    /// It had been on its way to a consumer when the broker was killed, and was heard after the next one began.
    #[test]
    fn what_is_heard_late_was_not_kept_for_that() {
        for (run, torn) in [(0, vec![]), (1, vec![Kind::Torn])] {
            let mut queues = Queues::default();
            let group = queues.begin(true);
            queues.send(group, id(1), QUEUE);
            queues.send(group, id(2), QUEUE);
            queues.commit(group);
            queues.give_up(group);
            queues.cut_off();
            assert_eq!(take_in(&mut queues, run, 1, false), None);
            assert_eq!(kinds(&mut queues), torn);
        }
    }
}
