//! Page sizes and page tokens. A token is opaque to clients and bound to its method
//! and filter; it says after which key the next page begins. It is not signed: whoever makes one up
//! reads no more than the list would give, so what it says is checked like any other field.

use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jjj_domain::rejection::{Reason, Rejection};
use jjj_domain::row::TableSpec;
use jjj_domain::value::{ColumnType, Value};
use sha2::{Digest, Sha256};

use super::fields;

const DEFAULT_SIZE: i64 = 50;
const MAX_SIZE: i64 = 1_000;

/// The page that a request asks for.
#[derive(Clone, Copy, Debug)]
pub struct Paging<'a> {
    pub size: i64,
    pub token: &'a str,
    /// What a token is bound to.
    binding: [u8; 8],
}

impl<'a> Paging<'a> {
    /// From the fields of a list request; `filter` is empty where the method has none.
    pub fn new(method: &str, filter: &str, page_size: i32, page_token: &'a str) -> Result<Self, Rejection> {
        let size = match fields::in_range("page_size", i64::from(page_size), 0, MAX_SIZE)? {
            0 => DEFAULT_SIZE,
            size => size,
        };
        let digest = Sha256::new().chain_update(method).chain_update([0]).chain_update(filter).finalize();
        let mut binding = [0; 8];
        binding.copy_from_slice(&digest[..8]);
        Ok(Self { size, token: page_token, binding })
    }

    /// The key after which the page begins; `None` for the first page.
    pub fn after(&self, spec: &TableSpec) -> Result<Option<Vec<Value>>, Rejection> {
        if self.token.is_empty() {
            return Ok(None);
        }
        let types: Vec<ColumnType> = spec
            .key
            .iter()
            .map(|name| spec.columns[spec.column(name).expect("a spec names its own columns")].ty)
            .collect();
        let values = self.decode(&types)?;
        // No key has a NULL, and nothing is after one.
        if values.contains(&Value::Null) { Err(Self::malformed()) } else { Ok(Some(values)) }
    }

    /// The one number that a token holds, of this range; `None` for the first page.
    pub fn number(&self, range: RangeInclusive<i64>) -> Result<Option<i64>, Rejection> {
        if self.token.is_empty() {
            return Ok(None);
        }
        match self.decode(&[ColumnType::Int])?[..] {
            [Value::Int(number)] if range.contains(&number) => Ok(Some(number)),
            _ => Err(Self::malformed()),
        }
    }

    /// The values that a token holds, given their types.
    pub fn decode(&self, types: &[ColumnType]) -> Result<Vec<Value>, Rejection> {
        let bytes = URL_SAFE_NO_PAD.decode(self.token).map_err(|_| Self::malformed())?;
        let (binding, json) = bytes.split_first_chunk::<8>().ok_or_else(Self::malformed)?;
        let values: Vec<serde_json::Value> = serde_json::from_slice(json).map_err(|_| Self::malformed())?;
        if *binding != self.binding || values.len() != types.len() {
            return Err(Self::malformed());
        }
        values.iter().zip(types).map(|(json, ty)| Value::from_json(json, *ty).map_err(|_| Self::malformed())).collect()
    }

    /// The refusal of a token.
    pub fn malformed() -> Rejection {
        Reason::PageTokenMalformed.field("page_token")
    }

    /// The token of the page after these key values.
    pub fn encode(&self, values: &[Value]) -> String {
        let json: Vec<serde_json::Value> = values.iter().map(Value::to_json).collect();
        let json = serde_json::Value::from(json).to_string();
        URL_SAFE_NO_PAD.encode([&self.binding, json.as_bytes()].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_belongs_to_its_method_and_filter() {
        let first = Paging::new("/a", "f", 0, "").unwrap();
        assert_eq!(first.size, 50);
        let types = [ColumnType::Text, ColumnType::Int];
        let key = [Value::Text("regions/110000".into()), Value::Int(7)];
        let token = first.encode(&key);
        let next = |method, filter| Paging::new(method, filter, 1, &token).unwrap().decode(&types);
        assert_eq!(next("/a", "f").unwrap(), key);
        assert!(next("/b", "f").is_err());
        assert!(next("/a", "").is_err());
        assert!(Paging::new("/a", "f", 1, &token[1..]).unwrap().decode(&types).is_err());
        assert!(Paging::new("/a", "f", 1, &token).unwrap().decode(&types[..1]).is_err());
        assert!(Paging::new("/a", "f", 1_001, "").is_err());
    }

    #[test]
    fn a_token_of_one_number_holds_one_in_range() {
        let first = Paging::new("/a", "", 0, "").unwrap();
        assert_eq!(first.number(1..=9).unwrap(), None);
        let number = |values: &[Value]| Paging::new("/a", "", 0, &first.encode(values)).unwrap().number(1..=9);
        assert_eq!([1, 9].map(|n| number(&[Value::Int(n)]).unwrap()), [Some(1), Some(9)]);
        for bad in [&[Value::Int(0)][..], &[Value::Int(10)], &[Value::Null], &[Value::Int(1), Value::Int(1)], &[]] {
            assert_eq!(number(bad).unwrap_err(), Paging::malformed(), "{bad:?}");
        }
    }

    #[test]
    fn no_page_begins_after_a_key_that_cannot_be() {
        let spec = <jjj_domain::recon::UnitRow as jjj_domain::row::Row>::spec();
        let after = |run: Value, position: Value| {
            let token = Paging::new("/a", "", 0, "").unwrap().encode(&[run, position]);
            Paging::new("/a", "", 0, &token).unwrap().after(spec)
        };
        let run = || Value::Text("runs/1".into());
        assert_eq!(after(run(), Value::Int(7)).unwrap(), Some(vec![run(), Value::Int(7)]));
        assert_eq!(after(run(), Value::Null).unwrap_err(), Paging::malformed());
    }
}
