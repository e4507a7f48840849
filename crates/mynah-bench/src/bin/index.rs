//! A topic index of a million filters, a tenth of them with wildcards: what a filter takes of memory, and how long a
//! match takes whose filter is nowhere in the processor's caches. Fails if a match is not found.

use std::fs;
use std::process::ExitCode;
use std::time::Instant;

use mynah_bench::filters::{index, topic};
use mynah_model::{TenantId, Topic};

const FILTERS: u32 = 1_000_000;
const MATCHES: u32 = 100_000;
/// Prime to the number of filters, and far enough that no match is near the one before.
const STRIDE: u32 = 611_953;

fn main() -> ExitCode {
    let before = resident_bytes();
    let start = Instant::now();
    let index = index(FILTERS);
    let insert = start.elapsed() / FILTERS;
    let resident = before.and_then(|before| Some(resident_bytes()?.saturating_sub(before)));
    let topics: Vec<String> = (1..=MATCHES)
        .map(|n| topic((u64::from(n) * u64::from(STRIDE) % u64::from(FILTERS)) as u32))
        .collect();
    let (mut found, mut matched) = (Vec::new(), 0);
    let start = Instant::now();
    for topic in &topics {
        found.clear();
        index.matches(TenantId::DEFAULT, Topic::from_checked(topic.as_bytes()), &mut found);
        matched += found.len();
    }
    let cold = start.elapsed() / MATCHES;
    println!("{FILTERS} filters, one in ten with a wildcard");
    println!("memory  {} bytes a filter by its own account", index.memory_bytes() / FILTERS as usize);
    if let Some(bytes) = resident {
        println!("        {} bytes a filter as the system sees it", bytes / u64::from(FILTERS));
    }
    println!("insert  {} ns", insert.as_nanos());
    println!("match   {} ns, cold", cold.as_nanos());
    if matched == MATCHES as usize {
        return ExitCode::SUCCESS;
    }
    println!("FAILED: {matched} filters were found for {MATCHES} topics");
    ExitCode::FAILURE
}

/// Resident memory of this process; none where Linux does not tell.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}
