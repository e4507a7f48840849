//! Frames whose answer waits for the broker, and what the answers are.

use alloc::boxed::Box;
use alloc::vec::Vec;

use mynah_model::Reason;
use mynah_stack::{Outbound, Outcome, QueueOutcome, Refusal};

use super::ServerConnection;

/// Frames that wait. A number names one that wants a receipt; those that want none share the number 0.
#[derive(Debug, Default)]
pub(super) struct Answers {
    waiting: Vec<Option<Box<str>>>,
    free: Vec<u16>,
    under_way: usize,
}

impl Answers {
    /// How many wait.
    pub(super) const fn under_way(&self) -> usize {
        self.under_way
    }

    /// Notes one more, and gives its number.
    pub(super) fn wait(&mut self, receipt: Option<&str>) -> u16 {
        self.under_way += 1;
        let Some(receipt) = receipt else { return 0 };
        if let Some(number) = self.free.pop() {
            self.waiting[usize::from(number) - 1] = Some(receipt.into());
            return number;
        }
        self.waiting.push(Some(receipt.into()));
        // As many as may wait have a number, see [`crate::Settings::unanswered_max`].
        u16::try_from(self.waiting.len()).unwrap_or(0)
    }

    /// Notes that one is answered, and gives its receipt.
    pub(super) fn end(&mut self, number: u16) -> Option<Box<str>> {
        self.under_way = self.under_way.saturating_sub(1);
        let place = usize::from(number).checked_sub(1)?;
        let receipt = self.waiting.get_mut(place)?.take()?;
        self.free.push(number);
        Some(receipt)
    }
}

impl ServerConnection {
    pub(super) fn handle_open_outcome(&mut self, outcome: Outcome<'_>, out: &mut Outbound) {
        match outcome {
            Outcome::Published { receipt, class, result } => {
                // Of those that nobody counts nothing waits but the refusal.
                let is_counted = receipt != 0 || class.is_confirmed();
                let receipt = if is_counted { self.session.answers.end(receipt) } else { None };
                match result {
                    Ok(_) => self.say_receipt(receipt.as_deref(), out),
                    Err(reason) => self.refuse(reason, "", receipt.as_deref(), out),
                }
            }
            Outcome::Subscribed { results, .. } => {
                let refused = results.iter().find_map(|result| result.err());
                self.go_on(refused.map_or(Ok(()), |reason| Err(Refusal { reason, detail: "" })), out);
            }
            Outcome::Unsubscribed { .. } => self.go_on(Ok(()), out),
            Outcome::Queue(outcome) => self.handle_queue_outcome(outcome, out),
            // Nothing of this is asked for, and the end is handled for all states.
            Outcome::Opened(_)
            | Outcome::Challenge(_)
            | Outcome::Authenticated(_)
            | Outcome::Completed { .. }
            | Outcome::Received { .. }
            | Outcome::Value(_)
            | Outcome::Ended(_) => {}
        }
    }

    fn handle_queue_outcome(&mut self, outcome: QueueOutcome<'_>, out: &mut Outbound) {
        match outcome {
            QueueOutcome::Declared { result, .. } => match result {
                Ok(declared) => self.go_on_with(declared.name, out),
                Err(refusal) => self.go_on(Err(refusal), out),
            },
            QueueOutcome::Bound { result, .. } | QueueOutcome::Consuming { result, .. } => {
                self.go_on(result, out);
            }
            QueueOutcome::Deleted { result, .. } => {
                // A durable subscription that is not there is as good as ended.
                let result = result.map(|_| ()).or_else(|refusal| match refusal.reason {
                    Reason::NotFound => Ok(()),
                    _ => Err(refusal),
                });
                self.go_on(result, out);
            }
            QueueOutcome::Cancelled(_) => self.go_on(Ok(()), out),
            QueueOutcome::ConsumerEnded { consumer, reason } => {
                if self.session.subscriptions.by_number(consumer.0).is_some() {
                    self.refuse(reason, "a subscription was ended by the server", None, out);
                }
            }
            QueueOutcome::Drained(_) | QueueOutcome::Held { .. } => {} // not asked for
            QueueOutcome::Settled { receipt } => {
                let receipt = self.session.answers.end(u16::try_from(receipt).unwrap_or(0));
                self.say_receipt(receipt.as_deref(), out);
            }
            QueueOutcome::Committed { receipt, result, .. } => {
                let receipt = self.session.answers.end(u16::try_from(receipt).unwrap_or(0));
                match result {
                    Ok(()) => self.say_receipt(receipt.as_deref(), out),
                    Err(refusal) => self.refuse(refusal.reason, refusal.detail, receipt.as_deref(), out),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_used_again_once_they_are_answered() {
        let mut answers = Answers::default();
        assert_eq!([answers.wait(Some("a")), answers.wait(None), answers.wait(Some("b"))], [1, 0, 2]);
        assert_eq!(answers.under_way(), 3);
        assert_eq!(answers.end(1).as_deref(), Some("a"));
        assert_eq!(answers.end(0), None);
        assert_eq!(answers.wait(Some("c")), 1);
        assert_eq!((answers.end(2).as_deref(), answers.end(1).as_deref()), (Some("b"), Some("c")));
        assert_eq!((answers.end(9), answers.under_way()), (None, 0));
    }
}
