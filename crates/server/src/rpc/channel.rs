//! The channel's side: instructions out, files in.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use jjj_domain::decision::Topic;
use jjj_domain::entitlement::GrantRow;
use jjj_domain::guard;
use jjj_domain::institution::account_in_force;
use jjj_domain::key;
use jjj_domain::names::{Collection, Name, Participant};
use jjj_domain::payment::{PaymentQueryRow, PaymentRow};
use jjj_domain::recon::bank::{BankEntryRow, BankStatementRow};
use jjj_domain::recon::refusal::{FileRefusal, RefusalReason};
use jjj_domain::recon::upload::{BeginUpload, CompleteUpload};
use jjj_domain::recon::{FileContent, FileRow, FileState};
use jjj_domain::rejection::{Reason, Rejection};
use jjj_domain::row::{Row, StoredFault};
use jjj_domain::subsidy::ClaimRow;
use jjj_domain::value::Column;
use jjj_store::log_tables::RequestRow;
use jjj_store::{Delivery, Op, Session};
use jjj_wire::bank_statement::{bank_statement, statement_name};
use jjj_wire::instruction::{self, Place};
use jjj_wire::pb;
use jjj_wire::pb::channel_service_server::ChannelService;
use jjj_wire::settlement_file::settlement_file;
use tonic::{Request, Response, Status};

use super::event::{acknowledge, subscription};
use super::fields;
use super::filter::{Field, Filter};
use super::page::Paging;
use super::read::{Sees, failed, get, inconsistent, page, refuse};
use super::support::{Asked, Mutation, Parsed, caller, mutate};
use crate::engine::LeafView;
use crate::files::{self, Counted};
use crate::gateway::Gateway;
use crate::identity::Caller;
use crate::status::Refused;
use crate::streams::deliver;

pub struct ChannelApi(pub Arc<Gateway>);

const FILTER: &[Field] = &[
    ("sender", Some("sender")),
    ("channel", Some("channel")),
    ("clearing_date", Some("clearing_date")),
    ("format", Some("format")),
    ("content", Some("content")),
    ("merchant_id", Some("merchant_id")),
    ("state", Some("state")),
];
const STATEMENTS: &[Field] = &[
    ("file", Some("file")),
    ("channel", Some("channel")),
    ("clearing_date", Some("clearing_date")),
    ("account", Some("account")),
    ("reference", Some("reference")),
    ("closing_on", Some("closing_on")),
];
const ENTRIES: &[Field] = &[
    ("direction", Some("direction")),
    ("amount_fen", Some("amount_fen")),
    ("status", Some("entry_status")),
    ("reversal", Some("is_reversal")),
    ("booked_on", Some("booked_on")),
    ("value_on", Some("value_on")),
    ("end_to_end_id", Some("end_to_end_id")),
    ("bank_reference", Some("bank_reference")),
    ("counterparty", Some("counterparty")),
];

#[tonic::async_trait]
impl ChannelService for ChannelApi {
    type StreamInstructionsStream = Pin<Box<dyn Stream<Item = Result<pb::Instruction, Status>> + Send>>;

    async fn stream_instructions(
        &self,
        request: Request<pb::StreamInstructionsRequest>,
    ) -> Result<Response<Self::StreamInstructionsStream>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let subscription = subscription(&caller, Topic::Instruction, q.cursor, q.follow)?;
        let (gateway, channel) = (self.0.clone(), caller.participant().clone());
        let instructions = deliver(&self.0, subscription).then(move |told| {
            let (gateway, channel) = (gateway.clone(), channel.clone());
            async move {
                let (cursor, delivery) = told?;
                instruction(&gateway, &channel, cursor, &delivery).await
            }
        });
        Ok(Response::new(Box::pin(instructions)))
    }

    async fn acknowledge_instructions(
        &self,
        request: Request<pb::AcknowledgeInstructionsRequest>,
    ) -> Result<Response<pb::AcknowledgeInstructionsResponse>, Status> {
        let caller = caller(&request)?;
        let cursor = acknowledge(&self.0, &caller, Topic::Instruction, request.get_ref().cursor).await?;
        Ok(Response::new(pb::AcknowledgeInstructionsResponse { cursor }))
    }

    async fn begin_upload(
        &self,
        request: Request<pb::BeginUploadRequest>,
    ) -> Result<Response<pb::BeginUploadResponse>, Status> {
        mutate(&self.0, request, parse_begin, render_begin).await
    }

    async fn upload_chunk(
        &self,
        request: Request<pb::UploadChunkRequest>,
    ) -> Result<Response<pb::UploadChunkResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let row = self.own_file(&caller, &file_name(&q.file).map_err(refuse)?).await?;
        guard::state(row.state, &[FileState::Uploading], "file", &row.file).map_err(refuse)?;
        let received_bytes = files::receive(&self.0, &row, q.offset, &q.data).await?;
        Ok(Response::new(pb::UploadChunkResponse { received_bytes }))
    }

    async fn complete_upload(
        &self,
        request: Request<pb::CompleteUploadRequest>,
    ) -> Result<Response<pb::CompleteUploadResponse>, Status> {
        let caller = caller(&request)?;
        let file = file_name(&request.get_ref().file).map_err(refuse)?;
        let command = match is_answered(&self.0, &caller, &request.get_ref().request_id).await? {
            true => unread(&file),
            false => self.whole(&caller, &file).await?,
        };
        let parse = |_: &pb::CompleteUploadRequest, _: &Asked<'_>| -> Parsed {
            Ok(Mutation::new(command.clone()).completes_upload(file.as_str()))
        };
        mutate(&self.0, request, parse, render_complete).await
    }

    async fn get_settlement_file(
        &self,
        request: Request<pb::GetSettlementFileRequest>,
    ) -> Result<Response<pb::SettlementFile>, Status> {
        let caller = caller(&request)?;
        let name = fields::name("name", &request.get_ref().name, &[Collection::File]).map_err(refuse)?;
        let row: FileRow = get(&self.0, &caller, key![name.to_string()], name.as_str(), Sees::Readers).await?;
        Ok(Response::new(settlement_file(&row, files::received_bytes(&self.0, &row).await?)))
    }

    async fn list_settlement_files(
        &self,
        request: Request<pb::ListSettlementFilesRequest>,
    ) -> Result<Response<pb::ListSettlementFilesResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let filter = Filter::parse(&q.filter, FILTER).map_err(refuse)?;
        let predicates = filter.predicates(FileRow::spec()).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        let (rows, next_page_token) =
            page::<FileRow>(&self.0, &caller, predicates, &paging, Sees::Readers, |_| true).await?;
        let mut settlement_files = Vec::with_capacity(rows.len());
        for row in &rows {
            settlement_files.push(settlement_file(row, files::received_bytes(&self.0, row).await?));
        }
        Ok(Response::new(pb::ListSettlementFilesResponse { settlement_files, next_page_token }))
    }

    async fn get_bank_statement(
        &self,
        request: Request<pb::GetBankStatementRequest>,
    ) -> Result<Response<pb::BankStatement>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let (file, at) = statement_name("name", &q.name).map_err(refuse)?;
        let filter = Filter::parse(&q.filter, ENTRIES).map_err(refuse)?;
        let mut predicates = filter.predicates(BankEntryRow::spec()).map_err(refuse)?;
        predicates.extend([("file", Op::Eq, file.to_value()), ("statement", Op::Eq, at.to_value())]);
        let bound_to = format!("{} {}", q.name, q.filter);
        let paging = Paging::new(caller.method.path, &bound_to, q.page_size, &q.page_token).map_err(refuse)?;
        let row: BankStatementRow = get(&self.0, &caller, key![file.clone(), at], &q.name, Sees::Readers).await?;
        let (rows, next_page_token) =
            page::<BankEntryRow>(&self.0, &caller, predicates, &paging, Sees::Readers, |_| true).await?;
        let page_entries = rows.iter().map(pb::BankEntry::from).collect();
        let statement = bank_statement(&row, file_state(&mut self.0.store.read().await.map_err(failed)?, &file).await?);
        Ok(Response::new(pb::BankStatement { page_entries, next_page_token, ..statement }))
    }

    async fn list_bank_statements(
        &self,
        request: Request<pb::ListBankStatementsRequest>,
    ) -> Result<Response<pb::ListBankStatementsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let filter = Filter::parse(&q.filter, STATEMENTS).map_err(refuse)?;
        let predicates = filter.predicates(BankStatementRow::spec()).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        let (rows, next_page_token) =
            page::<BankStatementRow>(&self.0, &caller, predicates, &paging, Sees::Readers, |_| true).await?;
        let mut states: BTreeMap<&str, FileState> = BTreeMap::new();
        let mut session = self.0.store.read().await.map_err(failed)?;
        for row in &rows {
            if !states.contains_key(row.file.as_str()) {
                states.insert(&row.file, file_state(&mut session, &row.file).await?);
            }
        }
        let statements = rows.iter().map(|row| bank_statement(row, states[row.file.as_str()])).collect();
        Ok(Response::new(pb::ListBankStatementsResponse { statements, next_page_token }))
    }
}

/// Whether what a file states counts.
async fn file_state(session: &mut Session, file: &str) -> Result<FileState, Status> {
    let row: Option<FileRow> = session.get(key![file.to_owned()]).await.map_err(failed)?;
    let lost = || StoredFault { table: "files", column: "file", problem: format!("lacks {file}") };
    Ok(row.ok_or_else(lost).map_err(inconsistent)?.state)
}

impl ChannelApi {
    /// A file that the caller has announced.
    async fn own_file(&self, caller: &Caller, name: &Name) -> Result<FileRow, Status> {
        let mut session = self.0.store.read().await.map_err(failed)?;
        let row: Option<FileRow> = session.get(key![name.to_string()]).await.map_err(failed)?;
        let row = row.ok_or_else(|| refuse(Reason::RecordNotFound.field("file").var("name", name)))?;
        if row.sender == *caller.participant() {
            Ok(row)
        } else {
            Err(refuse(Reason::NotYourRecord.field("file").var("name", name)))
        }
    }

    /// Reads an uploaded file through: is it the one announced, and what is in it?
    async fn whole(&self, caller: &Caller, name: &Name) -> Result<CompleteUpload, Status> {
        let row = self.own_file(caller, name).await?;
        if row.state != FileState::Uploading {
            // The rules refuse it.
            return Ok(unread(name));
        }
        let wrapped_key = match files::upload(&self.0, &row.file).await? {
            Some(upload) => {
                files::in_time(&self.0, &upload).map_err(refuse)?;
                upload.wrapped_key
            }
            // Not a byte has come: right for an empty file.
            None => files::new_key(&self.0, &row.file)?,
        };
        let codes = files::codes(&self.0, &row.channel, row.clearing_date).await?;
        let whole = files::read(&self.0, &row, &wrapped_key, &codes, Counted::default()).await?;
        if (whole.size_bytes, &whole.sha256) != (row.size_bytes, &row.sha256) {
            return Err(refuse(Reason::FileDigestMismatch.field("file")));
        }
        let reading = match row.content {
            // Bytes of any kind.
            FileContent::Evidence => Ok(Counted::default().into()),
            _ => whole.content.map(Into::into),
        };
        Ok(CompleteUpload { file: name.clone(), stored_sha256: whole.stored_sha256, wrapped_key, reading })
    }
}

/// Whether a request was accepted before: the engine has its answer, and nothing need be read for it.
pub(super) async fn is_answered(gateway: &Gateway, caller: &Caller, request_id: &str) -> Result<bool, Status> {
    let request_id = fields::request_id(request_id).map_err(refuse)?;
    let mut session = gateway.store.read().await.map_err(failed)?;
    let row: Option<RequestRow> = session.get(key![caller.participant().clone(), request_id]).await.map_err(failed)?;
    Ok(row.is_some())
}

/// For a request that the engine answers or refuses without looking at the file's bytes.
fn unread(file: &Name) -> CompleteUpload {
    let reading = Err(FileRefusal::new(RefusalReason::Unreadable, ""));
    CompleteUpload { file: file.clone(), stored_sha256: String::new(), wrapped_key: String::new(), reading }
}

fn file_name(text: &str) -> Result<Name, Rejection> {
    fields::name("file", text, &[Collection::File])
}

fn parse_begin(q: &pb::BeginUploadRequest, _: &Asked<'_>) -> Parsed {
    Ok(Mutation::new(BeginUpload::try_from(q)?))
}

fn render_begin(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::BeginUploadResponse, StoredFault> {
    Ok(pb::BeginUploadResponse { file: Some(settlement_file(&leaf.row()?, 0)), receipt: Some(receipt) })
}

fn render_complete(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::CompleteUploadResponse, StoredFault> {
    let row: FileRow = leaf.row()?;
    let file = settlement_file(&row, row.size_bytes);
    Ok(pb::CompleteUploadResponse { file: Some(file), receipt: Some(receipt) })
}

/// What a leaf of the instruction stream asks of the channel.
async fn instruction(
    gateway: &Gateway,
    channel: &Participant,
    cursor: i64,
    delivery: &Delivery,
) -> Result<pb::Instruction, Status> {
    let leaf = LeafView::stored(&delivery.leaf).map_err(inconsistent)?;
    let place = Place { leaf_hash: delivery.leaf.leaf_hash.clone(), cursor, recorded_at: leaf.recorded_at };
    let rows = |fault: StoredFault| inconsistent(fault);
    match leaf.record.split_once('/').and_then(|(collection, _)| collection.parse().ok()) {
        Some(Collection::Payment) => {
            let row: PaymentRow = leaf.row().map_err(rows)?;
            let token = account_token(gateway, &row.institution, channel).await?;
            Ok(instruction::of_payment(&place, &row, &token))
        }
        Some(Collection::PaymentQuery) => {
            let query: PaymentQueryRow = leaf.row().map_err(rows)?;
            let mut session = gateway.store.read().await.map_err(failed)?;
            let row: Option<PaymentRow> = session.get(key![query.payment.clone()]).await.map_err(failed)?;
            let lost =
                || StoredFault { table: "payments", column: "payment", problem: format!("lacks {}", query.payment) };
            Ok(instruction::of_query(&place, &row.ok_or_else(lost).map_err(rows)?))
        }
        Some(Collection::Grant) => Ok(instruction::of_grant(&place, &leaf.row::<GrantRow>().map_err(rows)?)),
        Some(Collection::OperatingSubsidyClaim) => {
            let row: ClaimRow = leaf.row().map_err(rows)?;
            let token = account_token(gateway, &row.institution, channel).await?;
            Ok(instruction::of_claim(&place, &row, &token))
        }
        _ => Err(inconsistent(StoredFault {
            table: "deliveries",
            column: "topic",
            problem: format!("{} instructs nothing", leaf.kind),
        })),
    }
}

/// Where the channel pays the institution at the moment; empty where no account is in use.
async fn account_token(gateway: &Gateway, institution: &str, channel: &Participant) -> Result<String, Refused> {
    let account = gateway.engine.read(|snapshot, now| account_in_force(snapshot, institution, channel, now)).await?;
    Ok(account.map(|account| account.account_token.clone()).unwrap_or_default())
}
