//! The management listener: amqpstorm's client of RabbitMQ's management, which is `python/amqp_management.py`, curl, and a
//! definitions file that is imported.

use mynah_interop::{Broker, Process, Setup};

use crate::curl::curl;
use crate::on_one_and_two_workers;
use crate::paho::python;

const AMQP: &str = "[[listener]]\nname = \"the-amqp\"\nprotocol = \"amqp091\"\naddress = \"127.0.0.1:0\"\n";

on_one_and_two_workers!(with_amqpstorm, definitions);

fn with_amqpstorm(workers: u16) {
    let broker = Setup::workers(workers).more(AMQP).start();
    let ports = [broker.management, broker.listener("the-amqp")].map(|address| address.port().to_string());
    let output = Process::start(python("amqp_management.py").args(ports)).finish().success();
    assert_eq!(output, "ok\n");
}

fn definitions(workers: u16) {
    let file = r#"{"rabbit_version": "3.10.8",
        "vhosts": [{"name": "/"}, {"name": "other"}],
        "queues": [
            {"name": "jobs", "vhost": "/", "durable": true, "auto_delete": false,
             "arguments": {"x-queue-type": "quorum", "x-dead-letter-exchange": "dead"}},
            {"name": "far", "vhost": "other", "durable": true, "auto_delete": false, "arguments": {}}],
        "exchanges": [
            {"name": "dead", "vhost": "/", "type": "fanout", "durable": true, "auto_delete": false,
             "internal": false, "arguments": {}},
            {"name": "odd", "vhost": "/", "type": "x-random", "durable": true, "auto_delete": false,
             "internal": false, "arguments": {}}],
        "bindings": [{"source": "amq.topic", "vhost": "/", "destination": "jobs", "destination_type": "queue",
                      "routing_key": "jobs.*", "arguments": {}}],
        "policies": [{"vhost": "/", "name": "short", "pattern": ".*", "definition": {"max-length": 10}}]}"#;
    let broker = Setup::workers(workers).file("definitions.json", file).start();
    let mut import = Broker::program();
    import.args(["import", "rabbitmq-definitions"]).arg(broker.folder().path("definitions.json"));
    let told = Process::start(import.arg("--to").arg(broker.management.to_string())).finish().success();
    assert!(told.starts_with("the broker has 3 queues, exchanges and bindings of "), "{told}");
    for what in ["queues[1] far: ", "exchanges[1] odd: ", "policies[0] short: "] {
        assert!(told.contains(what), "{what} in {told}");
    }
    let queue = curl(&[&broker.management_url("/admin/v1/queues/jobs")]);
    assert!(queue.body.contains(r#""x-dead-letter-exchange":"dead""#), "{}", queue.body);
    // What is published to the topic is in the queue.
    let publish = curl(&["-X", "PUT", "-d", "x", &broker.http_url("/v1/topics/jobs/one")]);
    assert_eq!(publish.status, 204);
    let purge = curl(&["-X", "DELETE", &broker.management_url("/admin/v1/queues/jobs/messages")]);
    assert_eq!((purge.status, purge.body.as_str()), (200, r#"{"messages":1}"#));
    let metrics = curl(&[&broker.management_url("/metrics")]).body;
    assert!(metrics.contains("mynah_queue_messages_received_total{queue=\"jobs\"} 1\n"), "{metrics}");
}
