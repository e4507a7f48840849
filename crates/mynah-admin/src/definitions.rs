//! Definitions of RabbitMQ, as its management plugin exports them: queues, exchanges and bindings of one virtual host as orders.

use mynah_core::administration::Order;
use serde_json::{Map, Value};

use crate::terms::{self, Ends, Spelling, Unusable};

/// The virtual host that is meant where none is said.
pub const VIRTUAL_HOST: &str = "/";

/// Reads one item of a section.
type Reading = fn(&Map<String, Value>) -> Result<Order, Unusable>;

/// What a file says: orders, in the order in which they can be carried out, each with its place in the file.
#[derive(Debug, Default)]
pub struct Definitions {
    /// Exchanges first, then queues, then bindings.
    pub orders: Vec<(String, Order)>,
    /// What is not taken over: its place, and why.
    pub left: Vec<(String, String)>,
}

impl Definitions {
    /// Reads what concerns one virtual host. Users are no part of it.
    #[must_use]
    pub fn read(document: &Map<String, Value>, virtual_host: &str) -> Self {
        let mut read = Self::default();
        let kinds: [(&str, Reading); 3] = [("exchanges", exchange), ("queues", queue), ("bindings", binding)];
        for (section, order) in kinds {
            for (at, item) in items(document, section) {
                let place = format!("{section}[{at}] {}", named(item));
                let of_host = item.get("vhost").and_then(Value::as_str).unwrap_or(virtual_host);
                let made = match item.as_object() {
                    _ if of_host != virtual_host => Err(format!("it is of the virtual host {of_host}")),
                    Some(object) => order(object),
                    None => Err("this is no object".to_owned()),
                };
                match made {
                    Ok(order) => read.orders.push((place, order)),
                    Err(why) => read.left.push((place, why)),
                }
            }
        }
        let why = "a queue is what it was declared as: write the policy as arguments where it is declared";
        read.leave(document, "policies", why);
        read.leave(document, "operator_policies", why);
        read.leave(document, "parameters", "there are no such parameters");
        read.leave(document, "global_parameters", "there are no such parameters");
        read
    }

    fn leave(&mut self, document: &Map<String, Value>, section: &str, why: &str) {
        for (at, item) in items(document, section) {
            self.left.push((format!("{section}[{at}] {}", named(item)), why.to_owned()));
        }
    }
}

fn items<'d>(document: &'d Map<String, Value>, section: &str) -> impl Iterator<Item = (usize, &'d Value)> {
    document.get(section).and_then(Value::as_array).into_iter().flatten().enumerate()
}

/// What an item is called, or, of a binding, what it binds.
fn named(item: &Value) -> String {
    let text = |name: &str| item.get(name).and_then(Value::as_str);
    match (text("name"), text("source"), text("destination")) {
        (Some(name), ..) => name.to_owned(),
        (None, Some(source), Some(destination)) => format!("{source} to {destination}"),
        _ => String::new(),
    }
}

fn word<'o>(of: &'o Map<String, Value>, name: &str) -> Result<&'o str, Unusable> {
    of.get(name).and_then(Value::as_str).ok_or_else(|| format!("{name} has to be text"))
}

fn queue(of: &Map<String, Value>) -> Result<Order, Unusable> {
    let settings = Box::new(terms::queue(of, Spelling::Dotted)?);
    Ok(Order::DeclareQueue { name: word(of, "name")?.as_bytes().into(), settings })
}

fn exchange(of: &Map<String, Value>) -> Result<Order, Unusable> {
    let settings = Box::new(terms::exchange(of)?);
    Ok(Order::DeclareExchange { name: word(of, "name")?.as_bytes().into(), settings })
}

fn binding(of: &Map<String, Value>) -> Result<Order, Unusable> {
    let is_queue = match word(of, "destination_type")? {
        "queue" => true,
        "exchange" => false,
        _ => return Err("destination_type has to be queue or exchange".to_owned()),
    };
    let ends = Ends { source: word(of, "source")?, destination: word(of, "destination")?, is_queue };
    let binding = terms::binding(ends, of, Spelling::Dotted)?;
    Ok(Order::Bind { binding, bound: true })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mynah_model::{ExchangeKind, QueueSettings};
    use serde_json::json;

    #[test]
    fn definitions_are_orders_that_can_be_carried_out_one_after_the_other() {
        let document = json!({
            "queues": [
                {"name": "jobs", "vhost": "/", "durable": true, "auto_delete": false, "arguments": {}},
                {"name": "far", "vhost": "other", "durable": true, "auto_delete": false, "arguments": {}},
                {"name": "odd", "vhost": "/", "arguments": {"x-max-length": "many"}}],
            "exchanges": [{"name": "x", "vhost": "/", "type": "topic", "durable": true, "arguments": {}}],
            "bindings": [{"source": "x", "vhost": "/", "destination": "jobs", "destination_type": "queue",
                          "routing_key": "a.*.#", "arguments": {}}],
            "policies": [{"name": "p", "vhost": "/", "pattern": ".*", "definition": {"max-length": 5}}],
        });
        let Definitions { orders, left } = Definitions::read(document.as_object().unwrap(), "/");
        let places: Vec<_> = orders.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(places, ["exchanges[0] x", "queues[0] jobs", "bindings[0] x to jobs"]);
        let left: Vec<_> = left.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(left, ["queues[1] far", "queues[2] odd", "policies[0] p"]);
        let [(_, exchange), (_, queue), (_, binding)] = &orders[..] else { panic!("{orders:?}") };
        assert!(
            matches!(exchange, Order::DeclareExchange { settings, .. } if settings.kind == ExchangeKind::Topic)
        );
        assert!(
            matches!(queue, Order::DeclareQueue { settings, .. } if **settings == QueueSettings::DURABLE)
        );
        assert!(matches!(binding, Order::Bind { binding, bound: true } if *binding.key == *b"a/+/#"));
    }
}
