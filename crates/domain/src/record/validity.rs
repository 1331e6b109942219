//! For how long a record may hold: policy by kind and scheme.

use super::RecordKind;
use crate::policy::{self, RecordKindPolicy, ShorterValidity};
use crate::rejection::{Reason, Rejection};
use crate::rules::assessment::Assessed;
use crate::rules::validity::Validity;
use crate::snapshot::{Snapshot, Stop};
use crate::time::Date;

/// What is checked against the policy in force on the day of the decision.
pub(super) struct Terms<'a> {
    pub kind: RecordKind,
    pub scheme: &'a str,
    pub level: i64,
    pub content: &'a str,
    pub decided_on: Date,
    pub valid_from: Date,
    pub valid_until: Date,
}

impl Terms<'_> {
    /// `GRADE_UNKNOWN`, `DATE_ORDER`, `VALIDITY_TOO_LONG`, the last two naming `until_field`.
    pub(super) fn check(&self, snapshot: &Snapshot, level_field: &str, until_field: &str) -> Result<(), Stop> {
        let scope = format!("{}/{}", self.kind, self.scheme);
        let rules = policy::in_force::<RecordKindPolicy>(snapshot, &scope, self.decided_on)?;
        if !(rules.min_level..=rules.max_level).contains(&self.level) {
            let fault = Reason::GradeUnknown.field(level_field);
            return Err(fault.var("scheme", self.scheme).var("grade", self.level).into());
        }
        Ok(self.check_length(self.longest_months(&rules)).map_err(|fault| fault.field(until_field))?)
    }

    fn check_length(&self, months: i64) -> Result<(), Rejection> {
        Validity::check(self.valid_from, self.valid_until)?.at_most(months, self.scheme).map(drop)
    }

    fn longest_months(&self, rules: &RecordKindPolicy) -> i64 {
        let applies =
            |shorter: &&ShorterValidity| self.level >= shorter.min_level && self.change_reasons_include(shorter);
        let shorter = rules.shorter.as_ref().filter(applies);
        shorter.map_or(rules.validity_months, |shorter| shorter.validity_months.min(rules.validity_months))
    }

    fn change_reasons_include(&self, shorter: &ShorterValidity) -> bool {
        // Content of other kinds is no assessment and does not parse as one.
        serde_json::from_str::<Assessed>(self.content)
            .is_ok_and(|assessed| assessed.change_reasons().contains(&shorter.change_reason))
    }
}
