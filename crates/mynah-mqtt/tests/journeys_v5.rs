//! Exchanges of MQTT 5.0 as they should be: one test for each journey of `vectors/mqtt-5.0/journeys/server.toml`.

use crate::traveller_v5::{check_citations, make};

fn travel(name: &str) {
    make("server", name);
}

//= mqtt-5.0 [MQTT-2.2.2-1] [MQTT-3.1.4-4] [MQTT-3.1.4-5] [MQTT-3.2.0-1] [MQTT-3.2.2-1] [MQTT-3.2.2-2]
//= mqtt-5.0 [MQTT-3.2.2-8]
#[test]
fn a_clean_start_is_accepted() {
    travel("a clean start is accepted");
}

//= mqtt-5.0 [MQTT-3.1.2-4] [MQTT-3.1.2-5] [MQTT-3.1.2-6] [MQTT-3.1.2-23] [MQTT-3.1.3-2] [MQTT-3.2.2-2]
//= mqtt-5.0 [MQTT-3.2.2-3]
#[test]
fn a_session_is_made_kept_resumed_and_discarded() {
    travel("a session is made, kept, resumed and discarded");
}

//= mqtt-5.0 [MQTT-3.1.2-6] [MQTT-3.2.2-3]
#[test]
fn a_session_without_an_expiry_interval_ends_with_its_connection() {
    travel("a session without an expiry interval ends with its connection");
}

//= mqtt-5.0 [MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT-3.2.2-16]
#[test]
fn a_client_without_an_identifier_is_given_one() {
    travel("a client without an identifier is given one");
}

//= mqtt-5.0 [MQTT-3.1.4-2] [MQTT-3.1.4-6] [MQTT-3.2.2-6] [MQTT-3.2.2-7] [MQTT-3.2.2-8] [MQTT-4.13.2-1]
#[test]
fn a_refusal_says_why_and_closes() {
    travel("a refusal says why and closes");
}

//= mqtt-5.0 [MQTT-3.2.2-8]
#[test]
fn a_refusal_for_each_reason() {
    travel("a refusal for each reason");
}

//= mqtt-5.0 [MQTT-3.1.2-22] [MQTT-3.2.2-22]
#[test]
fn the_keep_alive_of_the_client_counts() {
    travel("the keep-alive of the client counts");
}

//= mqtt-5.0 [MQTT-3.1.2-22]
#[test]
fn a_keep_alive_that_is_too_long_is_replaced() {
    travel("a keep-alive that is too long is replaced");
}

//= mqtt-5.0 [MQTT-3.2.2-22]
#[test]
fn a_keep_alive_that_is_not_too_long_stays() {
    travel("a keep-alive that is not too long stays");
}

//= mqtt-5.0 [MQTT-2.2.1-5] [MQTT-3.3.4-1] [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.7.2-1] [MQTT-4.3.2-4]
//= mqtt-5.0 [MQTT-4.3.3-8] [MQTT-4.3.3-11]
#[test]
fn a_publication_is_answered_by_its_qos() {
    travel("a publication is answered by its QoS");
}

//= mqtt-5.0 [MQTT-4.3.2-5] [MQTT-4.3.3-12]
#[test]
fn an_identifier_that_was_acknowledged_stands_for_a_new_message() {
    travel("an identifier that was acknowledged stands for a new message");
}

//= mqtt-5.0 [MQTT-4.3.3-10]
#[test]
fn qos_2_is_delivered_once() {
    travel("QoS 2 is delivered once");
}

//= mqtt-5.0 [MQTT-3.5.2-1] [MQTT-4.3.3-9]
#[test]
fn qos_2_that_was_refused_is_new_the_next_time() {
    travel("QoS 2 that was refused is new the next time");
}

//= mqtt-5.0 [MQTT-3.4.2-1]
#[test]
fn qos_1_that_was_refused() {
    travel("QoS 1 that was refused");
}

//= mqtt-5.0 [MQTT-2.2.1-2] [MQTT-2.2.1-4] [MQTT-2.2.1-5] [MQTT-3.3.1-2] [MQTT-3.6.2-1] [MQTT-4.3.1-1]
//= mqtt-5.0 [MQTT-4.3.2-1] [MQTT-4.3.2-2] [MQTT-4.3.3-1] [MQTT-4.3.3-2] [MQTT-4.3.3-4]
#[test]
fn deliveries_go_through_the_exchange_of_their_qos() {
    travel("deliveries go through the exchange of their QoS");
}

//= mqtt-5.0 [MQTT-3.3.1-3]
#[test]
fn dup_of_a_publication_is_not_forwarded() {
    travel("DUP of a publication is not forwarded");
}

//= mqtt-5.0 [MQTT-3.3.1-1] [MQTT-3.3.1-3] [MQTT-4.3.2-3] [MQTT-4.3.3-3] [MQTT-4.3.3-5] [MQTT-4.3.3-6]
//= mqtt-5.0 [MQTT-4.4.0-1] [MQTT-4.6.0-1]
#[test]
fn what_was_not_acknowledged_comes_again_on_resumption() {
    travel("what was not acknowledged comes again on resumption");
}

//= mqtt-5.0 [MQTT-4.4.0-2]
#[test]
fn what_was_refused_does_not_come_again() {
    travel("what was refused does not come again");
}

//= mqtt-5.0 [MQTT-4.6.0-4]
#[test]
fn pubrels_come_in_the_order_of_pubrecs() {
    travel("PUBRELs come in the order of PUBRECs");
}

//= mqtt-5.0 [MQTT-4.6.0-2] [MQTT-4.6.0-3]
#[test]
fn acknowledgements_come_in_the_order_of_publications() {
    travel("acknowledgements come in the order of publications");
}

//= mqtt-5.0 [MQTT-2.2.1-6] [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.8.4-5] [MQTT-3.8.4-6] [MQTT-3.8.4-7]
//= mqtt-5.0 [MQTT-3.9.3-1] [MQTT-3.9.3-2]
#[test]
fn subscribe_gets_one_suback_with_a_code_for_each_filter() {
    travel("SUBSCRIBE gets one SUBACK with a code for each filter");
}

//= mqtt-5.0 [MQTT-3.8.4-3]
#[test]
fn a_filter_that_is_there_already_is_replaced() {
    travel("a filter that is there already is replaced");
}

//= mqtt-5.0 [MQTT-2.2.1-6] [MQTT-3.10.4-1] [MQTT-3.10.4-2] [MQTT-3.10.4-4] [MQTT-3.10.4-5] [MQTT-3.10.4-6]
//= mqtt-5.0 [MQTT-3.11.3-1] [MQTT-3.11.3-2]
#[test]
fn unsubscribe_gets_one_unsuback_with_a_code_for_each_filter() {
    travel("UNSUBSCRIBE gets one UNSUBACK with a code for each filter");
}

//= mqtt-5.0 [MQTT-3.10.4-3]
#[test]
fn a_delivery_that_began_is_completed_after_unsubscribe() {
    travel("a delivery that began is completed after UNSUBSCRIBE");
}

//= mqtt-5.0 [MQTT-3.12.4-1]
#[test]
fn pingreq() {
    travel("PINGREQ");
}

//= mqtt-5.0 [MQTT-3.1.2-10] [MQTT-3.14.4-3]
#[test]
fn a_normal_end_discards_the_will() {
    travel("a normal end discards the will");
}

//= mqtt-5.0 [MQTT-3.14.4-3]
#[test]
fn a_normal_end_with_a_reason_code_discards_the_will() {
    travel("a normal end with a reason code discards the will");
}

//= mqtt-5.0 [MQTT-3.1.2-7] [MQTT-3.1.2-8]
#[test]
fn an_end_with_a_will_publishes_it() {
    travel("an end with a will publishes it");
}

//= mqtt-5.0 [MQTT-3.1.2-8]
#[test]
fn an_end_with_an_error_publishes_the_will() {
    travel("an end with an error publishes the will");
}

//= mqtt-5.0 [MQTT-3.1.2-7] [MQTT-3.1.2-8]
#[test]
fn an_end_without_disconnect_publishes_the_will() {
    travel("an end without DISCONNECT publishes the will");
}

//= mqtt-5.0 [MQTT-3.1.2-8] [MQTT-4.13.1-1]
#[test]
fn a_protocol_error_publishes_the_will() {
    travel("a protocol error publishes the will");
}

//= mqtt-5.0 [MQTT-3.1.4-3] [MQTT-3.14.2-1] [MQTT-3.14.2-2] [MQTT-3.14.4-1] [MQTT-3.14.4-2] [MQTT-4.13.2-1]
#[test]
fn the_broker_ends_the_connection_taken_over() {
    travel("the broker ends the connection: taken-over");
}

//= mqtt-5.0 [MQTT-3.14.2-1] [MQTT-3.14.2-2] [MQTT-3.14.4-1] [MQTT-3.14.4-2] [MQTT-4.13.2-1]
#[test]
fn the_broker_ends_the_connection_shutting_down() {
    travel("the broker ends the connection: shutting-down");
}

//= mqtt-5.0 [MQTT-3.14.2-1] [MQTT-3.14.2-2] [MQTT-3.14.4-1] [MQTT-3.14.4-2] [MQTT-4.13.2-1]
#[test]
fn the_broker_ends_the_connection_quota_exceeded() {
    travel("the broker ends the connection: quota-exceeded");
}

//= mqtt-5.0 [MQTT-3.14.2-1] [MQTT-3.14.2-2] [MQTT-3.14.4-1] [MQTT-3.14.4-2] [MQTT-4.13.2-1]
#[test]
fn the_broker_ends_the_connection_not_authorized() {
    travel("the broker ends the connection: not-authorized");
}

//= mqtt-5.0 [MQTT-3.14.2-1] [MQTT-3.14.2-2] [MQTT-3.14.4-1] [MQTT-3.14.4-2] [MQTT-4.13.2-1]
#[test]
fn the_broker_ends_the_connection_server_busy() {
    travel("the broker ends the connection: server-busy");
}

//= mqtt-5.0 [MQTT-3.14.2-1] [MQTT-3.14.2-2] [MQTT-3.14.4-1] [MQTT-3.14.4-2] [MQTT-4.13.2-1]
#[test]
fn the_broker_ends_the_connection_protocol_violation() {
    travel("the broker ends the connection: protocol-violation");
}

//= mqtt-5.0 [MQTT-3.2.2-17] [MQTT-3.3.2-12]
#[test]
fn a_topic_alias_of_the_client_stands_for_its_topic() {
    travel("a topic alias of the client stands for its topic");
}

//= mqtt-5.0 [MQTT-3.3.2-7]
#[test]
fn a_topic_alias_ends_with_its_connection() {
    travel("a topic alias ends with its connection");
}

//= mqtt-5.0 [MQTT-3.1.2-26] [MQTT-3.3.2-8] [MQTT-3.3.2-11]
#[test]
fn the_server_uses_the_topic_aliases_it_is_allowed() {
    travel("the server uses the topic aliases it is allowed");
}

//= mqtt-5.0 [MQTT-3.3.2-7]
#[test]
fn the_server_sets_its_topic_aliases_anew_for_each_connection() {
    travel("the server sets its topic aliases anew for each connection");
}

//= mqtt-5.0 [MQTT-3.1.2-27]
#[test]
fn the_server_uses_no_topic_alias_without_a_maximum() {
    travel("the server uses no topic alias without a maximum");
}

//= mqtt-5.0 [MQTT-3.1.2-27]
#[test]
fn the_server_uses_no_topic_alias_with_a_maximum_of_0() {
    travel("the server uses no topic alias with a maximum of 0");
}

//= mqtt-5.0 [MQTT-3.1.2-24] [MQTT-3.1.2-25]
#[test]
fn a_message_that_is_too_large_for_the_client_counts_as_sent() {
    travel("a message that is too large for the client counts as sent");
}

//= mqtt-5.0 [MQTT-3.1.2-24] [MQTT-3.4.2-2] [MQTT-3.4.2-3] [MQTT-3.5.2-2] [MQTT-3.5.2-3] [MQTT-3.6.2-2]
//= mqtt-5.0 [MQTT-3.6.2-3] [MQTT-3.7.2-2] [MQTT-3.7.2-3] [MQTT-3.9.2-1] [MQTT-3.9.2-2] [MQTT-3.11.2-1]
//= mqtt-5.0 [MQTT-3.11.2-2] [MQTT-3.14.2-3] [MQTT-3.14.2-4]
#[test]
fn reason_strings_give_way_to_the_maximum_packet_size() {
    travel("reason strings give way to the maximum packet size");
}

//= mqtt-5.0 [MQTT-3.2.2-19] [MQTT-3.2.2-20]
#[test]
fn a_reason_string_of_connack_gives_way_to_the_maximum_packet_size() {
    travel("a reason string of CONNACK gives way to the maximum packet size");
}

//= mqtt-5.0 [MQTT-3.1.2-29]
#[test]
fn a_client_that_wants_no_problem_information_gets_none() {
    travel("a client that wants no problem information gets none");
}

//= mqtt-5.0 [MQTT-3.1.2-28]
#[test]
fn response_information_is_not_sent_unasked() {
    travel("response information is not sent unasked");
}

//= mqtt-5.0 [MQTT-4.12.0-6]
#[test]
fn without_an_authentication_method_there_is_none_in_connack() {
    travel("without an authentication method there is none in CONNACK");
}

//= mqtt-5.0 [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]
#[test]
fn properties_are_forwarded_as_they_came() {
    travel("properties are forwarded as they came");
}

//= mqtt-5.0 [MQTT-3.3.4-3]
#[test]
fn a_subscription_identifier_comes_with_the_messages() {
    travel("a subscription identifier comes with the messages");
}

//= mqtt-5.0 [MQTT-3.8.4-3]
#[test]
fn a_subscription_that_is_replaced_has_its_new_identifier_or_none() {
    travel("a subscription that is replaced has its new identifier or none");
}

//= mqtt-5.0 [MQTT-3.3.4-2] [MQTT-3.3.4-3] [MQTT-3.3.4-4]
#[test]
fn one_copy_for_overlapping_subscriptions_has_all_their_identifiers_and_the_highest_qos() {
    travel("one copy for overlapping subscriptions has all their identifiers and the highest QoS");
}

//= mqtt-5.0 [MQTT-3.3.2-3] [MQTT-3.8.4-8]
#[test]
fn messages_come_with_the_lower_qos() {
    travel("messages come with the lower QoS");
}

//= mqtt-5.0 [MQTT-3.3.4-9] [MQTT-3.3.4-10] [MQTT-4.9.0-1] [MQTT-4.9.0-2] [MQTT-4.9.0-3]
#[test]
fn a_zero_quota_holds_back_nothing_but_publish() {
    travel("a zero quota holds back nothing but PUBLISH");
}

//= mqtt-5.0 [MQTT-3.3.4-9] [MQTT-4.9.0-2]
#[test]
fn a_pubrec_that_refuses_frees_the_quota_one_that_does_not_keeps_it_until_pubcomp() {
    travel("a PUBREC that refuses frees the quota, one that does not keeps it until PUBCOMP");
}

//= mqtt-5.0 [MQTT-3.2.2-9]
#[test]
fn what_the_server_does_not_support_is_said_in_connack() {
    travel("what the server does not support is said in CONNACK");
}

//= mqtt-5.0 [MQTT-3.2.2-8]
#[test]
fn what_the_server_supports_is_not_said() {
    travel("what the server supports is not said");
}

//= mqtt-5.0 [MQTT-3.2.2-8]
#[test]
fn the_bounds_of_the_server_are_said_in_connack() {
    travel("the bounds of the server are said in CONNACK");
}

#[test]
fn each_journey_has_a_test_that_cites_what_it_does() {
    check_citations("server", include_str!("journeys_v5.rs"), 59);
}
