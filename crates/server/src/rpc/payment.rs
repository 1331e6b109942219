//! Payments: check, authorise, confirm, reverse, void, advise, instruct, refund, read.

use std::sync::Arc;

use jjj_domain::id::OrderId;
use jjj_domain::key;
use jjj_domain::names::{Collection, ParticipantKind};
use jjj_domain::payment::{
    Ask, ConfirmPayment, InstructPayment, Judgement, PaymentRow, RefundPayment, RefundRow, VoidPayment, judge, quota,
};
use jjj_domain::rejection::Reason;
use jjj_domain::row::{Row, StoredFault};
use jjj_domain::snapshot::Snapshot;
use jjj_domain::value::Column;
use jjj_store::{ListQuery, Op};
use jjj_wire::pb;
use jjj_wire::pb::payment_service_server::PaymentService;
use tonic::{Request, Response, Status};

use super::eligibility;
use super::fields;
use super::filter::{Field, Filter};
use super::page::Paging;
use super::read::{Sees, failed, get, inconsistent, page, refuse, versions};
use super::support::{Asked, Mutation, Parsed, batch, caller, mutate};
use crate::engine::LeafView;
use crate::gateway::Gateway;
use crate::identity::Caller;

pub struct PaymentApi(pub Arc<Gateway>);

const FILTER: &[Field] = &[
    ("origin", Some("origin")),
    ("state", Some("state")),
    ("channel", Some("channel")),
    ("merchant_id", Some("merchant_id")),
    ("order_id", Some("order_id")),
    ("region", Some("region")),
    ("programme", Some("programme")),
    ("elder", Some("person")),
    ("institution", Some("institution")),
    ("institution_region", Some("institution_region")),
    ("bill", Some("bill")),
    ("fee_type", Some("fee_type")),
    ("contract", Some("contract")),
    ("mandate", Some("mandate")),
    ("amount_fen", Some("amount_fen")),
    ("clearing_date", Some("clearing_date")),
];

/// A refund's programme is its payment's, and not among its columns.
const REFUND_FILTER: &[Field] = &[
    ("payment", Some("payment")),
    ("state", Some("state")),
    ("channel", Some("channel")),
    ("merchant_id", Some("merchant_id")),
    ("order_id", Some("order_id")),
    ("region", Some("region")),
    ("clearing_date", Some("clearing_date")),
];

type Batch = Result<Response<pb::BatchMutateResponse>, Status>;

#[tonic::async_trait]
impl PaymentService for PaymentApi {
    async fn check_payment(
        &self,
        request: Request<pb::CheckPaymentRequest>,
    ) -> Result<Response<pb::CheckPaymentResponse>, Status> {
        let caller = caller(&request)?;
        let ask = jjj_wire::payment::check(request.get_ref(), caller.participant()).map_err(refuse)?;
        let look = |snapshot: &Snapshot, now| {
            let open = quota::open_fen(snapshot, &ask.channel, now);
            Ok((judge(snapshot, &ask, now)?, open?))
        };
        let (judgement, channel_open_fen) = self.0.engine.read(look).await?;
        if !is_concerned(&judgement, &ask, &caller) {
            return Err(refuse(Reason::RecordNotFound.field("bill").var("name", &ask.bill)));
        }
        let judgement = match sees_balance(&judgement, &ask, &caller) {
            true => judgement,
            false => judgement.without_balance(ask.amount_fen),
        };
        Ok(Response::new(jjj_wire::payment::judgement(&judgement, ask.amount_fen, channel_open_fen)))
    }

    async fn list_eligibility(
        &self,
        request: Request<pb::ListEligibilityRequest>,
    ) -> Result<Response<pb::ListEligibilityResponse>, Status> {
        let caller = caller(&request)?;
        eligibility::list(&self.0, &caller, request.get_ref()).await.map(Response::new)
    }

    async fn authorize_payment(
        &self,
        request: Request<pb::AuthorizePaymentRequest>,
    ) -> Result<Response<pb::AuthorizePaymentResponse>, Status> {
        mutate(&self.0, request, parse_authorize, render_authorize).await
    }

    async fn batch_authorize_payments(&self, request: Request<pb::BatchMutateRequest>) -> Batch {
        batch(&self.0, request, parse_authorize, render_authorize).await
    }

    async fn confirm_payment(
        &self,
        request: Request<pb::ConfirmPaymentRequest>,
    ) -> Result<Response<pb::ConfirmPaymentResponse>, Status> {
        mutate(&self.0, request, parse_confirm, render_confirm).await
    }

    async fn batch_confirm_payments(&self, request: Request<pb::BatchMutateRequest>) -> Batch {
        batch(&self.0, request, parse_confirm, render_confirm).await
    }

    async fn reverse_payment(
        &self,
        request: Request<pb::ReversePaymentRequest>,
    ) -> Result<Response<pb::ReversePaymentResponse>, Status> {
        mutate(&self.0, request, parse_reverse, render_reverse).await
    }

    async fn batch_reverse_payments(&self, request: Request<pb::BatchMutateRequest>) -> Batch {
        batch(&self.0, request, parse_reverse, render_reverse).await
    }

    async fn void_payment(
        &self,
        request: Request<pb::VoidPaymentRequest>,
    ) -> Result<Response<pb::VoidPaymentResponse>, Status> {
        let parse = |q: &pb::VoidPaymentRequest, _: &Asked<'_>| Ok(Mutation::new(VoidPayment::try_from(q)?));
        mutate(&self.0, request, parse, |leaf, receipt| {
            Ok(pb::VoidPaymentResponse { payment: payment(leaf)?, receipt: Some(receipt) })
        })
        .await
    }

    async fn get_payment(&self, request: Request<pb::GetPaymentRequest>) -> Result<Response<pb::Payment>, Status> {
        let caller = caller(&request)?;
        let name = fields::name("name", &request.get_ref().name, &[Collection::Payment]).map_err(refuse)?;
        let row: PaymentRow = get(&self.0, &caller, key![name.to_string()], name.as_str(), Sees::Readers).await?;
        Ok(Response::new(pb::Payment::from(&row)))
    }

    async fn query_payment(&self, request: Request<pb::QueryPaymentRequest>) -> Result<Response<pb::Payment>, Status> {
        let caller = caller(&request)?;
        let order_id = OrderId::parse_field("order_id", &request.get_ref().order_id).map_err(refuse)?;
        let predicates = vec![
            ("channel", Op::Eq, caller.participant().to_value()),
            ("order_id", Op::Eq, order_id.to_string().to_value()),
        ];
        let mut session = self.0.store.read().await.map_err(failed)?;
        let query = ListQuery { predicates, limit: 1, ..ListQuery::default() };
        let found: Vec<PaymentRow> = session.list(&query).await.map_err(failed)?;
        let missing = || refuse(Reason::RecordNotFound.field("order_id").var("name", &order_id));
        Ok(Response::new(pb::Payment::from(found.first().ok_or_else(missing)?)))
    }

    async fn advise_payment(
        &self,
        request: Request<pb::AdvisePaymentRequest>,
    ) -> Result<Response<pb::AdvisePaymentResponse>, Status> {
        mutate(&self.0, request, parse_advise, render_advise).await
    }

    async fn batch_advise_payments(&self, request: Request<pb::BatchMutateRequest>) -> Batch {
        batch(&self.0, request, parse_advise, render_advise).await
    }

    async fn instruct_payment(
        &self,
        request: Request<pb::InstructPaymentRequest>,
    ) -> Result<Response<pb::InstructPaymentResponse>, Status> {
        mutate(&self.0, request, parse_instruct, render_instruct).await
    }

    async fn batch_instruct_payments(&self, request: Request<pb::BatchMutateRequest>) -> Batch {
        batch(&self.0, request, parse_instruct, render_instruct).await
    }

    async fn reject_instruction(
        &self,
        request: Request<pb::RejectInstructionRequest>,
    ) -> Result<Response<pb::RejectInstructionResponse>, Status> {
        mutate(&self.0, request, parse_reject, render_reject).await
    }

    async fn batch_reject_instructions(&self, request: Request<pb::BatchMutateRequest>) -> Batch {
        batch(&self.0, request, parse_reject, render_reject).await
    }

    async fn cancel_instruction(
        &self,
        request: Request<pb::CancelInstructionRequest>,
    ) -> Result<Response<pb::CancelInstructionResponse>, Status> {
        let parse = |q: &pb::CancelInstructionRequest, _: &Asked<'_>| Ok(Mutation::new(jjj_wire::payment::cancel(q)?));
        mutate(&self.0, request, parse, |leaf, receipt| {
            Ok(pb::CancelInstructionResponse { payment: payment(leaf)?, receipt: Some(receipt) })
        })
        .await
    }

    async fn refund_payment(
        &self,
        request: Request<pb::RefundPaymentRequest>,
    ) -> Result<Response<pb::RefundPaymentResponse>, Status> {
        mutate(&self.0, request, parse_refund, render_refund).await
    }

    async fn batch_refund_payments(&self, request: Request<pb::BatchMutateRequest>) -> Batch {
        batch(&self.0, request, parse_refund, render_refund).await
    }

    async fn get_refund(&self, request: Request<pb::GetRefundRequest>) -> Result<Response<pb::Refund>, Status> {
        let caller = caller(&request)?;
        let name = fields::name("name", &request.get_ref().name, &[Collection::Refund]).map_err(refuse)?;
        let row: RefundRow = get(&self.0, &caller, key![name.to_string()], name.as_str(), Sees::Readers).await?;
        Ok(Response::new(pb::Refund::from(&row)))
    }

    async fn list_payments(
        &self,
        request: Request<pb::ListPaymentsRequest>,
    ) -> Result<Response<pb::ListPaymentsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let filter = Filter::parse(&q.filter, FILTER).map_err(refuse)?;
        let predicates = filter.predicates(PaymentRow::spec()).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        let (rows, next_page_token) = page(&self.0, &caller, predicates, &paging, Sees::Readers, |_| true).await?;
        let payments = rows.iter().map(pb::Payment::from).collect();
        Ok(Response::new(pb::ListPaymentsResponse { payments, next_page_token }))
    }

    async fn list_refunds(
        &self,
        request: Request<pb::ListRefundsRequest>,
    ) -> Result<Response<pb::ListRefundsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let filter = Filter::parse(&q.filter, REFUND_FILTER).map_err(refuse)?;
        let predicates = filter.predicates(RefundRow::spec()).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        let (rows, next_page_token) = page(&self.0, &caller, predicates, &paging, Sees::Readers, |_| true).await?;
        let refunds = rows.iter().map(pb::Refund::from).collect();
        Ok(Response::new(pb::ListRefundsResponse { refunds, next_page_token }))
    }

    async fn list_payment_versions(
        &self,
        request: Request<pb::ListPaymentVersionsRequest>,
    ) -> Result<Response<pb::ListPaymentVersionsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let name = fields::name("name", &q.name, &[Collection::Payment]).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.name, q.page_size, &q.page_token).map_err(refuse)?;
        let newest: PaymentRow = get(&self.0, &caller, key![name.to_string()], name.as_str(), Sees::Readers).await?;
        let (leaves, next_page_token) = versions(&self.0, name.as_str(), newest.version, &paging).await?;
        let rows = leaves.iter().map(LeafView::row::<PaymentRow>).collect::<Result<Vec<_>, _>>();
        let payments = rows.map_err(inconsistent)?.iter().map(pb::Payment::from).collect();
        Ok(Response::new(pb::ListPaymentVersionsResponse { payments, next_page_token }))
    }
}

/// A region may check what it pays, bills or is home to; a channel what would be paid through it.
fn is_concerned(judgement: &Judgement, ask: &Ask, caller: &Caller) -> bool {
    let own = caller.participant();
    let regions = [judgement.book.region(), &judgement.bill.institution_region, &judgement.person.household_region];
    match own.kind() {
        ParticipantKind::Region => regions.contains(&own),
        ParticipantKind::Channel => ask.channel == *own,
        ParticipantKind::Gateway => true,
    }
}

/// The elder's balance is for whom GetBalance tells it: the paying region and the channel that keeps it.
fn sees_balance(judgement: &Judgement, ask: &Ask, caller: &Caller) -> bool {
    [judgement.book.region(), &ask.channel].contains(&caller.participant())
}

fn parse_authorize(q: &pb::AuthorizePaymentRequest, asked: &Asked<'_>) -> Parsed {
    Ok(Mutation::new(jjj_wire::payment::authorize(q, asked.caller.participant())?))
}

fn parse_confirm(q: &pb::ConfirmPaymentRequest, _: &Asked<'_>) -> Parsed {
    Ok(Mutation::new(ConfirmPayment::try_from(q)?))
}

fn parse_reverse(q: &pb::ReversePaymentRequest, _: &Asked<'_>) -> Parsed {
    Ok(Mutation::new(jjj_wire::payment::reverse(q)?))
}

fn parse_advise(q: &pb::AdvisePaymentRequest, asked: &Asked<'_>) -> Parsed {
    Ok(Mutation::new(jjj_wire::payment::advise(q, asked.caller.participant())?))
}

fn parse_instruct(q: &pb::InstructPaymentRequest, _: &Asked<'_>) -> Parsed {
    Ok(Mutation::new(InstructPayment::try_from(q)?))
}

fn parse_reject(q: &pb::RejectInstructionRequest, _: &Asked<'_>) -> Parsed {
    Ok(Mutation::new(jjj_wire::payment::reject(q)?))
}

fn parse_refund(q: &pb::RefundPaymentRequest, _: &Asked<'_>) -> Parsed {
    Ok(Mutation::new(RefundPayment::try_from(q)?))
}

fn payment(leaf: &LeafView) -> Result<Option<pb::Payment>, StoredFault> {
    Ok(Some(pb::Payment::from(&leaf.row::<PaymentRow>()?)))
}

fn render_authorize(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::AuthorizePaymentResponse, StoredFault> {
    Ok(pb::AuthorizePaymentResponse { payment: payment(leaf)?, receipt: Some(receipt) })
}

fn render_confirm(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::ConfirmPaymentResponse, StoredFault> {
    Ok(pb::ConfirmPaymentResponse { payment: payment(leaf)?, receipt: Some(receipt) })
}

fn render_reverse(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::ReversePaymentResponse, StoredFault> {
    Ok(pb::ReversePaymentResponse { payment: payment(leaf)?, receipt: Some(receipt) })
}

fn render_advise(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::AdvisePaymentResponse, StoredFault> {
    Ok(pb::AdvisePaymentResponse { payment: payment(leaf)?, receipt: Some(receipt) })
}

fn render_instruct(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::InstructPaymentResponse, StoredFault> {
    Ok(pb::InstructPaymentResponse { payment: payment(leaf)?, receipt: Some(receipt) })
}

fn render_reject(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::RejectInstructionResponse, StoredFault> {
    Ok(pb::RejectInstructionResponse { payment: payment(leaf)?, receipt: Some(receipt) })
}

fn render_refund(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::RefundPaymentResponse, StoredFault> {
    let refund = pb::Refund::from(&leaf.row::<RefundRow>()?);
    Ok(pb::RefundPaymentResponse { refund: Some(refund), receipt: Some(receipt) })
}
