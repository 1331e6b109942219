//! Evidence: that the author of a leaf signed exactly the stored bytes, for this gateway and method,
//! with a key in force then; and the receipt given for it.

use std::collections::HashMap;
use std::sync::Arc;

use jjj_store::log_tables::{EvidenceRow, LeafRow};
use jjj_token::merkle::{leaf_hash, root_from_path};
use jjj_token::receipt::Receipt;
use jjj_token::request::{RequestClaims, RequestTokenError, decode_unverified_issuer, verify_evidence};
use jjj_wire::methods::method;
use prost::Message;
use sha2::{Digest, Sha256};

use super::body::{Body, BodyEvidence};
use super::digest::{parse_hashes, sha256_hex};
use super::keys::fits;
use super::leaves::Context;
use super::report::{Check, Findings, NoticeKind, quote};
use crate::receipt;

const SECOND_US: i64 = 1_000_000;

/// Tokens of this page whose signatures verified: items of a batch call share one.
#[derive(Default)]
pub struct Signed(HashMap<String, Arc<RequestClaims>>);

/// The first field of every mutation's request.
#[derive(Clone, PartialEq, Message)]
struct RequestHead {
    #[prost(string, tag = "1")]
    request_id: String,
}

/// Checks a leaf's evidence and receipt. The receipt's deadline, where one verified.
pub fn check_evidence(
    leaf: &LeafRow,
    body: &Body,
    row: Option<&EvidenceRow>,
    tokens: &HashMap<String, Arc<str>>,
    context: &Context,
    signed: &mut Signed,
    findings: &mut Findings,
) -> Option<i64> {
    let (said, row) = match (&body.evidence, row) {
        (None, None) => {
            if body.author != "gateway" {
                let problem = format!("has no evidence, and {} is not the gateway", body.author);
                findings.column(Check::Evidence, "leaves", &leaf.leaf_id, "body", problem);
            }
            return None;
        }
        (Some(_), None) => {
            findings.row(Check::Evidence, "evidence", &leaf.leaf_id, "is missing");
            return None;
        }
        (None, Some(_)) => {
            findings.row(Check::Evidence, "evidence", &leaf.leaf_id, "the leaf knows of none");
            return None;
        }
        (Some(said), Some(row)) => (said, row),
    };
    let mut one = One { leaf, body, said, row, context, findings };
    one.columns();
    one.content();
    one.signature(tokens, signed);
    one.receipt()
}

struct One<'a> {
    leaf: &'a LeafRow,
    body: &'a Body,
    said: &'a BodyEvidence,
    row: &'a EvidenceRow,
    context: &'a Context,
    findings: &'a mut Findings,
}

impl One<'_> {
    fn fault(&mut self, column: &str, problem: impl std::fmt::Display) {
        self.findings.column(Check::Evidence, "evidence", &self.leaf.leaf_id, column, problem);
    }

    /// The gateway's name when the leaf was recorded.
    fn origin(&self) -> Option<&str> {
        self.context.origins.at(self.context.order.place(&self.leaf.leaf_id))
    }

    /// The columns that the leaf repeats.
    fn columns(&mut self) {
        let none = || "NULL".to_owned();
        let (row, said) = (self.row, self.said);
        for (column, stored, said) in [
            ("method_path", row.method_path.clone(), said.path.clone()),
            ("item_index", row.item_index.to_string(), said.index.to_string()),
            ("item_count", row.item_count.to_string(), said.count.to_string()),
            ("sealed_for", row.sealed_for.clone().unwrap_or_else(none), said.sealed_for.clone().unwrap_or_else(none)),
        ] {
            if stored != said {
                self.fault(column, format!("is {}, the leaf says {}", quote(stored), quote(said)));
            }
        }
    }

    /// The stored bytes, and where they are not sealed what they are.
    fn content(&mut self) {
        if sha256_hex(&self.row.item) != self.said.stored {
            self.fault("item", "does not hash to what the leaf says was stored");
            return;
        }
        let Some(method) = method(&self.said.path).filter(|m| m.mutating) else {
            return self.fault("method_path", "names no method that changes anything");
        };
        if !method.batch && self.said.count != 1 {
            self.fault("item_count", "is not 1, and the method takes no batch");
        }
        if self.said.sealed_for.is_some() {
            return;
        }
        if leaf_hash(&self.row.item) != self.said.item {
            self.fault("item", "is not what was signed");
        }
        let operation = method.item.unwrap_or(method.path);
        let digest = Sha256::new().chain_update(operation).chain_update([0]).chain_update(&self.row.item).finalize();
        if self.body.content != Some(hex::encode(digest)) {
            self.fault("item", "is not the request whose digest the leaf has");
        }
        let head = RequestHead::decode(self.row.item.as_slice());
        if head.map(|h| h.request_id).ok() != Some(self.body.request_id.to_string()) {
            self.fault("item", "bears another request_id than the leaf");
        }
    }

    /// The token over the call that this was an item of.
    fn signature(&mut self, tokens: &HashMap<String, Arc<str>>, signed: &mut Signed) {
        let Some(path) = parse_hashes(&self.row.item_path) else {
            return self.fault("item_path", "is no list of hashes");
        };
        let place = (u64::try_from(self.said.index), u64::try_from(self.said.count));
        let (Ok(index), Ok(count)) = place else {
            return self.fault("item_index", "is negative");
        };
        let root = match root_from_path(&self.said.item, index, count, &path) {
            Ok(root) => root,
            Err(problem) => return self.fault("item_path", problem),
        };
        let is_own = self.row.token_leaf == self.row.leaf_id;
        let Some(token) = tokens.get(&self.row.token_leaf) else {
            let problem = format!("{} has no token", quote(&self.row.token_leaf));
            return self.fault(if is_own { "token" } else { "token_leaf" }, problem);
        };
        if sha256_hex(token.as_bytes()) != self.said.token {
            return self
                .fault(if is_own { "token" } else { "token_leaf" }, "is not the token whose digest the leaf has");
        }
        if self.row.token.is_some() && !is_own {
            self.fault("token", "stands beside another leaf's");
        }
        let claims = match signed.0.get(&self.said.token) {
            Some(claims) => claims.clone(),
            None => {
                let Some(claims) = self.verify(token, &root) else { return };
                signed.0.entry(self.said.token.clone()).or_insert(Arc::new(claims)).clone()
            }
        };
        self.claims(&claims, token, &root);
    }

    fn verify(&mut self, token: &str, root: &jjj_token::Hash) -> Option<RequestClaims> {
        let context = self.context;
        let Some(key) = decode_unverified_issuer(token).ok().and_then(|u| context.keys.get(&u.kid)) else {
            self.fault("token", "is signed with a key that nobody registered");
            return None;
        };
        match verify_evidence(token, &key.key, root) {
            Ok(claims) => return Some(claims),
            Err(problem @ RequestTokenError::ContentMismatch) => self.fault("item_path", problem),
            Err(problem) => self.fault("token", problem),
        }
        None
    }

    fn claims(&mut self, claims: &RequestClaims, token: &str, root: &jjj_token::Hash) {
        if claims.root.as_ref() != Some(root) {
            self.fault("item_path", "does not lead to what the token binds");
        }
        if claims.iss != self.body.author {
            self.fault("token", format!("is signed by {}, the leaf's author is {}", claims.iss, self.body.author));
        }
        if claims.path != self.said.path {
            self.fault("method_path", format!("is not the token's {}", quote(&claims.path)));
        }
        if self.origin().is_some_and(|origin| *origin != claims.aud) {
            self.fault("token", format!("is for the gateway {}", quote(&claims.aud)));
        }
        if !fits(claims.iat, claims.exp, self.body.recorded_at_us) {
            self.fault("token", "was not valid when the leaf was recorded");
        }
        let kid = decode_unverified_issuer(token).map(|u| u.kid).unwrap_or_default();
        let Some(key) = self.context.keys.get(&kid) else { return };
        if key.holder != claims.iss {
            self.fault("token", format!("is signed with a key of {}", key.holder));
        }
        let (from, until) = (claims.iat.saturating_mul(SECOND_US), claims.exp.saturating_mul(SECOND_US));
        if !key.in_force(from, until) {
            self.fault("token", format!("is signed with the key {kid} when it was not in force"));
        }
        if key.suspect_at(from) {
            let detail = format!("signed with {kid} after it became suspect");
            self.findings.notice(NoticeKind::Suspect, &self.leaf.leaf_id, detail);
        }
    }

    /// The receipt: the gateway's own signature over this very leaf.
    fn receipt(&mut self) -> Option<i64> {
        let problem = match receipt::stored(&self.row.receipt) {
            None => "is no receipt".to_owned(),
            Some(receipt) => match self.check_receipt(&receipt) {
                Ok(()) => return Some(receipt.log_deadline_us),
                Err(problem) => problem,
            },
        };
        self.findings.column(Check::Receipt, "evidence", &self.leaf.leaf_id, "receipt", problem);
        None
    }

    fn check_receipt(&self, receipt: &Receipt) -> Result<(), String> {
        if receipt::store(receipt) != self.row.receipt {
            return Err("is spelled in another way than ours".to_owned());
        }
        let promised = (receipt.record.as_str(), receipt.version, receipt.leaf_hash);
        if promised != (self.body.record.as_str(), self.body.version, leaf_hash(self.leaf.body.as_bytes())) {
            return Err("promises another leaf".to_owned());
        }
        if self.origin().is_some_and(|origin| *origin != receipt.origin) {
            return Err(format!("is of the gateway {}", quote(&receipt.origin)));
        }
        if receipt.log_deadline_us < self.body.recorded_at_us {
            return Err("promises a time that had passed".to_owned());
        }
        let key = self.context.keys.gateway(&receipt.kid).ok_or("is signed with a key that is not the gateway's")?;
        receipt.verify(&key.key).map_err(|e| e.to_string())?;
        let recorded = self.body.recorded_at_us;
        if key.in_force(recorded, recorded) { Ok(()) } else { Err("is signed with a key not in force then".to_owned()) }
    }
}
