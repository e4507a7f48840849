//! The route cache: what it remembers, what it lets in, and that it answers as a search would.

use super::*;
use crate::SessionRef;
use mynah_model::{Class, Filter, SubscriptionOptions};
use proptest::prelude::*;

fn at(worker: u16, slot: u32) -> SessionRef {
    SessionRef { worker: WorkerId(worker), slot, generation: 0 }
}

/// Options whose two flags about retained values are the same.
fn options(class_max: Class, retained: bool) -> SubscriptionOptions {
    SubscriptionOptions { retain_as_published: retained, ..SubscriptionOptions::new(class_max) }
}

/// Generations of an index that somebody has subscribed to everything in.
fn touched() -> Generations {
    let generations = Generations::new(3);
    generations.bump(TenantId::DEFAULT, Filter::new(b"#").unwrap());
    generations
}

fn topic(text: &str) -> Topic<'_> {
    Topic::new(text.as_bytes()).unwrap()
}

#[test]
fn a_number_is_one_topic_s_for_ever() {
    let (mut cache, generations) = (RouteCache::new(1, 2, WorkerId(1)), Generations::new(3));
    let mut owners: alloc::collections::BTreeMap<_, alloc::string::String> = Default::default();
    for round in 0..40_u32 {
        let text = alloc::format!("t{}", round * 7 % 5);
        for _ in 0..40 {
            cache.route(TenantId::DEFAULT, topic(&text), &generations, |_| {});
        }
        let number = cache.number(TenantId::DEFAULT, topic(&text));
        assert_eq!(owners.entry(number).or_insert(text.clone()), &text);
        assert_eq!(cache.number(TenantId::DEFAULT, topic(&text)), number, "as long as nothing comes between");
        for other in [cache.number(TenantId::new(1), topic(&text)), cache.passing_number()] {
            assert!(owners.insert(other, "another".into()).is_none());
        }
    }
    let topics: alloc::collections::BTreeSet<_> = owners.values().collect();
    assert_eq!(topics.len(), 6);
}

#[test]
fn overlapping_subscriptions_merge_in_favour_of_the_session_and_workers_are_kept_apart() {
    let mut cache = RouteCache::new(1, 4, WorkerId(1));
    let route = cache.route(TenantId::DEFAULT, topic("a"), &touched(), |found| {
        for (session, class, rap) in [
            (at(2, 5), Class::AtMostOnce, false),
            (at(1, 9), Class::AtLeastOnce, false),
            (at(2, 5), Class::ExactlyOnce, false),
            (at(0, 1), Class::AtMostOnce, false),
            (at(1, 9), Class::AtMostOnce, true),
        ] {
            found.matches.push(Match { session, options: options(class, rap) });
        }
    });
    let target = |session, class_max, retain_as_published| Target {
        session,
        class_max,
        retain_as_published,
        publishers: Publishers::All,
        via: None,
    };
    assert_eq!(route.local(), [target(at(1, 9), Class::AtLeastOnce, true)]);
    let remote: Vec<_> = route.remote().iter().map(|(w, t)| (w.0, t.to_vec())).collect();
    let expected = [
        (0, [target(at(0, 1), Class::AtMostOnce, false)].to_vec()),
        (2, [target(at(2, 5), Class::ExactlyOnce, false)].to_vec()),
    ];
    assert_eq!(remote, expected);
}

#[test]
fn a_route_is_found_once_for_each_stamp() {
    let generations = touched();
    let mut cache = RouteCache::new(1, 4, WorkerId(0));
    let mut finds = 0;
    for _ in 0..4 {
        cache.route(TenantId::DEFAULT, topic("a/b"), &generations, |_| finds += 1);
    }
    assert_eq!(finds, 1);
    generations.bump(TenantId::DEFAULT, Filter::new(b"a/+").unwrap());
    let route = cache.route(TenantId::DEFAULT, topic("a/b"), &generations, |found| {
        found.matches.push(Match { session: at(0, 0), options: options(Class::AtMostOnce, false) });
    });
    assert_eq!(route.len(), 1);
}

#[test]
fn a_topic_that_no_filter_could_ever_match_is_not_looked_for() {
    let generations = Generations::new(3);
    let mut cache = RouteCache::new(1, 4, WorkerId(0));
    let mut finds = 0;
    let mut ask = |generations: &Generations| {
        cache.route(TenantId::DEFAULT, topic("a/b"), generations, |_| finds += 1);
        finds
    };
    assert_eq!(ask(&generations), 0);
    generations.bump(TenantId::DEFAULT, Filter::new(b"a/+").unwrap());
    assert_eq!(ask(&generations), 1);
}

/// What is done about one of sixteen topics.
#[derive(Clone, Copy, Debug)]
enum Act {
    Ask(u8),
    Change(u8),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![9 => (0..16_u8).prop_map(Act::Ask), 1 => (0..16_u8).prop_map(Act::Change)]
}

proptest! {
    /// Wherever a route was remembered, the answer is what a search would find now.
    #[test]
    fn a_route_is_what_a_search_finds(acts in prop::collection::vec(act(), 1..400)) {
        let generations = Generations::new(3);
        let mut cache = RouteCache::new(1, 8, WorkerId(0));
        let mut sizes = [0_u32; 16];
        for act in acts {
            match act {
                Act::Change(n) => {
                    // Large ones too, which do not come into the window.
                    sizes[usize::from(n)] = (sizes[usize::from(n)] + 7) % 40;
                    let filter = alloc::format!("t{n}/#");
                    generations.bump(TenantId::DEFAULT, Filter::new(filter.as_bytes()).unwrap());
                }
                Act::Ask(n) => {
                    let size = sizes[usize::from(n)];
                    let name = alloc::format!("t{n}/x");
                    let route = cache.route(TenantId::DEFAULT, topic(&name), &generations, |found| {
                        let options = options(Class::AtMostOnce, false);
                        let one = |slot| Match { session: at(0, u32::from(n) << 8 | slot), options };
                        found.matches.extend((0..size).map(one));
                    });
                    let slots = route.local().iter().map(|target| target.session.slot);
                    prop_assert!(slots.eq((0..size).map(|slot| u32::from(n) << 8 | slot)));
                }
            }
            prop_assert!(cache.table.len() <= 8);
        }
    }
}

#[test]
fn what_is_asked_for_again_soon_is_found_once_even_without_room() {
    let mut cache = RouteCache::new(1, 256, WorkerId(0));
    let generations = touched();
    for i in 0..600 {
        let name = alloc::format!("old/{i}");
        for _asked_again in [false, true] {
            cache.route(TenantId::DEFAULT, topic(&name), &generations, |_| ());
        }
    }
    assert_eq!(cache.table.len(), 256);
    let mut finds = 0;
    for i in 0..100 {
        let name = alloc::format!("new/{i}");
        for _publisher in 0..10 {
            cache.route(TenantId::DEFAULT, topic(&name), &generations, |_| finds += 1);
        }
    }
    assert_eq!(finds, 100);
}

#[test]
fn the_cache_stays_within_its_bounds_and_keeps_what_is_used() {
    let mut cache = RouteCache::new(1, 8, WorkerId(0));
    let mut finds_of_hot = 0;
    for i in 0..1000_u32 {
        let cold = alloc::format!("cold/{i}");
        let route = cache.route(TenantId::DEFAULT, topic(&cold), &touched(), |found| {
            let m = Match { session: at(0, i), options: options(Class::AtMostOnce, false) };
            found.matches.push(m);
        });
        assert_eq!(route.local()[0].session.slot, i);
        cache.route(TenantId::DEFAULT, topic("hot"), &touched(), |_| finds_of_hot += 1);
        assert!(cache.table.len() <= 8 && cache.slots.len() <= 8);
    }
    // The doorkeeper forgets now and then; what was let in before that stays.
    assert_eq!(finds_of_hot, 2);
}

#[test]
fn more_topics_than_fit_do_not_push_each_other_out() {
    let mut cache = RouteCache::new(1, 64, WorkerId(0));
    let mut finds = 0;
    let mut walk = |cache: &mut RouteCache, from: u32| {
        finds = 0;
        for i in from..from + 100 {
            let name = alloc::format!("t/{i}");
            cache.route(TenantId::DEFAULT, topic(&name), &touched(), |_| finds += 1);
        }
        finds
    };
    assert_eq!(walk(&mut cache, 0), 100);
    let of_old = (0..10).map(|_| walk(&mut cache, 0)).last();
    assert!(of_old < Some(60), "as many as fit stay: {of_old:?}");
    // Others come in when the first are out of use.
    let of_new = (0..40).map(|_| walk(&mut cache, 1_000)).last();
    assert!(of_new < Some(60), "{of_new:?}");
}

#[test]
fn large_routes_push_others_out() {
    let mut cache = RouteCache::new(1, 8, WorkerId(0));
    for i in 0..100_u32 {
        let name = alloc::format!("t/{i}");
        let size = 100 * (i % 5);
        for _asked_again in [false, true] {
            let route = cache.route(TenantId::DEFAULT, topic(&name), &touched(), |found| {
                let one = |slot| Match { session: at(0, slot), options: options(Class::AtMostOnce, false) };
                found.matches.extend((0..size).map(one));
            });
            assert_eq!(route.len(), size as usize);
        }
        assert!(cache.targets <= 8 * RouteCache::TARGETS_PER_TOPIC || cache.table.len() == 1);
    }
}

#[test]
fn what_holds_for_one_message_is_asked_for_each_and_remembered_for_none() {
    let (mut cache, generations) = (RouteCache::new(1, 8, WorkerId(0)), touched());
    let mut ask = |generations: &Generations, slot: u32, varies: bool| {
        let route = cache.route(TenantId::DEFAULT, topic("a"), generations, |found| {
            let m = Match { session: at(0, slot), options: options(Class::AtMostOnce, false) };
            found.matches.push(m);
            found.varies = varies;
        });
        route.local()[0].session.slot
    };
    assert_eq!([1, 2, 3].map(|slot| ask(&generations, slot, true)), [1, 2, 3]);
    assert_eq!([4, 5, 6].map(|slot| ask(&generations, slot, false)), [4; 3]);
    // What was remembered is not any more once it varies.
    generations.bump_all();
    assert_eq!([7, 8].map(|slot| ask(&generations, slot, true)), [7, 8]);
    assert_eq!([9, 10].map(|slot| ask(&generations, slot, false)), [9; 2]);
}
