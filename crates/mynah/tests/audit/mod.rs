//! The audit and presence from outside.

mod everything;
mod watcher;

use std::thread;
use std::time::Duration;

use super::{Broker, Folder, LISTENERS, output};

#[test]
fn presence_is_read_by_http_as_mqtt_sees_it() {
    let folder = Folder::new("presence");
    let broker = Broker::start(&folder.write("mynah.toml", LISTENERS));
    let (held, _) = super::staying(&broker);
    let path = "/v1/topics/$presence/m/s";
    let answer = broker.get(broker.http, path);
    assert!(answer.contains("{\"state\":\"online\",\"protocol\":\"mqtt\",\"since\":\"2"), "{answer}");
    let url = broker.url();
    let (_, printed, _) = output(&["sub", &url, "-t", "$presence/+/s", "-v", "-n", "1", "--timeout", "10"]);
    assert!(printed.starts_with("$presence/m/s {\"state\":\"online\""), "{printed}");
    drop(held);
    let left = (0..50).any(|_| {
        thread::sleep(Duration::from_millis(50));
        broker.get(broker.http, path).contains("{\"state\":\"offline\",\"since\":\"2")
    });
    assert!(left);
    assert!(broker.stop());
}
