//! The management listener: amqpstorm's client of RabbitMQ's management (`python/amqp_management.py`, `amqp_users.py`),
//! `rabbitmqadmin`, curl, and definitions files that are imported.

use std::process::Command;

use mynah_interop::{Broker, Process, Setup};

use crate::curl::curl;
use crate::on_one_and_two_workers;
use crate::paho::python;

const AMQP: &str = "[[listener]]\nname = \"the-amqp\"\nprotocol = \"amqp091\"\naddress = \"127.0.0.1:0\"\n";

on_one_and_two_workers!(with_amqpstorm, users, with_rabbitmqadmin, definitions, exported_definitions);

fn with_amqpstorm(workers: u16) {
    let broker = Setup::workers(workers).more(AMQP).start();
    let ports = [broker.management, broker.listener("the-amqp")].map(|address| address.port().to_string());
    let output = Process::start(python("amqp_management.py").args(ports)).finish().success();
    assert_eq!(output, "ok\n");
}

/// Who comes by a listener that asks for passwords.
fn users(workers: u16) {
    const MORE: &str = r#"
        [[listener]]
        name = "the-door"
        protocol = "management"
        address = "127.0.0.1:0"
        auth = "password"
        [[rule]]
        identity = ["guest", "bob"]
        action = "administer"
        allow = true
        [[rule]]
        identity = "guest"
        action = ["publish", "consume", "configure"]
        allow = true"#;
    let users = Setup::workers(workers).user("ada", "engine").user("guest", "guest");
    let broker = users.more(AMQP).more(MORE).start();
    let ports = ["the-door", "the-amqp"].map(|name| broker.listener(name).port().to_string());
    let output = Process::start(python("amqp_users.py").args(ports)).finish().success();
    assert_eq!(output, "ok\n");
}

/// RabbitMQ's own program, which `MYNAH_RABBITMQADMIN` names, else the one on the path.
fn with_rabbitmqadmin(workers: u16) {
    let broker = Setup::workers(workers).user("guest", "guest").more(AMQP).start();
    let port = broker.management.port().to_string();
    let program = std::env::var_os("MYNAH_RABBITMQADMIN").unwrap_or_else(|| "rabbitmqadmin".into());
    let run_as = |password: &str, arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(["-H", "127.0.0.1", "-P", &port, "-u", "guest", "-p", password, "-f", "tsv"]);
        Process::start(command.args(arguments)).finish()
    };
    let run = |arguments: &[&str]| run_as("guest", arguments).success();
    assert!(run(&["show", "overview"]).contains("3.10.8"));
    for name in ["jobs", "other"] {
        assert_eq!(run(&["declare", "queue", &format!("name={name}"), "durable=true"]), "queue declared\n");
    }
    assert_eq!(run(&["declare", "exchange", "name=news", "type=topic"]), "exchange declared\n");
    run(&["declare", "binding", "source=news", "destination=jobs", "routing_key=a.#"]);
    let publish = ["publish", "exchange=news", "routing_key=a.b", "payload=hello"];
    assert_eq!(run(&publish), "Message published\n");
    let got = run(&["get", "queue=jobs", "ackmode=ack_requeue_false"]);
    assert!(got.contains("a.b\tnews\t0\thello\t5\tstring"), "{got}");
    assert_eq!(run(&["list", "queues", "name", "messages"]), "name\tmessages\njobs\t0\nother\t0\n");
    let bindings = run(&["list", "bindings", "source", "destination", "routing_key"]);
    assert!(bindings.contains("news\tjobs\ta.#\n"), "{bindings}");
    for what in
        ["connections", "channels", "users", "vhosts", "permissions", "nodes", "consumers", "policies"]
    {
        run(&["list", what]);
    }
    let file = broker.folder().path("exported.json");
    run(&["export", &file.to_string_lossy()]);
    for name in ["jobs", "other"] {
        assert_eq!(run(&["delete", "queue", &format!("name={name}")]), "queue deleted\n");
    }
    run(&["import", &file.to_string_lossy()]);
    assert_eq!(run(&["list", "queues", "name"]), "name\njobs\nother\n");
    run(&["purge", "queue", "name=jobs"]);
    assert_eq!(run(&["declare", "user", "name=bob", "password=pw", "tags=monitoring"]), "user declared\n");
    assert_eq!(run(&["list", "users", "name", "tags"]), "name\ttags\nguest\t\nbob\tmonitoring\n");
    assert_eq!(run(&["delete", "user", "name=bob"]), "user deleted\n");
    let refused = run_as("guest", &["declare", "vhost", "name=x"]);
    assert!(refused.code == Some(1) && refused.error.contains("tenants are named in the configuration"));
    let refused = run_as("wrong", &["list", "queues"]);
    assert!(refused.code == Some(1) && refused.error.contains("Access refused"), "{}", refused.error);
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

/// What `rabbitmqadmin export` has written of RabbitMQ 3.10.8, as Debian 12 has it.
fn exported_definitions(workers: u16) {
    let file = include_str!("../data/rabbitmq/definitions.json");
    let broker = Setup::workers(workers).file("definitions.json", file).start();
    let mut import = Broker::program();
    import.args(["import", "rabbitmq-definitions"]).arg(broker.folder().path("definitions.json"));
    let told = Process::start(import.arg("--to").arg(broker.management.to_string())).finish().success();
    assert!(told.starts_with("the broker has 14 queues, exchanges and bindings of "), "{told}");
    let left: Vec<_> = told.lines().skip(1).filter(|line| !line.is_empty()).collect();
    for what in ["queues[0] far: ", "policies[0] short: ", "global_parameters[0] "] {
        assert!(left.iter().any(|line| line.contains(what)), "{what} in {told}");
    }
    let bindings = curl(&[&broker.management_url("/api/exchanges/%2F/orders/bindings/source")]).body;
    for key in [r#""routing_key":"eu.*.#""#, r#""routing_key":"us.#""#] {
        assert!(bindings.contains(key), "{key} in {bindings}");
    }
    let history = curl(&[&broker.management_url("/api/queues/%2F/history")]).body;
    assert!(history.contains(r#""type":"stream""#), "{history}");
}
