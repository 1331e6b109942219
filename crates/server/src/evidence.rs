//! Evidence handed out: who signed a version of a record, provable to a third party.
//!
//! Only to whom the leaf was told, to its author, to regions that have a recognition on its record,
//! and to the gateway's administrators. A request with personal data is opened for its author alone,
//! and leaves an audit record; everybody else gets all the rest, in which it is only a digest.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jjj_domain::key;
use jjj_domain::names::{Actor, Participant};
use jjj_domain::person::{PersonKeyRow, ReadPersonalData, Reader};
use jjj_domain::rejection::Reason;
use jjj_domain::row::StoredFault;
use jjj_store::log_tables::{EvidenceRow, LeafRow};
use jjj_token::seal;
use jjj_wire::pb;
use serde_json::Value as Json;

use crate::disclosure;
use crate::engine::effects::{evidence_aad, person_key_aad};
use crate::gateway::Gateway;
use crate::identity::Caller;
use crate::receipt;
use crate::status::Refused;

/// Whether a leaf was told to the caller's participant, or comes from it. The gateway's
/// administrators are concerned by all.
pub fn is_concerned(leaf: &LeafRow, caller: &Caller) -> Result<bool, StoredFault> {
    if caller.sees_all() || author(leaf) == Some(caller.participant().clone()) {
        return Ok(true);
    }
    let body = body(leaf)?;
    let told = body["audience"].as_array().ok_or_else(|| fault(leaf, "lacks its audience"))?;
    let own = caller.participant().as_str();
    let is_own = |line: &Json| line.as_str().and_then(|l| l.split_once(' ')).is_some_and(|(_, to)| to == own);
    Ok(told.iter().any(is_own))
}

fn author(leaf: &LeafRow) -> Option<Participant> {
    leaf.author.parse::<Actor>().ok().map(|actor| actor.participant().clone())
}

fn body(leaf: &LeafRow) -> Result<Json, StoredFault> {
    serde_json::from_str(&leaf.body).map_err(|e| fault(leaf, &e.to_string()))
}

fn fault(leaf: &LeafRow, problem: &str) -> StoredFault {
    StoredFault { table: "leaves", column: "body", problem: format!("{}: {problem}", leaf.leaf_id) }
}

/// A leaf's evidence for a caller who is concerned.
pub async fn of(gateway: &Gateway, caller: &Caller, leaf: LeafRow) -> Result<pb::Evidence, Refused> {
    let broken = |fault: StoredFault| Refused::internal("reading evidence", &fault);
    let failed = |e| Refused::store("reading evidence", &e);
    let cause = body(&leaf).map_err(broken)?["cause"].as_str().unwrap_or_default().to_owned();
    let base = pb::Evidence {
        record: leaf.record.clone(),
        version: leaf.version,
        author: leaf.author.clone(),
        leaf_hash: jjj_token::merkle::leaf_hash(leaf.body.as_bytes()).to_vec(),
        cause,
        ..pb::Evidence::default()
    };
    let mut session = gateway.store.read().await.map_err(failed)?;
    let Some(row) = session.evidence(&leaf.leaf_id).await.map_err(failed)? else {
        // The gateway's own: nobody signed it.
        return Ok(pb::Evidence { leaf: leaf.body.into_text().into_bytes(), ..base });
    };
    let lost = |problem: &str| broken(StoredFault { table: "evidence", column: "token", problem: problem.to_owned() });
    let token = match &row.token {
        Some(token) => Some(token.clone()),
        None => session.evidence(&row.token_leaf).await.map_err(failed)?.and_then(|holder| holder.token),
    };
    let token = token.ok_or_else(|| lost("its token is gone"))?;
    drop(session);
    let receipt = receipt::stored(&row.receipt).ok_or_else(|| lost("its receipt cannot be read"))?;
    let hashes = row.item_path.as_bytes().chunks(64).map(hex::decode).collect::<Result<Vec<_>, _>>();
    Ok(pb::Evidence {
        method: row.method_path.clone(),
        kid: kid(&token).ok_or_else(|| lost("its token names no key"))?,
        batch_size: row.item_count as i32,
        batch_index: row.item_index as i32,
        path: hashes.map_err(|_| lost("its path cannot be read"))?,
        request: request(gateway, caller, &leaf, row).await?,
        receipt: Some(receipt::to_wire(&receipt)),
        token,
        leaf: leaf.body.into_text().into_bytes(),
        ..base
    })
}

/// The `kid` of a compact JWS that was verified when it was stored.
pub fn kid(token: &str) -> Option<String> {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next()?).ok()?;
    let header: Json = serde_json::from_slice(&header).ok()?;
    header["kid"].as_str().map(str::to_owned)
}

/// The request's bytes; none where they are personal and somebody else's.
async fn request(gateway: &Gateway, caller: &Caller, leaf: &LeafRow, row: EvidenceRow) -> Result<Vec<u8>, Refused> {
    let Some(person) = row.sealed_for else { return Ok(row.item) };
    if author(leaf).as_ref() != Some(caller.participant()) {
        return Ok(Vec::new());
    }
    record_access(gateway, caller, leaf, &person).await?;
    let failed = |e| Refused::store("reading a person's key", &e);
    let mut session = gateway.store.read().await.map_err(failed)?;
    let key: Option<PersonKeyRow> = session.get(key![person.clone()]).await.map_err(failed)?;
    // Erased since the record of access was written.
    let key = key.ok_or_else(|| Refused::from(Reason::PersonErased.field("record").var("name", &person)))?;
    let unsealed = |e| Refused::internal("opening evidence", &e);
    let wrapped = STANDARD.decode(&key.wrapped_key).map_err(|_| unsealed(seal::SealError::NotAKey))?;
    let key = seal::unwrap_key(&gateway.keys.master, &person_key_aad(&person), &wrapped).map_err(unsealed)?;
    let bytes = seal::decrypt(&key, &evidence_aad(&leaf.leaf_id), &row.item).map_err(unsealed)?;
    Ok(bytes.to_vec())
}

/// Nothing is disclosed before the disclosure is on record.
async fn record_access(gateway: &Gateway, caller: &Caller, leaf: &LeafRow, person: &str) -> Result<(), Refused> {
    let no_name = |_| {
        let problem = format!("{person:?} is no person");
        Refused::internal("reading evidence", &StoredFault { table: "evidence", column: "sealed_for", problem })
    };
    let reader = Reader {
        actor: caller.actor.clone(),
        purpose: format!("GetEvidence {} {}", leaf.record, leaf.version),
        token_digest: caller.token_digest.clone(),
    };
    let command = ReadPersonalData { person: person.parse().map_err(no_name)?, reader };
    disclosure::record(gateway, caller, command).await.map(|_| ())
}
