//! What no table may say, whatever was committed.

use std::collections::{BTreeMap, BTreeSet};

use jjj_server::authorise::{Role, is_allowed};
use jjj_wire::methods::{METHODS, Method};

use crate::rows::{AS_ANOTHER, AS_IT_IS, short};
use crate::table::{OK, Table};

/// The codes of a refusal: the caller's fault, and said with a reason.
const REFUSALS: [&str; 5] =
    ["INVALID_ARGUMENT", "FAILED_PRECONDITION", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED"];

/// Damage that is none, by the last part of the field's path: what is done to it, and why it is right
/// after all. `*` stands for anything.
const HARMLESS: &[(&str, &[&str], &str)] = &[
    ("expected_version", &["0"], "any version"),
    ("page_size", &["0"], "fifty"),
    ("cursor", &["largest"], "nothing has happened after it"),
    // What is left out.
    ("reason", &["empty"], "optional where nothing is taken from anybody"),
    ("document_number", &["empty"], "optional"),
    ("bill_number", &["empty"], "optional"),
    ("file_name", &["empty"], "optional"),
    ("merchant_id", &["empty"], "optional"),
    ("identifiers", &["emptied"], "a contract's party may have none"),
    ("end_to_end_id", &["empty", "\"?\""], "found by sum; no statement's"),
    ("account_last4", &["empty"], "the channel does not say"),
    ("institution", &["empty", "of nobody"], "a bulk payout; a fact, whoever was paid"),
    ("basis", &["empty"], "the best there is"),
    ("stay", &["empty"], "the stay of that month is found"),
    ("contract", &["empty"], "a stay may precede its contract"),
    ("region", &["empty"], "the elder's household region"),
    ("clearing_date", &["empty"], "the channel's date at that time"),
    ("transaction_time_us", &["0"], "the time of the authorisation"),
    ("booking_month", &["empty"], "all months"),
    ("as_of", &["empty"], "today"),
    ("min_size", &["0"], "the newest checkpoint"),
    ("tree_size", &["0"], "the newest checkpoint"),
    ("to_size", &["0"], "the newest checkpoint"),
    ("version", &["0"], "the current one"),
    ("list", &["0"], "the first list"),
    ("from_time_us", &["0", "largest"], "everything, or what is to come"),
    ("leaf_hash", &["empty"], "the record says which leaf"),
    ("after", &["empty", "\"?\"", "of nobody"], "no name has to be there for a range to begin"),
    ("upto", &["empty", "of nobody", "of another kind"], "no name has to be there for a range to end"),
    ("fan_out", &["0"], "sixty-four"),
    ("channel", &["empty"], "every channel that the caller may see"),
    ("days", &["0"], "seven"),
    ("note", &["empty"], "the document says it"),
    ("chunk", &["largest"], "past the last chunk there are no bytes"),
    ("names[0]", &["of nobody"], "what there is not is left out"),
    ("names", &["the first twice"], "it is told of once"),
    ("amount_fen", &["-2"], "collected from the institution"),
    // Amounts and counts of nothing.
    ("amount_fen", &["0"], "only asked whether anything may be paid"),
    ("nursing_fee_fen", &["0"], "not every fee is taken"),
    ("meal_fee_fen", &["0"], "not every fee is taken"),
    ("other_fee_fen", &["0"], "not every fee is taken"),
    ("deposit_fen", &["0"], "not every fee is taken"),
    ("prepaid_months", &["0"], "nothing is paid ahead"),
    ("paid_elsewhere_fen", &["0"], "nothing was paid elsewhere"),
    ("returned_fen", &["0"], "all was spent"),
    ("size_bytes", &["0"], "an empty file is no absent one"),
    ("beds", &["0"], "not open yet"),
    ("residents", &["0"], "not open yet"),
    // Texts of a form of their makers' own.
    ("bill_number", &["\"?\""], "a text"),
    ("file_name", &["\"?\""], "a text"),
    ("merchant_id", &["\"?\""], "a text"),
    ("account_token", &["\"?\""], "a text"),
    ("reference", &["\"?\""], "a text"),
    ("certificate_issuer", &["\"?\""], "a text"),
    ("address", &["\"?\""], "a text"),
    // What is not read.
    ("held_fen", &["*"], "output"),
    ("posted_fen", &["*"], "output"),
    ("open_fen", &["*"], "output"),
    ("attested_by", &["*"], "output"),
    // What is right, if odd.
    ("data", &["one byte"], "a short chunk"),
    ("confirmations", &["the first twice"], "two others are enough"),
    ("channel", &["of nobody"], "a balance of nothing"),
    ("region", &["of nobody"], "nobody is eligible there"),
    ("name", &["of nobody"], "a newcomer's name"),
    ("filter", &["empty"], "everything that the caller may see"),
    // Of requests in which nothing is required.
    ("", &["empty"], "a list of everything, a stream from the beginning, the newest checkpoint"),
];

/// Where another participant's same request is right too, and why. Lists are, for they show what the
/// caller may see.
const ANYBODY: &[(&str, &str)] = &[
    ("AssessmentService/PublishAssessment", "any region may assess; others recognize it or not"),
    ("DisabilityCertificateService/PublishDisabilityCertificate", "any region may certify; others recognize it or not"),
    ("RecognitionService/DecideRecognition", "each region for itself"),
    ("ElderService/RegisterElder", "any region may register whom it meets"),
    ("ElderService/RegisterParty", "any region may register whom it meets"),
    ("ElderService/FindElder", "by an identifier that she presents; audited"),
    ("EntitlementService/ReportOutsideSpending", "a fact of the channel's own"),
    ("EntitlementService/ReportEstatePayout", "a fact of the channel's own"),
    ("PaymentService/AdvisePayment", "a fact of the channel's own"),
    ("PaymentService/CheckPayment", "only asks, about money at the caller"),
    ("ReconciliationService/StartRun", "any administrator may run; the run is everybody's"),
    ("SettlementService/PrepareSettlement", "any administrator may; the cycle is everybody's"),
    ("SettlementService/ReportPayout", "a fact of the channel's own"),
    ("SettlementService/MatchPayout", "any administrator may look again"),
    ("ReconciliationService/GetRun", "the run is everybody's"),
    ("ReportService/GetReport", "narrowed to the caller's breaks and view"),
    ("RecordService/CompareRecords", "narrowed to what the caller may read"),
    ("RecordService/FetchRecords", "narrowed to what the caller may read"),
    ("ChannelService/BeginUpload", "the caller's own file"),
    ("ChannelService/StreamInstructions", "the caller's own"),
    ("ChannelService/AcknowledgeInstructions", "the caller's own cursor"),
    ("EventService/StreamEvents", "the caller's own"),
    ("EventService/AcknowledgeEvents", "the caller's own cursor"),
    ("ElderService/GetElder", "a pseudonym"),
    ("ElderService/GetParty", "a pseudonym"),
    ("InstitutionService/GetInstitution", "a directory"),
    ("ParticipantService/GetParticipant", "a directory"),
    ("RatingService/GetRating", "a directory"),
    ("PolicyService/GetPolicy", "everybody's"),
    ("LedgerService/GetCheckpoint", "everybody's"),
    ("LedgerService/GetConsistencyProof", "everybody's"),
    ("RecognitionService/GetStatusList", "everybody's"),
];

/// Methods open to every role that name no record: what they show is narrowed to the caller or
/// everybody's.
const OPEN: &[&str] = &[
    "InstitutionService/ListInstitutions",
    "InstitutionService/ListSettlementAccounts",
    "LedgerService/GetCheckpoint",
    "LedgerService/GetConsistencyProof",
    "PolicyService/GetPolicy",
    "RecognitionService/GetStatusList",
];

/// Everything that is wrong with a table, a line each.
pub fn faults(table: &Table) -> Vec<String> {
    let mut faults = Vec::new();
    let mut codes: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for ((method, field, what), outcome) in table.rows() {
        let cells: Vec<&str> = outcome.split(" | ").collect();
        codes.entry(method).or_default().insert(cells[0]);
        if let Some(fault) = fault(method, field, what, &cells) {
            faults.push(format!("{method} {field} {what}: {outcome}: {fault}"));
        }
    }
    for method in METHODS {
        let codes = &codes[&*short(method)];
        let is_refused = |code| codes.contains(code);
        if !is_refused("INVALID_ARGUMENT") {
            faults.push(format!("{}: no input is malformed", method.path));
        }
        if !is_refused("PERMISSION_DENIED") && !is_refused("NOT_FOUND") && !is_open(method) {
            faults.push(format!("{}: nobody is refused", method.path));
        }
    }
    faults
}

fn fault(method: &str, field: &str, what: &str, cells: &[&str]) -> Option<&'static str> {
    let last = field.rsplit('.').next().unwrap_or_default();
    let is_harmless = || {
        let is_said = |whats: &[&str]| whats.contains(&what) || whats == ["*"];
        match what {
            AS_IT_IS => true,
            AS_ANOTHER => method.contains("/List") || ANYBODY.iter().any(|(anybody, _)| *anybody == method),
            _ => HARMLESS.iter().any(|(field, whats, _)| *field == last && is_said(whats)),
        }
    };
    match cells {
        [OK] if is_harmless() => None,
        [OK] => Some("accepted, and not known to be harmless"),
        _ if what == AS_IT_IS => Some("the right request is refused"),
        [code, ..] if !REFUSALS.contains(code) => Some("no refusal of ours"),
        [_] => Some("no reason"),
        [_, reason, named] if is_form(reason) && !field.is_empty() && !is_at_fault(field, named) => {
            Some("another field")
        }
        [_, reason] if is_form(reason) && !field.is_empty() => Some("no field"),
        _ => None,
    }
}

/// Reasons that say what is wrong with one field by itself.
fn is_form(reason: &str) -> bool {
    reason.starts_with("FIELD_") || reason == "ENUM_UNSPECIFIED" || reason == "CHECKSUM_WRONG"
}

/// The damaged field is named, or what it is a part of, or another part of the same.
fn is_at_fault(field: &str, named: &str) -> bool {
    let parent = field.rsplit_once('.').map(|(parent, _)| parent);
    field.starts_with(named) || parent.is_some_and(|parent| named.starts_with(parent))
}

fn is_open(method: &Method) -> bool {
    let all = [Role::Region, Role::RegionAdmin, Role::Channel, Role::ChannelAdmin, Role::GatewayAdmin];
    let is_list = method.name.starts_with("List") || OPEN.contains(&&*short(method));
    is_list && all.into_iter().all(|role| is_allowed(role, method.path))
}
