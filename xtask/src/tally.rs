//! How many tests passed and failed, as the test runners print it.

use std::ops::AddAssign;

/// Tests that were run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

impl Tally {
    /// What one line of a runner's output adds.
    pub(crate) fn of_line(line: &str) -> Self {
        let numbers = if let Some(rest) = line.strip_prefix("test result: ") {
            // cargo test: `test result: ok. 16 passed; 0 failed; …`. Indented it is what nextest shows of a failure.
            rest
        } else if line.trim_start().starts_with("Summary [") && line.contains(" run: ") {
            // nextest: `Summary [ 1.2s] 17 tests run: 15 passed (1 slow), 1 failed, 1 timed out, 2 skipped`
            line.split(" run: ").nth(1).unwrap_or_default()
        } else {
            return Self::default();
        };
        let mut tally = Self::default();
        for part in numbers.split([';', ',', '.']) {
            let mut words = part.split_whitespace();
            let (Some(Ok(number)), Some(word)) = (words.next().map(str::parse::<usize>), words.next()) else {
                continue;
            };
            match word {
                "passed" => tally.passed += number,
                "failed" | "timed" | "exec" => tally.failed += number,
                _ => {}
            }
        }
        tally
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_both_runners_are_understood() {
        for (line, passed, failed) in [
            (
                "test result: ok. 16 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s",
                16,
                0,
            ),
            ("test result: FAILED. 3 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out", 3, 2),
            ("     Summary [   0.047s] 16 tests run: 16 passed, 0 skipped", 16, 0),
            ("     Summary [   1.2s] 1 test run: 1 passed, 0 skipped", 1, 0),
            (
                "     Summary [   9s] 20 tests run: 15 passed (2 slow), 3 failed, 2 timed out, 1 skipped",
                15,
                5,
            ),
            ("     Summary [   9s] 9/20 tests run: 8 passed, 1 failed, 1 skipped", 8, 1),
            ("    test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 300 filtered out", 0, 0),
            ("test a::b ... ok", 0, 0),
            ("12 passed", 0, 0),
        ] {
            assert_eq!(Tally::of_line(line), Tally { passed, failed }, "{line}");
        }
    }
}
