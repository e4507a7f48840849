//! Frames are read as they are written.

use mynah_stomp::Version;
use mynah_stomp::framing::{FrameLimits, Framing};
use mynah_stomp::wire::{
    Ack, AckOf, Bracket, Command, Connect, Connected, ErrorFrame, Frame, HeartBeat, Receipt, Send,
};
use proptest::prelude::*;

fn read<R>(octets: &[u8], version: Version, read: impl FnOnce(Frame<'_>) -> R) -> R {
    let limits = FrameLimits { frame_octets_max: 1 << 20, head_octets_max: 1 << 16, headers_max: 100 };
    let (frame, len) = Framing::default().next(octets, version, &limits).unwrap().unwrap();
    assert_eq!(len, octets.len());
    read(frame)
}

fn text() -> impl Strategy<Value = String> {
    "[a-c:\\\\\nä ]{0,8}"
}

/// What STOMP 1.0, CONNECT and CONNECTED can say.
fn plain() -> impl Strategy<Value = String> {
    "[a-c:\\\\ä]{0,8}"
}

proptest! {
    #[test]
    fn connect_and_connected(login in plain(), passcode in prop::option::of(plain()), sends: u32, wants: u32) {
        let connect = Connect {
            accept_version: Some("1.1,1.2".into()),
            host: Some("h".into()),
            login: Some(login.as_str().into()),
            passcode: passcode.as_deref().map(Into::into),
            client_id: None,
            heart_beat: HeartBeat { sends, wants },
        };
        let mut octets = Vec::new();
        prop_assert!(connect.encode(&mut octets));
        read(&octets, Version::V1_2, |frame| {
            assert_eq!(Connect::decode(frame), Ok((connect.clone(), Version::V1_2)));
        });
        let connected = Connected {
            version: Version::V1_1,
            session: Some(login.as_str().into()),
            server: None,
            heart_beat: HeartBeat { sends, wants },
        };
        octets.clear();
        connected.encode(&mut octets);
        read(&octets, Version::V1_2, |frame| assert_eq!(Connected::decode(frame), Ok(connected.clone())));
    }

    #[test]
    fn send(name in "[b:\\\\\n]{1,5}", value in text(), body in prop::collection::vec(any::<u8>(), 0..50)) {
        for version in [Version::V1_1, Version::V1_2] {
            let mut octets = Vec::new();
            Send::encode("/topic/a:b", [(name.as_str(), value.as_str())], &body, version, &mut octets);
            read(&octets, version, |frame| {
                let send = Send::decode(frame).unwrap();
                assert_eq!((&*send.destination, send.body), ("/topic/a:b", body.as_slice()));
                assert_eq!(send.headers.get(&name).as_deref(), Some(value.as_str()));
            });
        }
    }

    #[test]
    fn answers(id in text(), body in "[a-z]{0,9}") {
        for version in [Version::V1_1, Version::V1_2] {
            let receipt = Receipt { receipt_id: id.as_str().into() };
            let mut octets = Vec::new();
            receipt.encode(version, &mut octets);
            read(&octets, version, |frame| assert_eq!(Receipt::decode(frame), Ok(receipt.clone())));
            let error = ErrorFrame {
                message: id.as_str().into(),
                receipt_id: Some(id.as_str().into()),
                command: Some(Command::Send),
                header: Some("destination".into()),
                versions: None,
                body: body.as_bytes().into(),
            };
            octets.clear();
            error.encode(version, &mut octets);
            read(&octets, version, |frame| assert_eq!(ErrorFrame::decode(frame), error.clone()));
        }
    }

    #[test]
    fn acknowledgements_and_brackets(id in text(), subscription in text(), requeue: Option<bool>, is_nack: bool) {
        for version in [Version::V1_1, Version::V1_2] {
            let of = if version.has_ack_ids() {
                AckOf::Id(id.as_str().into())
            } else {
                AckOf::MessageId { message_id: id.as_str().into(), subscription: Some(subscription.as_str().into()) }
            };
            let ack = Ack { is_nack, of, transaction: Some(subscription.as_str().into()), requeue };
            let mut octets = Vec::new();
            ack.encode(Some("r"), version, &mut octets);
            read(&octets, version, |frame| {
                assert_eq!(Ack::decode(frame, version), Ok(ack.clone()));
                assert_eq!(frame.headers.get("receipt").as_deref(), Some("r"));
            });
            for command in [Command::Begin, Command::Commit, Command::Abort] {
                let bracket = Bracket { command, transaction: id.as_str().into() };
                octets.clear();
                bracket.encode(None, version, &mut octets);
                read(&octets, version, |frame| assert_eq!(Bracket::decode(frame), Ok(bracket.clone())));
            }
        }
    }
}
