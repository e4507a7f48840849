//! Topic aliases (section 3.3.2.3.4): each end gives its own, for one connection, up to the other's maximum.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::num::NonZeroU16;

use mynah_model::Topic;

use crate::Violation;
use crate::mapping::TopicForm;

/// The topics that the other end has given aliases to.
#[derive(Debug, Default)]
pub(crate) struct InboundAliases {
    /// By alias, from 1; none are empty but those that were not given.
    topics: Vec<Box<[u8]>>,
}

impl InboundAliases {
    /// Lets an alias, at most `max`, stand for a topic from now on.
    ///
    /// # Errors
    /// The alias is larger ([MQTT-3.3.2-9]).
    pub(crate) fn set(&mut self, alias: NonZeroU16, topic: Topic<'_>, max: u16) -> Result<(), Violation> {
        if alias.get() > max {
            return Err(Violation::TopicAlias);
        }
        let at = usize::from(alias.get()) - 1;
        if self.topics.len() <= at {
            self.topics.resize_with(at + 1, Box::default);
        }
        if *self.topics[at] != *topic.as_bytes() {
            self.topics[at] = topic.as_bytes().into();
        }
        Ok(())
    }

    /// The topic that an alias stands for.
    pub(crate) fn get(&self, alias: NonZeroU16) -> Option<Topic<'_>> {
        let topic = self.topics.get(usize::from(alias.get()) - 1)?;
        if topic.is_empty() { None } else { Some(Topic::from_checked(topic)) }
    }
}

/// The topics that this end has given aliases to: the first that it sent, as many as the other end allows. They keep their
/// aliases, so that a topic is never spelled otherwise than the other end knows it.
#[derive(Debug)]
pub(crate) struct OutboundAliases {
    topics: Vec<Box<[u8]>>,
    max: u16,
}

impl OutboundAliases {
    /// At most `max` aliases.
    pub(crate) const fn new(max: u16) -> Self {
        Self { topics: Vec::new(), max }
    }

    /// How a topic is to be spelled.
    pub(crate) fn form(&self, topic: &[u8]) -> TopicForm {
        let alias = |at: usize| u16::try_from(at + 1).ok().and_then(NonZeroU16::new);
        if let Some(alias) = self.topics.iter().position(|known| **known == *topic).and_then(alias) {
            return TopicForm::Alias(alias);
        }
        match alias(self.topics.len()) {
            Some(alias) if alias.get() <= self.max => TopicForm::NameAndAlias(alias),
            _ => TopicForm::Name,
        }
    }

    /// Notes that a topic has been sent as [`OutboundAliases::form`] said.
    pub(crate) fn sent(&mut self, topic: &[u8], form: TopicForm) {
        if matches!(form, TopicForm::NameAndAlias(_)) {
            self.topics.push(topic.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alias(number: u16) -> NonZeroU16 {
        NonZeroU16::new(number).unwrap()
    }

    //= mqtt-5.0 [MQTT-3.3.2-9] [MQTT-3.3.2-12]
    #[test]
    fn an_alias_stands_for_the_last_topic_it_was_given_to() {
        let mut aliases = InboundAliases::default();
        let (a, b) = (Topic::from_checked(b"a"), Topic::from_checked(b"b"));
        assert_eq!(aliases.set(alias(3), a, 3), Ok(()));
        assert_eq!(aliases.set(alias(4), a, 3), Err(Violation::TopicAlias));
        assert_eq!(
            (aliases.get(alias(3)), aliases.get(alias(2)), aliases.get(alias(4))),
            (Some(a), None, None)
        );
        assert_eq!(aliases.set(alias(3), b, 3), Ok(()));
        assert_eq!(aliases.get(alias(3)), Some(b));
    }

    //= mqtt-5.0 [MQTT-3.1.2-26]
    #[test]
    fn aliases_are_given_as_far_as_they_go_and_only_when_sent() {
        let mut aliases = OutboundAliases::new(1);
        assert_eq!(aliases.form(b"a"), TopicForm::NameAndAlias(alias(1)));
        assert_eq!(aliases.form(b"b"), TopicForm::NameAndAlias(alias(1)), "nothing was sent");
        aliases.sent(b"b", TopicForm::NameAndAlias(alias(1)));
        assert_eq!(aliases.form(b"b"), TopicForm::Alias(alias(1)));
        assert_eq!(aliases.form(b"a"), TopicForm::Name);
    }
}
