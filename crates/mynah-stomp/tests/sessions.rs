//! Connecting, taking leave, and receipts.

use std::time::Duration;

use mynah_model::{Instant, Reason};
use mynah_stack::Connection;
use mynah_stomp::Config;

use crate::broker::{Server, topic};

//= stomp-1.2 [connect-stomp] [connected-version] [negotiation-highest]
//= stomp-1.1 [connected-version]
#[test]
fn connect_is_answered_in_the_highest_version() {
    for (connect, version) in [
        ("CONNECT\n\n\0", "1.0"),
        ("CONNECT\naccept-version:1.0,1.1\nhost:h\n\n\0", "1.1"),
        ("STOMP\naccept-version:1.1,1.2\nhost:h\n\n\0", "1.2"),
        ("\n\r\nCONNECT\r\naccept-version:1.2\r\nhost:h\r\n\r\n\0", "1.2"),
    ] {
        let connected = Server::new(Config::default()).hear(connect);
        assert!(
            connected.starts_with(&format!("CONNECTED\nversion:{version}\nsession:mynah-0\nserver:Mynah/"))
        );
        assert_eq!(connected.contains("\nheart-beat:100,100\n"), version != "1.0", "{connected}");
        assert!(connected.ends_with("\n\n^@"));
    }
}

//= stomp-1.2 [encoding-connect]
#[test]
fn a_login_is_never_unescaped_and_padded_only_in_the_first_version() {
    for (connect, login, passcode) in [
        ("CONNECT\nlogin: guest\npasscode:\\n:x\n\n\0", "guest", Some("\\n:x")),
        ("CONNECT\naccept-version:1.2\nlogin: g\npasscode:a\\cb\n\n\0", " g", Some("a\\cb")),
        ("CONNECT\naccept-version:1.1\nlogin:g\nlogin:h\n\n\0", "g", None),
    ] {
        let mut server = Server::new(Config::default());
        server.hear(connect);
        assert_eq!(server.user, Some((login.to_owned(), passcode.map(str::to_owned))));
    }
}

#[test]
fn the_host_is_the_tenant_that_a_client_names() {
    for (connect, tenant) in [
        ("CONNECT\naccept-version:1.2\nhost:factory\n\n\0", Some("factory")),
        ("STOMP\naccept-version:1.1\nhost:/\n\n\0", Some("/")),
        ("CONNECT\n\n\0", None),
    ] {
        let mut server = Server::new(Config::default());
        server.hear(connect);
        assert_eq!(server.tenant.as_deref(), tenant);
    }
}

//= stomp-1.2 [negotiation-none]
#[test]
fn no_version_in_common_is_an_error_that_lists_them() {
    let mut server = Server::new(Config::default());
    assert_eq!(
        server.hear("CONNECT\naccept-version:2.0,3\nhost:h\n\n\0"),
        "ERROR\nmessage:no protocol version in common\nx-command:CONNECT\nx-header:accept-version\n\
         version:1.0,1.1,1.2\ncontent-type:text/plain\ncontent-length:43\n\n\
         Supported protocol versions are 1.0 1.1 1.2^@"
    );
    assert!(server.closed.is_some());
}

//= stomp-1.2 [connect-refused]
#[test]
fn a_refused_login_is_an_error_and_the_end() {
    let mut server = Server::new(Config::default());
    server.refuse = Some(Reason::BadCredentials);
    let written = server.hear("CONNECT\naccept-version:1.2\nhost:h\nlogin:a\npasscode:b\n\n\0");
    assert!(written.starts_with("ERROR\nmessage:bad login or passcode\n"), "{written}");
    assert_eq!(server.closed.unwrap().reason, Reason::BadCredentials);
}

#[test]
fn a_peer_that_does_not_connect_in_time_is_told_so() {
    let mut server = Server::new(Config::default());
    let due = server.connection.deadline().unwrap();
    assert_eq!(due, Instant::ZERO + Duration::from_secs(10));
    assert!(server.timeout(due).starts_with("ERROR\nmessage:no CONNECT in time\n"));
    assert_eq!(server.closed.unwrap().reason, Reason::OpeningTimeout);
}

//= stomp-1.2 [receipt-id] [receipt-processed]
#[test]
fn a_receipt_comes_when_the_promise_is_kept() {
    let mut server = Server::open("1.2");
    server.holds = true;
    let send = "SEND\ndestination:/topic/a\npersistent:true\nreceipt:r\\c1\n\nx\0";
    assert_eq!(server.hear(send), "");
    assert_eq!(server.release(), "RECEIPT\nreceipt-id:r\\c1\n\n^@");
    server.holds = false;
    assert_eq!(server.hear("SEND\ndestination:/topic/a\nreceipt:2\n\nx\0"), "RECEIPT\nreceipt-id:2\n\n^@");
    assert_eq!(
        server.hear("SUBSCRIBE\nid:1\ndestination:/topic/b\nreceipt:3\n\n\0"),
        "RECEIPT\nreceipt-id:3\n\n^@"
    );
    assert_eq!(server.hear("UNSUBSCRIBE\nid:1\nreceipt:4\n\n\0"), "RECEIPT\nreceipt-id:4\n\n^@");
    assert_eq!(server.hear("BEGIN\ntransaction:t\nreceipt:5\n\n\0"), "RECEIPT\nreceipt-id:5\n\n^@");
}

//= stomp-1.2 [disconnect-receipt]
#[test]
fn a_farewell_is_answered_after_all_before_it() {
    let mut server = Server::open("1.2");
    server.holds = true;
    assert_eq!(
        server.hear("SEND\ndestination:/topic/a\npersistent:true\n\nx\0DISCONNECT\nreceipt:77\n\n\0"),
        ""
    );
    assert!(server.closed.is_none());
    assert_eq!(server.hear("SEND\ndestination:/topic/late\n\nx\0"), "", "nothing may follow");
    assert_eq!(server.release(), "RECEIPT\nreceipt-id:77\n\n^@");
    assert_eq!(server.closed.unwrap().reason, Reason::Disconnected);
    assert_eq!(server.published.len(), 1);

    // The example of the specification has no blank line.
    let mut server = Server::open("1.2");
    assert_eq!(server.hear("DISCONNECT\nreceipt:77\n\0"), "RECEIPT\nreceipt-id:77\n\n^@");

    let mut server = Server::open("1.0");
    assert_eq!(server.hear("DISCONNECT\n\n\0"), "");
    assert_eq!(server.closed.unwrap().reason, Reason::Disconnected);
}

#[test]
fn as_many_frames_wait_for_their_answers_as_are_allowed() {
    let settings = mynah_stomp::Settings { unanswered_max: 2, ..mynah_stomp::Settings::default() };
    let mut server = Server::open_with("1.2", Config::new(settings).unwrap());
    server.holds = true;
    let send = |receipt: u8| format!("SEND\ndestination:/topic/a\npersistent:true\nreceipt:{receipt}\n\nx\0");
    assert_eq!(server.hear([send(1), send(2), send(3)].concat()), "");
    assert_eq!(server.published.len(), 2);
    assert!(!server.connection.wants_input());
    let answers = "RECEIPT\nreceipt-id:1\n\n^@RECEIPT\nreceipt-id:2\n\n^@";
    assert_eq!(server.release(), answers);
    assert_eq!(server.published.len(), 3);
    assert_eq!(server.release(), "RECEIPT\nreceipt-id:3\n\n^@");
}

//= stomp-1.2 [send-failure] [error-receipt]
#[test]
fn a_refused_publication_is_an_error_with_its_receipt() {
    for (persistent, receipt) in [("true", "\nreceipt:9"), ("false", "\nreceipt:9"), ("false", "")] {
        let mut server = Server::open("1.1");
        server.refuse = Some(Reason::NotAuthorized);
        let send = format!("SEND\ndestination:/topic/a\npersistent:{persistent}{receipt}\n\nx\0");
        let written = server.hear(send);
        let expected = if receipt.is_empty() { "ERROR\n" } else { "ERROR\nreceipt-id:9\n" };
        assert!(written.starts_with(&format!("{expected}message:access denied\n")), "{written}");
        assert_eq!(server.closed.unwrap().reason, Reason::NotAuthorized);
    }
}

#[test]
fn a_broker_that_stops_says_so_once() {
    let mut server = Server::open("1.2");
    server.connection.handle_shutdown(Instant::ZERO, &mut server.out);
    server.connection.handle_shutdown(Instant::ZERO, &mut server.out);
    assert!(
        server.hear("SEND\ndestination:/topic/a\n\nx\0").starts_with("ERROR\nmessage:server shutting down\n")
    );
    assert!(server.published.is_empty());
    assert_eq!(server.closed.unwrap().reason, Reason::ShuttingDown);
}

#[test]
fn a_message_keeps_its_topic() {
    let mut server = Server::open("1.2");
    server.hear("SEND\ndestination:/topic/a.b%2Ec\n\nx\0");
    assert_eq!(topic(&server.published[0].1), "a/b.c");
}
