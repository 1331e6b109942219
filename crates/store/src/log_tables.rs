//! The tables beside the domain's own: requests, evidence, the log and its
//! delivery. The same `table!` macro, so that schema, its test and `jjj verify`
//! treat all tables alike.

use jjj_domain::decision::Topic;
use jjj_domain::names::{Participant, RequestId};
use jjj_domain::row::{Row, TableSpec};
use jjj_domain::table;
use jjj_domain::time::Timestamp;

use crate::packed::Packed;

/// Every table of this file, in the order of the schema.
pub fn all() -> Vec<&'static TableSpec> {
    vec![
        RequestRow::spec(),
        EvidenceRow::spec(),
        LeafRow::spec(),
        PendingRow::spec(),
        OrderRow::spec(),
        DeliveryRow::spec(),
        NodeRow::spec(),
        FrontierRow::spec(),
        CheckpointRow::spec(),
        CosignatureRow::spec(),
        CursorRow::spec(),
        UploadRow::spec(),
        FileChunkRow::spec(),
    ]
}

table! {
    /// Accepted requests: the same id with the same content gets the first answer again.
    pub struct RequestRow in "requests", Head
    key [participant, request_id] readers [participant]
    {
        pub participant: Participant,
        pub request_id: RequestId,
        /// Hex digest of the request's exact bytes.
        pub content_digest: String,
        /// The request's first leaf.
        pub leaf_id: String,
    }
}

table! {
    /// Who signed what: the exact bytes of an accepted request, its path in the signed call, and the call's token,
    /// once for the items of a call that were accepted together.
    pub struct EvidenceRow in "evidence", AppendOnly
    key [leaf_id] readers []
    {
        pub leaf_id: String,
        /// Full gRPC path.
        pub method_path: String,
        /// The request's bytes, sealed under `sealed_for`'s key where that is set.
        pub item: Vec<u8>,
        /// The person whose key encrypts `item`.
        pub sealed_for: Option<String>,
        /// The leaf whose evidence holds the token: this one; of items of a batch call that were accepted
        /// together, the first of them.
        pub token_leaf: String,
        /// The request token, where `token_leaf` is this leaf.
        pub token: Option<String>,
        pub item_index: i64,
        pub item_count: i64,
        /// Hex hashes from the item to the root that the token binds, concatenated.
        pub item_path: String,
        /// The receipt given for it: a `jjj.gateway.v1.Receipt`.
        pub receipt: Vec<u8>,
    }
}

table! {
    /// The log's entries as accepted: what each leaf commits to, in canonical JSON.
    pub struct LeafRow in "leaves", AppendOnly
    key [leaf_id] readers []
    {
        pub leaf_id: String,
        pub record: String,
        pub version: i64,
        pub kind: String,
        /// The actor whose request it is, or `gateway`.
        pub author: String,
        pub recorded_at_us: Timestamp,
        /// Canonical JSON, see [`Packed`].
        pub body: Packed,
        /// RFC 6962 leaf hash of `body`, hex.
        pub leaf_hash: String,
    }
}

table! {
    /// Accepted leaves that wait for their number; a queue, empty when the sequencer has caught up.
    pub struct PendingRow in "leaf_pending", Derived
    key [pending_id] readers []
    {
        /// Drawn after locking, so that among visible rows a cause precedes its effect.
        pub pending_id: i64,
        pub leaf_id: String,
        pub leaf_hash: String,
        /// Whom to deliver to: lines of topic, space, participant.
        pub audience: String,
    }
}

table! {
    /// The one order of the log: contiguous from 0, numbered after commit.
    pub struct OrderRow in "leaf_order", AppendOnly
    key [leaf_index] index [leaf_id] readers []
    {
        pub leaf_index: i64,
        pub leaf_id: String,
        pub leaf_hash: String,
    }
}

table! {
    /// Which leaves each participant's streams carry.
    pub struct DeliveryRow in "deliveries", AppendOnly
    key [participant, topic, leaf_index] readers [participant]
    {
        pub participant: Participant,
        pub topic: Topic,
        pub leaf_index: i64,
    }
}

table! {
    /// Hashes of complete subtrees of the log at levels 8, 16 and so on, for short proofs.
    pub struct NodeRow in "log_nodes", AppendOnly
    key [level, node_index] readers []
    {
        pub level: i64,
        pub node_index: i64,
        pub hash: String,
    }
}

table! {
    /// The one row from which the next leaves extend the tree.
    pub struct FrontierRow in "log_frontier", Derived
    key [id] readers []
    {
        pub id: i64,
        pub tree_size: i64,
        pub frontier: String,
    }
}

table! {
    /// Signed tree heads.
    pub struct CheckpointRow in "checkpoints", AppendOnly
    key [tree_size] readers []
    {
        pub tree_size: i64,
        pub root: String,
        /// The C2SP signed note.
        pub note: String,
        pub sealed_at_us: Timestamp,
    }
}

table! {
    /// Witnesses' cosignatures of heads. Unprotected: who relies on one verifies it.
    pub struct CosignatureRow in "cosignatures", Derived
    key [tree_size, witness] readers []
    {
        pub tree_size: i64,
        /// The witness's name.
        pub witness: String,
        /// The signature line of the note, without its newline.
        pub line: String,
        /// The witness's own time, to the second.
        pub cosigned_at_us: Timestamp,
    }
}

table! {
    /// How far each participant has acknowledged each of its streams. Unprotected.
    pub struct CursorRow in "cursors", Derived
    key [participant, topic] readers [participant]
    {
        pub participant: Participant,
        pub topic: Topic,
        pub leaf_index: i64,
        pub acknowledged_at_us: Timestamp,
    }
}

table! {
    /// Uploads under way. Unprotected: the completing request signs size and digest.
    pub struct UploadRow in "uploads", Derived
    key [upload] index [begun_at_us] readers [participant]
    {
        pub upload: String,
        pub participant: Participant,
        pub declared_bytes: i64,
        /// Hex SHA-256 of the whole file.
        pub declared_digest: String,
        /// Base64; the file's key under the master key, until the completing row has it.
        pub wrapped_key: String,
        pub received_bytes: i64,
        pub next_chunk: i64,
        pub begun_at_us: Timestamp,
    }
}

table! {
    /// Files in encrypted pieces; protected by the digest in the completing leaf.
    pub struct FileChunkRow in "file_chunks", Head
    key [file, chunk_index] readers []
    {
        pub file: String,
        pub chunk_index: i64,
        pub ciphertext: Vec<u8>,
    }
}
