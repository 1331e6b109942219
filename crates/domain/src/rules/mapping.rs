//! How a native grade or level is read by the region that recognizes it.
//!
//! The mappings themselves are policy (agreements between regions); here is what a
//! mapped value can and cannot prove, and the default between assessment standards.

use super::assessment::{Level, Standard};
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

    /// Whether whatever it stands for is this level or a higher one: an old "severe" proves
    /// "at least severe".
    pub fn proves_at_least(self, level: impl Into<i64>) -> bool {
        self.min >= level.into()
    }

    /// Whether it can only be this level: an old "severe" is neither severe nor total for certain.
    pub fn is_exactly(self, level: impl Into<i64>) -> bool {
        let level = level.into();
        self.min == level && self.max == level
    }

    /// Whether every level it may stand for is among these: so a rate that pays levels 3 and 4
    /// alike accepts what is one of the two.
    pub fn lies_within(self, accepted: impl Fn(i64) -> bool) -> bool {
        (self.min..=self.max).all(accepted)
    }
}

/// The default reading of an assessment's final level as a GB/T 42195-2022 level
/// (DOMAIN.md §3 "Mapping" [D]): the same under GB/T 42195 and, since it defines the same five
/// levels, DB11/T 1754-2024; MZ/T 039's 0, 1, 2 nominally the same; its 3 is severe or total.
/// Scores are never converted. `None` where the standard has no such level.
pub fn default_levels(standard: Standard, native: Level) -> Option<RecognizedLevels> {
    let level = i64::from(native);
    match (standard, native) {
        (Standard::Gb42195 | Standard::Db11_1754, _) => RecognizedLevels::new(level, level, MappingQuality::Exact),
        (Standard::Mz039, Level::Intact | Level::Mild | Level::Moderate) => {
            RecognizedLevels::new(level, level, MappingQuality::Nominal)
        }
        (Standard::Mz039, Level::Severe) => {
            RecognizedLevels::new(level, i64::from(Level::Total), MappingQuality::Ambiguous)
        }
        (Standard::Mz039, Level::Total) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_between_standards() {
        use MappingQuality::{Ambiguous, Exact, Nominal};
        for (standard, native, expected) in [
            (Standard::Gb42195, 0, Some((0, 0, Exact))),
            (Standard::Gb42195, 4, Some((4, 4, Exact))),
            (Standard::Db11_1754, 3, Some((3, 3, Exact))),
            (Standard::Db11_1754, 4, Some((4, 4, Exact))),
            (Standard::Mz039, 0, Some((0, 0, Nominal))),
            (Standard::Mz039, 1, Some((1, 1, Nominal))),
            (Standard::Mz039, 2, Some((2, 2, Nominal))),
            (Standard::Mz039, 3, Some((3, 4, Ambiguous))),
            (Standard::Mz039, 4, None),
        ] {
            let mapped = default_levels(standard, Level::try_from(native).unwrap());
            assert_eq!(mapped.map(|m| (m.min(), m.max(), m.quality())), expected, "{standard} {native}");
        }
    }

    #[test]
    fn an_ambiguous_level_proves_the_lower_end_only() {
        let severe = default_levels(Standard::Mz039, Level::Severe).unwrap();
        for (level, at_least, exactly) in [
            (Level::Intact, true, false),
            (Level::Moderate, true, false),
            (Level::Severe, true, false),
            (Level::Total, false, false),
        ] {
            assert_eq!((severe.proves_at_least(level), severe.is_exactly(level)), (at_least, exactly), "{level:?}");
        }
        assert!(severe.lies_within(|level| level == 3 || level == 4));
        assert!(!severe.lies_within(|level| level == 3));
        let total = default_levels(Standard::Gb42195, Level::Total).unwrap();
        assert!(total.proves_at_least(Level::Severe) && total.is_exactly(Level::Total));
        assert!(!total.is_exactly(Level::Severe));
    }

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
