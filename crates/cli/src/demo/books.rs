//! The third leg of the morning: each region delivers its own book of the first day, with differences planted that
//! nobody else has, and a corrected one after the run.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::ensure;
use serde_json::Value;

use super::cast::{BEIJING, HEBEI, TIANJIN, UNIONPAY};
use super::day::Day;
use super::morning::{BASIS_REVOKED, CONTRACT_ENDED, DAY_ONE, File, Line, refund_line, true_line};
use super::stage::{Stage, int};
use crate::recon::{self, Delivery};

/// What is wrong in a region's book: the payment it has for 1 yuan more, the one it lacks, and an order of its own.
struct Planted {
    region: &'static str,
    amount: Option<usize>,
    missing: Option<usize>,
    alone: &'static str,
}

/// Tianjin neither pays nor has an institution in the day: all it may have is a row of its own.
const PLANTED: [Planted; 3] = [
    Planted { region: BEIJING, amount: Some(CONTRACT_ENDED), missing: Some(BASIS_REVOKED), alone: "20261118ALONE110" },
    Planted { region: HEBEI, amount: Some(BASIS_REVOKED), missing: Some(CONTRACT_ENDED), alone: "20261118ALONE130" },
    Planted { region: TIANJIN, amount: None, missing: None, alone: "20261118ALONE120" },
];
const MORE_FEN: i64 = 100;

/// The books as they first come.
pub async fn deliver_wrong(stage: &Stage, day: &Day) -> anyhow::Result<()> {
    for planted in &PLANTED {
        upload(stage, planted.region, book(stage, day, planted.region, Some(planted)).await?).await?;
    }
    stage.narrator.say(
        "三地各自上报本方账册，内有预埋：金额不符、漏记、多记。",
        "Each region delivers its own book, with planted errors: another amount, a row missing, a row too many.",
    );
    Ok(())
}

/// Every planted difference is found, about its own row, and no other; the regions correct their books.
pub async fn found_then_corrected(stage: &Stage, day: &Day) -> anyhow::Result<()> {
    let li = stage.as_("gateway/admins/li")?;
    let mut count = 0;
    for planted in &PLANTED {
        let filter = format!("book_region = \"{}\" AND state != \"RESOLVED\"", planted.region);
        let open = li.list("ReconciliationService/ListBreaks", &filter, "breaks").await?;
        let found: BTreeSet<(String, String, i64)> = open.iter().map(found).collect();
        let of = |at: usize| day.payments[at]["name"].as_str().unwrap_or_default().to_owned();
        let amount = planted.amount.map(|at| ("AMOUNT_MISMATCH".to_owned(), of(at), MORE_FEN));
        let missing =
            planted.missing.map(|at| ("REGION_MISSING".to_owned(), of(at), int(&day.payments[at]["amount_fen"])));
        let alone = ("REGION_ONLY".to_owned(), String::new(), int(&day.payments[0]["amount_fen"]));
        let expected: BTreeSet<_> = [amount, missing, Some(alone)].into_iter().flatten().collect();
        ensure!(found == expected && open.len() == expected.len(), "{}: {found:?}, not {expected:?}", planted.region);
        count += open.len();
        upload(stage, planted.region, book(stage, day, planted.region, None).await?).await?;
    }
    stage.narrator.say(
        format!("三本账册中预埋的 {count} 处全部查出，没有多出一处；三地更正账册，下一次运行自动了结。"),
        format!("All {count} errors planted in the books were found, and no other; corrected books come, and the next run clears them."),
    );
    Ok(())
}

/// The next run has cleared them all.
pub async fn cleared(stage: &Stage) -> anyhow::Result<()> {
    let li = stage.as_("gateway/admins/li")?;
    for planted in &PLANTED {
        let filter = format!("book_region = \"{}\" AND state != \"RESOLVED\"", planted.region);
        let open = li.list("ReconciliationService/ListBreaks", &filter, "breaks").await?;
        ensure!(open.is_empty(), "{}: {open:?}", planted.region);
    }
    Ok(())
}

/// Class, subject (empty where it is a row of the book) and amount.
fn found(item: &Value) -> (String, String, i64) {
    let text = |field: &str| item[field].as_str().unwrap_or_default();
    let subject = Some(text("subject")).filter(|subject| !subject.starts_with("files/")).unwrap_or_default();
    (text("break_class").trim_start_matches("BREAK_CLASS_").to_owned(), subject.to_owned(), int(&item["amount_fen"]))
}

/// What a region holds for its own of the day: all of it, for Beijing pays and Hebei houses; nothing, for Tianjin.
async fn book(stage: &Stage, day: &Day, region: &str, wrong: Option<&Planted>) -> anyhow::Result<String> {
    let mut file = File::new();
    if region != TIANJIN {
        for (at, payment) in day.payments.iter().enumerate() {
            let mut line = true_line(payment);
            match wrong {
                Some(wrong) if wrong.missing == Some(at) => continue,
                Some(wrong) if wrong.amount == Some(at) => line.amount_fen += MORE_FEN,
                _ => {}
            }
            file.line(&line);
        }
        let unionpay = stage.as_(UNIONPAY)?;
        for advised in unionpay.list("PaymentService/ListPayments", "origin = \"ADVISED\"", "payments").await? {
            file.line(&true_line(&advised));
        }
        for refund in unionpay.list("PaymentService/ListRefunds", "", "refunds").await? {
            file.line(&refund_line(&refund, day)?);
        }
    }
    if let Some(wrong) = wrong {
        file.line(&Line { order: wrong.alone, ..true_line(&day.payments[0]) });
    }
    Ok(file.end())
}

async fn upload(stage: &Stage, region: &str, text: String) -> anyhow::Result<()> {
    let delivery = Delivery { channel: UNIONPAY, ..Delivery::csv(DAY_ONE, Path::new("book.csv")) };
    let stored = recon::upload(&stage.as_(region)?, &delivery, std::io::Cursor::new(text.as_bytes())).await?;
    ensure!(stored["state"] == "FILE_STATE_RECEIVED", "{region}'s book is read: {stored}");
    Ok(())
}
