//! How a native grade or level is read by the region that recognizes it.
//!
//! The mappings themselves are policy: agreements between regions, whose defaults are in
//! `policy/defaults.json`.

use crate::text_enum;

text_enum! {
    /// How faithful a mapping is (DOMAIN.md §3 "Mapping" [D]).
    pub enum MappingQuality {
        /// The same standard, or one that defines the same levels.
        Exact = "EXACT",
        /// The same ordinal under another standard, taken as equal by agreement.
        Nominal = "NOMINAL",
        /// One of several; which, the record does not say.
        Ambiguous = "AMBIGUOUS",
    }
}

/// The grades or levels a record may stand for: a non-empty range, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecognizedLevels {
    min: i64,
    max: i64,
    quality: MappingQuality,
}

impl RecognizedLevels {
    /// `None` unless `min < max` exactly when the quality is `AMBIGUOUS`, and `min == max` otherwise.
    pub fn new(min: i64, max: i64, quality: MappingQuality) -> Option<Self> {
        let fits = match quality {
            MappingQuality::Exact | MappingQuality::Nominal => min == max,
            MappingQuality::Ambiguous => min < max,
        };
        fits.then_some(Self { min, max, quality })
    }

    pub fn min(self) -> i64 {
        self.min
    }

    pub fn max(self) -> i64 {
        self.max
    }

    pub fn quality(self) -> MappingQuality {
        self.quality
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_and_range_agree() {
        use MappingQuality::{Ambiguous, Exact, Nominal};
        for (min, max, quality, ok) in [
            (3, 3, Exact, true),
            (3, 3, Nominal, true),
            (3, 3, Ambiguous, false),
            (3, 4, Ambiguous, true),
            (3, 4, Exact, false),
            (3, 4, Nominal, false),
            (4, 3, Ambiguous, false),
            (4, 3, Exact, false),
        ] {
            assert_eq!(RecognizedLevels::new(min, max, quality).is_some(), ok, "{min} {max} {quality}");
        }
    }
}
