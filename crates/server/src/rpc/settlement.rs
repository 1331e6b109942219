//! Settlement: statements of a cycle, payouts.

use std::collections::BTreeMap;
use std::sync::Arc;

use jjj_domain::key;
use jjj_domain::ledger::{Account, AccountKind, AccountRow, Book};
use jjj_domain::names::{Collection, Participant};
use jjj_domain::row::{Row, StoredFault};
use jjj_domain::settlement::{
    CycleRow, FunderShare, MOST_DAYS, MatchPayout, PayoutRow, PrepareSettlement, ReportPayout, StatementRow,
    is_settled_with,
};
use jjj_domain::time::Date;
use jjj_domain::value::Column;
use jjj_store::{Funded, ListQuery, Op, Session};
use jjj_wire::pb;
use jjj_wire::pb::settlement_service_server::SettlementService;
use jjj_wire::settlement::cycle_of;
use tonic::{Request, Response, Status};

use super::channel::is_answered;
use super::fields;
use super::filter::{Field, Filter};
use super::page::Paging;
use super::read::{Sees, failed, get, is_numbered, page, refuse};
use super::support::{Asked, Mutation, Parsed, batch, caller, command, mutate};
use crate::engine::LeafView;
use crate::gateway::Gateway;

pub struct SettlementApi(pub Arc<Gateway>);

const STATEMENTS: &[Field] = &[
    ("channel", Some("channel")),
    ("region", Some("region")),
    ("programme", Some("programme")),
    ("institution", Some("institution")),
    ("institution_region", Some("institution_region")),
    ("clearing_date", Some("clearing_date")),
    ("due_on", Some("due_on")),
    ("state", Some("state")),
];
const PAYOUTS: &[Field] = &[
    ("channel", Some("channel")),
    ("region", Some("region")),
    ("institution", Some("institution")),
    ("paid_on", Some("paid_on")),
    ("state", Some("state")),
    ("rule", Some("rule")),
    ("end_to_end_id", Some("end_to_end_id")),
    ("reference", Some("reference")),
    ("proof", Some("proof")),
    ("proven_on", Some("proven_on")),
];

/// More payees of one channel than there are.
const ALL: i64 = 1_000_000;

#[tonic::async_trait]
impl SettlementService for SettlementApi {
    async fn prepare_settlement(
        &self,
        request: Request<pb::PrepareSettlementRequest>,
    ) -> Result<Response<pb::PrepareSettlementResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let (channel, date) = cycle_of(q).map_err(refuse)?;
        let command = match is_answered(&self.0, &caller, &q.request_id).await? {
            true => empty(channel, date),
            false => self.prepare(channel, date).await?,
        };
        let parse =
            |_: &pb::PrepareSettlementRequest, _: &Asked<'_>| -> Parsed { Ok(Mutation::new(command.clone()).alone()) };
        let render = |leaf: &LeafView, receipt| {
            let cycle = pb::SettlementCycle::from(&leaf.row::<CycleRow>()?);
            Ok(pb::PrepareSettlementResponse { cycle: Some(cycle), receipt: Some(receipt) })
        };
        mutate(&self.0, request, parse, render).await
    }

    async fn get_settlement_statement(
        &self,
        request: Request<pb::GetSettlementStatementRequest>,
    ) -> Result<Response<pb::SettlementStatement>, Status> {
        let caller = caller(&request)?;
        let name = &request.get_ref().name;
        let name = fields::name("name", name, &[Collection::SettlementStatement]).map_err(refuse)?;
        let row: StatementRow = get(&self.0, &caller, key![name.to_string()], name.as_str(), Sees::Readers).await?;
        Ok(Response::new(pb::SettlementStatement::from(&row)))
    }

    async fn list_settlement_statements(
        &self,
        request: Request<pb::ListSettlementStatementsRequest>,
    ) -> Result<Response<pb::ListSettlementStatementsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let filter = Filter::parse(&q.filter, STATEMENTS).map_err(refuse)?;
        let predicates = filter.predicates(StatementRow::spec()).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        let (rows, next_page_token) =
            page::<StatementRow>(&self.0, &caller, predicates, &paging, Sees::Readers, |_| true).await?;
        let statements = rows.iter().map(pb::SettlementStatement::from).collect();
        Ok(Response::new(pb::ListSettlementStatementsResponse { statements, next_page_token }))
    }

    async fn report_payout(
        &self,
        request: Request<pb::ReportPayoutRequest>,
    ) -> Result<Response<pb::ReportPayoutResponse>, Status> {
        mutate(&self.0, request, command::<_, ReportPayout>, render_report).await
    }

    async fn batch_report_payouts(
        &self,
        request: Request<pb::BatchMutateRequest>,
    ) -> Result<Response<pb::BatchMutateResponse>, Status> {
        batch(&self.0, request, command::<pb::ReportPayoutRequest, ReportPayout>, render_report).await
    }

    async fn match_payout(
        &self,
        request: Request<pb::MatchPayoutRequest>,
    ) -> Result<Response<pb::MatchPayoutResponse>, Status> {
        let render = |leaf: &LeafView, receipt| {
            let payout = pb::Payout::from(&leaf.row::<PayoutRow>()?);
            Ok(pb::MatchPayoutResponse { payout: Some(payout), receipt: Some(receipt) })
        };
        mutate(&self.0, request, command::<_, MatchPayout>, render).await
    }

    async fn list_payouts(
        &self,
        request: Request<pb::ListPayoutsRequest>,
    ) -> Result<Response<pb::ListPayoutsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let filter = Filter::parse(&q.filter, PAYOUTS).map_err(refuse)?;
        let predicates = filter.predicates(PayoutRow::spec()).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        let (rows, next_page_token) =
            page::<PayoutRow>(&self.0, &caller, predicates, &paging, Sees::Readers, |_| true).await?;
        let payouts = rows.iter().map(pb::Payout::from).collect();
        Ok(Response::new(pb::ListPayoutsResponse { payouts, next_page_token }))
    }
}

impl SettlementApi {
    /// What a cycle goes by beside the balances: the journal since the last one, read at one moment.
    async fn prepare(&self, channel: Participant, date: Date) -> Result<PrepareSettlement, Status> {
        // A cycle takes in the journal up to a number. What waits for one is refused by the rules, with BOOKS_MOVED.
        let _all_numbered = is_numbered(&self.0).await?;
        let mut session = self.0.store.read_at_once().await.map_err(failed)?;
        let last: Option<CycleRow> = session.get(key![channel.clone()]).await.map_err(failed)?;
        let mut command = empty(channel, date);
        let first = date.plus_days(-MOST_DAYS);
        let from = last.as_ref().map_or(first, |cycle| cycle.clearing_date.plus_days(1));
        command.since = last.map_or(0, |cycle| cycle.cut);
        command.cut = session.tree_size().await.map_err(failed)?;
        let activity = session.settlement_activity(&command.channel, command.since, command.cut).await;
        command.activity = activity.map_err(failed)?;
        for kind in [AccountKind::Payable, AccountKind::FeePayable] {
            command.balances.extend(balances(&mut session, &command.channel, kind).await?);
        }
        let funded = session.settlement_funders(&command.channel, from, date).await.map_err(failed)?;
        command.funders = funders(funded, &command.channel);
        Ok(command)
    }
}

fn empty(channel: Participant, clearing_date: Date) -> PrepareSettlement {
    PrepareSettlement {
        channel,
        clearing_date,
        since: 0,
        cut: 0,
        activity: Vec::new(),
        balances: Default::default(),
        funders: BTreeMap::new(),
    }
}

/// Payees' accounts with a balance. There are as many of a kind as institutions and books.
async fn balances(session: &mut Session, channel: &Participant, kind: AccountKind) -> Result<Vec<Account>, Status> {
    let predicates = vec![("kind", Op::Eq, kind.to_value())];
    let query = ListQuery { predicates, limit: ALL, ..ListQuery::default() };
    let rows: Vec<AccountRow> = session.list(&query).await.map_err(failed)?;
    let owing = rows.into_iter().filter(|row| row.posted_fen != 0 && is_settled_with(&row.account, channel));
    Ok(owing.map(|row| row.account).collect())
}

/// By payee's account, a district's payments and refunds together.
fn funders(funded: Vec<Funded>, channel: &Participant) -> BTreeMap<Account, Vec<FunderShare>> {
    let mut shares: BTreeMap<Account, BTreeMap<String, FunderShare>> = BTreeMap::new();
    for Funded { region, programme, institution, share } in funded {
        let Ok(book) = Book::new(region, &programme) else { continue };
        let uscc = institution.trim_start_matches("institutions/");
        let of_payee = shares.entry(Account::payable(&book, uscc, channel)).or_default();
        match of_payee.get_mut(&share.division) {
            None => drop(of_payee.insert(share.division.clone(), share)),
            Some(known) => {
                known.payments += share.payments;
                known.gross_fen += share.gross_fen;
                known.refunds += share.refunds;
                known.refunds_fen += share.refunds_fen;
            }
        }
    }
    shares.into_iter().map(|(account, shares)| (account, shares.into_values().collect())).collect()
}

fn render_report(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::ReportPayoutResponse, StoredFault> {
    Ok(pb::ReportPayoutResponse { payout: Some(pb::Payout::from(&leaf.row::<PayoutRow>()?)), receipt: Some(receipt) })
}
