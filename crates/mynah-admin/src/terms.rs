//! Queues, exchanges and bindings as JSON, with the arguments that RabbitMQ has names for (`x-message-ttl` and the like).

use core::num::{NonZeroU8, NonZeroU32, NonZeroU64};
use core::time::Duration;

use mynah_core::administration::BindingView;
use mynah_model::dotted::{self, Wildcards};
use mynah_model::{
    Argument, DeadLetter, Durability, ExchangeKind, ExchangeSettings, HashOn, Overflow, QueueSettings,
    StreamSettings, Topic,
};
use serde_json::{Map, Value, json};

/// How routing keys are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// As topics and filters, with slashes.
    Canonical,
    /// As AMQP 0-9-1 has them, with dots.
    Dotted,
}

/// Why something is no queue, exchange or binding, in words.
pub type Unusable = String;

const EXCHANGE_KINDS: [ExchangeKind; 5] = [
    ExchangeKind::Direct,
    ExchangeKind::Fanout,
    ExchangeKind::Topic,
    ExchangeKind::Headers,
    ExchangeKind::ConsistentHash,
];

const OVERFLOWS: [(&str, Overflow); 3] = [
    ("drop-head", Overflow::DropHead),
    ("reject-publish", Overflow::RejectPublish),
    ("reject-publish-dlx", Overflow::RejectPublishDeadLetter),
];

impl Spelling {
    /// The routing key of an exchange. The default exchange has names of queues for keys, which are as they are.
    fn key(self, exchange: &str, key: &str) -> Box<[u8]> {
        if self == Self::Canonical || exchange.is_empty() {
            return key.as_bytes().into();
        }
        let mut canonical = Vec::new();
        dotted::push_topic(key.as_bytes(), &mut canonical);
        canonical.into()
    }

    fn shown_key(self, exchange: &[u8], key: &[u8]) -> String {
        if self == Self::Canonical || exchange.is_empty() || key.is_empty() {
            return text(key);
        }
        let mut dotted = Vec::new();
        dotted::push_key(Topic::from_checked(key), &mut dotted);
        text(&dotted)
    }

    fn filter(self, key: &str) -> Box<[u8]> {
        if self == Self::Canonical {
            return key.as_bytes().into();
        }
        let mut filter = Vec::new();
        dotted::push_filter(key.as_bytes(), Wildcards::AMQP, &mut filter);
        filter.into()
    }

    /// The key of a binding.
    pub(crate) fn shown_filter(self, filter: &[u8]) -> String {
        if self == Self::Canonical || filter.is_empty() {
            return text(filter);
        }
        let segments = filter.split(|&byte| byte == b'/').map(|segment| match segment {
            b"+" => "*".to_owned(),
            b"#" => "#".to_owned(),
            b"" => String::new(),
            literal => self.shown_key(b"x", literal),
        });
        segments.collect::<Vec<_>>().join(".")
    }
}

/// A name as JSON has it.
pub(crate) fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

fn truth(of: &Map<String, Value>, name: &str, default: bool) -> Result<bool, Unusable> {
    match of.get(name) {
        None | Some(Value::Null) => Ok(default),
        Some(Value::Bool(value)) => Ok(*value),
        // rabbitmqadmin sends text.
        Some(Value::String(text)) if text == "true" => Ok(true),
        Some(Value::String(text)) if text == "false" => Ok(false),
        Some(_) => Err(format!("{name} has to be true or false")),
    }
}

fn integer(name: &str, value: &Value, from: u64, to: u64) -> Result<u64, Unusable> {
    let number = value.as_u64().filter(|number| (from..=to).contains(number));
    number.ok_or_else(|| format!("{name} has to be an integer of {from} to {to}"))
}

fn millis(name: &str, value: &Value, from: u64) -> Result<Duration, Unusable> {
    integer(name, value, from, u32::MAX.into()).map(Duration::from_millis)
}

fn words<'v>(name: &str, value: &'v Value) -> Result<&'v str, Unusable> {
    value.as_str().ok_or_else(|| format!("{name} has to be text"))
}

fn arguments(of: &Map<String, Value>) -> Result<impl Iterator<Item = (&String, &Value)>, Unusable> {
    match of.get("arguments") {
        None | Some(Value::Null) => Ok(None.into_iter().flatten()),
        Some(Value::Object(arguments)) => Ok(Some(arguments).into_iter().flatten()),
        // An empty table, as some write it.
        Some(Value::Array(list)) if list.is_empty() => Ok(None.into_iter().flatten()),
        Some(_) => Err("arguments has to be an object".to_owned()),
    }
}

/// What a queue is to be.
///
/// # Errors
/// The first that cannot be used.
pub fn queue(of: &Map<String, Value>, spelling: Spelling) -> Result<QueueSettings, Unusable> {
    let mut settings = QueueSettings {
        durable: truth(of, "durable", true)?,
        auto_delete: truth(of, "auto_delete", false)?,
        exclusive: truth(of, "exclusive", false)?,
        ..QueueSettings::DURABLE
    };
    let (mut exchange, mut key, mut stream, mut age) = (None, None, false, None);
    for (name, value) in arguments(of)? {
        match name.as_str() {
            "x-dead-letter-exchange" => exchange = Some(words(name, value)?),
            "x-dead-letter-routing-key" => key = Some(words(name, value)?),
            "x-queue-type" => stream = is_stream(value)?,
            "x-max-age" => age = Some(self::age(value)?),
            _ => take(&mut settings, name, value)?,
        }
    }
    if let Some(exchange) = exchange {
        let key = key.map(|key| spelling.key(exchange, key));
        settings.dead_letter = Some(DeadLetter { exchange: exchange.as_bytes().into(), key });
    } else if key.is_some() {
        return Err("x-dead-letter-routing-key needs x-dead-letter-exchange".to_owned());
    }
    if stream {
        let bytes_max = settings.bytes_max.take().and_then(NonZeroU64::new);
        settings.stream = Some(StreamSettings { bytes_max, age_max: age });
        check_stream(&settings)?;
    }
    Ok(settings)
}

fn take(settings: &mut QueueSettings, name: &str, value: &Value) -> Result<(), Unusable> {
    match name {
        "x-message-ttl" => settings.message_ttl = Some(millis(name, value, 0)?),
        "x-expires" => settings.expires = Some(millis(name, value, 1)?),
        "x-consumer-timeout" => settings.lease_max = Some(millis(name, value, 1)?),
        "x-max-length" => settings.length_max = Some(integer(name, value, 0, i64::MAX as u64)?),
        "x-max-length-bytes" => settings.bytes_max = Some(integer(name, value, 0, i64::MAX as u64)?),
        "x-max-priority" => settings.priority_max = NonZeroU8::new(integer(name, value, 0, 255)? as u8),
        "x-delivery-limit" if value.as_i64() == Some(-1) => settings.delivery_limit = None,
        "x-delivery-limit" => {
            settings.delivery_limit = NonZeroU32::new(integer(name, value, 0, u32::MAX.into())? as u32);
        }
        "x-single-active-consumer" => {
            settings.single_active_consumer =
                value.as_bool().ok_or_else(|| format!("{name} has to be true or false"))?;
        }
        "x-overflow" => {
            let said = words(name, value)?;
            let known = OVERFLOWS.iter().find(|(word, _)| *word == said);
            settings.overflow =
                known.ok_or("x-overflow has to be drop-head, reject-publish or reject-publish-dlx")?.1;
        }
        "x-durability" => {
            let known = Durability::from_name(words(name, value)?.as_bytes());
            settings.durability = known.ok_or("x-durability has to be sync, interval or memory")?;
        }
        _ => {}
    }
    Ok(())
}

/// A stream is not consumed: what is about consuming makes no sense of it.
fn check_stream(settings: &QueueSettings) -> Result<(), Unusable> {
    let misplaced = [
        ("x-message-ttl", settings.message_ttl.is_some()),
        ("x-expires", settings.expires.is_some()),
        ("x-overflow", settings.overflow != Overflow::DropHead),
        ("x-dead-letter-exchange", settings.dead_letter.is_some()),
        ("x-max-priority", settings.priority_max.is_some()),
        ("x-delivery-limit", settings.delivery_limit.is_some()),
        ("x-single-active-consumer", settings.single_active_consumer),
        ("x-max-length", settings.length_max.is_some()),
    ];
    match misplaced.iter().find(|(_, is_there)| *is_there) {
        Some((name, _)) => Err(format!("a stream has no {name}")),
        None => Ok(()),
    }
}

fn is_stream(value: &Value) -> Result<bool, Unusable> {
    match words("x-queue-type", value)? {
        "stream" => Ok(true),
        "classic" | "quorum" => Ok(false),
        _ => Err("x-queue-type has to be classic, quorum or stream".to_owned()),
    }
}

/// A number and its unit: `Y`, `M`, `D`, `h`, `m` or `s`.
fn age(value: &Value) -> Result<Duration, Unusable> {
    let wrong = || "x-max-age has to be a number and a unit, such as 7D".to_owned();
    let text = words("x-max-age", value)?;
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds = match unit {
        'Y' => 365 * 86_400,
        'M' => 30 * 86_400,
        'D' => 86_400,
        'h' => 3_600,
        'm' => 60,
        's' => 1,
        _ => return Err(wrong()),
    };
    let number: u64 = text.trim_end_matches(unit).parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

/// What a queue is.
pub(crate) fn show_queue(settings: &QueueSettings, spelling: Spelling) -> Map<String, Value> {
    let millis = |time: Duration| json!(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    let mut arguments = Map::new();
    let mut put =
        |name: &str, value: Option<Value>| arguments.extend(value.map(|value| (name.to_owned(), value)));
    put("x-message-ttl", settings.message_ttl.map(millis));
    put("x-expires", settings.expires.map(millis));
    put("x-consumer-timeout", settings.lease_max.map(millis));
    put("x-max-length", settings.length_max.map(Value::from));
    put("x-max-length-bytes", settings.bytes_max.map(Value::from));
    put("x-max-priority", settings.priority_max.map(|max| max.get().into()));
    put("x-delivery-limit", settings.delivery_limit.map(|limit| limit.get().into()));
    put("x-single-active-consumer", settings.single_active_consumer.then_some(Value::Bool(true)));
    let overflow = OVERFLOWS.iter().find(|(_, overflow)| *overflow == settings.overflow);
    let overflow = overflow.filter(|(_, overflow)| *overflow != Overflow::DropHead);
    put("x-overflow", overflow.map(|(word, _)| (*word).into()));
    let durability = settings.durability;
    put("x-durability", (durability != Durability::Sync).then(|| durability.name().into()));
    if let Some(DeadLetter { exchange, key }) = &settings.dead_letter {
        put("x-dead-letter-exchange", Some(text(exchange).into()));
        let key = key.as_ref().map(|key| spelling.shown_key(exchange, key).into());
        put("x-dead-letter-routing-key", key);
    }
    if let Some(StreamSettings { bytes_max, age_max }) = settings.stream {
        put("x-queue-type", Some("stream".into()));
        put("x-max-length-bytes", bytes_max.map(|max| max.get().into()));
        put("x-max-age", age_max.map(|age| format!("{}s", age.as_secs()).into()));
    }
    let mut shown = Map::new();
    shown.insert("durable".to_owned(), settings.durable.into());
    shown.insert("auto_delete".to_owned(), settings.auto_delete.into());
    shown.insert("exclusive".to_owned(), settings.exclusive.into());
    shown.insert("arguments".to_owned(), arguments.into());
    shown
}

fn kind(name: &str) -> Result<ExchangeKind, Unusable> {
    let known = EXCHANGE_KINDS.into_iter().find(|kind| kind.name() == name);
    known.ok_or_else(|| format!("'{name}' is no type of exchanges"))
}

/// What an exchange is to be.
///
/// # Errors
/// The first that cannot be used.
pub fn exchange(of: &Map<String, Value>) -> Result<ExchangeSettings, Unusable> {
    let said = words("type", of.get("type").unwrap_or(&Value::Null))?;
    let delayed = said == "x-delayed-message";
    let mut routes = (!delayed).then_some(said);
    let (mut alternate, mut hash_on) = (None, HashOn::Key);
    for (name, value) in arguments(of)? {
        match name.as_str() {
            "alternate-exchange" => alternate = Some(words(name, value)?.as_bytes().into()),
            "x-delayed-type" if delayed => routes = Some(words(name, value)?),
            "hash-header" => hash_on = HashOn::Property(words(name, value)?.into()),
            "hash-property" => {
                hash_on = match words(name, value)? {
                    "message_id" => HashOn::MessageId,
                    "correlation_id" => HashOn::Correlation,
                    "timestamp" => HashOn::Created,
                    _ => {
                        return Err(
                            "hash-property has to be message_id, correlation_id or timestamp".to_owned()
                        );
                    }
                }
            }
            _ => {}
        }
    }
    Ok(ExchangeSettings {
        kind: kind(routes.ok_or("x-delayed-message needs x-delayed-type")?)?,
        durable: truth(of, "durable", true)?,
        auto_delete: truth(of, "auto_delete", false)?,
        internal: truth(of, "internal", false)?,
        alternate,
        delayed,
        hash_on,
    })
}

/// What an exchange is.
pub(crate) fn show_exchange(settings: &ExchangeSettings) -> Map<String, Value> {
    let mut arguments = Map::new();
    let mut put = |name: &str, value: &str| arguments.insert(name.to_owned(), value.into());
    if settings.delayed {
        put("x-delayed-type", settings.kind.name());
    }
    if let Some(alternate) = &settings.alternate {
        put("alternate-exchange", &text(alternate));
    }
    match &settings.hash_on {
        HashOn::Key => None,
        HashOn::Property(name) => put("hash-header", name),
        HashOn::MessageId => put("hash-property", "message_id"),
        HashOn::Correlation => put("hash-property", "correlation_id"),
        HashOn::Created => put("hash-property", "timestamp"),
    };
    let kind = if settings.delayed { "x-delayed-message" } else { settings.kind.name() };
    let mut shown = Map::new();
    shown.insert("type".to_owned(), kind.into());
    shown.insert("durable".to_owned(), settings.durable.into());
    shown.insert("auto_delete".to_owned(), settings.auto_delete.into());
    shown.insert("internal".to_owned(), settings.internal.into());
    shown.insert("arguments".to_owned(), arguments.into());
    shown
}

/// What a client has said of itself, as an object.
pub(crate) fn show_arguments(arguments: &[(Box<str>, Argument)]) -> Value {
    let shown = arguments.iter().map(|(name, value)| (name.to_string(), show_argument(value)));
    shown.collect::<Map<_, _>>().into()
}

fn show_argument(argument: &Argument) -> Value {
    match argument {
        Argument::Null => Value::Null,
        Argument::Bool(value) => (*value).into(),
        Argument::Integer(number) => (*number).into(),
        Argument::Float(number) => (*number).into(),
        Argument::Text(text) => (**text).into(),
        Argument::Binary(bytes) => text(bytes).into(),
    }
}

/// The ends of a binding.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'e> {
    /// The exchange.
    pub source: &'e str,
    /// What is bound to it.
    pub destination: &'e str,
    /// Whether that is a queue, rather than an exchange.
    pub is_queue: bool,
}

/// What a binding is to be.
///
/// # Errors
/// What cannot be used.
pub fn binding(ends: Ends<'_>, of: &Map<String, Value>, spelling: Spelling) -> Result<BindingView, Unusable> {
    let key =
        words("routing_key", of.get("routing_key").unwrap_or(&Value::String(String::new())))?.to_owned();
    let argument = |(name, value): (&String, &Value)| {
        let value = match value {
            Value::Null => Argument::Null,
            Value::Bool(value) => Argument::Bool(*value),
            Value::Number(number) => match number.as_i64() {
                Some(number) => Argument::Integer(number),
                None => Argument::Float(number.as_f64().unwrap_or_default()),
            },
            Value::String(text) => Argument::Text(text.as_str().into()),
            other => Argument::Text(other.to_string().into()),
        };
        (Box::from(name.as_str()), value)
    };
    Ok(BindingView {
        source: ends.source.as_bytes().into(),
        destination: ends.destination.as_bytes().into(),
        is_queue: ends.is_queue,
        key: spelling.filter(&key),
        arguments: arguments(of)?.map(argument).collect(),
    })
}

/// What a binding is.
pub(crate) fn show_binding(binding: &BindingView, spelling: Spelling) -> Map<String, Value> {
    let mut shown = Map::new();
    shown.insert("source".to_owned(), text(&binding.source).into());
    shown.insert("destination".to_owned(), text(&binding.destination).into());
    let kind = if binding.is_queue { "queue" } else { "exchange" };
    shown.insert("destination_type".to_owned(), kind.into());
    shown.insert("routing_key".to_owned(), spelling.shown_filter(&binding.key).into());
    shown.insert("arguments".to_owned(), show_arguments(&binding.arguments));
    shown
}
