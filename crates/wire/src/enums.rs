//! Enum values to and from the domain's stored text.
//!
//! A value's name after the enum's prefix is exactly that text: `RECORD_STATE_VALID` is `VALID`.

use crate::pb;

/// A generated enum whose values stand for stored texts.
pub trait EnumText: Copy + TryFrom<i32> + Into<i32> {
    /// Prefix of its values' names, with the last underscore.
    const PREFIX: &'static str;
    /// All texts, in the order of their numbers; `UNSPECIFIED` has none.
    fn texts() -> impl Iterator<Item = &'static str>;
    /// The text, `None` for `UNSPECIFIED`.
    fn text(self) -> Option<&'static str>;
    /// The value with this text; `None` when there is none.
    fn from_text(text: &str) -> Option<Self>;
}

/// The stored text of a received enum value; `None` for `UNSPECIFIED` and for a number this
/// version does not know: both are refused on input.
///
/// ```
/// use jjj_wire::{enums::enum_text, pb};
/// assert_eq!(enum_text::<pb::RecordState>(pb::RecordState::Valid.into()), Some("VALID"));
/// assert_eq!(enum_text::<pb::RecordState>(0), None);
/// ```
pub fn enum_text<E: EnumText>(value: i32) -> Option<&'static str> {
    E::try_from(value).ok()?.text()
}

/// The enum value to send for a stored text; 0 (`UNSPECIFIED`) for a text without a value.
pub fn enum_value<E: EnumText>(text: &str) -> i32 {
    E::from_text(text).map_or(0, Into::into)
}

macro_rules! enum_texts {
    ($($Enum:ident $prefix:literal;)+) => {
        $(impl EnumText for pb::$Enum {
            const PREFIX: &'static str = $prefix;
            fn texts() -> impl Iterator<Item = &'static str> {
                // Numbers are dense from 0 (tested against the descriptor).
                (1..).map_while(|number| Self::try_from(number).ok()).filter_map(Self::text)
            }
            fn text(self) -> Option<&'static str> {
                match self {
                    Self::Unspecified => None,
                    known => known.as_str_name().strip_prefix(Self::PREFIX),
                }
            }
            fn from_text(text: &str) -> Option<Self> {
                let mut name = String::with_capacity(Self::PREFIX.len() + text.len());
                name.push_str(Self::PREFIX);
                name.push_str(text);
                Self::from_str_name(&name).filter(|known| *known != Self::Unspecified)
            }
        })+

        /// Each enum's name with what the functions above make of numbers and texts, for tests.
        #[cfg(test)]
        type Functions = (&'static str, fn(i32) -> Option<&'static str>, fn(&str) -> i32, Vec<&'static str>);
        #[cfg(test)]
        fn all() -> Vec<Functions> {
            vec![$((
                stringify!($Enum),
                enum_text::<pb::$Enum>,
                enum_value::<pb::$Enum>,
                <pb::$Enum as EnumText>::texts().collect(),
            )),+]
        }
    };
}

include!("gen/enums.rs");

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    /// `RecordState` → `RECORD_STATE_`.
    fn prefix(name: &str) -> String {
        let mut prefix = String::new();
        for (i, c) in name.char_indices() {
            if i > 0 && c.is_ascii_uppercase() {
                prefix.push('_');
            }
            prefix.push(c.to_ascii_uppercase());
        }
        prefix + "_"
    }

    #[test]
    fn every_value_of_every_enum_goes_there_and_back() {
        let files = FileDescriptorSet::decode(crate::FILE_DESCRIPTOR_SET).unwrap();
        let described: Vec<_> = files.file.iter().flat_map(|f| &f.enum_type).collect();
        let all = all();
        assert_eq!(described.len(), all.len());
        for (e, (name, text, value, texts)) in described.into_iter().zip(all) {
            assert_eq!(e.name(), name);
            let prefix = prefix(name);
            let mut expected = Vec::new();
            for (at, v) in e.value.iter().enumerate() {
                assert_eq!(v.number() as usize, at, "{name} is not dense");
                let stored = v.name().strip_prefix(&prefix).unwrap_or_else(|| panic!("{} lacks {prefix}", v.name()));
                if at == 0 {
                    assert_eq!(stored, "UNSPECIFIED");
                    assert_eq!((text(0), value(stored)), (None, 0));
                } else {
                    assert_eq!((text(v.number()), value(stored)), (Some(stored), v.number()));
                    expected.push(stored);
                }
            }
            assert_eq!(texts, expected);
            for unknown in [-1, e.value.len() as i32, i32::MAX] {
                assert_eq!(text(unknown), None);
            }
            for unknown in ["", "NO_SUCH_TEXT", "unspecified"] {
                assert_eq!(value(unknown), 0);
            }
        }
    }
}
