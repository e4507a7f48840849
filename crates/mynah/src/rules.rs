//! `mynah rules test`: what the rules decide, and what each of them has to do with it.

use std::fmt::Write;
use std::net::IpAddr;
use std::num::NonZeroU64;

use mynah_auth::{DEFAULT_TENANT, UsersFile};
use mynah_core::rules::{
    Address, Basis, Certificate, Explanation, Grant, Names, Object, Peer, Resolver, Verdict,
};
use mynah_model::{Filter, Groups, Identity, Topic};

use crate::arguments::RulesTest;
use crate::complaint::Complaint;
use crate::config::{self, RuleSet};

/// Rules that are about others and are shown; of a large file only these are of use.
const OTHERS_MAX: usize = 10;

/// Prints the decision and its reasons.
pub(crate) fn test(arguments: &RulesTest) -> Result<(), Complaint> {
    let set = config::load_rules(Some(&arguments.config))?;
    print!("{}", report(&set, &groups(arguments)?, arguments)?);
    Ok(())
}

/// The form in which rules know addresses.
pub(crate) fn address(ip: IpAddr) -> Address {
    match ip {
        IpAddr::V4(ip) => Address::v4(ip.to_bits()),
        IpAddr::V6(ip) => Address::v6(ip.to_bits()),
    }
}

/// The groups that the user is in: those that are given, and those of the users file.
fn groups(arguments: &RulesTest) -> Result<Groups, Complaint> {
    let file = config::users_file(&arguments.config)?.map(|path| UsersFile::open(&path)).transpose()?;
    let tenant = Some(arguments.tenant.as_str()).filter(|tenant| *tenant != DEFAULT_TENANT);
    let user = file.as_ref().zip(arguments.user.as_deref()).and_then(|(file, name)| file.user(tenant, name));
    let own = user.iter().flat_map(|user| user.groups.iter());
    Ok(arguments.groups.iter().map(String::as_str).chain(own).collect())
}

fn report(set: &RuleSet, groups: &Groups, arguments: &RulesTest) -> Result<String, Complaint> {
    let tenant = set.tenants.get(arguments.tenant.as_str()).copied();
    let tenant = tenant.ok_or_else(|| Complaint::Other(config::no_tenant(&arguments.tenant)))?;
    let identity = match &arguments.user {
        Some(user) => Identity::user(tenant, user),
        None => Identity::anonymous(tenant, "anonymous"),
    };
    let mut peer =
        Peer { groups, address: arguments.address.map(address), ..Peer::new(&identity, &arguments.protocol) };
    match &arguments.certificate {
        Some(Certificate::Sha256(sha256)) => peer.sha256 = Some(sha256),
        Some(Certificate::CommonName(name)) => peer.common_name = Some(name),
        None => {}
    }
    let names = Names::new(&identity, arguments.client_id.as_bytes());
    let object = object(arguments)?;
    let explanation = set.rules.explain(&peer, names, arguments.action, object);
    let mut text = told(set, arguments, &explanation);
    let quota = *Resolver::new(set.rules.clone()).resolve(&peer).quota();
    let limits = [
        ("messages_per_s", quota.messages_per_s.map(|n| u64::from(n.get()))),
        ("bytes_per_s", quota.bytes_per_s.map(NonZeroU64::get)),
        ("connections", quota.connections.map(|n| u64::from(n.get()))),
        ("subscriptions", quota.subscriptions.map(|n| u64::from(n.get()))),
        ("message_bytes", quota.message_bytes.map(NonZeroU64::get)),
    ];
    for (name, limit) in limits.into_iter().filter_map(|(name, limit)| Some((name, limit?))) {
        // Writing to a string does not fail.
        let _ = writeln!(text, "limit: {name} = {limit}");
    }
    Ok(text)
}

/// What the action would be done to.
fn object(arguments: &RulesTest) -> Result<Object<'_>, Complaint> {
    let name = arguments.action.name();
    let wrong = |error: String| Complaint::Other(format!("{name}: {error}"));
    match (&arguments.target, name) {
        (None, _) if !arguments.action.has_target() => Ok(Object::Nothing),
        (None, _) => Err(wrong("say to which topic, filter or queue".to_owned())),
        (Some(_), _) if !arguments.action.has_target() => Err(wrong("this is done to no topic".to_owned())),
        (Some(filter), "subscribe") => {
            Filter::new(filter.as_bytes()).map(Object::Filter).map_err(|error| wrong(error.to_string()))
        }
        (Some(topic), _) => {
            Topic::new(topic.as_bytes()).map(Object::Topic).map_err(|error| wrong(error.to_string()))
        }
    }
}

/// The decision, then the rules that did not make it.
fn told(set: &RuleSet, arguments: &RulesTest, explanation: &Explanation) -> String {
    let (places, action) = (&set.places, arguments.action.name());
    let decision = match explanation.grant {
        Grant::Whole => "allowed",
        Grant::Partly => "granted, and each message is looked at",
        Grant::Refused => "denied",
    };
    let (decider, reason) = match explanation.basis {
        Basis::Denied(rule) => (Some(rule), format!("{} denies it", places[rule])),
        Basis::Allowed(rule) => (Some(rule), format!("{} allows it, and no rule denies it", places[rule])),
        Basis::NotAllowed => (None, format!("rules allow to {action}, and none of them allows this")),
        Basis::NotDenied => (None, format!("no rule allows to {action}, and none denies this")),
    };
    let mut text = format!("{decision}: {reason}\n");
    let mut others = 0;
    for &(rule, verdict) in explanation.verdicts.iter().filter(|(rule, _)| Some(*rule) != decider) {
        let words = match verdict {
            Verdict::Denies => "denies it too".to_owned(),
            Verdict::Allows if explanation.grant == Grant::Whole => "allows it too".to_owned(),
            Verdict::Allows => "allows it, but a deny always wins".to_owned(),
            Verdict::AllowsPart => "allows only a part of what the filter selects".to_owned(),
            Verdict::Elsewhere => "is about something else".to_owned(),
            Verdict::OtherPeer(criterion) => {
                others += 1;
                if others > OTHERS_MAX {
                    continue;
                }
                format!("is about others ({criterion})")
            }
        };
        let _ = writeln!(text, "  {} {words}", places[rule]);
    }
    if others > OTHERS_MAX {
        let _ = writeln!(text, "  {} more are about others", others - OTHERS_MAX);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Arguments, Command, Rules};
    use clap::Parser;
    use std::fs;

    const RULES: &str = r#"
[[rule]]
identity = "ada"
action = ["publish", "retain"]
allow = "devices/%u/#"

[[rule]]
action = "publish"
deny = "devices/+/secret"

[[rule]]
group = "fitters"
address = "10.0.0.0/8"
action = ["publish", "subscribe"]
allow = ["devices/#"]
limits = { messages_per_s = 5 }

[[rule]]
tenant = ["lab", "default"]
identity = "cat"
action = "configure"
deny = "queues/#"

[tenants]
lab = 4
shop = 5
"#;

    #[track_caller]
    fn test(arguments: &str, expected: &[&str]) {
        let folder = std::env::temp_dir().join(format!("mynah-rules-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("mynah.toml");
        let (rules, tenants) = RULES.split_once("\n[tenants]").unwrap();
        let auth = "[auth]\nusers_file = \"users\"\n";
        fs::write(&file, format!("rules_file = \"rules.toml\"\n{auth}[tenants]{tenants}")).unwrap();
        fs::write(
            folder.join("users"),
            "cleo: groups=fitters certificate=sha256:00\n".replace("sha256:00", &"00".repeat(32)),
        )
        .unwrap();
        fs::write(folder.join("rules.toml"), rules).unwrap();
        let line = ["mynah", "rules", "test", "-c", file.to_str().unwrap()].into_iter();
        let parsed = Arguments::try_parse_from(line.chain(arguments.split(' '))).unwrap();
        let Command::Rules { command: Rules::Test(arguments) } = parsed.command else { panic!("{parsed:?}") };
        let set = config::load_rules(Some(&arguments.config)).unwrap();
        let groups = groups(&arguments).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        let report = match report(&set, &groups, &arguments) {
            Ok(report) => report.replace(&format!("{}/", folder.display()), ""),
            Err(complaint) => complaint.to_string(),
        };
        assert_eq!(report.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_decision_is_told_with_the_places_of_the_rules() {
        test(
            "--as ada publish devices/ada/x",
            &[
                "allowed: rules.toml:2 allows it, and no rule denies it",
                "  rules.toml:7 is about something else",
                "  rules.toml:11 is about others (group)",
            ],
        );
        test(
            "--as ada publish devices/ada/secret",
            &[
                "denied: rules.toml:7 denies it",
                "  rules.toml:2 allows it, but a deny always wins",
                "  rules.toml:11 is about others (group)",
            ],
        );
        test(
            "--as bob --group fitters --address 10.1.2.3 subscribe +/#",
            &[
                "denied: rules allow to subscribe, and none of them allows this",
                "  rules.toml:11 allows only a part of what the filter selects",
                "limit: messages_per_s = 5",
            ],
        );
        test("--as cat --tenant lab configure queues/a", &["denied: rules.toml:18 denies it"]);
        test(
            "--as cat --tenant shop configure queues/a",
            &[
                "allowed: no rule allows to configure, and none denies this",
                "  rules.toml:18 is about others (tenant)",
            ],
        );
        test(
            "--as cat --tenant pub connect",
            &["there is no tenant `pub`: add `pub = NUMBER` under [tenants]"],
        );
        // The users file knows the groups of its users.
        test(
            "--as cleo --address 10.1.2.3 publish devices/x",
            &[
                "allowed: rules.toml:11 allows it, and no rule denies it",
                "  rules.toml:2 is about others (identity)",
                "  rules.toml:7 is about something else",
                "limit: messages_per_s = 5",
            ],
        );
        test("connect", &["allowed: no rule allows to connect, and none denies this"]);
        test("connect x", &["connect: this is done to no topic"]);
        test("publish a/+", &["publish: the topic holds a wildcard character (+ or #)"]);
    }
}
