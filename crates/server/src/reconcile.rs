//! Runs: what they go by beside the ledger, and those that the gateway makes by itself. What is
//! due is a rule ([`schedule`], [`ResolveAutomatically`]); every replica looks, and who comes second
//! gets the first one's answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jjj_domain::key;
use jjj_domain::ledger::{AccountKind, AccountRow, Book};
use jjj_domain::names::{Participant, RequestId};
use jjj_domain::policy::{self, AgreedFee, BreakPolicy, ChannelPolicy, PolicyBody, PolicyRow};
use jjj_domain::recon::matching::FeeRule;
use jjj_domain::recon::resolve::ResolveAutomatically;
use jjj_domain::recon::run::{LINES_PER_PART, RunBook, StartRun};
use jjj_domain::recon::schedule::{self, Due, ScheduledRun};
use jjj_domain::recon::{BreakRow, BreakState, FileRow};
use jjj_domain::time::{Date, Timestamp};
use jjj_domain::value::Column;
use jjj_store::{ListQuery, Op};
use sha2::{Digest, Sha256};

use crate::bootstrap::own_job;
use crate::engine::Job;
use crate::files;
use crate::gateway::Gateway;
use crate::status::Refused;
use crate::stop::{Stop, step, stopped};

const LOOK: Duration = Duration::from_secs(2);
/// A date whose run was refused is left alone for so long.
const PAUSE: Duration = Duration::from_secs(60);
/// Most breaks of a channel resolved in one step: payments do not wait behind a flood.
const MOST: usize = 128;
/// Breaks of a channel that a step looks at. The next one goes on behind them, and after the last begins anew.
const PAGE: i64 = 1_024;
/// More files of one channel and date, and accounts of one kind, than there are.
const ALL: i64 = 100_000;

/// A run of which nothing has been read yet.
pub fn unprepared(channel: Participant, clearing_date: Date, allow_missing_files: bool) -> StartRun {
    let (files, books, cut, fee, default_book) = (Vec::new(), Vec::new(), 0, None, None);
    let lines_per_part = LINES_PER_PART;
    StartRun { channel, clearing_date, allow_missing_files, files, books, cut, fee, default_book, lines_per_part }
}

/// What a run goes by beside the ledger: the files that are there, the agreed fee, and where
/// to book what nothing else places.
pub async fn prepare(gateway: &Gateway, command: &mut StartRun) -> Result<(), Refused> {
    let failed = |e| Refused::store("preparing a run", &e);
    let (channel, date) = (&command.channel, command.clearing_date);
    let mut session = gateway.store.read().await.map_err(failed)?;
    let predicates = vec![("channel", Op::Eq, channel.to_value()), ("clearing_date", Op::Eq, date.to_value())];
    let query = ListQuery { predicates, limit: ALL, ..ListQuery::default() };
    let of_date: Vec<FileRow> = session.list(&query).await.map_err(failed)?;
    command.cut = session.tree_size().await.map_err(failed)?;
    drop(session);
    let wanted: Vec<&FileRow> = of_date.iter().filter(|file| file.states_day_of(channel)).collect();
    command.files = files::read_for_run(gateway, &wanted, &of_date).await?;
    let books: Vec<&FileRow> = of_date.iter().filter(|file| file.is_book()).collect();
    let read = files::read_for_run(gateway, &books, &of_date).await?;
    let regions = books.iter().map(|book| book.sender.clone());
    command.books = regions.zip(read).map(|(region, file)| RunBook { region, file }).collect();
    let of_channel = |snapshot: &_, _| policy::find::<ChannelPolicy>(snapshot, channel.code(), date);
    command.fee = gateway.engine.read(of_channel).await?.and_then(|policy| policy.agreed_fee).map(fee_rule);
    command.default_book = default_book(gateway, channel).await?;
    Ok(())
}

fn fee_rule(fee: AgreedFee) -> FeeRule {
    FeeRule { basis_points: fee.basis_points, min_fen: fee.min_fen, max_fen: fee.max_fen }
}

/// Where rows go that nothing else places [D]: the book that has most money with the channel;
/// of a channel that nobody funds beforehand, the first book that cleared something with it.
async fn default_book(gateway: &Gateway, channel: &Participant) -> Result<Option<Book>, Refused> {
    let accounts = async |kind: AccountKind| -> Result<Vec<AccountRow>, Refused> {
        let failed = |e| Refused::store("preparing a run", &e);
        let predicates = vec![("kind", Op::Eq, kind.to_value())];
        let mut session = gateway.store.read().await.map_err(failed)?;
        let query = ListQuery { predicates, limit: ALL, ..ListQuery::default() };
        let rows: Vec<AccountRow> = session.list(&query).await.map_err(failed)?;
        Ok(rows.into_iter().filter(|row| row.account.a == channel.code()).collect())
    };
    let funded = accounts(AccountKind::Prefund).await?;
    let most = funded.into_iter().max_by(|a, b| (a.posted_fen, &b.book).cmp(&(b.posted_fen, &a.book)));
    if let Some(most) = most {
        return Ok(Some(most.book));
    }
    Ok(accounts(AccountKind::Clearing).await?.into_iter().map(|row| row.book).min())
}

/// Makes the runs that are due and resolves what resolves itself, until told to stop.
pub(crate) async fn run(gateway: Arc<Gateway>, mut stop: Stop) {
    let (mut refused, mut places) = (HashMap::new(), Places::new());
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stopped(&mut stop) => return,
        }
        refused.retain(|_, at: &mut Instant| at.elapsed() < PAUSE);
        if let Some(Err(error)) = step("scheduled runs", scheduled(&gateway, &mut refused)).await {
            tracing::warn!(?error, "scheduled runs could not be looked for; the next step tries again");
        }
        if let Some(Err(error)) = step("automatic resolutions", automatic(&gateway, &mut places)).await {
            tracing::warn!(?error, "breaks could not be resolved by policy; the next step tries again");
        }
    }
}

/// Dates whose last run was refused, and when.
type RefusedDates = HashMap<(Participant, Date), Instant>;

async fn scheduled(gateway: &Gateway, refused: &mut RefusedDates) -> Result<(), Refused> {
    for due in gateway.engine.read(schedule::due).await? {
        let date = (due.channel.clone(), due.date);
        if refused.contains_key(&date) {
            continue;
        }
        if let Err(error) = start(gateway, &due).await {
            tracing::warn!(channel = %due.channel, date = %due.date, ?error, "a scheduled run was not made");
            refused.insert(date, Instant::now());
        }
    }
    Ok(())
}

async fn start(gateway: &Gateway, due: &Due) -> Result<(), Refused> {
    let mut command = unprepared(due.channel.clone(), due.date, due.lacks_files);
    prepare(gateway, &mut command).await?;
    let content = format!("run {} {} {}", due.channel, due.date, due.number);
    let request_id = id_of(due.at, &content);
    let job = own_job(&gateway.clock, &content, Box::new(ScheduledRun(command)));
    let run = gateway.engine.submit(Job { request_id, alone: true, ..job }).await?;
    tracing::info!(channel = %due.channel, date = %due.date, run = run.leaf.record, "a scheduled run");
    Ok(())
}

/// The id of a run by what it is, so that replicas that find it due at once make one request.
fn id_of(due_at: Timestamp, content: &str) -> RequestId {
    let digest: [u8; 32] = Sha256::digest(content).into();
    let random = digest.first_chunk::<10>().expect("a digest is longer");
    let uuid = uuid::Builder::from_unix_timestamp_millis(due_at.0.max(0).unsigned_abs() / 1_000, random).into_uuid();
    RequestId::new(uuid).expect("the builder makes version 7")
}

/// Up to which break of a channel the walk has come; `None` are the breaks of no channel.
type Places = HashMap<Option<Participant>, String>;

/// Resolves breaks nobody works on as their channels' policies say.
async fn automatic(gateway: &Gateway, places: &mut Places) -> Result<(), Refused> {
    let has_rules = gateway.engine.read(|snapshot, now| {
        let policies = snapshot.list::<PolicyRow>(&["kind"], key![BreakPolicy::KIND])?;
        let in_force = |row: &&Arc<PolicyRow>| row.effective_from <= now.date();
        let rules = |row: &Arc<PolicyRow>| serde_json::from_str::<BreakPolicy>(&row.body).map(|p| p.automatic);
        Ok(policies.iter().filter(in_force).any(|row| rules(row).is_ok_and(|rules| !rules.is_empty())))
    });
    if !has_rules.await? {
        return Ok(());
    }
    let channels: Vec<Participant> = gateway.registry.view().channels().cloned().collect();
    for channel in channels.into_iter().map(Some).chain([None]) {
        match resolve_some(gateway, &channel, places.remove(&channel)).await {
            Ok(place) => places.extend(place.map(|place| (channel, place))),
            // The others' breaks do not wait for it.
            Err(error) => tracing::warn!(?channel, ?error, "breaks could not be resolved by policy"),
        }
    }
    Ok(())
}

/// Resolves what it may of the breaks behind a place; the place behind those it has looked at, `None` after the last.
async fn resolve_some(
    gateway: &Gateway,
    channel: &Option<Participant>,
    place: Option<String>,
) -> Result<Option<String>, Refused> {
    let failed = |e| Refused::store("looking for breaks", &e);
    // In the order of an index.
    let predicates = vec![("state", Op::Eq, BreakState::New.to_value()), ("channel", Op::Eq, channel.to_value())];
    let query = ListQuery { predicates, after_key: place.map(|name| key![name]), limit: PAGE, ..ListQuery::default() };
    let rows: Vec<BreakRow> = gateway.store.read().await.map_err(failed)?.list(&query).await.map_err(failed)?;
    if rows.is_empty() {
        return Ok(None);
    }
    let fits = gateway.engine.read(|snapshot, _| {
        // All of them, before any misses something: one load serves all.
        let fits: Vec<_> = rows.iter().map(|row| ResolveAutomatically::fits(snapshot, row)).collect();
        fits.into_iter().collect::<Result<Vec<bool>, _>>()
    });
    let (fitting, last) = portion(&fits.await?);
    let jobs = fitting.iter().map(|n| {
        let row = &rows[*n];
        let content = format!("resolve {} {}", row.break_name, row.version);
        let command = ResolveAutomatically { break_name: row.break_name.clone() };
        own_job(&gateway.clock, &content, Box::new(command))
    });
    for outcome in gateway.engine.submit_all(jobs.collect()).await {
        match outcome {
            // Resolved by another replica, or taken up by somebody.
            Ok(_) | Err(Refused::Rejected(_)) => {}
            Err(refused) => return Err(refused),
        }
    }
    Ok(last.map(|last| rows[last].break_name.clone()))
}

/// Which breaks of a page are resolved in this step, by which of them fit, and the last of those looked at; `None`
/// where that is a channel's last break.
fn portion(fits: &[bool]) -> (Vec<usize>, Option<usize>) {
    let fitting: Vec<usize> = (0..fits.len()).filter(|n| fits[*n]).take(MOST).collect();
    let last = match fitting.last() {
        Some(last) if fitting.len() == MOST => *last,
        _ => fits.len().saturating_sub(1),
    };
    let is_all = last + 1 >= fits.len() && (fits.len() as i64) < PAGE;
    (fitting, (!is_all).then_some(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_resolves_so_many_breaks_and_the_next_goes_on_behind_them() {
        let full = PAGE as usize;
        assert_eq!(portion(&[]), (vec![], None));
        assert_eq!(portion(&[false, true, false]), (vec![1], None), "a channel's last ones");
        assert_eq!(portion(&vec![false; full]), (vec![], Some(full - 1)), "a page of those that do not fit");
        let (fitting, last) = portion(&vec![true; full]);
        assert_eq!((fitting.len(), last), (MOST, Some(MOST - 1)));
        assert_eq!(portion(&[true; MOST]).1, None);
        assert_eq!(portion(&[true; MOST + 1]).1, Some(MOST - 1));
    }

    #[test]
    fn a_run_has_one_id_wherever_it_is_found_due() {
        let at = Timestamp(1_795_000_000_000_000);
        let id = id_of(at, "run channels/unionpay 2026-11-16 1");
        assert_eq!(id, id_of(at, "run channels/unionpay 2026-11-16 1"));
        assert_ne!(id, id_of(at, "run channels/unionpay 2026-11-16 2"));
        assert_eq!(id.unix_ms(), at.0 / 1_000);
    }
}
