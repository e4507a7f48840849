//! A message on its way through one turn: borrowed as long as nobody keeps it, shared from then on.

use std::borrow::Cow;

use mynah_model::{Message, MessageView, Topic};

/// A message that is being distributed. The copy that can be kept is made for the first who keeps it.
pub(crate) struct Item<'m> {
    view: MessageView<'m>,
    message: Option<Cow<'m, Message>>,
    /// Where it goes, if not to its own topic.
    address: Option<Topic<'m>>,
    /// Somebody may have got it before a crash.
    again: bool,
}

impl<'m> Item<'m> {
    /// A message that lies in somebody's bytes.
    pub(crate) const fn borrowed(view: MessageView<'m>) -> Self {
        Self { view, message: None, address: None, again: false }
    }

    /// The same, which goes to this topic, if one is given, rather than to its own.
    pub(crate) const fn addressed(view: MessageView<'m>, address: Option<Topic<'m>>) -> Self {
        Self { view, message: None, address, again: false }
    }

    /// A message that is shared already.
    pub(crate) fn shared(message: &'m Message) -> Self {
        Self { view: message.view(), message: Some(Cow::Borrowed(message)), address: None, again: false }
    }

    pub(crate) const fn view(&self) -> MessageView<'m> {
        self.view
    }

    pub(crate) const fn is_again(&self) -> bool {
        self.again
    }

    /// What is done for it was begun before a crash, or was not.
    pub(crate) const fn set_again(&mut self, again: bool) {
        self.again = again;
    }

    /// The topic that it goes to, if that is not its own.
    pub(crate) const fn address(&self) -> Option<Topic<'m>> {
        self.address
    }

    /// The topic whose subscribers get it.
    #[inline]
    pub(crate) fn topic(&self) -> Topic<'m> {
        self.address.unwrap_or_else(|| self.view.topic())
    }

    /// The message, to be kept by who clones it.
    pub(crate) fn message(&mut self) -> &Message {
        self.message.get_or_insert_with(|| Cow::Owned(self.view.to_message()))
    }
}
