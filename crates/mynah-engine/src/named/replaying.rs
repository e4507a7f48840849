//! Retained values that a queue gets when a filter of the topic space is attached to it, if whoever does that asks for them: some
//! of them in each turn. They come behind what the queue has; what changes meanwhile comes live. The answer waits for the
//! last of them, and that the filter is attached is stored behind them.

use mynah_core::{Cursor, SessionRef};
use mynah_model::{Argument, Filter, Instant, Reason, RetainHandling};

use super::keeping::QueueNote;
use super::request::{Asker, Fault, Reply};
use crate::engine::Engine;
use crate::item::Item;
use crate::journal::Note;

/// The argument of a binding that asks for retained values: the numbers of MQTT 5.0 section 3.8.3.1.
const ARGUMENT: &str = "x-mqtt-retain-handling";
/// Values that a queue gets in one turn.
const VALUES: usize = 64;

/// Retained values on their way to a queue.
#[derive(Debug)]
pub(super) struct Replay {
    filter: Box<[u8]>,
    cursor: Cursor,
    asker: Asker,
    receipt: u32,
    /// That the filter is attached is not noted yet.
    is_new: bool,
}

/// Which retained values a binding asks for.
pub(super) fn retain_handling(arguments: &[(Box<str>, Argument)]) -> Result<RetainHandling, Fault> {
    match arguments.iter().find(|(name, _)| &**name == ARGUMENT).map(|(_, argument)| argument) {
        None | Some(Argument::Integer(2)) => Ok(RetainHandling::Never),
        Some(Argument::Integer(0)) => Ok(RetainHandling::EachTime),
        Some(Argument::Integer(1)) => Ok(RetainHandling::WhenNew),
        Some(_) => Err(Fault::new(Reason::PreconditionFailed, "x-mqtt-retain-handling has to be 0, 1 or 2")),
    }
}

impl Engine {
    /// Attaches a filter to a queue and, if it is to have them, gives it the values that match. Answers when that is done.
    pub(super) fn serve_attach(
        &mut self,
        now: Instant,
        asker: Asker,
        receipt: u32,
        (name, filter): (&[u8], Box<[u8]>),
        retained: RetainHandling,
    ) {
        let result = self.find_for(asker, name).and_then(|queue| {
            let is_new = self.attach_to_queue(queue, &filter)?;
            Ok((queue, is_new))
        });
        let (queue, is_new) = match result {
            Ok(attached) => attached,
            Err(fault) => return self.reply(now, asker, Reply::Bound { receipt, result: Err(fault) }),
        };
        let wants = match retained {
            RetainHandling::EachTime => true,
            RetainHandling::WhenNew => is_new,
            RetainHandling::Never => false,
        };
        let replay = Replay { filter, cursor: Cursor::default(), asker, receipt, is_new };
        let matching = Filter::from_checked(&replay.filter);
        if !wants || !self.shared.read_retained().may_match(asker.tenant, matching) {
            return self.end_replay(now, queue, replay);
        }
        if let Some(owned) = self.lane.queues.get_mut(queue) {
            owned.replays.push(replay);
        }
        self.lane.queues.list(queue);
    }

    /// Gives a queue some of the values that it is to have. Returns whether there are more.
    pub(super) fn replay_to_queue(&mut self, now: Instant, queue: SessionRef) -> bool {
        let Some(owned) = self.lane.queues.get_mut(queue) else { return false };
        let tenant = owned.tenant;
        let Some(replay) = owned.replays.last_mut() else { return false };
        let mut found = Vec::new();
        // Whoever has undone the binding meanwhile wants nothing more.
        let more = owned.filters.contains(&replay.filter) && {
            let filter = Filter::from_checked(&replay.filter);
            let retained = self.shared.read_retained();
            retained.page(tenant, filter, &mut replay.cursor, VALUES, now, &mut found)
        };
        let done = if more { None } else { owned.replays.pop() };
        self.lane.journal.begin();
        for message in &found {
            self.lane.enqueue_named(now, queue, &mut Item::shared(message));
        }
        if let Some(replay) = done {
            self.end_replay(now, queue, replay);
        }
        true
    }

    fn end_replay(&mut self, now: Instant, queue: SessionRef, replay: Replay) {
        let Replay { filter, asker, receipt, is_new, .. } = replay;
        let is_to_be_noted = |queue: &super::table::Owned| {
            let is_awaited = || queue.replays.iter().any(|other| other.is_new && other.filter == filter);
            queue.stored && queue.filters.contains(&filter) && (is_new || is_awaited())
        };
        if self.lane.queues.get(queue).is_some_and(is_to_be_noted) {
            self.lane.journal.note(Note::Queue(QueueNote::Filter(queue, filter, true)));
        }
        self.reply(now, asker, Reply::Bound { receipt, result: Ok(()) });
    }

    /// A queue is gone that was to have more values.
    pub(super) fn give_up_replays(&mut self, now: Instant, replays: Vec<Replay>) {
        for Replay { asker, receipt, .. } in replays {
            let result = Err(Fault::new(Reason::NotFound, "there is no queue of this name"));
            self.reply(now, asker, Reply::Bound { receipt, result });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_says_which_values_it_wants() {
        let said =
            |argument| retain_handling(&[("other".into(), Argument::Null), (ARGUMENT.into(), argument)]);
        assert_eq!(retain_handling(&[]), Ok(RetainHandling::Never));
        assert_eq!(said(Argument::Integer(0)), Ok(RetainHandling::EachTime));
        assert_eq!(said(Argument::Integer(1)), Ok(RetainHandling::WhenNew));
        assert_eq!(said(Argument::Integer(2)), Ok(RetainHandling::Never));
        for wrong in [Argument::Integer(3), Argument::Text("0".into()), Argument::Null] {
            assert_eq!(said(wrong).map_err(|fault| fault.reason), Err(Reason::PreconditionFailed));
        }
    }
}
