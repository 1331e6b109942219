//! Receipts that others kept: every promise in them must have been kept by this log.

use jjj_store::{Session, StoreError};
use jjj_token::receipt::Receipt;

use super::leaves::Context;
use super::order::Place;
use super::report::{Check, Findings, quote};

/// Checks each, named as it was given. Of those whose leaf is in the log, its place and the deadline.
pub async fn check(
    session: &mut Session,
    receipts: &[(String, Receipt)],
    context: &Context,
    at_us: i64,
    findings: &mut Findings,
) -> Result<Vec<(Place, i64)>, StoreError> {
    let mut recorded = Vec::new();
    for (name, receipt) in receipts {
        // What the gateway did not sign binds it to nothing.
        if let Err(problem) = signed(receipt, context) {
            findings.row(Check::Receipt, "receipts", name, problem);
            continue;
        }
        let hash = hex::encode(receipt.leaf_hash);
        match session.leaf_index_of(&receipt.record, receipt.version, &hash).await? {
            Some(index) => recorded.push((Place::try_from(index).unwrap_or(Place::MAX), receipt.log_deadline_us)),
            None if at_us <= receipt.log_deadline_us => {}
            None => {
                let (record, version, by) = (quote(&receipt.record), receipt.version, receipt.log_deadline_us);
                let mut problem = format!("promises {record}, version {version}, by {by}: its leaf is not in the log");
                if let Some(newest) = context.origins.newest().filter(|newest| *newest != receipt.origin) {
                    let former = quote(&receipt.origin);
                    problem.push_str(&format!(", which was {former} then, lost leaves, and goes on as {newest}"));
                }
                findings.row(Check::Receipt, "receipts", name, problem);
            }
        }
    }
    Ok(recorded)
}

fn signed(receipt: &Receipt, context: &Context) -> Result<(), String> {
    if !context.origins.has(&receipt.origin) {
        return Err(format!("is of the gateway {}", quote(&receipt.origin)));
    }
    let key = context.keys.gateway(&receipt.kid).ok_or("is signed with a key that is not the gateway's")?;
    receipt.verify(&key.key).map_err(|e| e.to_string())
}
