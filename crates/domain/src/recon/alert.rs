//! Systemic alerts: a flood of alike breaks (one channel, clearing date, class and cause) is one
//! matter. Its members stay breaks of their own, counted and resolvable each.

use std::collections::{BTreeMap, BTreeSet};

use super::rows::{AlertRow, AlertState, BreakRow};
use crate::decision::Call;
use crate::key;
use crate::names::Participant;
use crate::snapshot::{Snapshot, Stop};

/// The alerts that a run writes: new ones, and known ones whose members have changed. `breaks` are
/// the channel's open ones as the run leaves them; `alert_from` of them make an alert.
pub fn after<'a>(
    snapshot: &Snapshot,
    channel: &Participant,
    breaks: impl Iterator<Item = &'a BreakRow>,
    alert_from: i64,
    run: &str,
    call: &Call,
) -> Result<Vec<AlertRow>, Stop> {
    let open = snapshot.list::<AlertRow>(&["state", "channel"], key![AlertState::Open, channel.clone()]);
    let mut alike: BTreeMap<&str, Vec<&BreakRow>> = BTreeMap::new();
    for row in breaks.filter(|b| b.is_open()) {
        alike.entry(&row.alert).or_default().push(row);
    }
    let floods: BTreeSet<&str> =
        alike.iter().filter(|(_, members)| members.len() as i64 >= alert_from).map(|(alert, _)| *alert).collect();
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
        let row = AlertRow {
            state: if members.is_empty() { AlertState::Over } else { AlertState::Open },
            members: members.len() as i64,
            amount_fen: members.iter().map(|b| b.amount_fen).sum(),
            ..match (known, members.first()) {
                (Some(known), _) => known.clone(),
                (None, Some(first)) => AlertRow {
                    alert: name.to_owned(),
                    channel: channel.clone(),
                    clearing_date: first.clearing_date,
                    class: first.class,
                    cause: first.cause.clone(),
                    state: AlertState::Open,
                    members: 0,
                    amount_fen: 0,
                    seen_by: String::new(),
                    opened_at_us: call.now,
                    recorded_at_us: call.now,
                    version: 0,
                },
                (None, None) => continue,
            }
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
