//! Rules as they are written: what is wrong with them, and where they are read from.

use std::fs;

use super::super::tests::{problems, settings};
use super::super::{load, load_rules};

#[test]
fn what_is_wrong_with_a_rule_is_told_at_its_place() {
    let first = |keys: &str| {
        let problems = problems(&format!("\n[[rule]]\n{keys}\n"));
        problems[0].lines().next().unwrap().to_owned()
    };
    for (keys, told) in [
        ("", "2:1: this rule says nothing: give it `action` with `allow` or `deny`"),
        (
            "allow = true",
            "2:1: name the action: connect, publish, subscribe, retain, consume, request, configure, administer",
        ),
        ("action = \"publish\"", "3:10: this says nothing without `allow` or `deny`"),
        ("action = \"publsh\"\nallow = true", "3:10: unknown action `publsh`, did you mean `publish`?"),
        (
            "action = [\"publish\", \"x\"]\nallow = true",
            "3:22: unknown action `x`; there are: connect, publish, subscribe, retain, consume, request, configure, administer",
        ),
        ("action = []\nallow = true", "3:10: this list is empty: leave the key out"),
        ("action = \"publish\"\nallow = []", "4:9: this list is empty: leave the key out"),
        ("action = \"publish\"\nallow = false", "4:9: write true, filters, or leave the key out"),
        ("action = \"publish\"\nallow = 1", "4:9: expected text or a list of texts, found integer 1"),
        ("action = true\nallow = true", "3:10: write text or a list of texts"),
        ("action = \"connect\"\nallow = \"a\"", "4:9: `connect` is done to no topic: write true"),
        (
            "action = \"publish\"\nallow = true\ncheck = \"delivery\"",
            "5:9: this is about subscribing: add that action, or leave it out",
        ),
        (
            "address = \"10.0.0.0/33\"\nlimits = {}",
            "3:11: write a network such as \"192.0.2.0/24\" or \"2001:db8::/32\", or one address",
        ),
        ("certificate = \"sha256:00\"\nlimits = {}", "3:15: a fingerprint has 64 hexadecimal digits"),
        ("protocol = \"mqt\"\nlimits = {}", "3:12: unknown protocol `mqt`, did you mean `mqtt`?"),
        ("limits = { connection = 1 }", "3:12: unknown key `connection`, did you mean `connections`?"),
        ("limits = { connections = 0 }", "3:26: expected a whole number, 1 or more, found integer 0"),
    ] {
        assert_eq!(first(keys), format!("mynah.toml:{told}"), "{keys}");
    }
    let digits = "AB:".repeat(32);
    let text = format!("[[rule]]\ncertificate = \"sha256:{}\"\nlimits = {{}}\n", &digits[..95]);
    assert_eq!(settings(&text).rules.rules.len(), 1);
}

#[test]
fn rules_are_read_from_their_own_file_too() {
    let folder = std::env::temp_dir().join(format!("mynah-config-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (main, own) = (folder.join("mynah.toml"), folder.join("own.toml"));
    let text = "rules_file = \"own.toml\"\n[[rule]]\naction = \"connect\"\nallow = true\n";
    fs::write(&main, text).unwrap();
    let told = || load_rules(Some(&main)).unwrap_err().to_string().replace(folder.to_str().unwrap(), "");
    assert!(told().contains("\n/mynah.toml:1:14: /own.toml: No such file or directory"), "{}", told());
    fs::write(&own, "\n[[rule]]\naction = \"publish\"\nallow = \"a\"\n\n[[rule]]\nanonymous = true\ncheck = \"delivery\"\n").unwrap();
    let set = load_rules(Some(&main)).unwrap();
    let places: Vec<_> =
        set.places.iter().map(|p| p.to_string().replace(folder.to_str().unwrap(), "")).collect();
    assert_eq!(places, ["/mynah.toml:2", "/own.toml:2", "/own.toml:6"]);
    assert_eq!(load(Some(&main)).unwrap().rules.places, set.places);
    fs::write(&own, "[[rule]]\nallow = \"a+\"\naction = \"publish\"\n").unwrap();
    assert!(told().contains("/own.toml:2:9: a wildcard"), "{}", told());
    fs::write(&own, "[[listener]]\n").unwrap();
    assert!(told().contains("/own.toml:1:3: unknown key `listener`; there are: rule"), "{}", told());
    assert!(load_rules(None).unwrap().rules.is_empty());
    fs::remove_dir_all(&folder).unwrap();
}
