//! What a key has signed, as far as the log knows.

use jjj_domain::guard;
use jjj_domain::key;
use jjj_domain::names::{Actor, Participant};
use jjj_domain::participant::KeyRow;
use jjj_domain::rejection::Reason;
use jjj_domain::value::Value;
use jjj_store::SignedLeaf;
use jjj_wire::participant::key_name;
use jjj_wire::pb;
use tonic::Status;

use super::page::Paging;
use super::read::{failed, is_numbered, refuse};
use crate::evidence::kid;
use crate::gateway::Gateway;
use crate::identity::Caller;
use crate::receipt;
use crate::status::Refused;

/// The log is searched by author and time; a statement goes through at most so many leaves.
const WINDOW: i64 = 10_000;
/// … and gives so many of them at a time, whosever key signed them.
const CHUNK: i64 = 1_000;
/// And all statements for one page through so many.
const MAX_SEARCHED: i64 = 50_000;

pub(super) async fn page_of(
    gateway: &Gateway,
    caller: &Caller,
    q: &pb::ListSignaturesRequest,
) -> Result<pb::ListSignaturesResponse, Status> {
    let (holder, key) = key_name("key", &q.key).map_err(refuse)?;
    guard::range("from_time_us", q.from_time_us, 0, i64::MAX).map_err(refuse)?;
    let bound = format!("{} {}", q.key, q.from_time_us);
    let paging = Paging::new(caller.method.path, &bound, q.page_size, &q.page_token).map_err(refuse)?;
    let mut after = paging.number(0..=i64::MAX).map_err(refuse)?.unwrap_or(-1);
    let mut session = gateway.store.read().await.map_err(failed)?;
    let row: Option<KeyRow> = session.get(key![key.clone()]).await.map_err(failed)?;
    if row.is_none_or(|row| row.holder != holder) {
        return Err(refuse(Reason::RecordNotFound.field("key").var("name", &q.key)));
    }
    if !caller.sees_all() && holder.participant() != caller.participant() {
        return Err(refuse(Reason::NotYourRecord.field("key").var("name", &q.key)));
    }
    // The gateway's key signs receipts for everybody's requests, any other its holder's requests.
    let author = (holder != Actor::system(Participant::gateway())).then(|| holder.to_string());
    let kind = if author.is_some() { pb::SignatureKind::Request } else { pb::SignatureKind::Receipt };
    drop(session);
    // After a compromise what was signed last matters most.
    if !is_numbered(gateway).await? {
        tracing::warn!("a key's signatures are asked for, and the log does not number what was recorded");
        return Err(Refused::Unavailable.into());
    }
    let mut session = gateway.store.read().await.map_err(failed)?;
    let last = session.tree_size().await.map_err(failed)? - 1;
    let most = after.saturating_add(MAX_SEARCHED).min(last);
    let mut signatures = Vec::new();
    while (signatures.len() as i64) < paging.size && after < most {
        let through = (after + WINDOW).min(most);
        let found = session.signed_leaves(after, through, q.from_time_us, author.as_deref(), CHUNK);
        let found = found.await.map_err(failed)?;
        let is_all = (found.len() as i64) < CHUNK;
        let mut found = found.into_iter();
        while (signatures.len() as i64) < paging.size
            && let Some(leaf) = found.next()
        {
            after = leaf.leaf_index;
            signatures.extend(is_by(kind, &leaf, &key).then(|| render(kind, leaf)));
        }
        if is_all && found.len() == 0 {
            after = through;
        }
    }
    let next_page_token = if after < last { paging.encode(&[Value::Int(after)]) } else { String::new() };
    Ok(pb::ListSignaturesResponse { signatures, next_page_token })
}

fn is_by(kind: pb::SignatureKind, leaf: &SignedLeaf, key: &str) -> bool {
    let by = match kind {
        pb::SignatureKind::Receipt => receipt::stored(&leaf.receipt).map(|receipt| receipt.kid),
        _ => kid(&leaf.token),
    };
    by.as_deref() == Some(key)
}

fn render(kind: pb::SignatureKind, leaf: SignedLeaf) -> pb::KeySignature {
    pb::KeySignature {
        kind: kind.into(),
        record: leaf.record,
        version: leaf.version,
        author: leaf.author,
        method: leaf.method_path,
        recorded_time_us: leaf.recorded_at_us,
        leaf_index: leaf.leaf_index,
    }
}
