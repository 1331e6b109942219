//! SD-JWT (RFC 9901): a JWT some of whose claims stand in it as digests only, and disclosures, each of
//! which gives one of them back. The holder passes on those disclosures that they choose to.
//!
//! Here is what all SD-JWTs have in common: taking apart, putting disclosed claims in their places,
//! choosing, and the holder's signature over the choice (key binding). What one states, and whether the
//! issuer's signature is good, [`crate::sd_recognition`] says.
//!
//! The hash is SHA-256. Read is every form that the RFC has: members, array elements, disclosures within
//! disclosures, decoys. Made are members. Absent: the JSON serialization (RFC 9901 §8).

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::encoding::{base64url, from_base64url, hash_from_base64url};
use crate::jws::{self, JwsError, Unverified};
use crate::strict;
use crate::suite::{KeyError, SignError, SigningKey, VerifyingKey};

/// The longest SD-JWT that is looked at, in bytes, disclosures and key binding included.
pub const MAX_SD_JWT_LEN: usize = 16 * 1024;
/// The most disclosures that are looked at.
pub const MAX_DISCLOSURES: usize = 64;
/// How deep objects and arrays may stand in one another, disclosed ones included.
pub const MAX_DEPTH: usize = 16;
/// The `typ` header of the JWT by which a holder binds a presentation.
pub const KEY_BINDING_TYP: &str = "kb+jwt";
/// How long a key binding is taken, seconds after its `iat`.
pub const KEY_BINDING_LIFE_S: i64 = 300;
/// Bytes of randomness in a salt (RFC 9901 §9.3).
pub const SALT_LEN: usize = 16;

const DIGESTS: &str = "_sd";
const ELEMENT: &str = "...";
const HASH: &str = "_sd_alg";
const KEY_BINDING_CLAIMS: &[&str] = &["iat", "aud", "nonce", "sd_hash"];
/// How far clocks may differ, seconds.
const LEEWAY_S: i64 = 30;

/// Why an SD-JWT is refused, apart from what its issuer's JWT is refused for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdJwtError {
    /// Longer than [`MAX_SD_JWT_LEN`].
    #[error("the SD-JWT is too long")]
    TooLong,
    /// Not a JWT and a tilde, then disclosures, each followed by a tilde.
    #[error("the SD-JWT is not a JWT and disclosures, each followed by a tilde")]
    Form,
    /// More than [`MAX_DISCLOSURES`].
    #[error("the SD-JWT has too many disclosures")]
    TooManyDisclosures,
    /// Not base64url of a JSON array of a salt, a name where it is a member's, and a value.
    #[error("disclosure {index} of the SD-JWT is malformed")]
    DisclosureMalformed {
        /// Which, from 0.
        index: usize,
    },
    /// The same disclosure twice.
    #[error("disclosure {index} of the SD-JWT repeats another")]
    DisclosureRepeated {
        /// Which, from 0.
        index: usize,
    },
    /// A disclosure that no digest stands for.
    #[error("disclosure {index} of the SD-JWT belongs to no digest")]
    DisclosureUnreferenced {
        /// Which, from 0.
        index: usize,
    },
    /// A member's disclosure for an array element, or the other way round.
    #[error("disclosure {index} of the SD-JWT is for another kind of place than its digest's")]
    DisclosureMisplaced {
        /// Which, from 0.
        index: usize,
    },
    /// `_sd` is not an array of SHA-256 digests, or `...` not one in an array element of its own.
    #[error("the SD-JWT's digests are malformed")]
    DigestsMalformed,
    /// The same digest in two places.
    #[error("a digest of the SD-JWT stands in two places")]
    DigestRepeated,
    /// `_sd`, `...` or `_sd_alg` where it is none of the format's own.
    #[error("the SD-JWT uses the reserved name {name} as a claim's")]
    NameReserved {
        /// The name.
        name: &'static str,
    },
    /// A disclosed claim's name stands there already.
    #[error("the SD-JWT discloses a claim that is there already, at {pointer}")]
    NameTaken {
        /// Where, as a JSON pointer (RFC 6901), cut to 64 characters.
        pointer: String,
    },
    /// `_sd_alg` is not `sha-256`.
    #[error("the SD-JWT's hash is not sha-256")]
    HashUnsupported,
    /// Deeper than [`MAX_DEPTH`].
    #[error("the SD-JWT's claims stand too deep in one another")]
    TooDeep,
    /// The verifier asks for key binding and there is none.
    #[error("the presentation is not bound by its holder's key")]
    BindingMissing,
    /// The issuer named no holder's key.
    #[error("the SD-JWT names no key of its holder")]
    BindingKeyMissing,
    /// The holder's key is none of ours.
    #[error("the holder's key: {0}")]
    BindingKey(#[from] KeyError),
    /// The key binding is damaged, of another kind, or not signed by the holder's key.
    #[error("the key binding: {0}")]
    Binding(#[source] JwsError),
    /// For another verifier.
    #[error("the presentation is bound to another verifier")]
    BindingAudience,
    /// For another transaction.
    #[error("the presentation is bound to another nonce")]
    BindingNonce,
    /// Older than [`KEY_BINDING_LIFE_S`], or of the future.
    #[error("the presentation was bound at {iat}; the time is {now_s}")]
    BindingStale {
        /// When, seconds since 1970.
        iat: i64,
        /// The verifier's time, seconds since 1970.
        now_s: i64,
    },
    /// Other disclosures, or another SD-JWT, than the holder signed for.
    #[error("the key binding is of another presentation")]
    BindingHash,
}

impl SdJwtError {
    /// The stable machine name of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLong => "SD_JWT_TOO_LONG",
            Self::Form => "SD_JWT_FORM",
            Self::TooManyDisclosures => "SD_JWT_TOO_MANY_DISCLOSURES",
            Self::DisclosureMalformed { .. } => "SD_JWT_DISCLOSURE_MALFORMED",
            Self::DisclosureRepeated { .. } => "SD_JWT_DISCLOSURE_REPEATED",
            Self::DisclosureUnreferenced { .. } => "SD_JWT_DISCLOSURE_UNREFERENCED",
            Self::DisclosureMisplaced { .. } => "SD_JWT_DISCLOSURE_MISPLACED",
            Self::DigestsMalformed => "SD_JWT_DIGESTS_MALFORMED",
            Self::DigestRepeated => "SD_JWT_DIGEST_REPEATED",
            Self::NameReserved { .. } => "SD_JWT_NAME_RESERVED",
            Self::NameTaken { .. } => "SD_JWT_NAME_TAKEN",
            Self::HashUnsupported => "SD_JWT_HASH_UNSUPPORTED",
            Self::TooDeep => "SD_JWT_TOO_DEEP",
            Self::BindingMissing => "SD_JWT_BINDING_MISSING",
            Self::BindingKeyMissing => "SD_JWT_BINDING_KEY_MISSING",
            Self::BindingKey(error) => error.reason(),
            Self::Binding(error) => error.reason(),
            Self::BindingAudience => "SD_JWT_BINDING_AUDIENCE_MISMATCH",
            Self::BindingNonce => "SD_JWT_BINDING_NONCE_MISMATCH",
            Self::BindingStale { .. } => "SD_JWT_BINDING_STALE",
            Self::BindingHash => "SD_JWT_BINDING_HASH_MISMATCH",
        }
    }
}

/// An SD-JWT taken apart. **Nothing is verified.**
#[derive(Debug)]
pub struct SdJwt<'a> {
    jwt: &'a str,
    disclosures: Vec<Disclosure<'a>>,
    key_binding: Option<&'a str>,
    /// All but the key binding: what it signs the hash of.
    bound: &'a str,
}

#[derive(Debug)]
struct Disclosure<'a> {
    text: &'a str,
    /// Of a member; an array element's has none.
    name: Option<String>,
    value: Value,
}

/// An SD-JWT's claims, the disclosed ones in their places, nothing of the format left (the RFC's
/// Processed SD-JWT Payload).
#[derive(Debug)]
pub struct Revealed {
    /// The claims.
    pub claims: Map<String, Value>,
    /// What of them was disclosed.
    pub disclosed: Vec<Disclosed>,
}

/// A claim that was disclosed.
#[derive(Debug)]
pub struct Disclosed {
    /// Where it stands, as a JSON pointer (RFC 6901): `/rec/scores/mobility`. An element of an array has
    /// the place that its issuer gave it.
    pub pointer: String,
    disclosure: usize,
    within: Option<usize>,
}

/// What a verifier asks a holder to sign.
#[derive(Clone, Copy, Debug)]
pub struct Challenge<'a> {
    /// Who the verifier is, as the holder knows them.
    pub aud: &'a str,
    /// Fresh for each presentation.
    pub nonce: &'a str,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyBinding {
    iat: i64,
    aud: String,
    nonce: String,
    sd_hash: String,
}

impl<'a> SdJwt<'a> {
    /// Takes an SD-JWT apart, with or without key binding. **Nothing is verified.**
    ///
    /// # Errors
    /// [`SdJwtError::TooLong`], [`SdJwtError::Form`], [`SdJwtError::TooManyDisclosures`],
    /// [`SdJwtError::DisclosureMalformed`].
    pub fn parse(text: &'a str) -> Result<Self, SdJwtError> {
        if text.len() > MAX_SD_JWT_LEN {
            return Err(SdJwtError::TooLong);
        }
        let (before, key_binding) = text.rsplit_once('~').ok_or(SdJwtError::Form)?;
        let mut parts = before.split('~');
        let jwt = parts.next().filter(|jwt| !jwt.is_empty()).ok_or(SdJwtError::Form)?;
        if parts.clone().any(str::is_empty) {
            return Err(SdJwtError::Form);
        }
        if parts.clone().nth(MAX_DISCLOSURES).is_some() {
            return Err(SdJwtError::TooManyDisclosures);
        }
        let read = |(index, text)| Disclosure::read(text).ok_or(SdJwtError::DisclosureMalformed { index });
        Ok(Self {
            jwt,
            disclosures: parts.enumerate().map(read).collect::<Result<_, _>>()?,
            key_binding: (!key_binding.is_empty()).then_some(key_binding),
            bound: &text[..=before.len()],
        })
    }

    /// The issuer's JWT.
    pub fn jwt(&self) -> &'a str {
        self.jwt
    }

    /// Whether there is a key binding, good or not.
    pub fn is_bound(&self) -> bool {
        self.key_binding.is_some()
    }

    /// Puts what is disclosed in its place in the payload of the issuer's JWT (RFC 9901 §7.1, step 3
    /// to 5). The payload must have been read strictly: no member twice in one object.
    ///
    /// # Errors
    /// See [`SdJwtError`].
    pub fn reveal(&self, mut payload: Map<String, Value>) -> Result<Revealed, SdJwtError> {
        if payload.remove(HASH).is_some_and(|hash| hash != "sha-256") {
            return Err(SdJwtError::HashUnsupported);
        }
        let mut by_digest = HashMap::new();
        for (index, disclosure) in self.disclosures.iter().enumerate() {
            if by_digest.insert(digest(disclosure.text), index).is_some() {
                return Err(SdJwtError::DisclosureRepeated { index });
            }
        }
        let disclosures = &self.disclosures[..];
        let mut walk = Walk { disclosures, by_digest, seen: HashSet::new(), disclosed: Vec::new() };
        let claims = walk.object(payload, &Place { pointer: String::new(), within: None, depth: 1 })?;
        let referenced: BTreeSet<_> = walk.disclosed.iter().map(|disclosed| disclosed.disclosure).collect();
        match (0..disclosures.len()).find(|index| !referenced.contains(index)) {
            Some(index) => Err(SdJwtError::DisclosureUnreferenced { index }),
            None => Ok(Revealed { claims, disclosed: walk.disclosed }),
        }
    }

    /// The SD-JWT with those disclosures whose claim's pointer is kept, and those that they stand in;
    /// without key binding.
    pub fn present(&self, revealed: &Revealed, keep: impl Fn(&str) -> bool) -> String {
        let mut kept = BTreeSet::new();
        for disclosed in &revealed.disclosed {
            let mut next = keep(&disclosed.pointer).then_some(disclosed.disclosure);
            while let Some(index) = next {
                kept.insert(index);
                next = revealed.disclosed.iter().find(|d| d.disclosure == index).and_then(|d| d.within);
            }
        }
        let mut text = format!("{}~", self.jwt);
        for index in kept {
            text.push_str(self.disclosures[index].text);
            text.push('~');
        }
        text
    }

    /// Checks that the holder of `key`, which the issuer named, made this presentation for this
    /// challenge, not long before `now_s` (RFC 9901 §7.3, step 5).
    ///
    /// # Errors
    /// [`SdJwtError::BindingMissing`] and the others of that name.
    pub fn verify_binding(&self, key: &VerifyingKey, asked: &Challenge<'_>, now_s: i64) -> Result<(), SdJwtError> {
        let token = self.key_binding.ok_or(SdJwtError::BindingMissing)?;
        let unverified = Unverified::parse_unnamed(token, KEY_BINDING_TYP, key.kid()).map_err(SdJwtError::Binding)?;
        let said: KeyBinding = unverified.verify(key, KEY_BINDING_CLAIMS).map_err(SdJwtError::Binding)?;
        if said.aud != asked.aud {
            return Err(SdJwtError::BindingAudience);
        }
        if said.nonce != asked.nonce {
            return Err(SdJwtError::BindingNonce);
        }
        let since = now_s.saturating_sub(KEY_BINDING_LIFE_S)..=now_s.saturating_add(LEEWAY_S);
        if !since.contains(&said.iat) {
            return Err(SdJwtError::BindingStale { iat: said.iat, now_s });
        }
        if said.sd_hash == digest(self.bound) { Ok(()) } else { Err(SdJwtError::BindingHash) }
    }
}

/// Binds a presentation without key binding to a challenge, with the holder's key, at `now_s`
/// (RFC 9901 §4.3).
///
/// # Errors
/// [`SignError`].
pub fn bind(presentation: &str, key: &SigningKey, asked: &Challenge<'_>, now_s: i64) -> Result<String, SignError> {
    let (aud, nonce) = (asked.aud.to_owned(), asked.nonce.to_owned());
    let claims = KeyBinding { iat: now_s, aud, nonce, sd_hash: digest(presentation) };
    Ok(format!("{presentation}{}", jws::sign_unnamed(key, KEY_BINDING_TYP, &claims)?))
}

/// Takes a member out of an object of an SD-JWT's payload, leaving its digest; the disclosure that gives
/// it back (RFC 9901 §4.2). `None`, and nothing is changed, when there is no such member or its name
/// is the format's.
pub fn conceal(object: &mut Map<String, Value>, name: &str, salt: [u8; SALT_LEN]) -> Option<String> {
    if reserved(name).is_some() || object.get(DIGESTS).is_some_and(|digests| !digests.is_array()) {
        return None;
    }
    let value = object.remove(name)?;
    let disclosure = base64url(Value::from(vec![base64url(salt).into(), name.into(), value]).to_string());
    let digests = object.entry(DIGESTS).or_insert_with(|| Value::Array(Vec::new())).as_array_mut()?;
    digests.push(digest(&disclosure).into());
    // In no order that says what they stand for.
    digests.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    Some(disclosure)
}

/// The hash of a disclosure, or of a presentation, as it is written.
fn digest(text: &str) -> String {
    base64url(Sha256::digest(text))
}

fn reserved(name: &str) -> Option<&'static str> {
    [DIGESTS, ELEMENT, HASH].into_iter().find(|reserved| *reserved == name)
}

impl<'a> Disclosure<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let mut elements = strict::elements(&from_base64url(text)?)?.into_iter();
        let salt_and_rest = (elements.next()?, elements.next()?, elements.next(), elements.next());
        let (name, value) = match salt_and_rest {
            (Value::String(_), value, None, None) => (None, value),
            (Value::String(_), Value::String(name), Some(value), None) => (Some(name), value),
            _ => return None,
        };
        Some(Self { text, name, value })
    }
}

/// Where in the claims.
struct Place {
    pointer: String,
    /// The disclosure that it stands in, if any.
    within: Option<usize>,
    depth: usize,
}

impl Place {
    fn of(&self, name: &str) -> Self {
        let name = name.replace('~', "~0").replace('/', "~1");
        Self { pointer: format!("{}/{name}", self.pointer), within: self.within, depth: self.depth + 1 }
    }
}

struct Walk<'s> {
    disclosures: &'s [Disclosure<'s>],
    by_digest: HashMap<String, usize>,
    /// Each may stand in one place only; so the walk ends.
    seen: HashSet<String>,
    disclosed: Vec<Disclosed>,
}

impl Walk<'_> {
    fn value(&mut self, value: Value, place: &Place) -> Result<Value, SdJwtError> {
        match value {
            Value::Object(object) => Ok(self.object(object, place)?.into()),
            Value::Array(elements) => Ok(self.array(elements, place)?.into()),
            plain => Ok(plain),
        }
    }

    fn object(&mut self, mut object: Map<String, Value>, place: &Place) -> Result<Map<String, Value>, SdJwtError> {
        if place.depth > MAX_DEPTH {
            return Err(SdJwtError::TooDeep);
        }
        let digests = match object.remove(DIGESTS) {
            None => Vec::new(),
            Some(Value::Array(digests)) => digests,
            Some(_) => return Err(SdJwtError::DigestsMalformed),
        };
        let mut claims = Map::new();
        for (name, value) in object {
            if let Some(name) = reserved(&name) {
                return Err(SdJwtError::NameReserved { name });
            }
            let value = self.value(value, &place.of(&name))?;
            claims.insert(name, value);
        }
        for digest in digests {
            let Some(index) = self.referenced(&digest)? else { continue };
            let disclosure = &self.disclosures[index];
            let name = disclosure.name.as_ref().ok_or(SdJwtError::DisclosureMisplaced { index })?;
            if let Some(name) = reserved(name) {
                return Err(SdJwtError::NameReserved { name });
            }
            let at = place.of(name);
            if claims.contains_key(name) {
                return Err(SdJwtError::NameTaken { pointer: at.pointer.chars().take(64).collect() });
            }
            let value = self.disclosed(index, at)?;
            claims.insert(name.clone(), value);
        }
        Ok(claims)
    }

    fn array(&mut self, elements: Vec<Value>, place: &Place) -> Result<Vec<Value>, SdJwtError> {
        if place.depth > MAX_DEPTH {
            return Err(SdJwtError::TooDeep);
        }
        let mut found = Vec::new();
        for (number, element) in elements.into_iter().enumerate() {
            let at = place.of(&number.to_string());
            match element.get(ELEMENT) {
                None => found.push(self.value(element, &at)?),
                Some(_) if element.as_object().is_some_and(|object| object.len() > 1) => {
                    return Err(SdJwtError::DigestsMalformed);
                }
                Some(digest) => {
                    let Some(index) = self.referenced(digest)? else { continue };
                    if self.disclosures[index].name.is_some() {
                        return Err(SdJwtError::DisclosureMisplaced { index });
                    }
                    found.push(self.disclosed(index, at)?);
                }
            }
        }
        Ok(found)
    }

    /// Which disclosure a digest stands for: none for a decoy, or what the holder keeps to themselves.
    fn referenced(&mut self, digest: &Value) -> Result<Option<usize>, SdJwtError> {
        let digest = digest.as_str().filter(|text| hash_from_base64url(text).is_some());
        let digest = digest.ok_or(SdJwtError::DigestsMalformed)?;
        if !self.seen.insert(digest.to_owned()) {
            return Err(SdJwtError::DigestRepeated);
        }
        Ok(self.by_digest.get(digest).copied())
    }

    fn disclosed(&mut self, index: usize, at: Place) -> Result<Value, SdJwtError> {
        self.disclosed.push(Disclosed { pointer: at.pointer.clone(), disclosure: index, within: at.within });
        self.value(self.disclosures[index].value.clone(), &Place { within: Some(index), ..at })
    }
}
