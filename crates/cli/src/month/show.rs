//! Jobs as people and machines want to see them.

use std::path::Path;

use jjj_domain::entitlement::Funding;
use serde_json::{Value, json};

use super::job::Standing;
use super::tally::Became;
use super::task::Task;
use crate::output::{self, yuan};

/// How a job stands.
pub fn job(standing: &Standing, as_json: bool) {
    if as_json {
        return output::json(&job_json(standing));
    }
    let Standing { plan, tally, is_done, refused, .. } = standing;
    let Some(plan) = plan else { return println!("{}: planning, nothing was sent", word(&standing.terms.task)) };
    println!(
        "{}: {}, {} of {} requests answered",
        word(&standing.terms.task),
        state(standing),
        tally.answered(),
        plan.requests
    );
    if let Some(need) = &plan.funding {
        funding(need);
    }
    for (became, (count, sum_fen)) in &tally.accepted {
        println!("{:<16} {count:>9}  {} yuan", became.word(), yuan(*sum_fen));
    }
    if tally.already_granted > 0 {
        println!("{:<16} {:>9}", "already granted", tally.already_granted);
    }
    for (reason, count) in &tally.refused {
        println!("{:<16} {count:>9}  {reason}", "refused");
    }
    if let Task::Report { .. } = standing.terms.task {
        println!("{:<16} {:>9}", "damaged", plan.damaged_rows);
        if *is_done {
            println!(
                "rows {} = credited {} + failed {} + refused {} + damaged {}",
                plan.requests + plan.damaged_rows,
                count(standing, Became::Credited),
                count(standing, Became::Failed),
                tally.refused(),
                plan.damaged_rows
            );
        }
    }
    if *is_done && tally.refused() > 0 {
        println!("refused requests are listed in {}", refused.display());
    }
    if plan.damaged_rows > 0 {
        println!("damaged rows are listed in {}", refused.with_file_name("damaged.csv").display());
    }
}

fn job_json(standing: &Standing) -> Value {
    let Standing { terms, plan, tally, refused, .. } = standing;
    let mut value = tally.to_json();
    value["job"] = serde_json::to_value(terms).unwrap_or_default();
    value["state"] = state(standing).into();
    value["answered"] = tally.answered().into();
    value["refused_file"] = refused.display().to_string().into();
    if let Some(plan) = plan {
        value["requests"] = plan.requests.into();
        value["damaged_rows"] = plan.damaged_rows.into();
        value["funding"] = plan.funding.as_ref().map_or(Value::Null, funding_json);
    }
    value
}

fn state(standing: &Standing) -> &'static str {
    match (&standing.plan, standing.is_done) {
        (None, _) => "planning",
        (Some(_), false) => "under way",
        (Some(_), true) => "done",
    }
}

fn word(task: &Task) -> &'static str {
    match task {
        Task::Grant { .. } => "grant",
        Task::Fund { .. } => "fund",
        Task::Report { .. } => "report",
    }
}

fn count(standing: &Standing, became: Became) -> u64 {
    standing.tally.accepted.get(&became).map_or(0, |(count, _)| *count)
}

/// What a channel needs and why.
pub fn funding(need: &Funding) {
    println!("{:<16} {:>16} yuan", "uncredited", yuan(need.uncredited_fen));
    for (kind, fen) in &need.accounts_fen {
        println!("  {kind:<14} {:>16}", yuan(*fen));
    }
    println!("{:<16} {:>16} yuan", "free", yuan(need.free_fen));
    println!("{:<16} {:>16} yuan", "needed", yuan(need.needed_fen()));
}

/// As JSON; amounts are strings, as everywhere.
pub fn funding_json(need: &Funding) -> Value {
    let accounts: serde_json::Map<String, Value> =
        need.accounts_fen.iter().map(|(kind, fen)| (kind.clone(), fen.to_string().into())).collect();
    json!({
        "uncredited_fen": need.uncredited_fen.to_string(), "accounts_fen": accounts,
        "free_fen": need.free_fen.to_string(), "needed_fen": need.needed_fen().to_string(),
    })
}

/// A file of what is to be credited was written.
pub fn credits(rows: u64, amount_fen: i64, out: &Path, as_json: bool) {
    if as_json {
        output::json(&json!({"rows": rows, "amount_fen": amount_fen.to_string(), "file": out.display().to_string()}));
    } else {
        println!("{rows} rows, {} yuan: {}", yuan(amount_fen), out.display());
    }
}
