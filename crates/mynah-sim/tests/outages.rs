//! A broker that is cut off again and again keeps every promise, and each planted lapse is found.

use mynah_crash::ledger::Kind;
use mynah_sim::{Keeping, Lapse, Outages, run_outages};

/// Runs fifty seeds, at least so much of which has to be promised.
fn keep(keeping: Keeping, acknowledged_min: u64) {
    let (mut outages, mut acknowledged, mut arrivals) = (0, 0, 0);
    for seed in 0..50 {
        let outcome = run_outages(seed, Outages { keeping, ..Outages::default() });
        let outcome = outcome.unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
        let lines: Vec<String> = outcome.violations.iter().take(5).map(ToString::to_string).collect();
        assert!(lines.is_empty(), "seed {seed}:\n{}", lines.join("\n"));
        outages += outcome.outages;
        acknowledged += outcome.totals.acknowledged;
        arrivals += outcome.totals.arrivals;
    }
    println!("{outages} outages, {acknowledged} acknowledged, {arrivals} arrivals");
    assert!(outages > 500 && acknowledged > acknowledged_min && arrivals > 5_000, "that says little");
}

#[test]
fn fifty_seeds_keep_every_promise() {
    keep(Keeping::Sync, 2_000);
}

#[test]
fn fifty_seeds_lose_nothing_that_was_synced() {
    keep(Keeping::Interval, 700);
}

/// The first seed that shows a lapse in one of these ways.
fn find(lapse: Lapse, kinds: &[Kind]) {
    find_with(Keeping::Sync, lapse, kinds);
}

fn find_with(keeping: Keeping, lapse: Lapse, kinds: &[Kind]) {
    let outages = Outages { keeping, lapse: Some(lapse), ..Outages::default() };
    let shows = |seed: &u64| match run_outages(*seed, outages) {
        Ok(outcome) => outcome.violations.iter().any(|violation| kinds.contains(&violation.kind)),
        // What cannot be read back has been noticed, too.
        Err(_) => false,
    };
    let seed = (0..200).find(shows).unwrap_or_else(|| panic!("{lapse} is not found within 200 seeds"));
    assert_eq!(run_outages(seed, outages), run_outages(seed, outages), "a failure has to come again");
}

#[test]
fn what_is_acknowledged_before_it_is_synced_is_found_missing() {
    find(Lapse::AcknowledgesUnsynced, &[Kind::Missing, Kind::SessionLost, Kind::Retained]);
}

#[test]
fn a_forgotten_identifier_is_found() {
    find(Lapse::ForgetsReceived, &[Kind::Duplicate]);
}

#[test]
fn a_forgotten_part_is_found() {
    find(Lapse::ForgetsParts, &[Kind::Duplicate]);
}

#[test]
fn a_forgotten_errand_is_found() {
    find(Lapse::ForgetsErrands, &[Kind::Missing]);
}

#[test]
fn a_torn_group_is_found() {
    find(Lapse::TearsGroups, &[Kind::Duplicate, Kind::Missing]);
}

#[test]
fn a_forgotten_receipt_is_found() {
    find(Lapse::ForgetsTaken, &[Kind::Duplicate]);
}

#[test]
fn a_forgotten_will_is_found() {
    find(Lapse::ForgetsWills, &[Kind::Missing]);
}

#[test]
fn a_forgotten_replay_is_found() {
    find(Lapse::ForgetsReplays, &[Kind::Missing]);
}

#[test]
fn what_is_never_synced_is_found_missing_where_promises_do_not_wait() {
    find_with(Keeping::Interval, Lapse::AcknowledgesUnsynced, &[Kind::Missing]);
}

#[test]
fn outages_follow_from_their_seed() {
    assert_eq!(run_outages(7, Outages::default()), run_outages(7, Outages::default()));
}
