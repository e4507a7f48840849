//! Enhanced authentication: one test for each journey of `vectors/mqtt-5.0/journeys/authentication.toml`.

use crate::traveller_v5::{check_citations, make};

fn travel(name: &str) {
    make("authentication", name);
}

//= mqtt-5.0 [MQTT-3.2.0-1] [MQTT-3.15.2-1] [MQTT-4.12.0-2] [MQTT-4.12.0-3] [MQTT-4.12.0-5]
#[test]
fn a_challenge_is_answered_and_the_client_let_in() {
    travel("a challenge is answered and the client let in");
}

//= mqtt-5.0 [MQTT-3.2.2-7] [MQTT-4.12.0-4]
#[test]
fn a_challenge_is_answered_wrongly() {
    travel("a challenge is answered wrongly");
}

//= mqtt-5.0 [MQTT-4.12.0-6]
#[test]
fn a_client_without_the_method_is_let_in_without_auth() {
    travel("a client without the method is let in without AUTH");
}

//= mqtt-5.0 [MQTT-4.12.0-1]
#[test]
fn another_method_is_refused() {
    travel("another method is refused");
}

//= mqtt-5.0 [MQTT-4.12.0-5]
#[test]
fn an_answer_by_another_method() {
    travel("an answer by another method");
}

//= mqtt-5.0 [MQTT-4.12.0-5]
#[test]
fn an_answer_without_a_method() {
    travel("an answer without a method");
}

//= mqtt-5.0 [MQTT-3.15.2-1] [MQTT-4.12.0-3]
#[test]
fn an_answer_with_a_reason_code_that_is_not_for_it() {
    travel("an answer with a reason code that is not for it");
}

//= mqtt-5.0 [MQTT-3.15.2-1]
#[test]
fn an_answer_with_a_reason_code_that_there_is_not() {
    travel("an answer with a reason code that there is not");
}

//= mqtt-5.0 [MQTT-3.1.2-30]
#[test]
fn publish_before_the_answer() {
    travel("PUBLISH before the answer");
}

//= mqtt-5.0 [MQTT-3.1.2-30]
#[test]
fn subscribe_before_the_answer() {
    travel("SUBSCRIBE before the answer");
}

//= mqtt-5.0 [MQTT-3.1.2-30]
#[test]
fn pingreq_before_the_answer() {
    travel("PINGREQ before the answer");
}

//= mqtt-5.0 [MQTT-3.1.2-30]
#[test]
fn connect_before_the_answer() {
    travel("CONNECT before the answer");
}

//= mqtt-5.0 [MQTT-3.1.2-30]
#[test]
fn disconnect_before_the_answer() {
    travel("DISCONNECT before the answer");
}

//= mqtt-5.0 [MQTT-3.15.2-1] [MQTT-4.12.0-5] [MQTT-4.12.1-1]
#[test]
fn what_is_sent_again_by_the_same_method() {
    travel("what is sent again by the same method");
}

//= mqtt-5.0 [MQTT-4.12.1-2] [MQTT-4.13.2-1]
#[test]
fn authentication_again_that_fails() {
    travel("authentication again that fails");
}

//= mqtt-5.0 [MQTT-4.12.1-1]
#[test]
fn authentication_again_by_another_method() {
    travel("authentication again by another method");
}

//= mqtt-5.0 [MQTT-4.12.0-3]
#[test]
fn an_answer_that_nobody_asked_for() {
    travel("an answer that nobody asked for");
}

//= mqtt-5.0 [MQTT-3.15.2-1]
#[test]
fn authentication_that_a_client_calls_successful() {
    travel("authentication that a client calls successful");
}

//= mqtt-5.0 [MQTT-3.15.1-1]
#[test]
fn flags_of_auth() {
    travel("flags of AUTH");
}

//= mqtt-5.0 [MQTT-3.15.2-2] [MQTT-3.15.2-3]
#[test]
fn a_reason_string_of_auth_gives_way_to_the_maximum_packet_size() {
    travel("a reason string of AUTH gives way to the maximum packet size");
}

#[test]
fn each_journey_has_a_test_that_cites_what_it_does() {
    check_citations("authentication", include_str!("authentication_v5.rs"), 20);
}
