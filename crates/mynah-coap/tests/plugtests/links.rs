//! Discovery: `TD_COAP_LINK`.

use mynah_coap::wire::{Code, Kind, OptionNumber};

use super::NOW;
use crate::broker::Server;
use crate::devices::{ask, message, request, said};

//= coap-plugtests [TD_COAP_LINK_01] [TD_COAP_LINK_02] [TD_COAP_LINK_03] [TD_COAP_LINK_07] [TD_COAP_LINK_08]
#[test]
fn discovery_lists_what_is_asked_for() {
    let mut server = Server::with_directory(10);
    let mut core = |id, query: &str| {
        let path = format!(".well-known/core{query}");
        let found = ask(&mut server, NOW, &request(id, Code::GET, &path, None, b""));
        assert_eq!((found.code, found.all(OptionNumber::CONTENT_FORMAT)), (Code::CONTENT, vec!["("]));
        String::from_utf8(found.payload).unwrap()
    };
    let all = core(1, "");
    let links: Vec<&str> = all.split(",<").map(|link| link.trim_start_matches('<')).collect();
    let selected = |part: &str| links.iter().filter(|link| link.contains(part)).count();
    let count = |found: &str| found.split(",<").filter(|link| !link.is_empty()).count();
    assert!(links.len() > selected(";rt=") && selected(";rt=") > 2, "{all}");
    assert_eq!(count(&core(2, "?rt=core.rd")), 1);
    assert_eq!(count(&core(3, "?rt=*")), selected(";rt="));
    assert!(core(4, "?href=/rd-lookup/ep").starts_with("</rd-lookup/ep>;"));
    assert_eq!(count(&core(5, "?href=/rd*")), selected("/rd"));
    assert_eq!(core(6, "?href=/nothing"), "");
}

/// What devices have registered is listed in the same way.
//= coap-plugtests [TD_COAP_LINK_04] [TD_COAP_LINK_05] [TD_COAP_LINK_06] [TD_COAP_LINK_09]
#[test]
fn links_are_selected_by_their_attributes_and_arranged_below_an_entry() {
    let mut server = Server::with_directory(10);
    let links = b"</1>;rt=\"Type1 Type2\";if=\"If1\",</2>;rt=\"Type2 Type3\";if=\"If2\",\
        </3>;rt=\"Type1 Type3\";if=\"foo\";sz=100,</4>;sz=7";
    assert_eq!(
        ask(&mut server, NOW, &request(1, Code::POST, "rd?ep=e", Some(40), links)).code,
        Code::CREATED
    );
    let entry =
        ask(&mut server, NOW, &request(2, Code::GET, ".well-known/core?rt=core.rd-lookup-res", None, b""));
    assert!(entry.payload.starts_with(b"</rd-lookup/res>;rt=\"core.rd-lookup-res\";ct=40"));
    for (id, (query, expected)) in [
        ("", &["1", "2", "3", "4"][..]),
        ("?rt=Type2", &["1", "2"]),
        ("?if=If*", &["1", "2"]),
        ("?sz=*", &["3", "4"]),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("rd-lookup/res{query}");
        let found = ask(&mut server, NOW, &request(3 + id as u16, Code::GET, &path, None, b""));
        assert_eq!(found.all(OptionNumber::CONTENT_FORMAT), ["("]);
        let text = String::from_utf8(found.payload).unwrap();
        let targets: Vec<&str> = text.split("</r/e/").skip(1).map(|rest| &rest[..1]).collect();
        assert_eq!(targets, expected, "{query}");
    }
    // What is listed can be asked.
    server.hear(NOW, &request(20, Code::GET, "r/e/1", None, b""));
    let call = said(&mut server).remove(0);
    assert_eq!((call.code, call.all(OptionNumber::URI_PATH)), (Code::GET, vec!["1"]));
    let reply = message(Kind::Acknowledgement, call.id, Code::CONTENT, &call.token, b"", b"value");
    let answer = ask(&mut server, NOW, &reply);
    assert_eq!((answer.code, &answer.payload[..]), (Code::CONTENT, &b"value"[..]));
}
