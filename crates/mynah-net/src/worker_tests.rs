//! Workers without threads of their own, turned by the test.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use mynah_engine::{Listener, Settings, Shared};
use mynah_model::{Limits, TenantId};
use mynah_mqtt::{Config, Mqtt};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::*;
use crate::tls::tests::{Authority, Folder, client, files, settings};
use crate::tls::{ClientCertificates, Tls, TlsSettings};

/// How long the test waits for its clients.
const PATIENCE: Duration = Duration::from_secs(20);

fn workers(count: u16, entrance: Entrance) -> Vec<Worker> {
    let listener = Listener {
        name: "mqtts".into(),
        protocol: Arc::new(Mqtt::new(Config::default())),
        tenant: TenantId::DEFAULT,
        anonymous: true,
        certificates: false,
        identity: None,
    };
    let shared = Shared::new(Settings {
        workers: count,
        limits: Limits::default(),
        listeners: vec![listener],
        verifies_credentials: false,
        tenants: Default::default(),
        rules: Arc::default(),
        seed: 11,
        sys_interval: None,
        version: "0",
    });
    let polls: Vec<Poll> = (0..count).map(|_| Poll::new().unwrap()).collect();
    let mailbox =
        |poll: &Poll| Arc::new(Mailbox::new(mio::Waker::new(poll.registry(), wake_token()).unwrap()));
    let mailboxes: Arc<[_]> = polls.iter().map(mailbox).collect();
    let entrances: Arc<[_]> = [Arc::new(entrance)].into();
    let clock = Clock::start();
    let worker = |(number, poll): (usize, Poll)| {
        let engine = Engine::new(WorkerId(number as u16), Arc::clone(&shared), clock.now());
        let (mailboxes, entrances) = (Arc::clone(&mailboxes), Arc::clone(&entrances));
        let acceptor = Acceptor::default();
        let grace = Duration::ZERO;
        Worker::new(Parts {
            engine,
            poll,
            mailboxes,
            acceptor,
            datagrams: Vec::new(),
            groups: Vec::new(),
            entrances,
            verifier: None,
            recorder: None,
            clock,
            grace,
        })
        .unwrap()
    };
    polls.into_iter().enumerate().map(worker).collect()
}

/// A client of this name that is let in, tells so, and stays until the test lets it go.
fn visit(
    name: String,
    stream: UnixStream,
    config: ClientConfig,
    is_in: Sender<String>,
    stay: Receiver<()>,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let server = ServerName::try_from("localhost").unwrap();
        let mut tls = StreamOwned::new(ClientConnection::new(Arc::new(config), server).unwrap(), stream);
        let mut connect = b"\x10\0\0\x04MQTT\x04\x02\0\0\0".to_vec();
        connect.push(name.len() as u8);
        connect.extend_from_slice(name.as_bytes());
        connect[1] = connect.len() as u8 - 2;
        tls.write_all(&connect).unwrap();
        let mut connack = [0; 4];
        tls.read_exact(&mut connack).unwrap();
        assert_eq!(connack, [0x20, 2, 0, 0]);
        is_in.send(name).unwrap();
        // Its other end is dropped.
        assert!(stay.recv().is_err());
    })
}

/// All come in at the first worker. Those whose sessions live with the other one are handed over.
#[test]
fn the_certificate_of_a_client_goes_with_it_to_the_worker_of_its_session() {
    const CLIENTS: usize = 8;
    let (folder, authority) = (Folder::new(), Authority::new("devices"));
    let tls = Tls::load(TlsSettings {
        client_certificates: ClientCertificates::Required,
        client_ca: Some(folder.write("ca.pem", &authority.pem)),
        ..settings(vec![files(&folder, &authority, "localhost")])
    });
    let entrance = Entrance { tls: Some(Arc::new(tls.unwrap())), ..Entrance::default() };
    let mut workers = workers(2, entrance);
    let (is_in, in_now) = channel();
    let mut clients = Vec::new();
    for serial in 0..CLIENTS as u64 {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        far.set_read_timeout(Some(PATIENCE)).unwrap();
        let stream = Stream::Unix(mio::net::UnixStream::from_std(near));
        workers[0].mailbox().post(Letter::Accepted { stream, peer: Peer::Local, listener: 0 });
        let name = format!("device-{serial}");
        let config = client(&authority, Some(authority.certify(&name, 100 + serial)));
        let (go, stay) = channel();
        clients.push((go, visit(name, far, config, is_in.clone(), stay)));
    }
    let (mut events, mut names) = (Events::with_capacity(64), Vec::new());
    let deadline = std::time::Instant::now() + PATIENCE;
    while names.len() < CLIENTS {
        assert!(std::time::Instant::now() < deadline, "only {names:?} came in");
        for worker in &mut workers {
            worker.sleep(&mut events, true).unwrap();
            let now = worker.clock.now();
            worker.note_events(&events);
            worker.turn(now).unwrap();
        }
        names.extend(in_now.try_iter());
    }
    let mut shown = Vec::new();
    for worker in &mut workers {
        assert!(worker.engine.connections() > 0, "some live with each");
        for slot in 0..CLIENTS {
            let Some(socket) = worker.sockets.at(slot) else { continue };
            let certificate = worker.engine.proof(socket.id).and_then(|proof| proof.certificate()).unwrap();
            shown.push(certificate.common_name.as_deref().unwrap().to_owned());
        }
    }
    names.sort();
    shown.sort();
    assert_eq!(shown, names);
    for (go, client) in clients {
        drop(go);
        client.join().unwrap();
    }
}

fn turn(worker: &mut Worker) {
    let mut events = Events::with_capacity(64);
    worker.sleep(&mut events, true).unwrap();
    let now = worker.clock.now();
    worker.note_events(&events);
    worker.turn(now).unwrap();
}

/// The far end of a connection at this worker, over which these bytes were sent and answered with some.
fn plain_client(worker: &mut Worker, bytes: &[u8]) -> UnixStream {
    let (near, mut far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    far.set_nonblocking(true).unwrap();
    let stream = Stream::Unix(mio::net::UnixStream::from_std(near));
    worker.mailbox().post(Letter::Accepted { stream, peer: Peer::Local, listener: 0 });
    far.write_all(bytes).unwrap();
    turns_until_answer(worker, &mut far);
    far
}

fn turns_until_answer(worker: &mut Worker, far: &mut UnixStream) -> usize {
    let deadline = std::time::Instant::now() + PATIENCE;
    for turns in 1.. {
        turn(worker);
        if far.read(&mut [0; 64]).is_ok_and(|count| count > 0) {
            return turns;
        }
        assert!(std::time::Instant::now() < deadline, "no answer");
    }
    unreachable!("the deadline comes first");
}

#[test]
fn an_answer_comes_even_while_there_are_more_deliveries_than_are_written_in_a_turn() {
    const SUBSCRIBERS: u8 = 40;
    let mut workers = workers(1, Entrance::default());
    let worker = &mut workers[0];
    let connect = |number: u8| [b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01", &[b'0' + number][..]].concat();
    let subscribers: Vec<UnixStream> = (0..SUBSCRIBERS)
        .map(|number| {
            let mut far = plain_client(worker, &connect(number));
            far.write_all(b"\x82\x06\0\x01\0\x01a\0").unwrap();
            turns_until_answer(worker, &mut far);
            far
        })
        .collect();
    let mut busy = plain_client(worker, &connect(SUBSCRIBERS));
    let mut confirmed = plain_client(worker, &connect(SUBSCRIBERS + 1));
    let mut publish_to_all = |worker: &mut Worker| {
        busy.write_all(b"\x30\x04\0\x01am").unwrap();
        turn(worker);
        assert!(worker.engine.dirty() > FLUSHES_MIN, "the subscribers are not served in one turn");
    };
    for _ in 0..3 {
        publish_to_all(worker);
    }
    confirmed.write_all(b"\x32\x06\0\x01q\0\x01m").unwrap();
    let mut turns = 0;
    while !confirmed.read(&mut [0; 8]).is_ok_and(|count| count > 0) {
        publish_to_all(worker);
        turns += 1;
        assert!(turns <= usize::from(ANSWERS_WAIT_MAX) + 2);
    }
    drop(subscribers);
}
