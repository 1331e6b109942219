//! Ability assessment of older people: scores, levels, and whether a published result
//! follows from what it says it follows from.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::rejection::{Reason, Rejection};
use crate::text_enum;
use crate::value::{Column, ColumnType, Value};

text_enum! {
    /// Assessment standards.
    pub enum Standard {
        /// 《老年人能力评估规范》, national, 2022-12-30: 26 items, 90 points, five levels.
        Gb42195 = "GB_T_42195_2022",
        /// 《老年人能力综合评估规范》, Beijing, 2024-11-28: the same five levels. Its text is not
        /// public in full; dimensions, bands and changes are taken as GB/T 42195's [D], with
        /// geriatric syndrome as one more reason for a change.
        Db11_1754 = "DB11_T_1754_2024",
        /// 《老年人能力评估》, ministerial, 2013: four dimension ratings, four levels.
        Mz039 = "MZ_T_039_2013",
    }
}

impl Standard {
    /// The worst level the standard knows.
    pub const fn worst_level(self) -> Level {
        match self {
            Self::Gb42195 | Self::Db11_1754 => Level::Total,
            Self::Mz039 => Level::Severe,
        }
    }

    fn allows(self, change: LevelChangeReason) -> bool {
        change != LevelChangeReason::GeriatricSyndrome || self == Self::Db11_1754
    }
}

/// How much ability is lost (GB/T 42195-2022, levels): 0 to 4, higher is worse. MZ/T 039-2013
/// knows the first four.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub enum Level {
    /// 能力完好
    Intact,
    /// 轻度失能
    Mild,
    /// 中度失能
    Moderate,
    /// 重度失能
    Severe,
    /// 完全失能
    Total,
}

impl Level {
    pub const ALL: [Self; 5] = [Self::Intact, Self::Mild, Self::Moderate, Self::Severe, Self::Total];

    pub const fn name_zh(self) -> &'static str {
        match self {
            Self::Intact => "能力完好",
            Self::Mild => "轻度失能",
            Self::Moderate => "中度失能",
            Self::Severe => "重度失能",
            Self::Total => "完全失能",
        }
    }

    /// The preliminary level of a total (GB/T 42195-2022, level bands): 90, 66–89, 46–65, 30–45, 0–29.
    /// Only a total of [`DimensionScores`] comes here, so it is within 0..=90.
    const fn of_total(total: i64) -> Self {
        match total {
            90.. => Self::Intact,
            66..=89 => Self::Mild,
            46..=65 => Self::Moderate,
            30..=45 => Self::Severe,
            _ => Self::Total,
        }
    }

    /// One level worse; the worst stays (GB/T 42195-2022, level changes; the cap [M]).
    const fn worse(self) -> Self {
        match self {
            Self::Intact => Self::Mild,
            Self::Mild => Self::Moderate,
            Self::Moderate => Self::Severe,
            Self::Severe | Self::Total => Self::Total,
        }
    }

    /// The final level (GB/T 42195-2022, level changes): coma is total; any other reason makes it one
    /// level worse, once however many apply [M], also from intact [M].
    pub fn after(self, changes: &BTreeSet<LevelChangeReason>) -> Self {
        if changes.contains(&LevelChangeReason::Coma) {
            Self::Total
        } else if changes.is_empty() {
            self
        } else {
            self.worse()
        }
    }
}

impl From<Level> for i64 {
    fn from(level: Level) -> Self {
        level as i64
    }
}

impl TryFrom<i64> for Level {
    type Error = String;
    fn try_from(level: i64) -> Result<Self, String> {
        let known = usize::try_from(level).ok().and_then(|at| Self::ALL.get(at).copied());
        known.ok_or_else(|| format!("{level} is no ability level"))
    }
}

impl Column for Level {
    const TYPE: ColumnType = ColumnType::Int;
    fn to_value(&self) -> Value {
        Value::Int((*self).into())
    }
    fn from_value(value: Value) -> Result<Self, String> {
        i64::from_value(value)?.try_into()
    }
}

text_enum! {
    /// Why the final level differs from the preliminary one (GB/T 42195-2022, level changes).
    /// The diagnosis itself stays at home.
    pub enum LevelChangeReason {
        /// (a) 处于昏迷状态.
        Coma = "COMA",
        /// (b) 痴呆, F00–F03, diagnosed.
        Dementia = "DEMENTIA",
        /// (c) 其他精神和行为障碍, F04–F99, by a psychiatrist.
        MentalDisorder = "MENTAL_DISORDER",
        /// (d) Two or more care risk events (照护风险事件) in the last 30 days.
        CareRiskEvents = "CARE_RISK_EVENTS",
        /// 老年综合征罹患, DB11/T 1754-2024 only; taken to weigh like (b) to (d) [D].
        GeriatricSyndrome = "GERIATRIC_SYNDROME",
    }
}

text_enum! {
    /// Why an assessment was made (GB/T 42195-2022, 评估原因).
    pub enum AssessmentReason {
        /// 首次评估
        Initial = "INITIAL",
        /// 常规评估
        Routine = "ROUTINE",
        /// 即时评估
        AdHoc = "AD_HOC",
        /// 因对评估结果有疑问进行的复评
        DisputeReassessment = "DISPUTE_REASSESSMENT",
        /// 其他
        Other = "OTHER",
    }
}

/// The four first-level scores of GB/T 42195-2022, first-level indicators, each within its maximum; higher is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DimensionScores {
    self_care: i64,
    mobility: i64,
    mental_state: i64,
    perception_social: i64,
}

impl DimensionScores {
    /// 自理能力, eight items.
    pub const SELF_CARE_MAX: i64 = 32;
    /// 基础运动能力, four items.
    pub const MOBILITY_MAX: i64 = 15;
    /// 精神状态, nine items.
    pub const MENTAL_STATE_MAX: i64 = 28;
    /// 感知觉与社会参与, five items.
    pub const PERCEPTION_SOCIAL_MAX: i64 = 15;

    fn check(claim: &Claim) -> Result<Self, Rejection> {
        Ok(Self {
            self_care: score("self_care_score", claim.self_care_score, Self::SELF_CARE_MAX)?,
            mobility: score("mobility_score", claim.mobility_score, Self::MOBILITY_MAX)?,
            mental_state: score("mental_state_score", claim.mental_state_score, Self::MENTAL_STATE_MAX)?,
            perception_social: score(
                "perception_social_score",
                claim.perception_social_score,
                Self::PERCEPTION_SOCIAL_MAX,
            )?,
        })
    }

    pub fn self_care(self) -> i64 {
        self.self_care
    }

    pub fn mobility(self) -> i64 {
        self.mobility
    }

    pub fn mental_state(self) -> i64 {
        self.mental_state
    }

    pub fn perception_social(self) -> i64 {
        self.perception_social
    }

    /// 0 to 90.
    pub fn total(self) -> i64 {
        self.self_care + self.mobility + self.mental_state + self.perception_social
    }

    pub fn preliminary_level(self) -> Level {
        Level::of_total(self.total())
    }
}

/// The four dimension ratings of MZ/T 039-2013, each 0 to 3; higher is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DimensionRatings {
    daily_living: i64,
    mental_state: i64,
    perception_communication: i64,
    social_participation: i64,
}

impl DimensionRatings {
    pub const MAX: i64 = 3;

    fn check(claim: &Claim) -> Result<Self, Rejection> {
        Ok(Self {
            daily_living: score("daily_living_rating", claim.daily_living_rating, Self::MAX)?,
            mental_state: score("mental_state_rating", claim.mental_state_rating, Self::MAX)?,
            perception_communication: score(
                "perception_communication_rating",
                claim.perception_communication_rating,
                Self::MAX,
            )?,
            social_participation: score("social_participation_rating", claim.social_participation_rating, Self::MAX)?,
        })
    }

    pub fn daily_living(self) -> i64 {
        self.daily_living
    }

    pub fn mental_state(self) -> i64 {
        self.mental_state
    }

    pub fn perception_communication(self) -> i64 {
        self.perception_communication
    }

    pub fn social_participation(self) -> i64 {
        self.social_participation
    }
}

/// An assessment as somebody states it: anything may be missing or wrong.
///
/// The scores and the total belong to GB/T 42195 and DB11/T 1754; the ratings to MZ/T 039.
/// Zero is a score like any other, so absence is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    pub standard: Standard,
    pub assessment_reason: AssessmentReason,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_care_score: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mobility_score: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mental_state_score: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub perception_social_score: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_score: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preliminary_level: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily_living_rating: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mental_state_rating: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub perception_communication_rating: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub social_participation_rating: Option<i64>,
    #[serde(default)]
    pub change_reasons: BTreeSet<LevelChangeReason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_level: Option<i64>,
}

impl Claim {
    /// A claim that states nothing yet.
    pub fn new(standard: Standard, assessment_reason: AssessmentReason) -> Self {
        Self {
            standard,
            assessment_reason,
            self_care_score: None,
            mobility_score: None,
            mental_state_score: None,
            perception_social_score: None,
            total_score: None,
            preliminary_level: None,
            daily_living_rating: None,
            mental_state_rating: None,
            perception_communication_rating: None,
            social_participation_rating: None,
            change_reasons: BTreeSet::new(),
            final_level: None,
        }
    }

    fn scores(&self) -> [(&'static str, Option<i64>); 5] {
        [
            ("self_care_score", self.self_care_score),
            ("mobility_score", self.mobility_score),
            ("mental_state_score", self.mental_state_score),
            ("perception_social_score", self.perception_social_score),
            ("total_score", self.total_score),
        ]
    }

    fn ratings(&self) -> [(&'static str, Option<i64>); 4] {
        [
            ("daily_living_rating", self.daily_living_rating),
            ("mental_state_rating", self.mental_state_rating),
            ("perception_communication_rating", self.perception_communication_rating),
            ("social_participation_rating", self.social_participation_rating),
        ]
    }
}

/// What an assessment measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measured {
    /// GB/T 42195 and DB11/T 1754: points, from which the preliminary level follows.
    Scores(DimensionScores),
    /// MZ/T 039: ratings, from which a decision card makes the level.
    Ratings(DimensionRatings),
}

/// An assessment that follows from its own scores and reasons. As JSON it is its claim, and
/// is checked again when read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Claim", into = "Claim")]
pub struct Assessed {
    standard: Standard,
    assessment_reason: AssessmentReason,
    measured: Measured,
    preliminary_level: Option<Level>,
    change_reasons: BTreeSet<LevelChangeReason>,
    final_level: Level,
}

impl Assessed {
    /// Checks arithmetic and rules, in the order in which they build on one another: scores
    /// within their maxima, total, preliminary level, change reasons, final level.
    ///
    /// MZ/T 039's decision card is not public in a form we could check against, nor how its
    /// changes apply. There the levels are only bounded [D]: 0 to 3, a preliminary level may be
    /// left out, the final one is not better than it, and the reasons are carried as stated.
    pub fn check(claim: &Claim) -> Result<Self, Rejection> {
        let standard = claim.standard;
        let (measured, preliminary_level) = match standard {
            Standard::Gb42195 | Standard::Db11_1754 => {
                none_of(claim.ratings(), standard)?;
                let scores = DimensionScores::check(claim)?;
                check_total(scores, claim)?;
                (Measured::Scores(scores), Some(check_preliminary(scores, claim)?))
            }
            Standard::Mz039 => {
                none_of(claim.scores(), standard)?;
                let ratings = DimensionRatings::check(claim)?;
                let preliminary = claim.preliminary_level.map(|n| level("preliminary_level", Some(n), standard));
                (Measured::Ratings(ratings), preliminary.transpose()?)
            }
        };
        check_changes(claim)?;
        let final_level = check_final(preliminary_level, claim)?;
        Ok(Self {
            standard,
            assessment_reason: claim.assessment_reason,
            measured,
            preliminary_level,
            change_reasons: claim.change_reasons.clone(),
            final_level,
        })
    }

    pub fn standard(&self) -> Standard {
        self.standard
    }

    pub fn assessment_reason(&self) -> AssessmentReason {
        self.assessment_reason
    }

    pub fn measured(&self) -> Measured {
        self.measured
    }

    /// `None` where an MZ/T 039 assessment states none.
    pub fn preliminary_level(&self) -> Option<Level> {
        self.preliminary_level
    }

    pub fn change_reasons(&self) -> &BTreeSet<LevelChangeReason> {
        &self.change_reasons
    }

    pub fn final_level(&self) -> Level {
        self.final_level
    }
}

impl TryFrom<Claim> for Assessed {
    type Error = Rejection;
    fn try_from(claim: Claim) -> Result<Self, Rejection> {
        Self::check(&claim)
    }
}

impl From<Assessed> for Claim {
    fn from(assessed: Assessed) -> Self {
        let mut claim = Self::new(assessed.standard, assessed.assessment_reason);
        match assessed.measured {
            Measured::Scores(scores) => {
                claim.self_care_score = Some(scores.self_care);
                claim.mobility_score = Some(scores.mobility);
                claim.mental_state_score = Some(scores.mental_state);
                claim.perception_social_score = Some(scores.perception_social);
                claim.total_score = Some(scores.total());
            }
            Measured::Ratings(ratings) => {
                claim.daily_living_rating = Some(ratings.daily_living);
                claim.mental_state_rating = Some(ratings.mental_state);
                claim.perception_communication_rating = Some(ratings.perception_communication);
                claim.social_participation_rating = Some(ratings.social_participation);
            }
        }
        claim.preliminary_level = assessed.preliminary_level.map(i64::from);
        claim.change_reasons = assessed.change_reasons;
        claim.final_level = Some(assessed.final_level.into());
        claim
    }
}

fn check_total(scores: DimensionScores, claim: &Claim) -> Result<(), Rejection> {
    let total = stated("total_score", claim.total_score)?;
    if total == scores.total() {
        return Ok(());
    }
    Err(Reason::TotalMismatch.field("total_score").var("total", total).var("sum", scores.total()))
}

fn check_preliminary(scores: DimensionScores, claim: &Claim) -> Result<Level, Rejection> {
    let stated = level("preliminary_level", claim.preliminary_level, claim.standard)?;
    let expected = scores.preliminary_level();
    if stated == expected {
        return Ok(expected);
    }
    let refused = Reason::PreliminaryLevelMismatch.field("preliminary_level").var("level", i64::from(stated));
    Err(refused.var("expected", i64::from(expected)))
}

fn check_changes(claim: &Claim) -> Result<(), Rejection> {
    let standard = claim.standard;
    match claim.change_reasons.iter().find(|change| !standard.allows(**change)) {
        Some(change) => {
            let refused = Reason::ChangeReasonNotAllowed.field("change_reasons");
            Err(refused.var("scheme", standard).var("change", change))
        }
        None => Ok(()),
    }
}

fn check_final(preliminary: Option<Level>, claim: &Claim) -> Result<Level, Rejection> {
    let standard = claim.standard;
    let stated = level("final_level", claim.final_level, standard)?;
    let preliminary = preliminary.unwrap_or(Level::Intact);
    let expected = match standard {
        Standard::Gb42195 | Standard::Db11_1754 => {
            let follows = preliminary.after(&claim.change_reasons);
            follows..=follows
        }
        Standard::Mz039 => preliminary..=standard.worst_level(),
    };
    if expected.contains(&stated) {
        return Ok(stated);
    }
    let (best, worst) = (i64::from(*expected.start()), i64::from(*expected.end()));
    let expected = if best == worst { best.to_string() } else { format!("{best}..{worst}") };
    let refused = Reason::FinalLevelMismatch.field("final_level").var("level", i64::from(stated));
    Err(refused.var("expected", expected))
}

fn none_of<const N: usize>(fields: [(&'static str, Option<i64>); N], standard: Standard) -> Result<(), Rejection> {
    match fields.into_iter().find(|(_, value)| value.is_some()) {
        Some((field, _)) => Err(Reason::FieldNotApplicable.field(field).var("scheme", standard)),
        None => Ok(()),
    }
}

fn stated(field: &str, value: Option<i64>) -> Result<i64, Rejection> {
    value.ok_or_else(|| Reason::FieldMissing.field(field))
}

fn score(field: &str, value: Option<i64>, max: i64) -> Result<i64, Rejection> {
    let value = stated(field, value)?;
    if (0..=max).contains(&value) { Ok(value) } else { Err(Reason::DimensionScore.field(field).var("max", max)) }
}

fn level(field: &str, value: Option<i64>, standard: Standard) -> Result<Level, Rejection> {
    let worst = standard.worst_level();
    let known = Level::try_from(stated(field, value)?).ok().filter(|level| *level <= worst);
    known.ok_or_else(|| Reason::FieldOutOfRange.field(field).var("range", format!("0..{}", i64::from(worst))))
}

#[cfg(test)]
mod tests;
