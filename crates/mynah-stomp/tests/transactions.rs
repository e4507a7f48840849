//! BEGIN, COMMIT and ABORT, with SEND, ACK and NACK between them.

use mynah_model::Reason;
use mynah_stomp::{Config, Settings};

use crate::broker::{Server, topic};

//= stomp-1.2 [transaction-atomic] [transaction-headers]
//= stomp-1.1 [transaction-atomic]
//= stomp-1.0 [transaction-atomic]
#[test]
fn what_is_sent_and_acknowledged_in_a_transaction_happens_at_its_commit() {
    let mut server = Server::open("1.2");
    server.hear("SEND\ndestination:/queue/q\n\n1\0SEND\ndestination:/queue/q\n\n2\0");
    server.hear("SUBSCRIBE\nid:s\ndestination:/queue/q\nack:client-individual\nprefetch-count:2\n\n\0");
    server.hear("BEGIN\ntransaction:t\n\n\0");
    server.hear("SEND\ndestination:/topic/a.b\ntransaction:t\n\nx\0");
    server.hear("SEND\ndestination:/exchange/e%2F1/k\ntransaction:t\n\ny\0");
    server.hear("ACK\nid:1-1\ntransaction:t\n\n\0NACK\nid:1-2\ntransaction:t\nrequeue:false\n\n\0");
    assert_eq!((server.published.len(), server.rejected.len()), (2, 0));
    assert_eq!(server.hear("COMMIT\ntransaction:t\nreceipt:c\n\n\0"), "RECEIPT\nreceipt-id:c\n\n^@");
    assert_eq!(server.published.len(), 4);
    assert_eq!((server.published[2].0.as_str(), topic(&server.published[2].1)), ("topic", "a/b".to_owned()));
    assert_eq!(server.published[3].0, "exchange e/1");
    assert_eq!(server.rejected.len(), 1);
    let credit = server.consumers.values().next().unwrap().credit;
    assert_eq!(credit.messages, 2, "credit comes back with the commit");
}

//= stomp-1.2 [transaction-abort]
#[test]
fn an_aborted_transaction_never_was() {
    let mut server = Server::open("1.2");
    server.hear("SEND\ndestination:/queue/q\n\n1\0");
    server.hear("SUBSCRIBE\nid:s\ndestination:/queue/q\nack:client\n\n\0");
    server.hear("BEGIN\ntransaction:t\n\n\0ACK\nid:1-1\ntransaction:t\n\n\0");
    server.hear("SEND\ndestination:/topic/a\ntransaction:t\n\nx\0");
    assert_eq!(server.hear("ABORT\ntransaction:t\nreceipt:a\n\n\0"), "RECEIPT\nreceipt-id:a\n\n^@");
    assert_eq!(server.published.len(), 1);
    // The message waits for its acknowledgement still.
    server.hear("NACK\nid:1-1\nrequeue:false\n\n\0");
    assert_eq!(server.rejected.len(), 1);
}

#[test]
fn transactions_are_apart_from_one_another_and_from_the_rest() {
    let mut server = Server::open("1.1");
    server.hear("BEGIN\ntransaction:a\n\n\0BEGIN\ntransaction:b\n\n\0");
    server.hear(
        "SEND\ndestination:/topic/1\ntransaction:a\n\n\0SEND\ndestination:/topic/2\ntransaction:b\n\n\0",
    );
    server.hear("SEND\ndestination:/topic/3\n\n\0COMMIT\ntransaction:b\n\n\0");
    let topics: Vec<_> = server.published.iter().map(|(_, message)| topic(message)).collect();
    assert_eq!(topics, ["3", "2"]);
    assert_eq!(server.hear("COMMIT\ntransaction:a\nreceipt:1\n\n\0"), "RECEIPT\nreceipt-id:1\n\n^@");
    // The name is free again, and an empty transaction is one too.
    let empty = "BEGIN\ntransaction:a\n\n\0COMMIT\ntransaction:a\nreceipt:2\n\n\0";
    assert_eq!(server.hear(empty), "RECEIPT\nreceipt-id:2\n\n^@");
}

#[test]
fn a_refused_commit_is_an_error() {
    let mut server = Server::open("1.2");
    server.hear("BEGIN\ntransaction:t\n\n\0SEND\ndestination:/topic/a\ntransaction:t\n\n\0");
    server.refuse = Some(Reason::StorageFull);
    let written = server.hear("COMMIT\ntransaction:t\nreceipt:c\n\n\0");
    assert!(written.starts_with("ERROR\nreceipt-id:c\nmessage:no room to store it\n"), "{written}");
    assert!(server.published.is_empty());
}

#[test]
fn what_transactions_hold_is_bounded() {
    let settings = Settings { transaction_octets_max: 1_024, ..Settings::default() };
    let mut server = Server::open_with("1.2", Config::new(settings).unwrap());
    server.hear("BEGIN\ntransaction:t\n\n\0");
    let body = "x".repeat(600);
    assert_eq!(server.hear(format!("SEND\ndestination:/topic/a\ntransaction:t\n\n{body}\0")), "");
    let written = server.hear(format!("SEND\ndestination:/topic/a\ntransaction:t\nreceipt:2\n\n{body}\0"));
    assert!(written.starts_with("ERROR\nreceipt-id:2\nmessage:transactions too large\n"), "{written}");
}
