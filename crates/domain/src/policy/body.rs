//! The typed bodies of policy tables. Unknown members are refused: a misspelt
//! rule must not silently not apply.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{PolicyBody, PolicyKind};
use crate::rules::assessment::LevelChangeReason;
use crate::rules::mapping::MappingQuality;
use crate::text_enum;
use crate::time::Date;

text_enum! {
    /// How a gate condition counts.
    pub enum Mode {
        /// Unmet refuses the payment.
        Enforce = "ENFORCE",
        /// Unmet lets it pass and opens a `CONDITION_UNMET` finding.
        Warn = "WARN",
        /// Not looked at.
        Off = "OFF",
    }
}

text_enum! {
    /// The conditions of the gate (DESIGN.md §3), in the order in which they are judged.
    pub enum Condition {
        /// A contract between elder and institution is in force on some day of the bill's month.
        Contract = "CONTRACT",
        /// The contract's evidence is of an accepted kind.
        ContractEvidence = "CONTRACT_EVIDENCE",
        /// The elder stays in the institution in the bill's month.
        Stay = "STAY",
        /// The institution's rating is recognized by the paying region (or its own).
        Rating = "RATING",
        /// The paying region relies on an eligibility basis that earns a rate of the programme.
        Basis = "BASIS",
        /// The programme may pay this fee type.
        FeeType = "FEE_TYPE",
        /// The bill line is open and covers the amount.
        Bill = "BILL",
        /// The restricted account covers the amount.
        Funds = "FUNDS",
    }
}

/// Which conditions gate a payment of a programme.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatePolicy {
    /// Every condition must be named.
    pub conditions: BTreeMap<Condition, Mode>,
    /// Evidence kinds that satisfy `CONTRACT_EVIDENCE`: `ONLINE_FILED`, `REGION_ATTESTED`.
    pub contract_evidence: BTreeSet<String>,
    /// Fee types the programme may pay: `BED`, `NURSING`, `MEAL`, `OTHER`.
    pub fee_types: BTreeSet<String>,
    /// Least recognized grade that satisfies `RATING`.
    pub min_grade: i64,
}

impl GatePolicy {
    /// An unnamed condition is enforced.
    pub fn mode(&self, condition: Condition) -> Mode {
        self.conditions.get(&condition).copied().unwrap_or(Mode::Enforce)
    }
}

impl PolicyBody for GatePolicy {
    const KIND: PolicyKind = PolicyKind::Gate;
}

text_enum! {
    /// Whose balance is the balance of record (DESIGN.md §6).
    pub enum BalanceOfRecord {
        /// A restricted card account at the channel; credits are reported.
        Channel = "CHANNEL",
        /// The gateway's ledger; a grant credits at once.
        Gateway = "GATEWAY",
    }
}

text_enum! {
    /// What a rate rests on.
    pub enum Basis {
        Assessment = "ASSESSMENT",
        DisabilityCertificate = "DISABILITY_CERTIFICATE",
    }
}

/// One line of a rate table. Empty sets match anything.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    pub tier: String,
    pub basis: Basis,
    /// Ability levels (GB/T 42195-2022, 0..=4) for an assessment basis.
    #[serde(default)]
    pub levels: BTreeSet<i64>,
    /// Disability categories for a certificate basis.
    #[serde(default)]
    pub categories: BTreeSet<String>,
    /// Disability grades (1 worst ..= 4) for a certificate basis.
    #[serde(default)]
    pub grades: BTreeSet<i64>,
    /// Whether the rate needs (or excludes) multiple disability; absent: either.
    #[serde(default)]
    pub multiple: Option<bool>,
    /// Fen a month.
    pub amount_fen: i64,
}

/// A programme's monthly rates and rules.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgrammePolicy {
    pub title_zh: String,
    pub title_en: String,
    /// The document the rates come from.
    pub source: String,
    /// The highest matching rate applies.
    pub rates: Vec<Rate>,
    pub back_pay_months: i64,
    pub balance_of_record: BalanceOfRecord,
}

impl PolicyBody for ProgrammePolicy {
    const KIND: PolicyKind = PolicyKind::Programme;
}

/// One line of a grade mapping.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GradeMap {
    pub native: i64,
    /// The recognized grade or level; for an ambiguous mapping the lowest it can be.
    pub recognized: i64,
    /// The highest it can be; absent: the same.
    #[serde(default)]
    pub recognized_max: Option<i64>,
    /// `AMBIGUOUS` exactly where the two differ.
    pub quality: MappingQuality,
}

/// What one region recognizes of another's records of a kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// `true`: recognized on publication; `false`: after the recognizing region's review.
    pub automatic: bool,
    /// By scheme: the mapping from native to recognized. A scheme not named is not recognized.
    pub schemes: BTreeMap<String, Vec<GradeMap>>,
    /// Cap on the recognized validity, months from the decision; absent: the issuer's.
    #[serde(default)]
    pub validity_cap_months: Option<i64>,
    pub source: String,
}

impl PolicyBody for Agreement {
    const KIND: PolicyKind = PolicyKind::Agreement;
}

/// Grades and longest validity of a record kind's scheme.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordKindPolicy {
    pub min_level: i64,
    pub max_level: i64,
    pub validity_months: i64,
    /// Assessments only: where a level has to be looked at again sooner.
    #[serde(default)]
    pub shorter: Option<ShorterValidity>,
    pub source: String,
}

/// A shorter validity of assessments from some level on, when a reason for a change applies:
/// severe disability that arose from a geriatric syndrome (DOMAIN.md §3).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShorterValidity {
    pub change_reason: LevelChangeReason,
    pub min_level: i64,
    pub validity_months: i64,
}

impl PolicyBody for RecordKindPolicy {
    const KIND: PolicyKind = PolicyKind::RecordKind;
}

text_enum! {
    /// What a deposit cap is a multiple of.
    pub enum DepositBase {
        /// Bed, nursing, meal and other fees together.
        ServiceFee = "SERVICE_FEE",
        BedFee = "BED_FEE",
    }
}

/// Deposit and prepayment caps by division of the institution.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContractCaps {
    pub deposit_months: i64,
    pub deposit_base: DepositBase,
    pub prepaid_months: i64,
    pub source: String,
}

impl PolicyBody for ContractCaps {
    const KIND: PolicyKind = PolicyKind::ContractCaps;
}

text_enum! {
    /// Who bears the channel's fee.
    pub enum FeeBearer {
        Institution = "INSTITUTION",
        Region = "REGION",
    }
}

/// How a channel works.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelPolicy {
    /// Money is placed with it beforehand; otherwise it settles from `bank`.
    pub prefunded: bool,
    pub fee_bearer: FeeBearer,
    /// Working days before a one-sided difference leaves its cut-off grace.
    pub grace_working_days: i64,
    pub refund_months: i64,
    /// Expected settlement files a clearing date.
    pub expected_files: i64,
    /// The fee agreed on a payment; absent: what the file states is not questioned.
    #[serde(default)]
    pub agreed_fee: Option<AgreedFee>,
}

/// A channel's fee: a share of the amount, rounded half up, within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgreedFee {
    /// In 1/10,000 of the amount.
    pub basis_points: i64,
    pub min_fen: i64,
    pub max_fen: i64,
}

impl PolicyBody for ChannelPolicy {
    const KIND: PolicyKind = PolicyKind::Channel;
}

/// Operating subsidy (运营补贴) a region pays to institutions that receive its elders.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatingSubsidyPolicy {
    pub programme: String,
    /// Fen per elder and month, by ability level; a level not named takes `other_fen`.
    pub by_level: BTreeMap<i64, i64>,
    pub other_fen: i64,
    /// Least days in the month for a stay to count.
    pub min_days: i64,
    pub source: String,
}

impl PolicyBody for OperatingSubsidyPolicy {
    const KIND: PolicyKind = PolicyKind::OperatingSubsidy;
}

/// Changes of settlement accounts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettlementAccountPolicy {
    /// Hours between approval and first use.
    pub cooling_off_hours: i64,
}

impl PolicyBody for SettlementAccountPolicy {
    const KIND: PolicyKind = PolicyKind::SettlementAccount;
}

/// Working days: weekends are off unless named, named holidays are off.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalendarPolicy {
    pub holidays: BTreeSet<Date>,
    /// Weekend days worked in lieu (调休).
    pub working_weekends: BTreeSet<Date>,
    pub source: String,
}

impl PolicyBody for CalendarPolicy {
    const KIND: PolicyKind = PolicyKind::Calendar;
}
