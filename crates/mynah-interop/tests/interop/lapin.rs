//! lapin, an asynchronous AMQP client in Rust.

use lapin::message::{Delivery, DeliveryResult};
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicNackOptions, BasicPublishOptions,
    BasicQosOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use mynah_interop::{Broker, PATIENCE, Setup};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::on_one_and_two_workers;

const LISTENER: &str =
    "[[listener]]\nname = \"the-amqp\"\nprotocol = \"amqp091\"\naddress = \"127.0.0.1:0\"\n";

on_one_and_two_workers!(
    messages_are_confirmed_and_acknowledged_in_order,
    what_is_refused_or_reaches_nobody_is_told,
    what_was_confirmed_outlives_a_broker_that_is_killed,
    amqplain_lets_in_who_has_the_password,
);

fn run(scenario: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(scenario);
}

async fn connect(broker: &Broker) -> (Connection, Channel) {
    let uri = format!("amqp://guest:guest@{}/%2f", broker.listener("the-amqp"));
    let connection = Connection::connect(&uri, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    (connection, channel)
}

async fn declare(channel: &Channel, name: &str) -> u32 {
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare(name.into(), options, FieldTable::default()).await.unwrap();
    queue.message_count()
}

async fn publish(channel: &Channel, key: &str, body: &[u8], mandatory: bool) -> lapin::PublisherConfirm {
    let options = BasicPublishOptions { mandatory, ..BasicPublishOptions::default() };
    let mut headers = FieldTable::default();
    headers.insert("text".into(), AMQPValue::LongString(LongString::from("ä")));
    headers.insert("number".into(), AMQPValue::LongLongInt(-7));
    let properties = BasicProperties::default().with_delivery_mode(2).with_headers(headers);
    channel.basic_publish("".into(), key.into(), options, body, properties).await.unwrap()
}

async fn consume(channel: &Channel, queue: &str) -> mpsc::UnboundedReceiver<Delivery> {
    let options = BasicConsumeOptions::default();
    let consumer =
        channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await.unwrap();
    let (sender, deliveries) = mpsc::unbounded_channel();
    consumer.set_delegate(move |delivery: DeliveryResult| {
        if let Ok(Some(delivery)) = delivery {
            let _ = sender.send(delivery);
        }
        async {}
    });
    deliveries
}

async fn next(deliveries: &mut mpsc::UnboundedReceiver<Delivery>) -> Delivery {
    timeout(PATIENCE, deliveries.recv()).await.unwrap().unwrap()
}

fn messages_are_confirmed_and_acknowledged_in_order(workers: u16) {
    let broker = Setup::workers(workers).more(LISTENER).start();
    run(async {
        let (connection, channel) = connect(&broker).await;
        assert_eq!(declare(&channel, "lapin").await, 0);
        let other = connection.create_channel().await.unwrap();
        other.basic_qos(50, BasicQosOptions::default()).await.unwrap();
        let mut deliveries = consume(&other, "lapin").await;
        let mut confirms = Vec::new();
        for number in 0..1_000_u32 {
            confirms.push(publish(&channel, "lapin", &number.to_be_bytes(), false).await);
        }
        for number in 0..1_000_u32 {
            let delivery = next(&mut deliveries).await;
            assert_eq!((&*delivery.data, delivery.redelivered), (&number.to_be_bytes()[..], false));
            let headers = delivery.properties.headers().clone().unwrap();
            assert_eq!(headers.inner()["number"], AMQPValue::LongLongInt(-7));
            delivery.ack(BasicAckOptions::default()).await.unwrap();
        }
        for confirm in confirms {
            assert_eq!(confirm.await.unwrap(), Confirmation::Ack(None));
        }
        connection.close(200, "bye".into()).await.unwrap();
    });
}

fn what_is_refused_or_reaches_nobody_is_told(workers: u16) {
    let broker = Setup::workers(workers).more(LISTENER).start();
    run(async {
        let (_connection, channel) = connect(&broker).await;
        let returned = publish(&channel, "nowhere", b"back", true).await.await.unwrap();
        let message = returned.take_message().unwrap();
        assert_eq!((message.reply_code, &*message.delivery.data), (312, &b"back"[..]));
        declare(&channel, "again").await;
        publish(&channel, "again", b"x", false).await.await.unwrap();
        let mut deliveries = consume(&channel, "again").await;
        let first = next(&mut deliveries).await;
        first.nack(BasicNackOptions { requeue: true, ..BasicNackOptions::default() }).await.unwrap();
        let second = next(&mut deliveries).await;
        assert_eq!((first.redelivered, second.redelivered), (false, true));
        second.ack(BasicAckOptions::default()).await.unwrap();
    });
}

fn what_was_confirmed_outlives_a_broker_that_is_killed(workers: u16) {
    let broker = Setup::workers(workers).more(LISTENER).start();
    run(async {
        let (_connection, channel) = connect(&broker).await;
        declare(&channel, "kept").await;
        for number in 0..100_u8 {
            publish(&channel, "kept", &[number], false).await.await.unwrap();
        }
    });
    let broker = broker.kill_and_start();
    run(async {
        let (_connection, channel) = connect(&broker).await;
        assert_eq!(declare(&channel, "kept").await, 100);
        for number in 0..100_u8 {
            let options = BasicGetOptions { no_ack: true };
            let message = channel.basic_get("kept".into(), options).await.unwrap().unwrap();
            assert_eq!(message.delivery.data, [number]);
        }
    });
}

fn amqplain_lets_in_who_has_the_password(workers: u16) {
    let broker = Setup::workers(workers).user("alice", "secret").more(LISTENER).start();
    let log_in = async |password: &str| {
        let address = broker.listener("the-amqp");
        let uri = format!("amqp://alice:{password}@{address}/%2f?auth_mechanism=amqplain");
        Connection::connect(&uri, ConnectionProperties::default()).await
    };
    run(async {
        let connection = log_in("secret").await.unwrap();
        let _channel = connection.create_channel().await.unwrap();
        connection.close(200, "bye".into()).await.unwrap();
        let refusal = log_in("wrong").await.err().unwrap().to_string();
        assert!(refusal.contains("ACCESS_REFUSED") || refusal.contains("403"), "{refusal}");
    });
}
