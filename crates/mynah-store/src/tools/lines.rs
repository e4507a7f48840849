//! The lines of an export: one JSON object each. Names and topics that are UTF-8 are text, other bytes are base64 under
//! the same name with `_base64`.

use core::num::NonZeroU64;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mynah_model::{Class, Layout, SubscriptionId, SubscriptionOptions, TenantId, WallTime};
use serde_json::{Map, Value as Json, json};

use crate::record::item::{expiry, expiry_number, retain_handling, retain_number};
use crate::record::{
    Batch, DelayedValue, EntryValue, Key, LeaseValue, Options, Owner, OwnerKind, OwnerValue, PayloadId,
    StoredMessage, SubscriptionValue, Value, WillValue,
};

/// The word for a kind of record.
pub(super) fn kind(key: &Key<'_>) -> &'static str {
    match key {
        Key::Setting { .. } => "setting",
        Key::Owner(Owner { kind: OwnerKind::Session, .. }) => "session",
        Key::Owner(Owner { kind: OwnerKind::Queue, .. }) => "queue",
        Key::Owner(Owner { kind: OwnerKind::Exchange, .. }) => "exchange",
        Key::Subscription(..) => "subscription",
        Key::Received(..) => "received",
        Key::Part(..) => "part",
        Key::Will(_) => "will",
        Key::Lease(..) => "lease",
        Key::Entry(..) => "entry",
        Key::Retained { .. } => "retained",
        Key::Delayed { .. } => "delayed",
        Key::Bridge { .. } => "bridge",
    }
}

/// Says that all lines before are void.
pub(super) fn restart() -> Json {
    json!({ "kind": "restart" })
}

/// Sets bytes, as text where they are.
fn set(object: &mut Map<String, Json>, name: &str, bytes: &[u8]) {
    match core::str::from_utf8(bytes) {
        Ok(text) => object.insert(name.to_owned(), text.into()),
        Err(_) => object.insert(format!("{name}_base64"), STANDARD.encode(bytes).into()),
    };
}

fn set_options(object: &mut Map<String, Json>, options: Options<'_>) {
    if !options.as_bytes().is_empty() {
        object.insert("options_base64".to_owned(), STANDARD.encode(options.as_bytes()).into());
    }
}

fn millis(time: Option<WallTime>) -> Json {
    time.map_or(Json::Null, |time| time.as_unix_millis().into())
}

/// The line of a message.
pub(super) fn message(message: &StoredMessage<'_>) -> Json {
    let mut line = json!({
        "kind": "message",
        "id": message.id.0,
        "tenant": message.tenant.number(),
        "layout": [message.layout.id, message.layout.version],
        "class": message.class.number(),
        "retain": message.retain,
        "priority": message.priority,
        "topic": [message.topic.0, message.topic.1],
        "payload": [message.payload.0, message.payload.1],
        "deadline_ms": millis(message.deadline),
        "native_base64": STANDARD.encode(message.native),
    });
    if let Some(publisher) = message.publisher {
        line["publisher"] = publisher.get().into();
    }
    line
}

/// The line of a key with its value.
pub(super) fn item(key: &Key<'_>, value: &Value<'_>) -> Json {
    let mut object = Map::new();
    object.insert("kind".to_owned(), kind(key).into());
    object.insert("tenant".to_owned(), key.tenant().number().into());
    object.insert("shard".to_owned(), key.shard().into());
    set_key(&mut object, key);
    set_value(&mut object, value);
    Json::Object(object)
}

fn set_key(object: &mut Map<String, Json>, key: &Key<'_>) {
    match *key {
        Key::Setting { name, .. } | Key::Bridge { name, .. } => set(object, "name", name),
        Key::Retained { topic, .. } => set(object, "topic", topic),
        Key::Delayed { id, .. } => drop(object.insert("id".to_owned(), id.into())),
        Key::Owner(owner)
        | Key::Subscription(owner, _)
        | Key::Received(owner, _)
        | Key::Part(owner, _, _)
        | Key::Will(owner)
        | Key::Lease(owner, _)
        | Key::Entry(owner, _) => {
            object.insert("of_queue".to_owned(), (owner.kind == OwnerKind::Queue).into());
            if owner.kind == OwnerKind::Exchange {
                object.insert("of_exchange".to_owned(), true.into());
            }
            set(object, "name", owner.name);
        }
    }
    match *key {
        Key::Subscription(_, filter) => set(object, "filter", filter),
        Key::Received(_, id) => drop(object.insert("id".to_owned(), id.into())),
        Key::Lease(_, sequence) | Key::Entry(_, sequence) => {
            object.insert("sequence".to_owned(), sequence.into());
        }
        Key::Part(_, of, number) => {
            object.insert("of".to_owned(), of.into());
            object.insert("number".to_owned(), number.into());
        }
        _ => {}
    }
}

fn set_value(object: &mut Map<String, Json>, value: &Value<'_>) {
    let mut number = |name: &str, value: Json| drop(object.insert(name.to_owned(), value));
    if let Some(PayloadId(id)) = value.payload() {
        number("message", id.into());
    }
    match value {
        Value::Received | Value::Retained(_) => {}
        Value::Bytes(bytes) => number("value_base64", STANDARD.encode(bytes).into()),
        Value::Owner(owner) => {
            number("anonymous", owner.anonymous.into());
            number("expiry", expiry_number(owner.expiry).into());
            number("receive_max", owner.receive_max.into());
            number("detached_at_ms", millis(owner.detached_at));
            number("head", owner.head.into());
            set(object, "identity", owner.identity);
            set_options(object, owner.options);
        }
        Value::Subscription(subscription) => {
            let options = subscription.options;
            number("class_max", options.class_max.number().into());
            number("retain_handling", retain_number(options.retain_handling).into());
            number("retain_as_published", options.retain_as_published.into());
            number("no_local", options.no_local.into());
            number("separate", options.separate.into());
            number("identifier", options.id.map(SubscriptionId::number).into());
            set_options(object, subscription.more);
        }
        Value::Will(will) => {
            number("delay_ms", (will.delay.as_millis() as u64).into());
            number("lifetime_ms", will.lifetime.map(|lifetime| lifetime.as_millis() as u64).into());
            number("due_ms", millis(will.due));
            set_options(object, will.options);
        }
        Value::Lease(lease) => {
            number("delivery", lease.delivery.into());
            number("received", lease.received.into());
            number("count", lease.count.into());
            set_options(object, lease.options);
        }
        Value::Entry(entry) => {
            number("class", entry.class.number().into());
            number("retain", entry.retain.into());
            set_options(object, entry.options);
        }
        Value::Delayed(delayed) => {
            number("due_ms", delayed.due.as_unix_millis().into());
            set_options(object, delayed.options);
        }
    }
}

/// Adds what a line says to a batch. `names` maps the names of messages in the export to those in the store.
pub(super) fn read(
    line: &str,
    batch: &mut Batch,
    names: &mut BTreeMap<u64, u64>,
    new_name: impl FnOnce() -> PayloadId,
) -> Result<(), String> {
    if line.trim().is_empty() {
        return Ok(());
    }
    let json: Json = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let object = Line(json.as_object().ok_or("not an object")?);
    match object.text("kind")? {
        "restart" => Err("the export was broken off by a damaged state; export again".to_owned()),
        "message" => {
            let id = new_name();
            names.insert(object.number("id")?, id.0);
            object.message(id, batch)
        }
        kind => object.item(kind, batch, names),
    }
}

struct Line<'l>(&'l Map<String, Json>);

impl Line<'_> {
    fn text(&self, name: &str) -> Result<&str, String> {
        self.0.get(name).and_then(Json::as_str).ok_or_else(|| format!("`{name}` is missing, or not a text"))
    }

    fn number<T: TryFrom<u64>>(&self, name: &str) -> Result<T, String> {
        let number = self.0.get(name).and_then(Json::as_u64).and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| format!("`{name}` is missing, or not a number that fits"))
    }

    fn flag(&self, name: &str) -> Result<bool, String> {
        self.0
            .get(name)
            .and_then(Json::as_bool)
            .ok_or_else(|| format!("`{name}` is missing, or not a boolean"))
    }

    /// Bytes, from text or from base64; none if neither is there.
    fn maybe_bytes(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        if let Some(text) = self.0.get(name).and_then(Json::as_str) {
            return Ok(Some(text.as_bytes().to_vec()));
        }
        let encoded = format!("{name}_base64");
        let Some(text) = self.0.get(&encoded).and_then(Json::as_str) else { return Ok(None) };
        STANDARD.decode(text).map(Some).map_err(|error| format!("`{encoded}`: {error}"))
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>, String> {
        self.maybe_bytes(name)?.ok_or_else(|| format!("`{name}` is missing"))
    }

    fn time(&self, name: &str) -> Option<WallTime> {
        self.0.get(name).and_then(Json::as_u64).map(WallTime::from_unix_millis)
    }

    fn class(&self, name: &str) -> Result<Class, String> {
        Class::from_number(self.number(name)?).ok_or_else(|| format!("`{name}` is 0, 1 or 2"))
    }

    fn pair<T: TryFrom<u64> + Copy>(&self, name: &str) -> Result<(T, T), String> {
        let numbers: Vec<T> = self
            .0
            .get(name)
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
            .filter_map(|number| number.as_u64().and_then(|number| T::try_from(number).ok()))
            .collect();
        match numbers[..] {
            [one, other] => Ok((one, other)),
            _ => Err(format!("`{name}` is missing, or not two numbers that fit")),
        }
    }

    fn tenant(&self) -> Result<TenantId, String> {
        Ok(TenantId::new(self.number("tenant")?))
    }

    fn message(&self, id: PayloadId, batch: &mut Batch) -> Result<(), String> {
        let native = self.bytes("native")?;
        let (layout, version) = self.pair("layout")?;
        let message = StoredMessage {
            id,
            tenant: self.tenant()?,
            layout: Layout { id: layout, version },
            class: self.class("class")?,
            retain: self.flag("retain")?,
            priority: self.number("priority")?,
            topic: self.pair("topic")?,
            payload: self.pair("payload")?,
            deadline: self.time("deadline_ms"),
            publisher: self.number("publisher").ok().and_then(NonZeroU64::new),
            native: &native,
        };
        for (from, to) in [message.topic, message.payload] {
            if from > to || to as usize > native.len() {
                return Err("`topic` or `payload` lies outside of `native_base64`".to_owned());
            }
        }
        batch.payload(0, &message);
        Ok(())
    }

    fn item(&self, kind: &str, batch: &mut Batch, names: &BTreeMap<u64, u64>) -> Result<(), String> {
        let (name, filter) = (self.maybe_bytes("name")?.unwrap_or_default(), self.maybe_bytes("filter")?);
        let (topic, filter) = (self.maybe_bytes("topic")?.unwrap_or_default(), filter.unwrap_or_default());
        let (tenant, shard) = (self.tenant()?, self.number("shard")?);
        let is = |name: &str| self.0.get(name).and_then(Json::as_bool).unwrap_or(false);
        let owner_kind = match (is("of_exchange"), is("of_queue")) {
            (true, _) => OwnerKind::Exchange,
            (_, true) => OwnerKind::Queue,
            _ => OwnerKind::Session,
        };
        let owner = Owner { tenant, shard, kind: owner_kind, name: &name };
        let key = match kind {
            "setting" => Key::Setting { tenant, name: &name },
            "session" | "queue" | "exchange" => Key::Owner(owner),
            "subscription" => Key::Subscription(owner, &filter),
            "received" => Key::Received(owner, self.number("id")?),
            "part" => Key::Part(owner, self.number("of")?, self.number("number")?),
            "will" => Key::Will(owner),
            "lease" => Key::Lease(owner, self.number("sequence")?),
            "entry" => Key::Entry(owner, self.number("sequence")?),
            "retained" => Key::Retained { tenant, shard, topic: &topic },
            "delayed" => Key::Delayed { tenant, shard, id: self.number("id")? },
            "bridge" => Key::Bridge { tenant, shard, name: &name },
            other => return Err(format!("`{other}` is no kind of record")),
        };
        let options = self.maybe_bytes("options")?.unwrap_or_default();
        let options = Options::new(&options).ok_or("`options_base64` is not a list of options")?;
        let (bytes, identity) = (self.maybe_bytes("value")?, self.maybe_bytes("identity")?);
        let parts = Parts {
            options,
            bytes: bytes.as_deref().unwrap_or_default(),
            identity: identity.as_deref().unwrap_or_default(),
            payload: self.payload(names)?,
        };
        let value = self.value(kind, parts)?;
        batch.put(&key, &value).map_err(|error| error.to_string())
    }

    fn payload(&self, names: &BTreeMap<u64, u64>) -> Result<PayloadId, String> {
        let Some(id) = self.0.get("message").and_then(Json::as_u64) else { return Ok(PayloadId(0)) };
        names.get(&id).map(|id| PayloadId(*id)).ok_or_else(|| format!("there is no message {id} before"))
    }

    fn value<'p>(&self, kind: &str, parts: Parts<'p>) -> Result<Value<'p>, String> {
        let Parts { options, bytes, identity, payload } = parts;
        Ok(match kind {
            "setting" | "bridge" | "part" => Value::Bytes(bytes),
            "session" | "queue" | "exchange" => Value::Owner(OwnerValue {
                identity,
                anonymous: self.flag("anonymous")?,
                expiry: expiry(self.number("expiry")?),
                receive_max: self.number("receive_max")?,
                detached_at: self.time("detached_at_ms"),
                head: self.number("head")?,
                options,
            }),
            "subscription" => Value::Subscription(SubscriptionValue {
                options: SubscriptionOptions {
                    class_max: self.class("class_max")?,
                    retain_handling: retain_handling(self.number("retain_handling")?)
                        .ok_or("`retain_handling` is 0, 1 or 2")?,
                    retain_as_published: self.flag("retain_as_published")?,
                    no_local: self.flag("no_local")?,
                    separate: self.flag("separate")?,
                    id: self.number("identifier").ok().and_then(SubscriptionId::new),
                },
                more: options,
            }),
            "received" => Value::Received,
            "will" => {
                let delay = core::time::Duration::from_millis(self.number("delay_ms")?);
                let lifetime = self.number("lifetime_ms").ok().map(core::time::Duration::from_millis);
                Value::Will(WillValue { payload, delay, lifetime, due: self.time("due_ms"), options })
            }
            "lease" => Value::Lease(LeaseValue {
                delivery: self.number("delivery")?,
                received: self.flag("received")?,
                count: self.number("count")?,
                options,
            }),
            "entry" => {
                let (class, retain) = (self.class("class")?, self.flag("retain")?);
                Value::Entry(EntryValue { payload, class, retain, options })
            }
            "retained" => Value::Retained(payload),
            _ => {
                let due = WallTime::from_unix_millis(self.number("due_ms")?);
                Value::Delayed(DelayedValue { payload, due, options })
            }
        })
    }
}

/// Parts of a value that are borrowed.
struct Parts<'p> {
    options: Options<'p>,
    bytes: &'p [u8],
    identity: &'p [u8],
    payload: PayloadId,
}
