//! On what the gateway moved money without anybody's signature (LEDGER.md, identity 8): a scheduled
//! run on the rows of files, an automatic resolution on a rule of a policy.

use std::collections::{HashMap, HashSet};

use jjj_domain::policy::{BreakPolicy, PolicyKind, PolicyRow, policy_name};
use jjj_domain::recon::{BreakClass, BreakRow, BreakStep, FileRow, FileState, Resolution, RunRow};
use jjj_domain::row::Row;
use jjj_store::{Session, StoreError};

use super::body::Body;
use super::digest::Id;
use super::ledger::each;

/// What a request of the gateway's own names.
pub enum Ground {
    /// The files that a run read.
    Files(Vec<String>),
    /// `policies/breaks/…/{date}/{version}#{rule}`, and what it was applied to.
    Rule { name: String, class: BreakClass, resolution: Option<Resolution>, amount_fen: i64 },
}

impl Ground {
    /// Of a request's first leaf that nobody signed.
    pub fn of(body: &Body) -> Option<Self> {
        if body.nth > 0 || body.evidence.is_some() {
            return None;
        }
        body.rows.iter().find_map(|(spec, values)| match spec.name {
            name if name == RunRow::spec().name => {
                let run = RunRow::from_values(values.clone()).ok()?;
                Some(Self::Files(run.expected_files.0.into_iter().filter_map(|file| file.file).collect()))
            }
            name if name == BreakRow::spec().name => {
                let row = BreakRow::from_values(values.clone()).ok().filter(|row| row.step == BreakStep::Automatic)?;
                let (class, resolution, amount_fen) = (row.class, row.resolution, row.amount_fen);
                Some(Self::Rule { name: row.policy?, class, resolution, amount_fen })
            }
            _ => None,
        })
    }

    fn holds(&self, files: &HashSet<String>, policies: &HashMap<String, BreakPolicy>) -> bool {
        match self {
            Self::Files(named) => !named.is_empty() && named.iter().all(|file| files.contains(file)),
            Self::Rule { name, class, resolution, amount_fen } => {
                let rule = name
                    .split_once('#')
                    .and_then(|(policy, rule)| policies.get(policy)?.automatic.iter().find(|known| known.name == rule));
                rule.is_some_and(|rule| {
                    rule.class == *class && Some(rule.resolution) == *resolution && *amount_fen <= rule.most_fen
                })
            }
        }
    }
}

/// The requests whose grounds are there.
pub async fn holding(session: &mut Session, grounds: &HashMap<Id, Ground>) -> Result<HashSet<Id>, StoreError> {
    let (mut files, mut policies) = (HashSet::new(), HashMap::new());
    if !grounds.is_empty() {
        each::<FileRow>(session, |row| {
            if matches!(row.state, FileState::Received | FileState::Superseded) {
                files.insert(row.file);
            }
        })
        .await?;
        each::<PolicyRow>(session, |row| {
            if row.kind == PolicyKind::Breaks
                && let Ok(body) = serde_json::from_str(&row.body)
            {
                let name = format!("{}/{}/{}", policy_name(row.kind, &row.scope), row.effective_from, row.version);
                policies.insert(name, body);
            }
        })
        .await?;
    }
    Ok(grounds.iter().filter(|(_, ground)| ground.holds(&files, &policies)).map(|(first, _)| *first).collect())
}
