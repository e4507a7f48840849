//! Discovery by multicast (RFC 7252, section 8), between two hosts that the test makes: namespaces of the network with a
//! cable between them, in one the broker, in the other libcoap's `coap-client`.

use std::process::Command;

use mynah_interop::{Broker, Folder, Process};

const CONFIGURATION: &str = r#"
workers = 2
[[listener]]
name = "v4"
protocol = "coap"
address = "0.0.0.0:5683"
auth = "none"
multicast = ["here"]
[[listener]]
name = "v6"
protocol = "coap"
address = "[::]:5683"
auth = "none"
multicast = ["here"]
[coap]
leisure_ms = 300
[store]
durability = "memory"
[log]
format = "json"
"#;

/// Makes the hosts, starts the broker `$1` with the configuration `$2`, and asks.
const SCRIPT: &str = r#"
set -e
ip link set lo up
ip link add here type veth peer name there
unshare --net sleep 100 & peer=$!
while [ "$(readlink /proc/$peer/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
ip link set there netns $peer
peer() { nsenter --target $peer --net "$@"; }
ip addr add 192.0.2.1/24 dev here
ip link set here up
peer ip addr add 192.0.2.2/24 dev there
peer ip link set there up
peer ip route add 224.0.0.0/4 dev there
"$1" serve -c "$2" >/dev/null 2>&1 &
until peer coap-client-notls -B 2 coap://192.0.2.1/t/a >/dev/null 2>&1 && ! ip -6 addr show tentative | grep -q inet6 &&
    ! peer ip -6 addr show tentative | grep -q inet6; do sleep 0.1; done
ask() { echo "$1: $(peer coap-client-notls -N -B 1 "$2" 2>&1 | tr -d '\n')"; }
ask 'one of IPv4' 'coap://224.0.1.187/.well-known/core?rt=core.rd'
ask 'all of IPv4' 'coap://224.0.1.187/.well-known/core'
ask 'link of IPv6' 'coap://[ff02::fd%there]/.well-known/core?rt=core.rd'
ask 'site of IPv6' 'coap://[ff05::fd]/.well-known/core?rt=core.rd'
ask 'nothing selected' 'coap://224.0.1.187/.well-known/core?rt=x'
ask 'a value' 'coap://224.0.1.187/t/a'
ask 'another group' 'coap://224.0.1.188/.well-known/core?rt=core.rd'
"#;

#[test]
fn a_client_finds_the_broker_by_asking_all_hosts() {
    let folder = Folder::new();
    let file = folder.write("mynah.toml", CONFIGURATION);
    let mut hosts = Command::new("unshare");
    // Root needs no namespace of users, and some systems give none to others.
    if !std::fs::read_to_string("/proc/self/status").unwrap().contains("\nUid:\t0\t0") {
        hosts.args(["--user", "--map-root-user"]);
    }
    hosts.args(["--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", SCRIPT, "sh"]);
    hosts.arg(Broker::program().get_program()).arg(file);
    let said = Process::start(&mut hosts).finish().success();
    let answer = |to: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(to)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("{said}")).to_owned()
    };
    for to in ["one of IPv4", "link of IPv6", "site of IPv6"] {
        assert!(answer(to).starts_with("</rd>;rt=\"core.rd\""), "{to}: {said}");
    }
    let all = answer("all of IPv4");
    assert!(all.contains("</t>;rt=\"core.ps.data\"") && all.contains("core.rd-lookup-res"), "{said}");
    for to in ["nothing selected", "a value", "another group"] {
        assert!(!answer(to).contains("core.rd") && !answer(to).contains("4.0"), "{to}: {said}");
    }
}
