//! What the machine did meanwhile: whose processor time a run took, and what fsync costs.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use crate::report::{Measurement, percentile};

/// Clock ticks of `/proc` are hundredths of a second on Linux, whatever the kernel's own.
const TICK_US: f64 = 10_000.0;

pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Processor time used so far, in ticks.
pub struct Ticks {
    at: Instant,
    /// Of all processes.
    busy: f64,
    /// Of this process and those it started, by program.
    own: BTreeMap<String, f64>,
}

impl Ticks {
    pub fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
        let cpu: Vec<f64> = fields.filter_map(|text| text.parse().ok()).collect();
        // user, nice, system, idle, iowait, irq, softirq
        let busy = cpu.iter().enumerate().filter(|(i, _)| [0, 1, 2, 5, 6].contains(i)).map(|(_, t)| t).sum();
        Self { at: Instant::now(), busy, own: own() }
    }

    /// What this process and those it started have used since then, microseconds.
    pub fn used_us(&self) -> f64 {
        let total = |own: &BTreeMap<String, f64>| own.values().sum::<f64>();
        (total(&own()) - total(&self.own)) * TICK_US
    }

    /// Adds what was used since then, per unit of work: who used it, and what share of the machine
    /// went to strangers.
    pub fn add_since(&self, units: usize, to: &mut Measurement) {
        let now = Self::now();
        let used = |program: &str| now.own.get(program).unwrap_or(&0.0) - self.own.get(program).unwrap_or(&0.0);
        let each = |program: &str| used(program) * TICK_US / units as f64;
        to.add("client CPU µs each", each("client"));
        for (program, name) in
            [("jjj", "gateway CPU µs each"), ("postgres", "postgres CPU µs each"), ("jjj-bench", "echo CPU µs each")]
        {
            if used(program) > 0.0 {
                to.add(name, each(program));
            }
        }
        let ours: f64 = now.own.keys().map(|program| used(program)).sum();
        let all = now.at.duration_since(self.at).as_secs_f64() * 1e6 / TICK_US * cores() as f64;
        to.add("others' share of the processors", ((now.busy - self.busy - ours) / all).max(0.0));
    }
}

/// One line of `/proc/{pid}/stat`.
struct Process {
    pid: u32,
    parent: u32,
    program: String,
    ticks: f64,
}

fn own() -> BTreeMap<String, f64> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let all: Vec<Process> = entries.filter_map(|entry| read(&entry.path())).collect();
    let me = std::process::id();
    let mut tree = vec![me];
    let mut at = 0;
    while at < tree.len() {
        let parent = tree[at];
        tree.extend(all.iter().filter(|p| p.parent == parent).map(|p| p.pid));
        at += 1;
    }
    let mut ticks = BTreeMap::new();
    for process in all.into_iter().filter(|p| tree.contains(&p.pid)) {
        // The echo's server is this program too.
        let program = if process.pid == me { "client".to_owned() } else { process.program };
        *ticks.entry(program).or_insert(0.0) += process.ticks;
    }
    ticks
}

fn read(dir: &Path) -> Option<Process> {
    let pid = dir.file_name()?.to_str()?.parse().ok()?;
    let stat = fs::read_to_string(dir.join("stat")).ok()?;
    let (head, tail) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = tail.split_whitespace().collect();
    let ticks = |i: usize| fields.get(i)?.parse::<f64>().ok();
    Some(Process {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        program: head.split_once('(')?.1.to_owned(),
        ticks: ticks(11)? + ticks(12)?,
    })
}

/// The most memory that a process has had so far, MiB; `None` once it is gone.
pub fn peak_memory_mib(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1_024.0)
}

/// How long the disk takes to make 4 KiB durable.
pub fn add_fsync(dir: &Path, to: &mut Measurement) -> anyhow::Result<()> {
    let path = dir.join("fsync-probe");
    let mut file = File::create(&path)?;
    let mut times_us = Vec::new();
    for _ in 0..300 {
        file.write_all(&[0x5a; 4096])?;
        let started = Instant::now();
        file.sync_data()?;
        times_us.push(started.elapsed().as_micros() as u32);
    }
    fs::remove_file(path)?;
    times_us.sort_unstable();
    to.add("fsync p50 ms", f64::from(percentile(&times_us, 0.5)) / 1e3);
    to.add("fsync p99 ms", f64::from(percentile(&times_us, 0.99)) / 1e3);
    Ok(())
}
