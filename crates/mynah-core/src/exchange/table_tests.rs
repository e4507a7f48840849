//! Exchanges of every kind against a naive table of their bindings.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use mynah_model::{
    Argument, ExchangeKind, ExchangeSettings, HashOn, Properties, PropertyValue, UserProperties,
};
use proptest::prelude::*;

use super::tests::{TENANT, exchanges, queue, terms};
use super::*;

/// What there is beside the topic space.
const KINDS: [ExchangeKind; 8] = [
    ExchangeKind::Direct,
    ExchangeKind::Fanout,
    ExchangeKind::Topic,
    ExchangeKind::Topic,
    ExchangeKind::Headers,
    ExchangeKind::Headers,
    ExchangeKind::ConsistentHash,
    ExchangeKind::ConsistentHash,
];
/// The last of the exchanges: the one that is the topic space.
const SPACE: usize = KINDS.len();
const QUEUES: u32 = 6;

/// What messages say of themselves, some of it with the same names.
const SAYINGS: [(&str, PropertyValue<'_>); 8] = [
    ("kind", PropertyValue::Text("lamp")),
    ("kind", PropertyValue::Text("door")),
    ("count", PropertyValue::Signed(5)),
    ("count", PropertyValue::Text("5")),
    ("flag", PropertyValue::Bool(true)),
    ("nothing", PropertyValue::Null),
    ("x-level", PropertyValue::Float(1.5)),
    ("x-level", PropertyValue::Signed(3)),
];

/// What bindings of headers exchanges ask for.
fn wishes() -> [(&'static str, Argument); 10] {
    let text = |text: &str| Argument::Text(text.into());
    [
        ("kind", text("lamp")),
        ("kind", text("door")),
        ("kind", Argument::Null),
        ("count", Argument::Integer(5)),
        ("count", text("5")),
        ("flag", Argument::Bool(true)),
        ("nothing", Argument::Null),
        ("missing", Argument::Null),
        ("x-level", Argument::Integer(3)),
        ("x-level", Argument::Float(1.5)),
    ]
}

fn kind(exchange: usize) -> ExchangeKind {
    KINDS.get(exchange).copied().unwrap_or(ExchangeKind::Topic)
}

fn name(exchange: usize) -> String {
    if exchange == SPACE { "amq.topic".into() } else { format!("x{exchange}") }
}

/// One of the two that hash goes by the key, the other by a header.
fn settings(exchange: usize, alternate: Option<usize>) -> ExchangeSettings {
    let by_header = KINDS.len() - 1 == exchange;
    ExchangeSettings {
        alternate: alternate.map(|other| name(other).into_bytes().into()),
        hash_on: if by_header { HashOn::Property("kind".into()) } else { HashOn::Key },
        ..ExchangeSettings::durable(kind(exchange))
    }
}

/// A binding as the table has it.
#[derive(Clone, Debug, PartialEq)]
struct Bound {
    source: usize,
    destination: Result<u32, usize>,
    key: String,
    arguments: Vec<(Box<str>, Argument)>,
}

impl Bound {
    fn terms(&self) -> BindingTerms<'_> {
        BindingTerms { arguments: &self.arguments, ..terms(&self.key) }
    }

    /// A queue and an exchange may have the same name.
    fn name(&self) -> String {
        format!("x{}", self.destination.map_or_else(|exchange| exchange, |queue| queue as usize))
    }
}

#[derive(Clone, Debug)]
struct Sent {
    key: String,
    /// Each says one of [`SAYINGS`].
    said: Vec<u8>,
}

impl Sent {
    fn properties(&self) -> Properties<'_> {
        let user = UserProperties::new(&self.said, |rest| {
            let (first, after) = rest.split_first()?;
            *rest = after;
            Some(SAYINGS[usize::from(*first)])
        });
        Properties { user, ..Properties::EMPTY }
    }

    /// What the message says under a name, first.
    fn says(&self, name: &str) -> Option<PropertyValue<'static>> {
        let mut said = self.said.iter().map(|at| SAYINGS[usize::from(*at)]);
        said.find(|(said, _)| *said == name).map(|(_, value)| value)
    }
}

/// The bindings, and what the exchanges were declared as.
struct Table {
    bound: Vec<Bound>,
    alternates: Vec<Option<usize>>,
}

/// Where a message goes.
#[derive(Debug, Default, PartialEq)]
struct Found {
    queues: Vec<u32>,
    topic_space: bool,
}

impl Table {
    /// Each exchange is asked once; one that leads nowhere has its alternate asked.
    fn route(&self, exchange: usize, sent: &Sent) -> Found {
        let (mut visited, mut found) = (vec![exchange], Found::default());
        let mut next = 0;
        while let Some(&exchange) = visited.get(next) {
            next += 1;
            found.topic_space |= exchange == SPACE;
            let met = self.met(exchange, sent);
            found.queues.extend(met.iter().filter_map(|binding| binding.destination.ok()));
            let links = met.iter().filter_map(|binding| binding.destination.err());
            let alternate = self.alternates.get(exchange).copied().flatten();
            let alternate = alternate.filter(|other| met.is_empty() && *other <= SPACE);
            for other in links.chain(alternate) {
                if !visited.contains(&other) {
                    visited.push(other);
                }
            }
        }
        found.queues.sort_unstable();
        found.queues.dedup();
        found
    }

    fn met(&self, exchange: usize, sent: &Sent) -> Vec<&Bound> {
        let bound = self.bound.iter().filter(|binding| binding.source == exchange);
        match kind(exchange) {
            ExchangeKind::Direct => bound.filter(|binding| binding.key == sent.key).collect(),
            ExchangeKind::Fanout => bound.collect(),
            ExchangeKind::Topic => {
                let key = words(&sent.key);
                bound.filter(|binding| is_selected(&words(&binding.key), &key)).collect()
            }
            ExchangeKind::Headers => bound.filter(|binding| is_asked_for(&binding.arguments, sent)).collect(),
            ExchangeKind::ConsistentHash => chosen(&bound.collect::<Vec<_>>(), exchange, sent),
        }
    }
}

/// By the book: a word for a word, `+` for any word, `#` for any words.
fn is_selected(filter: &[&str], key: &[&str]) -> bool {
    match filter.split_first() {
        None => key.is_empty(),
        Some((&"#", after)) => (0..=key.len()).any(|skip| is_selected(after, &key[skip..])),
        Some((&"+", after)) => !key.is_empty() && is_selected(after, &key[1..]),
        Some((word, after)) => key.first() == Some(word) && is_selected(after, &key[1..]),
    }
}

fn words(text: &str) -> Vec<&str> {
    text.split('/').filter(|_| !text.is_empty()).collect()
}

fn is_asked_for(arguments: &[(Box<str>, Argument)], sent: &Sent) -> bool {
    let mode = arguments.iter().find(|(name, _)| &**name == "x-match");
    let mode = mode.map_or("all", |(_, mode)| match mode {
        Argument::Text(mode) => &**mode,
        _ => "",
    });
    let (mut asked, mut met) = (0, 0);
    for (name, wanted) in arguments {
        if &**name == "x-match" || (name.starts_with("x-") && !["all-with-x", "any-with-x"].contains(&mode)) {
            continue;
        }
        asked += 1;
        let is_met = match (wanted, sent.says(name)) {
            (_, None) => false,
            (Argument::Null, Some(_)) => true,
            (Argument::Bool(wanted), Some(PropertyValue::Bool(said))) => *wanted == said,
            (Argument::Integer(wanted), Some(PropertyValue::Signed(said))) => *wanted == said,
            (Argument::Float(wanted), Some(PropertyValue::Float(said))) => *wanted == said,
            (Argument::Text(wanted), Some(PropertyValue::Text(said))) => **wanted == *said,
            _ => false,
        };
        met += usize::from(is_met);
    }
    if mode.starts_with("any") { met > 0 } else { met == asked }
}

/// One of those that are bound, whichever came first and whoever has come and gone: the one that another exchange chooses
/// to which nobody else was ever bound, in another order.
fn chosen<'b>(bound: &[&'b Bound], exchange: usize, sent: &Sent) -> Vec<&'b Bound> {
    let mut fresh = exchanges();
    let ring = fresh.declare(TENANT, b"ring", settings(exchange, None), 0).unwrap().0;
    let others: Vec<_> = (0..=SPACE)
        .map(|at| {
            let settings = ExchangeSettings::durable(ExchangeKind::Fanout);
            let other =
                fresh.declare(TENANT, name(at).replace("amq", "x").as_bytes(), settings, 0).unwrap().0;
            fresh.bind(other, Endpoint::Queue(queue(QUEUES + at as u32)), b"", &terms("")).unwrap();
            other
        })
        .collect();
    let slot = |binding: &Bound| binding.destination.unwrap_or_else(|at| QUEUES + at as u32);
    for binding in bound.iter().rev() {
        let endpoint = match binding.destination {
            Ok(at) => Endpoint::Queue(queue(at)),
            Err(at) => Endpoint::Exchange(others[at]),
        };
        assert_eq!(fresh.bind(ring, endpoint, binding.name().as_bytes(), &binding.terms()), Ok(true));
    }
    let mut found = Routed::default();
    let properties = sent.properties();
    fresh.route(ring, &Routing { key: sent.key.as_bytes(), properties: &properties }, &mut found);
    assert_eq!(found.queues.len(), usize::from(!bound.is_empty()), "exactly one");
    let Some(found) = found.queues.first() else { return Vec::new() };
    bound.iter().copied().filter(|binding| slot(binding) == found.slot).take(1).collect()
}

#[derive(Clone, Debug)]
enum Act {
    Bind(Bound),
    Unbind(Bound),
    Forget(u32),
    /// The exchange goes, and another of its name comes.
    Renew(usize),
    ForgetSome(usize),
    Route(usize, Sent),
}

fn plain() -> &'static str {
    "[abc](/[abc]){0,4}|"
}

fn arguments() -> impl Strategy<Value = Vec<(Box<str>, Argument)>> {
    let modes = prop::sample::select(vec!["", "all", "any", "all-with-x", "any-with-x"]);
    let wished = prop::sample::subsequence(wishes().to_vec(), 0..4);
    (modes, wished).prop_map(|(mode, wished)| {
        let mode = Some(mode).filter(|mode| !mode.is_empty());
        let mode = mode.map(|mode| ("x-match", Argument::Text(mode.into())));
        let mut arguments: Vec<(Box<str>, Argument)> =
            mode.into_iter().chain(wished).map(|(name, wanted)| (name.into(), wanted)).collect();
        // A table has each name once.
        arguments.dedup_by(|a, b| a.0 == b.0);
        arguments
    })
}

fn bound() -> impl Strategy<Value = Bound> {
    let destination = prop_oneof![3 => (0..QUEUES).prop_map(Ok), 1 => (0..=SPACE).prop_map(Err)];
    let filter = "[abc+#](/[abc+#]){0,3}|";
    (0..=SPACE, destination, filter, plain(), 1..5_u32, arguments()).prop_map(
        |(source, destination, filter, plain, weight, arguments)| {
            // The topic index knows the queues that are bound to the topic space.
            let destination = if source == SPACE {
                Err(destination.map_or_else(|at| at, |at| at as usize))
            } else {
                destination
            };
            let (key, arguments) = match kind(source) {
                ExchangeKind::Topic => (filter, Vec::new()),
                ExchangeKind::ConsistentHash => (format!("{weight}"), Vec::new()),
                ExchangeKind::Headers => (String::new(), arguments),
                ExchangeKind::Direct | ExchangeKind::Fanout => (plain, Vec::new()),
            };
            Bound { source, destination, key, arguments }
        },
    )
}

fn act() -> impl Strategy<Value = Act> {
    let said = prop::collection::vec(0..SAYINGS.len() as u8, 0..4);
    let sent = (plain(), said).prop_map(|(key, said)| Sent { key, said });
    prop_oneof![
        8 => bound().prop_map(Act::Bind),
        3 => bound().prop_map(Act::Unbind),
        1 => (0..QUEUES).prop_map(Act::Forget),
        1 => (0..SPACE).prop_map(Act::Renew),
        2 => (0..4_usize).prop_map(Act::ForgetSome),
        8 => (0..=SPACE, sent).prop_map(|(exchange, sent)| Act::Route(exchange, sent)),
    ]
}

/// Exchanges beside the table.
struct Both {
    exchanges: Exchanges,
    table: Table,
    refs: Vec<ExchangeRef>,
    /// A queue that was forgotten comes back as another.
    lives: [u32; QUEUES as usize],
}

impl Both {
    fn new(alternates: Vec<Option<usize>>) -> Self {
        let mut exchanges = exchanges();
        let declared = alternates.iter().enumerate().map(|(at, alternate)| {
            exchanges.declare(TENANT, name(at).as_bytes(), settings(at, *alternate), 0).unwrap().0
        });
        let mut refs: Vec<_> = declared.collect();
        refs.push(exchanges.find(TENANT, TOPIC_SPACE).unwrap());
        let table = Table { bound: Vec::new(), alternates };
        Self { exchanges, table, refs, lives: [0; QUEUES as usize] }
    }

    fn endpoint(&self, bound: &Bound) -> Endpoint {
        match bound.destination {
            Ok(at) => Endpoint::Queue(self.queue(at)),
            Err(at) => Endpoint::Exchange(self.refs[at]),
        }
    }

    fn queue(&self, at: u32) -> SessionRef {
        SessionRef { generation: self.lives[at as usize], ..queue(at) }
    }

    fn apply(&mut self, act: Act) {
        match act {
            Act::Bind(one) => {
                let (source, to, name) = (self.refs[one.source], self.endpoint(&one), one.name());
                let is_new = self.exchanges.bind(source, to, name.as_bytes(), &one.terms()).unwrap();
                assert_eq!(is_new, !self.table.bound.contains(&one));
                if is_new {
                    self.table.bound.push(one);
                }
            }
            Act::Unbind(one) => {
                let (source, to) = (self.refs[one.source], self.endpoint(&one));
                let was_there = self.exchanges.unbind(source, to, &one.terms());
                assert_eq!(was_there, self.table.bound.contains(&one));
                self.table.bound.retain(|other| *other != one);
            }
            Act::Forget(at) => {
                self.exchanges.forget(Endpoint::Queue(self.queue(at)));
                self.lives[at as usize] += 1;
                self.table.bound.retain(|other| other.destination != Ok(at));
            }
            Act::Renew(at) => {
                let settings = settings(at, self.table.alternates[at]);
                assert_eq!(self.exchanges.delete(TENANT, name(at).as_bytes(), false), Ok(true));
                let declared = self.exchanges.declare(TENANT, name(at).as_bytes(), settings, 0);
                self.refs[at] = declared.unwrap().0;
                self.table.bound.retain(|other| other.source != at && other.destination != Err(at));
            }
            Act::ForgetSome(count) => drop(self.exchanges.forget_some(count)),
            Act::Route(exchange, sent) => self.compare(exchange, &sent),
        }
    }

    fn compare(&self, exchange: usize, sent: &Sent) {
        let mut routed = Routed::default();
        let properties = sent.properties();
        let routing = Routing { key: sent.key.as_bytes(), properties: &properties };
        self.exchanges.route(self.refs[exchange], &routing, &mut routed);
        assert!(routed.queues.iter().all(|queue| *queue == self.queue(queue.slot)), "of this life");
        let queues = routed.queues.iter().map(|queue| queue.slot).collect();
        let found = Found { queues, topic_space: routed.topic_space };
        assert_eq!(found, self.table.route(exchange, sent));
    }
}

/// Of each exchange its alternate: another, itself, the topic space, or one that is not there.
fn alternates() -> impl Strategy<Value = Vec<Option<usize>>> {
    prop::collection::vec(prop::option::of(0..=SPACE + 1), KINDS.len())
}

proptest! {
    #[test]
    fn routes_are_those_of_a_naive_table(
        alternates in alternates(), acts in prop::collection::vec(act(), 1..80)
    ) {
        let mut both = Both::new(alternates);
        for act in acts {
            both.apply(act);
        }
        while both.exchanges.forget_some(1_000) {}
        let bound = both.refs.iter().map(|exchange| both.exchanges.bindings_from(*exchange).count());
        prop_assert_eq!(bound.sum::<usize>(), both.table.bound.len());
    }

    #[test]
    fn keys_spread_as_the_weights_say_and_stay_where_they_are(
        weights in prop::collection::vec(1..9_u32, 2..6), gone in any::<prop::sample::Index>()
    ) {
        const KEYS: u32 = 1_000;
        let mut exchanges = exchanges();
        let settings = ExchangeSettings::durable(ExchangeKind::ConsistentHash);
        let ring = exchanges.declare(TENANT, b"ring", settings, 0).unwrap().0;
        let bind = |exchanges: &mut Exchanges, to: u32| {
            let (name, weight) = (format!("q{to}"), format!("{}", weights[to as usize]));
            exchanges.bind(ring, Endpoint::Queue(queue(to)), name.as_bytes(), &terms(&weight)).unwrap();
        };
        let mut routed = Routed::default();
        let mut owners = |exchanges: &Exchanges| -> Vec<u32> {
            let owner = |key: u32| {
                let (key, properties) = (format!("sensor/{key}"), &Properties::EMPTY);
                exchanges.route(ring, &Routing { key: key.as_bytes(), properties }, &mut routed);
                assert_eq!(routed.queues.len(), 1);
                routed.queues[0].slot
            };
            (0..KEYS).map(owner).collect()
        };
        (0..weights.len() as u32).for_each(|to| bind(&mut exchanges, to));
        let before = owners(&exchanges);
        for (to, weight) in (0..).zip(&weights) {
            let share = f64::from(KEYS) * f64::from(*weight) / f64::from(weights.iter().sum::<u32>());
            let got = before.iter().filter(|owner| **owner == to).count() as f64;
            // Half of it is five times what the points of the ring deviate; the other part is that of the keys.
            prop_assert!((got - share).abs() < 0.5 * share + 5.0 * share.sqrt(), "{}: {} of {}", to, got, share);
        }
        let gone = gone.index(weights.len()) as u32;
        exchanges.forget(Endpoint::Queue(queue(gone)));
        let without = owners(&exchanges);
        let stay = |(before, after): (&u32, &u32)| *after != gone && (before == after || *before == gone);
        prop_assert!(before.iter().zip(&without).all(stay));
        while exchanges.forget_some(1) {}
        prop_assert_eq!(&owners(&exchanges), &without);
        bind(&mut exchanges, gone);
        prop_assert_eq!(owners(&exchanges), before);
    }
}
