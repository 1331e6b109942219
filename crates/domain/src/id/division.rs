//! 行政区划代码, GB/T 2260.

use std::fmt;
use std::str::FromStr;

use super::{NotAnId, parses_field};
use crate::text_column;

/// An administrative division (GB/T 2260-2007): two digits of province, two of
/// prefecture, two of county; `00` where the division is the higher one.
///
/// Form only: codes come and go with the years, and none is refused for being unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DivisionCode(u32);

/// How far down a code reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DivisionLevel {
    /// `130000`: province, autonomous region, municipality.
    Province,
    /// `131000`: prefecture-level city.
    Prefecture,
    /// `131082`: county, district, county-level city.
    County,
}

impl DivisionCode {
    pub fn level(self) -> DivisionLevel {
        if self.0.is_multiple_of(10_000) {
            DivisionLevel::Province
        } else if self.0.is_multiple_of(100) {
            DivisionLevel::Prefecture
        } else {
            DivisionLevel::County
        }
    }

    pub fn is_province_level(self) -> bool {
        self.level() == DivisionLevel::Province
    }

    pub fn is_prefecture_level(self) -> bool {
        self.level() == DivisionLevel::Prefecture
    }

    pub fn is_county_level(self) -> bool {
        self.level() == DivisionLevel::County
    }

    /// The province this lies in: `131082` → `130000`.
    pub fn province(self) -> Self {
        Self(self.0 / 10_000 * 10_000)
    }

    /// The prefecture this lies in: `131082` → `131000`; a province is its own.
    pub fn prefecture(self) -> Self {
        Self(self.0 / 100 * 100)
    }

    /// Whether this is `other` or lies in it, as the codes tell:
    /// `131082` belongs to `131082`, `131000` and `130000`.
    pub fn belongs_to(self, other: Self) -> bool {
        match other.level() {
            DivisionLevel::Province => self.province() == other,
            DivisionLevel::Prefecture => self.prefecture() == other,
            DivisionLevel::County => self == other,
        }
    }

    /// This division and those it lies in, the nearest first: the order in which a
    /// table keyed by division is looked up.
    pub fn upwards(self) -> impl Iterator<Item = Self> {
        let mut last = None;
        [self, self.prefecture(), self.province()].into_iter().filter(move |code| last.replace(*code) != Some(*code))
    }

    /// The Chinese name, where [`NAMES`] has it. For reports, never for decisions.
    pub fn name_zh(self) -> Option<&'static str> {
        NAMES.binary_search_by_key(&self.0, |(code, _)| *code).ok().map(|at| NAMES[at].1)
    }
}

impl fmt::Display for DivisionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}", self.0)
    }
}

impl FromStr for DivisionCode {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let digits = text.len() == 6 && text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
        if !digits {
            return Err(NotAnId::Form("six digits, the first not 0"));
        }
        Ok(Self(text.parse().expect("six digits are a number")))
    }
}

parses_field!(DivisionCode);
text_column!(DivisionCode);

/// Names for reports: Beijing's and Tianjin's districts, Hebei's cities, and the counties of
/// Baoding (with 雄安's three) and Langfang, where most remote institutions stand. From npm
/// `china-division` 2.7.0 (MIT), without its statistical zones, which GB/T 2260 does not know.
#[rustfmt::skip]
const NAMES: &[(u32, &str)] = &[
    (110000, "北京市"),
    (110101, "东城区"),
    (110102, "西城区"),
    (110105, "朝阳区"),
    (110106, "丰台区"),
    (110107, "石景山区"),
    (110108, "海淀区"),
    (110109, "门头沟区"),
    (110111, "房山区"),
    (110112, "通州区"),
    (110113, "顺义区"),
    (110114, "昌平区"),
    (110115, "大兴区"),
    (110116, "怀柔区"),
    (110117, "平谷区"),
    (110118, "密云区"),
    (110119, "延庆区"),
    (120000, "天津市"),
    (120101, "和平区"),
    (120102, "河东区"),
    (120103, "河西区"),
    (120104, "南开区"),
    (120105, "河北区"),
    (120106, "红桥区"),
    (120110, "东丽区"),
    (120111, "西青区"),
    (120112, "津南区"),
    (120113, "北辰区"),
    (120114, "武清区"),
    (120115, "宝坻区"),
    (120116, "滨海新区"),
    (120117, "宁河区"),
    (120118, "静海区"),
    (120119, "蓟州区"),
    (130000, "河北省"),
    (130100, "石家庄市"),
    (130200, "唐山市"),
    (130300, "秦皇岛市"),
    (130400, "邯郸市"),
    (130500, "邢台市"),
    (130600, "保定市"),
    (130602, "竞秀区"),
    (130606, "莲池区"),
    (130607, "满城区"),
    (130608, "清苑区"),
    (130609, "徐水区"),
    (130623, "涞水县"),
    (130624, "阜平县"),
    (130626, "定兴县"),
    (130627, "唐县"),
    (130628, "高阳县"),
    (130629, "容城县"),
    (130630, "涞源县"),
    (130631, "望都县"),
    (130632, "安新县"),
    (130633, "易县"),
    (130634, "曲阳县"),
    (130635, "蠡县"),
    (130636, "顺平县"),
    (130637, "博野县"),
    (130638, "雄县"),
    (130681, "涿州市"),
    (130682, "定州市"),
    (130683, "安国市"),
    (130684, "高碑店市"),
    (130700, "张家口市"),
    (130800, "承德市"),
    (130900, "沧州市"),
    (131000, "廊坊市"),
    (131002, "安次区"),
    (131003, "广阳区"),
    (131022, "固安县"),
    (131023, "永清县"),
    (131024, "香河县"),
    (131025, "大城县"),
    (131026, "文安县"),
    (131028, "大厂回族自治县"),
    (131081, "霸州市"),
    (131082, "三河市"),
    (131100, "衡水市"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> DivisionCode {
        text.parse().unwrap()
    }

    #[test]
    fn levels_and_ancestors() {
        for (text, level, province, prefecture) in [
            ("130000", DivisionLevel::Province, "130000", "130000"),
            ("131000", DivisionLevel::Prefecture, "130000", "131000"),
            ("131082", DivisionLevel::County, "130000", "131000"),
            ("110108", DivisionLevel::County, "110000", "110100"),
        ] {
            let division = code(text);
            assert_eq!(division.level(), level, "{text}");
            assert_eq!(division.province(), code(province));
            assert_eq!(division.prefecture(), code(prefecture));
            assert_eq!(
                [division.is_province_level(), division.is_prefecture_level(), division.is_county_level()],
                [DivisionLevel::Province, DivisionLevel::Prefecture, DivisionLevel::County].map(|l| l == level)
            );
        }
        let up = |text| code(text).upwards().map(|c| c.to_string()).collect::<Vec<_>>();
        assert_eq!(up("131082"), ["131082", "131000", "130000"]);
        assert_eq!(up("131000"), ["131000", "130000"]);
        assert_eq!(up("130000"), ["130000"]);
    }

    #[test]
    fn belonging() {
        for (inner, outer, expected) in [
            ("131082", "131082", true),
            ("131082", "131000", true),
            ("131082", "130000", true),
            ("131082", "130600", false),
            ("131082", "110000", false),
            ("131082", "131024", false),
            ("130000", "131082", false),
            ("130000", "130000", true),
            ("110108", "110000", true),
        ] {
            assert_eq!(code(inner).belongs_to(code(outer)), expected, "{inner} in {outer}");
        }
    }

    #[test]
    fn names_where_known_and_nothing_else_refused() {
        for (text, name) in [
            ("110108", Some("海淀区")),
            ("120116", Some("滨海新区")),
            ("131000", Some("廊坊市")),
            ("131082", Some("三河市")),
            ("131024", Some("香河县")),
            ("131028", Some("大厂回族自治县")),
            ("131022", Some("固安县")),
            ("130681", Some("涿州市")),
            ("130606", Some("莲池区")),
            ("131071", None), // a statistical zone
            ("440524", None),
            ("999999", None),
        ] {
            assert_eq!(code(text).name_zh(), name, "{text}");
        }
        assert!(NAMES.is_sorted_by(|a, b| a.0 < b.0));
        let under = |text| NAMES.iter().filter(|(c, _)| DivisionCode(*c).belongs_to(code(text))).count();
        assert_eq!((under("110000"), under("120000")), (17, 17));
        let cities = NAMES.iter().filter(|(c, _)| DivisionCode(*c).is_prefecture_level()).count();
        assert_eq!(cities, 11);
    }

    #[test]
    fn refused() {
        for text in ["", "11010", "1101080", "01010a", "010105", "11010８", "+11010", "11 108"] {
            assert_eq!(text.parse::<DivisionCode>(), Err(NotAnId::Form("six digits, the first not 0")), "{text}");
        }
    }
}
