//! Personal data between the wire and the domain: hashed for look-up, encrypted under the person's
//! own key, that key wrapped under the master key; and opened again for an audited reader.
//!
//! | What | Sealed under | Bound to (associated data) |
//! |---|---|---|
//! | person's key | master key | `jjj-person-key-v1`, person |
//! | identifier | person's key | `jjj-person-identifier-v1`, person, kind |
//! | other personal data (protobuf `PersonalData`) | person's key | `jjj-person-data-v1`, person |
//! | the request that brought them | person's key | see [`evidence_aad`](crate::engine::effects::evidence_aad) |
//!
//! Randomness is a parameter; nothing here is logged, and no error quotes what it is about.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jjj_domain::decision::{Call, Command, Decision};
use jjj_domain::guard;
use jjj_domain::names::Name;
use jjj_domain::person::{
    ClearIdentifier, IdentifierKind, NewIdentifier, NewPerson, PersonKeyRow, PersonalData, Sealed, find_person,
};
use jjj_domain::rejection::Reason;
use jjj_domain::snapshot::{Snapshot, Stop};
use jjj_token::seal::{self, DataKey, MasterKey, NONCE_LEN, SALT_LEN, SealError};
use jjj_wire::elder::ClearPerson;
use jjj_wire::pb;
use prost::Message;
use zeroize::Zeroizing;

use crate::engine::effects::person_key_aad;

/// Fills a buffer with random bytes.
pub type Fill<'a> = &'a mut dyn FnMut(&mut [u8]);

/// The operating system's randomness.
pub fn system_random(buffer: &mut [u8]) {
    aws_lc_rs::rand::fill(buffer).expect("the operating system gives random bytes");
}

/// Stored personal data that does not open: a wrong master key, or rows that were altered.
#[derive(Debug, thiserror::Error)]
pub enum PrivacyError {
    #[error("the {what} of {person} does not open")]
    Seal { what: &'static str, person: String, source: SealError },
    #[error("the {what} of {person} is not what was stored")]
    Encoding { what: &'static str, person: String },
}

/// The keyed hash by which an identifier is found.
pub fn lookup_hash(master: &MasterKey, identifier: &ClearIdentifier) -> String {
    seal::lookup_hash(master, identifier.kind().as_str(), identifier.expose())
}

/// A new person under a new key.
pub fn seal_person(master: &MasterKey, person: &Name, clear: &ClearPerson, fill: Fill<'_>) -> (NewPerson, DataKey) {
    let key = DataKey::generate(fill);
    let mut salt = [0; SALT_LEN];
    fill(&mut salt);
    let wrapped = seal::wrap_key(master, &key, &person_key_aad(person.as_str()), nonce(fill));
    let new = NewPerson {
        identifiers: clear.identifiers.iter().map(|id| seal_identifier(master, &key, person, id, fill)).collect(),
        ciphertext: seal_data(&key, person, &clear.data, fill),
        wrapped_key: STANDARD.encode(wrapped.expect(SHORT)),
        salt: hex::encode(salt),
    };
    (new, key)
}

/// An identifier under a person's key.
pub fn seal_identifier(
    master: &MasterKey,
    key: &DataKey,
    person: &Name,
    identifier: &ClearIdentifier,
    fill: Fill<'_>,
) -> NewIdentifier {
    let aad = identifier_aad(person.as_str(), identifier.kind());
    let sealed = seal::encrypt(key, &aad, nonce(fill), identifier.expose().as_bytes());
    NewIdentifier {
        kind: identifier.kind(),
        lookup_hash: lookup_hash(master, identifier),
        ciphertext: STANDARD.encode(sealed.expect(SHORT)),
    }
}

/// Personal data under a person's key.
pub fn seal_data(key: &DataKey, person: &Name, data: &PersonalData, fill: Fill<'_>) -> String {
    let clear = Zeroizing::new(pb::PersonalData::from(data).encode_to_vec());
    STANDARD.encode(seal::encrypt(key, &data_aad(person.as_str()), nonce(fill), &clear).expect(SHORT))
}

/// The key of a person already known.
pub fn known_key(master: &MasterKey, row: &PersonKeyRow) -> Result<DataKey, PrivacyError> {
    let wrapped = decode("key", &row.person, &row.wrapped_key)?;
    let failed = |source| PrivacyError::Seal { what: "key", person: row.person.clone(), source };
    seal::unwrap_key(master, &person_key_aad(&row.person), &wrapped).map_err(failed)
}

/// A person in clear, identifiers in the order of their kinds.
pub fn open(master: &MasterKey, sealed: &Sealed) -> Result<(Vec<pb::Identifier>, pb::PersonalData), PrivacyError> {
    let person = &sealed.key.person;
    let key = known_key(master, &sealed.key)?;
    let opened = |what, aad: &[u8], ciphertext: &str| {
        let ciphertext = decode(what, person, ciphertext)?;
        let failed = |source| PrivacyError::Seal { what, person: person.clone(), source };
        seal::decrypt(&key, aad, &ciphertext).map_err(failed)
    };
    let encoding = |what| PrivacyError::Encoding { what, person: person.clone() };
    let mut identifiers = Vec::with_capacity(sealed.identifiers.len());
    for row in &sealed.identifiers {
        let clear = opened("identifier", &identifier_aad(person, row.kind), &row.ciphertext)?;
        let value = std::str::from_utf8(&clear).map_err(|_| encoding("identifier"))?.to_owned();
        identifiers
            .push(pb::Identifier { kind: jjj_wire::enums::enum_value::<pb::IdentifierKind>(row.kind.as_str()), value });
    }
    identifiers.sort_by_key(|identifier| identifier.kind);
    let clear = opened("data", &data_aad(person), &sealed.data.ciphertext)?;
    let data = pb::PersonalData::decode(clear.as_slice()).map_err(|_| encoding("data"))?;
    Ok((identifiers, data))
}

/// Stands in for a command on a person whose key is not there, so that it cannot be made: nobody
/// of that name, or erased. A repeated request still gets its first answer.
pub struct KeyGone {
    pub field: &'static str,
    pub person: Name,
}

impl Command for KeyGone {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let person = find_person(snapshot, self.field, &self.person)?;
        guard::own(call, &person.region, self.field, &self.person)?;
        person.current(self.field)?;
        // Registered in this very moment: for this request it was not there.
        Err(Reason::RecordNotFound.field(self.field).var("name", &self.person).into())
    }
}

/// Sealing fails for more than 64 GiB, and messages are of a few megabytes at most.
const SHORT: &str = "short values can be sealed";

fn nonce(fill: Fill<'_>) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    fill(&mut nonce);
    nonce
}

fn identifier_aad(person: &str, kind: IdentifierKind) -> Vec<u8> {
    format!("jjj-person-identifier-v1\n{person}\n{kind}").into_bytes()
}

fn data_aad(person: &str) -> Vec<u8> {
    format!("jjj-person-data-v1\n{person}").into_bytes()
}

fn decode(what: &'static str, person: &str, text: &str) -> Result<Vec<u8>, PrivacyError> {
    STANDARD.decode(text).map_err(|_| PrivacyError::Encoding { what, person: person.to_owned() })
}

#[cfg(test)]
mod tests {
    use jjj_domain::names::Collection;
    use jjj_domain::person::{IdentifierRow, PersonDataRow, PersonKind};

    use super::*;

    /// Not random, and different each time.
    fn counting() -> impl FnMut(&mut [u8]) {
        let mut next = 0u8;
        move |buffer| {
            for byte in buffer {
                *byte = next;
                next = next.wrapping_add(1);
            }
        }
    }

    fn clear() -> ClearPerson {
        let request = pb::RegisterPartyRequest {
            request_id: String::new(),
            salt: vec![1; 32],
            identifiers: vec![
                pb::Identifier { kind: pb::IdentifierKind::SocialSecurityCard.into(), value: "A12345678".into() },
                pb::Identifier { kind: pb::IdentifierKind::ResidentId.into(), value: "11010519491231002X".into() },
            ],
            personal_data: Some(pb::PersonalData {
                full_name: "某人".into(),
                birth_date: "1949-12-31".into(),
                sex: pb::Sex::Female.into(),
                mobile: "13900000000".into(),
                address: "某街".into(),
            }),
        };
        ClearPerson::try_from(&request).unwrap()
    }

    fn stored(person: &Name, new: &NewPerson) -> Sealed {
        let person = person.to_string();
        let identifier = |id: &NewIdentifier| IdentifierRow {
            person: person.clone(),
            holder: PersonKind::Elder,
            lookup_hash: id.lookup_hash.clone(),
            kind: id.kind,
            ciphertext: id.ciphertext.clone(),
        };
        Sealed {
            identifiers: new.identifiers.iter().map(identifier).collect(),
            data: PersonDataRow { person: person.clone(), ciphertext: new.ciphertext.clone() },
            key: PersonKeyRow { person, wrapped_key: new.wrapped_key.clone(), salt: new.salt.clone() },
        }
    }

    #[test]
    fn what_is_sealed_opens_under_the_same_master_key_for_the_same_person_only() {
        let master = MasterKey::new(&[5; 32]);
        let person = Name::of(Collection::Elder, "1");
        let (new, _) = seal_person(&master, &person, &clear(), &mut counting());
        let sealed = stored(&person, &new);
        let (identifiers, data) = open(&master, &sealed).unwrap();
        let values: Vec<_> = identifiers.iter().map(|i| i.value.as_str()).collect();
        assert_eq!(values, ["11010519491231002X", "A12345678"]);
        assert_eq!((data.full_name.as_str(), data.mobile.as_str()), ("某人", "13900000000"));

        assert!(open(&MasterKey::new(&[6; 32]), &sealed).is_err());
        let other = stored(&Name::of(Collection::Elder, "2"), &new);
        assert!(open(&master, &other).is_err());
        let mut swapped = stored(&person, &new);
        swapped.identifiers[0].kind = IdentifierKind::SeniorDisabilityCard;
        let error = open(&master, &swapped).unwrap_err().to_string();
        assert_eq!(error, "the identifier of elders/1 does not open");
    }

    #[test]
    fn what_is_stored_says_nothing() {
        let master = MasterKey::new(&[5; 32]);
        let (new, key) = seal_person(&master, &Name::of(Collection::Elder, "1"), &clear(), &mut counting());
        let text = format!("{new:?} {key:?}");
        for secret in ["1949", "A1234", "某人", "1390"] {
            assert!(!text.contains(secret), "{text}");
        }
        assert_eq!(new.salt.len(), 64);
        let again = seal_person(&master, &Name::of(Collection::Elder, "1"), &clear(), &mut system_random).0;
        assert_eq!(again.identifiers[0].lookup_hash, new.identifiers[0].lookup_hash);
        assert_ne!(again.identifiers[0].ciphertext, new.identifiers[0].ciphertext);
        assert_ne!(again.wrapped_key, new.wrapped_key);
    }
}
