//! A signed contract is filed or attested, then put into force.

use super::signing::all_signed;
use super::{ContractEvidence, ContractRow, ContractState, FilingRow, decided, leaf, next, own_contract};
use crate::decision::{Call, Command, Decision};
use crate::guard;
use crate::institution::in_signing_scope;
use crate::key;
use crate::names::Name;
use crate::rejection::Reason;
use crate::snapshot::{Snapshot, Stop};
use crate::time::Date;

/// Files a signed contract online under a number (网签备案).
#[derive(Clone, Debug)]
pub struct FileContract {
    pub contract: Name,
    pub filing_number: String,
    pub filed_on: Date,
}

impl Command for FileContract {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let contract = own_contract(snapshot, call, &self.contract)?;
        signed(&contract)?;
        guard::not_after_today("filed_on", self.filed_on, call)?;
        let row = ContractRow {
            state: ContractState::Filed,
            evidence: ContractEvidence::OnlineFiled,
            filing_number: Some(self.filing_number.clone()),
            filed_on: Some(self.filed_on),
            ..next(&contract, call)
        };
        let filing = filing(snapshot, &row, &self.filing_number, self.filed_on)?;
        let mut decision = Decision::new(call);
        let leaf = leaf(&mut decision, "contract.filed", &row);
        if let Some(filing) = filing {
            leaf.put(&filing);
        }
        Ok(decision)
    }
}

/// The filing to write: none when the number is already this contract's. Numbers are a
/// registrar's own and are given once; `FILING_NUMBER_TAKEN` names the contract that has it.
/// Only an institution in the online-signing scope on that day files.
pub(super) fn filing(
    snapshot: &Snapshot,
    contract: &ContractRow,
    number: &str,
    filed_on: Date,
) -> Result<Option<FilingRow>, Stop> {
    guard::text("filing_number", number, 64)?;
    let taken = snapshot.get::<FilingRow>(key![contract.registrar.clone(), number.to_owned()]);
    if !in_signing_scope(snapshot, &contract.institution, filed_on)? {
        let needed = format!("IN_SIGNING_SCOPE on {filed_on}");
        return Err(guard::wrong_state("OUT_OF_SIGNING_SCOPE", needed, "contract", &contract.institution).into());
    }
    match taken? {
        Some(filing) if filing.contract == contract.contract => Ok(None),
        Some(filing) => Err(Reason::FilingNumberTaken.field("filing_number").var("name", &filing.contract).into()),
        None => Ok(Some(FilingRow {
            registrar: contract.registrar.clone(),
            filing_number: number.to_owned(),
            contract: contract.contract.clone(),
            institution_region: contract.institution_region.clone(),
            household_region: contract.household_region.clone(),
            contract_version: contract.version,
            filed_on,
        })),
    }
}

/// The registrar attests a signed paper contract.
#[derive(Clone, Debug)]
pub struct AttestContract {
    pub contract: Name,
    pub attested_on: Date,
    /// The office that saw the paper.
    pub attester: String,
}

impl Command for AttestContract {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let contract = own_contract(snapshot, call, &self.contract)?;
        signed(&contract)?;
        guard::not_after_today("attested_on", self.attested_on, call)?;
        guard::text("attester", &self.attester, 200)?;
        let row = ContractRow {
            state: ContractState::Attested,
            evidence: ContractEvidence::RegionAttested,
            filed_on: Some(self.attested_on),
            attester: Some(self.attester.clone()),
            ..next(&contract, call)
        };
        Ok(decided(call, "contract.attested", &row))
    }
}

/// `SIGNED`, else who has not signed, else what state it is in.
fn signed(contract: &ContractRow) -> Result<(), Stop> {
    if matches!(contract.state, ContractState::Draft | ContractState::Signing) {
        all_signed(&contract.parties.0, contract.capacity, &contract.signatures.0, "contract")?;
    }
    Ok(guard::state(contract.state, &[ContractState::Signed], "contract", &contract.contract)?)
}

/// Puts a filed or attested contract into force from a day of its term on.
#[derive(Clone, Debug)]
pub struct ActivateContract {
    pub contract: Name,
    pub effective_on: Date,
}

impl Command for ActivateContract {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let contract = own_contract(snapshot, call, &self.contract)?;
        guard::state(contract.state, &[ContractState::Filed, ContractState::Attested], "contract", &self.contract)?;
        if self.effective_on < contract.starts_on || self.effective_on > contract.ends_on {
            let term = format!("{}..{}", contract.starts_on, contract.ends_on);
            return Err(guard::out_of_range("effective_on", term).into());
        }
        let row = ContractRow {
            state: ContractState::Active,
            activated_on: Some(self.effective_on),
            effective_on: self.effective_on,
            ..next(&contract, call)
        };
        Ok(decided(call, "contract.activated", &row))
    }
}
