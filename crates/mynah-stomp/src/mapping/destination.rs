//! Destinations: the forms that RabbitMQ, ActiveMQ and Artemis have, and how topics are spelled in them.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use mynah_model::dotted::{self, Wildcards};
use mynah_model::{Filter, Topic};

use crate::Refused;

/// How topics and wildcards are spelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Dots between segments, `*` and `#`; names of queues and exchanges may be percent-encoded; NACK offers a message
    /// again.
    #[default]
    RabbitMq,
    /// Dots between segments, `*` and `>`; NACK makes a dead letter.
    ActiveMq,
    /// Slashes between segments, `+` and `#`, as MQTT has them; NACK offers a message again.
    Plain,
}

/// What a destination is named for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// To send: no wildcards.
    Send,
    /// To subscribe.
    Subscribe,
}

/// A destination, in the broker's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A topic, or a filter: canonical bytes.
    Topic(Vec<u8>),
    /// A queue, made on first use if `is_made`.
    Queue {
        /// Its name.
        name: Vec<u8>,
        /// Whether it is made if it is not there.
        is_made: bool,
    },
    /// An exchange, and a routing key or a filter for it in canonical form, which may be empty.
    Exchange {
        /// Its name.
        name: Vec<u8>,
        /// The key.
        key: Vec<u8>,
    },
    /// A queue or a topic that lives as long as the connection.
    Temporary(Temporary),
}

/// The client's name for something that lives as long as its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Temporary {
    /// Whether it is a topic; else it is a queue.
    pub is_topic: bool,
    /// The name.
    pub name: Box<str>,
}

/// How destinations of temporary queues begin.
const TEMPORARY_QUEUE: &str = "/temp-queue/";
/// How destinations of temporary topics begin.
const TEMPORARY_TOPIC: &str = "/temp-topic/";
/// How the temporary topics of all connections begin, in canonical form.
const TEMPORARY_TOPICS: &[u8] = b"$temp/";

impl Temporary {
    /// Reads a destination; none if it is of something that lasts.
    #[must_use]
    pub fn read(destination: &str) -> Option<Self> {
        let (is_topic, name) = match destination.strip_prefix(TEMPORARY_QUEUE) {
            Some(name) => (false, name),
            None => (true, destination.strip_prefix(TEMPORARY_TOPIC)?),
        };
        (!name.is_empty()).then(|| Self { is_topic, name: name.into() })
    }

    /// What it is to the broker, which has a queue of this name for it.
    #[must_use]
    pub fn target(&self, queue: &[u8]) -> Target {
        if self.is_topic {
            Target::Topic([TEMPORARY_TOPICS, queue].concat())
        } else {
            Target::Queue { name: queue.into(), is_made: false }
        }
    }

    /// How others call it.
    #[must_use]
    pub fn remote(&self, queue: &[u8], profile: Profile) -> String {
        let prefix = if self.is_topic { "/remote-temp-topic/" } else { "/reply-queue/" };
        let mut remote = String::from(prefix);
        remote.push_str(&profile.spelled_name(queue));
        remote
    }
}

/// Whether a subscriber calls this topic by the destination of a temporary one.
pub(crate) fn is_temporary_topic(topic: Topic<'_>, destination: &str) -> bool {
    topic.as_bytes().starts_with(TEMPORARY_TOPICS) && destination.starts_with(TEMPORARY_TOPIC)
}

/// A destination, spelled for a client.
#[derive(Clone, Copy, Debug)]
pub struct Spelled<'a> {
    /// What it is.
    pub prefix: &'static str,
    /// The exchange, if it is in one.
    pub exchange: Option<&'a [u8]>,
    /// The topic or the key, in canonical form.
    pub topic: Topic<'a>,
}

impl Profile {
    const fn wildcards(self) -> Option<Wildcards> {
        match self {
            Self::RabbitMq => Some(Wildcards::AMQP),
            Self::ActiveMq => Some(Wildcards::ACTIVEMQ),
            Self::Plain => None,
        }
    }

    /// Whether a message that a client has not consumed is offered again, if the client does not say.
    #[must_use]
    pub const fn requeues(self) -> bool {
        !matches!(self, Self::ActiveMq)
    }

    /// Whether an acknowledgement of STOMP 1.1 has to name the subscription beside the message.
    #[must_use]
    pub const fn checks_subscriptions(self) -> bool {
        !matches!(self, Self::RabbitMq)
    }

    /// Reads a destination. Without a leading slash it is a bare name, which `is_multicast` makes a topic or a queue as
    /// Artemis' `destination-type` and `subscription-type` do.
    ///
    /// # Errors
    /// It has no form that there is, or an empty name.
    pub fn read(self, text: &str, usage: Use, is_multicast: Option<bool>) -> Result<Target, Refused> {
        let whole = text;
        let Some(text) = text.strip_prefix('/') else {
            return match is_multicast {
                Some(true) => self.topic(b"", whole, usage),
                Some(false) => self.queue(whole, true),
                None => Err(Refused::Destination),
            };
        };
        if let Some(temporary) = Temporary::read(whole) {
            return Ok(Target::Temporary(temporary));
        }
        let (form, rest) = text.split_once('/').ok_or(Refused::Destination)?;
        match form {
            "topic" => self.topic(b"", rest, usage),
            "request" => self.topic(b"$request/", rest, usage),
            "queue" => self.queue(rest, true),
            "reply-queue" | "remote-temp-queue" => self.queue(rest, false),
            "amq" => match rest.split_once('/') {
                Some(("queue", name)) => self.queue(name, false),
                _ => Err(Refused::Destination),
            },
            "remote-temp-topic" => Ok(Target::Topic([TEMPORARY_TOPICS, &self.name(rest)?].concat())),
            "exchange" => self.exchange(rest, usage),
            _ => Err(Refused::Destination),
        }
    }

    fn topic(self, before: &[u8], spelled: &str, usage: Use) -> Result<Target, Refused> {
        if spelled.is_empty() {
            return Err(Refused::Destination);
        }
        let mut canonical = before.to_vec();
        self.push_canonical(spelled, usage, &mut canonical);
        let is_right = match usage {
            Use::Send => Topic::new(&canonical).is_ok(),
            Use::Subscribe => Filter::new(&canonical).is_ok(),
        };
        if is_right { Ok(Target::Topic(canonical)) } else { Err(Refused::Destination) }
    }

    fn push_canonical(self, spelled: &str, usage: Use, canonical: &mut Vec<u8>) {
        match (self.wildcards(), usage) {
            (Some(_), Use::Send) => dotted::push_topic(spelled.as_bytes(), canonical),
            (Some(wildcards), Use::Subscribe) => {
                dotted::push_filter(spelled.as_bytes(), wildcards, canonical);
            }
            (None, _) => canonical.extend_from_slice(spelled.as_bytes()),
        }
    }

    fn queue(self, name: &str, is_made: bool) -> Result<Target, Refused> {
        let name = self.name(name)?;
        Ok(Target::Queue { name, is_made })
    }

    /// `NAME` or `NAME/KEY`.
    fn exchange(self, spelled: &str, usage: Use) -> Result<Target, Refused> {
        let (name, spelled) = spelled.split_once('/').unwrap_or((spelled, ""));
        let name = self.name(name)?;
        let mut key = Vec::new();
        if !spelled.is_empty() {
            self.push_canonical(spelled, usage, &mut key);
            let is_right = match usage {
                Use::Send => Topic::new(&key).is_ok(),
                Use::Subscribe => Filter::new(&key).is_ok(),
            };
            if !is_right {
                return Err(Refused::Destination);
            }
        }
        Ok(Target::Exchange { name, key })
    }

    /// A name, without its percent-encoding where there is one.
    fn name(self, spelled: &str) -> Result<Vec<u8>, Refused> {
        let name = if self == Self::RabbitMq { percent_decoded(spelled) } else { spelled.as_bytes().into() };
        if name.is_empty() || name.contains(&0) { Err(Refused::Destination) } else { Ok(name.into_owned()) }
    }

    /// How a name stands in a destination. What is not UTF-8 can be spelled only where names are percent-encoded.
    #[must_use]
    pub fn spelled_name(self, name: &[u8]) -> String {
        const DIGITS: [char; 16] =
            ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
        if self != Self::RabbitMq {
            return String::from_utf8_lossy(name).into_owned();
        }
        let mut spelled = String::new();
        for &octet in name {
            if matches!(octet, b'!'..=b'~') && octet != b'%' && octet != b'/' {
                spelled.push(char::from(octet));
            } else {
                let (high, low) = (usize::from(octet >> 4), usize::from(octet & 15));
                spelled.extend(['%', DIGITS[high], DIGITS[low]]);
            }
        }
        spelled
    }

    /// Spells a destination for a client. False, and nothing is written, if it is not UTF-8.
    #[must_use]
    pub fn spell(self, spelled: &Spelled<'_>, out: &mut Vec<u8>) -> bool {
        if core::str::from_utf8(spelled.topic.as_bytes()).is_err() {
            return false;
        }
        out.extend_from_slice(spelled.prefix.as_bytes());
        if let Some(exchange) = spelled.exchange {
            out.extend_from_slice(self.spelled_name(exchange).as_bytes());
            if spelled.topic.as_bytes().is_empty() {
                return true;
            }
            out.push(b'/');
        }
        match self.wildcards() {
            Some(_) => dotted::push_key(spelled.topic, out),
            None => out.extend_from_slice(spelled.topic.as_bytes()),
        }
        true
    }
}

/// Without `%XX`; what is no such sequence stands for itself.
fn percent_decoded(text: &str) -> Cow<'_, [u8]> {
    let octets = text.as_bytes();
    if !octets.contains(&b'%') {
        return octets.into();
    }
    let (mut decoded, mut rest) = (Vec::with_capacity(octets.len()), octets);
    while let Some((&octet, after)) = rest.split_first() {
        let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
        match (octet, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high << 4 | low) as u8);
                rest = &after[2..];
            }
            _ => {
                decoded.push(octet);
                rest = after;
            }
        }
    }
    decoded.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn topic(canonical: &str) -> Target {
        Target::Topic(canonical.into())
    }

    fn queue(name: &str, is_made: bool) -> Target {
        Target::Queue { name: name.into(), is_made }
    }

    fn temporary(is_topic: bool, name: &str) -> Target {
        Target::Temporary(Temporary { is_topic, name: name.into() })
    }

    fn exchange(name: &str, key: &str) -> Target {
        Target::Exchange { name: name.into(), key: key.into() }
    }

    #[test]
    fn every_form_is_read_as_its_profile_has_it() {
        use Profile::{ActiveMq, Plain, RabbitMq};
        for (profile, text, usage, target) in [
            (RabbitMq, "/topic/a.b.c", Use::Send, topic("a/b/c")),
            (RabbitMq, "/topic/a.*.#", Use::Subscribe, topic("a/+/#")),
            (RabbitMq, "/topic/a.*.#", Use::Send, topic("a/*/%23")),
            (RabbitMq, "/topic/a/b", Use::Send, topic("a%2Fb")),
            (ActiveMq, "/topic/a.*.>", Use::Subscribe, topic("a/+/#")),
            (Plain, "/topic/a/b.c", Use::Send, topic("a/b.c")),
            (Plain, "/topic/a/+/#", Use::Subscribe, topic("a/+/#")),
            (RabbitMq, "/queue/jobs", Use::Send, queue("jobs", true)),
            (RabbitMq, "/queue/a/b", Use::Send, queue("a/b", true)),
            (RabbitMq, "/queue/a%2Fb%", Use::Subscribe, queue("a/b%", true)),
            (Plain, "/queue/a%2Fb", Use::Subscribe, queue("a%2Fb", true)),
            (RabbitMq, "/amq/queue/jobs", Use::Subscribe, queue("jobs", false)),
            (RabbitMq, "/reply-queue/x", Use::Send, queue("x", false)),
            (ActiveMq, "/remote-temp-queue/x", Use::Send, queue("x", false)),
            (RabbitMq, "/exchange/e", Use::Send, exchange("e", "")),
            (RabbitMq, "/exchange/e/a.b", Use::Send, exchange("e", "a/b")),
            (RabbitMq, "/exchange/e%2Ff/a.#", Use::Subscribe, exchange("e/f", "a/#")),
            (RabbitMq, "/temp-queue/r", Use::Send, temporary(false, "r")),
            (ActiveMq, "/temp-topic/r", Use::Subscribe, temporary(true, "r")),
            (ActiveMq, "/remote-temp-topic/a.b", Use::Send, topic("$temp/a.b")),
            (RabbitMq, "/request/a.b", Use::Send, topic("$request/a/b")),
        ] {
            assert_eq!(profile.read(text, usage, None), Ok(target), "{text}");
        }
        assert_eq!(RabbitMq.read("a.b", Use::Send, Some(true)), Ok(topic("a/b")));
        assert_eq!(RabbitMq.read("a.b", Use::Send, Some(false)), Ok(queue("a.b", true)));
    }

    #[test]
    fn what_has_no_form_is_refused() {
        for text in [
            "",
            "/",
            "a",
            "/topic",
            "/topic/",
            "/queue/",
            "/queue",
            "/amq/jobs",
            "/amq/queue/",
            "/exchange/",
            "/exchange//k",
            "/temp-queue/",
            "/nowhere/a",
            "//a",
            "/Topic/a",
            "/temp-topic/",
            "/remote-temp-topic/",
        ] {
            for profile in [Profile::RabbitMq, Profile::ActiveMq, Profile::Plain] {
                assert_eq!(profile.read(text, Use::Subscribe, None), Err(Refused::Destination), "{text}");
            }
        }
        for text in ["/topic/a/+", "/topic/#", "/topic/a+b"] {
            assert_eq!(Profile::Plain.read(text, Use::Send, None), Err(Refused::Destination), "{text}");
        }
        assert_eq!(Profile::Plain.read("/topic/a+b", Use::Subscribe, None), Err(Refused::Destination));
    }

    proptest! {
        #[test]
        fn a_topic_is_read_as_it_is_spelled(text in "[a./%25E*>äF0]{1,12}") {
            for profile in [Profile::RabbitMq, Profile::ActiveMq, Profile::Plain] {
                let destination = alloc::format!("/topic/{text}");
                if let Ok(Target::Topic(canonical)) = profile.read(&destination, Use::Send, None) {
                    let topic = Topic::new(&canonical).unwrap();
                    let mut spelled = Vec::new();
                    let whole = Spelled { prefix: "/topic/", exchange: None, topic };
                    prop_assert!(profile.spell(&whole, &mut spelled));
                    prop_assert_eq!(spelled, destination.into_bytes());
                }
            }
        }

        #[test]
        fn a_name_is_read_as_it_is_spelled(name in prop::collection::vec(1u8..128, 1..10)) {
            for profile in [Profile::RabbitMq, Profile::Plain] {
                let destination = alloc::format!("/queue/{}", profile.spelled_name(&name));
                let expected = Target::Queue { name: name.clone(), is_made: true };
                prop_assert_eq!(profile.read(&destination, Use::Send, None), Ok(expected));
            }
        }
    }
}
