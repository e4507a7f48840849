//! A broker that is cut off again and again keeps every promise, and each planted lapse is found.

use mynah_crash::ledger::Kind;
use mynah_sim::{Lapse, Outages, run_outages};

#[test]
fn fifty_seeds_keep_every_promise() {
    let (mut outages, mut acknowledged, mut arrivals) = (0, 0, 0);
    for seed in 0..50 {
        let outcome = run_outages(seed, Outages::default()).unwrap();
        let lines: Vec<String> = outcome.violations.iter().take(5).map(ToString::to_string).collect();
        assert!(lines.is_empty(), "seed {seed}:\n{}", lines.join("\n"));
        outages += outcome.outages;
        acknowledged += outcome.totals.acknowledged;
        arrivals += outcome.totals.arrivals;
    }
    println!("{outages} outages, {acknowledged} acknowledged, {arrivals} arrivals");
    assert!(outages > 500 && acknowledged > 2_000 && arrivals > 5_000, "that says little");
}

/// The first seed that shows a lapse in one of these ways.
fn find(lapse: Lapse, kinds: &[Kind]) {
    let outages = Outages { lapse: Some(lapse), ..Outages::default() };
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
fn outages_follow_from_their_seed() {
    assert_eq!(run_outages(7, Outages::default()), run_outages(7, Outages::default()));
}
