//! What an heir hears of those who vanish: the will of each connection that ended without a word of leave comes once,
//! also if it was the broker that vanished; that of one which took its leave does not. Connections have no order.

use std::collections::BTreeMap;

use mynah_crash::ledger::{Kind, Violation};
use mynah_crash::payload::{self, MessageId};

/// What the heir subscribes to, with QoS 2.
pub(super) const FILTER: &str = "will/#";
/// How the topics of wills begin.
pub(super) const TOPIC: &str = "will/";

/// What is known of a connection with a will.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// It may have been let in or not.
    #[default]
    Asked,
    /// It was let in, and goes on.
    Open,
    /// It is over without a word of leave: the will has to come.
    Vanished,
    /// It has taken leave. The broker may not have heard, or not have noted it, before an outage.
    Left,
    /// It may have been let in, and is over: the will may come.
    Doubtful,
    /// The broker knows that leave was taken: the will must not come.
    Revoked,
}

#[derive(Debug, Default)]
struct Will {
    state: State,
    came: u32,
}

/// The book of the wills, which are known by client and connection.
#[derive(Debug, Default)]
pub(super) struct Wills {
    /// The heir waits.
    is_awaited: bool,
    wills: BTreeMap<MessageId, Will>,
    /// Wills that came.
    pub(super) arrivals: u64,
    violations: Vec<(Kind, String)>,
}

impl Wills {
    pub(super) const fn awaited(&mut self) {
        self.is_awaited = true;
    }

    pub(super) const fn is_awaited(&self) -> bool {
        self.is_awaited
    }

    /// A connection with a will is asked for.
    pub(super) fn ask(&mut self, id: MessageId) {
        self.wills.insert(id, Will::default());
    }

    /// A connection was let in. Whoever left before it has left.
    pub(super) fn confirm(&mut self, id: MessageId) {
        let earlier = MessageId { sequence: 0, ..id }..id;
        for (_, will) in self.wills.range_mut(earlier).filter(|(_, will)| will.state == State::Left) {
            will.state = State::Revoked;
        }
        self.change(id, State::Asked, State::Open);
    }

    /// The connection is over without a word of leave.
    pub(super) fn vanish(&mut self, id: MessageId) {
        self.change(id, State::Asked, State::Doubtful);
        self.change(id, State::Open, State::Vanished);
    }

    /// The connection takes its leave.
    pub(super) fn leave(&mut self, id: MessageId) {
        self.change(id, State::Asked, State::Doubtful);
        self.change(id, State::Open, State::Left);
    }

    /// The broker vanishes, and with it all connections.
    pub(super) fn cut_off(&mut self) {
        for will in self.wills.values_mut() {
            will.state = match will.state {
                State::Asked | State::Left => State::Doubtful,
                State::Open => State::Vanished,
                state => state,
            };
        }
    }

    fn change(&mut self, id: MessageId, from: State, to: State) {
        if let Some(will) = self.wills.get_mut(&id).filter(|will| will.state == from) {
            will.state = to;
        }
    }

    /// A will came to the heir.
    pub(super) fn arrive(&mut self, topic: &str, bytes: &[u8]) {
        self.arrivals += 1;
        let id = payload::decode(bytes, topic);
        let Some(will) = id.and_then(|id| self.wills.get_mut(&id)) else {
            return self.violations.push((Kind::Unpublished, format!("{topic} brought what is no will")));
        };
        will.came += 1;
    }

    /// How many wills are outstanding.
    pub(super) fn outstanding(&self) -> usize {
        self.wills.values().filter(|will| will.state == State::Vanished && will.came == 0).count()
    }

    /// Everything had time to come.
    pub(super) fn settle(&mut self, cycle: u32) -> Vec<Violation> {
        let judge = |(id, will): (&MessageId, &Will)| {
            let kind = match (will.state, will.came) {
                (State::Vanished, 0) => Kind::Missing,
                (State::Revoked | State::Left | State::Open, 1..) => Kind::Unpublished,
                (_, 2..) => Kind::Duplicate,
                _ => return None,
            };
            let MessageId { producer, sequence } = id;
            let line = format!(
                "the will of connection {sequence} of client {producer} ({:?}) came {} times",
                will.state, will.came
            );
            Some((kind, line))
        };
        let found = self.wills.iter().filter_map(judge);
        let all = core::mem::take(&mut self.violations).into_iter().chain(found);
        all.map(|(kind, line)| Violation { kind, cycle, line }).collect()
    }
}
