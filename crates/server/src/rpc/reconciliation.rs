//! Reconciliation: run, look at breaks, resolve four-eyed, sign, report.

use std::sync::Arc;

use jjj_domain::guard;
use jjj_domain::key;
use jjj_domain::names::{Collection, Participant, ParticipantKind};
use jjj_domain::participant::ParticipantRow;
use jjj_domain::policy::{self, ChannelPolicy};
use jjj_domain::recon::resolve::{DecideResolution, ProposeResolution};
use jjj_domain::recon::schedule::Day;
use jjj_domain::recon::view::SignView;
use jjj_domain::recon::work::{AssignBreak, AttachEvidence, CommentBreak, WithdrawProposal};
use jjj_domain::recon::{AlertRow, BreakRow, BreakState, FileRow, RunRow, UnitRow, ViewRow};
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
use super::support::{Asked, Mutation, Parsed, batch, caller, command, mutate};
use crate::engine::LeafView;
use crate::files;
use crate::gateway::Gateway;
use crate::identity::Caller;
use crate::reconcile;

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
    ("book_region", Some("book_region")),
    ("subject", Some("subject")),
    ("assignee", Some("assignee")),
    ("opened_by", Some("opened_by")),
    ("seen_by", Some("seen_by")),
    ("due_on", Some("due_on")),
    ("alert", Some("alert")),
    ("cause", Some("cause")),
];
const ALERTS: &[Field] = &[
    ("channel", Some("channel")),
    ("clearing_date", Some("clearing_date")),
    ("break_class", Some("class")),
    ("state", Some("state")),
];

/// Clearing dates shown when none are asked for, and most.
const DAYS: i64 = 7;
const MAX_DAYS: i64 = 100;

/// More files of one channel and date, views of one run, or runs of one gateway's years, than there are.
const ALL: i64 = 100_000;

#[tonic::async_trait]
impl ReconciliationService for ReconciliationApi {
    async fn start_run(&self, request: Request<pb::StartRunRequest>) -> Result<Response<pb::StartRunResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let (channel, date) = wire::run_of(q).map_err(refuse)?;
        let mut command = reconcile::unprepared(channel, date, q.allow_missing_files);
        if !is_answered(&self.0, &caller, &q.request_id).await? {
            reconcile::prepare(&self.0, &mut command).await?;
        }
        let parse = |_: &pb::StartRunRequest, _: &Asked<'_>| -> Parsed { Ok(Mutation::new(command.clone()).alone()) };
        mutate(&self.0, request, parse, render_run).await
    }

    async fn get_run(&self, request: Request<pb::GetRunRequest>) -> Result<Response<pb::Run>, Status> {
        let caller = caller(&request)?;
        let row = self.run(&caller, "name", &request.get_ref().name).await?;
        let views = self.views(&row).await?;
        Ok(Response::new(wire::run(&row, &views, self.today())))
    }

    async fn list_runs(&self, request: Request<pb::ListRunsRequest>) -> Result<Response<pb::ListRunsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let filter = Filter::parse(&q.filter, RUNS).map_err(refuse)?;
        let mut predicates = filter.predicates(RunRow::spec()).map_err(refuse)?;
        predicates.extend(own_channel(&caller));
        let paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        let before = match paging.token {
            "" => None,
            _ => match &paging.decode(&[ColumnType::Int, ColumnType::Text]).map_err(refuse)?[..] {
                [at @ Value::Int(_), run @ Value::Text(_)] => Some((at.clone(), vec![run.clone()])),
                _ => return Err(refuse(Paging::malformed())),
            },
        };
        let query = ListQuery { predicates, limit: paging.size + 1, ..ListQuery::default() };
        let mut session = self.0.store.read().await.map_err(failed)?;
        let mut rows: Vec<RunRow> = session.newest("recorded_at_us", &query, before).await.map_err(failed)?;
        drop(session);
        let is_more = rows.len() as i64 > paging.size;
        rows.truncate(paging.size as usize);
        let next_page_token = match rows.last() {
            Some(last) if is_more => paging.encode(&[last.recorded_at_us.to_value(), last.run.to_value()]),
            _ => String::new(),
        };
        let mut runs = Vec::with_capacity(rows.len());
        for row in &rows {
            runs.push(wire::run(row, &self.views(row).await?, self.today()));
        }
        Ok(Response::new(pb::ListRunsResponse { runs, next_page_token }))
    }

    async fn list_clearing_days(
        &self,
        request: Request<pb::ListClearingDaysRequest>,
    ) -> Result<Response<pb::ListClearingDaysResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        guard::range("days", q.days.into(), 0, MAX_DAYS).map_err(refuse)?;
        let count = if q.days == 0 { DAYS } else { q.days.into() };
        let mut days = Vec::new();
        for channel in self.channels(&caller, &q.channel).await? {
            days.extend(self.clearing_days(&caller, &channel, count).await?);
        }
        Ok(Response::new(pb::ListClearingDaysResponse { days }))
    }

    async fn list_alerts(
        &self,
        request: Request<pb::ListAlertsRequest>,
    ) -> Result<Response<pb::ListAlertsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let filter = Filter::parse(&q.filter, ALERTS).map_err(refuse)?;
        let mut predicates = filter.predicates(AlertRow::spec()).map_err(refuse)?;
        predicates.extend(own_channel(&caller));
        let paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        let (rows, next_page_token) = page::<AlertRow>(&self.0, &caller, predicates, &paging, Sees::Everyone, |row| {
            caller.sees_all() || row.book_region().is_none_or(|region| region == *caller.participant())
        })
        .await?;
        Ok(Response::new(pb::ListAlertsResponse { alerts: rows.iter().map(wire::alert).collect(), next_page_token }))
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
            page::<BreakRow>(&self.0, &caller, predicates, &paging, sees(&caller), |row| !is_hidden(&caller, row))
                .await?;
        let today = self.today();
        let breaks = rows.iter().map(|row| wire::reconciliation_break(row, today)).collect();
        Ok(Response::new(pb::ListBreaksResponse { breaks, next_page_token }))
    }

    async fn get_break(&self, request: Request<pb::GetBreakRequest>) -> Result<Response<pb::Break>, Status> {
        let caller = caller(&request)?;
        let row = self.known_break(&caller, "name", &request.get_ref().name).await?;
        Ok(Response::new(wire::reconciliation_break(&row, self.today())))
    }

    async fn list_break_versions(
        &self,
        request: Request<pb::ListBreakVersionsRequest>,
    ) -> Result<Response<pb::ListBreakVersionsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let paging = Paging::new(caller.method.path, &q.name, q.page_size, &q.page_token).map_err(refuse)?;
        let newest = self.known_break(&caller, "name", &q.name).await?;
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

    async fn comment_break(
        &self,
        request: Request<pb::CommentBreakRequest>,
    ) -> Result<Response<pb::CommentBreakResponse>, Status> {
        let render = |leaf: &LeafView, receipt| {
            Ok(pb::CommentBreakResponse { reconciliation_break: Some(answered(leaf)?), receipt: Some(receipt) })
        };
        mutate(&self.0, request, command::<_, CommentBreak>, render).await
    }

    async fn attach_evidence(
        &self,
        request: Request<pb::AttachEvidenceRequest>,
    ) -> Result<Response<pb::AttachEvidenceResponse>, Status> {
        let render = |leaf: &LeafView, receipt| {
            Ok(pb::AttachEvidenceResponse { reconciliation_break: Some(answered(leaf)?), receipt: Some(receipt) })
        };
        mutate(&self.0, request, command::<_, AttachEvidence>, render).await
    }

    async fn read_attachment(
        &self,
        request: Request<pb::ReadAttachmentRequest>,
    ) -> Result<Response<pb::ReadAttachmentResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let row = self.known_break(&caller, "reconciliation_break", &q.reconciliation_break).await?;
        let file = fields::name("file", &q.file, &[Collection::File]).map_err(refuse)?;
        if !row.attachments.0.iter().any(|attached| attached.file == file.as_str()) {
            return Err(refuse(Reason::RecordNotFound.field("file").var("name", file)));
        }
        let mut session = self.0.store.read().await.map_err(failed)?;
        let attached: Option<FileRow> = session.get(key![file.to_string()]).await.map_err(failed)?;
        drop(session);
        let attached = attached.ok_or_else(|| refuse(Reason::RecordNotFound.field("file").var("name", file)))?;
        let data = files::chunk(&self.0, &attached, q.chunk).await?;
        Ok(Response::new(pb::ReadAttachmentResponse { data }))
    }

    async fn withdraw_proposal(
        &self,
        request: Request<pb::WithdrawProposalRequest>,
    ) -> Result<Response<pb::WithdrawProposalResponse>, Status> {
        let render = |leaf: &LeafView, receipt| {
            Ok(pb::WithdrawProposalResponse { reconciliation_break: Some(answered(leaf)?), receipt: Some(receipt) })
        };
        mutate(&self.0, request, command::<_, WithdrawProposal>, render).await
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

    async fn known_break(&self, caller: &Caller, field: &str, name: &str) -> Result<BreakRow, Status> {
        let name = fields::name(field, name, &[Collection::Break]).map_err(refuse)?;
        let row: BreakRow = get(&self.0, caller, key![name.to_string()], name.as_str(), sees(caller)).await?;
        match is_of_another_channel(caller, row.channel.as_ref()) || is_hidden(caller, &row) {
            true => Err(refuse(Reason::RecordNotFound.field(field).var("name", name))),
            false => Ok(row),
        }
    }

    /// The channel asked for, or all that the caller may see.
    async fn channels(&self, caller: &Caller, asked: &str) -> Result<Vec<Participant>, Status> {
        let own = (caller.participant().kind() == ParticipantKind::Channel).then(|| caller.participant().clone());
        if asked.is_empty() && own.is_some() {
            return Ok(own.into_iter().collect());
        }
        let predicates = vec![("kind", Op::Eq, ParticipantKind::Channel.to_value())];
        let mut session = self.0.store.read().await.map_err(failed)?;
        let query = ListQuery { predicates, limit: ALL, ..ListQuery::default() };
        let rows: Vec<ParticipantRow> = session.list(&query).await.map_err(failed)?;
        let mut channels: Vec<Participant> = rows.into_iter().map(|row| row.participant).collect();
        channels.retain(|channel| own.as_ref().is_none_or(|own| own == channel));
        if !asked.is_empty() {
            channels.retain(|channel| channel.as_str() == asked);
            if channels.is_empty() {
                return Err(refuse(Reason::RecordNotFound.field("channel").var("name", asked)));
            }
        }
        Ok(channels)
    }

    /// A channel's last clearing dates, newest first; without a policy there is nothing to show.
    async fn clearing_days(
        &self,
        caller: &Caller,
        channel: &Participant,
        count: i64,
    ) -> Result<Vec<pb::ClearingDay>, Status> {
        let last = self.0.clock.now().clearing_date().plus_days(-1);
        let days = self.0.engine.read(|snapshot, _| {
            let dates = (0..count).map(|back| last.plus_days(-back));
            let days: Vec<_> = dates
                .map(|date| match policy::find::<ChannelPolicy>(snapshot, channel.code(), date)? {
                    Some(_) => Day::load(snapshot, channel, date).map(Some),
                    None => Ok(None),
                })
                .collect();
            days.into_iter().filter_map(Result::transpose).collect::<Result<Vec<Day>, _>>()
        });
        let days = days.await?;
        let (today, own) = (self.today(), caller.participant().to_string());
        let is_narrowed = sees(caller) == Sees::Readers && !caller.sees_all();
        let mut shown = Vec::with_capacity(days.len());
        for day in &days {
            let predicates = vec![
                ("channel", Op::Eq, channel.to_value()),
                ("clearing_date", Op::Eq, day.date.to_value()),
                ("state", Op::Ne, BreakState::Resolved.to_value()),
            ];
            let reader = is_narrowed.then_some(own.as_str());
            let query = ListQuery { predicates, reader, ..ListQuery::default() };
            let mut session = self.0.store.read().await.map_err(failed)?;
            let breaks_open = session.count(BreakRow::spec(), &query).await.map_err(failed)?;
            drop(session);
            let views = match &day.last_run {
                Some(run) => self.views(run).await?,
                None => Vec::new(),
            };
            shown.push(wire::clearing_day(channel, day, breaks_open, &views, today));
        }
        Ok(shown)
    }
}

/// A break's readers are regions; a channel's administrators see those about their own channel.
pub(super) fn sees(caller: &Caller) -> Sees {
    if is_channels(caller) { Sees::Everyone } else { Sees::Readers }
}

/// What is wrong in a region's own book is no affair of the channel's.
pub(super) fn is_hidden(caller: &Caller, row: &BreakRow) -> bool {
    is_channels(caller) && row.book_region.is_some()
}

fn is_channels(caller: &Caller) -> bool {
    caller.participant().kind() == ParticipantKind::Channel
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
    let run = wire::run(&leaf.row()?, &leaf.rows::<ViewRow>()?, leaf.recorded_at.date());
    Ok(pb::StartRunResponse { run: Some(run), receipt: Some(receipt) })
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
