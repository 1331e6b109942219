//! What parties agree on, and the rules it must keep.

use std::sync::Arc;

use super::{Capacity, Document, DocumentKind, Party, PartyRole};
use crate::guard;
use crate::id::Digest;
use crate::institution::InstitutionRow;
use crate::names::Collection;
use crate::person::find_person;
use crate::policy::{self, ContractCaps, DepositBase};
use crate::rejection::{Reason, Rejection};
use crate::snapshot::{Snapshot, Stop};
use crate::time::Date;

const MAX_PARTIES: usize = 20;
const MAX_DOCUMENTS: usize = 20;
/// 4 GiB; beyond 2^53 no canonical JSON holds it.
const MAX_DOCUMENT_BYTES: i64 = 1 << 32;

/// Monthly fees, deposit and prepayment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fees {
    pub bed_fee_fen: i64,
    pub nursing_fee_fen: i64,
    pub meal_fee_fen: i64,
    pub other_fee_fen: i64,
    pub deposit_fen: i64,
    pub prepaid_months: i64,
}

/// The terms of one version of a contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// All parties, institution and elder included.
    pub parties: Vec<Party>,
    pub capacity: Capacity,
    pub fees: Fees,
    /// Last day.
    pub ends_on: Date,
    /// One of them the contract text.
    pub documents: Vec<Document>,
}

impl Terms {
    /// Everything but the order of the dates. The caps are those in force on `on`.
    pub(super) fn check(
        &self,
        snapshot: &Snapshot,
        institution: &InstitutionRow,
        elder: &str,
        on: Date,
    ) -> Result<(), Stop> {
        self.fees.check()?;
        self.check_documents()?;
        self.check_parties(&institution.institution, elder)?;
        let persons = self.parties.iter().enumerate().filter(|(_, p)| p.party.collection() != Collection::Institution);
        for (at, party) in persons {
            let field = format!("parties[{at}].party");
            find_person(snapshot, &field, &party.party)?.current(&field)?;
        }
        self.fees.check_caps(snapshot, &institution.division, on)
    }

    /// SHA-256 of the contract text. Only of terms that were checked.
    pub(super) fn document_sha256(&self) -> Digest {
        let text = self.documents.iter().find(|d| d.kind == DocumentKind::ContractText);
        text.expect("checked to be there").sha256
    }

    fn check_documents(&self) -> Result<(), Rejection> {
        if self.documents.is_empty() {
            return Err(Reason::FieldMissing.field("documents"));
        }
        if self.documents.len() > MAX_DOCUMENTS {
            return Err(guard::out_of_range("documents", format!("1..{MAX_DOCUMENTS} items")));
        }
        for (at, document) in self.documents.iter().enumerate() {
            guard::range(&format!("documents[{at}].size_bytes"), document.size_bytes, 1, MAX_DOCUMENT_BYTES)?;
        }
        match self.documents.iter().filter(|d| d.kind == DocumentKind::ContractText).count() {
            1 => Ok(()),
            _ => Err(Reason::FieldMalformed.field("documents").var("expected", "exactly one CONTRACT_TEXT")),
        }
    }

    fn check_parties(&self, institution: &str, elder: &str) -> Result<(), Rejection> {
        if self.parties.len() > MAX_PARTIES {
            return Err(guard::out_of_range("parties", format!("2..{MAX_PARTIES} items")));
        }
        guard::distinct("parties", &self.parties.iter().map(|p| &p.party).collect::<Vec<_>>())?;
        for (at, party) in self.parties.iter().enumerate() {
            party.check(at, institution, elder)?;
        }
        for role in [PartyRole::Institution, PartyRole::Elder] {
            if !self.parties.iter().any(|p| p.has(role)) {
                return Err(Reason::PartyMissing.field("parties").var("role", role));
            }
        }
        // Being one's own guardian is having none.
        let guarded = self.parties.iter().any(|p| p.has(PartyRole::Guardian) && !p.has(PartyRole::Elder));
        if self.capacity != Capacity::Full && !guarded {
            return Err(Reason::GuardianMissing.field("parties"));
        }
        Ok(())
    }
}

impl Party {
    /// The institution is one party and nothing else, the elder is the contract's.
    fn check(&self, at: usize, institution: &str, elder: &str) -> Result<(), Rejection> {
        let field = format!("parties[{at}].roles");
        if self.roles.is_empty() {
            return Err(Reason::FieldMissing.field(field));
        }
        guard::distinct(&field, &self.roles)?;
        let is_institution = self.party.collection() == Collection::Institution;
        let expected = match (is_institution, self.has(PartyRole::Institution), self.has(PartyRole::Elder)) {
            (true, _, _) if self.roles != [PartyRole::Institution] => "INSTITUTION alone for an institution",
            (false, true, _) => "INSTITUTION for an institution only",
            (true, ..) if self.party.as_str() != institution => "the contract's institution",
            (false, _, true) if self.party.as_str() != elder => "ELDER for the contract's elder only",
            _ => return Ok(()),
        };
        Err(Reason::FieldMalformed.field(field).var("expected", expected))
    }
}

impl Fees {
    /// Bed, nursing, meal and other fees of a month.
    pub fn monthly_fen(&self) -> i64 {
        self.bed_fee_fen + self.nursing_fee_fen + self.meal_fee_fen + self.other_fee_fen
    }

    fn check(&self) -> Result<(), Rejection> {
        guard::fen("fees.bed_fee_fen", self.bed_fee_fen, 0)?;
        guard::fen("fees.nursing_fee_fen", self.nursing_fee_fen, 0)?;
        guard::fen("fees.meal_fee_fen", self.meal_fee_fen, 0)?;
        guard::fen("fees.other_fee_fen", self.other_fee_fen, 0)?;
        guard::fen("fees.deposit_fen", self.deposit_fen, 0)?;
        guard::range("fees.prepaid_months", self.prepaid_months, 0, 1_200)
    }

    fn check_caps(&self, snapshot: &Snapshot, division: &str, on: Date) -> Result<(), Stop> {
        let caps = caps(snapshot, division, on)?;
        let base = match caps.deposit_base {
            DepositBase::ServiceFee => self.monthly_fen(),
            DepositBase::BedFee => self.bed_fee_fen,
        };
        let deposit_cap = base.saturating_mul(caps.deposit_months);
        let capped = [
            ("fees.deposit_fen", self.deposit_fen, deposit_cap),
            ("fees.prepaid_months", self.prepaid_months, caps.prepaid_months),
        ];
        match capped.into_iter().find(|(_, amount, cap)| amount > cap) {
            Some((field, amount, cap)) => Err(Reason::CapExceeded
                .field(field)
                .var("amount", amount)
                .var("division", division)
                .var("cap", cap)
                .into()),
            None => Ok(()),
        }
    }
}

/// The caps of the nearest division that has any: county, prefecture, province.
fn caps(snapshot: &Snapshot, division: &str, on: Date) -> Result<Arc<ContractCaps>, Stop> {
    let found = [6, 4, 2].map(|digits| policy::find::<ContractCaps>(snapshot, &division[..digits], on));
    for caps in found {
        if let Some(caps) = caps? {
            return Ok(caps);
        }
    }
    let missing = Reason::PolicyMissing.var("kind", policy::PolicyKind::ContractCaps);
    Err(missing.var("scope", division).var("date", on).into())
}
