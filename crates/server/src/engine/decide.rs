//! Deciding a batch in memory: no IO, no time but the one given.

use std::panic::{AssertUnwindSafe, catch_unwind};

use jjj_domain::close;
use jjj_domain::decision::{Decision, InParts, Part};
use jjj_domain::key;
use jjj_domain::participant::{AdministratorRow, KeyRow, KeyState, ParticipantRow, Standing};
use jjj_domain::person::PersonKeyRow;
use jjj_domain::row::{Row, StoredFault};
use jjj_domain::snapshot::{Load, Snapshot, Stop};
use jjj_domain::time::Timestamp;
use jjj_token::request::RequestTokenError;
use jjj_token::seal::SALT_LEN;

use super::job::{Job, Moment, SealedFor};
use super::leaf::Salts;
use crate::identity::Refusal;
use crate::status::Refused;
use crate::verify::keys::{fits, is_added_by};

/// What became of one command.
pub(super) enum Verdict {
    Accepted(Box<Ruling>),
    Refused(Refused),
    /// Something it reads is not loaded.
    Missed,
}

/// An accepted decision with what its leaves and evidence need beside it.
pub(super) struct Ruling {
    pub decision: Decision,
    pub salts: Salts,
    /// The wrapped key of the known person whose key encrypts the request.
    pub sealing_key: Option<PersonKeyRow>,
}

/// Decides each command by itself, as if the others were not there: what does the batch read?
/// Those that came to an end are left as they are: more rows change nothing for them.
pub(super) fn explore(jobs: &[&Job], verdicts: &mut [Verdict], snapshot: &Snapshot, at: Moment) {
    for (job, verdict) in jobs.iter().zip(verdicts) {
        if matches!(verdict, Verdict::Missed) {
            *verdict = decide(job, snapshot, at);
        }
    }
}

/// Decides the commands in order, each seeing what those before it did. `Err` holds what
/// turned out to be missing: load it and decide again from the unchanged rows.
pub(super) fn in_order(
    jobs: &[&Job],
    snapshot: &mut Snapshot,
    at: Moment,
) -> Result<Result<Vec<Verdict>, Vec<Load>>, StoredFault> {
    let mut verdicts = Vec::with_capacity(jobs.len());
    for job in jobs {
        let verdict = decide(job, snapshot, at);
        apply(std::slice::from_ref(&verdict), snapshot)?;
        verdicts.push(verdict);
    }
    let misses = snapshot.take_misses();
    Ok(if misses.is_empty() { Ok(verdicts) } else { Err(misses) })
}

/// Makes what was accepted visible to whoever is decided next.
pub(super) fn apply(verdicts: &[Verdict], snapshot: &mut Snapshot) -> Result<(), StoredFault> {
    for verdict in verdicts {
        if let Verdict::Accepted(ruling) = verdict {
            snapshot.apply(&ruling.decision.leaves)?;
        }
    }
    Ok(())
}

/// Does work that may take long, as that of a command that stands alone, without keeping a thread of the
/// runtime from its other tasks.
pub(super) fn aside<T>(is_long: bool, work: impl FnOnce() -> T) -> T {
    if is_long { jjj_store::aside(work) } else { work() }
}

/// The next part of a command that goes in parts, once it is there; `None`: something is not loaded. `decided` holds it
/// meanwhile: it is decided once.
pub(super) fn next_part(
    job: &Job,
    parts: &mut dyn InParts,
    decided: &mut Option<Part>,
    snapshot: &Snapshot,
    at: Moment,
) -> Result<Option<(Part, Salts)>, Refused> {
    let found = aside(true, || catch_unwind(AssertUnwindSafe(|| part(job, parts, decided, snapshot, at))));
    match found {
        Ok(Ok(Ok(part))) => Ok(Some(part)),
        Ok(Ok(Err(refusal))) => Err(Refused::AtTheDoor(refusal)),
        Ok(Err(Stop::Miss)) => Ok(None),
        Ok(Err(Stop::Reject(rejection))) => Err(Refused::Rejected(rejection)),
        Err(_) => {
            tracing::error!(request_id = %job.request_id, "a part of a decision panicked");
            Err(Refused::Internal)
        }
    }
}

fn part(
    job: &Job,
    parts: &mut dyn InParts,
    decided: &mut Option<Part>,
    snapshot: &Snapshot,
    at: Moment,
) -> Result<Result<(Part, Salts), Refusal>, Stop> {
    if let Some(refusal) = still_may(job, snapshot, at.now)? {
        return Ok(Err(refusal));
    }
    let call = job.call(at);
    if decided.is_none() {
        *decided = Some(parts.next(snapshot, &call)?);
    }
    let salts = match decided {
        Some(Part::Leaves(decision) | Part::Last(decision)) => {
            close::check_open(snapshot, &call, decision)?;
            salts(decision, snapshot)?
        }
        Some(Part::Rows(..)) | None => Salts::new(),
    };
    Ok(Ok((decided.take().expect("decided just now"), salts)))
}

fn decide(job: &Job, snapshot: &Snapshot, at: Moment) -> Verdict {
    // A rule that panics is our bug. It must cost its own caller an answer, and nobody else.
    let decided = aside(job.alone, || catch_unwind(AssertUnwindSafe(|| rule(job, snapshot, at))));
    match decided {
        Ok(Ok(Ok(ruling))) => Verdict::Accepted(Box::new(ruling)),
        Ok(Ok(Err(refusal))) => Verdict::Refused(Refused::AtTheDoor(refusal)),
        Ok(Err(Stop::Miss)) => Verdict::Missed,
        Ok(Err(Stop::Reject(rejection))) => Verdict::Refused(Refused::Rejected(rejection)),
        Err(_) => {
            tracing::error!(request_id = %job.request_id, "a decision panicked");
            Verdict::Refused(Refused::Internal)
        }
    }
}

/// Whether the key that signed, and its holder, are still in force: what the door saw may be a second
/// old, and another replica may have withdrawn a key meanwhile. Read again after locking, but not
/// locked: a busy channel's key would never be free for its withdrawal. The token's time was checked by this
/// gateway's clock, and is again by the database's, which the leaf will bear: what is recorded verifies.
fn still_may(job: &Job, snapshot: &Snapshot, now: Timestamp) -> Result<Option<Refusal>, Stop> {
    let Some(evidence) = job.evidence() else { return Ok(None) };
    let participant = snapshot.get::<ParticipantRow>(key![job.actor.participant().clone()]);
    let key = snapshot.get::<KeyRow>(key![evidence.kid.to_string()]);
    let administrator = match job.actor.is_admin() {
        true => snapshot.get::<AdministratorRow>(key![job.actor.clone()])?.map(|row| row.standing),
        false => Some(Standing::Active),
    };
    let (participant, key) = (participant?.map(|row| row.standing), key?);
    let (iat, exp, now_s) = (evidence.iat_s, evidence.exp_s, now.0.div_euclid(1_000_000));
    let was_registered = key.as_ref().is_some_and(|row| is_added_by(row.added_at_us.0, exp.saturating_mul(1_000_000)));
    let key = key.map(|row| row.state);
    Ok(if participant != Some(Standing::Active) {
        Some(Refusal::ParticipantSuspended)
    } else if key != Some(KeyState::Active) {
        Some(Refusal::KeyNotInForce)
    } else if administrator != Some(Standing::Active) {
        Some(Refusal::AdministratorNotActive)
    } else if fits(iat, exp, now.0) && was_registered {
        None
    } else if now_s < iat {
        Some(Refusal::Token(RequestTokenError::NotYetValid { iat, now_s }))
    } else {
        Some(Refusal::Token(RequestTokenError::Expired { exp, now_s }))
    })
}

fn rule(job: &Job, snapshot: &Snapshot, at: Moment) -> Result<Result<Ruling, Refusal>, Stop> {
    let standing = still_may(job, snapshot, at.now);
    let decision = job.command.decide(snapshot, &job.call(at));
    if let Some(refusal) = standing? {
        return Ok(Err(refusal));
    }
    let decision = decision?;
    close::check_open(snapshot, &job.call(at), &decision)?;
    let salts = salts(&decision, snapshot)?;
    let sealing_key = match &job.sealed_for {
        Some(SealedFor::Known { person }) => {
            snapshot.get::<PersonKeyRow>(key![person.clone()])?.map(|row| (*row).clone())
        }
        Some(SealedFor::New { .. }) | None => None,
    };
    Ok(Ok(Ruling { decision, salts, sealing_key }))
}

/// The salt of every person whose private rows are written or erased: from a key row written here, or stored.
fn salts(decision: &Decision, snapshot: &Snapshot) -> Result<Salts, Stop> {
    let mut salts = Salts::new();
    let writes = || decision.leaves.iter().flat_map(|leaf| &leaf.writes);
    for write in writes().filter(|w| w.spec.name == PersonKeyRow::spec().name) {
        let row = PersonKeyRow::from_values(write.values.to_vec()).expect("a row of ours reads back");
        salts.insert(row.person.clone(), salt(&row));
    }
    let erased = decision.leaves.iter().flat_map(|leaf| &leaf.erasures).map(|e| &e.person);
    for person in writes().filter_map(|w| w.person.as_ref()).chain(erased) {
        if !salts.contains_key(person) {
            let row = snapshot.get::<PersonKeyRow>(key![person.clone()])?;
            let row = row.expect("private rows are of persons who have a key");
            salts.insert(person.clone(), salt(&row));
        }
    }
    Ok(salts)
}

fn salt(row: &PersonKeyRow) -> [u8; SALT_LEN] {
    let mut salt = [0; SALT_LEN];
    hex::decode_to_slice(&row.salt, &mut salt).expect("a stored salt is 32 bytes in hex");
    salt
}
