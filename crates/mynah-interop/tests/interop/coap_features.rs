//! libcoap's `coap-client` again, for one feature at a time: what it prints of each message says what went over the wire.

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mynah_interop::{Broker, Process, Setup};

use crate::mosquitto;
use crate::on_one_and_two_workers;

on_one_and_two_workers!(
    messages_are_of_the_kinds_that_were_asked_for,
    options_are_understood_or_refused,
    an_answer_that_takes_long_is_separate,
    what_is_sent_again_is_carried_out_once,
    discovery_is_filtered_and_goes_in_blocks,
    a_registration_is_looked_up_updated_and_removed,
    tcp_has_signals_and_large_blocks,
    paths_of_emqx_are_there_by_configuration,
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

/// Every message that the client has sent and got, a line each, as libcoap writes them: `t:CON c:GET i:0001 {01} [ … ]`.
#[track_caller]
fn trace(arguments: &[&str]) -> Vec<String> {
    let mut command = Command::new("coap-client-notls");
    let finished = Process::start(command.args(["-B", "15", "-v", "7"]).args(arguments)).finish();
    let said = finished.error + &finished.output;
    said.lines().filter_map(|line| line.split_once("v:1 ").map(|(_, message)| message.to_owned())).collect()
}

fn udp(broker: &Broker, path: &str) -> String {
    format!("coap://{}{path}", broker.listener("udp"))
}

/// Puts `on` as the value of the topic `lamp`.
fn put_lamp(broker: &Broker) -> String {
    let url = udp(broker, "/t/lamp");
    let put = trace(&["-m", "put", "-t", "0", "-e", "on", &url]);
    assert!(put.iter().any(|message| message.starts_with("t:ACK c:2.01")), "{put:#?}");
    url
}

#[track_caller]
fn assert_has(messages: &[String], start: &str, part: &str) {
    let has = messages.iter().any(|message| message.starts_with(start) && message.contains(part));
    assert!(has, "{start} … {part} is not in {messages:#?}");
}

fn messages_are_of_the_kinds_that_were_asked_for(workers: u16) {
    let broker = start(workers);
    let url = put_lamp(&broker);
    assert_has(&trace(&[&url]), "t:ACK c:2.05", "'on'");
    assert_has(&trace(&["-N", &url]), "t:NON c:2.05", "'on'");
    // An empty message asks whether the other end is there.
    let pinged = trace(&["-K", "1", "-s", "3", &url]);
    assert_has(&pinged, "t:CON c:0.00", "{} [ ]");
    assert_has(&pinged, "t:RST c:0.00", "{} [ ]");
}

fn options_are_understood_or_refused(workers: u16) {
    let broker = start(workers);
    let url = put_lamp(&broker);
    let proxy = format!("coap://{}", broker.listener("udp"));
    let cases: [(&[&str], &str); 10] = [
        (&["-A", "0", &url], "t:ACK c:2.05"),
        (&["-A", "50", &url], "t:ACK c:4.06"),
        (&["-O", "9,x", &url], "t:ACK c:4.02"),
        (&["-O", "10,x", &url], "t:ACK c:2.05"),
        (&["-H", "1", &url], "t:ACK c:2.05"),
        (&["-O", "16,0x00", &url], "t:ACK c:4.00"),
        (&["-P", &proxy, "coap://example.org/t/lamp"], "t:ACK c:5.05"),
        (&["-m", "put", "-e", "x", "-O", "5,", &url], "t:ACK c:4.12"),
        (&["-m", "put", "-e", "x", "-O", "1,0x0102", &url], "t:ACK c:4.12"),
        (&["-T", "12345678", &url], "t:ACK c:2.05"),
    ];
    for (arguments, start) in cases {
        assert_has(&trace(arguments), start, "");
    }
    // No-Response: what succeeds is not spoken of, what fails is.
    let quiet = trace(&["-B", "2", "-N", "-m", "put", "-e", "off", "-O", "258,0x02", &url]);
    assert!(quiet.iter().all(|message| message.starts_with("t:NON c:PUT")), "{quiet:#?}");
    assert_has(&trace(&[&url]), "t:ACK c:2.05", "'off'");
    assert_has(&trace(&["-N", "-m", "fetch", "-O", "258,0x02", &url]), "t:NON c:4.05", "");
}

/// A device that has registered and is gone is waited for: the acknowledgement does not wait.
fn an_answer_that_takes_long_is_separate(workers: u16) {
    let broker = start(workers);
    let registered = trace(&["-m", "post", "-t", "40", "-e", "</state>", &udp(&broker, "/rd?ep=gone")]);
    assert_has(&registered, "t:ACK c:2.01", "Location-Path:rd");
    let asked = trace(&["-T", "token", &udp(&broker, "/r/gone/state?timeout=2")]);
    let start = |message: &String| message.split(" i:").next().unwrap_or_default().to_owned();
    let mut starts: Vec<_> = asked.iter().map(start).collect();
    starts.dedup();
    assert_eq!(starts, ["t:CON c:GET", "t:ACK c:0.00", "t:CON c:5.04", "t:ACK c:0.00"], "{asked:#?}");
    // libcoap counts up the token that it is told before the first request.
    assert_has(&asked, "t:CON c:5.04", "{746f6b656f}");
}

/// A path between a client and the broker that loses the first datagrams from the broker and passes on the others.
struct Path {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    carrier: Option<JoinHandle<usize>>,
}

impl Path {
    fn to(broker: SocketAddr, lost: usize) -> Self {
        let (near, far) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        far.connect(broker).unwrap();
        for socket in [&near, &far] {
            socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        }
        let (address, is_over) = (near.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let ends = Arc::clone(&is_over);
        let carrier = thread::spawn(move || {
            let (mut client, mut seen, mut buffer) = (None, 0, [0; 2_048]);
            while !ends.load(Ordering::Relaxed) {
                if let Ok((bytes, from)) = near.recv_from(&mut buffer) {
                    client = Some(from);
                    far.send(&buffer[..bytes]).unwrap();
                }
                if let (Ok(bytes), Some(client)) = (far.recv(&mut buffer), client) {
                    seen += 1;
                    if seen > lost {
                        near.send_to(&buffer[..bytes], client).unwrap();
                    }
                }
            }
            seen
        });
        Self { address, is_over, carrier: Some(carrier) }
    }

    /// How many datagrams have come from the broker.
    fn end(mut self) -> usize {
        self.is_over.store(true, Ordering::Relaxed);
        self.carrier.take().unwrap().join().unwrap()
    }
}

/// The answer is lost twice: the client sends its request three times, with one message id.
fn what_is_sent_again_is_carried_out_once(workers: u16) {
    let broker = start(workers);
    let subscriber = mosquitto::subscribed(&broker, &["-t", "event", "-q", "1", "-C", "2"]);
    let path = Path::to(broker.listener("udp"), 2);
    let posted = trace(&["-m", "post", "-e", "first", &format!("coap://{}/t/event", path.address)]);
    let ids: Vec<_> =
        posted.iter().filter_map(|message| message.split(' ').find(|w| w.starts_with("i:"))).collect();
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{posted:#?}");
    assert_has(&posted, "t:ACK c:2.04", "");
    assert_eq!(path.end(), 3, "each of the requests is answered");
    let second = trace(&["-m", "post", "-e", "second", &udp(&broker, "/t/event")]);
    assert_has(&second, "t:ACK c:2.04", "");
    assert_eq!(mosquitto::messages(subscriber), ["event 1 0 first", "event 1 0 second"]);
}

fn discovery_is_filtered_and_goes_in_blocks(workers: u16) {
    let broker = start(workers);
    let core = |query: &str| udp(&broker, &format!("/.well-known/core{query}"));
    let topics = trace(&[&core("?rt=core.ps.data")]);
    assert_has(&topics, "t:ACK c:2.05", "'</t>;rt=\"core.ps.data\"");
    assert_has(&topics, "t:ACK c:2.05", "Content-Format:application/link-format");
    let lookups = trace(&[&core("?rt=core.rd-lookup*")]);
    assert_has(&lookups, "t:ACK c:2.05", "</rd-lookup/ep>");
    assert!(lookups.iter().all(|message| !message.contains("</t>")), "{lookups:#?}");
    let blocks = trace(&["-b", "16", &core("")]);
    assert_has(&blocks, "t:ACK c:2.05", "Block2:0/M/16");
    assert_has(&blocks, "t:ACK c:2.05", "Block2:5/M/16");
    assert_has(&trace(&[&core("?rt=nothing")]), "t:ACK c:2.05", "Content-Format:application/link-format");
}

fn a_registration_is_looked_up_updated_and_removed(workers: u16) {
    let broker = start(workers);
    let links = "</s>;rt=\"lamp\",</t>;rt=\"dial\"";
    let registered =
        trace(&["-m", "post", "-t", "40", "-e", links, &udp(&broker, "/rd?ep=one&lt=600&et=lights")]);
    assert_has(&registered, "t:ACK c:2.01", "Location-Path:rd");
    let answer = registered.iter().find(|message| message.starts_with("t:ACK c:2.01")).unwrap();
    let number =
        answer.rsplit("Location-Path:").next().and_then(|rest| rest.split([',', ' ']).next()).unwrap();
    let place = udp(&broker, &format!("/rd/{number}"));
    let look_up = |query: &str| trace(&[&udp(&broker, &format!("/rd-lookup/{query}"))]);
    assert_has(&look_up("ep?et=lights"), "t:ACK c:2.05", "ep=\"one\"");
    assert_has(&look_up("res?rt=lamp"), "t:ACK c:2.05", "</r/one/s>");
    assert_has(&trace(&["-m", "post", &format!("{place}?lt=1200")]), "t:ACK c:2.04", "");
    assert_has(&look_up("ep?ep=one"), "t:ACK c:2.05", number);
    assert_has(&trace(&["-m", "delete", &place]), "t:ACK c:2.02", "");
    let gone = look_up("ep?ep=one");
    assert!(gone.iter().all(|message| !message.contains(number)), "{gone:#?}");
    assert_has(&trace(&["-m", "post", &place]), "t:ACK c:4.04", "");
}

fn tcp_has_signals_and_large_blocks(workers: u16) {
    let broker = start(workers);
    let url = format!("coap+tcp://{}/t/large", broker.listener("tcp"));
    let file = broker.folder().write("large", "0123456789abcdef".repeat(20_000));
    let put = trace(&["-m", "put", "-f", file.to_str().unwrap(), &url]);
    assert_has(&put, "t:CON c:CSM", "Max-Message-Size:65536, Block-Wise-Transfer:");
    assert_has(&put, "t:CON c:PUT", "BERT");
    assert_has(&put, "t:CON c:2.31", "/M/BERT");
    assert_has(&put, "t:CON c:2.01", "/_/BERT");
    // It says that it takes 8 MiB, and gets all at once.
    let target = broker.folder().path("read");
    let get = trace(&["-o", target.to_str().unwrap(), &url]);
    assert_has(&get, "t:CON c:2.05", "");
    assert_eq!(broker.folder().read("read"), "0123456789abcdef".repeat(20_000));
    // To a client that takes less it goes in blocks.
    assert_has(&trace(&["-X", "5000", &url]), "t:CON c:2.05", "Block2:0/M/BERT");
    let pinged = trace(&["-K", "1", "-s", "3", &url]);
    assert_has(&pinged, "t:CON c:Ping", "");
    assert_has(&pinged, "t:CON c:Pong", "");
}

fn paths_of_emqx_are_there_by_configuration(workers: u16) {
    let broker = Setup::workers(workers).more(LISTENERS).more("[coap]\ncompat = \"emqx\"\n").start();
    let connection = udp(&broker, "/mqtt/connection?clientid=one&username=u&password=p");
    assert_has(&trace(&["-m", "post", &connection]), "t:ACK c:2.01", "");
    let subscriber = mosquitto::subscribed(&broker, &["-t", "home/door", "-q", "1", "-C", "1"]);
    let topic = udp(&broker, "/ps/home/door?clientid=one&token=1");
    assert_has(&trace(&["-m", "post", "-e", "open", &topic]), "t:ACK c:2.04", "");
    assert_eq!(mosquitto::messages(subscriber), ["home/door 1 0 open"]);
    assert_has(&trace(&["-m", "put", &connection]), "t:ACK c:2.04", "");
    assert_has(&trace(&["-m", "delete", &connection]), "t:ACK c:2.02", "");
    assert_has(&trace(&[&udp(&start(workers), "/mqtt/connection")]), "t:ACK c:4.04", "");
}
