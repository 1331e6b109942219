//! Care contracts.

use jjj_domain::care::contract::{
    ActivateContract, AmendContract, AttestContract, Capacity, ContractEvidence, ContractRow, CreateContract, Document,
    DocumentKind, Fees, FileContract, Party, PartyRole, SignContract, Signature, SignatureEvidence, SignatureMethod,
    TerminateContract, TerminationReason, Terms, VoidContract,
};
use jjj_domain::id::Digest;
use jjj_domain::names::{Collection, Name};
use jjj_domain::rejection::Rejection;
use jjj_domain::time::{Date, Timestamp};

use crate::enums::enum_value;
use crate::parse::{choice, date, each, message, name, optional, or_empty, text};
use crate::pb;

/// Who can be a party.
const PARTIES: [Collection; 3] = [Collection::Institution, Collection::Elder, Collection::Party];

impl TryFrom<&pb::CreateContractRequest> for CreateContract {
    type Error = Rejection;
    fn try_from(request: &pb::CreateContractRequest) -> Result<Self, Rejection> {
        Ok(Self {
            institution: name("institution", &request.institution, Collection::Institution)?,
            elder: name("elder", &request.elder, Collection::Elder)?,
            starts_on: date("starts_on", &request.starts_on)?,
            terms: Terms {
                parties: each("parties", &request.parties, party)?,
                capacity: choice::<pb::LegalCapacity, Capacity>("capacity", request.capacity)?,
                fees: message("fees", &request.fees)?.into(),
                ends_on: date("ends_on", &request.ends_on)?,
                documents: each("documents", &request.documents, document)?,
            },
        })
    }
}

impl TryFrom<&pb::SignContractRequest> for SignContract {
    type Error = Rejection;
    fn try_from(request: &pb::SignContractRequest) -> Result<Self, Rejection> {
        Ok(Self {
            contract: contract_name(&request.contract)?,
            signature: signature("signature", message("signature", &request.signature)?)?,
        })
    }
}

impl TryFrom<&pb::FileContractRequest> for FileContract {
    type Error = Rejection;
    fn try_from(request: &pb::FileContractRequest) -> Result<Self, Rejection> {
        Ok(Self {
            contract: contract_name(&request.contract)?,
            filing_number: text("filing_number", &request.filing_number)?,
            filed_on: date("filed_on", &request.filed_on)?,
        })
    }
}

impl TryFrom<&pb::AttestContractRequest> for AttestContract {
    type Error = Rejection;
    fn try_from(request: &pb::AttestContractRequest) -> Result<Self, Rejection> {
        Ok(Self {
            contract: contract_name(&request.contract)?,
            attested_on: date("attested_on", &request.attested_on)?,
            attester: text("attester", &request.attester)?,
        })
    }
}

impl TryFrom<&pb::ActivateContractRequest> for ActivateContract {
    type Error = Rejection;
    fn try_from(request: &pb::ActivateContractRequest) -> Result<Self, Rejection> {
        Ok(Self {
            contract: contract_name(&request.contract)?,
            effective_on: date("effective_on", &request.effective_on)?,
        })
    }
}

impl TryFrom<&pb::AmendContractRequest> for AmendContract {
    type Error = Rejection;
    fn try_from(request: &pb::AmendContractRequest) -> Result<Self, Rejection> {
        Ok(Self {
            contract: contract_name(&request.contract)?,
            expected_version: request.expected_version,
            terms: Terms {
                parties: each("parties", &request.parties, party)?,
                capacity: choice::<pb::LegalCapacity, Capacity>("capacity", request.capacity)?,
                fees: message("fees", &request.fees)?.into(),
                ends_on: date("ends_on", &request.ends_on)?,
                documents: each("documents", &request.documents, document)?,
            },
            signatures: each("signatures", &request.signatures, signature)?,
            evidence: choice::<pb::ContractEvidence, ContractEvidence>("evidence", request.evidence)?,
            filing_number: optional(&request.filing_number, |t| text("filing_number", t))?,
            effective_on: date("effective_on", &request.effective_on)?,
            reason: text("reason", &request.reason)?,
        })
    }
}

impl TryFrom<&pb::TerminateContractRequest> for TerminateContract {
    type Error = Rejection;
    fn try_from(request: &pb::TerminateContractRequest) -> Result<Self, Rejection> {
        let reason = request.termination_reason;
        Ok(Self {
            contract: contract_name(&request.contract)?,
            termination_reason: choice::<pb::TerminationReason, TerminationReason>("termination_reason", reason)?,
            ended_on: date("ended_on", &request.ended_on)?,
            reason: text("reason", &request.reason)?,
        })
    }
}

impl TryFrom<&pb::VoidContractRequest> for VoidContract {
    type Error = Rejection;
    fn try_from(request: &pb::VoidContractRequest) -> Result<Self, Rejection> {
        Ok(Self {
            contract: contract_name(&request.contract)?,
            reason: text("reason", &request.reason)?,
            document_number: text("document_number", &request.document_number)?,
        })
    }
}

fn contract_name(text: &str) -> Result<Name, Rejection> {
    name("contract", text, Collection::Contract)
}

fn party(field: &str, party: &pb::ContractParty) -> Result<Party, Rejection> {
    let role = |field: &str, role: &i32| choice::<pb::PartyRole, PartyRole>(field, *role);
    Ok(Party {
        party: Name::parse_field(&format!("{field}.party"), &party.party, &PARTIES)?,
        roles: each(&format!("{field}.roles"), &party.roles, role)?,
    })
}

fn document(field: &str, document: &pb::ContractDocument) -> Result<Document, Rejection> {
    Ok(Document {
        kind: choice::<pb::ContractDocumentKind, DocumentKind>(&format!("{field}.kind"), document.kind)?,
        sha256: Digest::parse_field(&format!("{field}.sha256"), &document.sha256)?,
        sm3: match document.sm3.as_str() {
            "" => None,
            text => Some(Digest::parse_field(&format!("{field}.sm3"), text)?),
        },
        size_bytes: document.size_bytes,
    })
}

/// A received signature; who attests it is not read, it is the caller.
fn signature(field: &str, signature: &pb::ContractSignature) -> Result<SignatureEvidence, Rejection> {
    let path = |of: &str| format!("{field}.{of}");
    let digest = |of: &str, text: &str| optional(text, |t| Digest::parse_field(&path(of), t));
    Ok(SignatureEvidence {
        signer: Name::parse_field(&path("signer"), &signature.signer, &PARTIES)?,
        method: choice::<pb::SignatureMethod, SignatureMethod>(&path("method"), signature.method)?,
        document_sha256: Digest::parse_field(&path("document_sha256"), &signature.document_sha256)?,
        signed_at_us: Timestamp(signature.signed_time_us),
        certificate_sha256: digest("certificate_sha256", &signature.certificate_sha256)?,
        certificate_issuer: optional(&signature.certificate_issuer, |t| text(&path("certificate_issuer"), t))?,
        signature_sha256: digest("signature_sha256", &signature.signature_sha256)?,
        timestamp_sha256: digest("timestamp_sha256", &signature.timestamp_sha256)?,
    })
}

impl From<&pb::ContractFees> for Fees {
    fn from(fees: &pb::ContractFees) -> Self {
        Self {
            bed_fee_fen: fees.bed_fee_fen,
            nursing_fee_fen: fees.nursing_fee_fen,
            meal_fee_fen: fees.meal_fee_fen,
            other_fee_fen: fees.other_fee_fen,
            deposit_fen: fees.deposit_fen,
            prepaid_months: fees.prepaid_months.into(),
        }
    }
}

/// A contract as it stands on a day.
pub fn contract(row: &ContractRow, today: Date) -> pb::Contract {
    pb::Contract {
        name: row.contract.clone(),
        registrar: row.registrar.to_string(),
        institution: row.institution.clone(),
        elder: row.person.clone(),
        institution_region: row.institution_region.to_string(),
        household_region: row.household_region.to_string(),
        version: row.version,
        state: enum_value::<pb::ContractState>(row.state.as_str()),
        in_force: row.in_force_on(today),
        parties: row.parties.0.iter().map(pb::ContractParty::from).collect(),
        capacity: enum_value::<pb::LegalCapacity>(row.capacity.as_str()),
        fees: Some(pb::ContractFees {
            bed_fee_fen: row.bed_fee_fen,
            nursing_fee_fen: row.nursing_fee_fen,
            meal_fee_fen: row.meal_fee_fen,
            other_fee_fen: row.other_fee_fen,
            deposit_fen: row.deposit_fen,
            prepaid_months: row.prepaid_months as i32,
        }),
        starts_on: row.starts_on.to_string(),
        ends_on: row.ends_on.to_string(),
        documents: row.documents.0.iter().map(pb::ContractDocument::from).collect(),
        signatures: row.signatures.0.iter().map(pb::ContractSignature::from).collect(),
        evidence: enum_value::<pb::ContractEvidence>(row.evidence.as_str()),
        filing_number: or_empty(&row.filing_number),
        filed_on: or_empty(&row.filed_on),
        attester: or_empty(&row.attester),
        activated_on: or_empty(&row.activated_on),
        termination_reason: row.termination_reason.map_or(0, |r| enum_value::<pb::TerminationReason>(r.as_str())),
        ended_on: or_empty(&row.ended_on),
        reason: row.reason.clone(),
        effective_on: row.effective_on.to_string(),
        recorded_time_us: row.recorded_at_us.0,
        document_number: row.document_number.clone(),
    }
}

impl From<&Party> for pb::ContractParty {
    fn from(party: &Party) -> Self {
        let roles = party.roles.iter().map(|role| enum_value::<pb::PartyRole>(role.as_str()));
        Self { party: party.party.to_string(), roles: roles.collect() }
    }
}

impl From<&Document> for pb::ContractDocument {
    fn from(document: &Document) -> Self {
        Self {
            kind: enum_value::<pb::ContractDocumentKind>(document.kind.as_str()),
            sha256: document.sha256.to_string(),
            sm3: document.sm3.map(|d| d.to_string()).unwrap_or_default(),
            size_bytes: document.size_bytes,
        }
    }
}

impl From<&Signature> for pb::ContractSignature {
    fn from(signature: &Signature) -> Self {
        let evidence = &signature.evidence;
        Self {
            signer: evidence.signer.to_string(),
            method: enum_value::<pb::SignatureMethod>(evidence.method.as_str()),
            document_sha256: evidence.document_sha256.to_string(),
            signed_time_us: evidence.signed_at_us.0,
            certificate_sha256: or_empty(&evidence.certificate_sha256),
            certificate_issuer: or_empty(&evidence.certificate_issuer),
            signature_sha256: or_empty(&evidence.signature_sha256),
            timestamp_sha256: or_empty(&evidence.timestamp_sha256),
            attested_by: signature.attested_by.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use jjj_domain::rejection::Reason::{self, EnumUnspecified, FieldMalformed, FieldMissing};

    use super::*;

    fn good() -> pb::CreateContractRequest {
        let party =
            |party: &str, role: pb::PartyRole| pb::ContractParty { party: party.into(), roles: vec![role.into()] };
        pb::CreateContractRequest {
            request_id: String::new(),
            institution: "institutions/1".into(),
            elder: "elders/1".into(),
            parties: vec![
                party("institutions/1", pb::PartyRole::Institution),
                party("elders/1", pb::PartyRole::Elder),
                party("parties/2", pb::PartyRole::Guardian),
            ],
            capacity: pb::LegalCapacity::Limited.into(),
            fees: Some(pb::ContractFees { bed_fee_fen: 300_000, prepaid_months: 1, ..Default::default() }),
            starts_on: "2026-01-01".into(),
            ends_on: "2026-12-31".into(),
            documents: vec![pb::ContractDocument {
                kind: pb::ContractDocumentKind::ContractText.into(),
                sha256: "a".repeat(64),
                sm3: "b".repeat(64),
                size_bytes: 7,
            }],
        }
    }

    fn signed() -> pb::ContractSignature {
        pb::ContractSignature {
            signer: "parties/2".into(),
            method: pb::SignatureMethod::Electronic.into(),
            document_sha256: "a".repeat(64),
            signed_time_us: 5,
            certificate_sha256: "c".repeat(64),
            certificate_issuer: "CFCA".into(),
            signature_sha256: "d".repeat(64),
            timestamp_sha256: String::new(),
            attested_by: "regions/110000".into(),
        }
    }

    fn check<T: std::fmt::Debug>(result: Result<T, Rejection>, reason: Reason, field: &str) {
        let refused = result.unwrap_err();
        assert_eq!((refused.reason, refused.field.as_deref()), (reason, Some(field)));
    }

    #[test]
    fn a_well_formed_request_is_read_whole() {
        let CreateContract { terms, .. } = CreateContract::try_from(&good()).unwrap();
        assert_eq!(
            (terms.capacity, terms.parties.len(), terms.parties[2].roles[0]),
            (Capacity::Limited, 3, PartyRole::Guardian)
        );
        assert_eq!((terms.fees.bed_fee_fen, terms.fees.prepaid_months), (300_000, 1));
        let parties: Vec<_> = terms.parties.iter().map(pb::ContractParty::from).collect();
        assert_eq!(parties, good().parties);
        let documents: Vec<_> = terms.documents.iter().map(pb::ContractDocument::from).collect();
        assert_eq!(documents, good().documents);
    }

    #[test]
    fn a_signature_goes_there_and_back_with_its_attester() {
        let evidence = signature("signature", &signed()).unwrap();
        let attested = Signature { evidence, attested_by: "regions/110000".parse().unwrap() };
        assert_eq!(pb::ContractSignature::from(&attested), signed());
    }

    #[test]
    fn creation_refused() {
        type Spoil = fn(&mut pb::CreateContractRequest);
        let table: [(Spoil, Reason, &str); 16] = [
            (|r| r.institution.clear(), FieldMissing, "institution"),
            (|r| r.institution = "1".into(), FieldMalformed, "institution"),
            (|r| r.elder = "parties/1".into(), FieldMalformed, "elder"),
            (|r| r.parties[0].party.clear(), FieldMissing, "parties[0].party"),
            (|r| r.parties[1].party = "ratings/1".into(), FieldMalformed, "parties[1].party"),
            (|r| r.parties[2].roles.push(0), EnumUnspecified, "parties[2].roles[1]"),
            (|r| r.parties[2].roles[0] = 8, EnumUnspecified, "parties[2].roles[0]"),
            (|r| r.capacity = 0, EnumUnspecified, "capacity"),
            (|r| r.fees = None, FieldMissing, "fees"),
            (|r| r.starts_on.clear(), FieldMissing, "starts_on"),
            (|r| r.starts_on = "2026-00-01".into(), FieldMalformed, "starts_on"),
            (|r| r.ends_on = "31/12/2026".into(), FieldMalformed, "ends_on"),
            (|r| r.documents[0].kind = 0, EnumUnspecified, "documents[0].kind"),
            (|r| r.documents[0].sha256.clear(), FieldMissing, "documents[0].sha256"),
            (|r| r.documents[0].sha256 = "a".repeat(63), FieldMalformed, "documents[0].sha256"),
            (|r| r.documents[0].sm3 = "B".repeat(64), FieldMalformed, "documents[0].sm3"),
        ];
        for (spoil, reason, field) in table {
            let mut request = good();
            spoil(&mut request);
            check(CreateContract::try_from(&request), reason, field);
        }
    }

    #[test]
    fn signatures_refused() {
        type Spoil = fn(&mut pb::ContractSignature);
        let table: [(Spoil, Reason, &str); 10] = [
            (|s| s.signer.clear(), FieldMissing, "signature.signer"),
            (|s| s.signer = "stays/1".into(), FieldMalformed, "signature.signer"),
            (|s| s.method = 0, EnumUnspecified, "signature.method"),
            (|s| s.method = 3, EnumUnspecified, "signature.method"),
            (|s| s.document_sha256.clear(), FieldMissing, "signature.document_sha256"),
            (|s| s.document_sha256 = "x".into(), FieldMalformed, "signature.document_sha256"),
            (|s| s.certificate_sha256 = "x".into(), FieldMalformed, "signature.certificate_sha256"),
            (|s| s.certificate_issuer = "\0".into(), FieldMalformed, "signature.certificate_issuer"),
            (|s| s.signature_sha256 = "x".into(), FieldMalformed, "signature.signature_sha256"),
            (|s| s.timestamp_sha256 = "x".into(), FieldMalformed, "signature.timestamp_sha256"),
        ];
        for (spoil, reason, field) in table {
            let mut signature = signed();
            spoil(&mut signature);
            let (contract, signature) = ("contracts/1".into(), Some(signature));
            let request = pb::SignContractRequest { contract, signature, ..Default::default() };
            check(SignContract::try_from(&request), reason, field);
        }
        let unsigned = pb::SignContractRequest { contract: "contracts/1".into(), ..Default::default() };
        check(SignContract::try_from(&unsigned), FieldMissing, "signature");
    }

    #[test]
    fn what_follows_refused() {
        let contract = || "contracts/1".to_owned();
        let file = pb::FileContractRequest { contract: contract(), filed_on: "x".into(), ..Default::default() };
        check(FileContract::try_from(&file), FieldMalformed, "filed_on");
        let attest = pb::AttestContractRequest { contract: contract(), ..Default::default() };
        check(AttestContract::try_from(&attest), FieldMissing, "attested_on");
        let activate = pb::ActivateContractRequest { contract: contract(), ..Default::default() };
        check(ActivateContract::try_from(&activate), FieldMissing, "effective_on");
        let terminate = pb::TerminateContractRequest { contract: contract(), ..Default::default() };
        check(TerminateContract::try_from(&terminate), EnumUnspecified, "termination_reason");
        let void =
            pb::VoidContractRequest { contract: contract(), document_number: "\u{1}".into(), ..Default::default() };
        check(VoidContract::try_from(&void), FieldMalformed, "document_number");

        let good = good();
        let amend = || pb::AmendContractRequest {
            contract: contract(),
            parties: good.parties.clone(),
            capacity: good.capacity,
            fees: good.fees,
            ends_on: good.ends_on.clone(),
            documents: good.documents.clone(),
            signatures: vec![signed()],
            evidence: pb::ContractEvidence::OnlineFiled.into(),
            effective_on: "2026-02-01".into(),
            ..Default::default()
        };
        assert_eq!(AmendContract::try_from(&amend()).unwrap().filing_number, None);
        type Spoil = fn(&mut pb::AmendContractRequest);
        let table: [(Spoil, Reason, &str); 5] = [
            (|r| r.contract.clear(), FieldMissing, "contract"),
            (|r| r.signatures[0].signer.clear(), FieldMissing, "signatures[0].signer"),
            (|r| r.evidence = 0, EnumUnspecified, "evidence"),
            (|r| r.effective_on.clear(), FieldMissing, "effective_on"),
            (|r| r.reason = "\u{8}".into(), FieldMalformed, "reason"),
        ];
        for (spoil, reason, field) in table {
            let mut request = amend();
            spoil(&mut request);
            check(AmendContract::try_from(&request), reason, field);
        }
    }
}
