//! Rows that tests of reconciliation stand on.

use crate::entitlement::{GrantRow, GrantState};
use crate::names::Participant;
use crate::person::{PersonKind, PersonRow, PersonState};
use crate::record::{RecordKind, RecordRow};
use crate::rules::rating::RecordState;
use crate::time::Date;

fn region(code: &str) -> Participant {
    format!("regions/{code}").parse().unwrap()
}

pub fn rating(name: &str) -> RecordRow {
    let day = |text: &str| text.parse::<Date>().unwrap();
    RecordRow {
        record: name.into(),
        kind: RecordKind::Rating,
        issuer: region("130000"),
        subject: "institutions/52131082XXXX00043X".into(),
        scheme: "GB_T_37276".into(),
        native_level: 4,
        state: RecordState::Valid,
        document_number: "1".into(),
        decided_by: "committee".into(),
        decided_on: day("2026-01-01"),
        valid_from: day("2026-01-01"),
        valid_until: day("2028-12-31"),
        effective_on: day("2026-01-01"),
        recorded_at_us: day("2026-01-01").starts_at(),
        reason: String::new(),
        supersedes: None,
        content: "{}".into(),
        version: 1,
    }
}

pub fn elder(name: &str) -> PersonRow {
    PersonRow {
        person: name.into(),
        kind: PersonKind::Elder,
        region: region("110000"),
        household_region: region("110000"),
        household_division: "110108".into(),
        state: PersonState::Active,
        merged_into: None,
        died_on: None,
        reason: String::new(),
        recorded_at_us: "2026-01-01".parse::<Date>().unwrap().starts_at(),
        version: 1,
    }
}

pub fn grant(name: &str, month: &str, basis: &str) -> GrantRow {
    GrantRow {
        grant: name.into(),
        person: "elders/e1".into(),
        region: region("110000"),
        programme: "care_subsidy".into(),
        month: month.parse().unwrap(),
        channel: "channels/unionpay".parse().unwrap(),
        funder_division: "110108".into(),
        tier: "1".into(),
        amount_fen: 60_000,
        basis: basis.into(),
        basis_version: 1,
        state: GrantState::Granted,
        credited_fen: 0,
        clawed_back_fen: 0,
        returned_fen: 0,
        reason: String::new(),
        recorded_at_us: "2026-10-25".parse::<Date>().unwrap().starts_at(),
        version: 1,
    }
}
