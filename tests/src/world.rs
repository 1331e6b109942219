//! What payments stand on, set up in bulk through the API: rated institutions in Hebei, elders of
//! Beijing with an assessment, contracts, stays, the month's bills, and money on their accounts.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jjj_cli::session::{CallError, Session};
use jjj_domain::id::{ResidentId, Uscc};
use jjj_domain::recon::file::SettlementLine;
use jjj_domain::time::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::gateway::Gateway;

pub const BEIJING: &str = "regions/110000";
pub const TIANJIN: &str = "regions/120000";
pub const HEBEI: &str = "regions/130000";
pub const UNIONPAY: &str = "channels/unionpay";
pub const CHEN: &str = "regions/110000/admins/chen";
pub const PROGRAMME: &str = "care_subsidy";
pub const BOOK: &str = "110000/care_subsidy";
/// Haidian, the elders' household district.
const HAIDIAN: &str = "110108";
/// Sanhe, Hebei.
const SANHE: &str = "131082";
/// What each elder is credited: the care subsidy of the severely disabled.
pub const CREDITED_FEN: i64 = 60_000;

/// The systems that take part, connected to one gateway.
#[derive(Clone)]
pub struct Systems {
    pub beijing: Session,
    pub hebei: Session,
    pub unionpay: Session,
    /// An administrator of Beijing's.
    pub chen: Session,
}

impl Systems {
    pub fn of(gateway: &Gateway) -> Self {
        let session = |actor| gateway.session(actor);
        Self { beijing: session(BEIJING), hebei: session(HEBEI), unionpay: session(UNIONPAY), chen: session(CHEN) }
    }

    pub fn session(&self, participant: &str) -> &Session {
        match participant {
            BEIJING => &self.beijing,
            HEBEI => &self.hebei,
            UNIONPAY => &self.unionpay,
            other => panic!("{other} is not connected"),
        }
    }
}

/// Names of what was set up; elder `i` lives in institution `i % institutions` and has bill `i`.
pub struct World {
    pub institutions: Vec<String>,
    pub ratings: Vec<String>,
    pub elders: Vec<String>,
    pub assessments: Vec<String>,
    pub contracts: Vec<String>,
    pub stays: Vec<String>,
    pub bills: Vec<String>,
    pub grants: Vec<String>,
    /// One of each elder.
    pub mandates: Vec<String>,
    pub month: String,
    /// The clearing date before that of the beginning.
    pub yesterday: String,
}

impl World {
    /// Sets up elders, a bill for each with 1,800 yuan of bed fee due, and 600 yuan of subsidy.
    pub async fn build(systems: &Systems, institutions: usize, elders: usize) -> Self {
        let days = Days::now(&systems.beijing);
        let register = (0..institutions).map(institution).collect();
        let institutions =
            names(&systems.hebei, "InstitutionService/RegisterInstitution", register, "institution").await;
        let rate = institutions.iter().map(|name| rating(name, &days)).collect();
        let ratings = names(&systems.hebei, "RatingService/PublishRating", rate, "rating").await;
        let register = (0..elders).map(elder).collect();
        let elders = names(&systems.beijing, "ElderService/RegisterElder", register, "elder").await;
        let assess = elders.iter().map(|elder| assessment(elder, &days)).collect();
        let assessments = names(&systems.beijing, "AssessmentService/PublishAssessment", assess, "assessment").await;
        let [contracts, stays, bills] = care(systems, &institutions, &elders, &days).await;
        let grants = money(systems, &elders, &days).await;
        let consent = elders.iter().zip(&contracts).map(|(elder, contract)| mandate(elder, contract, &days)).collect();
        let mandates = names(&systems.beijing, "MandateService/CreateMandate", consent, "mandate").await;
        let yesterday = Timestamp(systems.unionpay.client.now_us()).clearing_date().plus_days(-1).to_string();
        let month = days.month;
        Self { institutions, ratings, elders, assessments, contracts, stays, bills, grants, mandates, month, yesterday }
    }
}

/// Days that the records need, around today.
pub struct Days {
    pub today: String,
    pub month: String,
    month_begins: String,
    year: i64,
}

impl Days {
    pub fn now(session: &Session) -> Self {
        let today = Timestamp(session.client.now_us()).date().to_string();
        let month = today[..7].to_owned();
        Self { year: today[..4].parse().expect("a year"), month_begins: format!("{month}-01"), month, today }
    }

    fn last_year(&self) -> String {
        format!("{}-01-01", self.year - 1)
    }

    fn in_a_year(&self) -> String {
        format!("{}-12-31", self.year + 1)
    }
}

/// Contracts in force, stays under them and the month's bills.
async fn care(systems: &Systems, institutions: &[String], elders: &[String], days: &Days) -> [Vec<String>; 3] {
    let hebei = &systems.hebei;
    let home = |i: usize| &institutions[i % institutions.len()];
    for institution in institutions {
        let scope = json!({"institution": institution, "in_scope": true, "effective_on": days.last_year(), "document_number": "网签-1"});
        done(hebei, "InstitutionService/SetSigningScope", scope).await;
    }
    let create = elders.iter().enumerate().map(|(i, elder)| contract(home(i), elder, days)).collect();
    let contracts = names(hebei, "ContractService/CreateContract", create, "contract").await;
    let signed_at_us = hebei.client.now_us() - 60_000_000;
    for of_institution in [true, false] {
        let sign = contracts.iter().enumerate().map(|(i, contract)| {
            let signer = if of_institution { home(i) } else { &elders[i] };
            json!({"contract": contract, "signature": signature(signer, &elders[i], signed_at_us)})
        });
        names(hebei, "ContractService/SignContract", sign.collect(), "contract").await;
    }
    let file = contracts.iter().enumerate().map(
        |(i, contract)| json!({"contract": contract, "filing_number": format!("HB{i:06}"), "filed_on": days.today}),
    );
    names(hebei, "ContractService/FileContract", file.collect(), "contract").await;
    let activate = contracts.iter().map(|contract| json!({"contract": contract, "effective_on": days.today}));
    names(hebei, "ContractService/ActivateContract", activate.collect(), "contract").await;
    let admit = contracts.iter().enumerate().map(|(i, contract)| {
        json!({"elder": elders[i], "institution": home(i), "contract": contract, "admitted_on": days.month_begins})
    });
    let stays = names(hebei, "StayService/AdmitElder", admit.collect(), "stay").await;
    let publish = stays.iter().enumerate().map(|(i, stay)| {
        json!({
            "institution": home(i), "elder": elders[i], "contract": contracts[i], "stay": stay, "month": days.month,
            "bill_number": format!("B{i:06}"), "lines": [{"fee_type": "FEE_TYPE_BED", "due_fen": "180000"}],
        })
    });
    let bills = names(hebei, "BillService/PublishBill", publish.collect(), "bill").await;
    [contracts, stays, bills]
}

/// A budget, funding, and each elder's grant, credited.
async fn money(systems: &Systems, elders: &[String], days: &Days) -> Vec<String> {
    let enough = (CREDITED_FEN * elders.len() as i64 * 2).to_string();
    let budget = json!({"programme": PROGRAMME, "funder_division": HAIDIAN, "budget_year": days.year,
                        "amount_fen": enough, "reference": "预算"});
    done(&systems.beijing, "EntitlementService/AllotBudget", budget).await;
    let funding = json!({"programme": PROGRAMME, "channel": UNIONPAY, "amount_fen": enough, "reference": "预存"});
    done(&systems.beijing, "EntitlementService/FundChannel", funding).await;
    let grant = elders.iter().map(|elder| grant(elder, &days.month)).collect();
    let grants = names(&systems.beijing, "EntitlementService/GrantEntitlement", grant, "grant").await;
    let credit = grants.iter().map(
        |grant| json!({"grant": grant, "outcome": "CREDIT_OUTCOME_CREDITED", "amount_fen": CREDITED_FEN.to_string()}),
    );
    names(&systems.unionpay, "EntitlementService/ReportCredit", credit.collect(), "grant").await
}

/// A request to register the `n`th institution.
pub fn institution(n: usize) -> Value {
    json!({"uscc": uscc(n), "display_name": format!("演示养老院{n}"), "kind": "INSTITUTION_KIND_CARE_INSTITUTION",
           "division_code": SANHE, "beds": "100", "residents": "40"})
}

/// A rating in force: GB/T 37276, grade 4.
pub fn rating(institution: &str, days: &Days) -> Value {
    json!({"institution": institution, "scheme": "RATING_SCHEME_GB_T_37276", "native_grade": 4,
           "state": "RECORD_STATE_VALID", "document_number": "评定-1", "decided_by": "评定委员会",
           "decided_on": days.last_year(), "valid_from": days.last_year(), "valid_until": days.in_a_year(),
           "reason": "等级评定"})
}

/// A request to register the `n`th elder; its salt is always another.
pub fn elder(n: usize) -> Value {
    let id = resident_id(n);
    let salt: [u8; 32] = Sha256::digest(uuid::Uuid::now_v7()).into();
    let sex = if id.as_bytes()[16] % 2 == 1 { "SEX_MALE" } else { "SEX_FEMALE" };
    json!({"salt": BASE64_STANDARD.encode(salt), "household_division": HAIDIAN,
           "identifiers": [{"kind": "IDENTIFIER_KIND_RESIDENT_ID", "value": id}],
           "personal_data": {"full_name": format!("演示老人{n}"), "sex": sex,
                             "birth_date": format!("{}-{}-{}", &id[6..10], &id[10..12], &id[12..14])}})
}

/// An assessment of severe disability in force.
pub fn assessment(elder: &str, days: &Days) -> Value {
    json!({"elder": elder, "standard": "ASSESSMENT_STANDARD_GB_T_42195_2022",
           "assessment_reason": "ASSESSMENT_REASON_INITIAL", "self_care_score": 10, "mobility_score": 4,
           "mental_state_score": 18, "perception_social_score": 6, "total_score": 38, "preliminary_level": 3,
           "final_level": 3, "state": "RECORD_STATE_VALID", "document_number": "评估-1", "decided_by": "评估机构",
           "decided_on": days.last_year(), "valid_from": days.last_year(), "valid_until": days.in_a_year(),
           "reason": "首次评估"})
}

/// A second-degree disability certificate in force, `VISUAL` or `HEARING` for example.
pub fn certificate(elder: &str, category: &str, days: &Days) -> Value {
    json!({"elder": elder, "categories": [format!("DISABILITY_CATEGORY_{category}")], "grade": 2,
           "state": "RECORD_STATE_VALID", "document_number": "残-1", "decided_by": "残联",
           "decided_on": days.last_year(), "valid_from": days.last_year(), "valid_until": days.in_a_year(),
           "reason": "首次核发"})
}

/// A contract of the elder with the institution, to be signed, filed and activated.
pub fn contract(institution: &str, elder: &str, days: &Days) -> Value {
    json!({"institution": institution, "elder": elder,
           "parties": [{"party": institution, "roles": ["PARTY_ROLE_INSTITUTION"]},
                       {"party": elder, "roles": ["PARTY_ROLE_ELDER", "PARTY_ROLE_PAYMENT_OBLIGOR"]}],
           "capacity": "LEGAL_CAPACITY_FULL",
           "fees": {"bed_fee_fen": "180000", "nursing_fee_fen": "200000", "meal_fee_fen": "90000",
                    "deposit_fen": "100000", "prepaid_months": 1},
           "starts_on": days.month_begins, "ends_on": days.in_a_year(),
           "documents": [{"kind": "CONTRACT_DOCUMENT_KIND_CONTRACT_TEXT", "sha256": digest(elder), "size_bytes": "1000"}]})
}

/// A signature under an elder's contract.
pub fn signature(signer: &str, elder: &str, signed_at_us: i64) -> Value {
    json!({"signer": signer, "method": "SIGNATURE_METHOD_ELECTRONIC", "document_sha256": digest(elder),
           "signed_time_us": signed_at_us.to_string(), "certificate_sha256": digest(signer),
           "certificate_issuer": "CN=CA", "signature_sha256": digest(&format!("{signer} {elder}"))})
}

/// A grant of a month's care subsidy.
pub fn grant(elder: &str, month: &str) -> Value {
    json!({"elder": elder, "programme": PROGRAMME, "month": month, "channel": UNIONPAY})
}

/// The elder's consent to be instructed for, as much as is credited.
pub fn mandate(elder: &str, contract: &str, days: &Days) -> Value {
    json!({"programme": PROGRAMME, "elder": elder, "contract": contract, "channel": UNIONPAY,
           "fee_types": ["FEE_TYPE_BED"], "monthly_cap_fen": CREDITED_FEN.to_string(),
           "valid_from": days.month_begins, "valid_until": days.in_a_year(), "consent_sha256": digest(elder)})
}

/// A request to authorise a part of a bill's bed fee.
pub fn authorise(bill: &str, amount_fen: i64, order_id: &str, at_us: i64) -> Value {
    json!({"bill": bill, "fee_type": "FEE_TYPE_BED", "programme": PROGRAMME, "amount_fen": amount_fen.to_string(),
           "merchant_id": "898110000000001", "order_id": order_id, "transaction_time_us": at_us.to_string(),
           "consent_sha256": digest(order_id)})
}

/// A settlement file in CSV: header, lines, trailer.
pub fn settlement_file(lines: &[SettlementLine]) -> String {
    let mut bytes = Vec::new();
    jjj_formats::csv::write(lines, &mut bytes).expect("memory takes all");
    String::from_utf8(bytes).expect("UTF-8")
}

/// Delivers a CSV of a date: a channel its settlement file, a region its own book about UnionPay's.
pub async fn deliver(sender: &Session, date: &str, text: &str) {
    try_deliver(sender, date, text).await.unwrap_or_else(|refused| panic!("a file is not delivered: {refused}"));
}

/// As [`deliver`], while the gateway may die.
pub async fn try_deliver(sender: &Session, date: &str, text: &str) -> Result<(), CallError> {
    let file = upload(sender, date, text).await?;
    sender.call("ChannelService/CompleteUpload", json!({"file": file})).await.map(drop)
}

/// All of a file, not yet completed.
pub async fn upload(sender: &Session, date: &str, text: &str) -> Result<Value, CallError> {
    let (content, channel) = match sender.client.participant() {
        channel if channel.starts_with("channels/") => ("SETTLEMENT", channel),
        _ => ("REGIONAL_BOOK", UNIONPAY),
    };
    let begin = json!({"clearing_date": date, "format": "FILE_FORMAT_CSV", "channel": channel,
                       "content": format!("FILE_CONTENT_{content}"), "file_name": "day.csv",
                       "size_bytes": text.len().to_string(), "sha256": digest(text)});
    let file = sender.call("ChannelService/BeginUpload", begin).await?["file"]["name"].take();
    let chunk = json!({"file": file, "offset": "0", "data": BASE64_STANDARD.encode(text)});
    sender.call("ChannelService/UploadChunk", chunk).await.map(|_| file)
}

/// SHA-256 of a text, hex.
pub fn digest(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An accepted call's answer.
pub async fn done(session: &Session, method: &str, request: Value) -> Value {
    session.call(method, request).await.unwrap_or_else(|refused| panic!("{method}: {refused} {:?}", refused.field))
}

/// A 64-bit integer of proto JSON.
pub fn int(value: &Value) -> i64 {
    value.as_str().and_then(|text| text.parse().ok()).expect("a 64-bit integer")
}

/// The names of what a batch made, all items accepted.
pub async fn names(session: &Session, method: &str, requests: Vec<Value>, part: &str) -> Vec<String> {
    let results = session.batch(method, requests).await.unwrap_or_else(|refused| panic!("{method}: {refused}"));
    let name = |result: Result<Value, _>| match result {
        Ok(answer) => answer[part]["name"].as_str().expect("a name").to_owned(),
        Err(refused) => panic!("{method}: {refused}"),
    };
    results.into_iter().map(name).collect()
}

/// A resident who was born in 1880, of more than 335,664 in the years after, with the right check digit.
fn resident_id(n: usize) -> String {
    let (day, number) = (n / 999, 1 + n % 999);
    let body = format!("{HAIDIAN}{}{:02}{:02}{number:03}", 1880 + day / 28 / 12, 1 + day / 28 % 12, 1 + day % 28);
    let mut ids = "0123456789X".chars().map(|check| format!("{body}{check}"));
    ids.find(|id| id.parse::<ResidentId>().is_ok()).expect("one check digit fits")
}

/// A code that was never issued, with the right check characters.
fn uscc(n: usize) -> String {
    let inner = "0123456789X".chars().map(|check| format!("52{SANHE}XX{n:06}{check}"));
    let mut codes =
        inner.flat_map(|body| "0123456789ABCDEFGHJKLMNPQRTUWXY".chars().map(move |check| format!("{body}{check}")));
    codes.find(|code| code.parse::<Uscc>().is_ok()).expect("some check characters fit")
}
