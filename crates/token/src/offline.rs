//! A receipt file: everything that proves one version of a record, in one file that anyone checks
//! offline, years later, with pinned keys and nothing else.
//!
//! # Format `jjj-receipt-file-v1`
//!
//! One JSON object, 64-bit integers as decimal strings, hashes in lower-case hex, bytes as base64url:
//! the members of [`ReceiptFile`]. `record` is the leaf in question, `keys` are the leaves that its
//! author's key rests on: the one that registered it, the one that registered the key that signed
//! *that*, and so on, back to a pinned key or to the founding of the gateway, which nobody signed.
//! Each entry has its leaf's exact bytes and its way to the checkpoint's root; where somebody signed
//! it, also the call's token, the way from the request to the root that the token binds, and the
//! request's bytes unless they are personal.
//!
//! # What is proven
//!
//! That the holder of the author's key signed exactly this request for this gateway and method; that
//! the gateway recorded it in this leaf, under this number, in the log whose head it signed and as
//! many witnesses as are required cosigned; and that the key was registered by those who are named: one
//! of the holder's own organisation, or an administrator of the gateway.
//! **Not:** that the leaf follows from the request as the rules say, which is the gateway's word; that
//! no later leaf ended the key or changed the record, beyond the leaves in the file.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use crate::encoding::{base64url_bytes, decimal_i64, hex_hashes};
use crate::merkle::{Hash, ProofError, leaf_hash, root_from_path, verify_inclusion};
use crate::note::{Checkpoint, CheckpointError, CosignatureVerifier, NoteError, NoteVerifier, SignedNote};
use crate::receipt::{Receipt, ReceiptError};
use crate::request::{LEEWAY_S, RequestTokenError, decode_unverified_issuer, verify_evidence};
use crate::strict;
use crate::suite::{Jwk, VerifyingKey};

/// The `format` of receipt files.
pub const FORMAT: &str = "jjj-receipt-file-v1";
/// The longest file that is read, in bytes.
pub const MAX_FILE_LEN: usize = 16 << 20;
/// The most leaves of keys that are read: a way has two or three.
pub const MAX_KEYS: usize = 256;
/// How long a request may be under way between its token's times and its record, seconds.
const UNDER_WAY_S: i64 = 60;
const SECOND_US: i64 = 1_000_000;

/// A receipt file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptFile {
    /// [`FORMAT`].
    pub format: String,
    /// The head of the log that all entries are proven under: a C2SP signed note.
    pub checkpoint: String,
    /// The leaf in question.
    #[serde(deserialize_with = "strict::object")]
    pub record: Entry,
    /// The leaves of keys that it rests on.
    pub keys: Vec<Entry>,
}

/// A leaf of the log with what proves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The leaf's exact bytes: canonical JSON.
    pub leaf: String,
    /// Its number in the log, from 0.
    #[serde(with = "decimal_i64")]
    pub index: i64,
    /// Its inclusion proof, leaf side first.
    #[serde(with = "hex_hashes")]
    pub path: Vec<Hash>,
    /// Who signed what; absent where the gateway itself is the author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// The gateway's receipt for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
}

/// The signed request behind a leaf. Its place in the call is in the leaf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The request's exact bytes; empty where they are personal: then the leaf's digest stands for them.
    #[serde(with = "base64url_bytes")]
    pub request: Vec<u8>,
    /// The call's token, compact JWS.
    pub token: String,
    /// From the request to the root that the token binds.
    #[serde(with = "hex_hashes")]
    pub path: Vec<Hash>,
}

/// What the verifier trusts beforehand.
#[derive(Clone, Debug, Default)]
pub struct Pins {
    /// Keys of the gateway, under its origin; under its former ones too, where its log was restored and goes on
    /// under another name.
    pub gateway: Vec<NoteVerifier>,
    /// Witnesses.
    pub witnesses: Vec<CosignatureVerifier>,
    /// How many of them must have cosigned the checkpoint.
    pub quorum: usize,
    /// Thumbprints of keys confirmed out of band. When there are any, the author's key must rest on
    /// one of them; when there are none, it may rest on the gateway's founding.
    pub first_keys: Vec<String>,
}

/// What a file proves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proven {
    /// The gateway's name.
    pub origin: String,
    /// The record's resource name.
    pub record: String,
    /// Its version.
    pub version: i64,
    /// What happened, `rating.published`.
    pub kind: String,
    /// Who signed, or `gateway`.
    pub author: String,
    /// When it was recorded, microseconds since 1970.
    pub recorded_at_us: i64,
    /// The leaf that caused it, where the gateway is the author.
    pub cause: Option<String>,
    /// The method called, where somebody signed.
    pub method: Option<String>,
    /// Whether the request's bytes are in the file; else its digest is proven.
    pub request_shown: bool,
    /// The author's key and those it rests on, from the author's to the first.
    pub keys: Vec<KeyLink>,
    /// The leaf's number.
    pub index: u64,
    /// The number of leaves under the checkpoint.
    pub tree_size: u64,
    /// By when the gateway promised the leaf in the log; `None` without a receipt in the file.
    pub promised_by_us: Option<i64>,
    /// Which witnesses cosigned, and when, seconds since 1970.
    pub witnesses: Vec<(String, u64)>,
}

/// A key on the way from the author's to the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyLink {
    /// Its thumbprint.
    pub kid: String,
    /// Whose it is.
    pub holder: String,
    /// What lets it be believed.
    pub rests_on: RestsOn,
    /// It was withdrawn, and this signature is of a time when it was suspect.
    pub suspect: bool,
}

/// What lets a key be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RestsOn {
    /// The verifier's own knowledge.
    Pinned,
    /// Its registration, signed with the next key.
    Registration,
    /// The founding of the gateway, which nobody signed.
    Founding,
}

/// Why a file proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfflineError {
    /// Not a receipt file in JSON, longer than [`MAX_FILE_LEN`], or with more than [`MAX_KEYS`] keys.
    #[error("the file is not a receipt file")]
    Malformed,
    /// Another `format`.
    #[error("the file is of another format than {FORMAT}")]
    Format,
    /// The checkpoint is malformed, or no pinned key of the gateway signed it.
    #[error("the checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// A witness's line does not verify.
    #[error("a cosignature: {0}")]
    Cosignature(#[from] NoteError),
    /// Too few witnesses cosigned.
    #[error("{cosigned} of the required {required} witnesses cosigned the checkpoint")]
    Quorum {
        /// How many did.
        cosigned: usize,
        /// How many must.
        required: usize,
    },
    /// A leaf is not in the log under the checkpoint.
    #[error("leaf {index}: {error}")]
    Inclusion {
        /// Its number.
        index: i64,
        /// What is wrong with its proof.
        error: ProofError,
    },
    /// A leaf is not of the log's format.
    #[error("leaf {index} is not of a known format")]
    Leaf {
        /// Its number.
        index: i64,
    },
    /// The receipt is for something else, or of another gateway.
    #[error("the receipt's {part} is not that of the leaf or of its log")]
    ReceiptMismatch {
        /// `origin`, `record`, `version` or `leaf_hash`.
        part: &'static str,
    },
    /// The receipt does not verify.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// A leaf that somebody else than the gateway wrote lacks its evidence, or the other way round.
    #[error("leaf {index} does not have the evidence that its author needs")]
    Evidence {
        /// Its number.
        index: i64,
    },
    /// Token or request are not those whose digests the leaf has.
    #[error("the {part} in the evidence of leaf {index} is not the one that the leaf commits to")]
    EvidenceMismatch {
        /// Its number.
        index: i64,
        /// `token` or `request`.
        part: &'static str,
    },
    /// The request token does not verify.
    #[error(transparent)]
    Token(#[from] RequestTokenError),
    /// The token is another author's, for another gateway or method, or of another time.
    #[error("the token of leaf {index} is for something else: its {claim} does not fit")]
    TokenMismatch {
        /// Its number.
        index: i64,
        /// `iss`, `aud`, `path` or `iat` (with `exp`).
        claim: &'static str,
    },
    /// No leaf in the file registers the key before its use.
    #[error("the file does not show where the key {kid} comes from")]
    KeyUnknown {
        /// Its thumbprint.
        kid: String,
    },
    /// The leaf that registers the key is by somebody who may not vouch for its holder: neither of the
    /// holder's organisation nor one of the gateway's administrators.
    #[error("the key {kid} was registered by {by}, who may not vouch for its holder")]
    RegisteredByAnother {
        /// Its thumbprint.
        kid: String,
        /// The author of that leaf.
        by: String,
    },
    /// The key had ended, or was somebody else's.
    #[error("the key {kid} was not in force for the author")]
    KeyNotInForce {
        /// Its thumbprint.
        kid: String,
    },
    /// The way of keys ends at the gateway's founding, not at a pinned key.
    #[error("the key {kid} rests on no pinned key")]
    NotPinned {
        /// The last key on the way.
        kid: String,
    },
}

impl OfflineError {
    /// The stable machine name of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed => "RECEIPT_FILE_MALFORMED",
            Self::Format => "RECEIPT_FILE_FORMAT_UNKNOWN",
            Self::Checkpoint(error) => error.reason(),
            Self::Cosignature(error) => error.reason(),
            Self::Quorum { .. } => "RECEIPT_FILE_QUORUM_MISSED",
            Self::Inclusion { error, .. } => error.reason(),
            Self::Leaf { .. } => "RECEIPT_FILE_LEAF_MALFORMED",
            Self::ReceiptMismatch { .. } => "RECEIPT_FILE_RECEIPT_MISMATCH",
            Self::Receipt(error) => error.reason(),
            Self::Evidence { .. } => "RECEIPT_FILE_EVIDENCE_MISSING",
            Self::EvidenceMismatch { .. } => "RECEIPT_FILE_EVIDENCE_MISMATCH",
            Self::Token(error) => error.reason(),
            Self::TokenMismatch { .. } => "RECEIPT_FILE_TOKEN_MISMATCH",
            Self::KeyUnknown { .. } => "RECEIPT_FILE_KEY_UNKNOWN",
            Self::RegisteredByAnother { .. } => "RECEIPT_FILE_KEY_REGISTERED_BY_ANOTHER",
            Self::KeyNotInForce { .. } => "RECEIPT_FILE_KEY_NOT_IN_FORCE",
            Self::NotPinned { .. } => "RECEIPT_FILE_KEY_NOT_PINNED",
        }
    }
}

impl ReceiptFile {
    /// Reads a file strictly. **Nothing is verified.**
    ///
    /// # Errors
    /// [`OfflineError::Malformed`], [`OfflineError::Format`].
    pub fn from_json(json: &[u8]) -> Result<Self, OfflineError> {
        if json.len() > MAX_FILE_LEN {
            return Err(OfflineError::Malformed);
        }
        let file: Self = strict::from_object(json).ok_or(OfflineError::Malformed)?;
        if file.format != FORMAT {
            return Err(OfflineError::Format);
        }
        if file.keys.len() <= MAX_KEYS { Ok(file) } else { Err(OfflineError::Malformed) }
    }

    /// Checks everything in the file against the pins, offline.
    ///
    /// # Errors
    /// See [`OfflineError`]. The first thing that is wrong; then the file proves nothing.
    pub fn verify(&self, pins: &Pins) -> Result<Proven, OfflineError> {
        let (head, note) = open_pinned(&self.checkpoint, &pins.gateway)?;
        let mut witnesses = Vec::new();
        for witness in &pins.witnesses {
            match note.cosigned_by(witness) {
                Ok(time_s) => witnesses.push((witness.name().to_owned(), time_s)),
                Err(NoteError::Unsigned) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let distinct: BTreeSet<_> = witnesses.iter().map(|(name, _)| name).collect();
        if distinct.len() < pins.quorum {
            return Err(OfflineError::Quorum { cosigned: distinct.len(), required: pins.quorum });
        }
        let record = Leaf::included(&self.record, &head)?;
        let keys = self.keys.iter().map(|entry| Leaf::included(entry, &head)).collect::<Result<Vec<_>, _>>()?;
        let mut promised_by_us = None;
        for leaf in keys.iter().chain([&record]) {
            promised_by_us = leaf.check_receipt(&pins.gateway)?;
        }
        let links = rests_on(&record, &keys, &pins.gateway, &pins.first_keys)?;
        let said = record.said.as_ref();
        Ok(Proven {
            origin: head.origin,
            record: record.record.clone(),
            version: record.version,
            kind: record.kind.clone(),
            author: record.author.clone(),
            recorded_at_us: record.recorded_at_us,
            cause: record.cause.clone(),
            method: said.map(|said| said.path.clone()),
            request_shown: self.record.evidence.as_ref().is_some_and(|evidence| !evidence.request.is_empty()),
            keys: links,
            index: record.index,
            tree_size: head.size,
            promised_by_us,
            witnesses,
        })
    }
}

fn open_pinned(note: &str, gateway: &[NoteVerifier]) -> Result<(Checkpoint, SignedNote), OfflineError> {
    let mut refused = CheckpointError::Note(NoteError::Unsigned);
    for key in gateway {
        match crate::note::open_checkpoint(note, key) {
            Ok(opened) => return Ok(opened),
            // A line that is there and wrong says more than one that is not.
            Err(CheckpointError::Note(NoteError::Unsigned)) => {}
            Err(error) => refused = error,
        }
    }
    Err(refused.into())
}

/// The keys from the author's to the first, each checked. Empty for what the gateway itself wrote.
fn rests_on(
    record: &Leaf<'_>,
    keys: &[Leaf<'_>],
    gateway: &[NoteVerifier],
    first_keys: &[String],
) -> Result<Vec<KeyLink>, OfflineError> {
    let mut links = Vec::new();
    let mut leaf = record;
    // Ends: each leaf has a smaller number than the one before.
    loop {
        let Some(said) = &leaf.said else {
            if leaf.index == record.index {
                return Ok(links);
            }
            let last: &mut KeyLink = links.last_mut().expect("only the record itself has no link before it");
            if !first_keys.is_empty() {
                return Err(OfflineError::NotPinned { kid: last.kid.clone() });
            }
            last.rests_on = RestsOn::Founding;
            return Ok(links);
        };
        let kid = decode_unverified_issuer(&leaf.evidence(said)?.token)?.kid;
        let mut before = keys.iter().filter(|found| found.index < leaf.index);
        let registered = before.find_map(|found| Some((found, found.registers(&kid)?)));
        let (by, row) = registered.ok_or_else(|| OfflineError::KeyUnknown { kid: kid.clone() })?;
        if !may_register(&by.author, &row.holder) {
            return Err(OfflineError::RegisteredByAnother { kid, by: by.author.clone() });
        }
        let suspect = leaf.check_signature(said, &kid, keys, gateway)?;
        let pinned = first_keys.contains(&kid);
        let rests_on = if pinned { RestsOn::Pinned } else { RestsOn::Registration };
        links.push(KeyLink { kid, holder: leaf.author.clone(), rests_on, suspect });
        if pinned {
            return Ok(links);
        }
        leaf = by;
    }
}

/// Whether an author may vouch for a key of this holder: as one of the same organisation, or as an
/// administrator of the gateway. The gateway itself founds its own organisation and nobody else's.
fn may_register(author: &str, holder: &str) -> bool {
    let organisation = |actor: &str| actor.split_once("/admins/").map_or(actor, |(of, _)| of).to_owned();
    author.starts_with("gateway/admins/") || organisation(author) == organisation(holder)
}

/// A leaf that is in the log, its members read.
struct Leaf<'a> {
    entry: &'a Entry,
    hash: Hash,
    index: u64,
    kind: String,
    record: String,
    version: i64,
    author: String,
    recorded_at_us: i64,
    cause: Option<String>,
    said: Option<Said>,
    keys: Vec<KeyRow>,
}

/// What a leaf says of its evidence.
struct Said {
    path: String,
    item: Hash,
    index: u64,
    count: u64,
    token: String,
}

/// A key as a leaf registers or ends it.
struct KeyRow {
    kid: String,
    holder: String,
    jwk: String,
    version: i64,
    added_at_us: i64,
    ended_at_us: Option<i64>,
    suspect_from_us: Option<i64>,
}

impl<'a> Leaf<'a> {
    fn included(entry: &'a Entry, head: &Checkpoint) -> Result<Self, OfflineError> {
        let number = entry.index;
        let hash = leaf_hash(entry.leaf.as_bytes());
        let refused = |error| OfflineError::Inclusion { index: number, error };
        let index = u64::try_from(number).map_err(|_| refused(ProofError::IndexOutOfRange))?;
        verify_inclusion(&hash, index, head.size, &entry.path, &head.root).map_err(refused)?;
        Self::read(entry, hash, index).ok_or(OfflineError::Leaf { index: number })
    }

    fn read(entry: &'a Entry, hash: Hash, index: u64) -> Option<Self> {
        let body: Json = strict::from_object(entry.leaf.as_bytes())?;
        if body["v"] != "1" {
            return None;
        }
        let said = match &body["evidence"] {
            Json::Null => None,
            said => Some(Said {
                path: text(said, "path")?,
                item: hex_hash(&text(said, "item")?)?,
                index: text(said, "index")?.parse().ok()?,
                count: text(said, "count")?.parse().ok()?,
                token: text(said, "token")?,
            }),
        };
        let rows = body["rows"].as_array()?.iter().filter(|row| row["t"] == "keys");
        Some(Self {
            entry,
            hash,
            index,
            kind: text(&body, "kind")?,
            record: text(&body, "record")?,
            version: integer(&body, "version")?,
            author: text(&body, "author")?,
            recorded_at_us: integer(&body, "recorded_at_us")?,
            cause: text(&body, "cause"),
            said,
            keys: rows.map(|row| KeyRow::read(&row["r"])).collect::<Option<_>>()?,
        })
    }

    /// The first version of this key, where the leaf has it.
    fn registers(&self, kid: &str) -> Option<&KeyRow> {
        self.keys.iter().find(|row| row.kid == kid && row.version == 1)
    }

    fn evidence(&self, said: &Said) -> Result<&Evidence, OfflineError> {
        let index = self.entry.index;
        let evidence = self.entry.evidence.as_ref().ok_or(OfflineError::Evidence { index })?;
        if hex::encode(Sha256::digest(&evidence.token)) != said.token {
            return Err(OfflineError::EvidenceMismatch { index, part: "token" });
        }
        Ok(evidence)
    }

    /// The receipt, where there is one; by when it promised the leaf.
    fn check_receipt(&self, gateway: &[NoteVerifier]) -> Result<Option<i64>, OfflineError> {
        let index = self.entry.index;
        if (self.author == "gateway") != self.said.is_none() {
            return Err(OfflineError::Evidence { index });
        }
        let Some(receipt) = &self.entry.receipt else { return Ok(None) };
        for (part, fits) in [
            ("origin", is_pinned(&receipt.origin, gateway)),
            ("record", receipt.record == self.record),
            ("version", receipt.version == self.version),
            ("leaf_hash", receipt.leaf_hash == self.hash),
        ] {
            if !fits {
                return Err(OfflineError::ReceiptMismatch { part });
            }
        }
        let key = gateway.iter().map(NoteVerifier::key).find(|key| key.kid() == receipt.kid);
        receipt.verify(key.ok_or(ReceiptError::UnknownKey)?)?;
        Ok(Some(receipt.log_deadline_us))
    }

    /// That the author signed this with the key of that name, in force for them then. Whether the
    /// signature is of a time at which the key was suspect.
    fn check_signature(
        &self,
        said: &Said,
        kid: &str,
        keys: &[Leaf<'_>],
        gateway: &[NoteVerifier],
    ) -> Result<bool, OfflineError> {
        let index = self.entry.index;
        let evidence = self.evidence(said)?;
        if !evidence.request.is_empty() && leaf_hash(&evidence.request) != said.item {
            return Err(OfflineError::EvidenceMismatch { index, part: "request" });
        }
        let root = root_from_path(&said.item, said.index, said.count, &evidence.path)
            .map_err(|error| OfflineError::Inclusion { index, error })?;
        let versions: Vec<&KeyRow> = keys.iter().flat_map(|leaf| &leaf.keys).filter(|row| row.kid == kid).collect();
        let unknown = || OfflineError::KeyUnknown { kid: kid.to_owned() };
        let jwk = Jwk::from_json(versions.first().ok_or_else(unknown)?.jwk.as_bytes()).map_err(|_| unknown())?;
        let key = VerifyingKey::from_jwk(&jwk).map_err(|_| unknown())?;
        let claims = verify_evidence(&evidence.token, &key, &root)?;
        let recorded_s = self.recorded_at_us.div_euclid(SECOND_US);
        let slack_s = LEEWAY_S + UNDER_WAY_S;
        let then = (claims.iat.saturating_sub(slack_s)..=claims.exp.saturating_add(slack_s)).contains(&recorded_s);
        for (claim, fits) in [
            ("iat", then),
            ("iss", claims.iss == self.author),
            ("aud", is_pinned(&claims.aud, gateway)),
            ("path", claims.path == said.path),
        ] {
            if !fits {
                return Err(OfflineError::TokenMismatch { index, claim });
            }
        }
        let from_us = claims.iat.saturating_sub(LEEWAY_S).saturating_mul(SECOND_US);
        let in_force = |row: &&KeyRow| {
            row.holder == self.author
                && row.added_at_us <= self.recorded_at_us
                && row.ended_at_us.is_none_or(|ended| from_us <= ended)
        };
        if !versions.iter().all(in_force) {
            return Err(OfflineError::KeyNotInForce { kid: kid.to_owned() });
        }
        let signed_us = claims.iat.saturating_mul(SECOND_US);
        Ok(versions.iter().any(|row| row.suspect_from_us.is_some_and(|from| signed_us >= from)))
    }
}

/// A name of the gateway that the verifier knows: a log restored from a backup has had several.
fn is_pinned(origin: &str, gateway: &[NoteVerifier]) -> bool {
    gateway.iter().any(|key| key.name() == origin)
}

impl KeyRow {
    fn read(row: &Json) -> Option<Self> {
        Some(Self {
            kid: text(row, "kid")?,
            holder: text(row, "holder")?,
            jwk: text(row, "jwk")?,
            version: integer(row, "version")?,
            added_at_us: integer(row, "added_at_us")?,
            ended_at_us: integer(row, "ended_at_us"),
            suspect_from_us: integer(row, "suspect_from_us"),
        })
    }
}

fn text(object: &Json, member: &str) -> Option<String> {
    object[member].as_str().map(str::to_owned)
}

/// Integers are decimal strings in leaves.
fn integer(object: &Json, member: &str) -> Option<i64> {
    object[member].as_str()?.parse().ok()
}

fn hex_hash(text: &str) -> Option<Hash> {
    hex::decode(text).ok()?.try_into().ok()
}
