//! Payments as the day before left them, without the day; people; files.

use std::sync::Arc;

use jjj_domain::care::bill::{BillLineRow, FeeType};
use jjj_domain::decision::{Call, Command, Decision};
use jjj_domain::ledger::{Account, Book, EntryKind, Transfer};
use jjj_domain::names::{Actor, Participant};
use jjj_domain::participant::{AddAdministrator, NewKey};
use jjj_domain::payment::{Origin as PaymentOrigin, PaymentRow, PaymentState};
use jjj_domain::recon::file::{
    ControlTotals, HEADER, LineKind, LineStatus, SettlementLine, render_line, render_trailer,
};
use jjj_domain::snapshot::{Snapshot, Stop};
use jjj_domain::time::{Date, HOUR_US};
use jjj_domain::value::Json;
use jjj_server::bootstrap::fresh_id;
use jjj_server::engine::{Job, Origin};
use jjj_token::{Algorithm, SigningKey};
use jjj_wire::pb;
use prost::Message;
use sha2::{Digest, Sha256};
use tonic::Status;

use crate::harness::{Authority, Client, INSTITUTION, World};

pub const BEGIN: &str = "/jjj.gateway.v1.ChannelService/BeginUpload";
pub const CHUNK: &str = "/jjj.gateway.v1.ChannelService/UploadChunk";
pub const COMPLETE: &str = "/jjj.gateway.v1.ChannelService/CompleteUpload";

pub fn beijing() -> Participant {
    "regions/110000".parse().unwrap()
}

pub fn hebei() -> Participant {
    "regions/130000".parse().unwrap()
}

pub fn unionpay() -> Participant {
    "channels/unionpay".parse().unwrap()
}

pub fn book() -> Book {
    Book::new(beijing(), "care_subsidy").unwrap()
}

/// A date whose grace is over, whatever holidays there are.
pub fn past_date(world: &World) -> Date {
    world.clock.now().clearing_date().plus_days(-20)
}

pub fn id(world: &World) -> String {
    fresh_id(&world.clock).to_string()
}

/// Confirmed payments from one elder's entitlement, each with its own bill.
#[derive(Clone)]
pub struct Payments {
    pub date: Date,
    /// Order id and amount.
    pub orders: Vec<(String, i64)>,
}

impl Command for Payments {
    fn decide(&self, _: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let (book, channel, month) = (book(), unionpay(), call.now.month());
        let sum: i64 = self.orders.iter().map(|(_, fen)| fen).sum();
        let post = |entry, debit, credit, fen| Transfer::posted(entry, debit, credit, fen, month);
        let (granted, spendable) = (Account::granted(&book, "e1"), Account::entitlement(&book, "e1", &channel));
        let mut decision = Decision::new(call);
        let funding = format!("tests/{}", call.request_id);
        decision
            .leaf("test.funded", &funding, 1)
            .tell(&beijing())
            .book(
                post(
                    EntryKind::ChannelFunded,
                    Account::prefund(&book, &channel),
                    Account::bank(&book),
                    sum + 1_000_000,
                )
                .on(self.date),
            )
            .book(post(EntryKind::MonthGranted, Account::expense(&book, "110108", 2026), granted.clone(), sum + 500))
            .book(post(EntryKind::Credited, granted, spendable.clone(), sum + 500));
        for (order, amount_fen) in &self.orders {
            let row = self.payment(order, *amount_fen);
            let clearing = Account::clearing(&book, &channel, self.date);
            let confirmed = post(EntryKind::Confirmed, spendable.clone(), clearing, *amount_fen).on(self.date);
            decision
                .leaf("payment.confirmed", &row.payment, 1)
                .put(&row)
                .put(&line(&row))
                .book(confirmed)
                .tell(&row.region)
                .tell(&row.institution_region)
                .tell(&channel);
        }
        Ok(decision)
    }
}

impl Payments {
    fn payment(&self, order: &str, amount_fen: i64) -> PaymentRow {
        PaymentRow {
            payment: format!("payments/{order}"),
            origin: PaymentOrigin::Authorised,
            channel: unionpay(),
            merchant_id: "M1".into(),
            order_id: order.into(),
            person: "elders/e1".into(),
            contract: "contracts/c1".into(),
            bill: format!("bills/{order}"),
            fee_type: FeeType::Bed,
            institution: format!("institutions/{INSTITUTION}"),
            institution_region: hebei(),
            region: beijing(),
            programme: "care_subsidy".into(),
            amount_fen,
            state: PaymentState::Confirmed,
            transaction_time_us: self.date.starts_at().plus_us(10 * HOUR_US),
            clearing_date: self.date,
            authorised_on: self.date,
            mandate: None,
            stands_on: Json(vec![]),
            unmet: Json(vec![]),
            consent_sha256: None,
            refunded_fen: 0,
            kept_fen: 0,
            matched_by: None,
            reason: String::new(),
            recorded_at_us: self.date.starts_at(),
            version: 1,
        }
    }
}

fn line(row: &PaymentRow) -> BillLineRow {
    BillLineRow {
        bill: row.bill.clone(),
        fee_type: row.fee_type,
        institution_region: row.institution_region.clone(),
        household_region: row.region.clone(),
        due_fen: 1_000_000,
        paid_elsewhere_fen: 0,
        posted_fen: row.amount_fen,
        held_fen: 0,
    }
}

/// Decides a command as somebody, past the door.
pub async fn decide(world: &World, actor: &str, command: impl Command + 'static) {
    let job = Job {
        actor: actor.parse::<Actor>().unwrap(),
        request_id: fresh_id(&world.clock),
        origin: Origin::Gateway { content: "scene".into() },
        command: Box::new(command),
        sealed_for: None,
        alone: false,
        completes_upload: None,
    };
    world.gateway().engine.submit(job).await.unwrap();
}

/// One more administrator of Hebei.
pub async fn hebei_admin(world: &World, name: &str) -> Client {
    administrator(world, "regions/130000/admins/wang", &world.hebei_ca, &format!("regions/130000/admins/{name}")).await
}

/// UnionPay's first administrator.
pub async fn unionpay_admin(world: &World) -> Client {
    administrator(world, "channels/unionpay", &world.unionpay_ca, "channels/unionpay/admins/he").await
}

async fn administrator(world: &World, by: &str, authority: &Authority, actor: &str) -> Client {
    let pem = SigningKey::generate_pkcs8_pem(Algorithm::EdDsa).unwrap();
    let key = Arc::new(SigningKey::from_pkcs8_pem(&pem).unwrap());
    let first_key = NewKey { kid: key.kid().into(), jwk: key.public_jwk().to_json(), fingerprint: key.kid().into() };
    let command = AddAdministrator { name: actor.parse().unwrap(), display_name: "新人".into(), first_key };
    decide(world, by, command).await;
    world.connect(actor, authority, key)
}

/// A settlement file: each order as paid, at the agreed fee.
pub fn file(date: Date, orders: &[(String, i64)]) -> Vec<u8> {
    let mut totals = ControlTotals::default();
    let mut text = format!("{}\n", HEADER.join(","));
    for (order, amount_fen) in orders {
        let line = SettlementLine {
            line: 0,
            byte_offset: 0,
            kind: LineKind::Payment,
            merchant_id: "M1".into(),
            order_id: order.clone(),
            transaction_time: date.starts_at().plus_us(10 * HOUR_US),
            amount_fen: *amount_fen,
            fee_fen: ((amount_fen * 20 + 5_000) / 10_000).min(2_000),
            status: LineStatus::Success,
            institution: INSTITUTION.into(),
            original_order_id: None,
        };
        totals.rows += 1;
        totals.amount_fen += line.amount_fen;
        totals.fee_fen += line.fee_fen;
        text.push_str(&render_line(&line).join(","));
        text.push('\n');
    }
    text.push_str(&render_trailer(totals).join(","));
    text.push('\n');
    text.into_bytes()
}

pub fn begin(world: &World, date: Date, bytes: &[u8]) -> pb::BeginUploadRequest {
    pb::BeginUploadRequest {
        request_id: id(world),
        clearing_date: date.to_string(),
        format: pb::FileFormat::Csv.into(),
        content: pb::FileContent::Settlement.into(),
        channel: String::new(),
        merchant_id: String::new(),
        file_name: "day.csv".into(),
        size_bytes: bytes.len() as i64,
        sha256: hex::encode(Sha256::digest(bytes)),
    }
}

/// Announces and sends a file, all but the end.
pub async fn send(world: &World, date: Date, bytes: &[u8]) -> String {
    let wanted = begin(world, date, bytes);
    let begun = world.unionpay.call(BEGIN, &wanted.encode_to_vec(), world.now_s()).await.unwrap();
    let file = pb::BeginUploadResponse::decode(begun).unwrap().file.unwrap();
    for (i, data) in bytes.chunks(1 << 20).enumerate() {
        let offset = (i << 20) as i64;
        let data = data.to_vec().into();
        let chunk = pb::UploadChunkRequest { file: file.name.clone(), offset, data }.encode_to_vec();
        let answer = world.unionpay.call(CHUNK, &chunk, world.now_s()).await.unwrap();
        let received = pb::UploadChunkResponse::decode(answer).unwrap().received_bytes;
        assert_eq!(received, (offset + (1 << 20)).min(bytes.len() as i64));
    }
    file.name
}

pub async fn complete(world: &World, file: &str) -> Result<pb::SettlementFile, Status> {
    let request = pb::CompleteUploadRequest { request_id: id(world), file: file.into() }.encode_to_vec();
    let answer = world.unionpay.call(COMPLETE, &request, world.now_s()).await?;
    Ok(pb::CompleteUploadResponse::decode(answer).unwrap().file.unwrap())
}

pub async fn upload(world: &World, date: Date, bytes: &[u8]) -> pb::SettlementFile {
    let file = send(world, date, bytes).await;
    complete(world, &file).await.unwrap()
}

pub fn orders(names: &[&str]) -> Vec<(String, i64)> {
    names.iter().enumerate().map(|(i, name)| ((*name).to_owned(), 10_000 + 100 * i as i64)).collect()
}

impl World {
    /// Verifies the whole database of a gateway that has stopped.
    pub async fn verify(&self) {
        let report = jjj_server::verify::verify(&self.store().await, &Default::default()).await.unwrap();
        // The scene was set past the door: nobody signed it.
        let is_real = |problem: &str| !problem.contains("no evidence");
        let faults: Vec<_> = report.faults.iter().filter(|fault| is_real(&fault.problem)).collect();
        assert!(faults.is_empty(), "{faults:#?}");
    }
}
