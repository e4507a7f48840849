//! Commands about a topic or a filter: options spell its segments one by one, so the name is the command's own.

use alloc::boxed::Box;
use alloc::vec::Vec;

use mynah_model::{Filter, SubscriptionOptions, Topic};
use mynah_stack::{
    Command, Hold, Holder, Holding, Prepared, QueueCommand, Subscribe, SubscribeRequest, Unsubscribe,
    UnsubscribeRequest,
};

/// A command with its name.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) request: NamedRequest,
    /// Canonical bytes of the topic or filter, or the name of a queue.
    pub(super) name: Vec<u8>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum NamedRequest {
    Read,
    Subscribe { receipt: u16, options: SubscriptionOptions },
    Unsubscribe { receipt: u16 },
    Hold { receipt: u16, holder: Holder, holding: Holding },
}

impl Prepared for Named {
    fn command(&mut self) -> Command<'_> {
        let (filter, share) = (Filter::from_checked(&self.name), None);
        match self.request {
            NamedRequest::Read => Command::Read(Topic::from_checked(&self.name)),
            NamedRequest::Subscribe { receipt, options } => {
                let requests = Vec::from([Ok(SubscribeRequest { filter, share, options })]);
                Command::Subscribe(Subscribe { receipt, requests })
            }
            NamedRequest::Unsubscribe { receipt } => {
                let requests = Vec::from([UnsubscribeRequest { filter, share }]);
                Command::Unsubscribe(Unsubscribe { receipt, requests })
            }
            NamedRequest::Hold { receipt, holder, holding } => {
                let (receipt, queue) = (receipt.into(), &*self.name);
                let hold = Hold { receipt, queue, holder, holding };
                Command::Queue(QueueCommand::Hold(Box::new(hold)))
            }
        }
    }
}
