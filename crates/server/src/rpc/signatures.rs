//! What a key has signed, as far as the log knows.

use jjj_domain::guard;
use jjj_domain::key;
use jjj_domain::names::{Actor, Participant};
use jjj_domain::participant::KeyRow;
use jjj_domain::rejection::Reason;
use jjj_domain::value::{ColumnType, Value};
use jjj_store::SignedLeaf;
use jjj_wire::participant::key_name;
use jjj_wire::pb;
use tonic::Status;

use super::page::Paging;
use super::read::{failed, refuse};
use crate::evidence::kid;
use crate::gateway::Gateway;
use crate::identity::Caller;
use crate::receipt;

/// The log is searched by author and time; at most so many leaves for one page.
const MAX_SEARCHED: i64 = 10_000;

pub(super) async fn page_of(
    gateway: &Gateway,
    caller: &Caller,
    q: &pb::ListSignaturesRequest,
) -> Result<pb::ListSignaturesResponse, Status> {
    let (holder, key) = key_name("key", &q.key).map_err(refuse)?;
    guard::range("from_time_us", q.from_time_us, 0, i64::MAX).map_err(refuse)?;
    let bound = format!("{} {}", q.key, q.from_time_us);
    let paging = Paging::new(caller.method.path, &bound, q.page_size, &q.page_token).map_err(refuse)?;
    let mut after = after_leaf(&paging)?;
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
    let mut signatures = Vec::new();
    let mut searched = 0;
    while (signatures.len() as i64) < paging.size && searched < MAX_SEARCHED {
        let limit = paging.size - signatures.len() as i64;
        let found = session.signed_leaves(after, q.from_time_us, author.as_deref(), limit).await.map_err(failed)?;
        searched += found.len() as i64;
        let is_last = (found.len() as i64) < limit;
        after = found.last().map_or(after, |leaf| leaf.leaf_index);
        let kind = if author.is_some() { pb::SignatureKind::Request } else { pb::SignatureKind::Receipt };
        signatures.extend(found.into_iter().filter(|leaf| is_by(kind, leaf, &key)).map(|leaf| render(kind, leaf)));
        if is_last {
            return Ok(pb::ListSignaturesResponse { signatures, next_page_token: String::new() });
        }
    }
    Ok(pb::ListSignaturesResponse { signatures, next_page_token: paging.encode(&[Value::Int(after)]) })
}

fn after_leaf(paging: &Paging<'_>) -> Result<i64, Status> {
    if paging.token.is_empty() {
        return Ok(-1);
    }
    match paging.decode(&[ColumnType::Int]).map_err(refuse)?[..] {
        [Value::Int(after)] => Ok(after),
        _ => Err(refuse(Reason::PageTokenMalformed.field("page_token"))),
    }
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
