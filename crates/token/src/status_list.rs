//! Status lists: whether what recognition tokens state still holds (IETF Token Status List,
//! draft-ietf-oauth-status-list-21; as of this profile, `jjj-status-1`, not an RFC yet).
//!
//! # Profile `jjj-status-1`
//!
//! A list is a JWT. Header: `typ` is `statuslist+jwt`, `alg` and `kid` as in every token of the
//! gateway. Claims: those of [`StatusListClaims`] and no others; `exp` and `ttl` are always there.
//! `status_list.bits` is 2, `status_list.lst` the list itself: byte `i / 4` holds the statuses of
//! indices `i` to `i + 3`, the first in its lowest two bits, compressed with zlib and encoded
//! as base64url.
//!
//! A place is the index that the log gave to the leaf of a recognition's version, so places need
//! no allocator, are the same at every replica, and are committed to. What is no such place, or
//! one that a later version replaced, is `INVALID`: what a list does not vouch for does not hold.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::{Deserialize, Serialize};

use crate::encoding::{base64url, from_base64url};
use crate::jws::{self, JwsError, Unverified};
use crate::recognition::{LEEWAY_S, StatusListReference};
use crate::strict;
use crate::suite::{SignError, SigningKey, VerifyingKey};

/// The `typ` header of status lists.
pub const STATUS_LIST_TYP: &str = "statuslist+jwt";
/// The media type under which they are served.
pub const STATUS_LIST_MEDIA_TYPE: &str = "application/statuslist+jwt";
/// How many places one list has: 256 KiB before compression.
pub const STATUS_LIST_LEN: u64 = 1 << 20;
/// The longest status list that is looked at, in bytes: one that does not compress has fewer.
pub const MAX_STATUS_LIST_LEN: usize = 512 * 1024;

const CLAIMS: &[&str] = &["sub", "iat", "exp", "ttl", "status_list"];
/// Bits a place takes.
const BITS: u8 = 2;
const PER_BYTE: u64 = 8 / BITS as u64;
const BYTES: usize = (STATUS_LIST_LEN / PER_BYTE) as usize;

/// What a list says of one place (draft §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenStatus {
    /// The token that refers here states what holds.
    Valid,
    /// It does not, and will not again.
    Invalid,
    /// Set aside by the recognizing region; may hold again.
    Suspended,
    /// A value without meaning in this profile; treat as [`Self::Invalid`].
    Other(u8),
}

impl TokenStatus {
    fn bits(self) -> u8 {
        match self {
            Self::Valid => 0,
            Self::Invalid => 1,
            Self::Suspended => 2,
            Self::Other(bits) => bits,
        }
    }

    fn of(bits: u8) -> Self {
        match bits {
            0 => Self::Valid,
            1 => Self::Invalid,
            2 => Self::Suspended,
            bits => Self::Other(bits),
        }
    }
}

/// The place in the status lists of the leaf with this log index. `base` is the public listener's URL.
///
/// ```
/// let place = jjj_token::status_list::status_place("https://gateway.test", (3 << 20) + 7);
/// assert_eq!((place.idx, place.uri.as_str()), (7, "https://gateway.test/status/3"));
/// ```
pub fn status_place(base: &str, leaf_index: u64) -> StatusListReference {
    StatusListReference { idx: leaf_index % STATUS_LIST_LEN, uri: list_uri(base, leaf_index / STATUS_LIST_LEN) }
}

/// Where list number `list` is; its `sub`.
pub fn list_uri(base: &str, list: u64) -> String {
    format!("{base}/status/{list}")
}

/// The claims of a status list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusListClaims {
    /// The list's own URI, equal to `uri` in the tokens that refer to it.
    pub sub: String,
    /// As of when it speaks, seconds since 1970.
    pub iat: i64,
    /// Until when it may be believed, seconds since 1970, exclusive.
    pub exp: i64,
    /// For how many seconds a copy may be kept before it is asked for again.
    pub ttl: u64,
    /// The list.
    #[serde(deserialize_with = "strict::object")]
    pub status_list: EncodedList,
}

/// A list in its compressed form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncodedList {
    /// Bits a place takes: 1, 2, 4 or 8. Ours take 2.
    pub bits: u8,
    /// The places, zlib and base64url.
    pub lst: String,
}

/// The statuses of all places of one list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusList {
    bits: u8,
    bytes: Vec<u8>,
}

impl StatusList {
    /// A list of [`STATUS_LIST_LEN`] places, all `INVALID`.
    pub fn new() -> Self {
        // 01 four times.
        Self { bits: BITS, bytes: vec![0x55; BYTES] }
    }

    /// Sets a place; one beyond the list is ignored.
    pub fn set(&mut self, idx: u64, status: TokenStatus) {
        let shift = (idx % self.per_byte()) * u64::from(self.bits);
        let mask = self.mask();
        if let Some(byte) = usize::try_from(idx / self.per_byte()).ok().and_then(|at| self.bytes.get_mut(at)) {
            *byte = *byte & !(mask << shift) | (status.bits() & mask) << shift;
        }
    }

    /// What the list says of a place; `None` beyond its end.
    pub fn get(&self, idx: u64) -> Option<TokenStatus> {
        let byte = self.bytes.get(usize::try_from(idx / self.per_byte()).ok()?)?;
        let shift = (idx % self.per_byte()) * u64::from(self.bits);
        Some(TokenStatus::of(byte >> shift & self.mask()))
    }

    /// Compresses the list.
    pub fn encode(&self) -> EncodedList {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        let written = encoder.write_all(&self.bytes).and_then(|()| encoder.finish());
        let lst = base64url(written.expect("a vector takes all that is written"));
        EncodedList { bits: self.bits, lst }
    }

    /// Reads a compressed list of any of the draft's widths, decompressing no more than
    /// [`STATUS_LIST_LEN`] bytes.
    ///
    /// # Errors
    /// [`StatusListError::Bits`], [`StatusListError::Compressed`], [`StatusListError::Tail`],
    /// [`StatusListError::TooManyPlaces`].
    pub fn decode(encoded: &EncodedList) -> Result<Self, StatusListError> {
        if ![1, 2, 4, 8].contains(&encoded.bits) {
            return Err(StatusListError::Bits);
        }
        let compressed = from_base64url(&encoded.lst).ok_or(StatusListError::Compressed)?;
        let mut bytes = Vec::new();
        let mut decoder = ZlibDecoder::new(&compressed[..]).take(STATUS_LIST_LEN + 1);
        decoder.read_to_end(&mut bytes).map_err(|_| StatusListError::Compressed)?;
        if bytes.len() as u64 > STATUS_LIST_LEN {
            return Err(StatusListError::TooManyPlaces);
        }
        if decoder.get_ref().total_in() != compressed.len() as u64 {
            return Err(StatusListError::Tail);
        }
        Ok(Self { bits: encoded.bits, bytes })
    }

    fn per_byte(&self) -> u64 {
        8 / u64::from(self.bits)
    }

    fn mask(&self) -> u8 {
        0xff >> (8 - self.bits)
    }
}

impl Default for StatusList {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a status list is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatusListError {
    /// Damaged, of another kind, or not signed by this key.
    #[error(transparent)]
    Jws(#[from] JwsError),
    /// It is another list than the one asked for.
    #[error("the status list is another than the one referred to")]
    SubjectMismatch,
    /// `iat` is in the future.
    #[error("the status list is of the future, at {now_s}")]
    NotYetValid {
        /// The verifier's time, seconds since 1970.
        now_s: i64,
    },
    /// `exp` has passed: a fresh copy is needed.
    #[error("the status list ended at {exp}; the time is {now_s}")]
    Stale {
        /// When, seconds since 1970.
        exp: i64,
        /// The verifier's time, seconds since 1970.
        now_s: i64,
    },
    /// `bits` is not 1, 2, 4 or 8.
    #[error("the status list's width is not 1, 2, 4 or 8 bits")]
    Bits,
    /// `lst` is not base64url of a zlib stream.
    #[error("the status list is not compressed as it must be")]
    Compressed,
    /// Something stands behind the zlib stream, that another reader may take for the list.
    #[error("the status list has bytes behind its compressed stream")]
    Tail,
    /// More than [`STATUS_LIST_LEN`] bytes when decompressed.
    #[error("the status list has too many places")]
    TooManyPlaces,
    /// The token refers beyond the list's end.
    #[error("the status list has no place {idx}")]
    NoSuchPlace {
        /// The place.
        idx: u64,
    },
}

impl StatusListError {
    /// The stable machine name of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Jws(error) => error.reason(),
            Self::SubjectMismatch => "STATUS_LIST_SUBJECT_MISMATCH",
            Self::NotYetValid { .. } => "STATUS_LIST_NOT_YET_VALID",
            Self::Stale { .. } => "STATUS_LIST_STALE",
            Self::Bits => "STATUS_LIST_BITS_INVALID",
            Self::Compressed => "STATUS_LIST_NOT_COMPRESSED",
            Self::Tail => "STATUS_LIST_TRAILING_BYTES",
            Self::TooManyPlaces => "STATUS_LIST_TOO_LONG",
            Self::NoSuchPlace { .. } => "STATUS_LIST_NO_SUCH_PLACE",
        }
    }
}

/// Signs a status list.
///
/// # Errors
/// [`SignError`].
pub fn sign_status_list(key: &SigningKey, claims: &StatusListClaims) -> Result<String, SignError> {
    jws::sign(key, STATUS_LIST_TYP, claims)
}

/// The `kid` of a status list, so that the key can be looked up. **Nothing is verified.**
///
/// # Errors
/// [`StatusListError::Jws`] when the list is malformed or something else.
pub fn decode_unverified_kid(token: &str) -> Result<String, StatusListError> {
    Ok(Unverified::parse_up_to(MAX_STATUS_LIST_LEN, token, STATUS_LIST_TYP)?.kid)
}

/// Verifies the status list `uri` with the gateway's key at `now_s` (seconds since 1970).
///
/// # Errors
/// See [`StatusListError`].
pub fn verify_status_list(
    token: &str,
    key: &VerifyingKey,
    uri: &str,
    now_s: i64,
) -> Result<(StatusListClaims, StatusList), StatusListError> {
    let unverified = Unverified::parse_up_to(MAX_STATUS_LIST_LEN, token, STATUS_LIST_TYP)?;
    let claims: StatusListClaims = unverified.verify(key, CLAIMS)?;
    if claims.sub != uri {
        return Err(StatusListError::SubjectMismatch);
    }
    if claims.iat > now_s.saturating_add(LEEWAY_S) {
        return Err(StatusListError::NotYetValid { now_s });
    }
    if now_s >= claims.exp {
        return Err(StatusListError::Stale { exp: claims.exp, now_s });
    }
    let list = StatusList::decode(&claims.status_list)?;
    Ok((claims, list))
}

/// What a verified list says of the token with this reference.
///
/// # Errors
/// [`StatusListError::SubjectMismatch`], [`StatusListError::NoSuchPlace`].
pub fn status_of(
    claims: &StatusListClaims,
    list: &StatusList,
    place: &StatusListReference,
) -> Result<TokenStatus, StatusListError> {
    if claims.sub != place.uri {
        return Err(StatusListError::SubjectMismatch);
    }
    list.get(place.idx).ok_or(StatusListError::NoSuchPlace { idx: place.idx })
}
