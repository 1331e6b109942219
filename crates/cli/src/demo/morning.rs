//! The next mornings: settlement files arrive with one difference of each kind
//! planted, runs find them and the day's findings, two people resolve each, the
//! regions sign their views.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, ensure};
use jjj_cli::session::Session;
use jjj_domain::time::Timestamp;
use serde_json::{Value, json};

use super::books;
use super::cast::{BEIJING, PROGRAMME, UNIONPAY};
use super::day::{Day, MERCHANT, Systems};
use super::stage::{Stage, call, int, name};
use crate::recon::{self, Delivery};
use crate::{output, report, settle};

// Which payment tells which story.
pub const REFUNDED: usize = 1;
const DUPLICATE: usize = 2;
const NEVER_SETTLED: usize = 3;
const CUT_OFF: usize = 4;
const PARTY: usize = 5;
pub const STATUS: usize = 6;
const AMOUNT: usize = 7;
const FEE: usize = 8;
const AMBIGUOUS: usize = 9;
pub const LATE: usize = 10;
pub const ADVISED: usize = 11;
pub const EXCEEDED: usize = 12;
pub const OVERSPENT: usize = 13;
pub const CONTRACT_ENDED: usize = 14;
pub const BASIS_REVOKED: usize = 15;

pub const DAY_ONE: &str = "2026-11-18";
const DAY_TWO: &str = "2026-11-19";

/// Differences and findings that must show, and no others but those.
const EXPECTED: &[&str] = &[
    "DUPLICATE",
    "AMBIGUOUS",
    "REFUND_ORPHAN",
    "CUTOFF",
    "CHANNEL_ONLY",
    "LEDGER_ONLY",
    "REGION_ONLY",
    "REGION_MISSING",
    "PARTY_MISMATCH",
    "STATUS_MISMATCH",
    "AMOUNT_MISMATCH",
    "FEE_MISMATCH",
    "PAID_AFTER_REVOCATION",
    "PAID_WITHOUT_CONTRACT",
    "CONDITION_UNMET",
    "LATE_CONFIRMATION",
    "OVERSPENT",
    "BILL_EXCEEDED",
    "GRANT_WITHOUT_BASIS",
    "CREDIT_FAILED",
];

pub async fn play(stage: &Stage, systems: &Systems, day: &Day) -> anyhow::Result<Value> {
    stage.narrator.heading("六、次日对账", "6. The next morning");
    second_thoughts(stage, systems, day).await?;
    stage.sleep_days(1).await;
    let chen = stage.as_("regions/110000/admins/chen")?;
    let mut seen = BTreeSet::new();

    books::deliver_wrong(stage, day).await?;
    let first = run(stage, systems, &chen, DAY_ONE, first_file(stage, day).await?).await?;
    note_classes(&chen, &mut seen).await?;
    books::found_then_corrected(stage, day).await?;
    stage.sleep_days(1).await;
    run(stage, systems, &chen, DAY_TWO, second_file(day)).await?;
    // The grace of the first day is over: what its file still lacks is a difference now.
    let again =
        call(&chen, "ReconciliationService/StartRun", json!({"channel": UNIONPAY, "clearing_date": DAY_ONE}), "run")
            .await?;
    note_classes(&chen, &mut seen).await?;
    books::cleared(stage).await?;
    bank_statement(stage, systems, day).await?;

    let expected: BTreeSet<String> = EXPECTED.iter().map(ToString::to_string).collect();
    let missed: Vec<_> = expected.difference(&seen).collect();
    let invented: Vec<_> = seen.difference(&expected).collect();
    ensure!(missed.is_empty() && invented.is_empty(), "missed {missed:?}, invented {invented:?}");
    stage.narrator.say(
        format!("预埋的 {} 类差错与发现项全部查出，没有多出一类。", expected.len()),
        format!("All {} planted kinds of differences and findings were found, and no other.", expected.len()),
    );

    next_month(systems, day).await?;
    let resolved = resolve_all(stage, &chen).await?;
    let signed = sign(stage, &name(&again)).await?;
    let settled = settle_up(stage, systems, &chen).await?;
    if stage.narrator.aloud() {
        let of_run = json!({"kind": "REPORT_KIND_RUN", "run": name(&again)});
        let (_, text) = report::fetch(&chen, of_run, "TEXT", stage.narrator.language()).await?;
        println!("\n{}", String::from_utf8_lossy(&text));
    }
    Ok(json!({
        "ok": true,
        "elders": day.elders.len(),
        "contracts": day.contracts.len(),
        "payments": day.payments.len(),
        "first_run": {"name": name(&first), "state": first["state"]},
        "last_run": {"name": name(&again), "state": again["state"]},
        "classes_found": seen,
        "breaks_resolved": resolved,
        "views_signed": signed,
        "statements_settled": settled,
    }))
}

/// What becomes known in the evening and is dated back: a contract ended, a rating and an assessment revoked.
async fn second_thoughts(stage: &Stage, systems: &Systems, day: &Day) -> anyhow::Result<()> {
    let end = json!({"contract": day.contracts[CONTRACT_ENDED], "termination_reason": "TERMINATION_REASON_WITHDRAWAL",
                     "ended_on": "2026-10-31", "reason": "补录"});
    call(&systems.hebei, "ContractService/TerminateContract", end, "").await?;
    // The app was offline: it took a payment that the gateway would have refused.
    let late = json!({
        "bill": day.bills[CONTRACT_ENDED], "fee_type": "FEE_TYPE_NURSING", "programme": PROGRAMME, "amount_fen": "3000",
        "merchant_id": MERCHANT, "order_id": "20261118ADVICE03", "clearing_date": DAY_ONE,
        "transaction_time_us": (stage.now().0 - 1_000_000).to_string(),
    });
    call(&systems.unionpay, "PaymentService/AdvisePayment", late, "").await?;
    let revoke = |record: &str| {
        json!({"name": record, "new_state": "RECORD_STATE_REVOKED", "reason": "严重事件", "decided_by": "评定委员会",
               "document_number": "撤-2026-1", "effective_on": "2026-11-01"})
    };
    call(&systems.hebei, "RatingService/ChangeRating", revoke(&day.other_rating), "").await?;
    call(&systems.beijing, "AssessmentService/ChangeAssessment", revoke(&day.assessments[BASIS_REVOKED]), "").await?;
    stage.narrator.say(
        "当晚补录：一份合同已于上月解除；一家机构的等级、一位老人的评估被撤销，均追溯生效。已付的款不动，将成为发现项。",
        "That evening: a contract turns out to have ended last month; a rating and an assessment are revoked, dated back. No payment is undone; findings will show.",
    );
    Ok(())
}

/// December's credit covers what was overspent: only then may that finding be closed.
async fn next_month(systems: &Systems, day: &Day) -> anyhow::Result<()> {
    let elders = [day.elders[OVERSPENT].clone()];
    super::cast::grant_and_credit(&systems.beijing, &systems.unionpay, &elders, "2026-12").await?;
    Ok(())
}

/// Delivers a file and runs its date.
async fn run(stage: &Stage, systems: &Systems, chen: &Session, date: &str, file: String) -> anyhow::Result<Value> {
    let title = format!("unionpay-{date}.csv");
    let stored = recon::upload(&systems.unionpay, &Delivery::csv(date, Path::new(&title)), Cursor::new(file)).await?;
    let run = call(chen, "ReconciliationService/StartRun", json!({"channel": UNIONPAY, "clearing_date": date}), "run")
        .await?;
    let (rows, state) = (int(&stored["rows"]), run["state"].as_str().unwrap_or_default().to_owned());
    let opened = int(&run["breaks_opened"]);
    stage.narrator.say(
        format!("{date} 的对账文件到达（{rows} 行），北京管理员运行对账：{state}，新差错 {opened} 项。"),
        format!("The settlement file of {date} arrives ({rows} rows); Beijing's administrator runs it: {state}, {opened} new breaks."),
    );
    Ok(run)
}

async fn note_classes(chen: &Session, seen: &mut BTreeSet<String>) -> anyhow::Result<()> {
    let gateway_sees_all = chen.list("ReconciliationService/ListBreaks", "", "breaks").await?;
    for found in gateway_sees_all {
        let class = found["break_class"].as_str().unwrap_or_default();
        seen.insert(class.trim_start_matches("BREAK_CLASS_").to_owned());
    }
    Ok(())
}

/// A settlement file, or a book, in the making.
pub struct File {
    text: String,
    rows: i64,
    amount_fen: i64,
    fee_fen: i64,
}

/// One line of it.
pub struct Line<'a> {
    pub kind: &'a str,
    pub merchant: &'a str,
    pub order: &'a str,
    pub at_us: i64,
    pub amount_fen: i64,
    pub fee_fen: i64,
    pub institution: &'a str,
    pub original: &'a str,
}

impl File {
    pub fn new() -> Self {
        let header = jjj_domain::recon::file::HEADER.join(",");
        Self { text: format!("{header}\n"), rows: 0, amount_fen: 0, fee_fen: 0 }
    }

    pub fn line(&mut self, line: &Line<'_>) {
        let Line { kind, merchant, order, at_us, amount_fen, fee_fen, institution, original } = line;
        let time = jjj_domain::recon::file::beijing_text(Timestamp(*at_us));
        let uscc = institution.trim_start_matches("institutions/");
        let row = format!("{kind},{merchant},{order},{time},{amount_fen},{fee_fen},SUCCESS,{uscc},{original}");
        writeln!(self.text, "{row}").expect("a String takes text");
        self.rows += 1;
        self.amount_fen += amount_fen;
        self.fee_fen += fee_fen;
    }

    pub fn end(mut self) -> String {
        let Self { rows, amount_fen, fee_fen, .. } = self;
        writeln!(self.text, "TRAILER,{rows},{amount_fen},{fee_fen},,,,,").expect("a String takes text");
        self.text
    }
}

/// A payment's true line: the agreed fee is 0.20 %.
pub fn true_line(payment: &Value) -> Line<'_> {
    let amount_fen = int(&payment["amount_fen"]);
    Line {
        kind: "PAYMENT",
        merchant: payment["merchant_id"].as_str().filter(|id| !id.is_empty()).unwrap_or(MERCHANT),
        order: payment["order_id"].as_str().unwrap_or_default(),
        at_us: int(&payment["transaction_time_us"]),
        amount_fen,
        fee_fen: (amount_fen * 20 + 5_000) / 10_000,
        institution: payment["institution"].as_str().unwrap_or_default(),
        original: "",
    }
}

pub fn refund_line<'a>(refund: &'a Value, day: &'a Day) -> anyhow::Result<Line<'a>> {
    let refunded = day.payments.iter().find(|p| p["name"] == refund["payment"]).context("its payment")?;
    Ok(Line {
        kind: "REFUND",
        order: refund["order_id"].as_str().unwrap_or_default(),
        at_us: int(&refund["transaction_time_us"]),
        amount_fen: int(&refund["amount_fen"]),
        fee_fen: 0,
        original: refunded["order_id"].as_str().unwrap_or_default(),
        ..true_line(refunded)
    })
}

/// The first day's file, with its planted differences.
async fn first_file(stage: &Stage, day: &Day) -> anyhow::Result<String> {
    let unionpay = stage.as_(UNIONPAY)?;
    let mut file = File::new();
    for (i, payment) in day.payments.iter().enumerate() {
        let mut line = true_line(payment);
        match i {
            NEVER_SETTLED | CUT_OFF => continue,
            DUPLICATE => file.line(&true_line(payment)),
            PARTY => line.institution = &day.other_institution,
            AMOUNT => {
                line.amount_fen -= 1_000;
                line.fee_fen = (line.amount_fen * 20 + 5_000) / 10_000;
            }
            FEE => line.fee_fen += 50,
            AMBIGUOUS => {
                // The order twice, and neither at the ledger's time.
                file.line(&Line { at_us: line.at_us + 60_000_000, ..true_line(payment) });
                line.at_us += 120_000_000;
            }
            _ => {}
        }
        file.line(&line);
    }
    for advised in unionpay.list("PaymentService/ListPayments", "origin = \"ADVISED\"", "payments").await? {
        file.line(&true_line(&advised));
    }
    for refund in unionpay.list("PaymentService/ListRefunds", "", "refunds").await? {
        file.line(&refund_line(&refund, day)?);
    }
    let unknown = true_line(&day.payments[0]);
    file.line(&Line { order: "20261118UNKNOWN1", amount_fen: 12_300, fee_fen: 25, ..unknown });
    let orphan = true_line(&day.payments[0]);
    file.line(&Line {
        kind: "REFUND",
        order: "20261118ORPHAN01",
        amount_fen: 4_500,
        fee_fen: 0,
        original: "20261118NOSUCH01",
        ..orphan
    });
    Ok(file.end())
}

/// The second day's: one order of the first came after the cut-off; the other never comes.
fn second_file(day: &Day) -> String {
    let mut file = File::new();
    file.line(&true_line(&day.payments[CUT_OFF]));
    file.end()
}

/// The bank's statement of the operating subsidy reconciles like a file of its own.
async fn bank_statement(stage: &Stage, systems: &Systems, day: &Day) -> anyhow::Result<()> {
    let claims = systems.bank.list("OperatingSubsidyService/ListClaims", "", "claims").await?;
    let claim = claims.first().context("the day's claim")?;
    let mut file = File::new();
    file.line(&Line {
        kind: "OPERATING_SUBSIDY",
        merchant: "",
        order: claim["order_id"].as_str().unwrap_or_default(),
        at_us: super::day::START,
        amount_fen: int(&claim["amount_fen"]),
        fee_fen: 0,
        institution: &day.institution,
        original: "",
    });
    let text = file.end();
    recon::upload(&systems.bank, &Delivery::csv(DAY_ONE, Path::new("bank-statement.csv")), Cursor::new(text)).await?;
    let chen = stage.as_("regions/110000/admins/chen")?;
    let request = json!({"channel": "channels/bank", "clearing_date": DAY_ONE});
    let run = call(&chen, "ReconciliationService/StartRun", request, "run").await?;
    stage.narrator.say(
        format!("拨付银行的对账单亦平：{}。", run["state"].as_str().unwrap_or_default()),
        format!("The bank's statement reconciles too: {}.", run["state"].as_str().unwrap_or_default()),
    );
    ensure!(run["state"] == "RUN_STATE_BALANCED", "the bank's day balances: {run}");
    Ok(())
}

/// One administrator proposes, another approves, with reasons; counts by resolution.
async fn resolve_all(stage: &Stage, chen: &Session) -> anyhow::Result<BTreeMap<String, usize>> {
    let liu = stage.as_("regions/110000/admins/liu")?;
    let open = chen.list("ReconciliationService/ListBreaks", "state != \"RESOLVED\"", "breaks").await?;
    let mut resolved = BTreeMap::new();
    for item in &open {
        let class = item["break_class"].as_str().unwrap_or_default().trim_start_matches("BREAK_CLASS_");
        let Some(resolution) = resolution_of(class) else { continue };
        let propose = json!({"reconciliation_break": name(item), "resolution": format!("RESOLUTION_{resolution}"), "reason": "核对渠道凭证"});
        let proposed = call(chen, "ReconciliationService/ProposeResolution", propose, "reconciliation_break").await?;
        let own = json!({"reconciliation_break": name(item), "expected_version": proposed["version"], "approve": true, "reason": "自批"});
        ensure!(
            chen.call("ReconciliationService/DecideResolution", own).await.is_err_and(|e| e.reason == "SAME_PERSON"),
            "who proposes may not approve"
        );
        let decide = json!({"reconciliation_break": name(item), "expected_version": proposed["version"], "approve": true, "reason": "复核无误"});
        call(&liu, "ReconciliationService/DecideResolution", decide, "").await?;
        *resolved.entry(resolution.to_owned()).or_default() += 1;
    }
    stage.narrator.say(
        format!("{} 项差错由一人提出、另一人批准处理，均以新分录入账。", open.len()),
        format!(
            "{} breaks are resolved: proposed by one, approved by another, booked by new entries only.",
            open.len()
        ),
    );
    let left = chen.list("ReconciliationService/ListBreaks", "state != \"RESOLVED\"", "breaks").await?;
    ensure!(left.is_empty(), "{} breaks are left: {left:?}", left.len());
    Ok(resolved)
}

fn resolution_of(class: &str) -> Option<&'static str> {
    Some(match class {
        "DUPLICATE" | "CHANNEL_ONLY" | "REFUND_ORPHAN" => "REPAY",
        "LEDGER_ONLY" | "AMOUNT_MISMATCH" | "AMBIGUOUS" => "RELEASE",
        "FEE_MISMATCH" => "INSTITUTION_BEARS",
        "LATE_CONFIRMATION" => "ACCEPT",
        "CUTOFF" => return None,
        _ => "JUSTIFIED",
    })
}

/// The regions' signers neither ran nor resolved.
async fn sign(stage: &Stage, run: &str) -> anyhow::Result<usize> {
    let mut signed = 0;
    for (region, signer) in [(BEIJING, "regions/110000/admins/sun"), ("regions/130000", "regions/130000/admins/guo")] {
        let code = region.trim_start_matches("regions/");
        let view = recon::sign_view(&stage.as_(signer)?, &format!("{run}/views/{code}"), None).await?;
        ensure!(view["state"] == "VIEW_STATE_AGREED", "{signer} agrees: {view}");
        signed += 1;
    }
    stage.narrator.say(
        "北京、河北各由未经手的管理员核对并签署本方视图。",
        "Beijing's and Hebei's signers, who neither ran nor resolved, check and sign their views.",
    );
    Ok(signed)
}

/// What both days' files stated is stated to whom it is owed, and paid; the books then owe nothing more.
async fn settle_up(stage: &Stage, systems: &Systems, chen: &Session) -> anyhow::Result<usize> {
    settle::prepare(chen, UNIONPAY, DAY_TWO).await?;
    let open: Vec<Value> = settle::statements_of(chen, UNIONPAY, DAY_TWO).await?;
    let open: Vec<&Value> = open.iter().filter(|s| s["state"] == "SETTLEMENT_STATEMENT_STATE_OPEN").collect();
    ensure!(!open.is_empty(), "there is something to settle");
    for (n, statement) in open.iter().enumerate() {
        let payout = json!({
            "reference": format!("PAYOUT-{n}"), "end_to_end_id": statement["end_to_end_id"],
            "amount_fen": statement["net_fen"], "paid_on": stage.now().date().to_string(),
        });
        let paid = call(&systems.unionpay, "SettlementService/ReportPayout", payout, "payout").await?;
        ensure!(paid["state"] == "PAYOUT_STATE_MATCHED" && paid["reconciliation_break"] == "", "as stated: {paid}");
    }
    let sum: i64 = open.iter().map(|s| int(&s["net_fen"])).sum();
    stage.narrator.say(
        format!("结算单 {} 张，合计 {} 元，渠道按单拨付，逐笔相符。", open.len(), output::yuan(sum)),
        format!(
            "{} settlement statements, {} yuan in all; the channel pays as stated, and each payout matches.",
            open.len(),
            output::yuan(sum)
        ),
    );
    Ok(open.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expected_class_but_the_cut_off_has_a_resolution() {
        for class in EXPECTED {
            assert_eq!(resolution_of(class).is_none(), *class == "CUTOFF", "{class}");
        }
    }
}
