//! Policy is data: effective-dated, versioned bodies that an administrator
//! changes without a release. Defaults from DOMAIN.md ship in `defaults.json`.

mod accounting;
mod bank;
mod body;
mod breaks;
mod calendar;
mod schedule;

pub use accounting::{AccountTitle, AccountingPolicy};
pub use bank::{BankAccount, PayoutProof};
pub use body::{
    AgreedFee, Agreement, BalanceOfRecord, Basis, CalendarPolicy, ChannelPolicy, Condition, ContractCaps, DepositBase,
    Exclusion, FeeBearer, GatePolicy, GradeMap, Mode, OperatingSubsidyPolicy, ProgrammePolicy, QueryPolicy, Rate,
    RecordKindPolicy, SettlementAccountPolicy, SettlementCycle, ShorterValidity, Tolerance, ToleranceOf,
    TransactionCodes,
};
pub use breaks::{AutomaticRule, BreakPolicy, OtherOrganisation};
pub use calendar::WorkingDays;
pub use schedule::{DayTime, SchedulePolicy};

use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::decision::{Call, Command, Decision};
use crate::key;
use crate::names::{Actor, ParticipantKind};
use crate::rejection::{Reason, Rejection};
use crate::snapshot::{Snapshot, Stop};
use crate::time::{Date, Timestamp};
use crate::{table, text_enum};

text_enum! {
    /// The policy tables.
    pub enum PolicyKind {
        /// Scope `{region}/{programme}`: which conditions gate a payment. [`GatePolicy`]
        Gate = "gate",
        /// Scope `{region}/{programme}`: rates and eligibility. [`ProgrammePolicy`]
        Programme = "programme",
        /// Scope `{issuer}>{recognizer}/{RECORD_KIND}`: mutual recognition. [`Agreement`]
        Agreement = "agreement",
        /// Scope `{RECORD_KIND}/{SCHEME}`: grades and validity. [`RecordKindPolicy`]
        RecordKind = "record_kind",
        /// Scope: a division prefix, `11`, `12`, `13`. [`ContractCaps`]
        ContractCaps = "contract_caps",
        /// Scope: the channel's code. [`ChannelPolicy`]
        Channel = "channel",
        /// Scope: the paying region's code. [`OperatingSubsidyPolicy`]
        OperatingSubsidy = "operating_subsidy",
        /// Scope `default`. [`SettlementAccountPolicy`]
        SettlementAccount = "settlement_account",
        /// Scope `CN`. [`CalendarPolicy`]
        Calendar = "calendar",
        /// Scope: the channel's code, or `default` for all others. [`BreakPolicy`]
        Breaks = "breaks",
        /// Scope `{region}/{programme}`, else `default`: chart of accounts and close. [`AccountingPolicy`]
        Accounting = "accounting",
    }
}

table! {
    /// Policy bodies by kind, scope and effective date; the newest version of the newest date not after the day asked for is in force.
    pub struct PolicyRow in "policies", Head
    key [kind, scope, effective_from, version] index [kind, scope] index [kind] readers []
    {
        pub kind: PolicyKind,
        pub scope: String,
        pub effective_from: Date,
        pub version: i64,
        /// Canonical JSON of the kind's body.
        pub body: String,
        pub set_by: Actor,
        pub reason: String,
        /// Kind `agreement`: as what the two regions signed it, `agreements/{uuid}`; absent of shipped defaults.
        pub agreement: Option<String>,
        pub recorded_at_us: Timestamp,
    }
}

/// A policy body's type.
pub trait PolicyBody: DeserializeOwned + Send + Sync + 'static {
    const KIND: PolicyKind;

    /// Whether the numbers make sense; `Err` says which does not.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// The body in force on a date, refusing with `POLICY_MISSING` when there is none.
pub fn in_force<P: PolicyBody>(snapshot: &Snapshot, scope: &str, on: Date) -> Result<Arc<P>, Stop> {
    find(snapshot, scope, on)?
        .ok_or_else(|| Reason::PolicyMissing.var("kind", P::KIND).var("scope", scope).var("date", on).into())
}

/// The body in force on a date, if there is one.
pub fn find<P: PolicyBody>(snapshot: &Snapshot, scope: &str, on: Date) -> Result<Option<Arc<P>>, Stop> {
    Ok(find_version(snapshot, scope, on)?.map(|(body, _)| body))
}

/// As [`find`], with the name of the version: `policies/{kind}/{scope}/{date}/{version}`.
pub fn find_version<P: PolicyBody>(
    snapshot: &Snapshot,
    scope: &str,
    on: Date,
) -> Result<Option<(Arc<P>, String)>, Stop> {
    let rows = snapshot.list::<PolicyRow>(&["kind", "scope"], key![P::KIND, scope.to_owned()])?;
    let newest = rows.iter().filter(|row| row.effective_from <= on).max_by_key(|row| (row.effective_from, row.version));
    // What is stored was read by `set` before; unreadable means the schema moved on: refuse like a missing one.
    Ok(newest.and_then(|row| {
        let body = snapshot.read_once(row, |row| serde_json::from_str(&row.body).ok())?;
        Some((body, format!("{}/{}/{}", policy_name(row.kind, &row.scope), row.effective_from, row.version)))
    }))
}

/// Sets a policy from a date on. An earlier date is allowed: it is a new version of that date,
/// and what was decided meanwhile stands (DESIGN.md §3 "Two times").
#[derive(Clone, Debug)]
pub struct SetPolicy {
    pub kind: PolicyKind,
    pub scope: String,
    pub effective_from: Date,
    pub body: serde_json::Value,
    pub reason: String,
}

impl Command for SetPolicy {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        check_owner(self.kind, &self.scope, &call.actor)?;
        let body = check_body(self.kind, &self.body)?;
        check_scope(&self.scope)?;
        let rows = snapshot.list::<PolicyRow>(&["kind", "scope"], key![self.kind, self.scope.clone()])?;
        let version = 1 + rows.iter().map(|row| row.version).max().unwrap_or(0);
        let row = PolicyRow {
            kind: self.kind,
            scope: self.scope.clone(),
            effective_from: self.effective_from,
            version,
            body,
            set_by: call.actor.clone(),
            reason: self.reason.clone(),
            agreement: None,
            recorded_at_us: call.now,
        };
        let mut decision = Decision::new(call);
        decision.leaf("policy.set", policy_name(self.kind, &self.scope), version).put(&row);
        Ok(decision)
    }
}

/// `policies/{kind}/{scope}`.
pub fn policy_name(kind: PolicyKind, scope: &str) -> String {
    format!("policies/{kind}/{scope}")
}

/// A paying region's administrators set what governs its own payments, the gateway's all else but what two
/// regions agree on ([`crate::agreement`]). The gateway's own system sets anything: the defaults of a fresh database.
fn check_owner(kind: PolicyKind, scope: &str, actor: &Actor) -> Result<(), Rejection> {
    let of_region = match kind {
        PolicyKind::Gate | PolicyKind::Programme | PolicyKind::OperatingSubsidy => true,
        PolicyKind::Accounting => scope != accounting::DEFAULT_SCOPE,
        _ => false,
    };
    let caller = actor.participant();
    let is_gateway = caller.kind() == ParticipantKind::Gateway;
    let owner = if of_region {
        scope.split('/').next() == Some(caller.code())
    } else {
        is_gateway && kind != PolicyKind::Agreement
    };
    if owner || (is_gateway && !actor.is_admin()) {
        Ok(())
    } else {
        Err(Reason::NotYourRecord.field("scope").var("name", policy_name(kind, scope)))
    }
}

fn check_scope(scope: &str) -> Result<(), Rejection> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'/' | b'>' | b'-');
    if (1..=64).contains(&scope.len()) && scope.bytes().all(plain) {
        Ok(())
    } else {
        Err(Reason::FieldMalformed.field("scope").var("expected", "1 to 64 of A-Z a-z 0-9 _ / > -"))
    }
}

/// Parses a body as its kind's type and renders it canonically.
pub(crate) fn check_body(kind: PolicyKind, body: &serde_json::Value) -> Result<String, Rejection> {
    fn typed<P: PolicyBody>(body: &serde_json::Value) -> Result<(), String> {
        serde_json::from_value::<P>(body.clone()).map_err(|e| e.to_string())?.check()
    }
    let read = match kind {
        PolicyKind::Gate => typed::<GatePolicy>(body),
        PolicyKind::Programme => typed::<ProgrammePolicy>(body),
        PolicyKind::Agreement => typed::<Agreement>(body),
        PolicyKind::RecordKind => typed::<RecordKindPolicy>(body),
        PolicyKind::ContractCaps => typed::<ContractCaps>(body),
        PolicyKind::Channel => typed::<ChannelPolicy>(body),
        PolicyKind::OperatingSubsidy => typed::<OperatingSubsidyPolicy>(body),
        PolicyKind::SettlementAccount => typed::<SettlementAccountPolicy>(body),
        PolicyKind::Calendar => typed::<CalendarPolicy>(body),
        PolicyKind::Breaks => typed::<BreakPolicy>(body),
        PolicyKind::Accounting => typed::<AccountingPolicy>(body),
    };
    match read {
        Ok(()) => Ok(crate::value::canonical_json(body)),
        Err(problem) => Err(Reason::PolicyBodyInvalid.field("body").var("problem", problem)),
    }
}

/// The defaults that ship with the gateway, in the order in which they are set.
pub fn defaults() -> Vec<SetPolicy> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Default {
        kind: PolicyKind,
        scope: String,
        effective_from: Date,
        body: serde_json::Value,
    }
    let defaults: Vec<Default> =
        serde_json::from_str(include_str!("defaults.json")).expect("the shipped defaults are tested");
    defaults
        .into_iter()
        .map(|d| SetPolicy {
            kind: d.kind,
            scope: d.scope,
            effective_from: d.effective_from,
            body: d.body,
            reason: "shipped default".into(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::mapping::MappingQuality;

    #[test]
    fn every_default_reads_as_its_kind() {
        let defaults = defaults();
        for kind in PolicyKind::ALL {
            assert!(defaults.iter().any(|d| d.kind == *kind), "no default of kind {kind}");
        }
        for d in defaults {
            check_body(d.kind, &d.body).unwrap_or_else(|e| panic!("{} {}: {e}", d.kind, d.scope));
            check_scope(&d.scope).unwrap();
        }
    }

    #[test]
    fn a_body_with_an_unknown_member_is_refused_by_name() {
        let body = serde_json::json!({"cooling_off_hours": 72, "grace": 1});
        let refused = check_body(PolicyKind::SettlementAccount, &body).unwrap_err();
        assert_eq!(refused.reason, Reason::PolicyBodyInvalid);
        assert!(refused.message_en().contains("grace"), "{refused}");
    }

    #[test]
    fn bodies_refused() {
        use serde_json::json;
        let with = |kind: PolicyKind, member: &str, value: serde_json::Value| {
            let mut body = defaults().into_iter().find(|d| d.kind == kind).unwrap().body;
            match body.pointer_mut(member) {
                Some(known) => *known = value,
                None => {
                    let (parent, name) = member.rsplit_once('/').unwrap();
                    body.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(name.to_owned(), value);
                }
            }
            check_body(kind, &body).unwrap_err().message_en()
        };
        let bank = |accounts: &[&str], ledger: &str| -> serde_json::Value {
            let of = |account| json!({"account": account, "ledger": ledger, "books": ["110000/care_subsidy"]});
            accounts.iter().map(of).collect()
        };
        let tolerance = |name: &str, of: &str, within: i64| json!([{"name": name, "of": of, "within": within}]);
        let title = json!({"code": "1", "title_zh": "甲", "title_en": "a"});
        let automatic = |names: &[&str]| -> serde_json::Value {
            let of = |name| json!({"name": name, "class": "CHANNEL_ONLY", "resolution": "REPAY", "most_fen": 1});
            names.iter().map(of).collect()
        };
        for (kind, member, value, says) in [
            (PolicyKind::Gate, "/fee_types", json!(["BEDD"]), "BEDD"),
            (PolicyKind::Gate, "/contract_evidence", json!(["PAPER"]), "PAPER"),
            (PolicyKind::Gate, "/min_grade", json!(9), "min_grade must be 1 to 5"),
            (PolicyKind::Programme, "/rates/0/amount_fen", json!(-1), "amount_fen must be 0"),
            (PolicyKind::Programme, "/rates/0/levels", json!([7]), "levels must be 0 to 4"),
            (PolicyKind::Agreement, "/schemes/GB_T_37276/0/quality", json!("AMBIGUOUS"), "is not AMBIGUOUS"),
            (PolicyKind::Channel, "/agreed_fee/max_fen", json!(-5), "max_fen must be"),
            (PolicyKind::Channel, "/queries/first_s", json!(0), "first_s must be 1 to 86400"),
            (PolicyKind::Channel, "/queries/most_s", json!(59), "most_s must be 60 to 86400"),
            (
                PolicyKind::Channel,
                "/schedule",
                json!({"not_before": "18:00", "latest": "09:00"}),
                "latest must not be before",
            ),
            (
                PolicyKind::Channel,
                "/schedule",
                json!({"not_before": "9 o'clock", "latest": "18:00"}),
                "is no time hh:mm",
            ),
            (PolicyKind::Channel, "/bank_accounts", bank(&["1"], "expense"), "expense is neither bank nor prefund"),
            (PolicyKind::Channel, "/bank_accounts", bank(&["1", "1"], "bank"), "1 stands twice"),
            (PolicyKind::Channel, "/bank_accounts", bank(&[""], "bank"), "account must be 1 to 64"),
            (
                PolicyKind::Channel,
                "/bank_accounts",
                bank(&["1", "2"], "bank"),
                "110000/care_subsidy is on two accounts",
            ),
            (
                PolicyKind::Channel,
                "/bank_accounts",
                json!([{"account": "1", "ledger": "bank", "books": []}]),
                "books must be 1 to 100",
            ),
            (
                PolicyKind::Channel,
                "/bank_accounts",
                json!([{"account": "1", "ledger": "bank", "books": ["110000"]}]),
                "not a name of this kind",
            ),
            (PolicyKind::Channel, "/payout_working_days", json!(61), "payout_working_days must be 0 to 60"),
            (PolicyKind::Channel, "/match_fallbacks", json!(["END_TO_END"]), "END_TO_END is no fallback"),
            (PolicyKind::Channel, "/match_fallbacks", json!(["ORDER_ID", "ORDER_ID"]), "named twice"),
            (PolicyKind::Channel, "/transaction_codes", json!({"void": ["S2"]}), "S2 is not three letters or digits"),
            (PolicyKind::Channel, "/transaction_codes", json!({"void": ["S22"]}), "S22 stands twice"),
            (PolicyKind::Channel, "/match_tolerances", tolerance("off", "FEE_FEN", 1), "no UPPER_SNAKE_CASE name"),
            (
                PolicyKind::Channel,
                "/match_tolerances",
                tolerance("T", "FEE_FEN", 101),
                "match_tolerances must be 1 to 100",
            ),
            (
                PolicyKind::Channel,
                "/match_tolerances",
                tolerance("T", "TRANSACTION_TIME_S", 3_601),
                "match_tolerances must be 1 to 3600",
            ),
            (PolicyKind::Channel, "/match_tolerances", tolerance("T", "AMOUNT_FEN", 1), "AMOUNT_FEN"),
            (PolicyKind::Accounting, "/close_from_day", json!(1), "close_from_day must be 2 to 28"),
            (PolicyKind::Accounting, "/most_open_break_fen", json!(-1), "most_open_break_fen must be 0 to"),
            (PolicyKind::Accounting, "/chart/petty_cash", title.clone(), "the ledger has no account petty_cash"),
            (PolicyKind::Accounting, "/chart", json!({"bank": title}), "is missing"),
            (PolicyKind::Breaks, "/most_book_breaks", json!(0), "most_book_breaks must be 1 to"),
            (PolicyKind::Breaks, "/large_amount_fen", json!(-1), "large_amount_fen must be 0 to"),
            (PolicyKind::Breaks, "/other_organisation", json!([{"from_fen": -1}]), "from_fen must be 0 to"),
            (PolicyKind::Breaks, "/automatic", automatic(&["Rule 1"]), "must be 1 to 64 of a-z 0-9 _"),
            (PolicyKind::Breaks, "/automatic", automatic(&["r", "r"]), "and not twice"),
            (
                PolicyKind::Channel,
                "/payout_proof",
                json!({"working_days": 1, "fallbacks": ["STATEMENT_IDS"]}),
                "STATEMENT_IDS is no fallback",
            ),
            (PolicyKind::Channel, "/payout_proof", json!({"working_days": 61}), "working_days must be 0 to 60"),
            (PolicyKind::Calendar, "/holidays", json!(["2026-02-30"]), "2026-02-30"),
            (PolicyKind::Breaks, "/priorities/DUPLICATE", json!(5), "priorities must be 1 to 4"),
            (PolicyKind::Breaks, "/grace_working_days/DUPLICATE", json!(-1), "grace_working_days must be 0"),
            (PolicyKind::Breaks, "/alert_from", json!(1), "alert_from must be 2 to"),
            (
                PolicyKind::Breaks,
                "/automatic",
                json!([{"name": "r", "class": "CUTOFF", "resolution": "ACCEPT", "most_fen": 1}]),
                "r: ACCEPT does not resolve CUTOFF",
            ),
        ] {
            let said = with(kind, member, value);
            assert!(said.contains(says), "{kind} {member}: {said}");
        }
    }

    /// DOMAIN.md §3 "Mapping" [D]: the same level under GB/T 42195 and, since it defines the same
    /// five, DB11/T 1754-2024; MZ/T 039's 0, 1, 2 nominally the same; its 3 is severe or total.
    #[test]
    fn shipped_agreements_read_assessments_as_agreed() {
        let same = |levels: std::ops::RangeInclusive<i64>, quality| {
            levels.map(move |level| (level, level, None, quality)).collect::<Vec<_>>()
        };
        let mut old = same(0..=2, MappingQuality::Nominal);
        old.push((3, 3, Some(4), MappingQuality::Ambiguous));
        let expected = [
            ("GB_T_42195_2022", same(0..=4, MappingQuality::Exact)),
            ("DB11_T_1754_2024", same(0..=4, MappingQuality::Exact)),
            ("MZ_T_039_2013", old),
        ];
        let shipped = defaults().into_iter().filter(|d| d.kind == PolicyKind::Agreement);
        let assessments: Vec<_> = shipped.filter(|d| d.scope.ends_with("/ASSESSMENT")).collect();
        assert_eq!(assessments.len(), 6, "every region with each other");
        for policy in assessments {
            let agreement: Agreement = serde_json::from_value(policy.body).unwrap();
            for (scheme, lines) in &expected {
                let read = agreement.schemes[*scheme].iter();
                let read: Vec<_> = read.map(|m| (m.native, m.recognized, m.recognized_max, m.quality)).collect();
                assert_eq!(read, *lines, "{} {scheme}", policy.scope);
            }
        }
    }
}
