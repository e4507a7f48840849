//! Wishes: subscriptions as clients ask for them.

use mynah_model::Class;
use mynah_mqtt::wire::RetainHandling;

/// A subscription with its options. Those of MQTT 5.0 are as if they were not there for a client of MQTT 3.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    /// As it is spelled in SUBSCRIBE.
    pub(crate) name: &'static str,
    pub(crate) class_max: Class,
    pub(crate) no_local: bool,
    pub(crate) as_published: bool,
    pub(crate) handling: RetainHandling,
    pub(crate) id: Option<u32>,
}

impl Wish {
    pub(crate) const fn new(name: &'static str, class_max: Class) -> Self {
        let handling = RetainHandling::Send;
        Self { name, class_max, no_local: false, as_published: false, handling, id: None }
    }

    /// Whether the subscription is shared.
    pub(crate) fn is_shared(&self) -> bool {
        self.name.starts_with("$share/")
    }

    /// The filter that selects topics.
    pub(crate) fn filter(&self) -> &'static str {
        match self.name.strip_prefix("$share/").and_then(|rest| rest.split_once('/')) {
            Some((_, filter)) => filter,
            None => self.name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_selects_by_what_follows_its_group() {
        let filter = |name| Wish::new(name, Class::AtMostOnce).filter();
        assert_eq!((filter("$share/g/s/#"), filter("$s/a")), ("s/#", "$s/a"));
    }
}
