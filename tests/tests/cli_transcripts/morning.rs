//! `docs/morning.md`: the morning of a new administrator, typed on the command line, and what was
//! answered. Written by this test (`UPDATE_SNAPSHOT=1`), so that it cannot drift.

use std::collections::BTreeMap;
use std::path::Path;

use jjj_domain::recon::file::{LineKind, LineStatus, SettlementLine};
use jjj_domain::time::Timestamp;
use jjj_tests::gateway::system_now;

use super::*;

const UNIONPAY: &str = "channels/unionpay";
const SUN: &str = "regions/110000/admins/sun";
const LIU: &str = "regions/110000/admins/liu";
const MA: &str = "regions/130000/admins/ma";

/// A document of prose and of what is typed.
struct Document {
    terminal: Terminal,
    text: String,
}

impl Document {
    fn says(&mut self, prose: &str) {
        self.text += prose.trim();
        self.text += "\n\n";
    }

    /// Types a command and shows it with its answer.
    fn types(&mut self, args: &[&str]) -> String {
        self.terminal.transcript.clear();
        let answer = self.terminal.jjj(args);
        let shown = std::mem::take(&mut self.terminal.transcript);
        self.text += &format!("```\n{}\n```\n\n", shown.trim_end());
        answer
    }

    /// The name of the one break of a class.
    fn break_of(&mut self, class: &str) -> String {
        let filter = format!(r#"break_class = "{class}""#);
        let answer = self.types(&["recon", "breaks", "--filter", &filter]);
        let name = answer.split_whitespace().find(|word| word.starts_with("breaks/"));
        name.unwrap_or_else(|| panic!("no {class}: {answer}")).to_owned()
    }
}

fn settlement_file(rows: &[(&str, i64, &Timestamp, &str)]) -> String {
    let line = |(order, amount_fen, at, institution): &(&str, i64, &Timestamp, &str)| SettlementLine {
        line: 0,
        byte_offset: 0,
        kind: LineKind::Payment,
        merchant_id: "898110000000001".into(),
        order_id: (*order).into(),
        transaction_time: **at,
        amount_fen: *amount_fen,
        fee_fen: (amount_fen * 20 + 5_000) / 10_000,
        status: LineStatus::Success,
        institution: institution.replace("institutions/", ""),
        original_order_id: None,
    };
    world::settlement_file(&rows.iter().map(line).collect::<Vec<_>>())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_morning() {
    let db = TestDatabase::sqlite();
    let site = Site::init(db.url());
    // From 23:00 the day to reconcile is the calendar's today: then the story is of two hours later.
    let now = Timestamp(system_now(0)());
    let ahead_s = if now.clearing_date() == now.date() { 0 } else { 7_200 };
    site.set_clock(ahead_s);
    let mut gateway = site.serve();
    gateway.clients_ahead_s = ahead_s;
    let systems = Systems::of(&gateway);
    let world = World::build(&systems, 1, 3).await;
    let date = world.yesterday.clone();
    let at = Timestamp(systems.unionpay.client.now_us() / 1_000_000 * 1_000_000);
    for (n, (order, amount_fen)) in
        [("MORNING1", 10_000), ("MORNING2", 20_000), ("MORNING3", 30_000)].iter().enumerate()
    {
        let ask = world::authorise(&world.bills[n], *amount_fen, order, at.0);
        let payment = &done(&systems.unionpay, "PaymentService/AuthorizePayment", ask).await["payment"]["name"];
        let confirm = json!({"payment": payment, "amount_fen": amount_fen.to_string(), "clearing_date": date});
        done(&systems.unionpay, "PaymentService/ConfirmPayment", confirm).await;
    }
    // The second amount is another in the file, the third is not there, and one nobody knows is.
    let institution = &world.institutions[0];
    let rows = [("MORNING1", 10_000), ("MORNING2", 20_500), ("STRANGER", 7_700)];
    let rows: Vec<_> = rows.iter().map(|(order, fen)| (*order, *fen, &at, institution.as_str())).collect();

    let mut terminal = Terminal::beside(&site, &gateway);
    let csv = terminal.file("day.csv", &settlement_file(&rows));
    let letter = terminal.file("letter.pdf", "%PDF-1.7 the channel's letter");
    terminal.variables.push(("JJJ_AS", CHEN.to_owned()));
    terminal.words.retain(|(_, word)| !["TODAY", "MONTH"].contains(word));
    terminal.words.splice(0..0, [(date.clone(), "2026-11-18"), (date.replace('-', ""), "20261118")]);
    terminal.words.push((format!("{}/", terminal.folder.path().display()), ""));
    terminal.words.rotate_right(1);
    let mut morning = Document { terminal, text: include_str!("morning.head.md").trim_end().to_owned() + "\n\n" };

    morning.says("## The file\n\nHow do the dates stand? Nothing has arrived for yesterday, nothing was run.");
    morning.types(&["recon", "status", "--channel", UNIONPAY, "--days", "1"]);
    morning.says("The channel delivers its settlement file (its system does; here it is typed).");
    morning.types(&["recon", "upload", &date, &csv, "--as", UNIONPAY]);
    morning.says("## The run");
    morning.types(&["recon", "run", UNIONPAY, &date]);
    morning.says("Or nobody types it: with a `schedule` in the channel's policy the gateway runs each date by itself.\n\n## The breaks\n\nThree rows do not agree. One is only late: it may be in the next date's file, and clears by itself then.");
    morning.break_of("CUTOFF");
    morning.says("One has another amount in the file.");
    let amount = morning.break_of("AMOUNT_MISMATCH");
    morning.says("Chen takes it, asks the channel, and keeps its letter with the break.");
    morning.types(&["recon", "assign", &amount, CHEN]);
    morning.types(&["recon", "comment", &amount, "渠道来电：以对账文件为准"]);
    morning.types(&["recon", "attach", &amount, &letter, "--note", "渠道回函"]);
    morning.says("The file is right: the elder's account bears the difference. Who proposes does not approve.");
    morning.types(&["recon", "propose", &amount, "ACCEPT", "--reason", "渠道回函已核对"]);
    let refused = morning.types(&["recon", "approve", &amount, "--reason", "同意"]);
    assert!(refused.is_empty(), "{refused}");
    morning.types(&["recon", "approve", &amount, "--reason", "同意", "--as", LIU]);
    morning.says("Everything that was done about it, by whom and when:");
    morning.types(&["recon", "history", &amount]);
    morning.says("And one is in the file alone. The channel will repay it.");
    let stranger = morning.break_of("CHANNEL_ONLY");
    morning.types(&["recon", "propose", &stranger, "REPAY", "--reason", "渠道将退回"]);
    morning.types(&["recon", "approve", &stranger, "--reason", "同意", "--as", LIU]);
    morning.says("## The signatures\n\nRun again, to sign what is true now.");
    morning.types(&["recon", "run", UNIONPAY, &date]);
    let run = format!("runs/unionpay-{}-2", date.replace('-', ""));
    morning.says("Chen ran and proposed, Liu approved: neither signs. `sign` reads the view's rows and computes their root by itself before it signs.");
    let refused = morning.types(&["recon", "sign", &run]);
    assert!(refused.is_empty(), "{refused}");
    morning.types(&["recon", "sign", &run, "--as", SUN]);
    morning.types(&["recon", "sign", &run, "--as", MA]);
    morning.types(&["recon", "status", "--channel", UNIONPAY, "--days", "1"]);
    morning.says("## The settlement\n\nWhat is each institution to be paid for the date?");
    morning.types(&["settle", "prepare", UNIONPAY, &date]);
    morning.types(&["settle", "statements", "--filter", r#"state = "OPEN""#]);
    morning.says(
        "The channel pays, and reports it with the statement's end-to-end id (its system does; here it is typed).",
    );
    let open = json!({"filter": r#"state = "OPEN""#});
    let open = done(&systems.unionpay, "SettlementService/ListSettlementStatements", open).await;
    let statements = open["statements"].as_array().expect("statements");
    let due = statements.iter().find(|s| s["institution"] != "").expect("the institution's");
    let text = |field: &str| due[field].as_str().expect(field).to_owned();
    let today = Timestamp(systems.unionpay.client.now_us()).date().to_string();
    let (net, id) = (text("net_fen"), text("end_to_end_id"));
    let paid =
        morning.types(&["settle", "pay", "PAYOUT1", &net, "--on", &today, "--end-to-end-id", &id, "--as", UNIONPAY]);
    assert!(paid.contains("MATCHED"), "{paid}");
    morning.types(&["settle", "statements", "--filter", r#"state = "SETTLED""#]);
    morning.says("## The report");
    let report = morning.types(&["report", "run", &run, "--lang", "en"]);
    assert!(report.contains(&run), "{report}");

    let text = steady_document(&morning.text);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/morning.md");
    if std::env::var_os("UPDATE_SNAPSHOT").is_some() {
        std::fs::write(&path, &text).expect("docs/morning.md");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == written, "docs/morning.md is not what happens; UPDATE_SNAPSHOT=1 writes it:\n{text}");
    // The file once more, as a channel's system may send it: it says what that came to.
    morning.terminal.transcript.clear();
    morning.terminal.jjj(&["recon", "upload", &date, &csv, "--as", UNIONPAY]);
    let said = &morning.terminal.transcript;
    assert!(said.contains("FILE_STATE_SUPERSEDED") && said.contains("the same file came before, as "), "{said}");
    assert!(gateway.stop().success());
    site.verify();
}

/// Names, digests, dates and times that differ each day are counted instead, at the same length.
fn steady_document(text: &str) -> String {
    const PATTERNS: [&str; 5] = [
        "hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh",
        "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh",
        "hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh",
        "dddd-dd-dd dd:dd",
        "dddd-dd-dd",
    ];
    let fits = |pattern: &str, text: &str| {
        let is = |(p, c): (char, char)| match p {
            'h' => c.is_ascii_digit() || ('a'..='f').contains(&c),
            'd' => c.is_ascii_digit(),
            p => p == c,
        };
        text.is_char_boundary(pattern.len().min(text.len()))
            && text.len() >= pattern.len()
            && pattern.chars().zip(text.chars()).all(is)
    };
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let (mut steady, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        let Some(pattern) = PATTERNS.iter().find(|pattern| fits(pattern, rest)) else {
            steady.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        let (found, after) = rest.split_at(pattern.len());
        let n = seen.len() + 1;
        let word = match *pattern {
            "dddd-dd-dd dd:dd" => "2026-11-19 hh:mm".to_owned(),
            "dddd-dd-dd" if found == "2026-11-18" => found.to_owned(),
            "dddd-dd-dd" => "YYYY-MM-DD".to_owned(),
            uuid if uuid.contains('-') => {
                seen.entry(found.to_owned()).or_insert_with(|| format!("01980000-0000-7000-8000-{n:012}")).clone()
            }
            hex => seen.entry(found.to_owned()).or_insert_with(|| format!("{n:0width$}", width = hex.len())).clone(),
        };
        steady += &word;
        rest = after;
    }
    steady
}
