//! What administrators do at the command line beyond the morning's transcript: a flood of breaks, documents
//! attached and fetched, payouts matched late, a month closed, vouchers exported.

use std::path::Path;

use jjj_domain::recon::file::{LineKind, LineStatus, SettlementLine};
use jjj_domain::time::{Month, Timestamp};
use jjj_tests::both_databases;
use jjj_tests::gateway::{Gateway, Site, jjj};
use jjj_tests::postgres::TestDatabase;
use jjj_tests::world::{self, BEIJING, BOOK, CHEN, Systems, UNIONPAY, World, authorise, done, int};
use serde_json::{Value, json};

const LIU: &str = "regions/110000/admins/liu";
/// Sees a payout before its statement says whose it is.
const LI: &str = "gateway/admins/li";
/// So many alike are an alert, by the default policy.
const FLOOD: usize = 20;

both_databases!(a_flood_and_its_payout, a_month_ends);

/// A terminal of one sandbox.
struct Desk {
    sandbox: String,
    address: String,
}

impl Desk {
    fn of(site: &Site, gateway: &Gateway) -> Self {
        Self { sandbox: site.dir().display().to_string(), address: gateway.address.clone() }
    }

    /// Whether it ended well, what it answered, and what it complained of.
    fn types(&self, actor: &str, args: &[&str]) -> (bool, Vec<u8>, String) {
        let output = jjj(&[args, &["--as", actor, "--sandbox", &self.sandbox, "--gateway", &self.address]].concat());
        (output.status.success(), output.stdout, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn bytes(&self, actor: &str, args: &[&str]) -> Vec<u8> {
        let (ended_well, said, complained) = self.types(actor, args);
        assert!(ended_well, "{args:?}: {complained}{}", String::from_utf8_lossy(&said));
        said
    }

    fn text(&self, actor: &str, args: &[&str]) -> String {
        String::from_utf8(self.bytes(actor, args)).expect("UTF-8")
    }

    fn json(&self, actor: &str, args: &[&str]) -> Value {
        serde_json::from_slice(&self.bytes(actor, &[args, &["--json"]].concat())).expect("JSON")
    }

    fn refused(&self, actor: &str, args: &[&str], reason: &str) {
        let (ended_well, said, complained) = self.types(actor, args);
        assert!(!ended_well && complained.contains(reason), "{args:?}: {complained}{}", String::from_utf8_lossy(&said));
    }
}

async fn a_flood_and_its_payout(db: TestDatabase) {
    let site = Site::init(db.url());
    let gateway = site.serve();
    let systems = Systems::of(&gateway);
    let world = World::build(&systems, 1, 1).await;
    let at = Timestamp(systems.unionpay.client.now_us() / 1_000_000 * 1_000_000);
    let ask = authorise(&world.bills[0], 10_000, "FLOOD000", at.0);
    let payment = &done(&systems.unionpay, "PaymentService/AuthorizePayment", ask).await["payment"]["name"];
    let confirm = json!({"payment": payment, "amount_fen": "10000", "clearing_date": world.yesterday});
    done(&systems.unionpay, "PaymentService/ConfirmPayment", confirm).await;
    // The payment, and a flood that nobody knows.
    let line = |n: usize| SettlementLine {
        line: 0,
        byte_offset: 0,
        kind: LineKind::Payment,
        merchant_id: "898110000000001".into(),
        order_id: format!("FLOOD{n:03}"),
        transaction_time: at,
        amount_fen: 10_000,
        fee_fen: 20,
        status: LineStatus::Success,
        institution: world.institutions[0].replace("institutions/", ""),
        original_order_id: None,
    };
    let lines: Vec<SettlementLine> = (0..=FLOOD).map(line).collect();
    world::deliver(&systems.unionpay, &world.yesterday, &world::settlement_file(&lines)).await;
    let desk = Desk::of(&site, &gateway);
    desk.json(CHEN, &["recon", "run", UNIONPAY, &world.yesterday]);

    evidence(&desk, CHEN);
    alert(&desk);
    settle(&desk, &world.yesterday, &Timestamp(systems.unionpay.client.now_us()).date().to_string());
    assert!(gateway.stop().success());
    site.verify();
}

/// A document of several chunks comes back as it was; one that is not attached does not come.
fn evidence(desk: &Desk, actor: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let document: Vec<u8> = (0..600_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    std::fs::write(path("letter.pdf"), &document).expect("a file");
    let breaks = desk.json(actor, &["recon", "breaks", "--filter", r#"break_class = "CHANNEL_ONLY""#]);
    let names: Vec<&str> = breaks.as_array().expect("breaks").iter().filter_map(|b| b["name"].as_str()).collect();
    assert_eq!(names.len(), FLOOD);

    let attached = desk.json(actor, &["recon", "attach", names[0], &path("letter.pdf"), "--note", "渠道回函"]);
    let file = attached["attachments"][0]["file"].as_str().expect("a file");
    let fetched = desk.json(actor, &["recon", "evidence", names[0], file, "--out", &path("fetched.pdf")]);
    assert_eq!(fetched["size_bytes"], document.len());
    assert!(std::fs::read(path("fetched.pdf")).expect("the document") == document);
    desk.refused(actor, &["recon", "evidence", names[1], file, "--out", &path("other.pdf")], "is not attached to");
    desk.refused(actor, &["recon", "evidence", names[0], file, "--out", &path("none/x.pdf")], "writing");
    let mut left: Vec<_> = folder.path().read_dir().expect("the folder").flatten().map(|f| f.file_name()).collect();
    left.sort();
    assert_eq!(left, ["fetched.pdf", "letter.pdf"], "nothing half done is left");
}

/// Proposed and approved together, by two people.
fn alert(desk: &Desk) {
    let alerts = desk.json(CHEN, &["recon", "alerts"]);
    let [alert] = &alerts.as_array().expect("alerts")[..] else { panic!("{alerts:#}") };
    assert_eq!(
        (&alert["break_class"], &alert["state"]),
        (&json!("BREAK_CLASS_CHANNEL_ONLY"), &json!("ALERT_STATE_OPEN"))
    );
    let name = alert["name"].as_str().expect("a name");
    let all = json!({"done": FLOOD, "refused": []});
    let propose = ["recon", "propose", name, "REPAY", "--reason", "渠道将退回"];
    assert_eq!(desk.json(CHEN, &propose), all);
    // Nothing is left to propose.
    assert_eq!(desk.json(CHEN, &propose), json!({"done": 0, "refused": []}));
    let approve = ["recon", "approve", name, "--reason", "同意"];
    let (ended_well, said, _) = desk.types(CHEN, &[&approve[..], &["--json"]].concat());
    let said: Value = serde_json::from_slice(&said).expect("JSON");
    assert!(!ended_well && said["done"] == 0, "{said:#}");
    assert_eq!(said["refused"].as_array().map(Vec::len), Some(FLOOD));
    assert!(said["refused"][0]["refused"].as_str().is_some_and(|text| text.contains("SAME_PERSON")), "{said:#}");
    assert_eq!(desk.text(LIU, &approve), format!("done: {FLOOD}\n"));
    let open =
        desk.json(LIU, &["recon", "breaks", "--filter", r#"break_class = "CHANNEL_ONLY" AND state != "RESOLVED""#]);
    assert_eq!(open, json!([]));
}

/// A payout that comes before its statement is matched when somebody looks again.
fn settle(desk: &Desk, date: &str, today: &str) {
    let payable = desk.json(BEIJING, &["ledger", "accounts", "--filter", r#"kind = "payable""#]);
    let owed: i64 = payable.as_array().expect("accounts").iter().map(|a| int(&a["posted_fen"]).abs()).sum();
    let early = desk.json(UNIONPAY, &["settle", "pay", "EARLY", &owed.to_string(), "--on", today]);
    assert_eq!(early["state"], "PAYOUT_STATE_UNMATCHED", "{early:#}");
    let name = early["name"].as_str().expect("a name");
    let unmatched = ["settle", "payouts", "--filter", r#"state = "UNMATCHED""#];
    let listed = desk.text(LI, &unmatched);
    assert!(listed.starts_with("name ") && listed.contains(name) && listed.contains("breaks/"), "{listed}");
    // No statement yet.
    desk.refused(LI, &["settle", "match", name], "STATE_NOT_ALLOWED");

    let prepared = desk.json(CHEN, &["settle", "prepare", UNIONPAY, date]);
    assert_eq!(prepared["cycle"]["clearing_date"], date, "{prepared:#}");
    let csv = desk.text(CHEN, &["settle", "statements", "--filter", r#"state = "OPEN""#, "--format", "csv"]);
    assert!(csv.starts_with("\u{feff}name,channel,region,") && csv.contains(&format!(",{owed},")), "{csv}");
    let matched = desk.json(LI, &["settle", "match", name]);
    assert_eq!(matched["state"], "PAYOUT_STATE_MATCHED", "{matched:#}");
    assert_eq!(desk.json(LI, &unmatched), json!([]));
    desk.refused(LI, &["settle", "match", name], "STATE_NOT_ALLOWED");
}

async fn a_month_ends(db: TestDatabase) {
    let site = Site::init(db.url());
    let gateway = site.serve();
    let systems = Systems::of(&gateway);
    let world = World::build(&systems, 1, 1).await;
    let desk = Desk::of(&site, &gateway);
    // Long over, whatever day of the month it is, and nothing was booked in it.
    let over = world.month.parse::<Month>().expect("a month").plus(-2).to_string();
    let of_month = |what: &'static str, month: &str| ["close", what, BOOK, month].map(str::to_owned);
    let run = |actor: &str, what: &'static str, month: &str| {
        let args = of_month(what, month);
        desk.json(actor, &[&args.each_ref().map(String::as_str)[..], &["--reason", "月结"]].concat())
    };
    let refused = |actor: &str, what: &'static str, month: &str, reason: &str| {
        let args = of_month(what, month);
        desk.refused(actor, &[&args.each_ref().map(String::as_str)[..], &["--reason", "月结"]].concat(), reason);
    };
    refused(CHEN, "propose", &world.month, "CLOSE_CONDITION_UNMET");
    assert_eq!(run(CHEN, "propose", &over)["state"], "CLOSE_STATE_PROPOSED");
    refused(CHEN, "approve", &over, "SAME_PERSON");
    assert_eq!(run(LIU, "decline", &over)["state"], "CLOSE_STATE_DECLINED");
    assert_eq!(run(CHEN, "propose", &over)["state"], "CLOSE_STATE_PROPOSED");
    assert_eq!(run(LIU, "approve", &over)["decided_by"], LIU);
    refused(CHEN, "propose", &over, "STATE_NOT_ALLOWED");
    let closes = desk.text(CHEN, &["close", "list", "--filter", r#"state = "CLOSED""#]);
    assert_eq!(closes.lines().count(), 2, "{closes}");
    assert!(closes.contains(&format!("monthCloses/{BOOK}/{over}")), "{closes}");

    vouchers(&desk, &over, &world.month);
    assert!(gateway.stop().success());
    site.verify();
}

/// The report of that name, in every format, to a folder that is made.
fn vouchers(desk: &Desk, over: &str, month: &str) {
    assert!(desk.text(CHEN, &["close", "vouchers", BOOK, over]).contains("已月结"));
    let open = desk.text(CHEN, &["close", "vouchers", BOOK, month]);
    assert!(open.contains("未月结，非最终") && open.contains("记-0001"), "{open}");
    assert!(desk.text(CHEN, &["close", "vouchers", BOOK, month, "--lang", "en"]).contains("Open: not final"));
    let csv = desk.text(CHEN, &["close", "vouchers", BOOK, month, "--format", "csv"]);
    assert!(csv.starts_with("\u{feff}voucher,date,") && csv.contains("\r\n记-0001,"), "{csv}");
    let json = desk.json(CHEN, &["close", "vouchers", BOOK, month])["tables"].take();
    assert_eq!(json, desk.json(CHEN, &["report", "vouchers", BOOK, month])["tables"]);

    let folder = tempfile::tempdir().expect("a folder");
    let out = format!("{}/", folder.path().join("reports/2026").display());
    desk.bytes(CHEN, &["close", "vouchers", BOOK, month, "--format", "xlsx", "--out", &out]);
    let name = format!("vouchers-{}-{month}.xlsx", BOOK.replace('/', "-"));
    assert!(std::fs::read(Path::new(&out).join(name)).expect("a workbook").starts_with(b"PK"));
    let absent = folder.path().join("absent/vouchers.csv").display().to_string();
    desk.refused(CHEN, &["close", "vouchers", BOOK, month, "--out", &absent], "absent/vouchers.csv");
}
