//! A month's end for a whole programme: `jjj month` as a region and a channel run it, on as many elders as asked for.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use jjj_cli::session::Session;
use jjj_tests::world::{self, BEIJING, Days, PROGRAMME, UNIONPAY};
use serde_json::Value;

use crate::Options;
use crate::database::Kind;
use crate::machine;
use crate::report::{Measurement, Report};
use crate::site::{Gateway, Site};

/// What the rate table gives each of them.
const RATE_FEN: i64 = world::CREDITED_FEN;
/// Elders registered at a time: so many names are in memory.
const CHUNK: usize = 10_000;

pub async fn measure(options: &Options, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    let elders = options.elders;
    let mut measurement = Measurement::new(format!("The month's end of {elders} elders, {}", kind.name()));
    let site = Site::empty(options, kind).await?;
    let gateway = site.serve()?;
    let days = Days::now(&gateway.systems()?.beijing);
    register(&gateway.systems()?.beijing, elders, &days).await?;

    let of = ["--programme", PROGRAMME, "--month", &days.month];
    let to = ["--channel", UNIONPAY];
    let job = |name: &str| site.folder().join(name).display().to_string();
    let figures = &mut measurement;
    let grant = job("grant");
    let ended =
        timed(&site, &gateway, BEIJING, &[&["grant"], &of[..], &to, &["--job", &grant]].concat(), "grant", figures)?;
    expect(&ended["accepted"]["granted"], elders)?;
    let fund = job("fund");
    let of_fund = [&["fund"], &of[..], &to, &["--reference", "bench", "--job", &fund]].concat();
    let ended = timed(&site, &gateway, BEIJING, &of_fund, "fund", figures)?;
    ensure!(ended["accepted"]["funded"]["amount_fen"] == sum_text(elders), "the funding is off: {ended}");
    let (credits, results) = (site.folder().join("credits.csv"), site.folder().join("results.csv"));
    let out = credits.display().to_string();
    let of_credits = [&["credits", "--region", BEIJING], &of[..], &["--out", &out]].concat();
    let written = timed(&site, &gateway, UNIONPAY, &of_credits, "credits", figures)?;
    ensure!(written["rows"] == elders && written["amount_fen"] == sum_text(elders), "the file is off: {written}");
    all_credited(&credits, &results)?;
    let (results, report_job) = (results.display().to_string(), job("report"));
    let of_report = ["report", "--file", &results, "--job", &report_job];
    let ended = timed(&site, &gateway, UNIONPAY, &of_report, "report", figures)?;
    expect(&ended["accepted"]["credited"], elders)?;
    for (name, per_second) in [("grant s", "grants per second"), ("report s", "credits per second")] {
        let rate = elders as f64 / figures.median(name);
        figures.add(per_second, rate);
    }
    gateway.stop()?;
    if !options.quick {
        site.verify()?;
    }
    report.push(measurement);
    Ok(())
}

/// Elders of Beijing, each assessed as severely disabled.
async fn register(beijing: &Session, elders: usize, days: &Days) -> anyhow::Result<()> {
    let started = Instant::now();
    for first in (0..elders).step_by(CHUNK) {
        let chunk = first..elders.min(first + CHUNK);
        let register = chunk.clone().map(world::elder).collect();
        let names = world::names(beijing, "ElderService/RegisterElder", register, "elder").await;
        let assess = names.iter().map(|elder| world::assessment(elder, days)).collect();
        world::names(beijing, "AssessmentService/PublishAssessment", assess, "assessment").await;
        eprintln!("{} of {elders} elders, {:.0} s", chunk.end, started.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Runs a command to its end: its seconds, and the most memory it took.
fn timed(
    site: &Site,
    gateway: &Gateway,
    actor: &str,
    args: &[&str],
    name: &'static str,
    figures: &mut Measurement,
) -> anyhow::Result<Value> {
    let out = site.folder().join("month.json");
    let started = Instant::now();
    let mut child =
        site.command(gateway, actor).args(["month", "--json"]).args(args).stdout(File::create(&out)?).spawn()?;
    let mut peak_mib = 0.0;
    let status = loop {
        peak_mib = machine::peak_memory_mib(child.id()).unwrap_or(peak_mib);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    ensure!(status.success(), "jjj month {name} ended with {status}");
    let [seconds, mib] = match name {
        "grant" => ["grant s", "grant peak MiB"],
        "fund" => ["fund s", "fund peak MiB"],
        "credits" => ["credits s", "credits peak MiB"],
        _ => ["report s", "report peak MiB"],
    };
    figures.add(seconds, started.elapsed().as_secs_f64());
    figures.add(mib, peak_mib);
    serde_json::from_reader(File::open(out)?).context("what it printed")
}

fn expect(accepted: &Value, elders: usize) -> anyhow::Result<()> {
    let is_right = accepted["count"] == elders && accepted["amount_fen"] == sum_text(elders);
    ensure!(is_right, "{accepted} instead of {elders} elders' rates");
    Ok(())
}

fn sum_text(elders: usize) -> String {
    (RATE_FEN * elders as i64).to_string()
}

/// The channel's results: every row of its file was credited.
fn all_credited(credits: &Path, results: &Path) -> anyhow::Result<()> {
    let mut out = BufWriter::new(File::create(results)?);
    writeln!(out, "grant,outcome,amount_fen,reason")?;
    for line in BufReader::new(File::open(credits)?).lines().skip(1) {
        let line = line?;
        let fields: Vec<&str> = line.split(',').collect();
        writeln!(out, "{},CREDITED,{},", fields[0], fields[4])?;
    }
    Ok(out.flush()?)
}
