//! Who may call what: deny by default, in one table. A method that is not here may
//! be called by nobody; a test compares the table with the API.
//!
//! The table knows roles. *Whose* record a call may touch is noted beside each method
//! and enforced where the record is known: [`Whose::Own`] by the domain's decision,
//! [`Whose::Concerned`] by the readers of a table, when a list or a record is read.

use std::collections::HashMap;
use std::sync::LazyLock;

use jjj_domain::names::{Actor, ParticipantKind};

/// What a caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    Region,
    RegionAdmin,
    Channel,
    ChannelAdmin,
    GatewayAdmin,
}

impl Role {
    /// `None` for the gateway itself, which calls nothing over the wire.
    pub fn of(actor: &Actor) -> Option<Self> {
        match (actor.participant().kind(), actor.is_admin()) {
            (ParticipantKind::Region, false) => Some(Self::Region),
            (ParticipantKind::Region, true) => Some(Self::RegionAdmin),
            (ParticipantKind::Channel, false) => Some(Self::Channel),
            (ParticipantKind::Channel, true) => Some(Self::ChannelAdmin),
            (ParticipantKind::Gateway, true) => Some(Self::GatewayAdmin),
            (ParticipantKind::Gateway, false) => None,
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Whose record a method may touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The caller's participant's own; `NOT_YOUR_RECORD` otherwise.
    Own,
    /// Those that concern the caller's participant, as the table's readers say; all for the gateway's administrators.
    Concerned,
    /// Anybody's: directories, policy, checkpoints.
    Any,
}

/// One line of the table.
pub struct Rule {
    /// `Service/Method`, in the gateway's package.
    pub method: &'static str,
    roles: u8,
    pub whose: Whose,
}

const PACKAGE: &str = "/jjj.gateway.v1.";

const R: u8 = Role::Region.bit();
const RA: u8 = Role::RegionAdmin.bit();
const C: u8 = Role::Channel.bit();
const CA: u8 = Role::ChannelAdmin.bit();
const GA: u8 = Role::GatewayAdmin.bit();
/// Everybody but the gateway's own people, who own no records.
const OUTSIDE: u8 = R | RA | C | CA;
const REGIONS: u8 = R | RA;
const ADMINS: u8 = RA | CA | GA;
const ALL: u8 = OUTSIDE | GA;

const fn rule(method: &'static str, roles: u8, whose: Whose) -> Rule {
    Rule { method, roles, whose }
}

use Whose::{Any, Concerned, Own};

/// The table, services and methods in the order of the API.
#[rustfmt::skip]
pub const TABLE: &[Rule] = &[
    // One of two regions proposes, the other answers; each may end alone. Nobody else reads it.
    rule("AgreementService/ProposeAgreement", REGIONS, Own),
    rule("AgreementService/AcceptAgreement", REGIONS, Own),
    rule("AgreementService/DeclineAgreement", REGIONS, Own),
    rule("AgreementService/WithdrawAgreement", REGIONS, Own),
    rule("AgreementService/EndAgreement", REGIONS, Own),
    rule("AgreementService/GetAgreement", REGIONS | GA, Concerned),
    rule("AgreementService/ListAgreements", REGIONS | GA, Concerned),
    rule("AgreementService/ListAgreementVersions", REGIONS | GA, Concerned),
    // A region publishes and changes its own records. Assessments and certificates are read by the
    // regions concerned; no channel sees them.
    rule("AssessmentService/PublishAssessment", R, Own),
    rule("AssessmentService/BatchPublishAssessments", R, Own),
    rule("AssessmentService/ChangeAssessment", REGIONS, Own),
    rule("AssessmentService/BatchChangeAssessments", R, Own),
    rule("AssessmentService/GetAssessment", REGIONS | GA, Concerned),
    rule("AssessmentService/ListAssessments", REGIONS | GA, Concerned),
    rule("AssessmentService/ListAssessmentVersions", REGIONS | GA, Concerned),
    // The institution's region bills; a channel asks by CheckPayment.
    rule("BillService/PublishBill", R, Own),
    rule("BillService/BatchPublishBills", R, Own),
    rule("BillService/AmendBill", R, Own),
    rule("BillService/BatchAmendBills", R, Own),
    rule("BillService/VoidBill", REGIONS, Own),
    rule("BillService/GetBill", REGIONS | GA, Concerned),
    rule("BillService/ListBills", REGIONS | GA, Concerned),
    rule("BillService/ListBillVersions", REGIONS | GA, Concerned),
    // Instructions go to channels; files come from channels, regional books from regions, and
    // evidence from those who work on breaks.
    rule("ChannelService/StreamInstructions", C, Own),
    rule("ChannelService/AcknowledgeInstructions", C, Own),
    rule("ChannelService/BeginUpload", R | C | RA | GA, Own),
    rule("ChannelService/UploadChunk", R | C | RA | GA, Own),
    rule("ChannelService/CompleteUpload", R | C | RA | GA, Own),
    rule("ChannelService/GetSettlementFile", ALL, Concerned),
    rule("ChannelService/ListSettlementFiles", ALL, Concerned),
    rule("ChannelService/GetBankStatement", ALL, Concerned),
    rule("ChannelService/ListBankStatements", ALL, Concerned),
    // Either region may be a contract's registrar.
    rule("ContractService/CreateContract", R, Own),
    rule("ContractService/BatchCreateContracts", R, Own),
    rule("ContractService/SignContract", R, Own),
    rule("ContractService/BatchSignContracts", R, Own),
    rule("ContractService/FileContract", R, Own),
    rule("ContractService/BatchFileContracts", R, Own),
    rule("ContractService/AttestContract", R, Own),
    rule("ContractService/BatchAttestContracts", R, Own),
    rule("ContractService/ActivateContract", R, Own),
    rule("ContractService/BatchActivateContracts", R, Own),
    rule("ContractService/AmendContract", R, Own),
    rule("ContractService/TerminateContract", REGIONS, Own),
    rule("ContractService/VoidContract", REGIONS, Own),
    rule("ContractService/GetContract", REGIONS | GA, Concerned),
    rule("ContractService/ListContracts", REGIONS | GA, Concerned),
    rule("ContractService/ListContractVersions", REGIONS | GA, Concerned),
    rule("DisabilityCertificateService/PublishDisabilityCertificate", R, Own),
    rule("DisabilityCertificateService/BatchPublishDisabilityCertificates", R, Own),
    rule("DisabilityCertificateService/ChangeDisabilityCertificate", REGIONS, Own),
    rule("DisabilityCertificateService/GetDisabilityCertificate", REGIONS | GA, Concerned),
    rule("DisabilityCertificateService/ListDisabilityCertificates", REGIONS | GA, Concerned),
    rule("DisabilityCertificateService/ListDisabilityCertificateVersions", REGIONS | GA, Concerned),
    // Personal data: the registering region writes; reading it leaves an audit record. The gateway's
    // administrators see pseudonyms only.
    rule("ElderService/RegisterElder", R, Own),
    rule("ElderService/BatchRegisterElders", R, Own),
    rule("ElderService/AddIdentifier", R, Own),
    rule("ElderService/AmendElder", R, Own),
    rule("ElderService/MergeElders", REGIONS, Own),
    rule("ElderService/RecordDeath", REGIONS, Own),
    rule("ElderService/EraseElder", REGIONS, Own),
    // Channels find the payer by the card she presents.
    rule("ElderService/FindElder", REGIONS | C, Any),
    rule("ElderService/GetElder", ALL, Any),
    rule("ElderService/ListElders", REGIONS | GA, Any),
    rule("ElderService/ReadPersonalData", REGIONS, Concerned),
    rule("ElderService/RegisterParty", R, Own),
    rule("ElderService/BatchRegisterParties", R, Own),
    rule("ElderService/AmendParty", R, Own),
    rule("ElderService/EraseParty", REGIONS, Own),
    rule("ElderService/GetParty", REGIONS | GA, Any),
    // The paying region allots, funds, grants, claws back; the channel reports what became of it.
    rule("EntitlementService/AllotBudget", REGIONS, Own),
    rule("EntitlementService/FundChannel", REGIONS, Own),
    rule("EntitlementService/GrantEntitlement", R, Own),
    rule("EntitlementService/BatchGrantEntitlements", R, Own),
    rule("EntitlementService/ReportCredit", C, Own),
    rule("EntitlementService/BatchReportCredits", C, Own),
    rule("EntitlementService/ReportOutsideSpending", C, Own),
    rule("EntitlementService/BatchReportOutsideSpendings", C, Own),
    rule("EntitlementService/ReportEstatePayout", C, Own),
    rule("EntitlementService/ClawBackGrant", REGIONS, Own),
    rule("EntitlementService/ReportClawbackReturn", C, Own),
    rule("EntitlementService/RecordRecovery", REGIONS, Own),
    rule("EntitlementService/GetBalance", ALL, Concerned),
    rule("EntitlementService/GetGrant", ALL, Concerned),
    rule("EntitlementService/ListGrants", ALL, Concerned),
    rule("EntitlementService/ListMoneyEvents", ALL, Concerned),
    rule("EventService/StreamEvents", R | C, Own),
    rule("EventService/AcknowledgeEvents", R | C, Own),
    // The directory is read by everybody; where an institution is paid from is changed four-eyed.
    rule("InstitutionService/RegisterInstitution", R, Own),
    rule("InstitutionService/BatchRegisterInstitutions", R, Own),
    rule("InstitutionService/UpdateInstitution", R, Own),
    rule("InstitutionService/BatchUpdateInstitutions", R, Own),
    rule("InstitutionService/SetSigningScope", REGIONS, Own),
    rule("InstitutionService/BatchSetSigningScopes", R, Own),
    rule("InstitutionService/ProposeSettlementAccount", RA, Own),
    rule("InstitutionService/DecideSettlementAccount", RA, Own),
    rule("InstitutionService/GetInstitution", ALL, Any),
    rule("InstitutionService/ListInstitutions", ALL, Any),
    rule("InstitutionService/ListInstitutionVersions", ALL, Any),
    rule("InstitutionService/ListSettlementAccounts", ALL, Concerned),
    // A region sees its books, a channel the entries of what it paid; proofs are for everybody.
    rule("LedgerService/ListAccounts", REGIONS | GA, Concerned),
    rule("LedgerService/ListEntries", REGIONS | GA, Concerned),
    rule("LedgerService/GetTrialBalance", REGIONS | GA, Concerned),
    rule("LedgerService/GetCheckpoint", ALL, Any),
    rule("LedgerService/GetInclusionProof", ALL, Concerned),
    rule("LedgerService/GetConsistencyProof", ALL, Any),
    rule("LedgerService/GetEvidence", ALL, Concerned),
    rule("MandateService/CreateMandate", R, Own),
    rule("MandateService/BatchCreateMandates", R, Own),
    rule("MandateService/RevokeMandate", REGIONS, Own),
    rule("MandateService/GetMandate", ALL, Concerned),
    rule("MandateService/ListMandates", ALL, Concerned),
    // The institution's region claims, the paying region approves, the bank pays.
    rule("OperatingSubsidyService/CreateClaim", R, Own),
    rule("OperatingSubsidyService/BatchCreateClaims", R, Own),
    rule("OperatingSubsidyService/ApproveClaim", REGIONS, Own),
    rule("OperatingSubsidyService/BatchApproveClaims", REGIONS, Own),
    rule("OperatingSubsidyService/DeclineClaim", REGIONS, Own),
    rule("OperatingSubsidyService/ConfirmPayout", C, Own),
    rule("OperatingSubsidyService/BatchConfirmPayouts", C, Own),
    rule("OperatingSubsidyService/ReturnPayout", C, Own),
    rule("OperatingSubsidyService/BatchReturnPayouts", C, Own),
    rule("OperatingSubsidyService/GetClaim", ALL, Concerned),
    rule("OperatingSubsidyService/ListClaims", ALL, Concerned),
    // The registry: enrolment and suspension by the gateway's administrators, the rest by each for its own.
    rule("ParticipantService/CreateParticipant", GA, Any),
    rule("ParticipantService/GetParticipant", ALL, Any),
    rule("ParticipantService/ListParticipants", ALL, Any),
    rule("ParticipantService/SuspendParticipant", GA, Any),
    rule("ParticipantService/ReinstateParticipant", GA, Any),
    rule("ParticipantService/AddAuthority", ALL, Own),
    rule("ParticipantService/WithdrawAuthority", ALL, Own),
    rule("ParticipantService/ListAuthorities", ALL, Any),
    rule("ParticipantService/AddKey", ALL, Own),
    rule("ParticipantService/RetireKey", ALL, Own),
    rule("ParticipantService/WithdrawKey", ALL, Own),
    rule("ParticipantService/ListKeys", ALL, Any),
    rule("ParticipantService/ListSignatures", ALL, Own),
    rule("ParticipantService/AddAdministrator", ALL, Own),
    rule("ParticipantService/RemoveAdministrator", ALL, Own),
    rule("ParticipantService/ListAdministrators", ALL, Any),
    // Two people of the book's region close its months.
    rule("MonthCloseService/ProposeClose", RA, Own),
    rule("MonthCloseService/DecideClose", RA, Own),
    rule("MonthCloseService/ListCloses", REGIONS | GA, Concerned),
    rule("MonthCloseService/ListVouchers", REGIONS | GA, Concerned),
    // Channels ask, confirm, reverse and refund; the paying region instructs under a mandate.
    rule("PaymentService/CheckPayment", R | RA | C, Concerned),
    rule("PaymentService/ListEligibility", R | C | GA, Concerned),
    rule("PaymentService/AuthorizePayment", C, Own),
    rule("PaymentService/BatchAuthorizePayments", C, Own),
    rule("PaymentService/ConfirmPayment", C, Own),
    rule("PaymentService/BatchConfirmPayments", C, Own),
    rule("PaymentService/ReversePayment", C, Own),
    rule("PaymentService/BatchReversePayments", C, Own),
    rule("PaymentService/VoidPayment", C, Own),
    rule("PaymentService/GetPayment", ALL, Concerned),
    rule("PaymentService/QueryPayment", C, Own),
    rule("PaymentService/AdvisePayment", C, Own),
    rule("PaymentService/BatchAdvisePayments", C, Own),
    rule("PaymentService/InstructPayment", R, Own),
    rule("PaymentService/BatchInstructPayments", R, Own),
    rule("PaymentService/RejectInstruction", C, Own),
    rule("PaymentService/BatchRejectInstructions", C, Own),
    rule("PaymentService/CancelInstruction", REGIONS, Own),
    rule("PaymentService/RefundPayment", C, Own),
    rule("PaymentService/BatchRefundPayments", C, Own),
    rule("PaymentService/GetRefund", ALL, Concerned),
    rule("PaymentService/ListPayments", ALL, Concerned),
    rule("PaymentService/ListRefunds", ALL, Concerned),
    rule("PaymentService/ListPaymentVersions", ALL, Concerned),
    // A region's administrators set its own gate, programme and operating subsidy, the gateway's the rest.
    // Agreements are set by nobody, and read by their two regions.
    rule("PolicyService/ListPolicies", ALL, Any),
    rule("PolicyService/GetPolicy", ALL, Any),
    rule("PolicyService/SetPolicy", RA | GA, Own),
    rule("PolicyService/ListPolicyVersions", ALL, Any),
    rule("RatingService/PublishRating", R, Own),
    rule("RatingService/BatchPublishRatings", R, Own),
    rule("RatingService/ChangeRating", REGIONS, Own),
    rule("RatingService/BatchChangeRatings", R, Own),
    rule("RatingService/GetRating", ALL, Any),
    rule("RatingService/ListRatings", ALL, Any),
    rule("RatingService/ListRatingVersions", ALL, Any),
    // The recognizing region decides.
    rule("RecognitionService/DecideRecognition", REGIONS, Own),
    rule("RecognitionService/BatchDecideRecognitions", REGIONS, Own),
    rule("RecognitionService/GetRecognition", REGIONS | GA, Concerned),
    rule("RecognitionService/ListRecognitions", REGIONS | GA, Concerned),
    rule("RecognitionService/ListRecognitionVersions", REGIONS | GA, Concerned),
    rule("RecognitionService/GetRecognitionToken", REGIONS, Concerned),
    rule("RecognitionService/GetSdRecognition", REGIONS, Concerned),
    rule("RecognitionService/GetStatusList", ALL, Any),
    // A region compares what it has with what it may read.
    rule("RecordService/CompareRecords", REGIONS | GA, Concerned),
    rule("RecordService/FetchRecords", REGIONS | GA, Concerned),
    // People reconcile, never systems: who proposes does not approve, who signs did neither.
    rule("ReconciliationService/StartRun", RA | GA, Any),
    rule("ReconciliationService/GetRun", ADMINS | R, Concerned),
    rule("ReconciliationService/ListRuns", ADMINS | R, Concerned),
    rule("ReconciliationService/ListClearingDays", ADMINS | R, Concerned),
    rule("ReconciliationService/ListBreaks", ADMINS | R, Concerned),
    rule("ReconciliationService/GetBreak", ADMINS | R, Concerned),
    rule("ReconciliationService/ListBreakVersions", ADMINS | R, Concerned),
    rule("ReconciliationService/ListAlerts", ADMINS | R, Concerned),
    rule("ReconciliationService/AssignBreak", RA | GA, Concerned),
    rule("ReconciliationService/CommentBreak", RA | GA, Concerned),
    rule("ReconciliationService/AttachEvidence", RA | GA, Concerned),
    rule("ReconciliationService/ReadAttachment", RA | GA, Concerned),
    rule("ReconciliationService/ProposeResolution", RA | GA, Concerned),
    rule("ReconciliationService/BatchProposeResolutions", RA | GA, Concerned),
    rule("ReconciliationService/WithdrawProposal", RA | GA, Concerned),
    rule("ReconciliationService/DecideResolution", RA | GA, Concerned),
    rule("ReconciliationService/BatchDecideResolutions", RA | GA, Concerned),
    rule("ReconciliationService/GetView", RA | R | GA, Concerned),
    rule("ReconciliationService/SignView", RA | GA, Own),
    rule("ReportService/GetReport", ADMINS | R, Concerned),
    // People settle; the channel says what it paid.
    rule("SettlementService/PrepareSettlement", RA | GA, Any),
    rule("SettlementService/GetSettlementStatement", ALL, Concerned),
    rule("SettlementService/ListSettlementStatements", ALL, Concerned),
    rule("SettlementService/ReportPayout", C, Own),
    rule("SettlementService/BatchReportPayouts", C, Own),
    rule("SettlementService/MatchPayout", RA | GA, Any),
    rule("SettlementService/ListPayouts", ALL, Concerned),
    // The institution's region publishes stays.
    rule("StayService/AdmitElder", R, Own),
    rule("StayService/BatchAdmitElders", R, Own),
    rule("StayService/EndStay", R, Own),
    rule("StayService/BatchEndStays", R, Own),
    rule("StayService/AmendStay", R, Own),
    rule("StayService/VoidStay", REGIONS, Own),
    rule("StayService/GetStay", REGIONS | GA, Concerned),
    rule("StayService/ListStays", REGIONS | GA, Concerned),
    rule("StayService/ListStayVersions", REGIONS | GA, Concerned),
];

static BY_PATH: LazyLock<HashMap<String, &'static Rule>> =
    LazyLock::new(|| TABLE.iter().map(|rule| (format!("{PACKAGE}{}", rule.method), rule)).collect());

/// Whether a role may call the method with this full path.
pub fn is_allowed(role: Role, path: &str) -> bool {
    BY_PATH.get(path).is_some_and(|rule| rule.roles & role.bit() != 0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jjj_wire::methods::METHODS;

    use super::*;

    #[test]
    fn the_table_has_every_method_of_the_api_exactly_once() {
        let table: Vec<String> = TABLE.iter().map(|rule| format!("{PACKAGE}{}", rule.method)).collect();
        let once: BTreeSet<&str> = table.iter().map(String::as_str).collect();
        assert_eq!(table.len(), once.len(), "a method stands twice");
        let api: BTreeSet<&str> = METHODS.iter().map(|m| m.path).collect();
        let [missing, unknown]: [Vec<_>; 2] = [api.difference(&once).collect(), once.difference(&api).collect()];
        assert!(missing.is_empty() && unknown.is_empty(), "not in the table: {missing:?}; not in the API: {unknown:?}");
    }

    #[test]
    fn nobody_may_call_what_is_not_in_the_table() {
        for role in [Role::Region, Role::RegionAdmin, Role::Channel, Role::ChannelAdmin, Role::GatewayAdmin] {
            assert!(!is_allowed(role, "/jjj.gateway.v1.RatingService/DropRatings"));
        }
        assert!(!is_allowed(Role::Channel, "/jjj.gateway.v1.RatingService/PublishRating"));
        assert!(is_allowed(Role::Region, "/jjj.gateway.v1.RatingService/PublishRating"));
        assert_eq!(Role::of(&Actor::system(jjj_domain::names::Participant::gateway())), None);
    }

    /// What each noun of a reading method is a row of.
    const TABLES: [(&str, &str); 25] = [
        ("Account", "accounts"),
        ("Agreement", "agreements"),
        ("Alert", "alerts"),
        ("Assessment", "records"),
        ("BankStatement", "bank_statements"),
        ("Bill", "bills"),
        ("Break", "breaks"),
        ("Claim", "operating_subsidy_claims"),
        ("Close", "month_closes"),
        ("Contract", "contracts"),
        ("DisabilityCertificate", "records"),
        ("Entrie", "transfers"),
        ("Grant", "grants"),
        ("Mandate", "mandates"),
        ("MoneyEvent", "money_events"),
        ("Payment", "payments"),
        ("Payout", "payouts"),
        ("Recognition", "recognitions"),
        ("Refund", "refunds"),
        ("Run", "runs"),
        ("SettlementAccount", "settlement_accounts"),
        ("SettlementFile", "files"),
        ("SettlementStatement", "settlement_statements"),
        ("Stay", "stays"),
        ("View", "run_views"),
    ];

    /// Readings of no one table, or of many.
    const OTHERS: [&str; 10] = [
        "EntitlementService/GetBalance",
        "LedgerService/GetEvidence",
        "LedgerService/GetInclusionProof",
        "LedgerService/GetTrialBalance",
        "MonthCloseService/ListVouchers",
        "PaymentService/ListEligibility",
        "RecognitionService/GetRecognitionToken",
        "RecognitionService/GetSdRecognition",
        "ReconciliationService/ListClearingDays",
        "ReportService/GetReport",
    ];

    /// A role that may ask and can never be told anything would mislead whoever reads the table: a
    /// channel's rows have a column that names it.
    #[test]
    fn whoever_may_read_can_be_a_reader() {
        let tables: HashMap<&str, _> = jjj_domain::tables::all().into_iter().map(|spec| (spec.name, spec)).collect();
        for rule in TABLE.iter().filter(|rule| rule.whose == Concerned) {
            let (_, name) = rule.method.split_once('/').unwrap();
            let Some(noun) = name.strip_prefix("Get").or_else(|| name.strip_prefix("List")) else { continue };
            if OTHERS.contains(&rule.method) {
                continue;
            }
            let noun = noun.strip_suffix("Versions").unwrap_or_else(|| noun.trim_end_matches('s'));
            let table =
                TABLES.iter().find(|(known, _)| *known == noun).unwrap_or_else(|| panic!("{noun}: of no table")).1;
            let has = |names: &[&str]| tables[table].columns.iter().any(|column| names.contains(&column.name));
            let channels = has(&["channel", "participant", "sender"]);
            let regions =
                has(&["region", "institution_region", "household_region", "issuer", "book", "channel", "participant"]);
            assert!(rule.roles & (C | CA) == 0 || channels, "{}: no row is a channel's", rule.method);
            assert!(rule.roles & REGIONS == 0 || regions, "{}: no row is a region's", rule.method);
        }
    }

    /// A bulk method opens no door that the single one keeps shut.
    #[test]
    fn batch_methods_are_no_wider_than_their_items() {
        for method in METHODS {
            let Some(item) = method.item else { continue };
            let (batch, single) = (BY_PATH[method.path], BY_PATH[item]);
            assert_eq!(batch.roles & !single.roles, 0, "{}", method.path);
            assert_eq!(batch.whose, single.whose, "{}", method.path);
        }
    }
}
