//! What a job will send, and the files that channels take: read from the gateway page by page.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use jjj_domain::entitlement::{Funding, GrantState};
use jjj_domain::ledger::Book;
use jjj_domain::names::{Collection, Name, Participant};
use jjj_domain::time::Month;
use jjj_wire::pb;
use prost::Message;

use super::job::{Job, Plan, Planner};
use super::results::{self, CREDIT_HEADER};
use super::send::Caller;
use super::task::Task;

const PAGE: i32 = 1_000;
/// How often the books are read for a funding before it is refused.
const READINGS: u32 = 5;
/// Longer than the newest checkpoint is behind the log.
const BETWEEN_READINGS: Duration = Duration::from_secs(2);
/// Longer than what is booked waits for its number.
const NUMBERED: Duration = Duration::from_millis(200);

/// Plans a job: every request has its id and is on disk before the first is sent.
pub async fn make(job: &Job, caller: &Caller, per_call: u64) -> anyhow::Result<Plan> {
    let mut planner = job.planner(per_call)?;
    let mut funding = None;
    match &job.terms.task {
        Task::Grant { programme, month, channel, elders } => {
            let push = |planner: &mut Planner, elder: String| {
                let request = pb::GrantEntitlementRequest {
                    request_id: caller.client.request_id(),
                    elder,
                    programme: programme.clone(),
                    month: month.clone(),
                    basis: String::new(),
                    channel: channel.clone(),
                };
                caller.bar.set_position(planner.requests());
                planner.push(&request.encode_to_vec())
            };
            match elders {
                Some(file) => from_file(file, |elder| push(&mut planner, elder))?,
                None => from_register(caller, month, |elder| push(&mut planner, elder)).await?,
            }
        }
        Task::Fund { programme, month, since, channel, reference } => {
            let need = self::funding(caller, programme, since.parse()?, month.parse()?, &channel.parse()?).await?;
            if need.needed_fen() > 0 {
                let request = pb::FundChannelRequest {
                    request_id: caller.client.request_id(),
                    programme: programme.clone(),
                    channel: channel.clone(),
                    amount_fen: need.needed_fen(),
                    reference: reference.clone(),
                };
                planner.push(&request.encode_to_vec())?;
            }
            funding = Some(need);
        }
        Task::Report { file } => {
            let results = BufReader::new(File::open(file).with_context(|| format!("reading {}", file.display()))?);
            let take = |row: results::Row| match row {
                Ok(request) => {
                    caller.bar.set_position(planner.requests());
                    let request = pb::ReportCreditRequest { request_id: caller.client.request_id(), ..request };
                    planner.push(&request.encode_to_vec())
                }
                Err(fault) => planner.damaged(fault.line, &fault.field, &fault.reason.to_string()),
            };
            results::read(results, take).with_context(|| format!("reading {}", file.display()))?;
        }
    }
    planner.finish(funding)
}

/// Names of elders, one a line; empty lines are skipped. Nothing is planned of a file with anything else in it.
fn from_file(path: &Path, mut each: impl FnMut(String) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let file = File::open(path).with_context(|| format!("reading {}", path.display()))?;
    for (at, line) in BufReader::new(file).lines().enumerate() {
        let line = line.with_context(|| format!("{}, line {}", path.display(), at + 1))?;
        let name = line.trim();
        if !name.is_empty() {
            let elder = Name::parse_field("elder", name, &[Collection::Elder]);
            each(elder.with_context(|| format!("{}, line {}", path.display(), at + 1))?.to_string())?;
        }
    }
    Ok(())
}

/// The region's register: the living, and those who died in or after the month, which is still theirs.
async fn from_register(
    caller: &Caller,
    month: &str,
    mut each: impl FnMut(String) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let region = caller.client.participant();
    let first_day = month.parse::<Month>()?.first_day();
    for state in ["state = \"ACTIVE\"".to_owned(), format!("state = \"DECEASED\" AND died_on >= \"{first_day}\"")] {
        let filter = format!("household_region = \"{region}\" AND {state}");
        pages(async |page_token| {
            let request = pb::ListEldersRequest { filter: filter.clone(), page_size: PAGE, page_token };
            let page: pb::ListEldersResponse = caller.read("ElderService/ListElders", &request).await?;
            page.elders.into_iter().try_for_each(|elder| each(elder.name))?;
            Ok(page.next_page_token)
        })
        .await?;
    }
    Ok(())
}

/// What a channel needs for the grants of these months, by the ledger: read page by page, so it counts only when
/// nothing that it adds up moved meanwhile.
pub async fn funding(
    caller: &Caller,
    programme: &str,
    since: Month,
    month: Month,
    channel: &Participant,
) -> anyhow::Result<Funding> {
    ensure!(since <= month, "--since {since} is after {month}");
    let region: Participant = caller.client.participant().parse().context("funding is the paying region's")?;
    let book = Book::new(region.clone(), programme).context("--programme")?;
    let uncredited = async |funding: &mut Funding, state| -> anyhow::Result<()> {
        for after in 0..=month.months_since(since) {
            let filter = grant_filter(&region, programme, since.plus(after), channel, state);
            grants(caller, filter, |grant| {
                funding.grant(state, grant.amount_fen);
                Ok(())
            })
            .await?;
        }
        Ok(())
    };
    for attempt in 0..READINGS {
        if attempt > 0 {
            caller.bar.set_message("the books moved; reading them again");
            tokio::time::sleep(BETWEEN_READINGS).await;
        }
        let sealed: pb::Checkpoint =
            caller.read("LedgerService/GetCheckpoint", &pb::GetCheckpointRequest::default()).await?;
        // A credit that fails books nothing: a grant may pass from one list to the other, and shows in this one.
        let mut funding = Funding::default();
        uncredited(&mut funding, GrantState::CreditFailed).await?;
        let failed_fen = funding.uncredited_fen;
        uncredited(&mut funding, GrantState::Granted).await?;
        accounts(caller, &book, channel, &mut funding).await?;
        let mut failed = Funding::default();
        uncredited(&mut failed, GrantState::CreditFailed).await?;
        // What was booked last has its number by then.
        tokio::time::sleep(NUMBERED).await;
        if failed.uncredited_fen == failed_fen && is_at_rest(caller, &book, sealed.tree_size).await? {
            return Ok(funding);
        }
    }
    bail!("the books are moving: fund when the channel is quiet")
}

/// Every account of the book that counts.
async fn accounts(caller: &Caller, book: &Book, channel: &Participant, funding: &mut Funding) -> anyhow::Result<()> {
    for kind in Funding::KINDS {
        let filter = format!("book = \"{book}\" AND kind = \"{kind}\"");
        pages(async |page_token| {
            let request = pb::ListAccountsRequest { filter: filter.clone(), page_size: PAGE, page_token };
            let page: pb::ListAccountsResponse = caller.read("LedgerService/ListAccounts", &request).await?;
            for account in page.accounts {
                let name = account.name.strip_prefix("accounts/").unwrap_or(&account.name);
                funding.account(channel.code(), &name.parse().context("an account's name")?, account.posted_fen);
            }
            Ok(page.next_page_token)
        })
        .await?;
    }
    Ok(())
}

/// Whether nothing was booked since the log had a size.
async fn is_at_rest(caller: &Caller, book: &Book, size: i64) -> anyhow::Result<bool> {
    let filter = format!("book = \"{book}\" AND ledger_number > \"{size}\"");
    let request = pb::ListEntriesRequest { filter, page_size: 1, page_token: String::new() };
    let page: pb::ListEntriesResponse = caller.read("LedgerService/ListEntries", &request).await?;
    Ok(page.entries.is_empty())
}

/// Writes what is to be credited; the rows and their sum in fen. The file is whole, or as it was before.
pub async fn credits(
    caller: &Caller,
    region: &Participant,
    programme: &str,
    month: Month,
    with_failed: bool,
    out: &Path,
) -> anyhow::Result<(u64, i64)> {
    let channel: Participant = caller.client.participant().parse().context("the file is for a channel")?;
    let new = out.with_added_extension("new");
    let file = BufWriter::new(File::create(&new).with_context(|| format!("writing {}", new.display()))?);
    let mut table = csv::Writer::from_writer(file);
    table.write_record(CREDIT_HEADER)?;
    let (mut rows, mut sum_fen) = (0, 0);
    let states =
        if with_failed { &[GrantState::Granted, GrantState::CreditFailed][..] } else { &[GrantState::Granted] };
    for state in states {
        grants(caller, grant_filter(region, programme, month, &channel, *state), |grant| {
            (rows, sum_fen) = (rows + 1, sum_fen + grant.amount_fen);
            let pb::Grant { name, elder, programme, month, amount_fen, region, .. } = grant;
            Ok(table.write_record([name, elder, programme, month, amount_fen.to_string(), region])?)
        })
        .await?;
    }
    let file = table.into_inner().map_err(|e| e.into_error())?;
    file.into_inner().map_err(|e| e.into_error())?.sync_all()?;
    std::fs::rename(&new, out).with_context(|| format!("writing {}", out.display()))?;
    Ok((rows, sum_fen))
}

/// Every grant that a filter lists, page by page.
async fn grants(
    caller: &Caller,
    filter: String,
    mut each: impl FnMut(pb::Grant) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    pages(async |page_token| {
        let request = pb::ListGrantsRequest { filter: filter.clone(), page_size: PAGE, page_token };
        let page: pb::ListGrantsResponse = caller.read("EntitlementService/ListGrants", &request).await?;
        page.grants.into_iter().try_for_each(&mut each)?;
        Ok(page.next_page_token)
    })
    .await
}

/// Takes page after page by the token of the one before; the last has none.
async fn pages(mut take: impl AsyncFnMut(String) -> anyhow::Result<String>) -> anyhow::Result<()> {
    let mut page_token = String::new();
    loop {
        page_token = take(page_token).await?;
        if page_token.is_empty() {
            return Ok(());
        }
    }
}

fn grant_filter(
    region: &Participant,
    programme: &str,
    month: Month,
    channel: &Participant,
    state: GrantState,
) -> String {
    format!(
        "region = \"{region}\" AND month = \"{month}\" AND programme = \"{}\" AND channel = \"{channel}\" AND state = \"{state}\"",
        programme.replace('\\', "\\\\").replace('"', "\\\"")
    )
}
