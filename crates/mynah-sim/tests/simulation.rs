//! Two thousand seeds without a fault, and each planted fault found.

use std::ops::Range;

use mynah_sim::{Failure, Fault, Options, Summary, run};

/// Runs seeds; the first that fails ends the test with its trace.
fn run_all(seeds: Range<u64>) {
    let mut total = Summary::default();
    for seed in seeds.clone() {
        match run(seed, Options::default()) {
            Ok(summary) => total += summary,
            Err(failure) => panic!("{failure}\nagain: cargo run -p mynah-sim -- --seed {seed}"),
        }
    }
    println!("{total}");
    let schedules = seeds.end - seeds.start;
    assert_eq!((total.schedules, total.steps), (schedules, 200 * schedules));
    for (what, count, least) in [
        ("connections", total.connections, 20),
        ("take-overs", total.take_overs, 5),
        ("publications", total.publications, 100),
        ("wills", total.wills, 5),
        ("messages", total.arrivals, 200),
        ("messages that slow readers cost", total.slow_drops, 1),
    ] {
        assert!(count >= least * schedules, "{count} {what} in {schedules} schedules say little");
    }
}

/// The first seed that shows a fault in one of these words; other promises may break with it before.
fn find(fault: Fault, words: &[&str]) {
    let options = Options { fault: Some(fault), ..Options::default() };
    let failure = (0..1_000).find_map(|seed| run(seed, options).err().filter(|failure| says(failure, words)));
    let failure = failure.unwrap_or_else(|| panic!("{fault} is not found within 1,000 seeds"));
    println!("{fault}: seed {}: {}", failure.seed, failure.violation);
    assert_eq!(run(failure.seed, options), Err(failure), "a failure has to come again");
}

fn says(failure: &Failure, words: &[&str]) -> bool {
    words.iter().any(|words| failure.violation.contains(words))
}

#[test]
fn seeds_0_to_499_keep_every_promise() {
    run_all(0..500);
}

#[test]
fn seeds_500_to_999_keep_every_promise() {
    run_all(500..1_000);
}

#[test]
fn seeds_1000_to_1499_keep_every_promise() {
    run_all(1_000..1_500);
}

#[test]
fn seeds_1500_to_1999_keep_every_promise() {
    run_all(1_500..2_000);
}

#[test]
fn an_early_acknowledgement_is_found() {
    find(Fault::EarlyAcknowledgement, &["is acknowledged before the broker took it in"]);
}

#[test]
fn a_lost_dup_is_found() {
    find(Fault::LostDup, &["comes again without DUP", "comes twice to one member"]);
}

#[test]
fn a_swapped_order_is_found() {
    find(Fault::SwappedOrder, &["out of order", "what follows it came", "never comes"]);
}

#[test]
fn a_forgotten_will_is_found() {
    find(Fault::ForgottenWill, &["`will of "]);
}

#[test]
fn a_double_take_over_is_found() {
    find(Fault::DoubleTakeOver, &["double take-over", "which was not ended", "session present"]);
}

#[test]
fn a_message_that_two_members_share_is_found() {
    find(Fault::SharedTwice, &["goes to two members", "although it was settled"]);
}

#[test]
fn a_dead_member_s_message_that_is_lost_is_found() {
    find(Fault::LostShare, &["is lost to $share/", "no longer holds it"]);
}

#[test]
fn a_lost_identifier_is_found() {
    find(Fault::LostIdentifier, &["is not expected", "is not a retained value"]);
}

#[test]
fn an_early_will_is_found() {
    find(Fault::EarlyWill, &["`will of "]);
}

#[test]
fn a_mixed_alias_is_found() {
    find(Fault::MixedAlias, &["is not expected", "is not a retained value"]);
}

#[test]
fn an_exceeded_receive_maximum_is_found() {
    find(Fault::ExceededReceiveMaximum, &["Receive Maximum", "one too many"]);
}

#[test]
fn a_forgotten_expiry_is_found() {
    find(Fault::ForgottenExpiry, &["wrong remaining time", "after its time", "is not expected"]);
}

#[test]
fn a_run_follows_from_its_seed() {
    for seed in [7, 7_000_000_007] {
        assert_eq!(run(seed, Options::default()), run(seed, Options::default()));
    }
}

#[test]
fn a_longer_schedule_keeps_every_promise() {
    for seed in 0..10 {
        let result = run(seed, Options { steps: 1_500, fault: None });
        assert!(result.is_ok(), "{}", result.unwrap_err());
    }
}
