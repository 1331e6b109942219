//! The online-signing scope (网签范围): dated membership.

use super::{SigningScopeRow, own_institution};
use crate::decision::{Call, Command, Decision};
use crate::guard;
use crate::key;
use crate::names::Name;
use crate::rejection::Rejection;
use crate::snapshot::{Snapshot, Stop};
use crate::time::Date;

/// Whether an institution is in the online-signing scope on a date.
pub fn in_signing_scope(snapshot: &Snapshot, institution: &str, on: Date) -> Result<bool, Stop> {
    let periods = snapshot.list::<SigningScopeRow>(&["institution"], key![institution.to_owned()])?;
    Ok(periods.iter().any(|p| p.entered_on <= on && p.left_on.is_none_or(|left| on < left)))
}

/// Enters or leaves the scope on a date, which may lie in the past or in the future.
#[derive(Clone, Debug)]
pub struct SetSigningScope {
    pub institution: Name,
    /// `true`: enters; `false`: leaves.
    pub in_scope: bool,
    /// First day in, or first day out.
    pub effective_on: Date,
    pub document_number: String,
}

impl Command for SetSigningScope {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let institution = own_institution(snapshot, call, &self.institution)?;
        guard::optional_text("document_number", &self.document_number, 100)?;
        let periods = snapshot.list::<SigningScopeRow>(&["institution"], key![institution.institution.clone()])?;
        let last = periods.iter().max_by_key(|p| p.entered_on);
        let row = match (self.in_scope, last.map(|p| (p, p.left_on))) {
            (true, None) => self.entry(call),
            (true, Some((_, Some(left_on)))) => {
                guard::not_before("effective_on", self.effective_on, left_on)?;
                self.entry(call)
            }
            (false, Some((open, None))) => {
                guard::not_before("effective_on", self.effective_on, open.entered_on.plus_days(1))?;
                SigningScopeRow {
                    left_on: Some(self.effective_on),
                    document_number: self.document_number.clone(),
                    recorded_at_us: call.now,
                    version: open.version + 1,
                    ..(**open).clone()
                }
            }
            (true, Some((_, None))) => return Err(self.refused("IN_SCOPE", "OUT_OF_SCOPE").into()),
            (false, _) => return Err(self.refused("OUT_OF_SCOPE", "IN_SCOPE").into()),
        };
        let mut decision = Decision::new(call);
        let kind = if self.in_scope { "signing_scope.entered" } else { "signing_scope.left" };
        let name = format!("{}/signingScope/{}", row.institution, row.entered_on);
        let leaf = decision.leaf(kind, name, row.version);
        // Entering rests on there being no open period: whoever changes the scope takes the institution first.
        leaf.put(&row).tell(&institution.region).guard::<super::InstitutionRow>(key![institution.institution.clone()]);
        Ok(decision)
    }
}

impl SetSigningScope {
    fn entry(&self, call: &Call) -> SigningScopeRow {
        SigningScopeRow {
            institution: self.institution.to_string(),
            entered_on: self.effective_on,
            left_on: None,
            document_number: self.document_number.clone(),
            recorded_at_us: call.now,
            version: 1,
        }
    }

    fn refused(&self, state: &str, needed: &str) -> Rejection {
        guard::wrong_state(state, needed, "in_scope", &self.institution)
    }
}
