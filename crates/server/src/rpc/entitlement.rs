//! Entitlements: budget, funding, grants, credits, clawbacks, money events, balances.

use std::sync::Arc;

use jjj_domain::entitlement::{
    AllotBudget, ClawBackGrant, FundChannel, GrantEntitlement, GrantRow, MoneyEventRow, RecordRecovery,
    ReportClawbackReturn, ReportCredit, ReportEstatePayout, ReportOutsideSpending, book, elder_id,
};
use jjj_domain::key;
use jjj_domain::ledger::{Account, AccountRow};
use jjj_domain::names::{Collection, Name, Participant, ParticipantKind};
use jjj_domain::person::{names_of, resolve_person};
use jjj_domain::rejection::{Reason, Rejection};
use jjj_domain::row::{Row, StoredFault};
use jjj_domain::snapshot::{Snapshot, Stop};
use jjj_domain::time::Timestamp;
use jjj_wire::pb;
use jjj_wire::pb::entitlement_service_server::EntitlementService;
use tonic::{Request, Response, Status};

use super::fields;
use super::filter::{Field, Filter};
use super::page::Paging;
use super::read::{Sees, get, page, refuse};
use super::support::{Asked, Mutation, Parsed, batch, caller, mutate};
use crate::engine::LeafView;
use crate::gateway::Gateway;
use crate::identity::Caller;

pub struct EntitlementApi(pub Arc<Gateway>);

const GRANT_FILTER: &[Field] = &[
    ("region", Some("region")),
    ("programme", Some("programme")),
    ("elder", Some("person")),
    ("month", Some("month")),
    ("basis", Some("basis")),
    ("channel", Some("channel")),
    ("state", Some("state")),
    ("funder_division", Some("funder_division")),
    ("tier", Some("tier")),
];

const EVENT_FILTER: &[Field] = &[
    ("kind", Some("kind")),
    ("region", Some("region")),
    ("programme", Some("programme")),
    ("channel", Some("channel")),
    ("elder", Some("person")),
    ("funder_division", Some("funder_division")),
    ("occurred_on", Some("occurred_on")),
    ("reference", Some("reference")),
];

type Batch = Result<Response<pb::BatchMutateResponse>, Status>;

#[tonic::async_trait]
impl EntitlementService for EntitlementApi {
    async fn allot_budget(
        &self,
        request: Request<pb::AllotBudgetRequest>,
    ) -> Result<Response<pb::AllotBudgetResponse>, Status> {
        let parse = |q: &pb::AllotBudgetRequest, _: &Asked<'_>| Ok(Mutation::new(AllotBudget::try_from(q)?));
        mutate(&self.0, request, parse, |leaf, receipt| {
            Ok(pb::AllotBudgetResponse { money_event: event(leaf)?, receipt: Some(receipt) })
        })
        .await
    }

    async fn fund_channel(
        &self,
        request: Request<pb::FundChannelRequest>,
    ) -> Result<Response<pb::FundChannelResponse>, Status> {
        let parse = |q: &pb::FundChannelRequest, _: &Asked<'_>| Ok(Mutation::new(FundChannel::try_from(q)?));
        mutate(&self.0, request, parse, |leaf, receipt| {
            Ok(pb::FundChannelResponse { money_event: event(leaf)?, receipt: Some(receipt) })
        })
        .await
    }

    async fn grant_entitlement(
        &self,
        request: Request<pb::GrantEntitlementRequest>,
    ) -> Result<Response<pb::GrantEntitlementResponse>, Status> {
        mutate(&self.0, request, parse_grant, render_grant).await
    }

    async fn batch_grant_entitlements(&self, request: Request<pb::BatchMutateRequest>) -> Batch {
        batch(&self.0, request, parse_grant, render_grant).await
    }

    async fn report_credit(
        &self,
        request: Request<pb::ReportCreditRequest>,
    ) -> Result<Response<pb::ReportCreditResponse>, Status> {
        mutate(&self.0, request, parse_credit, render_credit).await
    }

    async fn batch_report_credits(&self, request: Request<pb::BatchMutateRequest>) -> Batch {
        batch(&self.0, request, parse_credit, render_credit).await
    }

    async fn report_outside_spending(
        &self,
        request: Request<pb::ReportOutsideSpendingRequest>,
    ) -> Result<Response<pb::ReportOutsideSpendingResponse>, Status> {
        mutate(&self.0, request, parse_spending, render_spending).await
    }

    async fn batch_report_outside_spendings(&self, request: Request<pb::BatchMutateRequest>) -> Batch {
        batch(&self.0, request, parse_spending, render_spending).await
    }

    async fn report_estate_payout(
        &self,
        request: Request<pb::ReportEstatePayoutRequest>,
    ) -> Result<Response<pb::ReportEstatePayoutResponse>, Status> {
        let parse =
            |q: &pb::ReportEstatePayoutRequest, _: &Asked<'_>| Ok(Mutation::new(ReportEstatePayout::try_from(q)?));
        mutate(&self.0, request, parse, |leaf, receipt| {
            Ok(pb::ReportEstatePayoutResponse { money_event: event(leaf)?, receipt: Some(receipt) })
        })
        .await
    }

    async fn claw_back_grant(
        &self,
        request: Request<pb::ClawBackGrantRequest>,
    ) -> Result<Response<pb::ClawBackGrantResponse>, Status> {
        let parse = |q: &pb::ClawBackGrantRequest, _: &Asked<'_>| Ok(Mutation::new(ClawBackGrant::try_from(q)?));
        mutate(&self.0, request, parse, |leaf, receipt| {
            Ok(pb::ClawBackGrantResponse { grant: grant(leaf)?, receipt: Some(receipt) })
        })
        .await
    }

    async fn report_clawback_return(
        &self,
        request: Request<pb::ReportClawbackReturnRequest>,
    ) -> Result<Response<pb::ReportClawbackReturnResponse>, Status> {
        let parse =
            |q: &pb::ReportClawbackReturnRequest, _: &Asked<'_>| Ok(Mutation::new(ReportClawbackReturn::try_from(q)?));
        mutate(&self.0, request, parse, |leaf, receipt| {
            Ok(pb::ReportClawbackReturnResponse { grant: grant(leaf)?, receipt: Some(receipt) })
        })
        .await
    }

    async fn record_recovery(
        &self,
        request: Request<pb::RecordRecoveryRequest>,
    ) -> Result<Response<pb::RecordRecoveryResponse>, Status> {
        let parse = |q: &pb::RecordRecoveryRequest, _: &Asked<'_>| Ok(Mutation::new(RecordRecovery::try_from(q)?));
        mutate(&self.0, request, parse, |leaf, receipt| {
            Ok(pb::RecordRecoveryResponse { money_event: event(leaf)?, receipt: Some(receipt) })
        })
        .await
    }

    async fn get_balance(&self, request: Request<pb::GetBalanceRequest>) -> Result<Response<pb::Balance>, Status> {
        let caller = caller(&request)?;
        let wanted = Wanted::parse(request.get_ref(), &caller).map_err(refuse)?;
        let balance = self.0.engine.read(|snapshot, now| wanted.balance(snapshot, now)).await?;
        Ok(Response::new(balance))
    }

    async fn get_grant(&self, request: Request<pb::GetGrantRequest>) -> Result<Response<pb::Grant>, Status> {
        let caller = caller(&request)?;
        let name = fields::name("name", &request.get_ref().name, &[Collection::Grant]).map_err(refuse)?;
        let row: GrantRow = get(&self.0, &caller, key![name.to_string()], name.as_str(), Sees::Readers).await?;
        Ok(Response::new(pb::Grant::from(&row)))
    }

    async fn list_grants(
        &self,
        request: Request<pb::ListGrantsRequest>,
    ) -> Result<Response<pb::ListGrantsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let filter = Filter::parse(&q.filter, GRANT_FILTER).map_err(refuse)?;
        let predicates = filter.predicates(GrantRow::spec()).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        let (rows, next_page_token) = page(&self.0, &caller, predicates, &paging, Sees::Readers, |_| true).await?;
        Ok(Response::new(pb::ListGrantsResponse {
            grants: rows.iter().map(pb::Grant::from).collect(),
            next_page_token,
        }))
    }

    async fn list_money_events(
        &self,
        request: Request<pb::ListMoneyEventsRequest>,
    ) -> Result<Response<pb::ListMoneyEventsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let filter = Filter::parse(&q.filter, EVENT_FILTER).map_err(refuse)?;
        let predicates = filter.predicates(MoneyEventRow::spec()).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        let (rows, next_page_token) = page(&self.0, &caller, predicates, &paging, Sees::Readers, |_| true).await?;
        let money_events = rows.iter().map(pb::MoneyEvent::from).collect();
        Ok(Response::new(pb::ListMoneyEventsResponse { money_events, next_page_token }))
    }
}

/// A question for a balance, by one who may know it: the paying region, or the channel.
struct Wanted {
    elder: Name,
    region: Participant,
    programme: String,
    channel: Participant,
}

impl Wanted {
    fn parse(q: &pb::GetBalanceRequest, caller: &Caller) -> Result<Self, Rejection> {
        let elder = fields::name("elder", &q.elder, &[Collection::Elder])?;
        let region = fields::participant("region", &q.region)?;
        let own = caller.participant();
        let is_channel = own.kind() == ParticipantKind::Channel;
        let channel = match is_channel && q.channel.is_empty() {
            true => own.clone(),
            false => fields::participant("channel", &q.channel)?,
        };
        let foreign = |field, name: &Participant| Err(Reason::NotYourRecord.field(field).var("name", name));
        match own.kind() {
            ParticipantKind::Channel if channel != *own => return foreign("channel", &channel),
            ParticipantKind::Region if region != *own => return foreign("region", &region),
            ParticipantKind::Channel | ParticipantKind::Region | ParticipantKind::Gateway => {}
        }
        book(&region, &q.programme)?;
        Ok(Self { elder, region, programme: q.programme.clone(), channel })
    }

    /// The sum over all names of the elder; a merged name's account keeps its money.
    fn balance(&self, snapshot: &Snapshot, now: Timestamp) -> Result<pb::Balance, Stop> {
        let book = book(&self.region, &self.programme)?;
        let person = resolve_person(snapshot, &self.elder)?;
        let names = names_of(snapshot, &person.person)?;
        let get = |account: Account| snapshot.get::<AccountRow>(key![account]);
        let rows: Vec<_> = names
            .iter()
            .flat_map(|name| {
                let elder = elder_id(name);
                [get(Account::granted(&book, elder)), get(Account::entitlement(&book, elder, &self.channel))]
            })
            .collect();
        let mut balance = pb::Balance {
            elder: person.person.clone(),
            region: self.region.to_string(),
            programme: self.programme.clone(),
            channel: self.channel.to_string(),
            as_of_time_us: now.0,
            ..pb::Balance::default()
        };
        for (at, row) in rows.into_iter().enumerate() {
            let Some(row) = row? else { continue };
            if at % 2 == 0 {
                balance.granted_fen += row.posted_fen;
            } else {
                balance.posted_fen += row.posted_fen;
                balance.held_fen -= row.held_fen;
                balance.available_fen += row.available_fen();
            }
        }
        Ok(balance)
    }
}

fn parse_grant(q: &pb::GrantEntitlementRequest, _: &Asked<'_>) -> Parsed {
    Ok(Mutation::new(GrantEntitlement::try_from(q)?))
}

fn parse_credit(q: &pb::ReportCreditRequest, _: &Asked<'_>) -> Parsed {
    Ok(Mutation::new(ReportCredit::try_from(q)?))
}

fn parse_spending(q: &pb::ReportOutsideSpendingRequest, _: &Asked<'_>) -> Parsed {
    Ok(Mutation::new(ReportOutsideSpending::try_from(q)?))
}

fn grant(leaf: &LeafView) -> Result<Option<pb::Grant>, StoredFault> {
    Ok(Some(pb::Grant::from(&leaf.row::<GrantRow>()?)))
}

fn event(leaf: &LeafView) -> Result<Option<pb::MoneyEvent>, StoredFault> {
    Ok(Some(pb::MoneyEvent::from(&leaf.row::<MoneyEventRow>()?)))
}

fn render_grant(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::GrantEntitlementResponse, StoredFault> {
    Ok(pb::GrantEntitlementResponse { grant: grant(leaf)?, receipt: Some(receipt) })
}

fn render_credit(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::ReportCreditResponse, StoredFault> {
    Ok(pb::ReportCreditResponse { grant: grant(leaf)?, receipt: Some(receipt) })
}

fn render_spending(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::ReportOutsideSpendingResponse, StoredFault> {
    Ok(pb::ReportOutsideSpendingResponse { money_event: event(leaf)?, receipt: Some(receipt) })
}
