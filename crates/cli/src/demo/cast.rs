//! What both demos set up alike: institutions, ratings, elders, assessments,
//! contracts, stays, grants, credits, bills, in bulk and through the API.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jjj_cli::session::Session;
use serde_json::{Value, json};

use super::people::resident_id;
use super::stage::{batch, int, name};

pub const BEIJING: &str = "regions/110000";
pub const TIANJIN: &str = "regions/120000";
pub const HEBEI: &str = "regions/130000";
pub const UNIONPAY: &str = "channels/unionpay";
pub const PROGRAMME: &str = "care_subsidy";

/// SHA-256 of a text, hex: stands for the digest of a document.
pub fn digest(text: &str) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()))
}

/// A request to register the `n`th synthetic elder of a household district.
pub fn elder(division: &str, n: usize) -> Value {
    let id = resident_id(division, n);
    let salt = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!("salt {division} {n}").as_bytes());
    json!({
        "salt": BASE64_STANDARD.encode(salt),
        "household_division": division,
        "identifiers": [{"kind": "IDENTIFIER_KIND_RESIDENT_ID", "value": id}],
        "personal_data": {"full_name": format!("演示老人{n:04}"), "birth_date": birth_date(&id), "sex": sex(&id)},
    })
}

fn birth_date(resident_id: &str) -> String {
    format!("{}-{}-{}", &resident_id[6..10], &resident_id[10..12], &resident_id[12..14])
}

fn sex(resident_id: &str) -> &'static str {
    let odd = resident_id.as_bytes()[16] % 2 == 1;
    if odd { "SEX_MALE" } else { "SEX_FEMALE" }
}

/// An assessment of GB/T 42195-2022 with the given level, scored consistently.
pub fn assessment(elder: &str, level: i64, decided_on: &str, valid_from: &str, valid_until: &str) -> Value {
    // One set of dimension scores inside each level's band.
    let [self_care, mobility, mental, social] = match level {
        0 => [32, 15, 28, 15],
        1 => [26, 11, 24, 11],
        2 => [18, 7, 20, 8],
        3 => [10, 4, 18, 6],
        _ => [4, 1, 10, 3],
    };
    json!({
        "elder": elder,
        "standard": "ASSESSMENT_STANDARD_GB_T_42195_2022",
        "assessment_reason": "ASSESSMENT_REASON_INITIAL",
        "self_care_score": self_care, "mobility_score": mobility,
        "mental_state_score": mental, "perception_social_score": social,
        "total_score": self_care + mobility + mental + social,
        "preliminary_level": level, "final_level": level,
        "state": "RECORD_STATE_VALID",
        "document_number": format!("评估-{}", &elder[elder.len() - 8..]),
        "decided_by": "区评估机构",
        "decided_on": decided_on, "valid_from": valid_from, "valid_until": valid_until,
        "reason": "首次评估",
    })
}

/// A rating by GB/T 37276 or Beijing stars.
pub fn rating(
    institution: &str,
    scheme: &str,
    grade: i64,
    decided_on: &str,
    valid_from: &str,
    valid_until: &str,
) -> Value {
    json!({
        "institution": institution,
        "scheme": format!("RATING_SCHEME_{scheme}"),
        "native_grade": grade,
        "state": "RECORD_STATE_VALID",
        "document_number": format!("评定-{}", &institution[institution.len() - 8..]),
        "decided_by": "评定委员会",
        "decided_on": decided_on, "valid_from": valid_from, "valid_until": valid_until,
        "reason": "等级评定",
    })
}

/// How a contract comes to count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Filed online with a number.
    Online,
    /// Attested on paper by the region.
    Attested,
}

/// Who lives where under which contract.
pub struct Placement {
    pub elder: String,
    pub institution: String,
    pub starts_on: String,
    pub ends_on: String,
    pub proof: Proof,
}

/// Creates, signs, files or attests and activates contracts; their names, in order.
///
/// `registrar` is the institutions' region. Filing numbers carry `prefix`.
pub async fn contracts(
    registrar: &Session,
    placements: &[Placement],
    today: &str,
    prefix: &str,
) -> anyhow::Result<Vec<String>> {
    let document = |p: &Placement| digest(&format!("contract of {}", p.elder));
    let create = placements.iter().map(|p| {
        json!({
            "institution": p.institution, "elder": p.elder,
            "parties": [
                {"party": p.institution, "roles": ["PARTY_ROLE_INSTITUTION"]},
                {"party": p.elder, "roles": ["PARTY_ROLE_ELDER", "PARTY_ROLE_PAYMENT_OBLIGOR"]},
            ],
            "capacity": "LEGAL_CAPACITY_FULL",
            "fees": {"bed_fee_fen": "180000", "nursing_fee_fen": "200000", "meal_fee_fen": "90000",
                     "other_fee_fen": "0", "deposit_fen": "300000", "prepaid_months": 1},
            "starts_on": p.starts_on, "ends_on": p.ends_on,
            "documents": [{"kind": "CONTRACT_DOCUMENT_KIND_CONTRACT_TEXT", "sha256": document(p), "size_bytes": "20480"}],
        })
    });
    let created = batch(registrar, "ContractService/CreateContract", create.collect(), "contract").await?;
    let names: Vec<String> = created.iter().map(name).collect();
    let signed_us = registrar.client.now_us() - 60_000_000;
    for by_institution in [true, false] {
        let sign = placements.iter().zip(&names).map(|(p, contract)| {
            let signer = if by_institution { &p.institution } else { &p.elder };
            json!({"contract": contract, "signature": {
                "signer": signer, "method": "SIGNATURE_METHOD_ELECTRONIC", "document_sha256": document(p),
                "signed_time_us": signed_us.to_string(), "certificate_sha256": digest(&format!("certificate {signer}")),
                "certificate_issuer": "CN=licensed CA", "signature_sha256": digest(&format!("signature {signer} {contract}")),
            }})
        });
        batch(registrar, "ContractService/SignContract", sign.collect(), "contract").await?;
    }
    let of = |wanted: Proof| placements.iter().zip(&names).filter(move |(p, _)| p.proof == wanted);
    let file = of(Proof::Online).enumerate().map(|(i, (_, contract))| {
        json!({"contract": contract, "filing_number": format!("{prefix}{i:05}"), "filed_on": today})
    });
    batch(registrar, "ContractService/FileContract", file.collect(), "contract").await?;
    let attest = of(Proof::Attested)
        .map(|(_, contract)| json!({"contract": contract, "attested_on": today, "attester": "县民政局"}));
    batch(registrar, "ContractService/AttestContract", attest.collect(), "contract").await?;
    let activate =
        placements.iter().zip(&names).map(|(p, contract)| json!({"contract": contract, "effective_on": p.starts_on}));
    batch(registrar, "ContractService/ActivateContract", activate.collect(), "contract").await?;
    Ok(names)
}

/// Admits elders; the stays' names, in order.
pub async fn admit(
    region: &Session,
    placements: &[Placement],
    contracts: &[String],
    on: &str,
) -> anyhow::Result<Vec<String>> {
    let requests = placements.iter().zip(contracts).map(|(p, contract)| {
        json!({"elder": p.elder, "institution": p.institution, "contract": contract, "admitted_on": on})
    });
    Ok(batch(region, "StayService/AdmitElder", requests.collect(), "stay").await?.iter().map(name).collect())
}

/// A month's bill: bed 1800 yuan, nursing 2000 yuan, meals 900 yuan.
pub fn bill(p: &Placement, contract: &str, stay: &str, month: &str) -> Value {
    json!({
        "institution": p.institution, "elder": p.elder, "contract": contract, "stay": stay, "month": month,
        "lines": [
            {"fee_type": "FEE_TYPE_BED", "due_fen": "180000", "paid_elsewhere_fen": "0"},
            {"fee_type": "FEE_TYPE_NURSING", "due_fen": "200000", "paid_elsewhere_fen": "0"},
            {"fee_type": "FEE_TYPE_MEAL", "due_fen": "90000", "paid_elsewhere_fen": "0"},
        ],
        "bill_number": format!("B-{}-{month}", &contract[contract.len() - 12..]),
    })
}

/// Budget at the bank and money placed with UnionPay, for as many yuan.
pub async fn fund(beijing: &Session, division: &str, year: i32, yuan: i64) -> anyhow::Result<()> {
    let amount_fen = (yuan * 100).to_string();
    let budget = json!({"programme": PROGRAMME, "funder_division": division, "budget_year": year,
                        "amount_fen": amount_fen, "reference": "预算拨款"});
    super::stage::call(beijing, "EntitlementService/AllotBudget", budget, "").await?;
    let funding =
        json!({"programme": PROGRAMME, "channel": UNIONPAY, "amount_fen": amount_fen, "reference": "预存资金"});
    super::stage::call(beijing, "EntitlementService/FundChannel", funding, "").await?;
    Ok(())
}

/// Grants a month to elders and has the channel credit it; the grants, in order.
pub async fn grant_and_credit(
    beijing: &Session,
    unionpay: &Session,
    elders: &[String],
    month: &str,
) -> anyhow::Result<Vec<Value>> {
    let grants =
        elders.iter().map(|elder| json!({"elder": elder, "programme": PROGRAMME, "month": month, "channel": UNIONPAY}));
    let grants = batch(beijing, "EntitlementService/GrantEntitlement", grants.collect(), "grant").await?;
    let credits = grants.iter().map(credit);
    batch(unionpay, "EntitlementService/ReportCredit", credits.collect(), "grant").await
}

/// The channel's report that a grant was credited.
pub fn credit(grant: &Value) -> Value {
    let amount_fen = int(&grant["amount_fen"]).to_string();
    json!({"grant": name(grant), "outcome": "CREDIT_OUTCOME_CREDITED", "amount_fen": amount_fen})
}

/// An authorisation request of UnionPay.
pub fn authorise(bill: &str, fee_type: &str, amount_fen: i64, order_id: &str, merchant: &str, at_us: i64) -> Value {
    json!({
        "bill": bill, "fee_type": format!("FEE_TYPE_{fee_type}"), "programme": PROGRAMME,
        "amount_fen": amount_fen.to_string(), "order_id": order_id, "merchant_id": merchant,
        "transaction_time_us": at_us.to_string(), "consent_sha256": digest(&format!("consent {order_id}")),
    })
}
