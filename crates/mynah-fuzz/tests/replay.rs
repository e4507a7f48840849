//! What fuzzing found is run again by every test run.

// A test stops at the first thing that is not as it says.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use mynah_fuzz::TARGETS;
use mynah_fuzz::seeds::Folders;
use mynah_stack::testing::Sequence;

fn run(name: &str, body: fn(&[u8]), input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| body(input))).is_err() {
        let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        panic!("{name} fails on the input {hex}");
    }
}

#[test]
fn every_input_that_is_kept_passes() {
    for target in TARGETS {
        let inputs = Folders::new().inputs(&target).unwrap();
        assert!(inputs.len() >= 10, "{}: {} inputs", target.name, inputs.len());
        for input in &inputs {
            run(target.name, target.body, input);
        }
    }
}

/// A few changes of each input, so that a fault near what is known shows without a fuzzer.
#[test]
fn neighbours_of_the_inputs_pass() {
    let mut sequence = Sequence::new(1);
    for target in TARGETS {
        for input in &Folders::new().inputs(&target).unwrap() {
            for _ in 0..4 {
                let mut near = input.clone();
                let at = sequence.between(0, near.len() as u64) as usize;
                match (sequence.between(0, 2), near.get_mut(at)) {
                    (0, Some(byte)) => *byte ^= 1 << sequence.between(0, 7),
                    (1, Some(_)) => drop(near.remove(at)),
                    _ => near.insert(at, sequence.next_number() as u8),
                }
                run(target.name, target.body, &near);
            }
        }
    }
}
