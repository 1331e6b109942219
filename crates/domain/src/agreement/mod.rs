//! Agreements between two regions: what one recognizes of the other's records of a kind (互认协议).
//!
//! One of the two proposes a version, the other accepts it; accepted, it is the version of the policy
//! `agreement` that is in force from its first day on, in the same transaction. Either may end what is in
//! force alone, at the notice that it names: the version then in force recognizes nothing.
//!
//! | Step | by | from | to |
//! |---|---|---|---|
//! | propose | either region | | PROPOSED; what waits of the same scope is SUPERSEDED |
//! | accept | the other, until the first day has passed | PROPOSED | ACCEPTED, and a policy version |
//! | decline | the other | PROPOSED | DECLINED |
//! | withdraw | the proposer | PROPOSED | WITHDRAWN |
//! | end | either region | | ENDED, and policy versions that recognize nothing; what waits is SUPERSEDED |
//!
//! **One proposal of a scope waits at a time.** A later one takes its place, whoever makes it: who answers
//! an offer with other terms has refused it and offers anew (民法典 Art. 488).
//!
//! **No first day in the past.** Both regions sign the day with the terms. A proposal whose first day has
//! passed before it was accepted has lapsed and is proposed again with another: moved by the gateway it would
//! be a version that neither signed, dated back one that others did not know of.
//!
//! **What was recognized before stands**, on the version that it names, until its record changes, its days
//! are over, or the recognizing region decides otherwise about it (`record`).
//!
//! **Who signs what.** The acceptance names the digest of the terms, so that it covers them as the proposal
//! does; the policy version names the agreement, whose versions 1 and 2 are the two signed acts. `jjj verify` looks
//! all of it up again.

mod commands;
#[cfg(test)]
mod tests;

pub use commands::{AcceptAgreement, DeclineAgreement, EndAgreement, ProposeAgreement, WithdrawAgreement};

use sha2::{Digest, Sha256};

use crate::names::{Actor, Participant};
use crate::policy::{PolicyKind, policy_name};
use crate::record::RecordKind;
use crate::time::{Date, Timestamp};
use crate::{table, text_enum};

text_enum! {
    /// Where a proposal stands. That its first day has passed follows from the date, and is not stored.
    pub enum AgreementState {
        Proposed = "PROPOSED",
        /// By both regions: a policy version.
        Accepted = "ACCEPTED",
        Declined = "DECLINED",
        /// By its proposer.
        Withdrawn = "WITHDRAWN",
        /// One of the two has ended what was in force: a policy version that recognizes nothing.
        Ended = "ENDED",
        /// Another proposal, or an end, has taken its place.
        Superseded = "SUPERSEDED",
    }
}

table! {
    /// Versions of agreements between two regions, as proposed by one and answered by the other.
    pub struct AgreementRow in "agreements", Head
    key [agreement] index [scope, state] readers [issuer, recognizer]
    {
        /// `agreements/{uuid of the proposing request}`.
        pub agreement: String,
        /// `{issuer}>{recognizer}/{RECORD_KIND}`, the policy's scope.
        pub scope: String,
        pub issuer: Participant,
        pub recognizer: Participant,
        pub record_kind: RecordKind,
        /// First day in force.
        pub effective_from: Date,
        /// Canonical JSON of a [`crate::policy::Agreement`].
        pub body: String,
        pub state: AgreementState,
        pub proposed_by: Actor,
        pub proposed_at_us: Timestamp,
        /// Who accepted, declined or withdrew; of one superseded, nobody.
        pub answered_by: Option<Actor>,
        /// Of the latest step.
        pub reason: String,
        /// The version that it became: `policies/agreement/{scope}/{date}/{version}`.
        pub policy: Option<String>,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}

impl AgreementRow {
    pub fn concerns(&self, participant: &Participant) -> bool {
        self.issuer == *participant || self.recognizer == *participant
    }

    /// The region that did not propose it.
    pub fn other(&self) -> &Participant {
        if *self.proposed_by.participant() == self.issuer { &self.recognizer } else { &self.issuer }
    }

    /// What an acceptance signs: SHA-256 in hex over issuer, recognizer, record kind, first day and body,
    /// joined by line feeds, of which canonical JSON has none.
    pub fn terms_sha256(&self) -> String {
        terms_sha256(&self.issuer, &self.recognizer, self.record_kind, self.effective_from, &self.body)
    }
}

/// As [`AgreementRow::terms_sha256`].
pub fn terms_sha256(
    issuer: &Participant,
    recognizer: &Participant,
    kind: RecordKind,
    effective_from: Date,
    body: &str,
) -> String {
    hex::encode(Sha256::digest(format!("{issuer}\n{recognizer}\n{kind}\n{effective_from}\n{body}")))
}

/// The scope of the policies `agreement`: `{issuer}>{recognizer}/{RECORD_KIND}`.
pub fn scope_of(issuer: &Participant, recognizer: &Participant, kind: RecordKind) -> String {
    format!("{}>{}/{kind}", issuer.code(), recognizer.code())
}

/// The two regions of a scope, and the kind.
pub fn parse_scope(scope: &str) -> Option<(Participant, Participant, RecordKind)> {
    let (regions, kind) = scope.split_once('/')?;
    let (issuer, recognizer) = regions.split_once('>')?;
    let region = |code: &str| format!("regions/{code}").parse().ok();
    Some((region(issuer)?, region(recognizer)?, kind.parse().ok()?))
}

/// `policies/agreement/{scope}/{date}/{version}`.
pub fn version_name(scope: &str, effective_from: Date, version: i64) -> String {
    format!("{}/{effective_from}/{version}", policy_name(PolicyKind::Agreement, scope))
}
