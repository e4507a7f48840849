//! A dialogue is the same however the stream is cut.

use crate::broker::Server;

const DIALOGUE: &str = "CONNECT\naccept-version:1.2\nhost:h\n\n\0\nSUBSCRIBE\nid:0\ndestination:/topic/a.#\n\n\0\r\n\
    SUBSCRIBE\nid:1\ndestination:/queue/q\nack:client\nreceipt:s\n\n\0BEGIN\ntransaction:t\n\n\0\
    SEND\ndestination:/topic/a.b\ncontent-length:3\n\nx\0y\0\nSEND\ndestination:/queue/q\nreply-to:/temp-queue/r\n\n1\0\
    SEND\ndestination:/topic/a\ntransaction:t\n\nz\0ACK\nid:2-1\ntransaction:t\n\n\0COMMIT\ntransaction:t\nreceipt:c\n\n\0\
    UNSUBSCRIBE\nid:1\n\n\0DISCONNECT\nreceipt:d\n\n\0";

#[test]
fn a_dialogue_is_the_same_however_it_is_cut() {
    let run = |piece: usize| {
        let mut server = Server::new(mynah_stomp::Config::default());
        let written: String = DIALOGUE.as_bytes().chunks(piece).map(|piece| server.hear(piece)).collect();
        assert!(server.closed.is_some() && server.failure().is_none(), "{written}");
        written
    };
    let whole = run(DIALOGUE.len());
    assert!(whole.ends_with("RECEIPT\nreceipt-id:d\n\n^@"));
    assert_eq!(whole.matches("MESSAGE\n").count(), 3, "{whole}");
    for piece in [1, 2, 3, 7, 64, 200] {
        assert_eq!(run(piece), whole, "in pieces of {piece}");
    }
}
