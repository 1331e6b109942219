//! Two tiers of the same cases: `./test` runs them, `./campaign` runs them longer and harder. The fuzzers
//! of other crates mount this file, so that they need nothing else of this one.

use std::time::{SystemTime, UNIX_EPOCH};

/// How often a case does its work: so often in `./test`, so often in `./campaign`.
pub fn sized(test: usize, campaign: usize) -> usize {
    if std::env::var_os("JJJ_CAMPAIGN").is_some() { campaign } else { test }
}

/// How often a decoder is fuzzed: `JJJ_EXECUTIONS`, else so often in `./test`, ten million times in `./campaign`.
pub fn executions(test: usize) -> usize {
    let given = std::env::var("JJJ_EXECUTIONS").ok().and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| sized(test, 10_000_000))
}

/// What the draws of a case begin with: `JJJ_SEED`, else another one each time; printed.
pub fn seed() -> u64 {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos().into());
    let seed = std::env::var("JJJ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(now);
    println!("JJJ_SEED={seed}");
    seed
}
