//! A contract in force is amended or ends; any contract may turn out void.

use super::evidence::filing;
use super::signing::all_signed;
use super::{
    ContractEvidence, ContractRow, ContractState, SignatureEvidence, TerminationReason, Terms, decided, leaf, next,
    own_contract,
};
use crate::care::found::Shortened;
use crate::decision::{Call, Command, Decision};
use crate::guard;
use crate::institution::find_institution;
use crate::key;
use crate::names::Name;
use crate::payment::PaymentRow;
use crate::rejection::Reason;
use crate::snapshot::{Snapshot, Stop};
use crate::time::Date;
use crate::value::Json;

/// Replaces the terms. The new version is in force at once, so it cannot count from a day to
/// come, and has its own signatures and
/// evidence; the caps are those of the day from which it counts.
#[derive(Clone, Debug)]
pub struct AmendContract {
    pub contract: Name,
    /// 0: any.
    pub expected_version: i64,
    pub terms: Terms,
    /// One by each party that must sign.
    pub signatures: Vec<SignatureEvidence>,
    pub evidence: ContractEvidence,
    /// With `ONLINE_FILED`: the amendment's, or again the contract's.
    pub filing_number: Option<String>,
    pub effective_on: Date,
    pub reason: String,
}

impl Command for AmendContract {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let old = own_contract(snapshot, call, &self.contract)?;
        guard::seen_version(self.expected_version, old.version, &self.contract)?;
        guard::state(old.state, &[ContractState::Active], "contract", &self.contract)?;
        guard::text("reason", &self.reason, 1_000)?;
        guard::not_before("effective_on", self.effective_on, old.activated_on.unwrap_or(old.starts_on))?;
        if self.effective_on > call.now.date() {
            return Err(guard::out_of_range("effective_on", format!("..{}", call.now.date())).into());
        }
        guard::not_before("ends_on", self.terms.ends_on, self.effective_on)?;
        let institution = find_institution(snapshot, &old.institution)?;
        self.terms.check(snapshot, &institution, &old.person, self.effective_on)?;
        let terms = &self.terms;
        let document_sha256 = terms.document_sha256().to_string();
        let row = ContractRow {
            capacity: terms.capacity,
            parties: Json(terms.parties.clone()),
            bed_fee_fen: terms.fees.bed_fee_fen,
            nursing_fee_fen: terms.fees.nursing_fee_fen,
            meal_fee_fen: terms.fees.meal_fee_fen,
            other_fee_fen: terms.fees.other_fee_fen,
            deposit_fen: terms.fees.deposit_fen,
            prepaid_months: terms.fees.prepaid_months,
            ends_on: terms.ends_on,
            documents: Json(terms.documents.clone()),
            signatures: Json(self.signatures.iter().map(|s| s.attested(call)).collect()),
            document_sha256,
            evidence: self.evidence,
            reason: self.reason.clone(),
            effective_on: self.effective_on,
            ..next(&old, call)
        };
        self.check_signatures(&row, call)?;
        let decision = self.with_evidence(snapshot, row.clone(), call)?;
        with_findings(snapshot, call, decision, &row)
    }
}

impl AmendContract {
    fn check_signatures(&self, row: &ContractRow, call: &Call) -> Result<(), Stop> {
        for (at, signature) in self.signatures.iter().enumerate() {
            signature.check(&format!("signatures[{at}]"), &row.parties.0, &row.document_sha256, call)?;
        }
        guard::distinct("signatures", &self.signatures.iter().map(|s| &s.signer).collect::<Vec<_>>())?;
        Ok(all_signed(&row.parties.0, row.capacity, &row.signatures.0, "signatures")?)
    }

    fn with_evidence(&self, snapshot: &Snapshot, mut row: ContractRow, call: &Call) -> Result<Decision, Stop> {
        let filed_on = self.effective_on.min(call.now.date());
        row.filed_on = Some(filed_on);
        let filing = match (self.evidence, &self.filing_number) {
            (ContractEvidence::None, _) => return Err(Reason::EnumUnspecified.field("evidence").into()),
            (ContractEvidence::OnlineFiled, None) => return Err(Reason::FieldMissing.field("filing_number").into()),
            (ContractEvidence::OnlineFiled, Some(number)) => {
                row.filing_number = Some(number.clone());
                filing(snapshot, &row, number, filed_on)?
            }
            (ContractEvidence::RegionAttested, _) => {
                row.filing_number = None;
                None
            }
        };
        let mut decision = Decision::new(call);
        let leaf = leaf(&mut decision, "contract.amended", &row);
        if let Some(filing) = filing {
            leaf.put(&filing);
        }
        Ok(decision)
    }
}

/// Adds a finding for every payment under the contract that this version does not carry: made
/// on a day when it is not in force, for a month in which it never is.
fn with_findings(
    snapshot: &Snapshot,
    call: &Call,
    mut decision: Decision,
    row: &ContractRow,
) -> Result<Decision, Stop> {
    let payments = snapshot.list::<PaymentRow>(&["contract"], key![row.contract.clone()])?;
    let ended_on = row.ended_on.map_or_else(|| "never".to_owned(), |date| date.to_string());
    let shortened = Shortened {
        record: &row.contract,
        version: row.version,
        says: format!("{}, ended {ended_on}, version {}", row.state, row.version),
    };
    shortened.open_findings(snapshot, call, &mut decision, &payments, |paid_on, month| {
        row.in_force_on(paid_on) || row.in_force_within(month.first_day(), month.last_day())
    })?;
    Ok(decision)
}

/// Ends a contract early. The end may lie before the day on which it is recorded: what was
/// paid meanwhile stands, with a finding (DESIGN.md §3 "Two times").
#[derive(Clone, Debug)]
pub struct TerminateContract {
    pub contract: Name,
    pub termination_reason: TerminationReason,
    /// First day no longer in force.
    pub ended_on: Date,
    pub reason: String,
}

impl Command for TerminateContract {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let contract = own_contract(snapshot, call, &self.contract)?;
        guard::state(contract.state, &[ContractState::Active], "contract", &self.contract)?;
        guard::optional_text("reason", &self.reason, 1_000)?;
        guard::not_before("ended_on", self.ended_on, contract.activated_on.unwrap_or(contract.starts_on))?;
        if self.ended_on > contract.ends_on {
            return Err(guard::out_of_range("ended_on", format!("..{}", contract.ends_on)).into());
        }
        let row = ContractRow {
            state: ContractState::Terminated,
            termination_reason: Some(self.termination_reason),
            ended_on: Some(self.ended_on),
            reason: self.reason.clone(),
            effective_on: self.ended_on,
            ..next(&contract, call)
        };
        with_findings(snapshot, call, decided(call, "contract.terminated", &row), &row)
    }
}

/// Declares that a contract never was valid; payments on it surface as findings.
#[derive(Clone, Debug)]
pub struct VoidContract {
    pub contract: Name,
    pub reason: String,
    pub document_number: String,
}

impl Command for VoidContract {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let contract = own_contract(snapshot, call, &self.contract)?;
        let valid = ContractState::ALL.iter().filter(|s| **s != ContractState::Voided).copied().collect::<Vec<_>>();
        guard::state(contract.state, &valid, "contract", &self.contract)?;
        guard::text("reason", &self.reason, 1_000)?;
        guard::optional_text("document_number", &self.document_number, 100)?;
        let row = ContractRow {
            state: ContractState::Voided,
            reason: self.reason.clone(),
            document_number: self.document_number.clone(),
            effective_on: contract.starts_on,
            ..next(&contract, call)
        };
        with_findings(snapshot, call, decided(call, "contract.voided", &row), &row)
    }
}
