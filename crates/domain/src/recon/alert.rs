//! Systemic alerts: a flood of alike breaks (one channel, clearing date, class and cause) is one
//! matter. Its members stay breaks of their own, counted and resolvable each.

use std::collections::{BTreeMap, BTreeSet};

use super::breaks::alert_name;
use super::rows::{AlertRow, AlertState, BreakClass, BreakRow};
use crate::decision::Call;
use crate::key;
use crate::ledger::Book;
use crate::names::{Participant, ParticipantKind};
use crate::snapshot::{Snapshot, Stop};
use crate::time::Date;
use crate::value::Json;

/// Differences of a region's book that have no break of their own, by class and cause.
pub type Unopened = BTreeMap<(BreakClass, String), Beyond>;

/// So many alike differences have no break.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beyond {
    pub count: i64,
    /// Sum of their amounts.
    pub amount_fen: i64,
    /// As [`AlertRow::most_unopened_fen`].
    pub most_fen: BTreeMap<String, i64>,
}

impl Beyond {
    /// One more, of what `book` pays, or of what a region alone has.
    pub fn add(&mut self, book: Option<&Book>, region: &Participant, amount_fen: i64) {
        self.count += 1;
        self.amount_fen += amount_fen;
        let of = book.map_or_else(|| region.code().to_owned(), Book::to_string);
        let most = self.most_fen.entry(of).or_default();
        *most = amount_fen.max(*most);
    }
}

impl AlertRow {
    /// The largest difference without a break that keeps the month of this book open, in fen; 0 without any.
    pub fn most_unopened_of(&self, book: &Book) -> i64 {
        let of = |key: &str| self.most_unopened_fen.0.get(key).copied().unwrap_or_default();
        of(&book.to_string()).max(of(book.region().code()))
    }

    /// The region about whose own book it is, with which its cause begins: it concerns nobody else.
    pub fn book_region(&self) -> Option<Participant> {
        let first = self.cause.split(' ').next()?.parse::<Participant>().ok()?;
        (first.kind() == ParticipantKind::Region).then_some(first)
    }
}

/// A run that counts alike breaks.
pub struct Count<'a> {
    pub channel: &'a Participant,
    /// The run's.
    pub date: Date,
    pub unopened: &'a Unopened,
    /// So many are an alert.
    pub alert_from: i64,
    pub run: &'a str,
}

/// The alerts that a run writes: new ones, and known ones whose members have changed. `breaks` are
/// the channel's open ones as the run leaves them. What of the run's date is unopened makes an alert too; of
/// other dates that stays as it was.
pub fn after<'a>(
    snapshot: &Snapshot,
    count: &Count<'_>,
    breaks: impl Iterator<Item = &'a BreakRow>,
    call: &Call,
) -> Result<Vec<AlertRow>, Stop> {
    let Count { channel, date, unopened, alert_from, run } = *count;
    let open = snapshot.list::<AlertRow>(&["state", "channel"], key![AlertState::Open, channel.clone()]);
    let mut alike: BTreeMap<&str, Vec<&BreakRow>> = BTreeMap::new();
    for row in breaks.filter(|b| b.is_open()) {
        alike.entry(&row.alert).or_default().push(row);
    }
    let mut further: BTreeMap<String, (BreakClass, &String, &Beyond)> = BTreeMap::new();
    for ((class, cause), sums) in unopened {
        further.insert(alert_name(Some(channel), date, *class, cause), (*class, cause, sums));
    }
    let many = alike.iter().filter(|(_, members)| members.len() as i64 >= alert_from).map(|(alert, _)| *alert);
    let floods: BTreeSet<&str> = many.chain(further.keys().map(String::as_str)).collect();
    // All are asked for before any is waited for.
    let known: Vec<_> = floods.iter().map(|alert| snapshot.get::<AlertRow>(key![(*alert).to_owned()])).collect();
    let mut before: BTreeMap<String, AlertRow> = open?.iter().map(|row| (row.alert.clone(), (**row).clone())).collect();
    for row in known.into_iter().collect::<Result<Vec<_>, Stop>>()?.into_iter().flatten() {
        before.insert(row.alert.clone(), (*row).clone());
    }
    let names: BTreeSet<&str> = floods.into_iter().chain(before.keys().map(String::as_str)).collect();
    let mut changed = Vec::new();
    for name in names {
        let members = alike.get(name).map_or(&[][..], Vec::as_slice);
        let known = before.get(name);
        let further = further.get(name);
        let (clearing_date, class, cause) = match (known, members.first(), further) {
            (Some(known), ..) => (known.clearing_date, known.class, &known.cause),
            (None, Some(first), _) => (first.clearing_date, first.class, &first.cause),
            (None, None, Some((class, cause, _))) => (date, *class, *cause),
            (None, None, None) => continue,
        };
        let beyond = match known.filter(|known| known.clearing_date != date) {
            Some(known) => Beyond {
                count: known.unopened,
                amount_fen: known.unopened_fen,
                most_fen: known.most_unopened_fen.0.clone(),
            },
            None => further.map_or_else(Beyond::default, |(_, _, sums)| (*sums).clone()),
        };
        let is_over = members.is_empty() && beyond.count == 0;
        let row = AlertRow {
            alert: name.to_owned(),
            channel: channel.clone(),
            clearing_date,
            class,
            cause: cause.clone(),
            state: if is_over { AlertState::Over } else { AlertState::Open },
            members: members.len() as i64,
            amount_fen: members.iter().map(|b| b.amount_fen).sum(),
            unopened: beyond.count,
            unopened_fen: beyond.amount_fen,
            most_unopened_fen: Json(beyond.most_fen),
            seen_by: known.map_or_else(String::new, |known| known.seen_by.clone()),
            opened_at_us: known.map_or(call.now, |known| known.opened_at_us),
            recorded_at_us: known.map_or(call.now, |known| known.recorded_at_us),
            version: known.map_or(0, |known| known.version),
        };
        if known != Some(&row) {
            changed.push(AlertRow {
                seen_by: run.to_owned(),
                recorded_at_us: call.now,
                version: row.version + 1,
                ..row
            });
        }
    }
    Ok(changed)
}
