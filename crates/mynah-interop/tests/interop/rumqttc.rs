//! rumqttc, an asynchronous client in Rust.

use std::collections::BTreeSet;
use std::time::Duration;

use mynah_interop::{Broker, PATIENCE, Setup};
use rumqttc::{AsyncClient, ConnAck, Event, MqttOptions, Packet, Publish, QoS};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::on_one_and_two_workers;

on_one_and_two_workers!(
    messages_go_both_ways_in_order,
    a_session_outlives_its_connection,
    a_subscriber_that_is_cut_off_comes_back_to_its_session,
    a_publisher_that_is_cut_off_loses_nothing,
    stopping_is_seen_as_a_closed_connection,
);

/// A client, and the task that moves its packets.
struct Client {
    client: AsyncClient,
    packets: mpsc::UnboundedReceiver<Option<Packet>>,
    cut: mpsc::UnboundedSender<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Client {
    async fn connect(broker: &Broker, id: &str, clean_session: bool) -> (Self, ConnAck) {
        let mut options = MqttOptions::new(id, broker.mqtt.ip().to_string(), broker.mqtt.port());
        options.set_clean_session(clean_session).set_keep_alive(Duration::from_secs(30));
        let (client, mut event_loop) = AsyncClient::new(options, 100);
        let (sender, packets) = mpsc::unbounded_channel();
        let (cut, mut cuts) = mpsc::unbounded_channel::<oneshot::Sender<()>>();
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(done) = cuts.recv() => {
                        event_loop.clean();
                        let _ = done.send(());
                    }
                    event = event_loop.poll() => {
                        let (packet, is_lost) = match event {
                            Ok(Event::Incoming(packet)) => (Some(packet), false),
                            Ok(Event::Outgoing(_)) => continue,
                            Err(_) => (None, true),
                        };
                        if sender.send(packet).is_err() || is_lost {
                            return;
                        }
                    }
                }
            }
        });
        let mut client = Self { client, packets, cut, task };
        let answer = client.connected().await;
        (client, answer)
    }

    /// The next packet; none if the connection is lost.
    async fn packet(&mut self) -> Option<Packet> {
        timeout(PATIENCE, self.packets.recv()).await.expect("a packet in time").expect("a client that runs")
    }

    /// The next packet of those that are wanted.
    async fn next<T>(&mut self, wanted: impl Fn(Packet) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(self.packet().await.expect("the connection holds")) {
                return found;
            }
        }
    }

    async fn connected(&mut self) -> ConnAck {
        self.next(|packet| if let Packet::ConnAck(answer) = packet { Some(answer) } else { None }).await
    }

    async fn message(&mut self) -> Publish {
        self.next(|packet| if let Packet::Publish(message) = packet { Some(message) } else { None }).await
    }

    async fn subscribe(&mut self, filter: &str, qos: QoS) {
        self.client.subscribe(filter, qos).await.unwrap();
        self.next(|packet| matches!(packet, Packet::SubAck(_)).then_some(())).await;
    }

    async fn publish(&self, topic: &str, qos: QoS, payload: String) {
        self.client.publish(topic, qos, false, payload).await.unwrap();
    }

    /// Waits for the acknowledgements of publications.
    async fn acknowledged(&mut self, count: usize) {
        for _ in 0..count {
            self.next(|packet| matches!(packet, Packet::PubAck(_) | Packet::PubComp(_)).then_some(())).await;
        }
    }

    /// Closes the socket without a word. The client connects again by itself.
    async fn cut(&self) {
        let (done, is_done) = oneshot::channel();
        self.cut.send(done).unwrap();
        is_done.await.unwrap();
    }

    /// Closes the socket without a word, for good.
    async fn abandon(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

fn run(scenario: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(scenario);
}

fn number(message: &Publish) -> usize {
    std::str::from_utf8(&message.payload).unwrap().parse().unwrap()
}

fn messages_go_both_ways_in_order(workers: u16) {
    run(async {
        let broker = Setup::workers(workers).start();
        let (mut one, _) = Client::connect(&broker, "one", true).await;
        let (mut two, _) = Client::connect(&broker, "two", true).await;
        one.subscribe("to/one", QoS::ExactlyOnce).await;
        two.subscribe("to/two", QoS::ExactlyOnce).await;
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            for at in 0..500 {
                one.publish("to/two", qos, at.to_string()).await;
                two.publish("to/one", qos, at.to_string()).await;
            }
            for client in [&mut one, &mut two] {
                for at in 0..500 {
                    let message = client.message().await;
                    assert_eq!((number(&message), message.qos, message.dup), (at, qos, false));
                }
            }
        }
    });
}

fn a_session_outlives_its_connection(workers: u16) {
    run(async {
        let broker = Setup::workers(workers).start();
        let (mut reader, answer) = Client::connect(&broker, "reader", false).await;
        assert!(!answer.session_present);
        reader.subscribe("kept/1", QoS::AtLeastOnce).await;
        reader.subscribe("kept/2", QoS::ExactlyOnce).await;
        reader.abandon().await;
        let (mut writer, _) = Client::connect(&broker, "writer", true).await;
        for at in 0..50 {
            writer.publish("kept/1", QoS::AtLeastOnce, at.to_string()).await;
            writer.publish("kept/2", QoS::ExactlyOnce, at.to_string()).await;
        }
        writer.acknowledged(100).await;
        let (mut reader, answer) = Client::connect(&broker, "reader", false).await;
        assert!(answer.session_present);
        let mut next = [0; 2];
        for _ in 0..100 {
            let message = reader.message().await;
            let expected = &mut next[usize::from(message.topic == "kept/2")];
            assert_eq!(number(&message), *expected, "{}", message.topic);
            *expected += 1;
        }
    });
}

fn a_subscriber_that_is_cut_off_comes_back_to_its_session(workers: u16) {
    run(async {
        let broker = Setup::workers(workers).start();
        let (mut reader, _) = Client::connect(&broker, "reader", false).await;
        reader.subscribe("all", QoS::AtLeastOnce).await;
        let (writer, _) = Client::connect(&broker, "writer", true).await;
        for round in 0..3 {
            reader.cut().await;
            for at in 100 * round..100 * (round + 1) {
                writer.publish("all", QoS::AtLeastOnce, at.to_string()).await;
            }
            // It connects again by itself, and needs no new subscription.
            assert!(reader.connected().await.session_present);
            let mut next = 100 * round;
            while next < 100 * (round + 1) {
                let message = reader.message().await;
                if number(&message) == next {
                    next += 1;
                } else {
                    // An acknowledgement was lost when the client was cut off: the message comes again and says so.
                    assert!(message.dup && number(&message) < 100 * round, "{next}: {message:?}");
                }
            }
        }
    });
}

fn a_publisher_that_is_cut_off_loses_nothing(workers: u16) {
    run(async {
        let broker = Setup::workers(workers).start();
        let (mut reader, _) = Client::connect(&broker, "reader", true).await;
        reader.subscribe("all", QoS::AtLeastOnce).await;
        let (mut writer, _) = Client::connect(&broker, "writer", false).await;
        let mut missing: BTreeSet<usize> = (0..300).collect();
        for at in 0..300 {
            writer.publish("all", QoS::AtLeastOnce, at.to_string()).await;
            if at % 100 == 50 {
                writer.cut().await;
                assert!(writer.connected().await.session_present);
            }
        }
        while !missing.is_empty() {
            missing.remove(&number(&reader.message().await));
        }
    });
}

fn stopping_is_seen_as_a_closed_connection(workers: u16) {
    run(async {
        let broker = Setup::workers(workers).start();
        let mut clients = Vec::new();
        for at in 0..4 {
            let (mut client, _) = Client::connect(&broker, &format!("client-{at}"), true).await;
            client.subscribe("x", QoS::AtLeastOnce).await;
            clients.push(client);
        }
        let ended = broker.stop();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        for mut client in clients {
            while client.packet().await.is_some() {}
        }
    });
}
