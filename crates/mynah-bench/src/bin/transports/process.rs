//! The broker's process as the system sees it.

use std::fs;
use std::io::{Error, Result};
use std::time::Duration;

/// A process that somebody else has started.
pub(crate) struct Process {
    id: usize,
}

impl Process {
    pub(crate) const fn new(id: usize) -> Self {
        Self { id }
    }

    /// Processor time of all threads that live.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let mut total = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.id))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            let nanoseconds = text.split(' ').next().and_then(|number| number.parse::<u64>().ok());
            total += nanoseconds.ok_or_else(|| Error::other("no figures of the scheduler"))?;
        }
        Ok(Duration::from_nanos(total))
    }

    /// Resident memory.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kibibytes.map(|n| n << 10).ok_or_else(|| Error::other("no memory figures"))
    }
}
