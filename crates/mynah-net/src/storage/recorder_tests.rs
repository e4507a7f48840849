//! When a recorder records, with a store on the disk of this machine.

use mynah_core::WorkerId;
use mynah_engine::{ConnectionId, Listener, Settings, Shared};
use mynah_model::{Limits, TenantId};
use mynah_mqtt::{Config, Mqtt};
use mynah_store::StoreOptions;

use super::*;
use crate::storage::Storage;
use crate::tls::tests::Folder;

/// A worker's engine and its recorder, without the worker.
struct Rig {
    engine: Engine,
    recorder: Recorder,
    storage: Storage,
    now: Instant,
    _folder: Folder,
}

impl Rig {
    fn new(keeping: Keeping) -> Self {
        let listener = Listener {
            name: "mqtt".into(),
            protocol: Arc::new(Mqtt::new(Config::default())),
            tenant: TenantId::DEFAULT,
            anonymous: true,
            certificates: false,
            identity: None,
        };
        let shared = Shared::new(Settings {
            workers: 1,
            limits: Limits::default(),
            listeners: vec![listener],
            tenants: Default::default(),
            verifies_credentials: false,
            rules: Arc::default(),
            seed: 11,
            sys_interval: None,
            version: "0",
        });
        let folder = Folder::new();
        let options = StoreOptions::new(&folder.path().join("store"));
        let (mut storage, _) = Storage::open(options, keeping, 11, |_, _, _| ()).unwrap();
        let mut engines = [Engine::new(WorkerId(0), shared, storage.clock().now())];
        storage.restore(&mut engines);
        let [engine] = engines;
        let (recorder, now) = (storage.recorder(Box::new(|| ())), storage.clock().now());
        let mut rig = Self { engine, recorder, storage, now, _folder: folder };
        if keeping == Keeping::Sync {
            rig.store();
        }
        rig
    }

    /// A peer that says these packets.
    fn peer(&mut self, said: &[&[u8]]) -> ConnectionId {
        let id = self.engine.handle_accepted(self.now, 0).unwrap();
        self.say(id, &said.concat());
        id
    }

    fn say(&mut self, id: ConnectionId, said: &[u8]) {
        self.engine.handle_bytes(self.now, id, said);
        self.engine.pump(self.now);
    }

    /// The bytes that a peer gets.
    fn heard(&mut self, id: ConnectionId) -> Vec<u8> {
        let heard = self.engine.outbound(id).unwrap().slices().collect::<Vec<_>>().concat();
        self.engine.handle_written(id, heard.len());
        heard
    }

    /// A session that is stored, with a subscription; and a publisher. Both have heard so.
    fn peers(&mut self) -> (ConnectionId, ConnectionId) {
        let subscriber = self.peer(&[SESSION, SUBSCRIBE]);
        let publisher = self.peer(&[VISIT]);
        self.store();
        // What the subscription says was looked at when the session was there.
        self.store();
        assert_eq!(self.heard(subscriber), [0x20, 2, 0, 0, 0x90, 3, 0, 1, 1]);
        assert_eq!(self.heard(publisher), [0x20, 2, 0, 0]);
        (subscriber, publisher)
    }

    fn end_turn(&mut self, is_over: bool) {
        self.recorder.record(&mut self.engine, self.now, is_over).unwrap();
    }

    /// Records what there is, and waits until it is synced.
    fn store(&mut self) {
        self.recorder.store(&mut self.engine).unwrap();
        self.sync();
    }

    fn sync(&mut self) {
        while !self.recorder.waiting.is_empty() {
            std::thread::yield_now();
            self.recorder.tell(&mut self.engine, self.now).unwrap();
        }
        self.engine.pump(self.now);
    }
}

const SESSION: &[u8] = b"\x10\x0d\0\x04MQTT\x04\0\0\0\0\x01s";
const VISIT: &[u8] = b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01p";
const SUBSCRIBE: &[u8] = b"\x82\x06\0\x01\0\x01t\x01";
const PUBLISH: &[u8] = b"\x32\x06\0\x01t\0\x07m";
const DELIVERY: &[u8] = b"\x32\x06\0\x01t\0\x01m";
const ACKNOWLEDGE: &[u8] = &[0x40, 2, 0, 1];
const PUBLISHED: &[u8] = &[0x40, 2, 0, 7];

#[test]
fn a_change_that_comes_alone_is_recorded_at_the_end_of_its_turn() {
    let mut rig = Rig::new(Keeping::Sync);
    let (subscriber, publisher) = rig.peers();
    rig.say(publisher, PUBLISH);
    rig.end_turn(false);
    assert!(rig.recorder.is_eager(&rig.engine), "there is more to do");
    rig.end_turn(true);
    assert_eq!((rig.engine.changes(), rig.recorder.waiting.len()), (0, 1));
    assert_eq!((rig.heard(subscriber), rig.heard(publisher)), (DELIVERY.to_vec(), Vec::new()));
    rig.sync();
    assert_eq!(rig.heard(publisher), PUBLISHED);
}

#[test]
fn a_worker_that_always_finds_more_gathers_for_a_while() {
    let mut rig = Rig::new(Keeping::Sync);
    let (_, publisher) = rig.peers();
    rig.say(publisher, PUBLISH);
    rig.end_turn(false);
    rig.now = rig.now + GATHERING / 2;
    rig.say(publisher, PUBLISH);
    rig.end_turn(false);
    assert_eq!(rig.engine.changes(), 2);
    rig.now = rig.now + GATHERING / 2;
    rig.end_turn(false);
    assert_eq!((rig.engine.changes(), rig.recorder.waiting.len()), (0, 1));
}

#[test]
fn changes_gather_while_a_sync_is_under_way() {
    let mut rig = Rig::new(Keeping::Sync);
    let (_, publisher) = rig.peers();
    rig.say(publisher, PUBLISH);
    rig.end_turn(true);
    rig.say(publisher, PUBLISH);
    rig.now = rig.now + LEISURE;
    rig.end_turn(true);
    assert!(!rig.recorder.is_eager(&rig.engine) && rig.recorder.deadline(&rig.engine).is_none());
    assert_eq!((rig.engine.changes(), rig.recorder.waiting.len()), (1, 1));
    rig.sync();
    assert!(rig.recorder.is_eager(&rig.engine));
    rig.end_turn(true);
    assert_eq!((rig.engine.changes(), rig.recorder.waiting.len()), (0, 1));
}

#[test]
fn more_than_enough_does_not_wait_for_a_sync() {
    let mut rig = Rig::new(Keeping::Sync);
    let (subscriber, publisher) = rig.peers();
    rig.say(publisher, PUBLISH);
    rig.end_turn(true);
    for _ in 0..CHANGES_MAX / 8 {
        assert!(rig.engine.changes() < CHANGES_MAX);
        rig.end_turn(false);
        // Nobody may have more than so many answers outstanding.
        rig.say(publisher, &PUBLISH.repeat(4));
        rig.say(subscriber, &PUBLISH.repeat(4));
    }
    rig.end_turn(false);
    assert_eq!((rig.engine.changes(), rig.recorder.waiting.len()), (0, 2));
}

#[test]
fn large_messages_do_not_wait_for_a_sync_either() {
    let mut rig = Rig::new(Keeping::Sync);
    let (_, publisher) = rig.peers();
    rig.say(publisher, PUBLISH);
    rig.end_turn(true);
    // A remaining length of 128 KiB.
    let large = [&b"\x32\x80\x80\x08\0\x01t\0\x07"[..], &[b'm'; (128 << 10) - 5]].concat();
    while rig.engine.changes_bytes() < CHANGES_BYTES_MAX {
        rig.say(publisher, &large);
        assert!(rig.engine.changes() < 100);
    }
    rig.end_turn(false);
    assert_eq!((rig.engine.changes(), rig.engine.changes_bytes(), rig.recorder.waiting.len()), (0, 0, 2));
}

#[test]
fn what_nobody_waits_for_is_recorded_at_leisure() {
    let mut rig = Rig::new(Keeping::Sync);
    let (subscriber, publisher) = rig.peers();
    rig.say(publisher, PUBLISH);
    rig.store();
    assert_eq!(rig.recorder.deadline(&rig.engine), None);
    rig.say(subscriber, ACKNOWLEDGE);
    rig.end_turn(true);
    assert!(!rig.recorder.is_eager(&rig.engine) && rig.engine.changes() == 1);
    assert_eq!(rig.recorder.deadline(&rig.engine), Some(rig.now + LEISURE));
    rig.now = rig.now + LEISURE;
    rig.end_turn(true);
    assert_eq!((rig.engine.changes(), rig.recorder.waiting.len()), (0, 1));
}

#[test]
fn what_comes_and_goes_costs_no_sync() {
    let mut rig = Rig::new(Keeping::Sync);
    let (subscriber, publisher) = rig.peers();
    let before = rig.storage.store().status().syncs;
    rig.say(publisher, PUBLISH);
    rig.say(subscriber, ACKNOWLEDGE);
    rig.recorder.store(&mut rig.engine).unwrap();
    assert!(rig.recorder.has_news());
    rig.sync();
    assert_eq!(rig.heard(publisher), PUBLISHED);
    assert_eq!(rig.storage.store().status().syncs, before);
}

#[test]
fn at_an_interval_every_change_is_on_its_way_at_once() {
    let mut rig = Rig::new(Keeping::Interval(Duration::from_secs(3_600)));
    let subscriber = rig.peer(&[SESSION, SUBSCRIBE]);
    assert_eq!(rig.heard(subscriber), [0x20, 2, 0, 0, 0x90, 3, 0, 1, 1]);
    rig.recorder.store(&mut rig.engine).unwrap();
    for waiting in 2..5 {
        rig.say(subscriber, PUBLISH);
        rig.end_turn(true);
        assert_eq!((rig.engine.changes(), rig.recorder.waiting.len()), (0, waiting));
    }
}
