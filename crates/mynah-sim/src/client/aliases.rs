//! Topic aliases as a client uses them, which are forgotten with the connection (section 3.3.2.3.4 of MQTT 5.0).

use std::collections::BTreeMap;

/// Aliases that a client gives: all that the broker allows stand for few topics, so that each is given again and again.
const GIVEN: u16 = 3;

/// The aliases of both ends of a connection.
#[derive(Default)]
pub(super) struct Aliases {
    given: BTreeMap<u16, String>,
    heard: BTreeMap<u16, String>,
    turn: u16,
}

impl Aliases {
    /// The alias under which a topic is sent, and whether it stands alone.
    pub(super) fn give(&mut self, topic: &str) -> Option<(u16, bool)> {
        self.turn += 1;
        let known = self.given.iter().find(|(_, known)| *known == topic).map(|(alias, _)| *alias);
        match (known, self.turn % 3) {
            (_, 0) => None,
            (Some(alias), _) => Some((alias, true)),
            (None, _) => {
                let alias = self.turn % GIVEN + 1;
                self.given.insert(alias, topic.to_owned());
                Some((alias, false))
            }
        }
    }

    /// The topic of a PUBLISH that came with an alias; none if the alias is greater than `max` or was not given.
    pub(super) fn hear(&mut self, alias: u16, topic: &str, max: u16) -> Option<String> {
        if alias > max {
            return None;
        }
        if !topic.is_empty() {
            self.heard.insert(alias, topic.to_owned());
        }
        self.heard.get(&alias).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_stands_alone_once_it_was_given() {
        let mut aliases = Aliases::default();
        assert_eq!(aliases.give("a"), Some((2, false)));
        assert_eq!(aliases.give("a"), Some((2, true)));
        assert_eq!(aliases.give("a"), None);
        assert_eq!(aliases.hear(1, "", 2), None);
        assert_eq!(aliases.hear(1, "b", 2).as_deref(), Some("b"));
        assert_eq!(aliases.hear(1, "", 2).as_deref(), Some("b"));
        assert_eq!(aliases.hear(3, "b", 2), None);
    }
}
