//! Text that is kept packed. A payment's leaf is three kilobytes, most of which every other one
//! has, too: packed it takes a seventh.
//!
//! The stored form is a byte that names the dictionary, then a Zstandard frame (RFC 8878). It is
//! storage, not API: what is hashed, signed and sent is the text.

use std::cell::RefCell;
use std::fmt;
use std::sync::LazyLock;

use jjj_domain::value::{Column, ColumnType, Value};
use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::zstd_safe::get_frame_content_size;

/// The dictionary in use. What was packed with it needs it for ever: another one gets another number.
const DICTIONARY: u8 = 1;
/// Leaves of the commonest kinds, as they stand in the log.
const DICTIONARY_1: &[u8] = include_bytes!("packed.1.dict");
/// Higher levels take longer and save nothing on texts so alike.
const LEVEL: i32 = 1;
/// More than any leaf: a stored frame must not make us reserve what it likes.
const LONGEST: usize = 64 << 20;

/// A text column stored packed.
#[derive(Clone, Default)]
pub struct Packed {
    text: String,
    /// Packed where the text was made, not where it is written: others wait there.
    packed: Option<Vec<u8>>,
}

impl Packed {
    pub fn into_text(self) -> String {
        self.text
    }

    /// What is stored of it, for whoever only writes it: the text is let go.
    pub fn to_store(self) -> Self {
        let packed = self.packed.unwrap_or_else(|| pack(&self.text));
        Self { text: String::new(), packed: Some(packed) }
    }

    /// Bytes as stored.
    pub fn stored_len(&self) -> usize {
        self.packed.as_ref().map_or(self.text.len(), Vec::len)
    }
}

impl PartialEq for Packed {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
impl Eq for Packed {}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl std::ops::Deref for Packed {
    type Target = str;
    fn deref(&self) -> &str {
        &self.text
    }
}

impl From<String> for Packed {
    fn from(text: String) -> Self {
        Self { packed: Some(pack(&text)), text }
    }
}

impl Column for Packed {
    const TYPE: ColumnType = ColumnType::Bytes;

    fn to_value(&self) -> Value {
        Value::Bytes(self.packed.clone().unwrap_or_else(|| pack(&self.text)))
    }

    fn from_value(value: Value) -> Result<Self, String> {
        unpack(&Vec::<u8>::from_value(value)?).map(|text| Self { text, packed: None })
    }
}

thread_local! {
    static PACK: RefCell<Compressor<'static>> = RefCell::new({
        static WRITING: LazyLock<EncoderDictionary<'static>> =
            LazyLock::new(|| EncoderDictionary::copy(DICTIONARY_1, LEVEL));
        let mut packing = Compressor::with_prepared_dictionary(&WRITING).expect("memory for a context");
        // The leaf's hash is its checksum.
        packing.include_checksum(false).expect("a flag of every version");
        packing
    });
    static UNPACK: RefCell<Decompressor<'static>> = RefCell::new({
        static READING: LazyLock<DecoderDictionary<'static>> =
            LazyLock::new(|| DecoderDictionary::copy(DICTIONARY_1));
        Decompressor::with_prepared_dictionary(&READING).expect("memory for a context")
    });
}

fn pack(text: &str) -> Vec<u8> {
    let frame = PACK.with_borrow_mut(|packing| packing.compress(text.as_bytes())).expect("memory takes any text");
    let mut packed = Vec::with_capacity(1 + frame.len());
    packed.push(DICTIONARY);
    packed.extend(frame);
    packed
}

fn unpack(packed: &[u8]) -> Result<String, String> {
    let Some((&DICTIONARY, frame)) = packed.split_first() else {
        return Err("is packed in no known way".to_owned());
    };
    // Written by every bulk compression; what has none is not of ours.
    let length = get_frame_content_size(frame).ok().flatten().and_then(|length| usize::try_from(length).ok());
    let length = length.filter(|length| *length <= LONGEST);
    let length = length.ok_or_else(|| "does not unpack: its length is missing or too large".to_owned())?;
    let text = UNPACK.with_borrow_mut(|unpacking| unpacking.decompress(frame, length));
    let text = text.map_err(|e| format!("does not unpack: {e}"))?;
    String::from_utf8(text).map_err(|_| "is no text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_reads_back() {
        let leaf = String::from_utf8(DICTIONARY_1.to_vec()).unwrap();
        for text in [String::new(), "a".into(), "护理".repeat(100_000), leaf] {
            let made = Packed::from(text);
            let read = Packed::from_value(made.to_value());
            assert_eq!(read.as_ref().map(Column::to_value), Ok(made.to_value()));
            assert_eq!(read, Ok(made));
        }
    }

    #[test]
    fn a_leaf_takes_a_quarter_at_most() {
        let leaf = std::str::from_utf8(DICTIONARY_1).unwrap().lines().last().unwrap();
        let other = leaf.replace("01a1", "7b42").replace('7', "f").replace('d', "3");
        assert!(pack(&other).len() < other.len() / 4, "{} of {}", pack(&other).len(), other.len());
    }

    #[test]
    fn what_is_not_of_ours_says_so() {
        let good = pack("a text of some length, so that it is packed");
        let mut bomb = vec![DICTIONARY];
        bomb.extend(zstd::bulk::compress(&vec![0; LONGEST + 1], 1).unwrap());
        for (stored, problem) in [
            (Vec::new(), "no known way"),
            ([&[9], &good[1..]].concat(), "no known way"),
            (good[..good.len() - 1].to_vec(), "does not unpack"),
            (vec![DICTIONARY, 1, 2, 3], "does not unpack"),
            (bomb, "too large"),
        ] {
            let fault = Packed::from_value(Value::Bytes(stored)).unwrap_err();
            assert!(fault.contains(problem), "{fault}");
        }
        assert!(Packed::from_value(Value::Text("text".into())).is_err());
    }

    #[test]
    fn the_dictionary_is_the_one_that_rows_were_packed_with() {
        // Changing a byte of it would lose every leaf: add another dictionary instead.
        let sum = DICTIONARY_1.iter().fold(0u64, |sum, b| sum.wrapping_mul(1_099_511_628_211) ^ u64::from(*b));
        assert_eq!((DICTIONARY_1.len(), sum), (19_553, 0x90d1d45c347ed851));
    }
}
