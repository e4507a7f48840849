//! Which topics cross a bridge, and what they are called on either side.

use alloc::vec::Vec;

use mynah_model::{Class, Filter, Topic};

use crate::Error;
use crate::wire::{TextRule, check_topic_filter};

/// Which way messages cross.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the remote broker.
    In,
    /// To the remote broker.
    Out,
    /// Both ways.
    Both,
}

/// Topics that cross a bridge: on each side those that match the filter behind the prefix of the side.
#[derive(Clone, Copy, Debug)]
pub struct TopicRule<'a> {
    /// Which way.
    pub direction: Direction,
    /// Which topics, without the prefixes.
    pub filter: &'a str,
    /// What the topics begin with here, such as `site/`.
    pub local_prefix: &'a str,
    /// What they begin with there.
    pub remote_prefix: &'a str,
    /// The highest QoS with which messages cross.
    pub class_max: Class,
}

/// A rule, checked. A command borrows from the peer's bytes or from what lives for ever, and filters are subscribed to by
/// command: a bridge is configured once, and its filters stay as long as the program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub(super) local: Side,
    pub(super) remote: Side,
    pub(super) direction: Direction,
    pub(super) class_max: Class,
}

/// The topics of a rule on one side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Side {
    pub(super) filter: Filter<'static>,
    prefix_len: usize,
}

impl Side {
    fn new(prefix: &str, filter: &str) -> Result<Self, Error> {
        let text = [prefix, filter].concat();
        check_topic_filter(text.as_bytes(), TextRule::RefuseDiscouraged)?;
        let kept: &'static str = text.leak();
        Ok(Self {
            filter: check_topic_filter(kept.as_bytes(), TextRule::RefuseDiscouraged)?,
            prefix_len: prefix.len(),
        })
    }

    fn prefix(&self) -> &'static [u8] {
        &self.filter.as_bytes()[..self.prefix_len]
    }

    /// Writes what a topic of this side is called on the `other`; false if it is not of this side.
    fn rename(&self, topic: Topic<'_>, other: &Self, name: &mut Vec<u8>) -> bool {
        let Some(rest) = topic.as_bytes().strip_prefix(self.prefix()) else { return false };
        if !self.filter.matches(topic) || other.prefix_len + rest.len() == 0 {
            return false;
        }
        name.clear();
        name.extend_from_slice(other.prefix());
        name.extend_from_slice(rest);
        name.len() <= usize::from(u16::MAX)
    }
}

impl Rule {
    pub(super) fn new(rule: &TopicRule<'_>) -> Result<Self, Error> {
        Ok(Self {
            local: Side::new(rule.local_prefix, rule.filter)?,
            remote: Side::new(rule.remote_prefix, rule.filter)?,
            direction: rule.direction,
            class_max: rule.class_max,
        })
    }

    pub(super) fn is_in(&self) -> bool {
        self.direction != Direction::Out
    }

    pub(super) fn is_out(&self) -> bool {
        self.direction != Direction::In
    }
}

/// Writes what a topic of the remote broker is called here, by the first rule that it matches.
pub(super) fn rename_in(rules: &[Rule], topic: Topic<'_>, name: &mut Vec<u8>) -> bool {
    rules.iter().filter(|rule| rule.is_in()).any(|rule| rule.remote.rename(topic, &rule.local, name))
}

/// Writes what a topic of this broker is called there, by the first rule that it matches.
pub(super) fn rename_out(rules: &[Rule], topic: Topic<'_>, name: &mut Vec<u8>) -> bool {
    rules.iter().filter(|rule| rule.is_out()).any(|rule| rule.local.rename(topic, &rule.remote, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(rules: &[TopicRule<'_>], topic: &str, out: bool) -> Option<Vec<u8>> {
        let rules: Vec<_> = rules.iter().map(|rule| Rule::new(rule).unwrap()).collect();
        let mut name = Vec::new();
        let rename = if out { rename_out } else { rename_in };
        rename(&rules, Topic::new(topic.as_bytes()).unwrap(), &mut name).then_some(name)
    }

    #[test]
    fn a_topic_changes_its_prefix_and_the_first_rule_counts() {
        let rule = |direction, filter, local_prefix, remote_prefix| TopicRule {
            direction,
            filter,
            local_prefix,
            remote_prefix,
            class_max: Class::AtLeastOnce,
        };
        let rules = [
            rule(Direction::Out, "a/#", "", "far/"),
            rule(Direction::Both, "#", "in/", ""),
            rule(Direction::In, "x", "", "y/"),
        ];
        for (topic, out, expected) in [
            ("a/b", true, Some("far/a/b")),
            ("in/q", true, Some("q")),
            ("in/", true, None),
            ("b", true, None),
            ("q/r", false, Some("in/q/r")),
            ("y/x", false, Some("in/y/x")),
        ] {
            assert_eq!(renamed(&rules, topic, out), expected.map(Into::into), "{topic} {out}");
        }
        assert_eq!(renamed(&rules[2..], "y/x", false), Some(b"x".to_vec()));
        assert!(Rule::new(&rule(Direction::In, "a#", "", "")).is_err());
        assert!(Rule::new(&rule(Direction::In, "#", "a", "")).is_err());
    }

    #[test]
    fn a_name_that_is_too_long_does_not_cross() {
        let rule = TopicRule {
            direction: Direction::Out,
            filter: "#",
            local_prefix: "",
            remote_prefix: "far/",
            class_max: Class::AtMostOnce,
        };
        assert!(renamed(&[rule], &"x".repeat(65_531), true).is_some());
        assert_eq!(renamed(&[rule], &"x".repeat(65_532), true), None);
    }
}
