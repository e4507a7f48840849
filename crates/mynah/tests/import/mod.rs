//! `mynah import`: what it writes, what it says, and that its users get in.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{Broker, Folder, LISTENERS, output};

/// Names all there is to read.
const CONF: &str = "\
listener 1883 127.0.0.1
allow_anonymous true
password_file passwords
acl_file acl
message_size_limit 1000
max_queued_messages 50
allow_duplicate_messages true
max_connections 7
connection cloud
address cloud.example
remote_username site
remote_password hush
topic up/# out 1
include_dir more
";

const ACL: &str = "topic read news/#\nuser ada\ntopic write a-%c/b\npattern write up/%u/#\n";

fn import(folder: &Folder) -> (bool, String, String) {
    let [from, to] = ["mosquitto.conf", "out"].map(|name| folder.0.join(name).display().to_string());
    output(&["import", "mosquitto", &from, "--output", &to])
}

fn stage(name: &str) -> Folder {
    let folder = Folder::new(name);
    folder.write("mosquitto.conf", CONF);
    folder.write("acl", ACL);
    folder.write("passwords", "ada:$6$AAAA\nbob\nAda:x:y\n");
    fs::create_dir(folder.0.join("more")).unwrap();
    folder.write("more/b.conf", "sys_interval 30\n");
    folder.write("more/a.conf", "sys_interval 20\nretain_available false\n");
    folder.write("more/c.txt", "sys_interval 40\n");
    folder
}

#[test]
fn a_configuration_of_mosquitto_becomes_one_that_check_accepts() {
    let folder = stage("import");
    let (success, told, error) = import(&folder);
    assert!(success, "{told}{error}");
    let at = |name: &str| folder.0.join(name).display().to_string();
    for note in [
        format!("{}:8: max_connections: ", at("mosquitto.conf")),
        format!("{}:3: topic a-%c/b: ", at("acl")),
        format!("{}:1: user ada: there is no hash", at("passwords")),
        format!("{}:3: user Ada: there is no hash", at("passwords")),
    ] {
        assert!(told.contains(&format!("\n  {note}")), "{note} in {told}");
    }
    let (success, summary, error) = output(&["check", "-c", &at("out/mynah.toml")]);
    assert!(success, "{error}");
    assert!(summary.contains("mqtt       on 127.0.0.1:1883        for anybody on this machine"), "{summary}");
    assert!(summary.contains("bridge     to cloud.example:1883"), "{summary}");
    let text = fs::read_to_string(folder.0.join("out/mynah.toml")).unwrap();
    for key in
        ["interval_s = 30", "retain_available = false", "overlapping = \"each\"", "durability = \"memory\""]
    {
        assert!(text.contains(key), "{key} in {text}");
    }
    assert!(text.contains(":8: max_connections: "), "{text}");
    let rules = fs::read_to_string(folder.0.join("out/rules.toml")).unwrap();
    assert!(rules.contains("message_bytes = 1000") && rules.contains("[\"bridge:cloud\"]"), "{rules}");

    let asked = |who: &[&str], what: &[&str]| {
        let file = at("out/mynah.toml");
        output(&[&["rules", "test", "-c", &file], who, what].concat()).1
    };
    assert!(asked(&["--as", "ada"], &["publish", "up/ada/x"]).starts_with("allowed"));
    assert!(asked(&["--as", "ada"], &["publish", "up/bob/x"]).starts_with("denied"));
    assert!(asked(&[], &["subscribe", "#"]).starts_with("granted"));
    assert!(asked(&["--as", "bridge:cloud"], &["subscribe", "up/#"]).starts_with("allowed"));
}

#[test]
fn what_is_written_is_for_its_owner_and_replaces_nothing() {
    let folder = stage("import-again");
    let (_, told, _) = import(&folder);
    assert!(!told.contains("hush"), "{told}");
    let file = |name: &str| folder.0.join("out").join(name);
    for name in ["mynah.toml", "rules.toml", "users", "bridge-cloud-9.password"] {
        assert_eq!(fs::metadata(file(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    assert_eq!(fs::read_to_string(file("bridge-cloud-9.password")).unwrap(), "hush\n");
    assert!(!fs::read_to_string(file("mynah.toml")).unwrap().contains("hush"));
    let (success, _, error) = import(&folder);
    assert!(!success && error.contains("is there already"), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_named_and_nothing_is_written() {
    let folder = stage("import-missing");
    fs::remove_file(folder.0.join("acl")).unwrap();
    let (success, _, error) = import(&folder);
    assert!(!success && error.contains("acl: No such file"), "{error}");
    folder.write("mosquitto.conf", "listener 1883\npsk_hint x\n");
    let (success, _, error) = import(&folder);
    assert!(!success && error.contains("no listener can be translated"), "{error}");
    assert!(error.contains("mosquitto.conf:2: psk_hint: "), "{error}");
    assert!(!folder.0.join("out").exists());
}

#[test]
fn users_of_rabbitmq_log_in_with_their_passwords() {
    let folder = Folder::new("rabbitmq");
    // The first is the example of RabbitMQ's manual ("Computing a Password Hash"), the second is made by its recipe.
    let definitions = folder.write(
        "definitions.json",
        r#"{"rabbit_version": "3.10.8", "users": [
            {"name": "ada", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": ["ops"], "limits": {},
             "password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"},
            {"name": "bob", "hashing_algorithm": "rabbit_password_hashing_sha512", "tags": "", "limits": {},
             "password_hash": "kI3GColc8gbz2obsRvwW28X+3lYLkQvxPB9bdgr7tVwe0+rKhzIV1vVPSHwi9HUxlzEXdwuUPtyLM8VBOPpsSI9YkjQ="},
            {"name": "cid", "hashing_algorithm": "rabbit_password_hashing_md5", "tags": [],
             "password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbY="}],
          "vhosts": [{"name": "/"}],
          "permissions": [{"user": "ada", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}]}"#,
    );
    let users = folder.0.join("users");
    let [definitions, users] = [&definitions, &users].map(|path| path.display().to_string());
    let (success, told, error) = output(&["import", "rabbitmq-users", &definitions, "--output", &users]);
    assert!(success && told.starts_with("added 2 users to "), "{told}{error}");
    for what in ["users[2]: user cid: ", "vhosts (1): ", "permissions[0]: user ada in /: "] {
        assert!(told.contains(what), "{what} in {told}");
    }
    let (_, listed, _) = output(&["user", "list", &users]);
    assert!(listed.contains("groups=ops") && listed.lines().count() == 2, "{listed}");

    let config = format!("{LISTENERS}[auth]\nusers_file = \"users\"\n");
    let broker = Broker::start(&folder.write("mynah.toml", &config));
    let url = broker.url();
    let is_in = |user: &str, password: &str| {
        output(&["pub", &url, "-u", user, "-P", password, "-t", "t", "-m", "x", "-q", "1"]).0
    };
    assert!(is_in("ada", "test12") && is_in("bob", "bob secret"));
    assert!(!is_in("ada", "test13") && !is_in("bob", "test12") && !is_in("cid", "test12"));
    assert!(broker.stop());
}

#[test]
fn users_are_added_to_those_who_are_there() {
    let folder = Folder::new("rabbitmq-more");
    let users = folder.0.join("users").display().to_string();
    let file = folder.write(
        "definitions.json",
        r#"{"users": [{"name": "ada", "tags": "",
            "password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"}]}"#,
    );
    let arguments = ["import", "rabbitmq-users", file.to_str().unwrap(), "-o", &users];
    assert!(output(&arguments).1.starts_with("added 1 users"));
    let (success, told, _) = output(&arguments);
    assert!(success && told.starts_with("added 0 users") && told.contains("users[0]: user ada: "), "{told}");
}
