//! The typed bodies of policy tables. Unknown members are refused: a misspelt
//! rule must not silently not apply.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::{BankAccount, PayoutProof, PolicyBody, PolicyKind, SchedulePolicy};
use crate::care::bill::FeeType;
use crate::care::contract::ContractEvidence;
use crate::guard::MAX_PROGRAMME_FEN;
use crate::id::Uscc;
use crate::names::{Participant, ParticipantKind};
use crate::recon::matching::MatchRule;
use crate::rules::assessment::LevelChangeReason;
use crate::rules::disability::DisabilityCategory;
use crate::rules::mapping::{MappingQuality, RecognizedLevels};
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
    /// A condition that is not named is enforced.
    pub conditions: BTreeMap<Condition, Mode>,
    /// Evidence kinds that satisfy `CONTRACT_EVIDENCE`.
    pub contract_evidence: BTreeSet<ContractEvidence>,
    /// Fee types the programme may pay.
    pub fee_types: BTreeSet<FeeType>,
    /// Least recognized grade that satisfies `RATING`.
    pub min_grade: i64,
}

impl GatePolicy {
    /// How a condition is judged.
    pub fn mode(&self, condition: Condition) -> Mode {
        self.conditions.get(&condition).copied().unwrap_or(Mode::Enforce)
    }
}

impl PolicyBody for GatePolicy {
    const KIND: PolicyKind = PolicyKind::Gate;

    fn check(&self) -> Result<(), String> {
        within("min_grade", self.min_grade, 1..=5)
    }
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
    pub categories: BTreeSet<DisabilityCategory>,
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

    fn check(&self) -> Result<(), String> {
        within("back_pay_months", self.back_pay_months, 0..=120)?;
        for rate in &self.rates {
            within("amount_fen", rate.amount_fen, MONEY_FEN)?;
            each("levels", &rate.levels, 0..=4)?;
            each("grades", &rate.grades, 1..=4)?;
        }
        Ok(())
    }
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
    /// Least recognized grade or level, of an ambiguous mapping the lowest it can be; absent: any.
    #[serde(default)]
    pub min_grade: Option<i64>,
    /// Cap on the recognized validity, months from the decision; absent: the issuer's.
    #[serde(default)]
    pub validity_cap_months: Option<i64>,
    /// Institutions whose records are not recognized; at most 1,000.
    #[serde(default)]
    pub exclusions: Vec<Exclusion>,
    /// Days from one region's ending it alone to its end, 0 to 366.
    #[serde(default)]
    pub notice_days: i64,
    /// The document it rests on, up to 1,000 characters; recognitions have it as their reason.
    pub source: String,
}

/// What an agreement leaves out: one institution, or all of a division.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exclusion {
    /// `institutions/{uscc}`.
    #[serde(default)]
    pub institution: Option<String>,
    /// A division code of 2, 4 or 6 digits (GB/T 2260): province, prefecture, county.
    #[serde(default)]
    pub division: Option<String>,
    /// Why, up to 200 characters.
    pub reason: String,
}

impl Exclusion {
    fn check(&self) -> Result<(), String> {
        let is_division = |code: &str| matches!(code.len(), 2 | 4 | 6) && code.bytes().all(|b| b.is_ascii_digit());
        let uscc = |name: &str| name.strip_prefix("institutions/").is_some_and(|uscc| uscc.parse::<Uscc>().is_ok());
        match (&self.institution, &self.division) {
            (Some(name), None) if uscc(name) => {}
            (None, Some(code)) if is_division(code) => {}
            _ => return Err("exclusions: each names an institution or a division of 2, 4 or 6 digits".to_owned()),
        }
        plain_text("exclusions: reason", &self.reason, 200)
    }
}

impl Agreement {
    /// Whether anything is recognized under it.
    pub fn recognizes(&self) -> bool {
        !self.schemes.is_empty()
    }

    /// The body of a version that ends what was recognized, canonical.
    pub fn ending(source: &str) -> String {
        crate::value::canonical_json(&serde_json::json!({"automatic": false, "schemes": {}, "source": source}))
    }
}

impl PolicyBody for Agreement {
    const KIND: PolicyKind = PolicyKind::Agreement;

    fn check(&self) -> Result<(), String> {
        for (scheme, lines) in &self.schemes {
            for (at, line) in lines.iter().enumerate() {
                if lines[..at].iter().any(|other| other.native == line.native) {
                    return Err(format!("{scheme} {} stands twice", line.native));
                }
                let (low, high) = (line.recognized, line.recognized_max.unwrap_or(line.recognized));
                if RecognizedLevels::new(low, high, line.quality).is_none() {
                    return Err(format!("{scheme} {}: {low} to {high} is not {}", line.native, line.quality));
                }
            }
        }
        within("min_grade", self.min_grade.unwrap_or(0), 0..=100)?;
        within("validity_cap_months", self.validity_cap_months.unwrap_or(1), 1..=1_200)?;
        within("exclusions", self.exclusions.len() as i64, 0..=1_000)?;
        self.exclusions.iter().try_for_each(Exclusion::check)?;
        within("notice_days", self.notice_days, 0..=366)?;
        plain_text("source", &self.source, 1_000)
    }
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

    fn check(&self) -> Result<(), String> {
        within("max_level", self.max_level, self.min_level..=100)?;
        within("validity_months", self.validity_months, 1..=1_200)
    }
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

    fn check(&self) -> Result<(), String> {
        within("deposit_months", self.deposit_months, 0..=120)?;
        within("prepaid_months", self.prepaid_months, 0..=120)
    }
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
    /// Merchants that each have a file of their own every clearing date, counted in `expected_files`
    /// or beyond it.
    #[serde(default)]
    pub expected_merchants: Vec<String>,
    /// Regions (`regions/130000`) whose own books of every clearing date are expected. A book that comes
    /// unexpected is reconciled all the same; one that is absent holds up nothing but is a break.
    #[serde(default)]
    pub expected_books: Vec<Participant>,
    /// The fee agreed on a payment; absent: what the file states is not questioned.
    #[serde(default)]
    pub agreed_fee: Option<AgreedFee>,
    /// What the transaction codes (交易代码) in its files mean.
    #[serde(default)]
    pub transaction_codes: TransactionCodes,
    /// When it is asked about reservations that it leaves unanswered.
    #[serde(default)]
    pub queries: QueryPolicy,
    /// Most that may be reserved through it on a clearing date, fen; absent: no limit. What was
    /// reserved and given back on the same date does not count. Reported facts are not refused.
    #[serde(default)]
    pub daily_limit_fen: Option<i64>,
    /// When institutions are settled.
    #[serde(default)]
    pub settlement_cycle: SettlementCycle,
    /// Working days from a cycle's last clearing date to its payout.
    #[serde(default = "one")]
    pub payout_working_days: i64,
    /// When the gateway reconciles its clearing dates by itself; absent: administrators do.
    #[serde(default)]
    pub schedule: Option<SchedulePolicy>,
    /// What reconciliation tries after the end-to-end key, in this order: `ORDER_ID`,
    /// `MERCHANT_TIME_AMOUNT`, `GROUPED_SUM`.
    #[serde(default = "by_order_id")]
    pub match_fallbacks: Vec<MatchRule>,
    /// By how much a fee or a time may be off and still agree. There is none for amounts: money
    /// that differs is a break.
    #[serde(default)]
    pub match_tolerances: Vec<Tolerance>,
    /// The bank accounts of which it delivers statements; what it states of others is compared with nothing.
    #[serde(default)]
    pub bank_accounts: Vec<BankAccount>,
    /// When bank statements are to show its payouts; absent: none is expected to.
    #[serde(default)]
    pub payout_proof: Option<PayoutProof>,
}

const fn one() -> i64 {
    1
}

text_enum! {
    /// How often a channel settles institutions: the clearing date that ends a cycle.
    #[derive(Default)]
    pub enum SettlementCycle {
        #[default]
        Daily = "DAILY",
        /// Sundays.
        Weekly = "WEEKLY",
        /// Last days of months.
        Monthly = "MONTHLY",
    }
}

impl ChannelPolicy {
    /// Regions whose books are still to come, given those whose books are here.
    pub fn lacking_books(&self, here: &BTreeSet<&Participant>) -> Vec<Participant> {
        let lacks = |region: &&Participant| !here.contains(region);
        let lacking: BTreeSet<&Participant> = self.expected_books.iter().filter(lacks).collect();
        lacking.into_iter().cloned().collect()
    }

    /// How many files of a clearing date are still to come, given the merchants of those that are here, and
    /// of which expected merchants.
    pub fn lacking<'a>(&self, here: impl Iterator<Item = &'a str>) -> (i64, Vec<String>) {
        let mut files = self.expected_files;
        let here: BTreeSet<&str> = here.inspect(|_| files -= 1).collect();
        let lacks = |merchant: &&String| !here.contains(merchant.as_str());
        let merchants: Vec<String> = self.expected_merchants.iter().filter(lacks).cloned().collect();
        (files.max(merchants.len() as i64).max(0), merchants)
    }
}

impl SettlementCycle {
    pub fn ends_on(self, date: Date) -> bool {
        match self {
            Self::Daily => true,
            Self::Weekly => date.is_weekend() && !date.plus_days(1).is_weekend(),
            Self::Monthly => date == date.month().last_day(),
        }
    }
}

/// What a channel's transaction codes mean; rows with any other are set aside. By default the
/// purchase of DOMAIN.md §7 and, undocumented, the two beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TransactionCodes {
    /// 消费.
    pub payment: Vec<String>,
    /// 退货.
    pub refund: Vec<String>,
    /// 消费撤销: with the purchase that it voids it moved nothing.
    pub void: Vec<String>,
}

impl Default for TransactionCodes {
    fn default() -> Self {
        let one = |code: &str| vec![code.to_owned()];
        Self { payment: one("S22"), refund: one("S30"), void: one("S32") }
    }
}

impl TransactionCodes {
    fn check(&self) -> Result<(), String> {
        let mut seen = std::collections::BTreeSet::new();
        for code in self.payment.iter().chain(&self.refund).chain(&self.void) {
            if code.len() != 3 || !code.bytes().all(|b| b.is_ascii_alphanumeric()) {
                return Err(format!("transaction_codes: {code} is not three letters or digits"));
            }
            if !seen.insert(code) {
                return Err(format!("transaction_codes: {code} stands twice"));
            }
        }
        Ok(())
    }
}

fn by_order_id() -> Vec<MatchRule> {
    vec![MatchRule::OrderId]
}

/// A named tolerance of matching; a unit that needs it says so by this name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tolerance {
    /// `UPPER_SNAKE_CASE`, up to 32 characters.
    pub name: String,
    pub of: ToleranceOf,
    /// The widest difference, in the unit that `of` names.
    pub within: i64,
}

text_enum! {
    /// What a tolerance is about.
    pub enum ToleranceOf {
        /// The stated fee against the agreed one, up to 100 fen.
        FeeFen = "FEE_FEN",
        /// Times of `MERCHANT_TIME_AMOUNT`, up to 3,600 seconds.
        TransactionTimeS = "TRANSACTION_TIME_S",
    }
}

impl Tolerance {
    fn check(&self) -> Result<(), String> {
        let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        if !(1..=32).contains(&self.name.len()) || !self.name.bytes().all(plain) {
            return Err(format!("match_tolerances: {:?} is no UPPER_SNAKE_CASE name", self.name));
        }
        let most = match self.of {
            ToleranceOf::FeeFen => 100,
            ToleranceOf::TransactionTimeS => 3_600,
        };
        within("match_tolerances", self.within, 1..=most)
    }
}

/// Queries of a reservation: the first after `first_s`, each next one after twice the time, at
/// most `most_s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryPolicy {
    /// Seconds from the reservation to the first query.
    pub first_s: i64,
    /// Most seconds from one query to the next.
    pub most_s: i64,
}

impl Default for QueryPolicy {
    fn default() -> Self {
        Self { first_s: 60, most_s: 21_600 }
    }
}

impl QueryPolicy {
    /// How long to wait after so many queries, microseconds; at 0, after the reservation.
    pub fn wait_us(self, times_asked: i64) -> i64 {
        // Beyond 30 doublings a second is more than any `most_s`.
        let doubled_s = self.first_s.saturating_mul(1 << times_asked.clamp(0, 30));
        doubled_s.min(self.most_s) * 1_000_000
    }
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

    fn check(&self) -> Result<(), String> {
        within("grace_working_days", self.grace_working_days, 0..=30)?;
        within("refund_months", self.refund_months, 0..=120)?;
        within("expected_files", self.expected_files, 0..=100)?;
        within("expected_merchants", self.expected_merchants.len() as i64, 0..=10_000)?;
        within("expected_books", self.expected_books.len() as i64, 0..=100)?;
        if let Some(other) = self.expected_books.iter().find(|who| who.kind() != ParticipantKind::Region) {
            return Err(format!("expected_books: {other} is no region"));
        }
        within("payout_working_days", self.payout_working_days, 0..=60)?;
        within("first_s", self.queries.first_s, 1..=DAY_S)?;
        within("most_s", self.queries.most_s, self.queries.first_s..=DAY_S)?;
        self.transaction_codes.check()?;
        if let Some(limit_fen) = self.daily_limit_fen {
            within("daily_limit_fen", limit_fen, 1..=MAX_PROGRAMME_FEN)?;
        }
        if let Some(SchedulePolicy { not_before, latest }) = self.schedule
            && latest < not_before
        {
            return Err(format!("latest must not be before {not_before}, not {latest}"));
        }
        for (at, rule) in self.match_fallbacks.iter().enumerate() {
            if !rule.is_fallback() || self.match_fallbacks[..at].contains(rule) {
                return Err(format!("match_fallbacks: {rule} is no fallback, or is named twice"));
            }
        }
        self.match_tolerances.iter().try_for_each(Tolerance::check)?;
        for (at, bank) in self.bank_accounts.iter().enumerate() {
            bank.check()?;
            let before = &self.bank_accounts[..at];
            if before.iter().any(|other| other.account == bank.account) {
                return Err(format!("bank_accounts: {} stands twice", bank.account));
            }
            // Neither statement's balance would be the ledger's.
            if let Some(book) = before.iter().find_map(|other| bank.shared_with(other)) {
                return Err(format!("bank_accounts: {} of {book} is on two accounts", bank.ledger));
            }
        }
        self.payout_proof.iter().try_for_each(PayoutProof::check)?;
        let Some(fee) = &self.agreed_fee else { return Ok(()) };
        within("basis_points", fee.basis_points, 0..=10_000)?;
        within("min_fen", fee.min_fen, MONEY_FEN)?;
        within("max_fen", fee.max_fen, fee.min_fen..=*MONEY_FEN.end())
    }
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

    fn check(&self) -> Result<(), String> {
        within("other_fen", self.other_fen, MONEY_FEN)?;
        within("min_days", self.min_days, 1..=31)?;
        for (level, fen) in &self.by_level {
            within("by_level", *level, 0..=4)?;
            within("by_level", *fen, MONEY_FEN)?;
        }
        Ok(())
    }
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

    fn check(&self) -> Result<(), String> {
        within("cooling_off_hours", self.cooling_off_hours, 0..=8_760)
    }
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

const DAY_S: i64 = 86_400;

/// What one month's amount may be: nothing to ten million yuan.
pub(super) const MONEY_FEN: RangeInclusive<i64> = 0..=1_000_000_000;

pub(super) fn within(member: &str, value: i64, range: RangeInclusive<i64>) -> Result<(), String> {
    if range.contains(&value) {
        Ok(())
    } else {
        Err(format!("{member} must be {} to {}, not {value}", range.start(), range.end()))
    }
}

/// A text for people, which a database can hold and a terminal may meet.
fn plain_text(member: &str, text: &str, limit: usize) -> Result<(), String> {
    let is_control = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if (1..=limit).contains(&text.chars().count()) && !text.contains(is_control) {
        Ok(())
    } else {
        Err(format!("{member} must be 1 to {limit} characters, none of them control characters"))
    }
}

fn each(member: &str, values: &BTreeSet<i64>, range: RangeInclusive<i64>) -> Result<(), String> {
    values.iter().try_for_each(|value| within(member, *value, range.clone()))
}
