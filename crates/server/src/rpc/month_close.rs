//! Month close: propose, decide, export vouchers.

use std::sync::Arc;

use jjj_domain::close::{CloseRow, DecideClose, ProposeClose, closed, vouchers};
use jjj_domain::key;
use jjj_domain::ledger::{Book, GeneralLedgerRow};
use jjj_domain::policy::AccountingPolicy;
use jjj_domain::rejection::Reason;
use jjj_domain::row::{Row, StoredFault};
use jjj_wire::pb;
use jjj_wire::pb::month_close_service_server::MonthCloseService;
use tonic::{Request, Response, Status};

use super::fields;
use super::filter::{Field, Filter};
use super::page::Paging;
use super::read::{Sees, page, refuse};
use super::support::{Asked, Mutation, Parsed, caller, mutate};
use crate::engine::LeafView;
use crate::gateway::Gateway;
use crate::identity::Caller;

pub struct MonthCloseApi(pub Arc<Gateway>);

const CLOSES: &[Field] = &[("book", Some("book")), ("month", Some("month")), ("state", Some("state"))];

#[tonic::async_trait]
impl MonthCloseService for MonthCloseApi {
    async fn propose_close(
        &self,
        request: Request<pb::ProposeCloseRequest>,
    ) -> Result<Response<pb::ProposeCloseResponse>, Status> {
        let parse = |q: &pb::ProposeCloseRequest, _: &Asked<'_>| -> Parsed {
            Ok(Mutation::new(ProposeClose::try_from(q)?).alone())
        };
        let render = |leaf: &LeafView, receipt| {
            Ok(pb::ProposeCloseResponse { month_close: Some(close(leaf)?), receipt: Some(receipt) })
        };
        mutate(&self.0, request, parse, render).await
    }

    async fn decide_close(
        &self,
        request: Request<pb::DecideCloseRequest>,
    ) -> Result<Response<pb::DecideCloseResponse>, Status> {
        let parse = |q: &pb::DecideCloseRequest, _: &Asked<'_>| -> Parsed {
            Ok(Mutation::new(DecideClose::try_from(q)?).alone())
        };
        let render = |leaf: &LeafView, receipt| {
            Ok(pb::DecideCloseResponse { month_close: Some(close(leaf)?), receipt: Some(receipt) })
        };
        mutate(&self.0, request, parse, render).await
    }

    async fn list_closes(
        &self,
        request: Request<pb::ListClosesRequest>,
    ) -> Result<Response<pb::ListClosesResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let filter = Filter::parse(&q.filter, CLOSES).map_err(refuse)?;
        let predicates = filter.predicates(CloseRow::spec()).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        let (rows, next_page_token) =
            page::<CloseRow>(&self.0, &caller, predicates, &paging, Sees::Readers, |_| true).await?;
        Ok(Response::new(pb::ListClosesResponse {
            closes: rows.iter().map(pb::MonthClose::from).collect(),
            next_page_token,
        }))
    }

    async fn list_vouchers(
        &self,
        request: Request<pb::ListVouchersRequest>,
    ) -> Result<Response<pb::ListVouchersResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let book: Book = fields::parse("book", &q.book, "{6 digits}/{programme}").map_err(refuse)?;
        let month = fields::month("month", &q.month).map_err(refuse)?;
        check_reader(&caller, &book)?;
        let today = self.0.clock.now().date();
        let read = |snapshot: &_, _| {
            let of_month = key![book.clone(), month];
            let rows = snapshot_rows(snapshot, of_month)?;
            let policy = AccountingPolicy::of_book(snapshot, &book, today)?;
            let closed = closed(snapshot, &book, month)?.is_some();
            Ok((vouchers(rows.iter().map(|row| &**row), month, &policy), closed))
        };
        let (vouchers, closed) = self.0.engine.read(read).await?;
        let lines = || vouchers.iter().flat_map(|voucher| &voucher.lines);
        Ok(Response::new(pb::ListVouchersResponse {
            closed,
            debit_fen: lines().map(|line| line.debit_fen).sum(),
            credit_fen: lines().map(|line| line.credit_fen).sum(),
            vouchers: vouchers.iter().map(pb::Voucher::from).collect(),
        }))
    }
}

type Rows = Vec<Arc<GeneralLedgerRow>>;

fn snapshot_rows(
    snapshot: &jjj_domain::snapshot::Snapshot,
    of_month: Vec<jjj_domain::value::Value>,
) -> Result<Rows, jjj_domain::snapshot::Stop> {
    snapshot.list::<GeneralLedgerRow>(&["book", "booking_month"], of_month)
}

/// A book is read by its region and the gateway's administrators.
pub(super) fn check_reader(caller: &Caller, book: &Book) -> Result<(), Status> {
    if caller.sees_all() || caller.participant() == book.region() {
        return Ok(());
    }
    Err(refuse(Reason::NotYourRecord.field("book").var("name", book)))
}

fn close(leaf: &LeafView) -> Result<pb::MonthClose, StoredFault> {
    Ok(pb::MonthClose::from(&leaf.row::<CloseRow>()?))
}
