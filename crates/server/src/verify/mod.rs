//! `jjj verify`: whether a database is what its signed log says, to the last column.
//!
//! | Promise | Checked by | File |
//! |---|---|---|
//! | a leaf is canonical, of a known format, hashes to its hash, and its columns are its body's | reading and hashing it again | `leaves`, `body` |
//! | tables hold what leaves say, no more, no less | folding all leaves, comparing every column | `fold` |
//! | private rows too | opening the salted commitments with each person's salt; the erased are reported as `ERASED` | `private` |
//! | an author signed every request | bytes, digests, path, token, key in force then | `evidence`, `keys` |
//! | keys and authorities are registered by who may vouch for them | the leaf's author: of the organisation itself, or an administrator of the gateway | `leaves` |
//! | the gateway promised every leaf, and kept it | receipts, deadlines as of [`VerifyOptions::at`] | `evidence`, `tree` |
//! | one order | numbers contiguous, each leaf once, causes first, a record's versions 1, 2, 3 … | `order` |
//! | one name | that of each leaf's time; a restored log's new name is opened by the first leaf under it | `origins` |
//! | one tree | nodes, frontier and every signed head recomputed | `tree` |
//! | agreements in force | proposed and accepted by their two regions, or shipped with the gateway | `agreed` |
//! | balances and identities | LEDGER.md, from the transfers in the leaves | `ledger` |
//! | receipts that others kept | [`VerifyOptions::receipts`] against order and heads | `receipts` |
//! | files | chunks hash to what the file's leaf says | `files` |
//!
//! **Against whom.** An attacker with the database alone cannot change a promise: heads and receipts
//! are signed by the gateway, requests by participants. With the database and the gateway's keys he
//! can sign another history; then only what others kept tells, which is why
//! [`VerifyOptions::checkpoints`] takes heads that a region holds, and the cosignatures of witnesses.
//! The gateway's public keys come out of the database as well: pin them with
//! [`VerifyOptions::gateway_keys`] when the database may have been replaced as a whole.
//!
//! **Not noticed:** what [`UNPROTECTED`] lists, each with its reason. Also: the last leaves of the log
//! together with everything that mentions them and every head over them, when nobody kept a head or
//! a receipt; leaves that are not numbered yet, until their deadline; whether a decision was right
//! (the rows follow from the leaf, that the leaf follows from the request is the gateway's word).
//!
//! **Cost.** One pass over every table, in one snapshot. Memory: some 250 bytes for each leaf,
//! 100 for each other row and each head, 500 for each account, whatever the size of the rows themselves.

mod agreed;
mod body;
mod digest;
mod evidence;
mod files;
mod fold;
mod ground;
pub(crate) mod keys;
mod leaves;
mod ledger;
mod order;
mod origins;
mod pass;
mod private;
mod receipts;
mod report;
mod scan;
mod tree;
mod unprotected;

use std::sync::Arc;

use jjj_domain::time::Timestamp;
use jjj_store::{Store, StoreError};
use jjj_token::note::Checkpoint;
use jjj_token::receipt::Receipt;

pub use report::{Check, Fault, Notice, NoticeKind, VerifyReport};
pub use unprotected::{Change, UNPROTECTED, Unprotected, unprotected};

use keys::Keys;
use leaves::Context;
use order::Order;
use origins::Origins;
use pass::AllLeaves;
use report::Findings;
use tree::{Checkpoints, Tree};

/// What to verify against.
#[derive(Default)]
pub struct VerifyOptions {
    /// The moment to judge deadlines by; the database's clock when absent.
    pub at: Option<Timestamp>,
    /// The gateway's first name; when absent, that of the oldest checkpoint.
    pub origin: Option<String>,
    /// Thumbprints of the keys that the gateway's signatures are believed from; empty: those that the
    /// database itself registers for the gateway.
    pub gateway_keys: Vec<String>,
    /// Heads that somebody kept, their signatures already checked: the log must extend them.
    pub checkpoints: Vec<Checkpoint>,
    /// Receipts that somebody kept, each by a name: the log must have kept the promise.
    pub receipts: Vec<(String, Receipt)>,
    /// Told how far the pass over the leaves is: done, and how many in all.
    pub progress: Option<Box<dyn Fn(u64, u64) + Send + Sync>>,
}

/// Verifies a whole database, in one snapshot, changing nothing.
///
/// # Errors
/// Only when the database cannot be read. What is wrong in it is in the report.
pub async fn verify(store: &Store, options: &VerifyOptions) -> Result<VerifyReport, StoreError> {
    let mut session = store.read_at_once().await?;
    let session = &mut session;
    let mut findings = Findings::default();
    let at = match options.at {
        Some(at) => at,
        None => session.now().await?,
    };
    let keys = Keys::load(session, &options.gateway_keys, &mut findings).await?;
    let order = Order::load(session, &mut findings).await?;
    let origin = match &options.origin {
        Some(origin) => Some(origin.clone()),
        None => tree::origin(session, &keys).await?,
    };
    let origins = Origins::load(session, origin).await?;
    let context = Arc::new(Context { order, keys, origins });
    let mut all = AllLeaves::read(session, &context, options, &mut findings).await?;
    let Context { order, keys, origins } = &*context;
    all.check_order(session, order, &mut findings).await?;

    let mut report = VerifyReport {
        at_us: at.0,
        leaves: all.count,
        numbered: order.numbered() as u64,
        evidence: all.evidence,
        ..VerifyReport::default()
    };
    let checkpoints = Checkpoints::load(session).await?;
    let tree = all.hashes(order).map(|hashes| {
        Tree::build(
            &hashes,
            checkpoints.sizes().chain(origins.sizes()).chain(options.checkpoints.iter().map(|head| head.size)),
        )
    });
    let heads = checkpoints.check(session, tree.as_ref(), origins, keys, &mut findings).await?;
    origins.check(session, tree.as_ref(), &mut findings).await?;
    if let Some(tree) = tree {
        tree::check_kept(&options.checkpoints, &tree, &mut findings);
        tree.compare(session, &mut findings).await?;
    }
    tree::check_deadlines(&all.deadlines, &heads, at.0, &mut findings);
    let recorded = receipts::check(session, &options.receipts, &context, at.0, &mut findings).await?;
    tree::check_deadlines(&recorded, &heads, at.0, &mut findings);
    report.checkpoints = checkpoints.len();
    report.sealed = heads.keys().next_back().copied().unwrap_or_default();
    report.tokens = all.tokens();
    report.rows = all.fold.compare(session, order, &mut findings).await?;
    (report.private_rows, report.erased_persons) = all.private.compare(session, order, &mut findings).await?;
    files::check(session, &mut findings).await?;
    agreed::check(&all.agreed, &mut findings);
    report.transfers = all.ledger.check(session, at, &mut findings).await?;

    report.origin = origins.newest().map(str::to_owned);
    findings.faults.sort();
    findings.faults.dedup();
    let Findings { faults, faults_omitted, notices, notices_omitted } = findings;
    Ok(VerifyReport { faults, faults_omitted, notices, notices_omitted, ..report })
}
