//! Rating of care institutions and community stations, and the lifecycle that all
//! records share.

use serde::Serialize;

use crate::rejection::{Reason, Rejection};
use crate::text_enum;

text_enum! {
    /// Rating schemes. Institutions and stations are never mixed.
    pub enum Scheme {
        /// 养老机构等级划分与评定, GB/T 37276-2018: 一级 to 五级, the fifth the best.
        GbT37276 = "GB_T_37276",
        /// Beijing's institution stars, 京民养老发〔2024〕13号: one to five.
        BeijingStar = "BEIJING_STAR",
        /// Beijing's community-station stars, 京民养老发〔2024〕14号: one to three.
        CommunityStationStar = "COMMUNITY_STATION_STAR",
    }
}

text_enum! {
    /// What a scheme rates.
    pub enum RatedKind {
        /// 养老机构
        CareInstitution = "CARE_INSTITUTION",
        /// 驿站
        CommunityStation = "COMMUNITY_STATION",
    }
}

impl Scheme {
    pub const fn rates(self) -> RatedKind {
        match self {
            Self::GbT37276 | Self::BeijingStar => RatedKind::CareInstitution,
            Self::CommunityStationStar => RatedKind::CommunityStation,
        }
    }
}

/// A grade: 1 is the lowest. Stars and levels alike are shown as stars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Grade(u8);

/// No scheme has more grades than a person can count in stars.
const MOST_GRADES: i64 = 9;

impl Grade {
    /// Refuses a grade that the scheme, under the policy in force, does not have.
    pub fn check(field: &str, scheme: Scheme, grade: i64, max_grade: i64) -> Result<Self, Rejection> {
        if (1..=max_grade.min(MOST_GRADES)).contains(&grade) {
            Ok(Self(grade as u8))
        } else {
            Err(Reason::GradeUnknown.field(field).var("scheme", scheme).var("grade", grade))
        }
    }

    /// `★★★★`.
    pub fn stars(self) -> String {
        "★".repeat(self.0.into())
    }
}

impl From<Grade> for i64 {
    fn from(grade: Grade) -> Self {
        grade.0.into()
    }
}

text_enum! {
    /// Where a version of a record stands (DOMAIN.md §2 "States"). `EXPIRED` is not among
    /// them: it follows from the dates, see [`ObservedState`].
    pub enum RecordState {
        /// 已申请
        Applied = "APPLIED",
        /// 公示
        Publicized = "PUBLICIZED",
        /// 有效
        Valid = "VALID",
        /// 整改: faults to be put right by a deadline; still recognized.
        Rectifying = "RECTIFYING",
        /// 暂停
        Suspended = "SUSPENDED",
        /// 升级: replaced by a version of a higher grade.
        Upgraded = "UPGRADED",
        /// 降级: replaced by a version of a lower grade.
        Downgraded = "DOWNGRADED",
        /// 变更: replaced by a version with corrected particulars.
        Amended = "AMENDED",
        /// 撤销
        Revoked = "REVOKED",
        /// Replaced by another record: a renewal, a new assessment.
        Superseded = "SUPERSEDED",
        /// 注销: the subject closed, or the application ended without an award.
        Cancelled = "CANCELLED",
    }
}

impl RecordState {
    /// What a version in this state may become. The first two rows' way out and the ways back
    /// from rectification and suspension are [D]; the rest is DOMAIN.md §2.
    ///
    /// | From | May become |
    /// |---|---|
    /// | APPLIED | PUBLICIZED, CANCELLED |
    /// | PUBLICIZED | VALID, CANCELLED |
    /// | VALID | RECTIFYING, SUSPENDED, UPGRADED, DOWNGRADED, AMENDED, REVOKED, SUPERSEDED, CANCELLED |
    /// | RECTIFYING | VALID, SUSPENDED, DOWNGRADED, REVOKED, SUPERSEDED, CANCELLED |
    /// | SUSPENDED | VALID, RECTIFYING, DOWNGRADED, REVOKED, SUPERSEDED, CANCELLED |
    /// | the others | nothing |
    ///
    /// Absent on purpose: UPGRADED and AMENDED out of RECTIFYING or SUSPENDED, because the
    /// version that replaces is VALID and would wipe out the fault.
    pub const fn successors(self) -> &'static [Self] {
        use RecordState::*;
        match self {
            Applied => &[Publicized, Cancelled],
            Publicized => &[Valid, Cancelled],
            Valid => &[Rectifying, Suspended, Upgraded, Downgraded, Amended, Revoked, Superseded, Cancelled],
            Rectifying => &[Valid, Suspended, Downgraded, Revoked, Superseded, Cancelled],
            Suspended => &[Valid, Rectifying, Downgraded, Revoked, Superseded, Cancelled],
            Upgraded | Downgraded | Amended | Revoked | Superseded | Cancelled => &[],
        }
    }

    pub fn can_become(self, next: Self) -> bool {
        self.successors().contains(&next)
    }

    /// Whether a first version may be published in this state [D]: regions publish results,
    /// and may publish the steps before.
    pub const fn can_begin(self) -> bool {
        matches!(self, Self::Applied | Self::Publicized | Self::Valid)
    }

    /// Whether it marks a version that another version of the same record replaced; the new
    /// one is VALID.
    pub const fn marks_replaced(self) -> bool {
        matches!(self, Self::Upgraded | Self::Downgraded | Self::Amended)
    }

    /// Whether a record in this state, and in date, is recognized by other regions.
    pub const fn is_recognizable(self) -> bool {
        matches!(self, Self::Valid | Self::Rectifying)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RecordState::*;

    #[test]
    fn grades_within_the_scheme() {
        for (scheme, max, grade, ok) in [
            (Scheme::GbT37276, 5, 0, false),
            (Scheme::GbT37276, 5, 1, true),
            (Scheme::GbT37276, 5, 5, true),
            (Scheme::GbT37276, 5, 6, false),
            (Scheme::GbT37276, 5, -1, false),
            (Scheme::GbT37276, 5, 257, false),
            (Scheme::BeijingStar, 5, 6, false),
            (Scheme::CommunityStationStar, 3, 3, true),
            (Scheme::CommunityStationStar, 3, 4, false),
        ] {
            let checked = Grade::check("native_grade", scheme, grade, max);
            assert_eq!(checked.is_ok(), ok, "{scheme} {grade}");
            if let Err(refused) = checked {
                assert_eq!((refused.reason, refused.field.as_deref()), (Reason::GradeUnknown, Some("native_grade")));
                assert_eq!(refused.message_en(), format!("{scheme} has no grade {grade}"));
            }
        }
        assert!(Grade::check("native_grade", Scheme::GbT37276, 10, i64::MAX).is_err());
    }

    #[test]
    fn grades_are_shown_as_stars() {
        let four = Grade::check("native_grade", Scheme::GbT37276, 4, 5).unwrap();
        assert_eq!(four.stars(), "★★★★");
        assert_eq!(i64::from(four), 4);
    }

    #[test]
    fn stations_and_institutions_are_not_mixed() {
        assert_eq!(Scheme::GbT37276.rates(), Scheme::BeijingStar.rates());
        assert_ne!(Scheme::GbT37276.rates(), Scheme::CommunityStationStar.rates());
    }

    #[test]
    fn the_lifecycle_and_nothing_else() {
        let allowed = [
            (Applied, vec![Publicized, Cancelled]),
            (Publicized, vec![Valid, Cancelled]),
            (Valid, vec![Rectifying, Suspended, Upgraded, Downgraded, Amended, Revoked, Superseded, Cancelled]),
            (Rectifying, vec![Valid, Suspended, Downgraded, Revoked, Superseded, Cancelled]),
            (Suspended, vec![Valid, Rectifying, Downgraded, Revoked, Superseded, Cancelled]),
        ];
        for from in RecordState::ALL.iter().copied() {
            let targets = allowed.iter().find(|(state, _)| *state == from).map_or(vec![], |(_, to)| to.clone());
            for to in RecordState::ALL.iter().copied() {
                assert_eq!(from.can_become(to), targets.contains(&to), "{from} to {to}");
            }
            assert_eq!(from.is_recognizable(), matches!(from, Valid | Rectifying));
            assert_eq!(from.marks_replaced(), matches!(from, Upgraded | Downgraded | Amended));
            assert_eq!(from.can_begin(), matches!(from, Applied | Publicized | Valid));
        }
    }
}
