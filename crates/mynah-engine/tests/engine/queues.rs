//! The words about queues of the protocol of lines.
//!
//! `declare NAME SETTINGS`, `present NAME`, `use NAME`, `drop NAME [unused|empty]`, `purge NAME`, `bind NAME FILTER`,
//! `unbind NAME FILTER`, `eat CONSUMER NAME CREDIT [OPTIONS]`, `stop CONSUMER [keep]`, `flow CONSUMER CREDIT [drain]`,
//! `yes|no|back|fail CONSUMER FIRST LAST [MS]`, with `!` after the verb to hear of it, `put NAME CLASS PAYLOAD`, and
//! `commit` before several of the last two kinds with `;` between.
//!
//! `take NAME HOLDER CREDIT MS MS` leases messages that the connection does not hold, for so long, and waits for so long;
//! `taken NAME HOLDER LEASE yes|no|more MS` settles or extends them.
//!
//! Settings are a `-` or words with commas between: `durable`, `exclusive`, `auto`, `single`, `stream`, `reject`, and
//! `expires=MS`, `ttl=MS`, `lease=MS`, `len=N`, `limit=N`, `prio=N`, `dead=QUEUE`, `deadx=EXCHANGE/KEY`. A credit is a number of messages or `*`.
//! Options of a consumer: `settled`, `exclusive`, `polls`, `nolocal`, `first`, `since=MS`, `prio=N`, `where=CONDITION` without a space.

use std::time::Duration;

use mynah_model::{
    Credit, CreditChange, DeadLetter, Durability, LeaseSettlement, Overflow, QueueSettings, StreamOffset,
    StreamSettings, WallTime,
};
use mynah_stack::{
    Bind, Command, Consume, ConsumeOptions, ConsumerId, Declaration, Declare, Delete, Destination, Entity,
    Flow, Hold, Holder, Holding, Lease, Outbound, Publish, Purge, QueueCommand, QueueOutcome, Refusal,
    SettleLeases, Transaction,
};

use crate::exchange_lines;
use crate::lines::{class_of, header};

pub(crate) fn command(line: &str, receipt: u16) -> Option<Command<'_>> {
    if let Some(parts) = line.strip_prefix("commit ") {
        return Some(Command::Queue(QueueCommand::Transact(Box::new(transaction(parts, receipt)))));
    }
    if line.starts_with("put ") {
        return Some(Command::Publish(put(line, receipt)));
    }
    let receipt = u32::from(receipt);
    let words: Vec<&str> = line.split(' ').collect();
    if let Some(hold) = hold(&words, receipt) {
        return Some(Command::Queue(QueueCommand::Hold(Box::new(hold))));
    }
    let declare = |name: &'_ str, declaration| {
        let entity = Entity::Queue(&line.as_bytes()[line.find(name).unwrap()..][..name.len()]);
        QueueCommand::Declare(Box::new(Declare { receipt, entity, declaration }))
    };
    Some(Command::Queue(match words[..] {
        ["declare", name, settings] => declare(name, Declaration::Queue(settings_of(settings))),
        ["present", name] => declare(name, Declaration::Passive),
        ["use", name] => declare(name, Declaration::OnFirstUse),
        ["drop", name, ref only @ ..] => QueueCommand::Delete(Delete {
            receipt,
            entity: Entity::Queue(name.as_bytes()),
            if_unused: only.contains(&"unused"),
            if_empty: only.contains(&"empty"),
        }),
        ["purge", name] => QueueCommand::Purge(Purge { receipt, queue: name.as_bytes() }),
        ["bind", name, key] => QueueCommand::Bind(Box::new(bind(receipt, name, key))),
        ["unbind", name, key] => QueueCommand::Unbind(Box::new(bind(receipt, name, key))),
        ["eat", consumer, name, credit, ref options @ ..] => QueueCommand::Consume(Box::new(Consume {
            consumer: id(consumer),
            queue: name.as_bytes(),
            options: options_of(options.first().copied().unwrap_or_default()),
            credit: credit_of(credit),
        })),
        ["stop", consumer, ref keep @ ..] => {
            QueueCommand::Cancel { consumer: id(consumer), keep: !keep.is_empty() }
        }
        ["flow", consumer, credit, ref drain @ ..] => QueueCommand::Flow(Flow {
            consumer: id(consumer),
            change: CreditChange::Add(credit_of(credit)),
            drain: !drain.is_empty(),
        }),
        [verb, consumer, first, last, ref after @ ..] => {
            let after = after.first().map_or(Duration::ZERO, |ms| millis(ms));
            let settlement = match verb.trim_end_matches('!') {
                "yes" => LeaseSettlement::Accepted,
                "no" => LeaseSettlement::Rejected,
                "back" => LeaseSettlement::Released { after },
                "fail" => LeaseSettlement::Failed { after },
                _ => return None,
            };
            let receipt = verb.ends_with('!').then_some(receipt);
            let (first, last) = (first.parse().unwrap(), last.parse().unwrap());
            QueueCommand::Settle(SettleLeases { consumer: id(consumer), first, last, settlement, receipt })
        }
        _ => return None,
    }))
}

fn hold<'b>(words: &[&'b str], receipt: u32) -> Option<Hold<'b>> {
    let (queue, holder, holding) = match *words {
        ["take", queue, holder, credit, lasting, wait] => {
            let (credit, lasting, wait) = (credit_of(credit), millis(lasting), millis(wait));
            (queue, holder, Holding::Take { credit, lasting, wait })
        }
        ["taken", queue, holder, lease, what, ms] => {
            let (lease, after) = (lease.parse().unwrap(), millis(ms));
            let holding = match what {
                "yes" => Holding::Settle(lease, LeaseSettlement::Accepted),
                "no" => Holding::Settle(lease, LeaseSettlement::Failed { after }),
                _ => Holding::Extend(lease, after),
            };
            (queue, holder, holding)
        }
        _ => return None,
    };
    let mut name = [0; 16];
    name[..holder.len()].copy_from_slice(holder.as_bytes());
    Some(Hold { receipt, queue: queue.as_bytes(), holder: Holder(name), holding })
}

fn transaction(parts: &str, receipt: u16) -> Transaction<'_> {
    let mut transaction =
        Transaction { receipt: receipt.into(), publications: Vec::new(), settlements: Vec::new() };
    for part in parts.split(';') {
        match exchange_lines::command(part, receipt).or_else(|| command(part, receipt)) {
            Some(Command::Publish(publish)) => transaction.publications.push(publish),
            Some(Command::Queue(QueueCommand::Settle(settle))) => transaction.settlements.push(settle),
            other => panic!("nothing to do together: {other:?}"),
        }
    }
    transaction
}

fn put(line: &str, receipt: u16) -> Publish<'_> {
    let native = &line[4..];
    let words: Vec<&str> = native.splitn(3, ' ').collect();
    let mut header = header(words[0].len(), native.len(), class_of(words[1]), false);
    header.payload.0 = (native.len() - words[2].len()) as u32;
    Publish {
        to: Destination::Queue,
        confirm: true,
        ..Publish::new(header, native.as_bytes().into(), receipt)
    }
}

fn bind<'b>(receipt: u32, name: &'b str, key: &'b str) -> Bind<'b> {
    let destination = Entity::Queue(name.as_bytes());
    Bind { receipt, source: b"amq.topic", destination, key: key.as_bytes(), arguments: Vec::new() }
}

fn id(text: &str) -> ConsumerId {
    ConsumerId(text.parse().unwrap())
}

fn millis(text: &str) -> Duration {
    Duration::from_millis(text.parse().unwrap())
}

fn credit_of(text: &str) -> Credit {
    match text {
        "*" => Credit::UNLIMITED,
        number => Credit { messages: number.parse().unwrap(), ..Credit::UNLIMITED },
    }
}

fn options_of(text: &str) -> ConsumeOptions<'_> {
    let mut options = ConsumeOptions::ALL;
    for word in text.split(',') {
        match word.split_once('=').unwrap_or((word, "")) {
            ("settled", _) => options.settled = true,
            ("exclusive", _) => options.exclusive = true,
            ("polls", _) => options.polls = true,
            ("nolocal", _) => options.no_local = true,
            ("first", _) => options.offset = Some(StreamOffset::First),
            ("since", ms) => {
                options.offset = Some(StreamOffset::Time(WallTime::from_unix_millis(ms.parse().unwrap())));
            }
            ("prio", number) => options.priority = number.parse().unwrap(),
            ("where", condition) => options.selector = Some(condition),
            _ => {}
        }
    }
    options
}

fn settings_of(text: &str) -> QueueSettings {
    let mut settings = QueueSettings { durable: false, ..QueueSettings::DURABLE };
    for word in text.split(',') {
        match word.split_once('=').unwrap_or((word, "")) {
            ("durable", _) => settings.durable = true,
            ("promise", name) => settings.durability = Durability::from_name(name.as_bytes()).unwrap(),
            ("exclusive", _) => settings.exclusive = true,
            ("auto", _) => settings.auto_delete = true,
            ("single", _) => settings.single_active_consumer = true,
            ("stream", _) => settings.stream = Some(StreamSettings::default()),
            ("reject", _) => settings.overflow = Overflow::RejectPublish,
            ("expires", ms) => settings.expires = Some(millis(ms)),
            ("ttl", ms) => settings.message_ttl = Some(millis(ms)),
            ("lease", ms) => settings.lease_max = Some(millis(ms)),
            ("len", number) => settings.length_max = Some(number.parse().unwrap()),
            ("limit", number) => settings.delivery_limit = Some(number.parse().unwrap()),
            ("prio", number) => settings.priority_max = Some(number.parse().unwrap()),
            ("dead", queue) => {
                let key = Some(queue.as_bytes().into());
                settings.dead_letter = Some(DeadLetter { exchange: Box::default(), key });
            }
            ("deadx", place) => {
                let (exchange, key) = place.rsplit_once('/').unwrap();
                let key = (key != "-").then(|| key.as_bytes().into());
                settings.dead_letter = Some(DeadLetter { exchange: exchange.as_bytes().into(), key });
            }
            _ => {}
        }
    }
    settings
}

pub(crate) fn write(lease: &Lease<'_>, out: &mut Outbound) {
    let Lease { consumer, lease: number, acquired, failed, .. } = *lease;
    let consumer = if lease.until.is_some() { "-".into() } else { consumer.0.to_string() };
    out.append(format!("lease {consumer} {number}").as_bytes());
    if lease.until.is_some() {
        out.append(b" held");
    }
    if acquired > 0 {
        out.append(format!(" again {acquired} {failed}").as_bytes());
    }
    for death in lease.deaths {
        let queue = String::from_utf8_lossy(&death.queue);
        out.append(format!(" dead {queue} {} {}", death.reason.name(), death.count).as_bytes());
    }
    lease.frame.write(out, b' ', None);
    out.append(b"\n");
}

fn why(refusal: &Refusal<'_>) -> String {
    let detail = if refusal.detail.is_empty() { String::new() } else { format!(": {}", refusal.detail) };
    format!("refused {}{detail}\n", refusal.reason)
}

pub(crate) fn told(outcome: &QueueOutcome<'_>) -> String {
    match outcome {
        QueueOutcome::Declared { result: Ok(declared), .. } => {
            let name = String::from_utf8_lossy(declared.name);
            format!("declared {name} {} {}\n", declared.messages, declared.consumers)
        }
        QueueOutcome::Deleted { result: Ok(count), .. } => format!("deleted {count}\n"),
        QueueOutcome::Bound { result: Ok(()), .. } => "bound\n".into(),
        QueueOutcome::Consuming { result: Ok(()), consumer } => format!("eating {}\n", consumer.0),
        QueueOutcome::Committed { result: Ok(()), .. } => "committed\n".into(),
        QueueOutcome::Held { result: Ok(Some(_)), .. } => "held\n".into(),
        QueueOutcome::Held { result: Ok(None), .. } => "not held\n".into(),
        QueueOutcome::Held { result: Err(refusal), .. }
        | QueueOutcome::Declared { result: Err(refusal), .. }
        | QueueOutcome::Deleted { result: Err(refusal), .. }
        | QueueOutcome::Bound { result: Err(refusal), .. }
        | QueueOutcome::Consuming { result: Err(refusal), .. }
        | QueueOutcome::Committed { result: Err(refusal), .. } => why(refusal),
        QueueOutcome::Cancelled(consumer) => format!("stopped {}\n", consumer.0),
        QueueOutcome::ConsumerEnded { consumer, reason } => format!("starved {} {reason}\n", consumer.0),
        QueueOutcome::Drained(consumer) => format!("drained {}\n", consumer.0),
        QueueOutcome::Settled { receipt } => format!("settled {receipt}\n"),
    }
}
