//! For each method a request that is right, to be damaged.

use jjj_tests::world::{self, BEIJING, HEBEI, PROGRAMME, UNIONPAY, signature};
use jjj_wire::methods::Method;
use serde_json::{Value, json};

use crate::scene::{BANK, CHEN, HAIDIAN, LI, MA, SPARE, Scene, WANG, base64, party, settlement_file_of};

/// Who may make a request, and the request.
pub type Base = (&'static str, Value);

/// The right request of a method; a new method has none yet, and the test says so. Batches have
/// none: their items are requests of single methods.
pub fn base(s: &Scene, method: &Method) -> Base {
    let found = match method.service.strip_suffix("Service").unwrap() {
        "Participant" => registry(s, method.name),
        "Institution" => institution(s, method.name),
        "Elder" => person(s, method.name),
        "Assessment" | "DisabilityCertificate" | "Rating" | "Recognition" => record(s, method.name),
        "Contract" => contract(s, method.name),
        "Stay" | "Bill" | "Mandate" => care(s, method.name),
        "Entitlement" => entitlement(s, method.name),
        "Payment" => payment(s, method.name),
        "OperatingSubsidy" => subsidy(s, method.name),
        "Channel" | "Event" => channel(s, method.name),
        "Reconciliation" => reconciliation(s, method.name),
        "Settlement" | "MonthClose" => settlement(s, method.name),
        "Ledger" | "Policy" => ledger(s, method.name),
        "Agreement" => agreement(s, method.name),
        "Record" => record_set(s, method.name),
        "Report" => report(s, method.name),
        _ => None,
    };
    let is_list = method.name.starts_with("List");
    let list = || is_list.then(|| (BEIJING, json!({"page_size": 10})));
    found.or_else(list).unwrap_or_else(|| panic!("{} has no right request yet: write one here", method.path))
}

type Found = Option<Base>;

fn named(name: &str) -> Value {
    json!({"name": name})
}

fn registry(s: &Scene, method: &str) -> Found {
    let key = |actor, owner: &str| {
        let (jwk, fingerprint) = s.foreign_key(actor);
        json!({"owner": owner, "jwk": jwk, "fingerprint": fingerprint})
    };
    Some(match method {
        "CreateParticipant" => (LI, s.participant("channels/new", "regions/110000")),
        "GetParticipant" => (BEIJING, named(BEIJING)),
        "SuspendParticipant" => (LI, json!({"participant": "regions/120000", "reason": "演练"})),
        "ReinstateParticipant" => (LI, json!({"participant": SPARE, "reason": "演练毕"})),
        "AddAuthority" => {
            (BEIJING, json!({"participant": BEIJING, "certificate_pem": s.foreign_authority("regions/120000")}))
        }
        "WithdrawAuthority" => (BANK, json!({"authority": s.name("authority"), "reason": "更换"})),
        "AddKey" => (BEIJING, key("regions/120000", BEIJING)),
        "RetireKey" => (BANK, json!({"key": s.name("key to retire"), "reason": "轮换"})),
        "WithdrawKey" => {
            let since = (s.now_us() - 1_000_000).to_string();
            (BANK, json!({"key": s.name("key to withdraw"), "suspect_from_time_us": since, "reason": "泄露"}))
        }
        "AddAdministrator" => {
            let (jwk, fingerprint) = s.foreign_key(CHEN);
            let request = json!({"name": "regions/110000/admins/new", "display_name": "新人", "first_key_jwk": jwk,
                                 "first_key_fingerprint": fingerprint});
            (CHEN, request)
        }
        "ListSignatures" => {
            let key = s.name("key to retire");
            (BANK, json!({"key": key, "from_time_us": "1000000", "page_size": 10}))
        }
        "RemoveAdministrator" => (CHEN, json!({"administrator": "regions/110000/admins/liu", "reason": "调离"})),
        _ => return None,
    })
}

fn institution(s: &Scene, method: &str) -> Found {
    let [home, _, other] = &s.world.institutions[..] else { unreachable!("three institutions") };
    Some(match method {
        "RegisterInstitution" => (HEBEI, world::institution(9)),
        "UpdateInstitution" => {
            let request = json!({"institution": other, "expected_version": "1", "display_name": "改名",
                                 "division_code": "131082", "beds": "310", "residents": "210",
                                 "state": "INSTITUTION_STATE_OPERATING", "reason": "更名"});
            (HEBEI, request)
        }
        "SetSigningScope" => {
            let scope = json!({"institution": other, "in_scope": false, "effective_on": "2026-12-01",
                               "document_number": "网1"});
            (HEBEI, scope)
        }
        "ProposeSettlementAccount" => (MA, s.settlement_account(1)),
        "DecideSettlementAccount" => {
            let decide = json!({"settlement_account": s.name("account"), "approve": true, "reason": "核对"});
            ("regions/130000/admins/hu", decide)
        }
        "GetInstitution" | "ListInstitutionVersions" => (BEIJING, named(home)),
        _ => return None,
    })
}

fn person(s: &Scene, method: &str) -> Found {
    let salt = base64([7; 32]);
    let data = |n| world::elder(n)["personal_data"].clone();
    let identifiers = |n| world::elder(n)["identifiers"].clone();
    Some(match method {
        "RegisterElder" => (BEIJING, world::elder(300)),
        "AddIdentifier" => {
            let card = json!({"kind": "IDENTIFIER_KIND_SOCIAL_SECURITY_CARD", "value": "A12345678"});
            (BEIJING, json!({"salt": salt, "elder": s.name("leaving"), "identifier": card}))
        }
        "AmendElder" => {
            let request = json!({"salt": salt, "elder": s.name("new"), "expected_version": "1",
                                 "household_division": HAIDIAN, "personal_data": data(100)});
            (BEIJING, request)
        }
        "MergeElders" => (BEIJING, json!({"elder": s.name("merged"), "into": s.name("into"), "reason": "同一人"})),
        "RecordDeath" => {
            (BEIJING, json!({"elder": s.name("dying"), "died_on": "2026-11-10", "document_number": "死1"}))
        }
        "EraseElder" => (BEIJING, json!({"elder": s.name("erased"), "reason": "到期"})),
        "FindElder" => (BEIJING, json!({"identifier": identifiers(0)[0], "purpose": "核对"})),
        "GetElder" => (BEIJING, named(&s.world.elders[0])),
        "ReadPersonalData" => (BEIJING, json!({"name": s.world.elders[0], "purpose": "核对"})),
        "RegisterParty" => (HEBEI, party(301)),
        "AmendParty" => {
            let request = json!({"salt": salt, "party": s.name("party"), "identifiers": identifiers(200),
                                 "personal_data": data(200)});
            (HEBEI, request)
        }
        "EraseParty" => (HEBEI, json!({"party": s.name("forgotten party"), "reason": "到期"})),
        "GetParty" => (HEBEI, named(s.name("party"))),
        _ => return None,
    })
}

fn record(s: &Scene, method: &str) -> Found {
    let suspend = |record: &str| {
        json!({"name": record, "expected_version": "1", "new_state": "RECORD_STATE_SUSPENDED", "reason": "复查",
               "decided_by": "评定委员会", "document_number": "停1", "effective_on": "2026-11-18"})
    };
    let w = &s.world;
    Some(match method {
        "PublishAssessment" => (BEIJING, world::assessment(s.name("new"), &s.days())),
        "ChangeAssessment" => (BEIJING, suspend(&w.assessments[7])),
        "GetAssessment" | "ListAssessmentVersions" => (BEIJING, named(&w.assessments[0])),
        "PublishDisabilityCertificate" => (BEIJING, s.certificate(s.name("new"))),
        "ChangeDisabilityCertificate" => (BEIJING, suspend(s.name("certificate"))),
        "GetDisabilityCertificate" | "ListDisabilityCertificateVersions" => (BEIJING, named(s.name("certificate"))),
        "PublishRating" => {
            let mut request = world::rating(&w.institutions[2], &s.days());
            request["native_grade"] = 3.into();
            (HEBEI, request)
        }
        "ChangeRating" => (HEBEI, suspend(&w.ratings[1])),
        "GetRating" | "ListRatingVersions" => (BEIJING, named(&w.ratings[0])),
        "ListRatings" => (BEIJING, json!({"filter": "state = \"VALID\"", "page_size": 10})),
        "DecideRecognition" => {
            let accept = json!({"record": w.assessments[1], "verdict": "RECOGNITION_VERDICT_ACCEPT", "reason": "互认"});
            (HEBEI, accept)
        }
        "GetSdRecognition" => {
            let (holder_jwk, _) = s.foreign_key(CHEN);
            (HEBEI, json!({"name": s.name("recognition"), "holder_jwk": holder_jwk}))
        }
        "GetStatusList" => (BEIJING, json!({"list": "0"})),
        "GetRecognition" | "ListRecognitionVersions" | "GetRecognitionToken" => (HEBEI, named(s.name("recognition"))),
        _ => return None,
    })
}

fn contract(s: &Scene, method: &str) -> Found {
    let [institution, institution_1, _] = &s.world.institutions[..] else { unreachable!("three institutions") };
    let signature = |signer, elder| signature(signer, elder, s.now_us() - 60_000_000);
    let request = match method {
        "CreateContract" => world::contract(institution, s.name("new"), &s.days()),
        "SignContract" => {
            let elder = s.name("drafting");
            json!({"contract": s.name("draft"), "signature": signature(elder, elder)})
        }
        "FileContract" => json!({"contract": s.name("signed"), "filing_number": "冀2026", "filed_on": "2026-11-18"}),
        "AttestContract" => {
            json!({"contract": s.name("signed on paper"), "attested_on": "2026-11-18", "attester": "县民政局"})
        }
        "ActivateContract" => json!({"contract": s.name("filed"), "effective_on": "2026-11-18"}),
        "AmendContract" => {
            let (elder, contract) = (&s.world.elders[7], &s.world.contracts[7]);
            let mut request = world::contract(institution_1, elder, &s.days());
            for field in ["institution", "elder", "starts_on"] {
                request.as_object_mut().unwrap().remove(field);
            }
            let terms = json!({"contract": contract, "signatures": [signature(institution_1, elder), signature(elder, elder)],
                               "evidence": "CONTRACT_EVIDENCE_ONLINE_FILED", "filing_number": "冀改",
                               "effective_on": "2026-11-18", "reason": "调价"});
            request.as_object_mut().unwrap().extend(terms.as_object().unwrap().clone());
            request
        }
        "TerminateContract" => {
            json!({"contract": s.world.contracts[6], "termination_reason": "TERMINATION_REASON_AGREEMENT",
                   "ended_on": "2026-11-17", "reason": "离院"})
        }
        "VoidContract" => json!({"contract": s.name("void draft"), "reason": "重复", "document_number": "冀1"}),
        "GetContract" | "ListContractVersions" => named(&s.world.contracts[0]),
        _ => return None,
    };
    Some((HEBEI, request))
}

fn care(s: &Scene, method: &str) -> Found {
    let w = &s.world;
    let lines = json!([{"fee_type": "FEE_TYPE_BED", "due_fen": "180000", "paid_elsewhere_fen": "1"},
                       {"fee_type": "FEE_TYPE_NURSING", "due_fen": "200000", "paid_elsewhere_fen": "1"}]);
    let request = match method {
        "AdmitElder" => {
            json!({"elder": s.name("arriving"), "institution": w.institutions[0], "contract": s.name("active"),
                   "admitted_on": "2026-11-18"})
        }
        "EndStay" => json!({"stay": w.stays[5], "left_on": "2026-11-17", "end_reason": "STAY_END_REASON_LEFT"}),
        "AmendStay" => {
            json!({"stay": w.stays[7], "expected_version": "1", "contract": w.contracts[7], "admitted_on": "2026-09-06",
                   "reason": "补录"})
        }
        "VoidStay" => json!({"stay": w.stays[8], "reason": "误录"}),
        "GetStay" | "ListStayVersions" => named(&w.stays[0]),
        "PublishBill" => {
            json!({"institution": w.institutions[0], "elder": w.elders[0], "contract": w.contracts[0],
                   "stay": w.stays[0], "month": "2026-10", "lines": lines, "bill_number": "B-10"})
        }
        "AmendBill" => json!({"bill": w.bills[7], "lines": lines, "reason": "更正"}),
        "VoidBill" => json!({"bill": w.bills[6], "reason": "误开"}),
        "GetBill" | "ListBillVersions" => named(&w.bills[0]),
        "CreateMandate" => return Some((BEIJING, s.mandate(0))),
        "RevokeMandate" => return Some((BEIJING, json!({"mandate": s.name("mandate to revoke"), "reason": "撤回"}))),
        "GetMandate" => return Some((BEIJING, named(s.name("mandate")))),
        _ => return None,
    };
    Some((HEBEI, request))
}

fn entitlement(s: &Scene, method: &str) -> Found {
    let w = &s.world;
    let spent = |elder: &str, reference| {
        json!({"elder": elder, "programme": PROGRAMME, "amount_fen": "100", "occurred_on": "2026-11-18",
               "reference": reference, "region": BEIJING})
    };
    Some(match method {
        "AllotBudget" => {
            let request = json!({"programme": PROGRAMME, "funder_division": HAIDIAN, "budget_year": 2026,
                                 "amount_fen": "1000", "reference": "追加"});
            (BEIJING, request)
        }
        "FundChannel" => {
            (BEIJING, json!({"programme": PROGRAMME, "channel": UNIONPAY, "amount_fen": "1000", "reference": "追加"}))
        }
        "GrantEntitlement" => {
            let mut request = world::grant(&w.elders[5], "2026-11");
            request["basis"] = w.assessments[5].clone().into();
            (BEIJING, request)
        }
        "ReportCredit" => {
            let fen = world::CREDITED_FEN.to_string();
            (UNIONPAY, json!({"grant": s.name("uncredited"), "outcome": "CREDIT_OUTCOME_CREDITED", "amount_fen": fen}))
        }
        "ReportOutsideSpending" => (UNIONPAY, spent(&w.elders[0], "OUT1")),
        "ReportEstatePayout" => (UNIONPAY, spent(&w.elders[8], "ESTATE1")),
        "ClawBackGrant" => (BEIJING, json!({"grant": w.grants[2], "reason": "多发"})),
        "ReportClawbackReturn" => (UNIONPAY, json!({"grant": w.grants[3], "returned_fen": "1000"})),
        "RecordRecovery" => {
            let request =
                json!({"programme": PROGRAMME, "elder": w.elders[4], "amount_fen": "100", "reference": "追回"});
            (BEIJING, request)
        }
        "GetBalance" => {
            let of = json!({"elder": w.elders[0], "region": BEIJING, "programme": PROGRAMME, "channel": UNIONPAY});
            (BEIJING, of)
        }
        "GetGrant" => (BEIJING, named(&w.grants[0])),
        _ => return None,
    })
}

fn payment(s: &Scene, method: &str) -> Found {
    let bill = &s.world.bills[0];
    let request = match method {
        "CheckPayment" => {
            json!({"bill": bill, "fee_type": "FEE_TYPE_BED", "programme": PROGRAMME, "amount_fen": "1000",
                   "region": BEIJING})
        }
        "ListEligibility" => json!({"region": BEIJING, "programme": PROGRAMME, "date": "2026-11-18", "page_size": 10}),
        "AuthorizePayment" => world::authorise(bill, 1_000, "20261118N1", s.now_us() - 1_000_000),
        "ConfirmPayment" => {
            json!({"payment": s.name("to confirm"), "amount_fen": "10000", "clearing_date": "2026-11-18"})
        }
        "ReversePayment" => json!({"payment": s.name("to reverse"), "reason": "超时"}),
        "VoidPayment" => json!({"payment": s.name("to void"), "reason": "撤销"}),
        "GetPayment" | "ListPaymentVersions" => named(s.name("to refund")),
        "QueryPayment" => json!({"order_id": "20261118A0"}),
        "AdvisePayment" => {
            let mut request = world::authorise(bill, 1_000, "20261118N2", s.now_us() - 1_000_000);
            request.as_object_mut().unwrap().remove("consent_sha256");
            request["clearing_date"] = "2026-11-18".into();
            request
        }
        "InstructPayment" => return Some((BEIJING, s.instruct())),
        "RejectInstruction" => json!({"payment": s.name("to reject"), "reason": "账户异常"}),
        "CancelInstruction" => return Some((BEIJING, json!({"payment": s.name("to cancel"), "reason": "撤回"}))),
        "RefundPayment" => s.refund("20261118R1"),
        "GetRefund" => named(s.name("refund")),
        "ListPayments" | "ListRefunds" => json!({"page_size": 10}),
        _ => return None,
    };
    Some((UNIONPAY, request))
}

fn subsidy(s: &Scene, method: &str) -> Found {
    // What the claims come to is the gateway's to compute; the requests repeat it.
    let fen = s.name("claimed fen");
    Some(match method {
        "CreateClaim" => (HEBEI, json!({"institution": s.world.institutions[2], "payer": BEIJING, "month": "2026-10"})),
        "ApproveClaim" => {
            let request = json!({"claim": s.name("to approve"), "amount_fen": fen, "funder_division": "110000",
                                 "channel": BANK});
            (BEIJING, request)
        }
        "DeclineClaim" => (BEIJING, json!({"claim": s.name("to decline"), "reason": "材料不全"})),
        "ConfirmPayout" => {
            let request = json!({"claim": s.name("to pay"), "amount_fen": fen, "order_id": "20261118P1",
                                 "clearing_date": "2026-11-18"});
            (BANK, request)
        }
        "ReturnPayout" => (BANK, json!({"claim": s.name("paid"), "reason": "账号有误"})),
        "GetClaim" => (BEIJING, named(s.name("to approve"))),
        _ => return None,
    })
}

fn channel(s: &Scene, method: &str) -> Found {
    let request = match method {
        "StreamInstructions" | "StreamEvents" => json!({"cursor": "0"}),
        "AcknowledgeInstructions" | "AcknowledgeEvents" => json!({"cursor": "1"}),
        "BeginUpload" => s.upload("2026-11-14"),
        "UploadChunk" => {
            json!({"file": s.name("announced"), "offset": "0", "data": base64(settlement_file_of("2026-11-14"))})
        }
        "CompleteUpload" => json!({"file": s.name("sent")}),
        "GetSettlementFile" => named(s.name("file")),
        "GetBankStatement" => {
            let filter = "direction = \"DEBIT\"";
            return Some((BANK, json!({"name": s.name("bank statement"), "filter": filter, "page_size": 10})));
        }
        _ => return None,
    };
    Some((UNIONPAY, request))
}

fn reconciliation(s: &Scene, method: &str) -> Found {
    let found = s.name("break");
    Some(match method {
        "StartRun" => (CHEN, json!({"channel": UNIONPAY, "clearing_date": "2026-11-13", "allow_missing_files": true})),
        "GetRun" => (CHEN, named(s.name("run"))),
        "GetBreak" | "ListBreakVersions" => (LI, named(found)),
        "AssignBreak" => (LI, json!({"reconciliation_break": found, "assignee": WANG})),
        "ListClearingDays" => (CHEN, json!({"channel": UNIONPAY, "days": 3})),
        "CommentBreak" => (LI, json!({"reconciliation_break": found, "text": "渠道来电"})),
        "AttachEvidence" => (LI, json!({"reconciliation_break": found, "file": s.name("document"), "note": "回函"})),
        "ReadAttachment" => {
            (LI, json!({"reconciliation_break": s.name("proposed"), "file": s.name("attached"), "chunk": "0"}))
        }
        "WithdrawProposal" => (LI, json!({"reconciliation_break": s.name("withdrawn"), "reason": "再核对"})),
        "ProposeResolution" => {
            (LI, json!({"reconciliation_break": found, "resolution": "RESOLUTION_REPAY", "reason": "核对"}))
        }
        "DecideResolution" => {
            (WANG, json!({"reconciliation_break": s.name("proposed"), "approve": true, "reason": "复核"}))
        }
        "GetView" => (CHEN, json!({"name": s.name("view"), "page_size": 10})),
        "SignView" => ("regions/110000/admins/sun", json!({"view": s.name("view"), "root_hash": s.name("root")})),
        _ => return None,
    })
}

fn report(s: &Scene, method: &str) -> Found {
    let request = json!({"kind": "REPORT_KIND_RUN", "format": "REPORT_FORMAT_TEXT", "language": "REPORT_LANGUAGE_ZH",
                         "run": s.name("run")});
    (method == "GetReport").then_some((CHEN, request))
}

fn record_set(s: &Scene, method: &str) -> Found {
    let collection = "RECORD_COLLECTION_RECOGNITIONS";
    Some(match method {
        "CompareRecords" => {
            let range = json!({"after": "recognitions/0", "upto": "recognitions/z"});
            (HEBEI, json!({"collection": collection, "ranges": [range], "fan_out": 16}))
        }
        "FetchRecords" => (HEBEI, json!({"collection": collection, "names": [s.name("recognition")]})),
        _ => return None,
    })
}

fn settlement(s: &Scene, method: &str) -> Found {
    Some(match method {
        "PrepareSettlement" => (CHEN, json!({"channel": UNIONPAY, "clearing_date": "2026-11-17"})),
        "GetSettlementStatement" => (CHEN, named(s.name("statement"))),
        "ReportPayout" => {
            let request = json!({"reference": "P2", "amount_fen": "1234", "paid_on": "2026-11-18",
                                 "institution": s.world.institutions[0], "account_last4": "0017",
                                 "end_to_end_id": "E2E1"});
            (UNIONPAY, request)
        }
        "MatchPayout" => (CHEN, json!({"payout": s.name("payout")})),
        "ProposeClose" => (CHEN, json!({"book": world::BOOK, "month": "2026-08", "reason": "月结"})),
        "DecideClose" => {
            let decide = json!({"month_close": s.name("close"), "approve": true, "reason": "复核"});
            ("regions/110000/admins/sun", decide)
        }
        "ListVouchers" => (CHEN, json!({"book": world::BOOK, "month": "2026-11"})),
        _ => return None,
    })
}

fn agreement(s: &Scene, method: &str) -> Found {
    let answer = |of: &str| json!({"agreement": s.name(of), "reason": "会商"});
    Some(match method {
        "ProposeAgreement" => (HEBEI, s.agreement("ASSESSMENT")),
        "AcceptAgreement" => {
            let mut accept = answer("proposal to accept");
            accept["terms_sha256"] = json!(s.name("terms to accept"));
            (BEIJING, accept)
        }
        "DeclineAgreement" => (BEIJING, answer("proposal to decline")),
        "WithdrawAgreement" => (HEBEI, answer("proposal to withdraw")),
        "EndAgreement" => {
            let request = json!({"issuer": BEIJING, "recognizer": HEBEI, "record_kind": "RECORD_KIND_RATING",
                                 "effective_from": "2026-12-01", "reason": "终止"});
            (HEBEI, request)
        }
        "GetAgreement" | "ListAgreementVersions" => (BEIJING, named(s.name("proposal to accept"))),
        _ => return None,
    })
}

fn ledger(s: &Scene, method: &str) -> Found {
    let elder = &s.world.elders[0];
    Some(match method {
        "GetTrialBalance" => (BEIJING, json!({"book": world::BOOK, "booking_month": "2026-11"})),
        "GetCheckpoint" => (BEIJING, json!({"min_size": "1"})),
        "GetInclusionProof" | "GetEvidence" => (BEIJING, json!({"record": elder, "version": "1"})),
        "GetConsistencyProof" => (BEIJING, json!({"from_size": "1"})),
        "GetPolicy" => (BEIJING, json!({"name": "policies/calendar/CN", "as_of": "2026-11-18"})),
        "SetPolicy" => {
            let request = json!({"kind": "settlement_account", "scope": "default", "effective_from": "2026-12-01",
                                 "body": "{\"cooling_off_hours\": 48}", "reason": "缩短"});
            (LI, request)
        }
        "ListPolicyVersions" => (BEIJING, named("policies/calendar/CN")),
        _ => return None,
    })
}
