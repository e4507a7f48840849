//! Tenants that peers name: by the name of the host that TLS asks for, and by the Host of a request.

use mynah_interop::{Certificates, Setup};

use crate::curl::curl;
use crate::logins::Issuer;
use crate::on_one_and_two_workers;
use crate::tokens::{broker, login, paho};
use crate::transports::tls;

on_one_and_two_workers!(two_tenants_with_the_same_user_do_not_see_each_other);

fn two_tenants_with_the_same_user_do_not_see_each_other(workers: u16) {
    let (certificates, issuer) = (Certificates::new(), Issuer::new("first"));
    let listener = tls(&certificates, "");
    let tables = format!(
        "[tenants]\nfactory = 1\n\"lab.example\" = 2\n[[listener]]\nname = \"tls\"\nprotocol = \"mqtt\"\n\
         address = \"127.0.0.1:0\"\n{listener}\n"
    );
    // So many wrong passwords come from here that this machine would have to wait.
    let setup = Setup::workers(workers)
        .more("pair_failures_max = 1000\n")
        .user("ada", "engine")
        .user_of("factory", "ada", "steam");
    let broker = broker(setup.user_of("lab.example", "ada", "glass"), &issuer, &tables);
    let ca = format!("ca={}", certificates.folder().path("ca.pem").display());
    let keys = |host: &str, password: &str, more: &[&str]| {
        let own = [ca.clone(), format!("name={host}"), "user=ada".into(), format!("password={password}")];
        own.into_iter().chain(more.iter().map(|key| (*key).to_owned())).collect::<Vec<_>>()
    };
    let http = |host: &str, password: &str, more: &[&str], topic: &str| {
        let (user, host) = (format!("ada:{password}"), format!("Host: {host}:8080"));
        let url = broker.http_url(&format!("/v1/topics/{topic}"));
        let answer = curl(&[&["-u", &user, "-H", &host], more, &[&url]].concat());
        (answer.status, answer.body)
    };
    let right = [
        ("localhost", "engine"),
        ("elsewhere.example", "engine"),
        ("factory", "steam"),
        ("lab.example", "glass"),
    ];
    for (host, password) in right {
        for other in ["engine", "steam", "glass"] {
            let version = if other == password { "3.1.1" } else { "5.0" };
            let is_in = login(&broker, "tls", version, &keys(host, other, &[])) == "Success";
            assert_eq!(is_in, other == password, "{host} {other}");
            let status = http(host, other, &[], "none").0;
            assert_eq!(status, if other == password { 404 } else { 401 }, "{host} {other}");
        }
    }
    // What does not know of tenants proves nothing in one that is named.
    let token = issuer.token("mynah", 600);
    let bearer = |host: &str| {
        let token = ["user=x".to_owned(), format!("password={token}"), ca.clone(), format!("name={host}")];
        login(&broker, "tls", "5.0", &token)
    };
    assert_eq!([bearer("localhost"), bearer("factory")], ["Success", "Bad user name or password"]);

    let hearing = ["localhost", "factory", "lab.example"].map(|host| {
        let password = right.iter().find(|(known, _)| *known == host).unwrap().1;
        let keys = keys(host, password, &["id=the same in each", "subscribe=plan/#", "stay=4"]);
        let mut process = paho(&broker, "tls", "5.0", "tcp", &keys);
        process.line("that it has subscribed", |line| line == "subscribed");
        process
    });
    let published =
        paho(&broker, "tls", "5.0", "tcp", &keys("factory", "steam", &["publish=plan/a", "payload=by MQTT"]));
    assert_eq!(published.finish().success(), "login: Success\npublished\n");
    assert_eq!(http("lab.example", "glass", &["-X", "PUT", "-d", "by HTTP"], "plan/b").0, 204);
    let heard = hearing.map(|process| process.finish().success());
    assert_eq!(heard, ["stayed\n", "message: plan/a by MQTT\nstayed\n", "message: plan/b by HTTP\nstayed\n"]);
    for (host, password) in right {
        let found = [http(host, password, &[], "plan/a"), http(host, password, &[], "plan/b")];
        let expected = match host {
            "factory" => [200, 404],
            "lab.example" => [404, 200],
            _ => [404, 404],
        };
        assert_eq!(found.each_ref().map(|(status, _)| *status), expected, "{host}");
    }
}
