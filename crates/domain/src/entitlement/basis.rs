//! The eligibility basis: what of an elder earns a rate of a programme
//! (京民养老发〔2019〕160号; DOMAIN.md §4).

use std::collections::BTreeSet;

use crate::ledger::Book;
use crate::names::Participant;
use crate::policy::{self, Basis, ProgrammePolicy, Rate};
use crate::record::{DisabilityCertificateContent, RecordKind, Standing, standing};
use crate::snapshot::{Snapshot, Stop};
use crate::time::Date;

/// What the region may rely on for an elder on a date, under any of her names: its own
/// assessments and certificates, and those that it recognizes.
pub fn bases(snapshot: &Snapshot, region: &Participant, names: &[String], on: Date) -> Result<Vec<Standing>, Stop> {
    let kinds = [RecordKind::Assessment, RecordKind::DisabilityCertificate];
    let each = names.iter().flat_map(|name| kinds.map(|kind| standing(snapshot, region, kind, name, on)));
    // All are asked for before the first miss is told.
    let all: Vec<_> = each.collect();
    let mut bases = Vec::new();
    for found in all {
        bases.extend(found?);
    }
    Ok(bases)
}

/// The highest rate that a basis of the elder earns on a date, and that basis.
pub fn best_rate(
    snapshot: &Snapshot,
    book: &Book,
    names: &[String],
    on: Date,
) -> Result<Option<(Rate, Standing)>, Stop> {
    let programme = policy::find::<ProgrammePolicy>(snapshot, &book.to_string(), on);
    let bases = bases(snapshot, book.region(), names, on)?;
    let Some(programme) = programme? else { return Ok(None) };
    Ok(highest(&programme, bases))
}

pub(super) fn highest(programme: &ProgrammePolicy, bases: Vec<Standing>) -> Option<(Rate, Standing)> {
    let rated = bases.into_iter().filter_map(|basis| Some((rate_for(programme, &basis)?.clone(), basis)));
    rated.max_by_key(|(rate, _)| rate.amount_fen)
}

/// The highest rate that a basis earns. An ambiguous level earns a rate only if
/// every level it may stand for does.
pub fn rate_for<'a>(programme: &'a ProgrammePolicy, basis: &Standing) -> Option<&'a Rate> {
    programme.rates.iter().filter(|rate| earns(rate, basis)).max_by_key(|rate| rate.amount_fen)
}

fn earns(rate: &Rate, basis: &Standing) -> bool {
    let all_in = |wanted: &BTreeSet<i64>| {
        wanted.is_empty() || (basis.level_min..=basis.level_max).all(|level| wanted.contains(&level))
    };
    match (rate.basis, basis.record.kind) {
        (Basis::Assessment, RecordKind::Assessment) => all_in(&rate.levels),
        (Basis::DisabilityCertificate, RecordKind::DisabilityCertificate) => {
            let Ok(content) = serde_json::from_str::<DisabilityCertificateContent>(&basis.record.content) else {
                return false;
            };
            let named = content.categories.iter().any(|c| rate.categories.contains(c));
            all_in(&rate.grades)
                && rate.multiple.is_none_or(|wanted| wanted == content.is_multiple())
                && (rate.categories.is_empty() || named)
        }
        _ => false,
    }
}
