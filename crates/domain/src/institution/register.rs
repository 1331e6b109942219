//! Institutions: registered, updated, closed.

use super::{InstitutionKind, InstitutionRow, InstitutionState, own_institution};
use crate::care::contract::ContractRow;
use crate::decision::{Call, Command, Decision, Leaf};
use crate::guard;
use crate::id::{DivisionCode, Uscc};
use crate::key;
use crate::names::{Collection, Name, Participant};
use crate::rejection::{Reason, Rejection};
use crate::snapshot::{Snapshot, Stop};

/// The most beds and residents one institution may report.
const MAX_FIGURE: i64 = 100_000;

/// Registers an institution of the caller's region as `institutions/{uscc}`.
#[derive(Clone, Debug)]
pub struct RegisterInstitution {
    pub uscc: Uscc,
    pub display_name: String,
    pub kind: InstitutionKind,
    /// Where it stands; need not be the division in its code.
    pub division: DivisionCode,
    pub beds: i64,
    pub residents: i64,
}

impl Command for RegisterInstitution {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let name = Name::of(Collection::Institution, self.uscc.as_str()).to_string();
        check(call.participant(), self.division, &self.display_name, self.beds, self.residents)?;
        guard::absent(&snapshot.get::<InstitutionRow>(key![name.clone()])?, &name)?;
        let row = InstitutionRow {
            institution: name,
            uscc: self.uscc.to_string(),
            kind: self.kind,
            display_name: self.display_name.clone(),
            division: self.division.to_string(),
            region: call.participant().clone(),
            beds: self.beds,
            residents: self.residents,
            state: InstitutionState::Operating,
            reason: String::new(),
            recorded_at_us: call.now,
            version: 1,
        };
        let mut decision = Decision::new(call);
        leaf(&mut decision, "institution.registered", &row);
        Ok(decision)
    }
}

/// Replaces name, place, figures and state. A closed institution stays closed.
#[derive(Clone, Debug)]
pub struct UpdateInstitution {
    pub institution: Name,
    /// 0: any.
    pub expected_version: i64,
    pub display_name: String,
    pub division: DivisionCode,
    pub beds: i64,
    pub residents: i64,
    pub state: InstitutionState,
    pub reason: String,
}

impl Command for UpdateInstitution {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let old = own_institution(snapshot, call, &self.institution)?;
        guard::seen_version(self.expected_version, old.version, &self.institution)?;
        let open = [InstitutionState::Operating, InstitutionState::Suspended];
        guard::state(old.state, &open, "institution", &self.institution)?;
        check(&old.region, self.division, &self.display_name, self.beds, self.residents)?;
        guard::optional_text("reason", &self.reason, 1_000)?;
        let row = InstitutionRow {
            display_name: self.display_name.clone(),
            division: self.division.to_string(),
            beds: self.beds,
            residents: self.residents,
            state: self.state,
            reason: self.reason.clone(),
            recorded_at_us: call.now,
            version: old.version + 1,
            ..(*old).clone()
        };
        let mut decision = Decision::new(call);
        let leaf = leaf(&mut decision, "institution.updated", &row);
        // A change of state concerns those whose elders live there.
        if row.state != old.state {
            for contract in snapshot.list::<ContractRow>(&["institution"], key![row.institution.clone()])? {
                leaf.tell(&contract.household_region);
            }
        }
        Ok(decision)
    }
}

fn check(
    region: &Participant,
    division: DivisionCode,
    display_name: &str,
    beds: i64,
    residents: i64,
) -> Result<(), Rejection> {
    guard::text("display_name", display_name, 200)?;
    if division.province().to_string()[..2] != region.code()[..2] {
        return Err(guard::out_of_range("division_code", region));
    }
    if division.is_province_level() {
        return Err(Reason::FieldMalformed.field("division_code").var("expected", "a division within the region"));
    }
    guard::range("beds", beds, 0, MAX_FIGURE)?;
    guard::range("residents", residents, 0, MAX_FIGURE)
}

fn leaf<'a>(decision: &'a mut Decision, kind: &'static str, row: &InstitutionRow) -> &'a mut Leaf {
    decision.leaf(kind, &row.institution, row.version).put(row).tell(&row.region)
}
