//! A clearing day reconciled from the database: payments made through the gateway, the channel's file of them
//! delivered, one run. Beside it DuckDB joins the run's own export with the same file.
//!
//! The file is planted with as many breaks of each class as `--rows` has thousands; the run must open
//! exactly these, its identities must hold, and its root must be what `jjj recon compute` makes of the export: or
//! nothing is reported.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, anyhow, ensure};
use jjj_domain::recon::file::{HEADER, beijing_text};
use jjj_domain::time::Timestamp;
use jjj_tests::world::{BEIJING, CHEN, UNIONPAY};
use jjj_wire::pb;
use prost::Message as _;
use serde_json::Value;

use crate::Options;
use crate::database::{Kind, bytes};
use crate::load::{Acknowledged, Dates, in_batches};
use crate::machine::{Ticks, peak_memory_mib};
use crate::recon::{Ends, duckdb_join, watched};
use crate::report::{Measurement, Report};
use crate::site::{Gateway, INSTITUTIONS, Site};

const GET_VIEW: &str = "/jjj.gateway.v1.ReconciliationService/GetView";
/// Payments made at a time: so many answers are in memory.
const STEP: usize = 50_000;
/// By what its line in the file has, the break that a run opens; the numbers of a thousand rows that have it.
const PLANTED: [(&str, usize); 7] = [
    ("CUTOFF", 100),
    ("CHANNEL_ONLY", 200),
    ("DUPLICATE", 300),
    ("AMOUNT_MISMATCH", 400),
    ("PARTY_MISMATCH", 500),
    ("STATUS_MISMATCH", 600),
    ("REFUND_ORPHAN", 700),
];

pub async fn measure(
    options: &Options,
    kind: Kind,
    rows: usize,
    python: &Path,
    report: &mut Report,
) -> anyhow::Result<()> {
    let title = format!("A run of {rows} payments, {} breaks of each of {} classes", rows / 1_000, PLANTED.len());
    let mut measurement = Measurement::new(format!("{title}, {}", kind.name()));
    for _ in 0..options.runs {
        one(options, kind, rows, python, &mut measurement).await?;
    }
    report.push(measurement);
    Ok(())
}

async fn one(options: &Options, kind: Kind, rows: usize, python: &Path, to: &mut Measurement) -> anyhow::Result<()> {
    let site = Site::new(options, kind, INSTITUTIONS).await?;
    let date = Dates::Yesterday.of(0);
    let gateway = site.serve()?;
    let mut file = PlantedFile::create(site.folder().join("day.csv"))?;
    let clients = gateway.channels(options.connections)?;
    while file.rows < rows {
        let step = STEP.min(rows - file.rows);
        let load = in_batches(&clients, &site.bills, step, options.items, 4, Dates::Yesterday).await?;
        for paid in &load.paid {
            file.write(paid)?;
        }
        eprintln!("{} of {rows} payments, {:.0} per second", file.rows, load.per_second());
    }
    let (path, planted) = file.end()?;
    let delivered = called(&site, &gateway, UNIONPAY, &["recon", "upload", &date, &path.display().to_string()])?;
    ensure!(delivered["rejected_rows"] == "0", "the file was not taken whole: {delivered}");
    gateway.stop()?;

    // As after a night: a new process, nothing in its memory.
    let gateway = site.serve()?;
    let size = bytes(&site.url).await?;
    for (is_first, [seconds, processor, memory]) in [
        (true, ["the run, s", "… processor time of all, s", "… the gateway's peak memory MiB"]),
        (false, ["the same again, s", "… its processor time of all, s", "… the gateway's peak memory by then MiB"]),
    ] {
        let (ticks, begun) = (Ticks::now(), Instant::now());
        let run = called(&site, &gateway, CHEN, &["recon", "run", UNIONPAY, &date])?;
        to.add(seconds, begun.elapsed().as_secs_f64());
        to.add(processor, ticks.used_us() / 1e6);
        to.add(memory, peak_memory_mib(gateway.pid()).context("the gateway is gone")?);
        ensure!(run["state"] == "RUN_STATE_WITH_BREAKS", "{run}");
        let identities = run["identities"].as_array().context("identities")?;
        ensure!(!identities.is_empty() && identities.iter().all(|i| i["holds"] == true), "{identities:?}");
        let expected = if is_first { planted.values().sum::<usize>() } else { 0 }.to_string();
        ensure!(run["breaks_opened"] == expected, "{expected} planted, opened: {run}");
    }
    to.add("bytes that both runs added, per row", (bytes(&site.url).await? - size) as f64 / rows as f64);
    let breaks = gateway.systems()?.chen.list("ReconciliationService/ListBreaks", "", "breaks").await?;
    let mut opened = BTreeMap::new();
    for found in &breaks {
        let class = found["break_class"].as_str().unwrap_or_default().trim_start_matches("BREAK_CLASS_");
        *opened.entry(class).or_default() += 1;
    }
    ensure!(opened == planted, "{planted:?} planted, {opened:?} open");
    beside(&site, &gateway, &date, &path, python, to).await?;
    gateway.stop()?;
    if !options.quick {
        site.verify()?;
    }
    Ok(())
}

/// The newest run exported, its view computed offline, and its rows joined with the file by DuckDB.
async fn beside(
    site: &Site,
    gateway: &Gateway,
    date: &str,
    file: &Path,
    python: &Path,
    to: &mut Measurement,
) -> anyhow::Result<()> {
    let run = format!("runs/{}-{}-2", UNIONPAY.trim_start_matches("channels/"), date.replace('-', ""));
    let out = site.folder().join("export");
    called(site, gateway, CHEN, &["recon", "export", &run, "--out", &out.display().to_string()])?;
    let ledger = out.join("ledger.csv");
    let mut compute = Command::new(site.jjj());
    compute.args(["recon", "compute", "--json", "--region", BEIJING, "--ledger"]).arg(&ledger).arg("--file").arg(file);
    let begun = Instant::now();
    let (computed, peak_mib) = watched(compute, Ends::ByItself)?;
    to.add("jjj recon compute of its export, s", begun.elapsed().as_secs_f64());
    to.add("… its peak memory MiB", peak_mib);
    let computed: Value = serde_json::from_slice(&computed)?;
    let name = format!("{run}/views/{}", BEIJING.trim_start_matches("regions/"));
    let request = pb::GetViewRequest { name, page_size: 1, ..Default::default() };
    let view: pb::View = gateway.client(CHEN)?.call(GET_VIEW, &request).await.map_err(|s| anyhow!("{s:?}"))?;
    let (stated, root) = (hex::encode(&view.root_hash), &computed["views"][0]["root"]);
    ensure!(*root == stated, "the gateway's view is {stated}, computed: {computed}");
    match duckdb_join(python, &ledger, file) {
        Ok((seconds, mib)) => {
            to.add("DuckDB's join of export and file, s", seconds);
            to.add("… its peak memory MiB, Python included", mib);
            to.add("the run to DuckDB, ratio", to.median("the run, s") / seconds);
        }
        Err(error) => eprintln!("jjj-bench: not beside DuckDB: {error:#}"),
    }
    Ok(())
}

/// What a command of `jjj`'s prints in JSON.
fn called(site: &Site, gateway: &Gateway, actor: &str, args: &[&str]) -> anyhow::Result<Value> {
    let output = site.command(gateway, actor).args(args).arg("--json").output()?;
    ensure!(output.status.success(), "jjj {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("what it printed")
}

/// The channel's file of the payments, as they are made.
struct PlantedFile {
    path: PathBuf,
    out: BufWriter<File>,
    /// Payments taken in.
    rows: usize,
    /// Lines, sum of amounts.
    totals: [i64; 2],
    planted: BTreeMap<&'static str, usize>,
    /// Everybody who was paid.
    institutions: BTreeSet<String>,
}

impl PlantedFile {
    fn create(path: PathBuf) -> anyhow::Result<Self> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&path)?);
        writeln!(out, "{}", HEADER.join(","))?;
        Ok(Self { path, out, rows: 0, totals: [0; 2], planted: BTreeMap::new(), institutions: BTreeSet::new() })
    }

    fn write(&mut self, paid: &Acknowledged) -> anyhow::Result<()> {
        let answer = pb::AuthorizePaymentResponse::decode(paid.authorised.clone())?;
        let payment = answer.payment.context("an answer without its payment")?;
        let class = PLANTED.iter().find(|(_, at)| self.rows % 1_000 == *at).map(|(class, _)| *class);
        if let Some(class) = class {
            *self.planted.entry(class).or_default() += 1;
        }
        self.institutions.insert(payment.institution.clone());
        let (order, amount) = (payment.order_id.as_str(), payment.amount_fen);
        let stranger = format!("{:0>32}", self.rows);
        match class {
            Some("CUTOFF") => {}
            Some("CHANNEL_ONLY") => {
                self.line("PAYMENT", &payment, order, amount, "SUCCESS", "")?;
                self.line("PAYMENT", &payment, &stranger, amount, "SUCCESS", "")?;
            }
            Some("DUPLICATE") => {
                self.line("PAYMENT", &payment, order, amount, "SUCCESS", "")?;
                self.line("PAYMENT", &payment, order, amount, "SUCCESS", "")?;
            }
            Some("AMOUNT_MISMATCH") => self.line("PAYMENT", &payment, order, amount + 1, "SUCCESS", "")?,
            Some("PARTY_MISMATCH") => {
                let other = self.institutions.iter().find(|other| **other != payment.institution);
                let institution = other.context("one institution alone")?.clone();
                let payment = pb::Payment { institution, ..payment.clone() };
                self.line("PAYMENT", &payment, order, amount, "SUCCESS", "")?;
            }
            Some("STATUS_MISMATCH") => self.line("PAYMENT", &payment, order, amount, "FAILED", "")?,
            Some("REFUND_ORPHAN") => {
                self.line("PAYMENT", &payment, order, amount, "SUCCESS", "")?;
                self.line("REFUND", &payment, &stranger, amount, "SUCCESS", "NEVERSEEN0001")?;
            }
            _ => self.line("PAYMENT", &payment, order, amount, "SUCCESS", "")?,
        }
        self.rows += 1;
        Ok(())
    }

    fn line(
        &mut self,
        kind: &str,
        of: &pb::Payment,
        order: &str,
        amount_fen: i64,
        status: &str,
        original: &str,
    ) -> anyhow::Result<()> {
        let (merchant, time) = (&of.merchant_id, beijing_text(Timestamp(of.transaction_time_us)));
        let institution = of.institution.trim_start_matches("institutions/");
        writeln!(self.out, "{kind},{merchant},{order},{time},{amount_fen},0,{status},{institution},{original}")?;
        self.totals[0] += 1;
        self.totals[1] += amount_fen;
        Ok(())
    }

    /// The file, and how many breaks of each class are planted in it.
    fn end(mut self) -> anyhow::Result<(PathBuf, BTreeMap<&'static str, usize>)> {
        let [lines, amount_fen] = self.totals;
        writeln!(self.out, "TRAILER,{lines},{amount_fen},0,,,,,")?;
        self.out.flush()?;
        Ok((self.path, self.planted))
    }
}
