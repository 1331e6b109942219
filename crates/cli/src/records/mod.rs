//! `jjj records`: a region's copy of its records compared with the gateway's, and repaired from it.

mod copy;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use jjj_cli::client::Client;
use jjj_domain::id::Digest;
use jjj_domain::recon::ranges::{Comparison, Difference, DifferenceKind, Item, Piece, Range, Told};
use jjj_wire::pb;
use prost::Message;
use serde_json::{Value, json};

use self::copy::Copy;
use crate::connect::Connect;
use crate::output;

/// Ranges asked about in one call.
const RANGES: usize = 256;
/// Records fetched in one call.
const RECORDS: usize = 500;
/// While records change faster than they are repaired, so often.
const MAX_ROUNDS: usize = 10;
/// Differences shown as text; `--json` has all.
const SHOWN: usize = 20;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    connect: Connect,
    /// Print JSON, with the name of every difference.
    #[arg(long, global = true)]
    json: bool,
    /// zh or en.
    #[arg(long, global = true, default_value = "zh")]
    lang: output::Lang,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Say what is missing, stale, altered or extra in a copy. Ends with 1 when anything is.
    Compare(Which),
    /// Fetch what is missing, stale or altered, remove what is extra, until the copy is the gateway's set.
    /// Stopped by anything, the same command goes on.
    Repair(Which),
}

#[derive(clap::Args)]
struct Which {
    collection: Collection,
    /// The copy: JSON Lines, a record's row a line, the last line of a name counts;
    /// `{"removed": NAME}` removes. Not there yet: empty.
    file: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Collection {
    Ratings,
    Assessments,
    DisabilityCertificates,
    Recognitions,
    Contracts,
    Stays,
}

impl Collection {
    const fn of_wire(self) -> pb::RecordCollection {
        match self {
            Self::Ratings => pb::RecordCollection::Ratings,
            Self::Assessments => pb::RecordCollection::Assessments,
            Self::DisabilityCertificates => pb::RecordCollection::DisabilityCertificates,
            Self::Recognitions => pb::RecordCollection::Recognitions,
            Self::Contracts => pb::RecordCollection::Contracts,
            Self::Stays => pb::RecordCollection::Stays,
        }
    }

    /// The column that holds the name.
    const fn key(self) -> &'static str {
        match self {
            Self::Ratings | Self::Assessments | Self::DisabilityCertificates => "record",
            Self::Recognitions => "recognition",
            Self::Contracts => "contract",
            Self::Stays => "stay",
        }
    }
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let session = args.connect.session()?;
    let (which, repairs) = match &args.what {
        What::Compare(which) => (which, false),
        What::Repair(which) => (which, true),
    };
    let mut asker = Asker::new(&session.client, which.collection);
    let key = which.collection.key();
    let outcome = match repairs {
        true => repair(&mut asker, &mut Copy::locked(&which.file, key)?).await,
        false => compare(&mut asker, &Copy::read(&which.file, key)?).await,
    };
    asker.bar.finish_and_clear();
    let outcome = outcome?;
    if args.json {
        output::json(&outcome.to_json(&asker));
    } else {
        outcome.print(&asker, args.lang);
    }
    Ok(if outcome.is_equal { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What came of it.
struct Outcome {
    is_equal: bool,
    /// Records in the copy.
    records: usize,
    /// What differed at first.
    differences: Vec<Difference>,
    /// Records fetched and removed.
    repaired: usize,
}

async fn compare(asker: &mut Asker<'_>, copy: &Copy) -> anyhow::Result<Outcome> {
    let items = copy.items();
    let differences = asker.compare(&items).await?;
    Ok(Outcome { is_equal: differences.is_empty(), records: items.len(), differences, repaired: 0 })
}

async fn repair(asker: &mut Asker<'_>, copy: &mut Copy) -> anyhow::Result<Outcome> {
    let mut first = None;
    let mut repaired = 0;
    for _ in 0..MAX_ROUNDS {
        let differences = asker.compare(&copy.items()).await?;
        let is_equal = differences.is_empty();
        let (extra, wanted): (Vec<_>, Vec<_>) =
            differences.iter().map(|d| (d.kind, d.name.clone())).partition(|(kind, _)| *kind == DifferenceKind::Extra);
        first.get_or_insert(differences);
        if is_equal {
            break;
        }
        asker.bar.set_length((extra.len() + wanted.len()) as u64);
        asker.bar.set_position(0);
        let extra: Vec<String> = extra.into_iter().map(|(_, name)| name).collect();
        for some in extra.chunks(RECORDS) {
            copy.append(&[], some)?;
            repaired += some.len();
            asker.bar.inc(some.len() as u64);
        }
        let wanted: Vec<String> = wanted.into_iter().map(|(_, name)| name).collect();
        for some in wanted.chunks(RECORDS) {
            // What was taken back meanwhile is not among them, and extra in the next round.
            let records = asker.fetch(some).await?;
            copy.append(&records, &[])?;
            repaired += records.len();
            asker.bar.inc(some.len() as u64);
        }
    }
    copy.tidy()?;
    let items = copy.items();
    // Whether it is the gateway's set now, the last comparison has said, and it was in one moment or more.
    let is_equal = asker.last_was_equal;
    Ok(Outcome { is_equal, records: items.len(), differences: first.unwrap_or_default(), repaired })
}

/// Asks the gateway, and counts.
struct Asker<'a> {
    client: &'a Client,
    collection: Collection,
    calls: u64,
    sent_bytes: u64,
    received_bytes: u64,
    /// Of the last comparison: the moments of its first and last answers.
    moments: Option<(i64, i64)>,
    last_was_equal: bool,
    bar: ProgressBar,
}

impl<'a> Asker<'a> {
    fn new(client: &'a Client, collection: Collection) -> Self {
        let bar = ProgressBar::no_length();
        let style = ProgressStyle::with_template("{elapsed_precise} [{bar:40}] {pos}/{len} {msg}");
        style.into_iter().for_each(|style| bar.set_style(style));
        Self {
            client,
            collection,
            calls: 0,
            sent_bytes: 0,
            received_bytes: 0,
            moments: None,
            last_was_equal: false,
            bar,
        }
    }

    async fn call<Q: Message, A: Message + Default>(&mut self, path: &'static str, request: &Q) -> anyhow::Result<A> {
        let answer: A = self.client.call(path, request).await.map_err(jjj_cli::session::CallError::from)?;
        self.calls += 1;
        self.sent_bytes += request.encoded_len() as u64;
        self.received_bytes += answer.encoded_len() as u64;
        Ok(answer)
    }

    /// What differs, in the order of names.
    async fn compare(&mut self, items: &[Item]) -> anyhow::Result<Vec<Difference>> {
        let mut comparison = Comparison::new(items);
        self.moments = None;
        loop {
            let asked = comparison.ask(RANGES);
            if asked.is_empty() {
                break;
            }
            let wire = |range: &Range| pb::NameRange { after: range.after.clone(), upto: range.upto.clone() };
            let request = pb::CompareRecordsRequest {
                collection: self.collection.of_wire().into(),
                ranges: asked.iter().map(wire).collect(),
                fan_out: 0,
            };
            let path = "/jjj.gateway.v1.RecordService/CompareRecords";
            let answer: pb::CompareRecordsResponse = self.call(path, &request).await?;
            let begun = self.moments.map_or(answer.ledger_number, |(first, _)| first);
            self.moments = Some((begun, answer.ledger_number));
            let told = answer.ranges.into_iter().map(told).collect::<anyhow::Result<_>>()?;
            comparison.hear(asked, told).context("the gateway's answer")?;
            self.bar.set_message(format!("{} differ", comparison.differences.len()));
            self.bar.tick();
        }
        let mut found = comparison.differences;
        found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        self.last_was_equal = found.is_empty();
        Ok(found)
    }

    async fn fetch(&mut self, names: &[String]) -> anyhow::Result<Vec<String>> {
        let request = pb::FetchRecordsRequest { collection: self.collection.of_wire().into(), names: names.to_vec() };
        let path = "/jjj.gateway.v1.RecordService/FetchRecords";
        let answer: pb::FetchRecordsResponse = self.call(path, &request).await?;
        Ok(answer.records)
    }
}

fn told(answer: pb::RangeDigests) -> anyhow::Result<(Range, Told)> {
    let digest = |bytes: Vec<u8>| {
        let bytes: [u8; 32] = bytes.try_into().ok().context("a digest of the gateway's has not 32 bytes")?;
        anyhow::Ok(Digest::from_bytes(bytes))
    };
    let range = answer.range.unwrap_or_default();
    let told = if answer.pieces.is_empty() {
        let item = |item: pb::RecordDigest| {
            anyhow::Ok(Item { name: item.name, version: item.version, digest: digest(item.digest)? })
        };
        Told::Items(answer.items.into_iter().map(item).collect::<anyhow::Result<_>>()?)
    } else {
        let piece = |piece: pb::RangePiece| {
            let count = usize::try_from(piece.count).context("a count of the gateway's")?;
            anyhow::Ok(Piece { upto: piece.upto, count, digest: digest(piece.digest)? })
        };
        Told::Pieces(answer.pieces.into_iter().map(piece).collect::<anyhow::Result<_>>()?)
    };
    Ok((Range { after: range.after, upto: range.upto }, told))
}

impl Outcome {
    fn by_kind(&self) -> BTreeMap<DifferenceKind, Vec<&str>> {
        let kinds = [DifferenceKind::Missing, DifferenceKind::Stale, DifferenceKind::Altered, DifferenceKind::Extra];
        let mut by_kind: BTreeMap<_, Vec<&str>> = kinds.map(|kind| (kind, Vec::new())).into();
        for difference in &self.differences {
            by_kind.entry(difference.kind).or_default().push(&difference.name);
        }
        by_kind
    }

    fn to_json(&self, asker: &Asker<'_>) -> Value {
        let mut value = json!({
            "equal": self.is_equal,
            "records": self.records,
            "repaired": self.repaired,
            "ledger_number_first": asker.moments.map(|(first, _)| first.to_string()),
            "ledger_number_last": asker.moments.map(|(_, last)| last.to_string()),
            "calls": asker.calls,
            "sent_bytes": asker.sent_bytes,
            "received_bytes": asker.received_bytes,
        });
        for (kind, names) in self.by_kind() {
            value[said(kind).0] = names.into();
        }
        value
    }

    fn print(&self, asker: &Asker<'_>, lang: output::Lang) {
        for (kind, names) in self.by_kind() {
            let (en, zh) = said(kind);
            println!("{}: {}", lang.say(zh, en), names.len());
            names.iter().take(SHOWN).for_each(|name| println!("  {name}"));
            if names.len() > SHOWN {
                println!("  …");
            }
        }
        if self.repaired > 0 {
            println!("{}: {}", lang.say("已修复", "repaired"), self.repaired);
        }
        let (first, last) = asker.moments.unwrap_or_default();
        let moment = if first == last { last.to_string() } else { format!("{first}–{last}") };
        let verdict = match self.is_equal {
            true => lang.say("与网关一致", "the same as the gateway's"),
            false => lang.say("与网关不一致", "not the same as the gateway's"),
        };
        println!("{} {}: {verdict}", self.records, lang.say("条记录", "records"));
        println!(
            "{} {moment}; {} {}, {} + {} {}",
            lang.say("账本序号", "ledger number"),
            asker.calls,
            lang.say("次调用", "calls"),
            asker.sent_bytes,
            asker.received_bytes,
            lang.say("字节", "bytes"),
        );
    }
}

/// In English, as JSON has it, and in Chinese.
const fn said(kind: DifferenceKind) -> (&'static str, &'static str) {
    match kind {
        DifferenceKind::Missing => ("missing", "缺失"),
        DifferenceKind::Stale => ("stale", "陈旧"),
        DifferenceKind::Altered => ("altered", "内容不符"),
        DifferenceKind::Extra => ("extra", "多余"),
    }
}
