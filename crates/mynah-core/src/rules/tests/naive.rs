//! The evaluator against one that goes through all rules for each question and knows nothing of indexes.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::NonZeroU32;

use mynah_model::{Filter, Groups, Identity, Segment, TenantId, Topic};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::super::cover;
use super::super::*;
use super::filters::mqtt_filter;

const SEGMENTS: &[&str] = &["a", "b", "$s", "+", "%u", "%c"];
/// Addresses as 32 bits, which stand for themselves in the naive evaluator.
const ADDRESSES: [u32; 4] = [0x0A00_0001, 0x0A01_0001, 0x0A01_0002, 0xC0A8_0001];

#[derive(Clone, Debug)]
struct Asker {
    tenant: TenantId,
    name: &'static str,
    anonymous: bool,
    groups: Groups,
    sha256: Option<[u8; 32]>,
    common_name: Option<&'static str>,
    address: Option<u32>,
    protocol: &'static str,
    client_id: &'static str,
}

fn asker() -> impl Strategy<Value = Asker> {
    let groups = subsequence(&["g", "h"][..], 0..=2);
    let address = prop::option::of(select(&ADDRESSES[..]));
    let certificate = (prop::option::of(0..3_u8), prop::option::of(select(&["x", "y"][..])));
    let name = (tenant(), select(&["ann", "a", "$s"][..]));
    (name, any::<bool>(), groups, certificate, address, any::<bool>()).prop_map(
        |((tenant, name), anonymous, groups, (sha256, common_name), address, other)| Asker {
            tenant,
            name,
            anonymous,
            groups: groups.into_iter().collect(),
            sha256: sha256.map(|n| [n; 32]),
            common_name,
            address,
            protocol: if other { "p" } else { "q" },
            client_id: if other { "b" } else { "c/d" },
        },
    )
}

fn tenant() -> impl Strategy<Value = TenantId> {
    (0..3_u16).prop_map(TenantId::new)
}

fn who() -> impl Strategy<Value = Who> {
    let texts = |all: &'static [&'static str]| {
        prop_oneof![3 => Just(Vec::new()), 1 => subsequence(all, 0..=2)]
            .prop_map(|texts| texts.into_iter().map(Box::from).collect::<Vec<Box<str>>>())
    };
    let certificate = prop_oneof![
        (0..3_u8).prop_map(|n| Certificate::Sha256([n; 32])),
        select(&["x", "y"][..]).prop_map(|name| Certificate::CommonName(name.into())),
    ];
    let network = (select(&ADDRESSES[..]), select(&[0_u8, 8, 16, 31, 32][..]))
        .prop_map(|(bits, len)| Network::v4(bits, len));
    (
        prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(tenant(), 0..3)],
        texts(&["ann", "a"]),
        texts(&["g", "h"]),
        prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(certificate, 0..3)],
        prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(network, 0..3)],
        texts(&["p", "q"]),
        prop_oneof![3 => Just(None), 1 => any::<bool>().prop_map(Some)],
    )
        .prop_map(|(tenants, identities, groups, certificates, networks, protocols, anonymous)| Who {
            tenants,
            identities,
            groups,
            certificates,
            networks,
            protocols,
            anonymous,
        })
}

fn reach() -> impl Strategy<Value = Reach> {
    let filter = mqtt_filter(SEGMENTS).prop_map(|filter| RuleFilter::new(&filter).unwrap());
    prop_oneof![
        3 => Just(Reach::Nothing),
        1 => Just(Reach::Everything),
        4 => prop::collection::vec(filter, 1..4).prop_map(Reach::Filters),
    ]
}

fn a_rule() -> impl Strategy<Value = Rule> {
    let quota = prop::option::of(1..4_u32)
        .prop_map(|n| Quota { subscriptions: n.and_then(NonZeroU32::new), ..Quota::default() });
    let check = prop_oneof![9 => Just(Check::Subscription), 1 => Just(Check::Delivery)];
    (who(), subsequence(&Action::ALL[..], 0..=8), reach(), reach(), check, quota).prop_map(
        |(who, actions, allow, deny, check, quota)| Rule { who, actions, allow, deny, check, quota },
    )
}

fn concerns(who: &Who, asker: &Asker) -> bool {
    let name = (!asker.anonymous).then_some(asker.name);
    let certificate = |c: &Certificate| match c {
        Certificate::Sha256(sha256) => asker.sha256 == Some(*sha256),
        Certificate::CommonName(name) => asker.common_name == Some(name),
    };
    let address = asker.address.map(Address::v4);
    (who.tenants.is_empty() || who.tenants.contains(&asker.tenant))
        && (who.identities.is_empty() || who.identities.iter().any(|n| name == Some(n)))
        && (who.groups.is_empty() || who.groups.iter().any(|g| asker.groups.contains(g)))
        && (who.certificates.is_empty() || who.certificates.iter().any(certificate))
        && (who.networks.is_empty() || who.networks.iter().any(|n| address.is_some_and(|a| n.contains(a))))
        && (who.protocols.is_empty() || who.protocols.iter().any(|p| **p == *asker.protocol))
        && who.anonymous.is_none_or(|anonymous| anonymous == asker.anonymous)
}

fn hits(reach: &Reach, names: Names<'_>, test: impl Fn(&[Segment<'_>]) -> bool) -> bool {
    match reach {
        Reach::Nothing => false,
        Reach::Everything => true,
        Reach::Filters(filters) => {
            filters.iter().any(|filter| names.put_into(filter.as_bytes()).is_some_and(|filter| test(&filter)))
        }
    }
}

fn permits(
    rules: &[Rule],
    asker: &Asker,
    action: Action,
    denies: impl Fn(&Reach) -> bool,
    allows: impl Fn(&Reach) -> bool,
) -> bool {
    let of_action = || rules.iter().filter(|rule| rule.actions.contains(&action));
    let concerning = || of_action().filter(|rule| concerns(&rule.who, asker));
    let is_closed = of_action().any(|rule| rule.allow != Reach::Nothing);
    !concerning().any(|rule| denies(&rule.deny))
        && (!is_closed || concerning().any(|rule| allows(&rule.allow)))
}

fn granted(rules: &[Rule], asker: &Asker, names: Names<'_>, asked: &[Segment<'_>]) -> Grant {
    let meets = |reach: &Reach| hits(reach, names, |own| cover::meets(own, asked));
    let covers = |reach: &Reach| hits(reach, names, |own| cover::covers(own, asked));
    let concerning = || rules.iter().filter(|rule| concerns(&rule.who, asker));
    let is_asked_at_once =
        |rule: &&Rule| rule.check == Check::Subscription && rule.actions.contains(&Action::Subscribe);
    let is_denied = concerning().filter(is_asked_at_once).any(|rule| covers(&rule.deny));
    if permits(rules, asker, Action::Subscribe, meets, covers) {
        Grant::Whole
    } else if concerning().any(|rule| rule.check == Check::Delivery) && !is_denied {
        Grant::Partly
    } else {
        Grant::Refused
    }
}

fn text() -> impl Strategy<Value = String> {
    mqtt_filter(&["a", "b", "ann", "$s", "+"])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_024))]
    #[test]
    fn rights_are_what_all_rules_say_together(
        rules in prop::collection::vec(a_rule(), 0..8),
        askers in prop::collection::vec(asker(), 1..4),
        asked in prop::collection::vec(text(), 3),
    ) {
        let compiled = Arc::new(Rules::new(rules.clone()));
        let mut resolver = Resolver::new(Arc::clone(&compiled));
        for asker in &askers {
            let identity = if asker.anonymous {
                Identity::anonymous(asker.tenant, asker.name)
            } else {
                Identity::user(asker.tenant, asker.name)
            };
            let peer = Peer {
                groups: &asker.groups,
                sha256: asker.sha256.as_ref(),
                common_name: asker.common_name,
                address: asker.address.map(Address::v4),
                ..Peer::new(&identity, asker.protocol)
            };
            let names = Names::new(&identity, asker.client_id.as_bytes());
            let rights = resolver.resolve(&peer);
            let whole = |reach: &Reach| *reach == Reach::Everything;
            for action in Action::ALL {
                let expected = permits(&rules, asker, action, whole, whole);
                prop_assert_eq!(rights.permits_at_all(action), expected);
            }
            for text in &asked {
                let filter = Filter::new(text.as_bytes()).unwrap();
                let segments: Vec<_> = filter.segments().collect();
                let expected = granted(&rules, asker, names, &segments);
                prop_assert_eq!(rights.grant(names, filter), expected, "{}", text);
                prop_assert_eq!(
                    compiled.explain(&peer, names, Action::Subscribe, Object::Filter(filter)).grant, expected
                );
                let text = text.replace(['+', '#'], "q");
                let topic = Topic::new(text.as_bytes()).unwrap();
                let selects = |reach: &Reach| hits(reach, names, |own| cover::selects(own.iter().copied(), topic));
                for action in Action::ALL.into_iter().filter(|action| action.has_target()) {
                    let expected = permits(&rules, asker, action, selects, selects);
                    prop_assert_eq!(rights.permits(action, names, topic), expected, "{:?} {}", action, topic);
                    prop_assert!(expected || !rights.is_free(action));
                    let told = compiled.explain(&peer, names, action, Object::Topic(topic));
                    let basis = matches!(told.basis, Basis::Allowed(_) | Basis::NotDenied);
                    prop_assert_eq!((told.grant == Grant::Whole, basis), (expected, expected));
                }
            }
            let limit = rules.iter().filter(|rule| concerns(&rule.who, asker));
            let limit = limit.filter_map(|rule| Some((narrowness(&rule.who), rule.quota.subscriptions?)));
            let limit = limit.max_by_key(|(narrow, limit)| (*narrow, core::cmp::Reverse(*limit)));
            prop_assert_eq!(rights.quota().subscriptions, limit.map(|(_, limit)| limit));
        }
    }
}

fn narrowness(who: &Who) -> u8 {
    match who {
        Who { identities, .. } if !identities.is_empty() => 3,
        Who { certificates, .. } if !certificates.is_empty() => 3,
        Who { groups, .. } if !groups.is_empty() => 2,
        Who { tenants, networks, protocols, anonymous, .. } => u8::from(
            !tenants.is_empty() || !networks.is_empty() || !protocols.is_empty() || anonymous.is_some(),
        ),
    }
}
