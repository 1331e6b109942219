//! Reconciliation: run, look at breaks, resolve four-eyed, sign, report.

use std::sync::Arc;

use jjj_domain::key;
use jjj_domain::ledger::{AccountKind, AccountRow, Book};
use jjj_domain::names::{Collection, Participant, ParticipantKind};
use jjj_domain::policy::{self, AgreedFee, ChannelPolicy};
use jjj_domain::recon::matching::FeeRule;
use jjj_domain::recon::resolve::{AssignBreak, DecideResolution, ProposeResolution};
use jjj_domain::recon::run::StartRun;
use jjj_domain::recon::view::SignView;
use jjj_domain::recon::{BreakRow, FileRow, RunRow, UnitRow, ViewRow};
use jjj_domain::rejection::Reason;
use jjj_domain::row::{Row, StoredFault};
use jjj_domain::time::Date;
use jjj_domain::value::{Column, ColumnType, Value};
use jjj_store::{ListQuery, Op, Predicate};
use jjj_wire::pb;
use jjj_wire::pb::reconciliation_service_server::ReconciliationService;
use jjj_wire::reconciliation as wire;
use tonic::{Request, Response, Status};

use super::channel::is_answered;
use super::fields;
use super::filter::{Field, Filter};
use super::page::Paging;
use super::read::{Sees, failed, get, inconsistent, page, refuse, versions};
use super::support::{Asked, Mutation, Parsed, batch, caller, mutate};
use crate::engine::LeafView;
use crate::files;
use crate::gateway::Gateway;
use crate::identity::Caller;

pub struct ReconciliationApi(pub Arc<Gateway>);

const RUNS: &[Field] =
    &[("channel", Some("channel")), ("clearing_date", Some("clearing_date")), ("state", Some("state"))];
const BREAKS: &[Field] = &[
    ("category", Some("category")),
    ("break_class", Some("class")),
    ("state", Some("state")),
    ("priority", Some("priority")),
    ("channel", Some("channel")),
    ("clearing_date", Some("clearing_date")),
    ("region", Some("region")),
    ("programme", Some("programme")),
    ("institution_region", Some("institution_region")),
    ("subject", Some("subject")),
    ("assignee", Some("assignee")),
    ("opened_by", Some("opened_by")),
    ("seen_by", Some("seen_by")),
    ("due_on", Some("due_on")),
];

/// More files of one channel and date, views of one run, or runs of one gateway's years, than there are.
const ALL: i64 = 100_000;

#[tonic::async_trait]
impl ReconciliationService for ReconciliationApi {
    async fn start_run(&self, request: Request<pb::StartRunRequest>) -> Result<Response<pb::StartRunResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let (channel, date) = wire::run_of(q).map_err(refuse)?;
        let mut command = StartRun {
            channel,
            clearing_date: date,
            allow_missing_files: q.allow_missing_files,
            files: Vec::new(),
            cut: 0,
            fee: None,
            default_book: None,
        };
        if !is_answered(&self.0, &caller, &q.request_id).await? {
            self.prepare(&mut command).await?;
        }
        let parse = |_: &pb::StartRunRequest, _: &Asked<'_>| -> Parsed { Ok(Mutation::new(command.clone()).alone()) };
        mutate(&self.0, request, parse, render_run).await
    }

    async fn get_run(&self, request: Request<pb::GetRunRequest>) -> Result<Response<pb::Run>, Status> {
        let caller = caller(&request)?;
        let row = self.run(&caller, "name", &request.get_ref().name).await?;
        let views = self.views(&row).await?;
        Ok(Response::new(wire::run(&row, views.into_iter().map(|view| view.participant))))
    }

    async fn list_runs(&self, request: Request<pb::ListRunsRequest>) -> Result<Response<pb::ListRunsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let filter = Filter::parse(&q.filter, RUNS).map_err(refuse)?;
        let mut predicates = filter.predicates(RunRow::spec()).map_err(refuse)?;
        predicates.extend(own_channel(&caller));
        let paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        let mut session = self.0.store.read().await.map_err(failed)?;
        let query = ListQuery { predicates, limit: ALL, ..ListQuery::default() };
        let mut rows: Vec<RunRow> = session.list(&query).await.map_err(failed)?;
        drop(session);
        rows.sort_by(|a, b| order(b).cmp(&order(a)));
        if !paging.token.is_empty() {
            let after = match &paging.decode(&[ColumnType::Int, ColumnType::Text]).map_err(refuse)?[..] {
                [Value::Int(at), Value::Text(run)] => (*at, run.clone()),
                _ => return Err(refuse(Reason::PageTokenMalformed.field("page_token"))),
            };
            rows.retain(|row| order(row) < (after.0, &after.1));
        }
        let is_more = rows.len() as i64 > paging.size;
        rows.truncate(paging.size as usize);
        let next_page_token = match rows.last() {
            Some(last) if is_more => paging.encode(&[last.recorded_at_us.to_value(), last.run.to_value()]),
            _ => String::new(),
        };
        let mut runs = Vec::with_capacity(rows.len());
        for row in &rows {
            let views = self.views(row).await?;
            runs.push(wire::run(row, views.into_iter().map(|view| view.participant)));
        }
        Ok(Response::new(pb::ListRunsResponse { runs, next_page_token }))
    }

    async fn list_breaks(
        &self,
        request: Request<pb::ListBreaksRequest>,
    ) -> Result<Response<pb::ListBreaksResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let filter = Filter::parse(&q.filter, BREAKS).map_err(refuse)?;
        let mut predicates = filter.predicates(BreakRow::spec()).map_err(refuse)?;
        predicates.extend(own_channel(&caller));
        let paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        let (rows, next_page_token) =
            page::<BreakRow>(&self.0, &caller, predicates, &paging, sees(&caller), |_| true).await?;
        let today = self.today();
        let breaks = rows.iter().map(|row| wire::reconciliation_break(row, today)).collect();
        Ok(Response::new(pb::ListBreaksResponse { breaks, next_page_token }))
    }

    async fn get_break(&self, request: Request<pb::GetBreakRequest>) -> Result<Response<pb::Break>, Status> {
        let caller = caller(&request)?;
        let row = self.known_break(&caller, &request.get_ref().name).await?;
        Ok(Response::new(wire::reconciliation_break(&row, self.today())))
    }

    async fn list_break_versions(
        &self,
        request: Request<pb::ListBreakVersionsRequest>,
    ) -> Result<Response<pb::ListBreakVersionsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let paging = Paging::new(caller.method.path, &q.name, q.page_size, &q.page_token).map_err(refuse)?;
        let newest = self.known_break(&caller, &q.name).await?;
        let (leaves, next_page_token) = versions(&self.0, &q.name, newest.version, &paging).await?;
        let rows = leaves.iter().map(own_row).collect::<Result<Vec<_>, _>>().map_err(inconsistent)?;
        let today = self.today();
        let breaks = rows.iter().map(|row| wire::reconciliation_break(row, today)).collect();
        Ok(Response::new(pb::ListBreakVersionsResponse { breaks, next_page_token }))
    }

    async fn assign_break(
        &self,
        request: Request<pb::AssignBreakRequest>,
    ) -> Result<Response<pb::AssignBreakResponse>, Status> {
        let parse = |q: &pb::AssignBreakRequest, _: &Asked<'_>| Ok(Mutation::new(AssignBreak::try_from(q)?));
        let render = |leaf: &LeafView, receipt| {
            Ok(pb::AssignBreakResponse { reconciliation_break: Some(answered(leaf)?), receipt: Some(receipt) })
        };
        mutate(&self.0, request, parse, render).await
    }

    async fn propose_resolution(
        &self,
        request: Request<pb::ProposeResolutionRequest>,
    ) -> Result<Response<pb::ProposeResolutionResponse>, Status> {
        mutate(&self.0, request, parse_propose, render_propose).await
    }

    async fn batch_propose_resolutions(
        &self,
        request: Request<pb::BatchMutateRequest>,
    ) -> Result<Response<pb::BatchMutateResponse>, Status> {
        batch(&self.0, request, parse_propose, render_propose).await
    }

    async fn decide_resolution(
        &self,
        request: Request<pb::DecideResolutionRequest>,
    ) -> Result<Response<pb::DecideResolutionResponse>, Status> {
        mutate(&self.0, request, parse_decide, render_decide).await
    }

    async fn batch_decide_resolutions(
        &self,
        request: Request<pb::BatchMutateRequest>,
    ) -> Result<Response<pb::BatchMutateResponse>, Status> {
        batch(&self.0, request, parse_decide, render_decide).await
    }

    async fn get_view(&self, request: Request<pb::GetViewRequest>) -> Result<Response<pb::View>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let (run, participant) = wire::view_name("name", &q.name).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.name, q.page_size, &q.page_token).map_err(refuse)?;
        let key = key![run.clone(), participant.clone()];
        let row: ViewRow = get(&self.0, &caller, key, &q.name, Sees::Readers).await?;
        let is_whole = participant.kind() == ParticipantKind::Gateway;
        let query = ListQuery {
            predicates: vec![("run", Op::Eq, run.to_value())],
            reader: (!is_whole).then_some(participant.as_str()),
            after_key: paging.after(UnitRow::spec()).map_err(refuse)?,
            limit: paging.size + 1,
        };
        let mut session = self.0.store.read().await.map_err(failed)?;
        let mut units: Vec<UnitRow> = session.list(&query).await.map_err(failed)?;
        let is_more = units.len() as i64 > paging.size;
        units.truncate(paging.size as usize);
        let next_page_token = match units.last() {
            Some(last) if is_more => paging.encode(&[last.run.to_value(), last.position.to_value()]),
            _ => String::new(),
        };
        let page_rows = units.into_iter().map(wire::view_row).collect();
        Ok(Response::new(pb::View { page_rows, next_page_token, ..wire::view(&row, self.today()) }))
    }

    async fn sign_view(&self, request: Request<pb::SignViewRequest>) -> Result<Response<pb::SignViewResponse>, Status> {
        let parse = |q: &pb::SignViewRequest, _: &Asked<'_>| Ok(Mutation::new(SignView::try_from(q)?));
        let render = |leaf: &LeafView, receipt| {
            let view = wire::view(&leaf.row()?, leaf.recorded_at.date());
            Ok(pb::SignViewResponse { view: Some(view), receipt: Some(receipt) })
        };
        mutate(&self.0, request, parse, render).await
    }
}

impl ReconciliationApi {
    fn today(&self) -> Date {
        self.0.clock.now().date()
    }

    /// What a run goes by beside the ledger: the files that are there, the agreed fee, and where
    /// to book what nothing else places.
    async fn prepare(&self, command: &mut StartRun) -> Result<(), Status> {
        let (channel, date) = (&command.channel, command.clearing_date);
        let mut session = self.0.store.read().await.map_err(failed)?;
        let predicates = vec![("channel", Op::Eq, channel.to_value()), ("clearing_date", Op::Eq, date.to_value())];
        let query = ListQuery { predicates, limit: ALL, ..ListQuery::default() };
        let of_date: Vec<FileRow> = session.list(&query).await.map_err(failed)?;
        command.cut = session.tree_size().await.map_err(failed)?;
        drop(session);
        let wanted: Vec<&FileRow> = of_date.iter().filter(|file| file.states_day_of(channel)).collect();
        command.files = files::read_for_run(&self.0, &wanted, &of_date).await?;
        let of_channel = |snapshot: &_, _| policy::find::<ChannelPolicy>(snapshot, channel.code(), date);
        command.fee = self.0.engine.read(of_channel).await?.and_then(|policy| policy.agreed_fee).map(fee_rule);
        command.default_book = self.default_book(channel).await?;
        Ok(())
    }

    /// Where rows go that nothing else places [D]: the book that has most money with the channel;
    /// of a channel that nobody funds beforehand, the first book that cleared something with it.
    async fn default_book(&self, channel: &Participant) -> Result<Option<Book>, Status> {
        let accounts = async |kind: AccountKind| -> Result<Vec<AccountRow>, Status> {
            let predicates = vec![("kind", Op::Eq, kind.to_value())];
            let mut session = self.0.store.read().await.map_err(failed)?;
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

    /// A run. Regions see all of them, a channel its own.
    async fn run(&self, caller: &Caller, field: &str, name: &str) -> Result<RunRow, Status> {
        let name = fields::name(field, name, &[Collection::Run]).map_err(refuse)?;
        let row: RunRow = get(&self.0, caller, key![name.to_string()], name.as_str(), Sees::Everyone).await?;
        match is_of_another_channel(caller, Some(&row.channel)) {
            true => Err(refuse(Reason::RecordNotFound.field(field).var("name", name))),
            false => Ok(row),
        }
    }

    async fn views(&self, run: &RunRow) -> Result<Vec<ViewRow>, Status> {
        let predicates = vec![("run", Op::Eq, run.run.to_value())];
        let mut session = self.0.store.read().await.map_err(failed)?;
        session.list(&ListQuery { predicates, limit: ALL, ..ListQuery::default() }).await.map_err(failed)
    }

    async fn known_break(&self, caller: &Caller, name: &str) -> Result<BreakRow, Status> {
        let name = fields::name("name", name, &[Collection::Break]).map_err(refuse)?;
        let row: BreakRow = get(&self.0, caller, key![name.to_string()], name.as_str(), sees(caller)).await?;
        match is_of_another_channel(caller, row.channel.as_ref()) {
            true => Err(refuse(Reason::RecordNotFound.field("name").var("name", name))),
            false => Ok(row),
        }
    }
}

/// Runs by time, then name.
fn order(row: &RunRow) -> (i64, &String) {
    (row.recorded_at_us.0, &row.run)
}

fn fee_rule(fee: AgreedFee) -> FeeRule {
    FeeRule { basis_points: fee.basis_points, min_fen: fee.min_fen, max_fen: fee.max_fen }
}

/// A break's readers are regions; a channel's administrators see those about their own channel.
pub(super) fn sees(caller: &Caller) -> Sees {
    if caller.participant().kind() == ParticipantKind::Channel { Sees::Everyone } else { Sees::Readers }
}

pub(super) fn own_channel(caller: &Caller) -> Option<Predicate> {
    let participant = caller.participant();
    (participant.kind() == ParticipantKind::Channel).then(|| ("channel", Op::Eq, participant.to_value()))
}

pub(super) fn is_of_another_channel(caller: &Caller, channel: Option<&Participant>) -> bool {
    caller.participant().kind() == ParticipantKind::Channel && channel != Some(caller.participant())
}

fn parse_propose(q: &pb::ProposeResolutionRequest, _: &Asked<'_>) -> Parsed {
    Ok(Mutation::new(ProposeResolution::try_from(q)?))
}

fn parse_decide(q: &pb::DecideResolutionRequest, _: &Asked<'_>) -> Parsed {
    Ok(Mutation::new(DecideResolution::try_from(q)?))
}

fn render_run(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::StartRunResponse, StoredFault> {
    let views = leaf.rows::<ViewRow>()?.into_iter().map(|view| view.participant);
    Ok(pb::StartRunResponse { run: Some(wire::run(&leaf.row()?, views)), receipt: Some(receipt) })
}

fn render_propose(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::ProposeResolutionResponse, StoredFault> {
    Ok(pb::ProposeResolutionResponse { reconciliation_break: Some(answered(leaf)?), receipt: Some(receipt) })
}

fn render_decide(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::DecideResolutionResponse, StoredFault> {
    Ok(pb::DecideResolutionResponse { reconciliation_break: Some(answered(leaf)?), receipt: Some(receipt) })
}

fn answered(leaf: &LeafView) -> Result<pb::Break, StoredFault> {
    Ok(wire::reconciliation_break(&own_row(leaf)?, leaf.recorded_at.date()))
}

/// The break that the leaf is a version of.
fn own_row(leaf: &LeafView) -> Result<BreakRow, StoredFault> {
    let own = leaf.rows::<BreakRow>()?.into_iter().find(|row| row.break_name == leaf.record);
    own.map_or_else(|| leaf.row(), Ok)
}
