//! Topic aliases of one connection (section 3.3.2.3.4 of MQTT 5.0): those that this end gives, and those that it is given.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::num::NonZeroU16;

use mynah_model::Topic;

use crate::Violation;
use crate::mapping::TopicForm;
use crate::wire::Publish;

/// Bytes by which an alias beside the name may make a PUBLISH larger: the property, and a byte for each of two lengths.
const ALIAS_LEN_MAX: usize = 5;

/// Bytes of a topic that is no longer than its alias.
const TOPIC_LEN_NOT_WORTH: usize = 3;

/// Aliases that this end gives: to the first topics that come, for the whole connection.
#[derive(Debug, Default)]
pub(crate) struct Given {
    max: u16,
    topics: BTreeMap<Box<[u8]>, NonZeroU16>,
}

impl Given {
    /// At most `max` aliases.
    pub(crate) fn new(max: u16) -> Self {
        Self { max, topics: BTreeMap::new() }
    }

    /// How a topic is spelled in the next PUBLISH, which with its name leaves `room` bytes of what the receiver takes.
    pub(crate) fn form(&mut self, topic: &[u8], room: usize) -> TopicForm {
        if let Some(&alias) = self.topics.get(topic) {
            return TopicForm::Alias(alias);
        }
        let is_full = self.topics.len() >= usize::from(self.max);
        if is_full || topic.len() <= TOPIC_LEN_NOT_WORTH || room < ALIAS_LEN_MAX {
            return TopicForm::Name;
        }
        // The table is smaller than its limit, which has two bytes.
        let Some(alias) = NonZeroU16::new(self.topics.len() as u16 + 1) else { return TopicForm::Name };
        self.topics.insert(topic.into(), alias);
        TopicForm::NameAndAlias(alias)
    }
}

/// Aliases that this end is given.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    max: u16,
    topics: BTreeMap<NonZeroU16, Box<[u8]>>,
}

impl Taken {
    /// At most `max` aliases.
    pub(crate) fn new(max: u16) -> Self {
        Self { max, topics: BTreeMap::new() }
    }

    /// Notes the alias of a PUBLISH. Returns the topic if the alias stands alone for it.
    ///
    /// # Errors
    /// The alias is above the maximum ([MQTT-3.1.2-26], [MQTT-3.3.2-11]) or stands for nothing.
    pub(crate) fn resolve(&mut self, publish: &Publish<'_>) -> Result<Option<Topic<'_>>, Violation> {
        let Some(alias) = publish.topic_alias() else { return Ok(None) };
        if alias.get() > self.max {
            return Err(Violation::TopicAlias);
        }
        if publish.topic.as_bytes().is_empty() {
            let topic = self.topics.get(&alias).ok_or(Violation::TopicAlias)?;
            return Ok(Some(Topic::from_checked(topic)));
        }
        self.topics.insert(alias, publish.topic.as_bytes().into());
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alias(number: u16) -> NonZeroU16 {
        NonZeroU16::new(number).unwrap()
    }

    //= mqtt-5.0 [MQTT-3.3.2-8] [MQTT-3.3.2-9]
    #[test]
    fn the_first_topics_get_the_aliases_and_keep_them() {
        let mut given = Given::new(2);
        assert_eq!(given.form(b"a/long", 100), TopicForm::NameAndAlias(alias(1)));
        assert_eq!(given.form(b"a/b", 100), TopicForm::Name);
        assert_eq!(given.form(b"no/room", 4), TopicForm::Name);
        assert_eq!(given.form(b"b/long", 5), TopicForm::NameAndAlias(alias(2)));
        assert_eq!(given.form(b"c/long", 100), TopicForm::Name);
        assert_eq!(given.form(b"a/long", 0), TopicForm::Alias(alias(1)));
        assert_eq!(Given::new(0).form(b"a/long", 100), TopicForm::Name);
    }
}
