//! What was measured: memory and folder, second by second, and what they may be.

use std::fmt;
use std::io::Result;
use std::path::Path;
use std::time::Duration;

/// The folder may take this many bytes and three times what is live.
const FOLDER_BYTES_MAX: u64 = 256 << 20;

/// What a message that waits takes in the journal, at the most.
const MESSAGE_BYTES_MAX: u64 = 320;

/// What memory may grow by beyond a twentieth, from quarter to quarter and from life to life.
const GROWTH_BYTES_MAX: u64 = 8 << 20;

/// Samples of which the mean is shown: those of about a minute.
const SAMPLES_SHOWN: usize = 60;

/// What was seen at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Since the broker was ready.
    pub at: Duration,
    /// Memory of the process.
    pub resident_bytes: u64,
    /// What the files in the broker's folder take.
    pub folder_bytes: u64,
    /// Messages that were published and had not come.
    pub outstanding: u64,
}

/// A broker's life under the load.
#[derive(Clone, Debug, Default)]
pub struct Life {
    /// How long it took to be ready.
    pub start: Duration,
    /// Messages that came in a second.
    pub rate: u64,
    /// What was seen.
    pub samples: Vec<Sample>,
}

impl Life {
    /// Those of the samples after this share of the life.
    fn from(&self, quarters: usize) -> &[Sample] {
        &self.samples[self.samples.len() * quarters / 4..]
    }

    /// By how many bytes the memory grows in an hour, over the second half of the life: the slope of the line that fits
    /// best.
    #[must_use]
    pub fn slope(&self) -> f64 {
        let half = self.from(2);
        let count = half.len() as f64;
        let at = |sample: &Sample| sample.at.as_secs_f64() / 3600.0;
        let mean_at = half.iter().map(at).sum::<f64>() / count;
        let mean = mean(half) as f64;
        let (mut above, mut below) = (0.0, 0.0);
        for sample in half {
            above += (at(sample) - mean_at) * (sample.resident_bytes as f64 - mean);
            below += (at(sample) - mean_at) * (at(sample) - mean_at);
        }
        if below > 0.0 { above / below } else { 0.0 }
    }

    /// What should not have been.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let last = self.from(3);
        let third = &self.from(2)[..self.from(2).len() - last.len()];
        if mean(last) > allowed(mean(third)) {
            let (from, to) = (mean(third) >> 20, mean(last) >> 20);
            faults.push(format!("memory grew from {from} to {to} MiB in the last half of a life"));
        }
        let is_beyond = |sample: &&Sample| {
            sample.folder_bytes > FOLDER_BYTES_MAX + 3 * MESSAGE_BYTES_MAX * sample.outstanding
        };
        if let Some(Sample { folder_bytes, outstanding, .. }) = self.samples.iter().find(is_beyond) {
            faults.push(format!(
                "the folder had {} MiB with {outstanding} messages waiting",
                folder_bytes >> 20
            ));
        }
        faults
    }
}

/// Whether a later life took more memory than the first.
pub(super) fn growth(lives: &[Life]) -> Vec<String> {
    let Some((first, later)) = lives.split_first() else { return Vec::new() };
    let first = mean(first.from(2));
    let sizes = later.iter().map(|life| mean(life.from(2)));
    sizes
        .filter(|size| *size > allowed(first))
        .map(|size| format!("a later life took {} MiB, the first {} MiB", size >> 20, first >> 20))
        .collect()
}

fn allowed(bytes: u64) -> u64 {
    bytes + bytes / 20 + GROWTH_BYTES_MAX
}

fn mean(samples: &[Sample]) -> u64 {
    samples.iter().map(|sample| sample.resident_bytes).sum::<u64>() / samples.len().max(1) as u64
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = |of: fn(&Sample) -> u64| self.samples.iter().map(of).max().unwrap_or_default();
        let last = self.samples.last().copied().unwrap_or_default();
        write!(
            f,
            "ready after {:.1} s, {} s at {} messages a second: {} MiB resident at the end, {} at most, \
             slope {:+.2} MiB an hour; folder {} MiB at most, {} messages waiting at most",
            self.start.as_secs_f64(),
            last.at.as_secs(),
            self.rate,
            last.resident_bytes >> 20,
            most(|sample| sample.resident_bytes) >> 20,
            self.slope() / f64::from(1 << 20),
            most(|sample| sample.folder_bytes) >> 20,
            most(|sample| sample.outstanding),
        )?;
        let minutes = self.samples.chunks(SAMPLES_SHOWN).map(|minute| (mean(minute) >> 20).to_string());
        write!(f, "\n  minute by minute, MiB resident: {}", minutes.collect::<Vec<_>>().join(" "))
    }
}

/// Bytes that the files of a folder take on the disk.
pub(super) fn folder_bytes(folder: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // What is removed meanwhile takes nothing.
        let Ok(meta) = entry.metadata() else { continue };
        bytes +=
            if meta.is_dir() { folder_bytes(&entry.path()).unwrap_or_default() } else { meta.blocks() * 512 };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(resident_bytes: impl Fn(u64) -> u64, folder_bytes: u64) -> Life {
        let sample = |second| Sample {
            at: Duration::from_secs(second),
            resident_bytes: resident_bytes(second),
            folder_bytes,
            outstanding: 10,
        };
        Life { samples: (1..=400).map(sample).collect(), ..Life::default() }
    }

    #[test]
    fn a_flat_life_has_no_faults_and_no_slope() {
        let flat = life(|second| (100 << 20) + (second % 2) * 4096, 100 << 20);
        assert!(flat.faults().is_empty());
        assert!(flat.slope().abs() < f64::from(1 << 20), "{}", flat.slope());
        assert!(growth(&[flat.clone(), flat]).is_empty());
    }

    #[test]
    fn memory_that_grows_is_found() {
        let leaking = life(|second| (100 << 20) + second * (1 << 20), 0);
        assert_eq!(leaking.faults().len(), 1);
        assert!((leaking.slope() / f64::from(1 << 20) - 3600.0).abs() < 1.0, "{}", leaking.slope());
        let (small, large) = (life(|_| 100 << 20, 0), life(|_| 150 << 20, 0));
        assert_eq!(growth(&[small, large]).len(), 1);
    }

    #[test]
    fn a_folder_beyond_its_bound_is_found() {
        assert_eq!(life(|_| 100 << 20, 300 << 20).faults().len(), 1);
    }
}
