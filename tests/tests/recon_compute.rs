//! Two computations of one view: the gateway's, on either database, and `jjj recon compute`'s, offline
//! from what `jjj recon export` wrote. The same bytes, the same roots; a single fen, and others.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jjj_domain::recon::file::{LineKind, LineStatus, SettlementLine};
use jjj_domain::time::Timestamp;
use jjj_tests::both_databases;
use jjj_tests::campaign::{seed, sized};
use jjj_tests::gateway::{Gateway, Site, jjj};
use jjj_tests::postgres::TestDatabase;
use jjj_tests::raw::Raw;
use jjj_tests::world::{self, BOOK, CHEN, Systems, UNIONPAY, World, authorise, done, int, names, settlement_file};
use serde_json::{Value, json};

both_databases!(
    a_view_is_the_same_from_an_export,
    killed_in_a_run,
    a_run_that_cannot_be_written_leaves_nothing,
    a_run_refused_in_a_late_part_leaves_nothing,
    a_payment_that_cannot_be_read_stops_a_run
);

/// Who looks at the whole, and a region each.
const VIEWERS: [(&str, &str); 3] =
    [("gateway/admins/li", "gateway"), ("regions/110000/admins/sun", "110000"), ("regions/130000/admins/ma", "130000")];

async fn a_view_is_the_same_from_an_export(db: TestDatabase) {
    let site = Site::init(db.url());
    let gateway = site.serve();
    let systems = Systems::of(&gateway);
    let world = World::build(&systems, 2, 4).await;
    let mut lines = Vec::new();
    for (n, bill) in world.bills.iter().enumerate() {
        let ask = authorise(bill, 10_000, &format!("COMPUTE{n:04}"), systems.unionpay.client.now_us());
        let payment = done(&systems.unionpay, "PaymentService/AuthorizePayment", ask).await["payment"].clone();
        let confirm = json!({"payment": payment["name"], "amount_fen": "10000", "clearing_date": world.yesterday});
        done(&systems.unionpay, "PaymentService/ConfirmPayment", confirm).await;
        lines.push(line(n, &payment));
    }
    // Matched; the channel alone; another amount; not in the file; twice.
    lines[1].order_id = "UNKNOWN00001".to_owned();
    lines[2].amount_fen += 5;
    let twice = lines[0].clone();
    lines.push(SettlementLine { line: lines.len() as i64 + 2, ..twice });
    let content = settlement_file(&lines);

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("day.csv");
    std::fs::write(&file, &content).expect("a file");
    // Hebei's book: another amount, one that is not there, one that nobody else has.
    let mut book: Vec<SettlementLine> = lines.clone();
    book.pop();
    book[3].amount_fen += 1;
    book[2].order_id = "ALONE0000001".to_owned();
    let book = settlement_file(&book);
    std::fs::write(folder.path().join("book.csv"), &book).expect("a book");
    world::deliver(&systems.hebei, &world.yesterday, &book).await;
    let run = reconciled(&systems, &world, &content).await;
    for round in ["first", "again"] {
        let name = run["name"].as_str().expect("a name");
        for (viewer, code) in VIEWERS {
            let out = folder.path().join(format!("{round}-{code}"));
            let export = ["recon", "export", name, "--out", text(&out), "--as", viewer];
            // What stands in the way is left alone, and nothing beside it keeps the next try from going well.
            std::fs::create_dir(&out).expect("a folder");
            std::fs::write(out.join("day.json"), "mine").expect("a file");
            let refused = at(&site, &gateway, &export);
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(!refused.status.success() && said.contains("day.json is there already"), "{said}");
            assert_eq!(std::fs::read_dir(&out).expect("the folder").count(), 1);
            std::fs::remove_file(out.join("day.json")).expect("the file");
            let exported = at(&site, &gateway, &export);
            assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
            let rows = out.join("rows.jsonl");
            let computed = compute(&out, &file, code, Some(&rows)).expect("computed");
            let (stated, bodies) = view(&gateway, viewer, &format!("{name}/views/{code}")).await;
            assert_eq!(std::fs::read_to_string(&rows).expect("rows"), bodies, "{round} {code}");
            assert_eq!(root_of(&computed, code), stated, "{round} {code}");
            if code != "110000" {
                let leg = &computed["region_legs"]["regions/130000"];
                assert_eq!((&leg["rows"], &leg["broken"]), (&json!(world.bills.len()), &json!(2)), "{computed:#}");
            }
            if code == "gateway" {
                assert_eq!(computed["root"], hex_of(&run["root_hash"]), "{round}");
            }
        }
        if round == "first" {
            // The same file: nothing new, the same rows.
            let start = json!({"channel": UNIONPAY, "clearing_date": world.yesterday});
            let again = done(&systems.chen, "ReconciliationService/StartRun", start).await["run"].clone();
            assert_eq!(again["root_hash"], run["root_hash"]);
        }
    }

    // Less memory would spill files without number.
    let little = jjj(&["recon", "compute", "--ledger", "l", "--file", "f", "--memory-mib", "15"]);
    let said = String::from_utf8_lossy(&little.stderr).into_owned();
    assert!(!little.status.success() && said.contains("15 is not in 16..=2048"), "{said}");

    // One fen in the ledger's row: another root. One in the file: not the run's file.
    let out = folder.path().join("first-130000");
    let ledger = out.join("ledger.csv");
    let before = root_of(&compute(&out, &file, "130000", None).expect("computed"), "130000");
    let rows = std::fs::read_to_string(&ledger).expect("rows");
    std::fs::write(&ledger, rows.replacen(",10000,", ",10001,", 1)).expect("rows");
    assert_ne!(root_of(&compute(&out, &file, "130000", None).expect("computed"), "130000"), before);
    std::fs::write(&file, content.replacen(",10000,", ",10001,", 1)).expect("a file");
    let refused = compute(&out, &file, "130000", None).expect_err("another file");
    assert!(refused.contains("is none of the run's files"), "{refused}");

    assert!(gateway.stop().success());
    site.verify();
}

/// The gateway dies at random moments of a run, again and again; what the last run books and finds is what
/// one run alone would have.
async fn killed_in_a_run(db: TestDatabase) {
    let (kills, seed) = (sized(8, 200), seed());
    let mut draw = fastrand::Rng::with_seed(seed);
    let site = Site::init(db.url());
    let mut gateway = site.serve();
    let systems = Systems::of(&gateway);
    let world = World::build(&systems, 2, 12).await;
    let payments = day_with_one_unknown(&systems, &world, 0).await;
    let start = json!({"channel": UNIONPAY, "clearing_date": world.yesterday});
    let mut cut_short = 0;
    // The shortest run so far that came to its end: kills are drawn from within it.
    let mut takes_us = 250_000;
    for _ in 0..kills {
        let (session, request) = (gateway.session(CHEN), start.clone());
        let run = tokio::spawn(async move {
            let began = Instant::now();
            session.call("ReconciliationService/StartRun", request).await.map(|_| began.elapsed())
        });
        tokio::time::sleep(Duration::from_micros(draw.u64(..takes_us))).await;
        gateway.kill();
        match run.await.expect("a call") {
            Ok(took) => takes_us = takes_us.min(took.as_micros() as u64).max(1_000),
            Err(_) => cut_short += 1,
        }
        gateway = site.serve();
    }
    println!("{cut_short} of {kills} runs were cut short");
    assert!(cut_short > 0, "no kill hit a run");
    let systems = Systems::of(&gateway);
    let run = done(&systems.chen, "ReconciliationService/StartRun", start.clone()).await["run"].take();
    let again = done(&systems.chen, "ReconciliationService/StartRun", start).await["run"].take();
    assert_eq!(run["root_hash"], again["root_hash"]);
    assert_eq!(run["breaks_open"], "1", "{run:#}");
    assert_eq!(balances(&systems).await, [0, payments as i64 * 1_000 + 1_000, 1_000]);
    assert!(gateway.stop().success());
    site.verify();
}

/// The database refuses a part of what a run writes: its caller is told that it is our fault, nothing of it is there, and
/// once the database takes it the run is what it would have been.
async fn a_run_that_cannot_be_written_leaves_nothing(db: TestDatabase) {
    let site = Site::init(db.url());
    let gateway = site.serve();
    let systems = Systems::of(&gateway);
    let world = World::build(&systems, 2, 4).await;
    let payments = day_with_one_unknown(&systems, &world, 0).await;
    let before = balances(&systems).await;
    let start = json!({"channel": UNIONPAY, "clearing_date": world.yesterday});
    let mut raw = Raw::connect(&db).await;
    // The run's own leaf, one of the first portion handed over, one of the last.
    for kind in ["reconciliation.run", "reconciliation.units", "break.opened"] {
        let [spoil, mend] = refusing(&raw, kind);
        raw.run(&spoil).await;
        let refused = systems.chen.call("ReconciliationService/StartRun", start.clone()).await.expect_err(kind);
        assert_eq!((refused.code.as_str(), refused.reason.as_str()), ("INTERNAL", "INTERNAL"), "{kind}");
        raw.run(&mend).await;
        assert!(
            systems.chen.list("ReconciliationService/ListRuns", "", "runs").await.expect("runs").is_empty(),
            "{kind}"
        );
        assert_eq!(balances(&systems).await, before, "{kind}");
    }
    let run = done(&systems.chen, "ReconciliationService/StartRun", start).await["run"].take();
    assert_eq!((&run["breaks_open"], &run["number"]), (&json!("1"), &json!(1)), "{run:#}");
    assert_eq!(balances(&systems).await, [0, payments as i64 * 1_000 + 1_000, 1_000]);
    assert!(gateway.stop().success());
    site.verify();
}

/// Refused when most of its parts are written: for a bill that is not there any more, of the last payment by order id.
async fn a_run_refused_in_a_late_part_leaves_nothing(db: TestDatabase) {
    let site = Site::init(db.url());
    let gateway = site.serve();
    let systems = Systems::of(&gateway);
    let world = World::build(&systems, 2, 4).await;
    day_with_one_unknown(&systems, &world, 1).await;
    let before = balances(&systems).await;
    let start = json!({"channel": UNIONPAY, "clearing_date": world.yesterday});
    let mut raw = Raw::connect(&db).await;
    raw.run("UPDATE bill_lines SET bill = bill || '-away'").await;
    let refused = systems.chen.call("ReconciliationService/StartRun", start.clone()).await.expect_err("no bill");
    assert_eq!(refused.reason, "RECORD_NOT_FOUND", "{refused:?}");
    assert!(systems.chen.list("ReconciliationService/ListRuns", "", "runs").await.expect("runs").is_empty());
    assert_eq!(balances(&systems).await, before);
    raw.run("UPDATE bill_lines SET bill = substr(bill, 1, length(bill) - length('-away'))").await;
    let run = done(&systems.chen, "ReconciliationService/StartRun", start).await["run"].take();
    assert_eq!((&run["breaks_open"], &run["number"]), (&json!("2"), &json!(1)), "{run:#}");
    assert!(gateway.stop().success());
    site.verify();
}

/// Of the payments that come by before the first part: it is nobody's fault but ours, and the run is as it would have been
/// once the payment can be read.
async fn a_payment_that_cannot_be_read_stops_a_run(db: TestDatabase) {
    let site = Site::init(db.url());
    let gateway = site.serve();
    let systems = Systems::of(&gateway);
    let world = World::build(&systems, 2, 4).await;
    day_with_one_unknown(&systems, &world, 0).await;
    let start = json!({"channel": UNIONPAY, "clearing_date": world.yesterday});
    let mut raw = Raw::connect(&db).await;
    raw.run("UPDATE payments SET institution_region = '-' || institution_region WHERE order_id = 'KILLED000003'").await;
    let refused = systems.chen.call("ReconciliationService/StartRun", start.clone()).await.expect_err("not read");
    assert_eq!((refused.code.as_str(), refused.reason.as_str()), ("INTERNAL", "INTERNAL"), "{refused:?}");
    assert!(systems.chen.list("ReconciliationService/ListRuns", "", "runs").await.expect("runs").is_empty());
    raw.run("UPDATE payments SET institution_region = substr(institution_region, 2) WHERE order_id = 'KILLED000003'")
        .await;
    let run = done(&systems.chen, "ReconciliationService/StartRun", start).await["run"].take();
    assert_eq!((&run["breaks_open"], &run["number"]), (&json!("1"), &json!(1)), "{run:#}");
    assert!(gateway.stop().success());
    site.verify();
}

/// What makes the database refuse leaves of a kind, and take them again.
fn refusing(raw: &Raw, kind: &str) -> [String; 2] {
    match raw {
        Raw::Sqlite(_) => [
            format!(
                "CREATE TRIGGER spoilt BEFORE INSERT ON leaves WHEN NEW.kind = '{kind}' \
                 BEGIN SELECT RAISE(ABORT, 'spoilt'); END"
            ),
            "DROP TRIGGER spoilt".to_owned(),
        ],
        Raw::Postgres(_) => [
            format!(
                "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 IF NEW.kind = '{kind}' THEN RAISE EXCEPTION 'spoilt'; END IF; RETURN NEW; END $$; \
                 CREATE TRIGGER spoilt BEFORE INSERT ON leaves FOR EACH ROW EXECUTE FUNCTION spoil()"
            ),
            "DROP FUNCTION spoil() CASCADE".to_owned(),
        ],
    }
}

/// Yesterday with eight payments a bill, the last so many of them only reserved, all in the file, and one row that nobody
/// knows; how many payments.
async fn day_with_one_unknown(systems: &Systems, world: &World, unconfirmed: usize) -> usize {
    let at = systems.unionpay.client.now_us();
    let order = |n: usize| format!("KILLED{n:06}");
    let ask = |n: usize| authorise(&world.bills[n % world.bills.len()], 1_000, &order(n), at);
    let asked = (0..world.bills.len() * 8).map(ask).collect();
    let payments = names(&systems.unionpay, "PaymentService/AuthorizePayment", asked, "payment").await;
    let confirm = |name: &String| json!({"payment": name, "amount_fen": "1000", "clearing_date": world.yesterday});
    let confirms = payments.iter().take(payments.len() - unconfirmed).map(confirm).collect();
    names(&systems.unionpay, "PaymentService/ConfirmPayment", confirms, "payment").await;
    let listed = systems.unionpay.list("PaymentService/ListPayments", "", "payments").await.expect("payments");
    let mut lines: Vec<SettlementLine> = listed.iter().enumerate().map(|(n, payment)| line(n, payment)).collect();
    lines.iter_mut().for_each(|line| (line.amount_fen, line.fee_fen) = (1_000, 2));
    let mut unknown = lines[0].clone();
    (unknown.order_id, unknown.line) = ("UNKNOWN00001".to_owned(), lines.len() as i64 + 2);
    lines.push(unknown);
    let content = settlement_file(&lines);
    world::deliver(&systems.unionpay, &world.yesterday, &content).await;
    payments.len()
}

/// What lies in clearing, with payees and their channel, and in suspense, in fen.
async fn balances(systems: &Systems) -> [i64; 3] {
    let trial = done(&systems.beijing, "LedgerService/GetTrialBalance", json!({"book": BOOK})).await;
    let balance = |kind: &str| -> i64 {
        let lines = trial["lines"].as_array().expect("lines").iter();
        lines.filter(|line| line["kind"] == kind).map(|line| int(&line["balance_fen"]).abs()).sum()
    };
    [balance("clearing"), balance("payable") + balance("fee_payable"), balance("suspense")]
}

fn line(n: usize, payment: &Value) -> SettlementLine {
    let field = |name: &str| payment[name].as_str().unwrap_or_default().to_owned();
    SettlementLine {
        line: n as i64 + 2,
        byte_offset: 0,
        kind: LineKind::Payment,
        merchant_id: field("merchant_id"),
        order_id: field("order_id"),
        transaction_time: Timestamp(int(&payment["transaction_time_us"])),
        amount_fen: 10_000,
        fee_fen: 20,
        status: LineStatus::Success,
        institution: field("institution").replace("institutions/", ""),
        original_order_id: None,
    }
}

async fn reconciled(systems: &Systems, world: &World, content: &str) -> Value {
    world::deliver(&systems.unionpay, &world.yesterday, content).await;
    let start = json!({"channel": UNIONPAY, "clearing_date": world.yesterday});
    done(&systems.chen, "ReconciliationService/StartRun", start).await["run"].take()
}

fn at(site: &Site, gateway: &Gateway, args: &[&str]) -> Output {
    let sandbox = site.dir().display().to_string();
    jjj(&[args, &["--sandbox", &sandbox, "--gateway", &gateway.address]].concat())
}

fn compute(export: &Path, file: &Path, code: &str, rows: Option<&PathBuf>) -> Result<Value, String> {
    let ledger = export.join("ledger.csv");
    let mut args = vec!["recon", "compute", "--json", "--ledger", text(&ledger), "--file", text(file)];
    let region = format!("regions/{code}");
    if code != "gateway" {
        args.extend(["--region", &region]);
    }
    // Beijing delivered none, and sees none.
    let book = file.with_file_name("book.csv");
    if code != "110000" {
        args.extend(["--book", text(&book)]);
    }
    args.extend(rows.iter().flat_map(|rows| ["--rows", text(rows)]));
    let output = jjj(&args);
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout).expect("JSON")),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

fn root_of(computed: &Value, code: &str) -> String {
    let participant = if code == "gateway" { code.to_owned() } else { format!("regions/{code}") };
    let views = computed["views"].as_array().expect("views");
    let view = views.iter().find(|view| view["participant"] == participant).expect("the view");
    view["root"].as_str().expect("a root").to_owned()
}

/// The root that the gateway states, and the rows it covers, one a line.
async fn view(gateway: &Gateway, viewer: &str, name: &str) -> (String, String) {
    let request = json!({"name": name, "page_size": 1_000});
    let view = done(&gateway.session(viewer), "ReconciliationService/GetView", request).await;
    let rows = view["page_rows"].as_array().expect("rows");
    let bodies = rows.iter().map(|row| format!("{}\n", row["body"].as_str().expect("a body")));
    (hex_of(&view["root_hash"]), bodies.collect())
}

fn hex_of(base64: &Value) -> String {
    hex::encode(BASE64_STANDARD.decode(base64.as_str().expect("bytes")).expect("base64"))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}
