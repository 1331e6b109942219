//! `jjj recon export` and `jjj recon compute`: what a view rests on, and the view computed from it
//! by whoever has it, without the gateway.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::io::{BufWriter, Write};
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use jjj_cli::recon_compute::{self, DayFile, KnownBook, KnownFile, KnownLine, Options, SIDE_BYTES};
use jjj_cli::session::Session;
use jjj_domain::names::{Collection, Name, Participant};
use jjj_domain::recon::file::{LineKind, beijing_text};
use jjj_domain::recon::stream::LEDGER_HEADER;
use jjj_domain::time::{Date, Timestamp};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::output;

#[derive(clap::Args)]
pub struct ExportArgs {
    /// `runs/…`: the newest of its date, or the rows have moved on since.
    run: String,
    /// Folder for `ledger.csv` and `day.json`; must not hold them yet.
    #[arg(long)]
    out: PathBuf,
}

/// Less would spill files without number; more is not taken.
const MEMORY_MIB: RangeInclusive<u64> = 16..=2_048;

#[derive(clap::Args)]
pub struct ComputeArgs {
    /// Ledger rows: an export's `ledger.csv`, or made from one's own books with the same columns.
    #[arg(long)]
    ledger: PathBuf,
    /// What they are matched under; default: `day.json` beside the ledger rows.
    #[arg(long)]
    day: Option<PathBuf>,
    /// A settlement file of the channel, in CSV; as often as there are files.
    #[arg(long = "file", required = true)]
    files: Vec<PathBuf>,
    /// A region's own book, as it was uploaded; as often as there are books in the views computed.
    #[arg(long = "book")]
    books: Vec<PathBuf>,
    /// `regions/110000`: its view alone. Needed when the rows are one region's.
    #[arg(long)]
    region: Option<Participant>,
    /// Write the view's rows (or the whole's) here, one a line: the bytes that the root covers.
    #[arg(long)]
    rows: Option<PathBuf>,
    /// Most memory for the rows of either side, 16 to 2048 MiB; more is spilled to disk.
    #[arg(long, default_value_t = (SIDE_BYTES >> 20) as u64, value_name = "MIB", value_parser = clap::value_parser!(u64).range(MEMORY_MIB))]
    memory_mib: u64,
}

pub fn compute(args: ComputeArgs, json: bool) -> anyhow::Result<ExitCode> {
    let computed = recon_compute::compute(&Options {
        day: args.day.unwrap_or_else(|| args.ledger.with_file_name("day.json")),
        ledger: args.ledger,
        files: args.files,
        books: args.books,
        region: args.region,
        rows: args.rows,
        side_bytes: (args.memory_mib as usize) << 20,
    })?;
    let value = serde_json::to_value(&computed)?;
    if json {
        output::json(&value);
        return Ok(ExitCode::SUCCESS);
    }
    let views: Vec<Value> = value["views"].as_array().cloned().unwrap_or_default();
    output::table(&views, &["participant", "rows", "debit_fen", "credit_fen", "root"]);
    for (class, n) in &computed.breaks {
        println!("{class}: {n}");
    }
    for (region, leg) in &computed.region_legs {
        println!(
            "book of {region}: {} rows, {} matched, {} broken, {} set aside",
            leg.rows, leg.matched, leg.broken, leg.rejected
        );
    }
    if computed.rejected_rows > 0 || !computed.totals_agree {
        println!("rows set aside: {}; control totals agree: {}", computed.rejected_rows, computed.totals_agree);
    }
    if let Some(root) = &computed.root {
        println!("run root: {root}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the rows that the caller may see; as a region, its own and those of its institutions.
pub async fn export(session: &Session, args: &ExportArgs) -> anyhow::Result<Value> {
    let run = session.call("ReconciliationService/GetRun", json!({"name": args.run})).await?;
    let mut export = Export {
        session,
        channel: text(&run["channel"]).to_owned(),
        date: text(&run["clearing_date"]).parse().map_err(|_| anyhow::anyhow!("the run has no date"))?,
        payments: BTreeMap::new(),
        breaks: Vec::new(),
        states: BTreeMap::new(),
        files: BTreeMap::new(),
        lines: BTreeMap::new(),
        books: Vec::new(),
    };
    let mut files = Vec::new();
    for file in run["expected_files"].as_array().into_iter().flatten().filter(|f| !text(&f["file"]).is_empty()) {
        let (file, sha256) = (text(&file["file"]).to_owned(), text(&file["sha256"]).to_owned());
        export.files.insert(file.clone(), true);
        files.push(KnownFile { file, sha256 });
    }
    let viewer = session.client.participant();
    for leg in run["legs"].as_array().into_iter().flatten().filter(|leg| !text(&leg["sha256"]).is_empty()) {
        let region = text(&leg["region"]);
        if [region, "gateway"].contains(&viewer) {
            let region = region.parse().map_err(|_| anyhow::anyhow!("the run has a book of {region}"))?;
            let sha256 = text(&leg["sha256"]).to_owned();
            export.books.push(KnownBook { region, sha256, resolved: BTreeSet::new() });
        }
    }
    std::fs::create_dir_all(&args.out).with_context(|| format!("creating {}", args.out.display()))?;
    let [ledger_path, day_path] = ["ledger.csv", "day.json"].map(|name| args.out.join(name));
    for path in [&ledger_path, &day_path] {
        ensure!(!path.exists(), "{} is there already", path.display());
    }
    let mut ledger = csv::Writer::from_writer(Unfinished::create(ledger_path)?);
    ledger.write_record(LEDGER_HEADER)?;
    let rows = export.ledger(&args.run, &mut ledger).await?;
    let ledger = ledger.into_inner().map_err(csv::IntoInnerError::into_error)?;
    let day = DayFile {
        channel: export.channel.parse().map_err(|_| anyhow::anyhow!("the run has no channel"))?,
        clearing_date: export.date,
        run: Some(args.run.clone()),
        terms: serde_json::from_str(text(&run["terms"])).context("the run's terms")?,
        files,
        lines: export.lines.into_values().collect(),
        books: export.books,
    };
    let mut into = Unfinished::create(day_path)?;
    serde_json::to_writer_pretty(&mut into, &day)?;
    Unfinished::finish([ledger, into])?;
    Ok(json!({"run": args.run, "rows": rows, "lines": day.lines.len()}))
}

/// A file that has its name only when it is whole, so that what failed can be tried again.
struct Unfinished {
    file: BufWriter<NamedTempFile>,
    path: PathBuf,
}

impl Unfinished {
    fn create(path: PathBuf) -> anyhow::Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let named = || format!("creating {}", path.display());
        // As files are otherwise: the folder says who may read them.
        let file = tempfile::Builder::new().permissions(Permissions::from_mode(0o666)).tempfile_in(folder);
        let file = BufWriter::new(file.with_context(named)?);
        Ok(Self { file, path })
    }

    /// Names both, or neither: the first loses its name again when the second cannot get its own.
    fn finish(files: [Self; 2]) -> anyhow::Result<()> {
        let mut whole = Vec::new();
        for Self { file, path } in files {
            let file = file.into_inner().map_err(|error| error.into_error());
            whole.push((file.with_context(|| format!("writing {}", path.display()))?, path));
        }
        let mut named: Vec<PathBuf> = Vec::new();
        for (file, path) in whole {
            if let Err(error) = file.persist_noclobber(&path) {
                named.iter().for_each(|path| drop(std::fs::remove_file(path)));
                return Err(error.error).with_context(|| format!("creating {}", path.display()));
            }
            named.push(path);
        }
        Ok(())
    }
}

impl Write for Unfinished {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

struct Export<'a> {
    session: &'a Session,
    channel: String,
    date: Date,
    /// By name, those that refunds lead to, which say little of their own.
    payments: BTreeMap<String, Value>,
    /// Differences of the dates exported, and of rows beyond them.
    breaks: Vec<Value>,
    /// What has become of them, by subject and date.
    states: BTreeMap<String, Vec<(String, String)>>,
    /// Whether a file is one of the run's date.
    files: BTreeMap<String, bool>,
    lines: BTreeMap<String, KnownLine>,
    books: Vec<KnownBook>,
}

impl Export<'_> {
    async fn ledger(&mut self, run: &str, into: &mut csv::Writer<Unfinished>) -> anyhow::Result<u64> {
        let dates = [-1, 0, 1].map(|days| self.date.plus_days(days).to_string());
        let of_date = |date: &String| format!("channel = \"{}\" AND clearing_date = \"{date}\"", self.channel);
        let of_dates = dates.each_ref().map(of_date);
        // Few beside payments, which are written as they come.
        let mut records: BTreeMap<String, Value> = BTreeMap::new();
        for of_date in &of_dates {
            self.breaks.extend(self.list("ReconciliationService/ListBreaks", of_date, "breaks").await?);
            for (method, field) in
                [("PaymentService/ListRefunds", "refunds"), ("OperatingSubsidyService/ListClaims", "claims")]
            {
                let found = self.list(method, of_date, field).await?;
                records.extend(found.into_iter().map(|record| (text(&record["name"]).to_owned(), record)));
            }
        }
        let claims = format!("channel = \"{}\" AND state = \"APPROVED\"", self.channel);
        let undated = self.list("OperatingSubsidyService/ListClaims", &claims, "claims").await?;
        let undated = undated.into_iter().filter(|claim| !text(&claim["order_id"]).is_empty());
        records.extend(undated.map(|claim| (text(&claim["name"]).to_owned(), claim)));
        let joined_otherwise = self.beyond(run, &dates, &mut records).await?;
        self.breaks.retain(|b| text(&b["category"]).ends_with("DIFFERENCE"));
        self.know_books();
        for row in &self.breaks {
            let state = (text(&row["clearing_date"]).to_owned(), state_of(row));
            self.states.entry(text(&row["subject"]).to_owned()).or_default().push(state);
        }
        let refunded: BTreeSet<String> = records.values().map(|record| text(&record["payment"]).to_owned()).collect();
        let (mut rows, mut reserved) = (0, BTreeSet::new());
        for of_date in of_dates {
            let mut pages = self.session.pages("PaymentService/ListPayments", json!({"filter": of_date}));
            while let Some(mut page) = pages.next().await? {
                for payment in page["payments"].as_array_mut().into_iter().flatten() {
                    let name = text(&payment["name"]).to_owned();
                    // Moved to one of the dates since the run, or from one to another since it was listed.
                    if records.contains_key(&name) || reserved.contains(&name) {
                        continue;
                    }
                    if text(&payment["state"]).ends_with("_RESERVED") {
                        reserved.insert(name.clone());
                    }
                    rows += 1;
                    self.write(&name, payment, &joined_otherwise, into).await?;
                    if refunded.contains(&name) {
                        self.payments.insert(name, payment.take());
                    }
                }
            }
        }
        for (name, record) in &records {
            rows += 1;
            self.write(name, record, &joined_otherwise, into).await?;
        }
        self.know_lines_of_breaks();
        Ok(rows)
    }

    async fn write(
        &mut self,
        name: &str,
        record: &Value,
        joined_otherwise: &BTreeSet<String>,
        into: &mut csv::Writer<Unfinished>,
    ) -> anyhow::Result<()> {
        into.write_record(self.row(name, record).await?)?;
        if joined_otherwise.contains(name) {
            self.know(text(&record["matched_by"]));
        }
        Ok(())
    }

    /// Records in the view that are of none of the dates; the names of all that were not joined
    /// by their end-to-end key.
    async fn beyond(
        &mut self,
        run: &str,
        dates: &[String],
        records: &mut BTreeMap<String, Value>,
    ) -> anyhow::Result<BTreeSet<String>> {
        let view = format!("{run}/views/{}", self.session.client.participant().rsplit('/').next().unwrap_or_default());
        let mut pages = self.session.pages("ReconciliationService/GetView", json!({"name": view}));
        let mut joined_otherwise = BTreeSet::new();
        while let Some(page) = pages.next().await? {
            for row in page["page_rows"].as_array().into_iter().flatten() {
                let body: Value = serde_json::from_str(text(&row["body"])).context("a row of the view")?;
                for side in body["ledger"].as_array().into_iter().flatten() {
                    let name = text(&side["record"]).to_owned();
                    if body["rule"] != "END_TO_END" {
                        joined_otherwise.insert(name.clone());
                    }
                    if !dates.contains(&text(&side["clearing_date"]).to_owned()) && !records.contains_key(&name) {
                        let of_record = format!("subject = \"{name}\"");
                        self.breaks.extend(self.list("ReconciliationService/ListBreaks", &of_record, "breaks").await?);
                        let record = self.get(&name).await?;
                        records.insert(name, record);
                    }
                }
            }
        }
        Ok(joined_otherwise)
    }

    async fn list(&self, method: &str, filter: &str, field: &str) -> anyhow::Result<Vec<Value>> {
        Ok(self.session.list(method, filter, field).await?)
    }

    async fn get(&self, name: &str) -> anyhow::Result<Value> {
        let method = match kind_of(name)? {
            LineKind::Payment => "PaymentService/GetPayment",
            LineKind::Refund => "PaymentService/GetRefund",
            LineKind::OperatingSubsidy => "OperatingSubsidyService/GetClaim",
        };
        Ok(self.session.call(method, json!({"name": name})).await?)
    }

    /// A record in the columns of [`LEDGER_HEADER`].
    async fn row(&mut self, name: &str, record: &Value) -> anyhow::Result<[String; 14]> {
        let (kind, refunded) = (kind_of(name)?, text(&record["payment"]));
        if kind == LineKind::Refund && !self.payments.contains_key(refunded) {
            let payment = self.get(refunded).await?;
            self.payments.insert(refunded.to_owned(), payment);
        }
        let state = text(&record["state"]).rsplit("_STATE_").next().unwrap_or_default();
        let (standing, matched) = match kind {
            LineKind::Payment => {
                let standing = match state {
                    "CONFIRMED" | "LATE" => "POSTED",
                    "RESERVED" => "HELD",
                    _ => "GONE",
                };
                (standing, self.matched(text(&record["matched_by"])).await?)
            }
            LineKind::Refund => {
                let standing = if matches!(state, "CONFIRMED" | "MATCHED") { "POSTED" } else { "GONE" };
                (standing, self.matched(text(&record["matched_by"])).await?)
            }
            LineKind::OperatingSubsidy => {
                let standing = match state {
                    "PAID" | "ON_STATEMENT" => "POSTED",
                    "APPROVED" => "HELD",
                    _ => "GONE",
                };
                (standing, if state == "ON_STATEMENT" { "HERE" } else { "" })
            }
        };
        let payment = match kind {
            LineKind::Refund => self.payments.get(refunded).context("a refund's payment")?,
            LineKind::Payment | LineKind::OperatingSubsidy => record,
        };
        let is_claim = kind == LineKind::OperatingSubsidy;
        let time = if is_claim { String::new() } else { beijing_text(Timestamp(int(&record["transaction_time_us"])?)) };
        let institution = text(&payment["institution"]);
        let dated = text(&record["clearing_date"]);
        let date = if dated.is_empty() { self.date.to_string() } else { dated.to_owned() };
        let known = self.known(name, &date, matched == "ELSEWHERE");
        let (region, institution_region) = match is_claim {
            true => (&record["payer"], &record["region"]),
            false => (&payment["region"], &payment["institution_region"]),
        };
        Ok([
            kind.to_string(),
            name.to_owned(),
            if is_claim { String::new() } else { text(&record["merchant_id"]).to_owned() },
            text(&record["order_id"]).to_owned(),
            time,
            int(&record["amount_fen"])?.to_string(),
            institution.strip_prefix("institutions/").unwrap_or(institution).to_owned(),
            standing.to_owned(),
            date,
            text(region).to_owned(),
            text(&payment["programme"]).to_owned(),
            text(institution_region).to_owned(),
            matched.to_owned(),
            known,
        ])
    }

    /// By a file of this date, or by another's.
    async fn matched(&mut self, row: &str) -> anyhow::Result<&'static str> {
        let Some((file, _)) = row.split_once('#') else { return Ok("") };
        if !self.files.contains_key(file) {
            let here = match self.session.call("ChannelService/GetSettlementFile", json!({"name": file})).await {
                Ok(known) => text(&known["clearing_date"]) == self.date.to_string(),
                // A region does not see files. What it calls one of this date's then is either so, or the
                // row's break says what has become of it.
                Err(refused) if refused.code == "NOT_FOUND" => true,
                Err(error) => return Err(error.into()),
            };
            self.files.insert(file.to_owned(), here);
        }
        Ok(if self.files[file] { "HERE" } else { "ELSEWHERE" })
    }

    /// What has become of a record's break. It is kept under the record's own date, but under the
    /// run's when the file repeats what another date's has.
    fn known(&self, record: &str, date: &str, elsewhere: bool) -> String {
        let run_date = self.date.to_string();
        let first = if elsewhere { run_date.as_str() } else { date };
        let states = self.states.get(record).map(Vec::as_slice).unwrap_or_default();
        let of = |date: &str| states.iter().find(|(of_date, _)| of_date == date).map(|(_, state)| state.clone());
        of(first).or_else(|| of(&run_date)).unwrap_or_default()
    }

    fn know(&mut self, row: &str) {
        if !row.is_empty() {
            let line = KnownLine {
                row: row.to_owned(),
                region: None,
                programme: None,
                institution_region: None,
                known: String::new(),
            };
            self.lines.entry(row.to_owned()).or_insert(line);
        }
    }

    /// Breaks about books are none of the units' own.
    fn know_books(&mut self) {
        for row in self.breaks.extract_if(.., |b| !text(&b["book_region"]).is_empty()) {
            let of_region = |book: &&mut KnownBook| book.region.as_str() == text(&row["book_region"]);
            if let Some(book) = self.books.iter_mut().find(of_region)
                && state_of(&row) == "RESOLVED"
            {
                book.resolved.insert(text(&row["name"]).to_owned());
            }
        }
    }

    fn know_lines_of_breaks(&mut self) {
        let run_date = self.date.to_string();
        for row in std::mem::take(&mut self.breaks) {
            let (subject, is_of_date) = (text(&row["subject"]), row["clearing_date"] == run_date.as_str());
            if subject.starts_with("files/") && is_of_date {
                let named = |field: &str| Some(text(&row[field]).to_owned()).filter(|text| !text.is_empty());
                let line = KnownLine {
                    row: subject.to_owned(),
                    region: named("region").and_then(|region| region.parse().ok()),
                    programme: named("programme"),
                    institution_region: named("institution_region").and_then(|region| region.parse().ok()),
                    known: state_of(&row),
                };
                self.lines.insert(subject.to_owned(), line);
            }
            let rows: Vec<String> =
                row["rows"].as_array().into_iter().flatten().map(|row| text(row).to_owned()).collect();
            rows.iter().for_each(|row| self.know(row));
        }
    }
}

/// What a record of the ledger is, by its name.
fn kind_of(record: &str) -> anyhow::Result<LineKind> {
    match record.parse::<Name>().map(|name| name.collection()) {
        Ok(Collection::Payment) => Ok(LineKind::Payment),
        Ok(Collection::Refund) => Ok(LineKind::Refund),
        Ok(Collection::OperatingSubsidyClaim) => Ok(LineKind::OperatingSubsidy),
        _ => bail!("{record} is no record of the ledger"),
    }
}

/// `RESOLVED`, or the class of an open break.
fn state_of(row: &Value) -> String {
    let part = |field: &str, prefix: &str| text(&row[field]).trim_start_matches(prefix).to_owned();
    match part("state", "BREAK_STATE_").as_str() {
        "RESOLVED" => "RESOLVED".to_owned(),
        _ => part("break_class", "BREAK_CLASS_"),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Integers of 64 bits are texts in JSON; zero is left out.
fn int(value: &Value) -> anyhow::Result<i64> {
    match value {
        Value::Null => Ok(0),
        Value::String(text) => text.parse().with_context(|| format!("{text:?} is no integer")),
        other => {
            ensure!(other.is_i64(), "{other} is no integer");
            Ok(other.as_i64().unwrap_or_default())
        }
    }
}
