//! On whose word agreements are in force. Each version of the policy `agreement` was shipped with the gateway,
//! or one region has signed its terms as a proposal and the other as an acceptance, or one of the two has ended it
//! alone. What each signed is read out of its own request: that a leaf says so is the gateway's word.

use std::collections::{HashMap, HashSet};

use jjj_domain::agreement::{
    AgreementRow, AgreementState, EndAgreement, ProposeAgreement, parse_scope, terms_sha256, version_name,
};
use jjj_domain::names::{Actor, Participant};
use jjj_domain::policy::{self, Agreement, PolicyKind, PolicyRow};
use jjj_domain::row::Row;
use jjj_domain::value::canonical_json;
use jjj_store::log_tables::EvidenceRow;
use jjj_wire::pb;
use prost::Message;

use super::body::Body;
use super::digest::{Id, id};
use super::report::{Check, Findings};

/// What a leaf says of an agreement.
pub enum Step {
    /// A version of an agreement, and the signed request that led to it.
    Act {
        row: Box<AgreementRow>,
        first: Id,
        signed: Option<Signed>,
    },
    InForce {
        row: Box<PolicyRow>,
        first: Id,
        is_first: bool,
    },
}

/// A region's own request.
pub struct Signed {
    by: Participant,
    what: What,
}

enum What {
    /// Over these terms ([`AgreementRow::terms_sha256`]).
    Proposed(String),
    Accepted {
        agreement: String,
        terms_sha256: String,
    },
    Ended(String),
    Other,
}

/// What a leaf says of agreements; nothing in most.
pub fn steps(body: &Body, evidence: Option<&EvidenceRow>) -> Vec<Step> {
    let first = || id(&body.first_id());
    let step = |(spec, values): &(&'static jjj_domain::row::TableSpec, Vec<jjj_domain::value::Value>)| match spec.name {
        name if name == AgreementRow::spec().name => {
            let row = Box::new(AgreementRow::from_values(values.clone()).ok()?);
            Some(Step::Act { row, first: first(), signed: signed(body, evidence) })
        }
        name if name == PolicyRow::spec().name => {
            let row = PolicyRow::from_values(values.clone()).ok().filter(|row| row.kind == PolicyKind::Agreement)?;
            Some(Step::InForce { row: Box::new(row), first: first(), is_first: body.nth == 0 })
        }
        _ => None,
    };
    body.rows.iter().filter_map(step).collect()
}

fn signed(body: &Body, evidence: Option<&EvidenceRow>) -> Option<Signed> {
    let (said, row) = (body.evidence.as_ref()?, evidence?);
    let by = body.author.parse::<Actor>().ok()?.participant().clone();
    let what = match said.path.rsplit('/').next()? {
        "ProposeAgreement" => {
            let asked = pb::ProposeAgreementRequest::decode(row.item.as_slice()).ok()?;
            let asked = ProposeAgreement::try_from(&asked).ok()?;
            let body = canonical_json(&serde_json::from_str::<serde_json::Value>(&asked.body).ok()?);
            let ProposeAgreement { issuer, recognizer, record_kind, effective_from, .. } = asked;
            What::Proposed(terms_sha256(&issuer, &recognizer, record_kind, effective_from, &body))
        }
        "AcceptAgreement" => {
            let asked = pb::AcceptAgreementRequest::decode(row.item.as_slice()).ok()?;
            What::Accepted { agreement: asked.agreement, terms_sha256: asked.terms_sha256 }
        }
        "EndAgreement" => {
            let asked = pb::EndAgreementRequest::decode(row.item.as_slice()).ok()?;
            let asked = EndAgreement::try_from(&asked).ok()?;
            let EndAgreement { issuer, recognizer, record_kind, effective_from, reason } = asked;
            let body = Agreement::ending(&reason);
            What::Ended(terms_sha256(&issuer, &recognizer, record_kind, effective_from, &body))
        }
        _ => What::Other,
    };
    Some(Signed { by, what })
}

/// Compares what is said with what was signed, and what is in force with both.
pub fn check(steps: &[Step], findings: &mut Findings) {
    let acts = || {
        steps.iter().filter_map(|step| match step {
            Step::Act { row, first, signed } => Some((&**row, first, signed.as_ref())),
            Step::InForce { .. } => None,
        })
    };
    let proposals: HashSet<(&str, String)> = acts()
        .filter(|(row, _, signed)| row.state == AgreementState::Proposed && is_signed(row, *signed))
        .map(|(row, ..)| (row.agreement.as_str(), row.terms_sha256()))
        .collect();
    let mut agreed: HashMap<(&str, &Id), &AgreementRow> = HashMap::new();
    for (row, first, signed) in acts() {
        let is_proposed = || proposals.contains(&(row.agreement.as_str(), row.terms_sha256()));
        let problem = match row.state {
            _ if !is_signed(row, signed) => "is not what its region signed",
            // A proposal is answered once, by whatever comes first.
            AgreementState::Accepted if row.version != 2 => "was accepted after another answer",
            AgreementState::Accepted if !is_proposed() => "was accepted, and no region has proposed it so",
            AgreementState::Accepted | AgreementState::Ended => {
                agreed.insert((row.agreement.as_str(), first), row);
                continue;
            }
            _ => continue,
        };
        let key = format!("{}, version {}", row.agreement, row.version);
        findings.row(Check::Agreed, AgreementRow::spec().name, key, problem);
    }
    let mut kept = HashSet::new();
    for step in steps {
        let Step::InForce { row, first, is_first } = step else { continue };
        let problem = match &row.agreement {
            Some(name) if agreed.get(&(name.as_str(), first)).is_some_and(|act| is_of(act, row)) => {
                kept.extend([version_name(&row.scope, row.effective_from, row.version)]);
                continue;
            }
            None if *is_first && is_shipped(row) => continue,
            Some(name) => format!("is not as two regions signed it: {name}"),
            None => "was neither agreed by two regions nor shipped with the gateway".to_owned(),
        };
        let key = [row.kind.as_str(), &row.scope, &row.effective_from.to_string(), &row.version.to_string()].join(", ");
        findings.row(Check::Agreed, PolicyRow::spec().name, key, problem);
    }
    for row in agreed.values().filter(|row| !row.policy.as_ref().is_some_and(|name| kept.contains(name))) {
        let key = format!("{}, version {}", row.agreement, row.version);
        findings.row(Check::Agreed, AgreementRow::spec().name, key, "was agreed, and is no version of the policy");
    }
}

/// Whether the region that a version names has signed what it says.
fn is_signed(row: &AgreementRow, signed: Option<&Signed>) -> bool {
    let named = match row.state {
        AgreementState::Proposed | AgreementState::Ended => Some(&row.proposed_by),
        AgreementState::Accepted | AgreementState::Declined | AgreementState::Withdrawn => row.answered_by.as_ref(),
        // The gateway's, from another proposal; it puts nothing in force.
        AgreementState::Superseded => return true,
    };
    let (Some(named), Some(Signed { by, what })) = (named, signed) else { return false };
    let parties = parse_scope(&row.scope);
    let is_scope = parties.is_some_and(|(issuer, recognizer, kind)| {
        (&issuer, &recognizer, kind) == (&row.issuer, &row.recognizer, row.record_kind)
    });
    let fits = match (row.state, what) {
        (AgreementState::Proposed, What::Proposed(terms)) | (AgreementState::Ended, What::Ended(terms)) => {
            *terms == row.terms_sha256()
        }
        (AgreementState::Accepted, What::Accepted { agreement, terms_sha256 }) => {
            *agreement == row.agreement && *terms_sha256 == row.terms_sha256() && *by == *row.other()
        }
        (AgreementState::Declined | AgreementState::Withdrawn, What::Other) => true,
        _ => false,
    };
    is_scope && row.concerns(by) && by == named.participant() && fits
}

/// Whether a version in force is what its act made.
fn is_of(act: &AgreementRow, row: &PolicyRow) -> bool {
    let on_its_day = match act.state {
        // It ends what was agreed for later days, too.
        AgreementState::Ended => row.effective_from >= act.effective_from,
        _ => row.effective_from == act.effective_from,
    };
    act.scope == row.scope && act.body == row.body && on_its_day
}

fn is_shipped(row: &PolicyRow) -> bool {
    policy::defaults().into_iter().any(|shipped| {
        (shipped.kind, shipped.effective_from, 1) == (row.kind, row.effective_from, row.version)
            && shipped.scope == row.scope
            && canonical_json(&shipped.body) == row.body
    })
}
