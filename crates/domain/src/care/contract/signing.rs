//! Who must sign, and what shows that they did.

use super::{
    Capacity, ContractRow, ContractState, Party, PartyRole, Signature, SignatureEvidence, SignatureMethod, decided,
    next, own_contract,
};
use crate::decision::{Call, Command, Decision};
use crate::guard;
use crate::names::Name;
use crate::rejection::{Reason, Rejection};
use crate::snapshot::{Snapshot, Stop};
use crate::value::Json;

/// Adds one party's signature, attested by the registrar; `SIGNED` once all who must have
/// signed. A party that need not sign (a guarantor, an agent) signs before that.
#[derive(Clone, Debug)]
pub struct SignContract {
    pub contract: Name,
    pub signature: SignatureEvidence,
}

impl Command for SignContract {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let contract = own_contract(snapshot, call, &self.contract)?;
        guard::state(contract.state, &[ContractState::Draft, ContractState::Signing], "contract", &self.contract)?;
        self.signature.check("signature", &contract.parties.0, &contract.document_sha256, call)?;
        let mut signatures = contract.signatures.0.clone();
        if signatures.iter().any(|s| s.evidence.signer == self.signature.signer) {
            let name = format!("the signature of {}", self.signature.signer);
            return Err(Reason::RecordExists.field("signature.signer").var("name", name).into());
        }
        signatures.push(self.signature.attested(call));
        let state = match unsigned(&contract.parties.0, contract.capacity, &signatures) {
            None => ContractState::Signed,
            Some(_) => ContractState::Signing,
        };
        let row = ContractRow { state, signatures: Json(signatures), ..next(&contract, call) };
        Ok(decided(call, "contract.signed", &row))
    }
}

impl SignatureEvidence {
    /// `PARTY_MISSING`, `DIGEST_MISMATCH`, and what an electronic signature cannot do without.
    pub(super) fn check(
        &self,
        field: &str,
        parties: &[Party],
        document_sha256: &str,
        call: &Call,
    ) -> Result<(), Rejection> {
        let signs = |p: &&Party| p.party == self.signer && p.roles != [PartyRole::Contact];
        if parties.iter().find(signs).is_none() {
            return Err(Reason::PartyMissing.field(format!("{field}.signer")).var("role", &self.signer));
        }
        if self.document_sha256.to_string() != document_sha256 {
            return Err(Reason::DigestMismatch.field(format!("{field}.document_sha256")));
        }
        guard::not_in_future(&format!("{field}.signed_time_us"), self.signed_at_us, call)?;
        let issuer = self.certificate_issuer.as_deref().unwrap_or_default();
        guard::optional_text(&format!("{field}.certificate_issuer"), issuer, 200)?;
        if self.method == SignatureMethod::Electronic {
            let needed = [
                ("certificate_sha256", self.certificate_sha256.is_some()),
                ("certificate_issuer", !issuer.trim().is_empty()),
                ("signature_sha256", self.signature_sha256.is_some()),
            ];
            if let Some((missing, _)) = needed.into_iter().find(|(_, given)| !given) {
                return Err(Reason::FieldMissing.field(format!("{field}.{missing}")));
            }
        }
        Ok(())
    }

    pub(super) fn attested(&self, call: &Call) -> Signature {
        Signature { evidence: self.clone(), attested_by: call.actor.clone() }
    }
}

/// The first party that must sign and has not: the institution; the elder, or a guardian
/// where capacity is limited; everyone who is to pay.
pub(super) fn unsigned<'a>(parties: &'a [Party], capacity: Capacity, signatures: &[Signature]) -> Option<&'a Name> {
    let signed = |party: &Party| signatures.iter().any(|s| s.evidence.signer == party.party);
    let has = |role: PartyRole| parties.iter().filter(move |p| p.has(role));
    let (speaks, elder_signs) = match capacity {
        Capacity::Full => (PartyRole::Elder, true),
        Capacity::Limited | Capacity::None => (PartyRole::Guardian, false),
    };
    if let Some(missing) = has(PartyRole::Institution).find(|p| !signed(p)) {
        return Some(&missing.party);
    }
    let mut speakers = has(speaks).filter(|p| elder_signs || !p.has(PartyRole::Elder)).peekable();
    let first = speakers.peek().map(|p| &p.party);
    if !speakers.any(signed) {
        return first;
    }
    // An elder who pays but cannot sign is spoken for by the guardian.
    let payers = has(PartyRole::PaymentObligor).filter(|p| elder_signs || !p.has(PartyRole::Elder));
    payers.into_iter().find(|p| !signed(p)).map(|p| &p.party)
}

/// `SIGNATURE_MISSING` names who has not signed.
pub(super) fn all_signed(
    parties: &[Party],
    capacity: Capacity,
    signatures: &[Signature],
    field: &str,
) -> Result<(), Rejection> {
    match unsigned(parties, capacity, signatures) {
        Some(party) => Err(Reason::SignatureMissing.field(field).var("party", party)),
        None => Ok(()),
    }
}
