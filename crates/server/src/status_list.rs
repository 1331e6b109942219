//! Status lists (docs/tokens.md): computed from the rows of recognitions, signed, and kept for a
//! moment, so that any number of readers cost the database one query.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use jjj_custody::aside;
use jjj_domain::record;
use jjj_store::StoreError;
use jjj_token::status_list::{STATUS_LIST_LEN, StatusList, StatusListClaims, TokenStatus, list_uri, sign_status_list};

use crate::gateway::Gateway;
use crate::status::Refused;

/// For how long a computed list is given out again, seconds. A list's `ttl` is that much shorter than
/// the time within which a revocation must be seen.
pub(crate) const KEPT_S: i64 = 5;

/// A signed list.
pub struct SignedList {
    pub uri: String,
    pub token: String,
    /// The key that signed.
    pub kid: String,
    pub issued_at_s: i64,
    pub expires_at_s: i64,
}

/// The lists given out last, by number.
#[derive(Default)]
pub struct StatusLists {
    kept: Mutex<HashMap<u64, Arc<SignedList>>>,
    /// One computation at a time: who comes meanwhile waits for its result.
    computing: tokio::sync::Mutex<()>,
}

impl StatusLists {
    fn fresh(&self, number: u64, kid: &str, now_s: i64) -> Option<Arc<SignedList>> {
        let kept = self.kept.lock().expect("no panic while held");
        // A clock set back must not keep a list for longer, and a key that has ended gives none out.
        let is_fresh = |list: &&Arc<SignedList>| list.kid == kid && (0..KEPT_S).contains(&(now_s - list.issued_at_s));
        kept.get(&number).filter(is_fresh).cloned()
    }
}

/// List number `number`; `None` when the log is not that long.
///
/// # Errors
/// The database's, and a key that would not sign.
pub async fn of(gateway: &Gateway, number: u64) -> Result<Option<Arc<SignedList>>, Refused> {
    let lists = &gateway.status_lists;
    let now_s = || gateway.clock.now().0.div_euclid(1_000_000);
    let key = gateway.signer.current().ok_or(Refused::NoSigningKey)?;
    if let Some(list) = lists.fresh(number, key.kid(), now_s()) {
        return Ok(Some(list));
    }
    let _one = lists.computing.lock().await;
    if let Some(list) = lists.fresh(number, key.kid(), now_s()) {
        return Ok(Some(list));
    }
    // Before reading: what is recorded meanwhile may be missing from it.
    let issued_at_s = now_s();
    let failed = |e: StoreError| Refused::store("computing a status list", &e);
    let Some(list) = computed(gateway, number).await.map_err(failed)? else { return Ok(None) };
    let within_s = gateway.status_within_s;
    let claims = StatusListClaims {
        sub: list_uri(&gateway.public_base, number),
        iat: issued_at_s,
        exp: issued_at_s + within_s,
        ttl: (within_s - KEPT_S).unsigned_abs(),
        status_list: list.encode(),
    };
    let (uri, expires_at_s) = (claims.sub.clone(), claims.exp);
    let token = aside(&key, move |key| sign_status_list(key, &claims)).await.flatten();
    let token = token.map_err(|e| Refused::key("signing a status list", e))?;
    let kid = key.kid().to_owned();
    let signed = Arc::new(SignedList { uri, token, kid, issued_at_s, expires_at_s });
    lists.kept.lock().expect("no panic while held").insert(number, signed.clone());
    Ok(Some(signed))
}

async fn computed(gateway: &Gateway, number: u64) -> Result<Option<StatusList>, StoreError> {
    // One moment for size and rows: a leaf beyond the size has no place yet.
    let mut session = gateway.store.read_at_once().await?;
    let size = session.tree_size().await?.unsigned_abs();
    let Some(from) = number.checked_mul(STATUS_LIST_LEN).filter(|from| *from < size) else { return Ok(None) };
    let today = gateway.clock.now().date();
    let mut list = StatusList::new();
    for (leaf_index, row) in session.recognitions_stated_at(from as i64, (from + STATUS_LIST_LEN) as i64).await? {
        let status = match row.token_status(today) {
            record::TokenStatus::Valid => TokenStatus::Valid,
            record::TokenStatus::Invalid => TokenStatus::Invalid,
            record::TokenStatus::Suspended => TokenStatus::Suspended,
        };
        list.set(leaf_index.unsigned_abs() - from, status);
    }
    Ok(Some(list))
}
