//! Groups against a naive list of their members.

use alloc::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const FILTERS: [&str; 4] = ["a", "a/+", "#", "b/#"];
const TOPICS: [&str; 4] = ["a", "a/b", "b", "$x"];
const GROUPS: [&str; 2] = ["g", "h"];

fn session(number: u8) -> SessionRef {
    SessionRef { worker: WorkerId(u16::from(number % 2)), slot: u32::from(number), generation: 0 }
}

fn filter(number: usize) -> Filter<'static> {
    Filter::new(FILTERS[number].as_bytes()).unwrap()
}

fn options(class: u8) -> SubscriptionOptions {
    SubscriptionOptions::new(Class::from_number(class).unwrap())
}

#[derive(Clone, Debug)]
enum Act {
    Join(usize, usize, u8, u8),
    Leave(usize, usize, u8),
    Online(usize, usize, u8, bool),
    Publish(usize, Option<u8>),
}

fn act() -> impl Strategy<Value = Act> {
    let (group, filter, member) = (0..GROUPS.len(), 0..FILTERS.len(), 0..5_u8);
    prop_oneof![
        4 => (group.clone(), filter.clone(), member.clone(), 0..3_u8).prop_map(|(g, f, m, c)| Act::Join(g, f, m, c)),
        2 => (group.clone(), filter.clone(), member.clone()).prop_map(|(g, f, m)| Act::Leave(g, f, m)),
        3 => (group, filter, member.clone(), any::<bool>()).prop_map(|(g, f, m, o)| Act::Online(g, f, m, o)),
        6 => (0..TOPICS.len(), prop::option::of(member)).prop_map(|(t, except)| Act::Publish(t, except)),
    ]
}

/// Members with their classes, and whether they are online, by group.
type Naive = BTreeMap<(usize, usize), Vec<(u8, u8, bool)>>;

fn check(shares: &Shares, naive: &Naive, topic: usize, except: Option<u8>, strategy: ShareStrategy) {
    let topic = Topic::new(TOPICS[topic].as_bytes()).unwrap();
    let mut found = Vec::new();
    shares.matches(TenantId::DEFAULT, topic, &mut found);
    let wanted = naive.keys().filter(|(_, f)| filter(*f).matches(topic)).count();
    assert_eq!(found.len(), wanted);
    for members in found {
        let place = |key: &&(usize, usize)| {
            *GROUPS[key.0].as_bytes() == *members.key.group
                && *FILTERS[key.1].as_bytes() == *members.key.filter
        };
        let expected: Vec<_> = naive[naive.keys().find(place).unwrap()]
            .iter()
            .filter(|(member, ..)| Some(*member) != except)
            .collect();
        let chosen = members.choose(strategy, except.map(session), |_| true);
        assert_eq!(chosen.is_some(), !expected.is_empty());
        let Some(target) = chosen.map(|member| member.target()) else { continue };
        let is_one =
            |m: &&&(u8, u8, bool)| session(m.0) == target.session && m.1 == target.class_max.number();
        let chosen = expected.iter().find(is_one).expect("a member is chosen, as it wants its messages");
        assert_eq!(
            chosen.2,
            expected.iter().any(|(.., online)| *online),
            "one that is online if there is one"
        );
        assert_eq!(target.group(), Some(&members.key));
    }
}

proptest! {
    #[test]
    fn groups_do_what_a_list_does(acts in prop::collection::vec(act(), 1..80), sticky: bool) {
        let strategy = if sticky { ShareStrategy::Sticky } else { ShareStrategy::RoundRobin };
        let (mut shares, mut naive) = (Shares::new(5), Naive::new());
        for act in acts {
            match act {
                Act::Join(g, f, m, class) => {
                    shares.join(TenantId::DEFAULT, GROUPS[g].as_bytes(), filter(f), session(m), options(class), None);
                    let members = naive.entry((g, f)).or_default();
                    match members.iter_mut().find(|(other, ..)| *other == m) {
                        Some(member) => *member = (m, class, true),
                        None => members.push((m, class, true)),
                    }
                }
                Act::Leave(g, f, m) => {
                    let left = shares.leave(TenantId::DEFAULT, GROUPS[g].as_bytes(), filter(f), session(m));
                    let members = naive.entry((g, f)).or_default();
                    prop_assert_eq!(left, members.iter().any(|(other, ..)| *other == m));
                    members.retain(|(other, ..)| *other != m);
                    naive.retain(|_, members| !members.is_empty());
                }
                Act::Online(g, f, m, online) => {
                    let group = GROUPS[g].as_bytes();
                    shares.set_online(TenantId::DEFAULT, group, filter(f), session(m), online);
                    let members = naive.get_mut(&(g, f)).into_iter().flatten();
                    members.filter(|(other, ..)| *other == m).for_each(|member| member.2 = online);
                }
                Act::Publish(topic, except) => check(&shares, &naive, topic, except, strategy),
            }
            prop_assert_eq!(shares.len(), naive.len());
        }
    }
}

fn group_of(count: u8) -> Shares {
    let mut shares = Shares::new(5);
    for m in 0..count {
        shares.join(TenantId::DEFAULT, b"g", filter(0), session(m), options(1), None);
    }
    shares
}

fn chosen(shares: &Shares, strategy: ShareStrategy, count: usize) -> Vec<u32> {
    let mut found = Vec::new();
    shares.matches(TenantId::DEFAULT, Topic::new(b"a").unwrap(), &mut found);
    (0..count).map(|_| found[0].choose(strategy, None, |_| true).unwrap().target().session.slot).collect()
}

#[test]
fn members_take_turns_and_those_offline_are_passed_over() {
    let shares = group_of(3);
    assert_eq!(chosen(&shares, ShareStrategy::RoundRobin, 4), [0, 1, 2, 0]);
    shares.set_online(TenantId::DEFAULT, b"g", filter(0), session(2), false);
    assert_eq!(chosen(&shares, ShareStrategy::RoundRobin, 4), [1, 0, 1, 0]);
    shares.set_online(TenantId::DEFAULT, b"g", filter(0), session(2), true);
    assert_eq!(chosen(&shares, ShareStrategy::RoundRobin, 3), [1, 2, 0]);
}

#[test]
fn a_sticky_group_stays_with_a_member_while_it_is_online() {
    let shares = group_of(3);
    assert_eq!(chosen(&shares, ShareStrategy::Sticky, 3), [0, 0, 0]);
    shares.set_online(TenantId::DEFAULT, b"g", filter(0), session(0), false);
    assert_eq!(chosen(&shares, ShareStrategy::Sticky, 3), [1, 1, 1]);
    shares.set_online(TenantId::DEFAULT, b"g", filter(0), session(0), true);
    assert_eq!(chosen(&shares, ShareStrategy::Sticky, 2), [1, 1]);
}

#[test]
fn a_member_that_may_not_see_a_message_is_passed_over() {
    let mut shares = group_of(2);
    let identity = Identity::user(TenantId::DEFAULT, "u");
    for m in [2, 3] {
        let reader = Reader { identity: identity.clone(), client_id: [m].into(), rights: None };
        shares.join(TenantId::DEFAULT, b"g", filter(0), session(m), options(1), Some(reader));
    }
    let mut found = Vec::new();
    shares.matches(TenantId::DEFAULT, Topic::new(b"a").unwrap(), &mut found);
    let next = |only: u8, except: Option<u8>| {
        let member =
            found[0].choose(ShareStrategy::RoundRobin, except.map(session), |r| *r.client_id == [only]);
        member.map(|member| member.target().session.slot)
    };
    assert_eq!([(); 4].map(|()| next(3, None)), [Some(0), Some(1), Some(3), Some(0)]);
    for m in [0, 1] {
        shares.set_online(TenantId::DEFAULT, b"g", filter(0), session(m), false);
    }
    assert_eq!((next(2, None), next(2, None)), (Some(2), Some(2)));
    assert_eq!(next(2, Some(2)), Some(0), "nobody who is online may see it");
    let online = found[0].choose_online(ShareStrategy::RoundRobin, session(2), |r| *r.client_id == [2]);
    assert!(online.is_none());
}
