//! Stored values: what a column can hold, and how a typed field becomes one.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, de::DeserializeOwned};

/// One stored column value. There is no floating point: money is integer fen.
/// Digests are lower-case hex text; bytes are for evidence, receipts, packed leaves and file chunks.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl Value {
    /// The value in a leaf's canonical JSON: integers as strings (RFC 8785 numbers are doubles), bytes in hex.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Int(n) => serde_json::Value::String(n.to_string()),
            Self::Text(s) => serde_json::Value::String(s.clone()),
            Self::Bytes(b) => serde_json::Value::String(hex::encode(b)),
        }
    }

    /// Reads a leaf's JSON back, given the column's type.
    pub fn from_json(json: &serde_json::Value, ty: ColumnType) -> Result<Self, String> {
        match (json, ty) {
            (serde_json::Value::Null, _) => Ok(Self::Null),
            (serde_json::Value::String(s), ColumnType::Text) => Ok(Self::Text(s.clone())),
            (serde_json::Value::String(s), ColumnType::Int) => {
                s.parse().map(Self::Int).map_err(|_| format!("{s:?} is not an integer"))
            }
            (serde_json::Value::String(s), ColumnType::Bytes) => {
                hex::decode(s).map(Self::Bytes).map_err(|_| format!("{s:?} is not hex"))
            }
            (other, _) => Err(format!("{other} is neither null nor a string")),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Int(n) => write!(f, "{n}"),
            Self::Text(s) => f.write_str(s),
            Self::Bytes(b) => f.write_str(&hex::encode(b)),
        }
    }
}

/// The storage types, portable between SQLite and PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// `BIGINT`: fen, counts, UTC microseconds, booleans as 0 and 1.
    Int,
    /// `TEXT`.
    Text,
    /// `BYTEA` on PostgreSQL, `BLOB` on SQLite.
    Bytes,
}

/// A field type that knows its column.
pub trait Column: Sized {
    const TYPE: ColumnType;
    const NULLABLE: bool = false;
    /// The closed set of texts an enum column may hold; becomes a `CHECK`.
    const CHOICES: &'static [&'static str] = &[];

    fn to_value(&self) -> Value;
    /// Fails only on stored data that no code of ours wrote.
    fn from_value(value: Value) -> Result<Self, String>;
}

impl Column for i64 {
    const TYPE: ColumnType = ColumnType::Int;
    fn to_value(&self) -> Value {
        Value::Int(*self)
    }
    fn from_value(value: Value) -> Result<Self, String> {
        match value {
            Value::Int(n) => Ok(n),
            other => Err(format!("{other} is not an integer")),
        }
    }
}

impl Column for bool {
    const TYPE: ColumnType = ColumnType::Int;
    fn to_value(&self) -> Value {
        Value::Int(i64::from(*self))
    }
    fn from_value(value: Value) -> Result<Self, String> {
        match value {
            Value::Int(0) => Ok(false),
            Value::Int(1) => Ok(true),
            other => Err(format!("{other} is not 0 or 1")),
        }
    }
}

impl Column for String {
    const TYPE: ColumnType = ColumnType::Text;
    fn to_value(&self) -> Value {
        Value::Text(self.clone())
    }
    fn from_value(value: Value) -> Result<Self, String> {
        match value {
            Value::Text(s) => Ok(s),
            other => Err(format!("{other} is not text")),
        }
    }
}

impl Column for Vec<u8> {
    const TYPE: ColumnType = ColumnType::Bytes;
    fn to_value(&self) -> Value {
        Value::Bytes(self.clone())
    }
    fn from_value(value: Value) -> Result<Self, String> {
        match value {
            Value::Bytes(b) => Ok(b),
            other => Err(format!("{other} is not bytes")),
        }
    }
}

impl<T: Column> Column for Option<T> {
    const TYPE: ColumnType = T::TYPE;
    const NULLABLE: bool = true;
    const CHOICES: &'static [&'static str] = T::CHOICES;
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::to_value)
    }
    fn from_value(value: Value) -> Result<Self, String> {
        match value {
            Value::Null => Ok(None),
            some => T::from_value(some).map(Some),
        }
    }
}

/// A structured column: canonical JSON text (RFC 8785), written and read as `T`.
///
/// Integers inside are JSON numbers within ±2^53, which is 90 trillion yuan in fen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize + DeserializeOwned> Column for Json<T> {
    const TYPE: ColumnType = ColumnType::Text;
    fn to_value(&self) -> Value {
        Value::Text(canonical_json(&self.0))
    }
    fn from_value(value: Value) -> Result<Self, String> {
        let text = String::from_value(value)?;
        serde_json::from_str(&text).map(Json).map_err(|e| e.to_string())
    }
}

/// Canonical JSON (RFC 8785) of a value whose `Serialize` cannot fail: maps with
/// ASCII keys, texts, integers within ±2^53, booleans, lists. Of such values the sorted maps and
/// the spelling of `serde_json` are RFC 8785's; a test compares with another writer.
pub fn canonical_json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_value(value).expect("plain data serializes").to_string()
}

/// Column, `Display` and serde for a type that parses itself from text.
#[macro_export]
macro_rules! text_column {
    ($($T:ty),+ $(,)?) => {$(
        impl $crate::value::Column for $T {
            const TYPE: $crate::value::ColumnType = $crate::value::ColumnType::Text;
            fn to_value(&self) -> $crate::value::Value {
                $crate::value::Value::Text(self.to_string())
            }
            fn from_value(value: $crate::value::Value) -> Result<Self, String> {
                $crate::value::parse_text(value)
            }
        }
        impl serde::Serialize for $T {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $T {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(d)?;
                text.parse().map_err(|e| serde::de::Error::custom(format!("{text:?}: {e}")))
            }
        }
    )+};
}

/// Support for [`text_column!`].
pub fn parse_text<T: FromStr>(value: Value) -> Result<T, String>
where
    T::Err: fmt::Display,
{
    let text = String::from_value(value)?;
    text.parse().map_err(|e| format!("{text:?}: {e}"))
}

/// A closed set stored as upper-case text, with a `CHECK` in the schema.
#[macro_export]
macro_rules! text_enum {
    ($(#[$m:meta])* pub enum $Name:ident { $($(#[$vm:meta])* $V:ident = $text:literal),+ $(,)? }) => {
        $(#[$m])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $Name { $($(#[$vm])* $V),+ }

        impl $Name {
            pub const ALL: &'static [Self] = &[$(Self::$V),+];
            pub const TEXTS: &'static [&'static str] = &[$($text),+];
            /// The stored and wire text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$V => $text),+ }
            }
        }
        impl std::fmt::Display for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl std::str::FromStr for $Name {
            type Err = $crate::value::UnknownText;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$V),)+
                    _ => Err($crate::value::UnknownText),
                }
            }
        }
        impl $crate::value::Column for $Name {
            const TYPE: $crate::value::ColumnType = $crate::value::ColumnType::Text;
            const CHOICES: &'static [&'static str] = &[$($text),+];
            fn to_value(&self) -> $crate::value::Value {
                $crate::value::Value::Text(self.as_str().to_owned())
            }
            fn from_value(value: $crate::value::Value) -> Result<Self, String> {
                $crate::value::parse_text(value)
            }
        }
        impl serde::Serialize for $Name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.as_str())
            }
        }
        impl<'de> serde::Deserialize<'de> for $Name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(d)?;
                text.parse().map_err(|_| serde::de::Error::custom(format!("unknown {} {text:?}", stringify!($Name))))
            }
        }
    };
}

/// A text outside a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown text")]
pub struct UnknownText;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Serialize)]
    struct Unsorted {
        version: i64,
        record: String,
        also: Option<bool>,
        list: Vec<Vec<String>>,
    }

    proptest! {
        #[test]
        fn canonical_json_is_what_another_writer_makes(
            version in -(1i64 << 53)..=1 << 53,
            record in any::<String>(),
            also in any::<Option<bool>>(),
            list in prop::collection::vec(prop::collection::vec("[\\x00-\\x7f]{0,4}", 0..3), 0..3),
        ) {
            let value = Unsorted { version, record, also, list };
            prop_assert_eq!(canonical_json(&value), serde_jcs::to_string(&value).unwrap());
        }
    }
}
