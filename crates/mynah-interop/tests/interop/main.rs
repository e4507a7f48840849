//! The binary and programs that others wrote, over loopback: each test starts a broker of its own. Most run twice,
//! on one worker and on two, where sessions live on different cores and messages cross between them.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot set its stage has failed")]

mod aiocoap;
mod amqp;
mod amqp_crossings;
mod bridge;
mod coap;
mod coap_features;
mod coap_multicast;
mod crossing;
mod curl;
mod devices;
mod directory;
mod dtls;
mod example;
mod https;
mod import;
mod imported;
mod lapin;
mod logins;
mod management;
mod mosquitto;
mod one_door;
mod paho;
mod program;
mod queue_features;
mod queues;
mod reload;
mod rumqttc;
mod service;
mod stomp;
mod stomp_queues;
mod tenants;
mod tokens;
mod transports;
mod watched;

/// Makes two tests of each function: on one worker, and on two.
macro_rules! on_one_and_two_workers {
    ($($test:ident),+ $(,)?) => {
        mod one_worker {
            $(#[test]
            fn $test() {
                super::$test(1);
            })+
        }
        mod two_workers {
            $(#[test]
            fn $test() {
                super::$test(2);
            })+
        }
    };
}
use on_one_and_two_workers;
