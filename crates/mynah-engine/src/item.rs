//! A message on its way through one turn: borrowed as long as nobody keeps it, shared from then on.

use mynah_model::{Message, MessageView};

/// A message that is being distributed. The copy that can be kept is made for the first who keeps it.
pub(crate) struct Item<'m> {
    view: MessageView<'m>,
    message: Option<Message>,
}

impl<'m> Item<'m> {
    /// A message that lies in somebody's bytes.
    pub(crate) const fn borrowed(view: MessageView<'m>) -> Self {
        Self { view, message: None }
    }

    /// A message that is shared already.
    pub(crate) fn shared(message: &'m Message) -> Self {
        Self { view: message.view(), message: Some(message.clone()) }
    }

    pub(crate) const fn view(&self) -> MessageView<'m> {
        self.view
    }

    /// The message, to be kept by who clones it.
    pub(crate) fn message(&mut self) -> &Message {
        self.message.get_or_insert_with(|| self.view.to_message())
    }
}
