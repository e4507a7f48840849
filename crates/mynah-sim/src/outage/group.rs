//! What members of a group share: each message that was acknowledged comes to one of them, once.

use std::collections::BTreeMap;

use mynah_crash::ledger::{Kind, Violation};
use mynah_crash::payload::{self, MessageId};

/// How the topics begin that the group shares.
pub(super) const TOPIC: &str = "shared/";
/// What its members subscribe to, with QoS 2.
pub(super) const FILTER: &str = "$share/group/shared/#";

#[derive(Default)]
struct Message {
    is_acknowledged: bool,
    came: u32,
}

/// The book of the group.
#[derive(Default)]
pub(super) struct Group {
    /// Somebody is a member.
    is_formed: bool,
    /// What was published since, with QoS 2, and is not known to be over.
    messages: BTreeMap<MessageId, Message>,
    /// Messages that came.
    pub(super) arrivals: u64,
}

impl Group {
    pub(super) const fn joined(&mut self) {
        self.is_formed = true;
    }

    /// A message is about to be sent for the first time.
    pub(super) fn attempt(&mut self, id: MessageId) {
        if self.is_formed {
            self.messages.insert(id, Message::default());
        }
    }

    pub(super) fn acknowledge(&mut self, id: MessageId) {
        if let Some(message) = self.messages.get_mut(&id) {
            message.is_acknowledged = true;
        }
    }

    /// Nothing is expected of a message any more.
    pub(super) fn give_up(&mut self, id: MessageId) {
        self.messages.remove(&id);
    }

    /// A message came to a member.
    pub(super) fn arrive(&mut self, topic: &str, payload: &[u8]) {
        self.arrivals += 1;
        let id = payload::decode(payload, topic);
        if let Some(message) = id.and_then(|id| self.messages.get_mut(&id)) {
            message.came += 1;
        }
    }

    /// How many messages are outstanding.
    pub(super) fn outstanding(&self) -> usize {
        self.messages.values().filter(|message| !message.is_acknowledged || message.came == 0).count()
    }

    /// Everything had time to come.
    pub(super) fn settle(&mut self, cycle: u32) -> Vec<Violation> {
        let judge = |(id, message): (&MessageId, &Message)| {
            let kind = match message.came {
                _ if !message.is_acknowledged => Kind::Unanswered,
                0 => Kind::Missing,
                1 => return None,
                _ => Kind::Duplicate,
            };
            Some(Violation { kind, cycle, line: format!("{id} came {} times to the group", message.came) })
        };
        self.messages.iter().filter_map(judge).collect()
    }
}
