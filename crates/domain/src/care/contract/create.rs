//! Contracts come in as drafts.

use super::{ContractEvidence, ContractRow, ContractState, Terms, decided};
use crate::decision::{Call, Command, Decision};
use crate::guard;
use crate::institution::{InstitutionState, find_institution};
use crate::key;
use crate::names::{Collection, Name};
use crate::person::{PersonKind, find_person};
use crate::rejection::Reason;
use crate::snapshot::{Snapshot, Stop};
use crate::time::Date;
use crate::value::Json;

/// Creates a contract in `DRAFT`. The caller becomes its registrar: the institution's
/// region or the elder's.
#[derive(Clone, Debug)]
pub struct CreateContract {
    pub institution: Name,
    pub elder: Name,
    pub starts_on: Date,
    pub terms: Terms,
}

impl Command for CreateContract {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let name = Name::created(Collection::Contract, call.request_id).to_string();
        let known = snapshot.get::<ContractRow>(key![name.clone()]);
        let (institution, elder) =
            (find_institution(snapshot, &self.institution), find_person(snapshot, "elder", &self.elder));
        let (institution, elder) = (institution?, elder?);
        guard::absent(&known?, &name)?;
        if ![&institution.region, &elder.household_region].contains(&call.participant()) {
            return Err(Reason::NotYourRecord.field("institution").var("name", &self.institution).into());
        }
        guard::state(institution.state, &[InstitutionState::Operating], "institution", &self.institution)?;
        if elder.kind != PersonKind::Elder {
            return Err(Reason::FieldMalformed.field("elder").var("expected", "elders/{id}").into());
        }
        elder.living("elder")?;
        guard::not_before("ends_on", self.terms.ends_on, self.starts_on)?;
        self.terms.check(snapshot, &institution, &elder.person, self.starts_on)?;
        let fees = &self.terms.fees;
        let row = ContractRow {
            contract: name,
            institution: institution.institution.clone(),
            person: elder.person.clone(),
            registrar: call.participant().clone(),
            institution_region: institution.region.clone(),
            household_region: elder.household_region.clone(),
            state: ContractState::Draft,
            capacity: self.terms.capacity,
            parties: Json(self.terms.parties.clone()),
            bed_fee_fen: fees.bed_fee_fen,
            nursing_fee_fen: fees.nursing_fee_fen,
            meal_fee_fen: fees.meal_fee_fen,
            other_fee_fen: fees.other_fee_fen,
            deposit_fen: fees.deposit_fen,
            prepaid_months: fees.prepaid_months,
            starts_on: self.starts_on,
            ends_on: self.terms.ends_on,
            documents: Json(self.terms.documents.clone()),
            document_sha256: self.terms.document_sha256().to_string(),
            signatures: Json(Vec::new()),
            evidence: ContractEvidence::None,
            filing_number: None,
            filed_on: None,
            attester: None,
            activated_on: None,
            termination_reason: None,
            ended_on: None,
            reason: String::new(),
            document_number: String::new(),
            effective_on: self.starts_on,
            recorded_at_us: call.now,
            version: 1,
        };
        Ok(decided(call, "contract.created", &row))
    }
}
