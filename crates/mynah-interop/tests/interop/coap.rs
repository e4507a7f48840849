//! libcoap's `coap-client`: topics as resources over UDP and TCP, observing, blocks, and loss on the way.

use std::process::Command;

use mynah_interop::{Broker, Process, Setup, line_buffered};

use crate::curl::curl;
use crate::{mosquitto, on_one_and_two_workers};

on_one_and_two_workers!(
    a_value_is_put_read_and_deleted_by_udp_and_tcp,
    a_large_value_goes_in_blocks_both_ways,
    what_a_coap_client_observes_others_publish,
    a_publication_arrives_although_datagrams_are_lost,
    messages_of_a_queue_are_taken_and_acknowledged,
);

const LISTENERS: &str = "
[[listener]]
name = \"udp\"
protocol = \"coap\"
address = \"127.0.0.1:0\"
[[listener]]
name = \"tcp\"
protocol = \"coap\"
transport = \"tcp\"
address = \"127.0.0.1:0\"
";

fn start(workers: u16) -> Broker {
    Setup::workers(workers).more(LISTENERS).start()
}

/// The address of a topic as a resource.
fn url(broker: &Broker, transport: &str, topic: &str) -> String {
    let scheme = if transport == "tcp" { "coap+tcp" } else { "coap" };
    format!("{scheme}://{}/t/{topic}", broker.listener(transport))
}

/// What `coap-client` prints: the payload of a success.
#[track_caller]
fn ask(arguments: &[&str]) -> String {
    let mut command = Command::new("coap-client-notls");
    Process::start(command.args(["-B", "20"]).args(arguments)).finish().success()
}

fn a_value_is_put_read_and_deleted_by_udp_and_tcp(workers: u16) {
    let broker = start(workers);
    for transport in ["udp", "tcp"] {
        let url = url(&broker, transport, "home/lamp");
        assert_eq!(ask(&["-m", "put", "-e", "on", "-t", "0", &url]).trim(), "", "{transport}");
        assert_eq!(ask(&[&url]).trim(), "on", "{transport}");
        let mut subscriber = mosquitto::subscribe(&broker, &["-t", "home/+", "-C", "1"]);
        assert_eq!(mosquitto::message(&mut subscriber), "home/lamp 0 1 on", "{transport}");
        assert_eq!(ask(&["-m", "delete", &url]).trim(), "", "{transport}");
        assert_eq!(curl(&[&broker.http_url("/v1/topics/home/lamp")]).status, 404, "{transport}");
    }
}

fn a_large_value_goes_in_blocks_both_ways(workers: u16) {
    let broker = start(workers);
    let text = "0123456789abcdef".repeat(2_000);
    let file = broker.folder().write("large", &text);
    let url = url(&broker, "udp", "large");
    for size in ["64", "1024"] {
        let (put, file) = (["-m", "put", "-b", size, "-f"], file.to_str().unwrap());
        assert_eq!(ask(&[&put[..], &[file, &url]].concat()).trim(), "");
        assert!(ask(&["-b", size, &url]).trim() == text, "blocks of {size}");
    }
}

fn what_a_coap_client_observes_others_publish(workers: u16) {
    let broker = start(workers);
    let url = url(&broker, "udp", "home/door");
    mosquitto::publish(&broker, &["-t", "home/door", "-r", "-q", "1", "-m", "shut"]);
    let mut observer = Process::start(line_buffered("coap-client-notls").args(["-w", "-s", "20", &url]));
    observer.line("what is retained", |line| line == "shut");
    for state in ["open", "shut", "ajar"] {
        mosquitto::publish(&broker, &["-t", "home/door", "-r", "-q", "1", "-m", state]);
        observer.line(state, |line| line == state);
    }
}

/// What another protocol put into a queue is taken under a lease, and leaves the queue by its name.
fn messages_of_a_queue_are_taken_and_acknowledged(workers: u16) {
    let broker = start(workers);
    let url = |path: &str| format!("coap+tcp://{}/q/{path}", broker.listener("tcp"));
    let messages = broker.http_url("/v1/queues/jobs/messages");
    assert_eq!(curl(&["-d", "from http", &messages]).status, 204);
    assert_eq!(ask(&["-m", "post", "-e", "from coap", &url("jobs")]).trim(), "");
    for payload in ["from http", "from coap"] {
        let taken = ask(&["-m", "post", &url("jobs/lease")]);
        assert!(taken.contains(payload), "{taken:?}");
        let at = taken.find("elease").expect("a name of a lease") + 8;
        let name: String = taken[at..].chars().take_while(|c| c.is_ascii_hexdigit() || *c == '-').collect();
        assert_eq!(ask(&["-m", "delete", &url(&format!("jobs/lease/{name}"))]).trim(), "", "{name}");
    }
    assert_eq!(curl(&["-X", "POST", &broker.http_url("/v1/queues/jobs/leases")]).body, "[]\n");
}

fn a_publication_arrives_although_datagrams_are_lost(workers: u16) {
    let broker = start(workers);
    let subscriber = mosquitto::subscribed(&broker, &["-t", "lossy", "-q", "1", "-C", "5"]);
    let url = url(&broker, "udp", "lossy");
    for (number, lost) in ["30%", "10%", "30%", "10%", "30%"].into_iter().enumerate() {
        let text = number.to_string();
        assert_eq!(ask(&["-l", lost, "-m", "post", "-e", &text, "-B", "60", &url]).trim(), "");
    }
    let expected: Vec<String> = (0..5).map(|number| format!("lossy 1 0 {number}")).collect();
    assert_eq!(mosquitto::messages(subscriber), expected, "each once");
}
