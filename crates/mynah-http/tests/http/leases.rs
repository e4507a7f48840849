//! What a link makes of requests about leases.

use mynah_http::STREAM_LAYOUT;
use mynah_model::{Class, Reason, WallTime};
use mynah_stack::{
    Command, ConsumerId, Delivery, Frame, FrameKind, Hold, Holding, LayoutCodec, Lease, Outcome,
    QueueCommand, QueueOutcome, Refusal,
};

use crate::link::{Link, Response, message};

const NAME: &str = "abababababababababababababababab";

/// A link whose request has become this.
fn asked(method: &str, target: &str) -> (Link, Holding) {
    let mut link = Link::with(method, target, &[]);
    link.admit();
    let holding = link.command(|command| match command {
        Command::Queue(QueueCommand::Hold(hold)) => {
            let Hold { queue, holding, .. } = *hold;
            assert_eq!(queue, b"a/b");
            holding
        }
        other => panic!("a command about leases was due: {other:?}"),
    });
    (link, holding)
}

fn held(link: &mut Link, result: Result<Option<WallTime>, Refusal<'_>>) -> Response {
    link.outcome(Outcome::Queue(QueueOutcome::Held { receipt: 1, result }));
    link.close();
    link.response()
}

fn lend(link: &mut Link, payload: &[u8], number: u64, failed: u32) {
    let message = message("t", payload, Class::AtLeastOnce, false);
    let mut frame = Frame::default();
    let kind = FrameKind { identified: true, retain: false };
    let properties = mynah_model::Properties::EMPTY;
    assert!(mynah_http::HttpCodec.encode(message.view(), &properties, STREAM_LAYOUT, kind, &mut frame));
    let lease = Lease {
        frame: &frame,
        message: message.view(),
        routed: None,
        consumer: ConsumerId(9),
        lease: number,
        acquired: failed,
        failed,
        offset: 0,
        ready: 0,
        deaths: &[],
        subscribed: None,
        until: Some(WallTime::from_unix_millis(1_000)),
    };
    assert!(link.connection.deliver(link.now, Delivery::Leased(&lease), &mut link.out));
}

#[test]
fn what_was_leased_is_an_array_of_messages() {
    let (mut link, holding) = asked("POST", "/v1/queues/a%2Fb/leases?max=2");
    assert!(matches!(holding, Holding::Take { .. }));
    lend(&mut link, b"{\"n\": 1}", 1, 0);
    lend(&mut link, &[0xff], 2, 3);
    let response = held(&mut link, Ok(Some(WallTime::from_unix_millis(1_000))));
    assert_eq!(response.status, 200);
    let expires = "\"lease_expires\":\"1970-01-01T00:00:01Z\"";
    let expected = format!(
        "[{{\"topic\":\"t\",\"payload\":\"{{\\\"n\\\": 1}}\",\"qos\":1,\"retain\":false,\
         \"lease\":\"{NAME}-1\",\"delivery_count\":0,{expires}}},\
         {{\"topic\":\"t\",\"payload_base64\":\"/w==\",\"qos\":1,\"retain\":false,\
         \"lease\":\"{NAME}-2\",\"delivery_count\":3,{expires}}}]\n"
    );
    assert_eq!(String::from_utf8(response.body).unwrap(), expected);
}

#[test]
fn a_lease_is_settled_extended_or_gone() {
    let until = Some(WallTime::from_unix_millis(2_500));
    let (mut link, _) = asked("POST", "/v1/queues/a%2Fb/leases");
    assert_eq!(held(&mut link, Ok(until)).body, b"[]\n");
    for (method, path) in [("DELETE", ""), ("POST", "/nack?delay=1")] {
        let target = format!("/v1/queues/a%2Fb/leases/{NAME}-1{path}");
        let (mut link, _) = asked(method, &target);
        assert_eq!(held(&mut link, Ok(until)).status, 204);
        let (mut link, _) = asked(method, &target);
        assert_eq!(held(&mut link, Ok(None)).status, 410);
        let (mut link, _) = asked(method, &target);
        let refusal = Refusal { reason: Reason::NotFound, detail: "" };
        assert_eq!(held(&mut link, Err(refusal)).status, 404);
    }
    let (mut link, _) = asked("POST", &format!("/v1/queues/a%2Fb/leases/{NAME}-1/extend?ttl=3"));
    let response = held(&mut link, Ok(until));
    let expected = format!("{{\"lease\":\"{NAME}-1\",\"lease_expires\":\"1970-01-01T00:00:02.500Z\"}}\n");
    assert_eq!((response.status, String::from_utf8(response.body).unwrap()), (200, expected));
}

#[test]
fn a_queue_that_ends_meanwhile_is_said_to_be_gone() {
    let (mut link, _) = asked("POST", "/v1/queues/a%2Fb/leases?wait=9");
    let ended = QueueOutcome::ConsumerEnded { consumer: ConsumerId(9), reason: Reason::NotFound };
    link.outcome(Outcome::Queue(ended));
    link.close();
    assert_eq!(link.response().status, 404);
}
