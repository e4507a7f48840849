//! Messages that groups share. Which member gets one is the broker's choice: the model sees it when the message is
//! written to a connection, and says whether it might be.

use std::rc::Rc;

use mynah_model::{Class, Instant};

use super::session::remaining;
use super::{Publication, Violation, label, violation};

/// A session, by its client and incarnation.
pub(crate) type Who = (usize, u64);

/// A message that a group is to get once.
pub(crate) struct Owed {
    pub(crate) publication: Rc<Publication>,
    share: &'static str,
    /// The connection that published it.
    pub(crate) publisher: usize,
    at: u64,
    pub(crate) deadline: Option<Instant>,
    /// Every member was online then.
    all_online: bool,
    holder: Option<Holder>,
    /// It was settled, or is of QoS 0 and was sent.
    is_done: bool,
    /// It may be lost: there was nobody left who could have got it.
    excused: bool,
}

struct Holder {
    who: Who,
    class: Class,
}

/// A message of a group that is written to a connection.
pub(crate) struct Sent<'s> {
    pub(crate) who: Who,
    pub(crate) share: &'static str,
    pub(crate) class: Class,
    pub(crate) payload: &'s [u8],
    pub(crate) again: bool,
    /// Seconds that the member is told to remain, and when.
    pub(crate) remaining: Option<u32>,
    pub(crate) now: Instant,
}

/// Everything that groups are owed.
#[derive(Default)]
pub(crate) struct Shares {
    owed: Vec<Owed>,
    /// When the members of any group, or their connections, changed last.
    changed_at: u64,
}

impl Shares {
    /// Members have come or gone, or their connections.
    pub(crate) fn change(&mut self, now: u64) {
        self.changed_at = now;
    }

    /// A group is to get a message.
    pub(crate) fn owe(
        &mut self,
        share: &'static str,
        publication: &Rc<Publication>,
        (publisher, at): (usize, u64),
        deadline: Option<Instant>,
        all_online: bool,
    ) {
        let (publication, is_done, excused) = (Rc::clone(publication), false, false);
        let holder = None;
        self.owed.push(Owed {
            publication,
            share,
            publisher,
            at,
            deadline,
            all_online,
            holder,
            is_done,
            excused,
        });
    }

    /// A message is written to a member. Returns which one it is if the member has it for the first time.
    pub(crate) fn send(&mut self, sent: &Sent<'_>) -> Result<Option<usize>, Violation> {
        let mut wrong = "is not owed to the group";
        for at in 0..self.owed.len() {
            let owed = &self.owed[at];
            if owed.share != sent.share || owed.publication.payload != sent.payload {
                continue;
            }
            let holder = owed.holder.as_ref().map(|holder| holder.who);
            wrong = match holder {
                _ if owed.is_done => "comes again, although it was settled",
                Some(who) if who != sent.who => "goes to two members",
                Some(_) if !sent.again => "comes twice to one member",
                None if sent.again => "comes again to a member that no longer holds it",
                _ if !self.is_told_rightly(at, sent) => "is told a wrong remaining time",
                Some(_) => return Ok(None),
                None if self.overtakes(at, sent.who) => "overtakes what was published before it",
                None => {
                    let owed = &mut self.owed[at];
                    owed.holder = Some(Holder { who: sent.who, class: sent.class });
                    owed.is_done = !sent.class.is_confirmed();
                    return Ok(Some(at));
                }
            };
        }
        violation(format!("`{}` of {} {wrong}", label(sent.payload), sent.share))
    }

    /// Whether a member is told what remains of the time. Of twins the model may have given the one to the other's
    /// member: then they change their deadlines.
    fn is_told_rightly(&mut self, at: usize, sent: &Sent<'_>) -> bool {
        let is_told = |owed: &Owed| remaining(owed.deadline, sent.now) == sent.remaining;
        if is_told(&self.owed[at]) {
            return true;
        }
        let twin =
            (0..self.owed.len()).find(|&other| self.are_twins(at, other) && is_told(&self.owed[other]));
        let Some(twin) = twin else { return false };
        let deadline = self.owed[twin].deadline;
        self.owed[twin].deadline = core::mem::replace(&mut self.owed[at].deadline, deadline);
        true
    }

    /// Whether the member has got a later message of the same publisher, while nothing changed in any group.
    fn overtakes(&self, at: usize, who: Who) -> bool {
        let one = &self.owed[at];
        let is_calm = |owed: &Owed| owed.all_online && owed.at > self.changed_at;
        let is_later = |other: &Owed| {
            other.share == one.share
                && other.publisher == one.publisher
                && other.publication.class == one.publication.class
                && other.publication.topic == one.publication.topic
                && other.holder.as_ref().is_some_and(|holder| holder.who == who)
        };
        let mut later = (at + 1..self.owed.len()).filter(|&other| is_later(&self.owed[other]));
        is_calm(one) && !self.has_twin(at) && later.any(|other| !self.has_twin(other))
    }

    /// Whether a publication was sent again and taken in twice: which is which cannot be seen.
    fn has_twin(&self, at: usize) -> bool {
        (0..self.owed.len()).any(|other| other != at && self.are_twins(at, other))
    }

    fn are_twins(&self, at: usize, other: usize) -> bool {
        let (one, other) = (&self.owed[at], &self.owed[other]);
        one.share == other.share && Rc::ptr_eq(&one.publication, &other.publication)
    }

    pub(crate) fn get(&self, at: usize) -> &Owed {
        &self.owed[at]
    }

    /// A member has settled a message.
    pub(crate) fn settle(&mut self, at: usize) {
        self.owed[at].is_done = true;
    }

    /// A session has lost its connection, or its life: what it has not settled goes to another member, if `has_other`
    /// knows of one. Returns what it does not hold any more.
    pub(crate) fn withdraw(
        &mut self,
        who: Who,
        has_ended: bool,
        has_other: impl Fn(&'static str) -> bool,
    ) -> Vec<usize> {
        let mut withdrawn = Vec::new();
        for (at, owed) in self.owed.iter_mut().enumerate().filter(|(_, owed)| !owed.is_done) {
            let Some(holder) = owed.holder.as_ref().filter(|holder| holder.who == who) else { continue };
            if holder.class != Class::ExactlyOnce && has_other(owed.share) {
                owed.holder = None;
                withdrawn.push(at);
            } else if has_ended {
                owed.excused = true;
            }
        }
        withdrawn
    }

    /// A group has no members: what nobody holds may be lost.
    pub(crate) fn dissolve(&mut self, share: &'static str) {
        for owed in self.owed.iter_mut().filter(|owed| owed.share == share && !owed.is_done) {
            owed.excused = true;
        }
    }

    /// How many messages of QoS 0 were not sent to anybody.
    pub(crate) fn unsent(&self) -> u64 {
        let is_unsent = |owed: &&Owed| !owed.publication.class.is_confirmed() && !owed.is_done;
        self.owed.iter().filter(is_unsent).count() as u64
    }

    /// How many messages of QoS 0 were owed, of which some may have met a member without a connection.
    pub(crate) fn unconfirmed(&self) -> u64 {
        self.owed.iter().filter(|owed| !owed.publication.class.is_confirmed()).count() as u64
    }

    /// Checks that everything was settled that had to be, at the end.
    pub(crate) fn check_end(&self, clock: Instant) -> Result<(), Violation> {
        let is_due = |owed: &Owed| {
            owed.publication.class.is_confirmed()
                && !owed.excused
                && owed.deadline.is_none_or(|deadline| deadline > clock)
        };
        for lost in self.owed.iter().filter(|owed| is_due(owed) && !owed.is_done) {
            // What was taken in twice cannot be told apart: as many have to be settled as are due.
            let twins = || {
                let is_it = |other: &&Owed| {
                    other.share == lost.share && Rc::ptr_eq(&other.publication, &lost.publication)
                };
                self.owed.iter().filter(is_it)
            };
            if twins().filter(|owed| owed.is_done).count() < twins().filter(|owed| is_due(owed)).count() {
                return violation(format!("{} is lost to {}", lost.publication.name(), lost.share));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: &str = "$share/g/s/#";

    fn shares(class: u8) -> Shares {
        let mut shares = Shares::default();
        for (at, payload) in [(1, b"one"), (2, b"two")] {
            let publication = Publication::new("s/1", payload.to_vec(), class, false, None);
            shares.owe(SHARE, &publication, (0, at), None, true);
        }
        shares
    }

    fn send(shares: &mut Shares, who: usize, payload: &str, again: bool) -> Result<Option<usize>, String> {
        let class = shares.owed[0].publication.class;
        let sent = Sent {
            who: (who, 1),
            share: SHARE,
            class,
            payload: payload.as_bytes(),
            again,
            remaining: None,
            now: Instant::ZERO,
        };
        shares.send(&sent).map_err(|Violation(text)| text)
    }

    fn assert_says<T: std::fmt::Debug>(result: Result<T, String>, words: &str) {
        assert!(result.as_ref().is_err_and(|text| text.contains(words)), "{result:?}");
    }

    #[test]
    fn a_message_goes_to_one_member_and_to_another_only_from_a_lost_one() {
        let mut shares = shares(1);
        assert_eq!(send(&mut shares, 3, "one", false), Ok(Some(0)));
        assert_says(send(&mut shares, 4, "one", false), "goes to two members");
        assert!(shares.withdraw((3, 1), false, |_| false).is_empty());
        assert_eq!(shares.withdraw((3, 1), false, |_| true), [0]);
        assert_says(send(&mut shares, 3, "one", true), "no longer holds it");
        assert_eq!(send(&mut shares, 4, "one", false), Ok(Some(0)));
        shares.settle(0);
        assert_says(send(&mut shares, 3, "one", false), "although it was settled");
        let end = shares.check_end(Instant::ZERO).map_err(|Violation(text)| text);
        assert_says(end, "`two` to s/1 (QoS 1) is lost");
        shares.dissolve(SHARE);
        assert_eq!(shares.check_end(Instant::ZERO), Ok(()));
    }

    /// A publication that was taken in twice is told by what remains of its time, as far as seconds say it.
    #[test]
    fn twins_may_go_to_each_other_s_members() {
        let mut shares = Shares::default();
        let publication = Publication::new("s/1", b"one".to_vec(), 1, false, Some(2));
        for taken_in in [4_250_000, 4_410_000] {
            let deadline = publication.deadline(Instant::from_micros(taken_in));
            shares.owe(SHARE, &publication, (0, taken_in), deadline, true);
        }
        let mut send = |who, now, remaining| {
            let (now, again) = (Instant::from_micros(now), false);
            let (share, class, payload) = (SHARE, publication.class, &b"one"[..]);
            let sent = Sent { who: (who, 1), share, class, payload, again, remaining: Some(remaining), now };
            shares.send(&sent).map_err(|Violation(text)| text)
        };
        // Both have two seconds then; a second later the earlier one has less than a second.
        assert_eq!(send(3, 4_410_000, 2), Ok(Some(0)));
        assert_says(send(4, 5_280_000, 3), "a wrong remaining time");
        assert_eq!(send(4, 5_280_000, 1), Ok(Some(1)));
    }

    #[test]
    fn exactly_once_stays_where_it_was_sent() {
        let mut shares = shares(2);
        assert_eq!(send(&mut shares, 3, "one", false), Ok(Some(0)));
        assert!(shares.withdraw((3, 1), true, |_| true).is_empty());
        assert_says(send(&mut shares, 4, "one", false), "goes to two members");
    }

    #[test]
    fn order_is_kept_while_nothing_changes() {
        let mut shares = shares(1);
        assert_eq!(send(&mut shares, 3, "two", false), Ok(Some(1)));
        assert_says(send(&mut shares, 3, "one", false), "overtakes");
        shares.change(1);
        assert_eq!(send(&mut shares, 3, "one", false), Ok(Some(0)));
    }
}
