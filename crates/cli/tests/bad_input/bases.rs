//! For each method one request that is right, to be damaged field by field.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jjj_wire::methods::{METHODS, Method};
use serde_json::{Value, json};

use crate::world::{BANK, BEIJING, HEBEI, MONTH, START_US, UNIONPAY, World, digest, salt};

/// A request as somebody who may make it.
pub struct Base {
    pub method: &'static Method,
    pub actor: &'static str,
    pub request: Value,
}

const LI: &str = "gateway/admins/li";
const CHEN: &str = "regions/110000/admins/chen";
const SUN: &str = "regions/110000/admins/sun";
const MA: &str = "regions/130000/admins/ma";
const HU: &str = "regions/130000/admins/hu";
const PROGRAMME: &str = "care_subsidy";

/// One for every method but batches, whose items are requests of single methods. A method
/// without one fails the test.
pub fn bases(w: &World) -> Vec<Base> {
    METHODS.iter().filter(|m| !m.batch).map(|method| base(w, method)).collect()
}

fn base(w: &World, method: &'static Method) -> Base {
    let service = method.service.strip_suffix("Service").unwrap();
    let found = match service {
        "Participant" => registry(w, method.name),
        "Elder" => person(w, method.name),
        "Assessment" | "DisabilityCertificate" | "Rating" | "Recognition" => record(w, method.name),
        "Contract" => contract(w, method.name),
        "Stay" | "Bill" | "Mandate" => care(w, method.name),
        "Institution" => institution(w, method.name),
        "Entitlement" => entitlement(w, method.name),
        "Payment" => payment(w, method.name),
        "OperatingSubsidy" => subsidy(w, method.name),
        "Channel" | "Event" => channel(w, method.name),
        "Reconciliation" => reconciliation(w, method.name),
        "Ledger" | "Policy" => ledger(w, method.name),
        _ => None,
    };
    let list = || {
        let list = method.name.starts_with("List").then(|| json!({"filter": "", "page_size": 10}));
        list.map(|request| (if method.service == "PaymentService" { UNIONPAY } else { BEIJING }, request))
    };
    let (actor, request) = found.or_else(list).unwrap_or_else(|| panic!("{} has no base request", method.path));
    Base { method, actor, request }
}

type Found = Option<(&'static str, Value)>;

fn registry(w: &World, name: &str) -> Found {
    let (jwk, thumb) = w.foreign_key("regions/120000");
    Some(match name {
        "CreateParticipant" => {
            let participant = "channels/alipay";
            let request = json!({"name": participant, "display_name": "支付宝", "kind": "PARTICIPANT_KIND_CHANNEL",
                "authority_pem": w.foreign_authority("regions/120000"), "first_key_jwk": jwk, "first_key_fingerprint": thumb,
                "confirmations": w.confirmations(participant, &thumb)});
            (LI, request)
        }
        "GetParticipant" => (BEIJING, json!({"name": BEIJING})),
        "SuspendParticipant" => (LI, json!({"participant": BANK, "reason": "演练"})),
        "ReinstateParticipant" => (LI, json!({"participant": "regions/120000", "reason": "演练毕"})),
        "AddAuthority" => {
            let pem = w.foreign_authority("regions/120000");
            (BEIJING, json!({"participant": BEIJING, "certificate_pem": pem}))
        }
        "WithdrawAuthority" => (BANK, json!({"authority": w.name("authority"), "reason": "更换"})),
        "AddKey" => (BEIJING, json!({"owner": BEIJING, "jwk": jwk, "fingerprint": thumb})),
        "RetireKey" => (BANK, json!({"key": w.name("key"), "reason": "轮换"})),
        "WithdrawKey" => {
            let since = (START_US - 1_000_000).to_string();
            (BANK, json!({"key": w.name("key"), "suspect_from_time_us": since, "reason": "泄露"}))
        }
        "AddAdministrator" => {
            let request = json!({"name": "regions/110000/admins/new", "display_name": "新人", "first_key_jwk": jwk,
                                 "first_key_fingerprint": thumb});
            (CHEN, request)
        }
        "RemoveAdministrator" => (CHEN, json!({"administrator": "regions/110000/admins/liu", "reason": "调离"})),
        _ => return None,
    })
}

fn person(w: &World, name: &str) -> Found {
    let elder = w.name("e6");
    let party = w.name("party");
    let personal = |n| w.elder(n)["personal_data"].clone();
    let identifiers = |n| w.elder(n)["identifiers"].clone();
    Some(match name {
        "RegisterElder" => (BEIJING, w.elder(50)),
        "AddIdentifier" => {
            let card = json!({"kind": "IDENTIFIER_KIND_SOCIAL_SECURITY_CARD", "value": "A12345678"});
            (BEIJING, json!({"salt": salt("add"), "elder": elder, "identifier": card}))
        }
        "AmendElder" => {
            let request = json!({"salt": salt("amend"), "elder": elder, "expected_version": "1",
                                 "household_division": "110108", "personal_data": personal(6)});
            (BEIJING, request)
        }
        "MergeElders" => (BEIJING, json!({"elder": elder, "into": w.name("e3"), "reason": "同一人"})),
        "RecordDeath" => (BEIJING, json!({"elder": elder, "died_on": "2026-11-10", "document_number": "死1"})),
        "EraseElder" => (BEIJING, json!({"elder": elder, "reason": "到期"})),
        "FindElder" => (BEIJING, json!({"identifier": identifiers(0)[0], "purpose": "核对"})),
        "GetElder" => (BEIJING, json!({"name": elder})),
        "ReadPersonalData" => (BEIJING, json!({"name": elder, "purpose": "核对"})),
        "RegisterParty" => (HEBEI, w.party(91)),
        "AmendParty" => {
            let request = json!({"salt": salt("party"), "party": party, "identifiers": identifiers(90),
                                 "personal_data": personal(90)});
            (HEBEI, request)
        }
        "EraseParty" => (HEBEI, json!({"party": party, "reason": "到期"})),
        "GetParty" => (HEBEI, json!({"name": party})),
        _ => return None,
    })
}

fn record(w: &World, name: &str) -> Found {
    let change = |record: &str| {
        json!({"name": record, "expected_version": "1", "new_state": "RECORD_STATE_SUSPENDED", "reason": "复查",
               "decided_by": "评定委员会", "document_number": "停1", "effective_on": "2026-11-18"})
    };
    let named = |short: &str| json!({"name": w.name(short)});
    Some(match name {
        "PublishAssessment" => (BEIJING, w.assessment(w.name("e6"))),
        "ChangeAssessment" => (BEIJING, change(w.name("a2"))),
        "GetAssessment" | "ListAssessmentVersions" => (BEIJING, named("a0")),
        "PublishDisabilityCertificate" => (BEIJING, w.certificate(w.name("e2"))),
        "ChangeDisabilityCertificate" => (BEIJING, change(w.name("certificate"))),
        "GetDisabilityCertificate" | "ListDisabilityCertificateVersions" => (BEIJING, named("certificate")),
        "PublishRating" => {
            let mut request = w.rating(w.name("i0"));
            request["native_grade"] = 3.into();
            (HEBEI, request)
        }
        "ChangeRating" => (HEBEI, change(w.name("rating1"))),
        "GetRating" | "ListRatingVersions" => (BEIJING, named("rating")),
        "DecideRecognition" => {
            (HEBEI, json!({"record": w.name("a2"), "verdict": "RECOGNITION_VERDICT_ACCEPT", "reason": "互认"}))
        }
        "GetRecognition" | "ListRecognitionVersions" | "GetRecognitionToken" => (HEBEI, named("recognition")),
        _ => return None,
    })
}

fn contract(w: &World, name: &str) -> Found {
    let request = match name {
        "CreateContract" => w.contract(w.name("e6"), w.name("i0")),
        "SignContract" => w.sign(w.name("c1"), w.name("e1")),
        "FileContract" => json!({"contract": w.name("c2"), "filing_number": "HB2026-new", "filed_on": "2026-11-18"}),
        "AttestContract" => json!({"contract": w.name("c2"), "attested_on": "2026-11-18", "attester": "县民政局"}),
        "ActivateContract" => json!({"contract": w.name("c3"), "effective_on": "2026-11-18"}),
        "AmendContract" => {
            json!({"contract": w.name("c4"), "parties": w.parties(w.name("e4"), w.name("i1")), "capacity": "LEGAL_CAPACITY_FULL",
                   "fees": w.fees(), "ends_on": "2027-08-31", "documents": [w.document()],
                   "signatures": [w.signature(w.name("i1")), w.signature(w.name("e4"))],
                   "evidence": "CONTRACT_EVIDENCE_ONLINE_FILED", "filing_number": "HB2026-amend",
                   "effective_on": "2026-11-18", "reason": "调价"})
        }
        "TerminateContract" => {
            json!({"contract": w.name("c5"), "termination_reason": "TERMINATION_REASON_AGREEMENT", "ended_on": "2026-11-17",
                   "reason": "离院"})
        }
        "VoidContract" => json!({"contract": w.name("c1"), "reason": "重复", "document_number": "冀1"}),
        "GetContract" | "ListContractVersions" => json!({"name": w.name("c0")}),
        _ => return None,
    };
    Some((HEBEI, request))
}

fn care(w: &World, name: &str) -> Found {
    let request = match name {
        "AdmitElder" => {
            json!({"elder": w.name("e3"), "institution": w.name("i0"), "contract": w.name("c3"), "admitted_on": "2026-11-01"})
        }
        "EndStay" => json!({"stay": w.name("s5"), "left_on": "2026-11-17", "end_reason": "STAY_END_REASON_LEFT"}),
        "AmendStay" => {
            json!({"stay": w.name("s4"), "expected_version": "1", "contract": w.name("c4"), "admitted_on": "2026-10-06",
                   "reason": "补录"})
        }
        "VoidStay" => json!({"stay": w.name("s5"), "reason": "误录"}),
        "GetStay" | "ListStayVersions" => json!({"name": w.name("s0")}),
        "PublishBill" => w.bill("e0", "i0", "c0", "s0", "2026-10"),
        "AmendBill" => json!({"bill": w.name("b4"), "lines": w.lines(), "reason": "更正"}),
        "VoidBill" => json!({"bill": w.name("unpaid"), "reason": "误开"}),
        "GetBill" | "ListBillVersions" => json!({"name": w.name("b0")}),
        "CreateMandate" => return Some((BEIJING, w.mandate("e0", "c0"))),
        "RevokeMandate" => return Some((BEIJING, json!({"mandate": w.name("mandate"), "reason": "撤回"}))),
        "GetMandate" => return Some((BEIJING, json!({"name": w.name("mandate")}))),
        _ => return None,
    };
    Some((HEBEI, request))
}

fn institution(w: &World, name: &str) -> Found {
    Some(match name {
        "RegisterInstitution" => (HEBEI, w.institution(9)),
        "UpdateInstitution" => {
            let request = json!({"institution": w.name("i0"), "expected_version": "1", "display_name": "改名", "division_code": "131082",
                                 "beds": "310", "residents": "210", "state": "INSTITUTION_STATE_OPERATING", "reason": "更名"});
            (HEBEI, request)
        }
        "SetSigningScope" => (
            HEBEI,
            json!({"institution": w.name("i1"), "in_scope": false, "effective_on": "2026-12-01", "document_number": "网1"}),
        ),
        "ProposeSettlementAccount" => (MA, w.settlement_account()),
        "DecideSettlementAccount" => {
            (HU, json!({"settlement_account": w.name("account"), "approve": true, "reason": "核对"}))
        }
        "GetInstitution" | "ListInstitutionVersions" => (BEIJING, json!({"name": w.name("i0")})),
        _ => return None,
    })
}

fn entitlement(w: &World, name: &str) -> Found {
    let spent = |reference: &str| {
        json!({"elder": w.name("e0"), "programme": PROGRAMME, "amount_fen": "100", "occurred_on": "2026-11-18",
               "reference": reference, "region": BEIJING})
    };
    Some(match name {
        "AllotBudget" => {
            let request = json!({"programme": PROGRAMME, "funder_division": "110108", "budget_year": 2026, "amount_fen": "1000",
                                 "reference": "追加"});
            (BEIJING, request)
        }
        "FundChannel" => {
            (BEIJING, json!({"programme": PROGRAMME, "channel": UNIONPAY, "amount_fen": "1000", "reference": "追加"}))
        }
        "GrantEntitlement" => {
            let mut request = w.grant(w.name("e2"), MONTH);
            request["basis"] = w.name("a2").into();
            (BEIJING, request)
        }
        "ReportCredit" => {
            let request =
                json!({"grant": w.name("g1"), "outcome": "CREDIT_OUTCOME_CREDITED", "amount_fen": w.name("g1_fen")});
            (UNIONPAY, request)
        }
        "ReportOutsideSpending" => (UNIONPAY, spent("OUT1")),
        "ReportEstatePayout" => (UNIONPAY, spent("ESTATE1")),
        "ClawBackGrant" => (BEIJING, json!({"grant": w.name("g4"), "reason": "多发"})),
        "ReportClawbackReturn" => (UNIONPAY, json!({"grant": w.name("g5"), "returned_fen": "1000"})),
        "RecordRecovery" => {
            (BEIJING, json!({"programme": PROGRAMME, "elder": w.name("e5"), "amount_fen": "100", "reference": "追回"}))
        }
        "GetBalance" => {
            (BEIJING, json!({"elder": w.name("e0"), "region": BEIJING, "programme": PROGRAMME, "channel": UNIONPAY}))
        }
        "GetGrant" => (BEIJING, json!({"name": w.name("g0")})),
        _ => return None,
    })
}

fn payment(w: &World, name: &str) -> Found {
    let request = match name {
        "CheckPayment" => {
            json!({"bill": w.name("b0"), "fee_type": "FEE_TYPE_BED", "programme": PROGRAMME, "amount_fen": "1000", "region": BEIJING})
        }
        "ListEligibility" => json!({"region": BEIJING, "programme": PROGRAMME, "date": "2026-11-18", "page_size": 10}),
        "AuthorizePayment" => w.authorise(w.name("b0"), "20261118N1", 1_000),
        "ConfirmPayment" => {
            json!({"payment": w.name("authorised"), "amount_fen": "10000", "clearing_date": "2026-11-18"})
        }
        "ReversePayment" => json!({"payment": w.name("authorised"), "reason": "超时"}),
        "VoidPayment" => json!({"payment": w.name("paid5"), "reason": "撤销"}),
        "GetPayment" | "ListPaymentVersions" => json!({"name": w.name("authorised")}),
        "QueryPayment" => json!({"order_id": "20261118A1"}),
        "AdvisePayment" => {
            let mut request = w.authorise(w.name("b0"), "20261118N2", 1_000);
            request.as_object_mut().unwrap().remove("consent_sha256");
            request["clearing_date"] = "2026-11-18".into();
            request
        }
        "InstructPayment" => return Some((BEIJING, w.instruct(5_000))),
        "RejectInstruction" => json!({"payment": w.name("instructed"), "reason": "账户异常"}),
        "CancelInstruction" => return Some((BEIJING, json!({"payment": w.name("instructed"), "reason": "撤回"}))),
        "RefundPayment" => w.refund("20261118R1"),
        "GetRefund" => json!({"name": w.name("refund")}),
        _ => return None,
    };
    Some((UNIONPAY, request))
}

fn subsidy(w: &World, name: &str) -> Found {
    Some(match name {
        "CreateClaim" => (HEBEI, json!({"institution": w.name("i0"), "payer": BEIJING, "month": "2026-09"})),
        "ApproveClaim" => {
            let request = json!({"claim": w.name("claim0"), "amount_fen": w.name("claim0_fen"), "funder_division": "110000",
                                 "channel": BANK});
            (BEIJING, request)
        }
        "DeclineClaim" => (BEIJING, json!({"claim": w.name("claim0"), "reason": "材料不全"})),
        "ConfirmPayout" => {
            let request = json!({"claim": w.name("claim1"), "amount_fen": w.name("claim1_fen"), "order_id": "20261118S1",
                                 "clearing_date": "2026-11-18"});
            (BANK, request)
        }
        "ReturnPayout" => (BANK, json!({"claim": w.name("claim1"), "reason": "账号有误"})),
        "GetClaim" => (BEIJING, json!({"name": w.name("claim0")})),
        _ => return None,
    })
}

fn channel(w: &World, name: &str) -> Found {
    let text = w.file_text();
    let request = match name {
        "StreamInstructions" | "StreamEvents" => json!({"cursor": "0"}),
        "AcknowledgeInstructions" | "AcknowledgeEvents" => json!({"cursor": "1"}),
        "BeginUpload" => {
            json!({"clearing_date": "2026-11-14", "format": "FILE_FORMAT_CSV", "content": "FILE_CONTENT_SETTLEMENT",
                   "file_name": "day.csv", "size_bytes": text.len().to_string(), "sha256": digest(&text)})
        }
        "UploadChunk" => json!({"file": w.name("begun"), "offset": "0", "data": BASE64_STANDARD.encode(text)}),
        "CompleteUpload" => json!({"file": w.name("sent")}),
        "GetSettlementFile" => json!({"name": w.name("file")}),
        _ => return None,
    };
    Some((UNIONPAY, request))
}

fn reconciliation(w: &World, name: &str) -> Found {
    let found = |short: &str| w.name(short).to_owned();
    Some(match name {
        "StartRun" => (CHEN, json!({"channel": UNIONPAY, "clearing_date": "2026-11-17"})),
        "GetRun" => (CHEN, json!({"name": found("run")})),
        "GetBreak" | "ListBreakVersions" => (LI, json!({"name": found("break0")})),
        "AssignBreak" => (LI, json!({"reconciliation_break": found("break0"), "assignee": "gateway/admins/wang"})),
        "ProposeResolution" => {
            (LI, json!({"reconciliation_break": found("break0"), "resolution": "RESOLUTION_REPAY", "reason": "核对"}))
        }
        "DecideResolution" => {
            ("gateway/admins/wang", json!({"reconciliation_break": found("break1"), "approve": true, "reason": "复核"}))
        }
        "GetView" => (SUN, json!({"name": found("view"), "page_size": 10})),
        "SignView" => (SUN, json!({"view": found("view"), "root_hash": found("root")})),
        "GetReport" => {
            (CHEN, json!({"run": found("run"), "format": "REPORT_FORMAT_TEXT", "language": "REPORT_LANGUAGE_ZH"}))
        }
        _ => return None,
    })
}

fn ledger(w: &World, name: &str) -> Found {
    Some(match name {
        "GetTrialBalance" => (BEIJING, json!({"book": "110000/care_subsidy", "booking_month": MONTH})),
        "GetCheckpoint" => (BEIJING, json!({"min_size": "1"})),
        "GetInclusionProof" => (BEIJING, json!({"record": w.name("e0"), "version": "1"})),
        "GetConsistencyProof" => (BEIJING, json!({"from_size": "1", "to_size": "2"})),
        "GetEvidence" => (BEIJING, json!({"record": w.name("e0"), "version": "1"})),
        "GetPolicy" => (BEIJING, json!({"name": "policies/calendar/CN", "as_of": "2026-11-18"})),
        "SetPolicy" => {
            let request = json!({"kind": "settlement_account", "scope": "default", "effective_from": "2026-12-01",
                                 "body": "{\"cooling_off_hours\": 48}", "reason": "缩短"});
            (LI, request)
        }
        "ListPolicyVersions" => (BEIJING, json!({"name": "policies/calendar/CN"})),
        _ => return None,
    })
}
