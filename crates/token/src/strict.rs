//! JSON read strictly: one object, no member twice at any depth, nothing after it.
//!
//! `serde_json` alone would read `{"a":1,"a":2}` into a map without complaint, and an array into
//! a struct. Two readers that resolve such a text differently are how a token passes one check
//! and means something else to the next (RFC 8725 §2.4), so it is refused before it is read.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Why a text is not one strict JSON object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StrictError {
    /// Not JSON, not an object, or followed by something else.
    Syntax,
    /// This member stands twice in one object.
    Duplicate(String),
}

/// The member names of the outermost object, in order, once the whole text has proven strict.
pub(crate) fn member_names(json: &[u8]) -> Result<Vec<String>, StrictError> {
    let state = State::default();
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let read = Outermost(&state).deserialize(&mut deserializer).and_then(|()| deserializer.end());
    let State { names, duplicate } = state;
    match (duplicate.into_inner(), read) {
        (Some(name), _) => Err(StrictError::Duplicate(name)),
        (None, Err(_)) => Err(StrictError::Syntax),
        (None, Ok(())) => Ok(names.into_inner()),
    }
}

/// Reads a value from a strict JSON object. `None`: the text is not strict, or not of this type.
pub(crate) fn from_object<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    member_names(json).ok()?;
    serde_json::from_slice(json).ok()
}

/// The elements of an array, once the whole text has proven strict. `None`: not one strict JSON array.
pub(crate) fn elements(json: &[u8]) -> Option<Vec<serde_json::Value>> {
    let state = State::default();
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    Nested(&state).deserialize(&mut deserializer).and_then(|()| deserializer.end()).ok()?;
    serde_json::from_slice(json).ok()
}

/// serde: a nested struct, from an object only (serde would also accept an array).
pub(crate) fn object<'de, D: Deserializer<'de>, T: serde::Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct ObjectOnly<T>(std::marker::PhantomData<T>);

    impl<'de, T: serde::Deserialize<'de>> Visitor<'de> for ObjectOnly<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(serde::de::value::MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_map(ObjectOnly(std::marker::PhantomData))
}

#[derive(Default)]
struct State {
    names: RefCell<Vec<String>>,
    duplicate: RefCell<Option<String>>,
}

impl State {
    fn refuse<E: Error>(&self, name: String) -> E {
        *self.duplicate.borrow_mut() = Some(name);
        E::custom("duplicate member")
    }
}

struct Outermost<'s>(&'s State);

impl<'de> DeserializeSeed<'de> for Outermost<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Outermost<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let names = walk(self.0, map)?;
        *self.0.names.borrow_mut() = names;
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Nested<'s>(&'s State);

impl<'de> DeserializeSeed<'de> for Nested<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Nested<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        walk(self.0, map).map(drop)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

fn walk<'de, A: MapAccess<'de>>(state: &State, mut map: A) -> Result<Vec<String>, A::Error> {
    let mut names = Vec::new();
    let mut seen = BTreeSet::new();
    while let Some(name) = map.next_key::<String>()? {
        if !seen.insert(name.clone()) {
            return Err(state.refuse(name));
        }
        map.next_value_seed(Nested(state))?;
        names.push(name);
    }
    Ok(names)
}
