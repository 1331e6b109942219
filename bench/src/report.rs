//! Figures of several runs: the median counts, the extremes tell how far to trust it.

use serde_json::{Value, json};

/// All measurements, in the order in which they were made.
#[derive(Default)]
pub struct Report {
    measurements: Vec<Measurement>,
}

/// One measurement in several runs.
pub struct Measurement {
    pub title: String,
    figures: Vec<(&'static str, Vec<f64>)>,
}

impl Measurement {
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), figures: Vec::new() }
    }

    /// A figure of one run.
    pub fn add(&mut self, name: &'static str, value: f64) {
        match self.figures.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => self.figures.push((name, vec![value])),
        }
    }

    pub fn median(&self, name: &str) -> f64 {
        self.figures.iter().find(|(known, _)| *known == name).map_or(f64::NAN, |(_, values)| median(values))
    }

    /// Response times, microseconds: percentiles in milliseconds.
    pub fn add_latencies(&mut self, latencies_us: &mut [u32]) {
        latencies_us.sort_unstable();
        for (name, share) in [("p50 ms", 0.5), ("p90 ms", 0.9), ("p99 ms", 0.99), ("p99.9 ms", 0.999)] {
            self.add(name, f64::from(percentile(latencies_us, share)) / 1e3);
        }
    }

    /// Median and 99th percentile of times in microseconds, under these names.
    pub fn add_percentiles(&mut self, mut us: Vec<u32>, [p50, p99]: [&'static str; 2]) {
        us.sort_unstable();
        self.add(p50, f64::from(percentile(&us, 0.5)) / 1e3);
        self.add(p99, f64::from(percentile(&us, 0.99)) / 1e3);
    }

    fn to_json(&self) -> Value {
        let figures = self
            .figures
            .iter()
            .map(|(name, values)| ((*name).to_owned(), json!({"median": median(values), "runs": values})));
        json!({"measurement": self.title, "figures": figures.collect::<serde_json::Map<_, _>>()})
    }

    fn print(&self) {
        println!("{}", self.title);
        for (name, values) in &self.figures {
            let bound = |pick: fn(f64, f64) -> f64, from| number(values.iter().copied().fold(from, pick));
            let (least, most) = (bound(f64::min, f64::INFINITY), bound(f64::max, f64::NEG_INFINITY));
            println!("  {name:<42} {:>12}   {least} … {most}, {} runs", number(median(values)), values.len());
        }
        println!();
    }
}

impl Report {
    pub fn push(&mut self, measurement: Measurement) {
        self.measurements.push(measurement);
    }

    pub fn print(&self, as_json: bool) {
        if as_json {
            let all: Vec<Value> = self.measurements.iter().map(Measurement::to_json).collect();
            println!("{}", json!({"cores": crate::machine::cores(), "measurements": all}));
        } else {
            println!("{} cores, client included; median, least … most\n", crate::machine::cores());
            self.measurements.iter().for_each(Measurement::print);
        }
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        x if x >= 1_000.0 => format!("{value:.0}"),
        x if x >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

/// Of sorted values.
pub fn percentile(sorted: &[u32], share: f64) -> u32 {
    let at = (sorted.len() as f64 * share) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}
