//! COMMIT: what a transaction holds becomes one command.

use alloc::vec::Vec;

use mynah_stack::Outbound;

use super::ServerConnection;
use super::established::Received;
use super::prepared::Todo;
use crate::Error;
use crate::flow::Held;
use crate::wire::Bracket;

impl ServerConnection {
    pub(super) fn receive_commit<'b>(
        &mut self,
        bracket: &Bracket<'_>,
        receipt: Option<&str>,
        out: &mut Outbound,
    ) -> Result<Received<'b>, Error> {
        let all = self.session.transactions.end(&bracket.transaction)?;
        let (mut publications, mut settlements, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
        for held in all {
            match held {
                Held::Publish(publish) => publications.push(publish),
                Held::Settle { subscription, lease, settlement } => {
                    settlements.extend(self.settle(subscription, lease, settlement));
                    numbers.push(subscription);
                }
            }
        }
        if publications.is_empty() && settlements.is_empty() {
            self.say_receipt(receipt, out);
            return Ok(Received::Answered);
        }
        let number = u32::from(self.session.answers.wait(receipt));
        self.session.todo.push_back(Todo::Commit { receipt: number, publications, settlements });
        numbers.sort_unstable();
        numbers.dedup();
        for number in numbers {
            self.top_up(number);
        }
        Ok(Received::Answered)
    }
}
