use proptest::prelude::*;

use super::*;
use LevelChangeReason::{CareRiskEvents, Coma, Dementia, GeriatricSyndrome, MentalDisorder};

/// A consistent claim with the given scores.
fn scored(standard: Standard, scores: [i64; 4], changes: &[LevelChangeReason]) -> Claim {
    let [self_care, mobility, mental_state, perception_social] = scores;
    let total: i64 = scores.iter().sum();
    let preliminary = Level::of_total(total);
    let changes: BTreeSet<_> = changes.iter().copied().collect();
    let mut claim = Claim::new(standard, AssessmentReason::Initial);
    claim.self_care_score = Some(self_care);
    claim.mobility_score = Some(mobility);
    claim.mental_state_score = Some(mental_state);
    claim.perception_social_score = Some(perception_social);
    claim.total_score = Some(total);
    claim.preliminary_level = Some(preliminary.into());
    claim.final_level = Some(preliminary.after(&changes).into());
    claim.change_reasons = changes;
    claim
}

fn gb() -> Claim {
    scored(Standard::Gb42195, [20, 8, 15, 7], &[])
}

fn mz() -> Claim {
    let mut claim = Claim::new(Standard::Mz039, AssessmentReason::Routine);
    claim.daily_living_rating = Some(3);
    claim.mental_state_rating = Some(1);
    claim.perception_communication_rating = Some(0);
    claim.social_participation_rating = Some(2);
    claim.final_level = Some(3);
    claim
}

/// One that states its preliminary level.
fn mz_moderate() -> Claim {
    let mut claim = mz();
    claim.daily_living_rating = Some(1);
    claim.preliminary_level = Some(2);
    claim.final_level = Some(2);
    claim
}

#[test]
fn every_edge_of_every_band() {
    for (total, level) in [
        (90, Level::Intact),
        (89, Level::Mild),
        (66, Level::Mild),
        (65, Level::Moderate),
        (46, Level::Moderate),
        (45, Level::Severe),
        (30, Level::Severe),
        (29, Level::Total),
        (0, Level::Total),
    ] {
        assert_eq!(Level::of_total(total), level, "{total}");
    }
}

#[test]
fn the_maxima_are_the_standards() {
    let max = [
        DimensionScores::SELF_CARE_MAX,
        DimensionScores::MOBILITY_MAX,
        DimensionScores::MENTAL_STATE_MAX,
        DimensionScores::PERCEPTION_SOCIAL_MAX,
    ];
    assert_eq!(max.iter().sum::<i64>(), 90);
    for standard in [Standard::Gb42195, Standard::Db11_1754] {
        let assessed = Assessed::check(&scored(standard, max, &[])).unwrap();
        assert_eq!(assessed.final_level(), Level::Intact);
        let assessed = Assessed::check(&scored(standard, [0; 4], &[])).unwrap();
        assert_eq!((assessed.preliminary_level(), assessed.final_level()), (Some(Level::Total), Level::Total));
    }
}

#[test]
fn changes_make_it_worse_once_and_coma_total() {
    for (preliminary, changes, expected) in [
        (0, &[][..], 0),
        (3, &[], 3),
        (0, &[Dementia], 1),
        (0, &[MentalDisorder], 1),
        (0, &[CareRiskEvents], 1),
        (1, &[Dementia], 2),
        (2, &[Dementia, MentalDisorder, CareRiskEvents], 3),
        (3, &[CareRiskEvents], 4),
        (4, &[Dementia], 4),
        (0, &[Coma], 4),
        (2, &[Coma, Dementia], 4),
        (4, &[Coma], 4),
        (1, &[GeriatricSyndrome], 2),
        (1, &[GeriatricSyndrome, Dementia], 2),
    ] {
        let level = Level::try_from(preliminary).unwrap().after(&changes.iter().copied().collect());
        assert_eq!(i64::from(level), expected, "{preliminary} {changes:?}");
    }
}

#[test]
fn a_sound_claim_is_taken_as_it_is() {
    let assessed = Assessed::check(&scored(Standard::Gb42195, [10, 5, 16, 4], &[Dementia])).unwrap();
    assert_eq!(assessed.preliminary_level(), Some(Level::Severe));
    assert_eq!(assessed.final_level(), Level::Total);
    let Measured::Scores(scores) = assessed.measured() else { panic!("scores") };
    assert_eq!(
        (scores.self_care(), scores.mobility(), scores.mental_state(), scores.perception_social(), scores.total()),
        (10, 5, 16, 4, 35)
    );
    let assessed = Assessed::check(&mz()).unwrap();
    assert_eq!((assessed.preliminary_level(), assessed.final_level()), (None, Level::Severe));
    let Measured::Ratings(ratings) = assessed.measured() else { panic!("ratings") };
    assert_eq!(
        (
            ratings.daily_living(),
            ratings.mental_state(),
            ratings.perception_communication(),
            ratings.social_participation()
        ),
        (3, 1, 0, 2)
    );
    Assessed::check(&scored(Standard::Db11_1754, [20, 8, 15, 7], &[GeriatricSyndrome])).unwrap();
}

/// Each row spoils one thing in a sound claim.
#[test]
fn each_fault_has_its_reason_and_field() {
    type Row = (fn() -> Claim, fn(&mut Claim), Reason, &'static str);
    let rows: &[Row] = &[
        (gb, |c| c.self_care_score = None, Reason::FieldMissing, "self_care_score"),
        (gb, |c| c.mobility_score = None, Reason::FieldMissing, "mobility_score"),
        (gb, |c| c.mental_state_score = None, Reason::FieldMissing, "mental_state_score"),
        (gb, |c| c.perception_social_score = None, Reason::FieldMissing, "perception_social_score"),
        (gb, |c| c.total_score = None, Reason::FieldMissing, "total_score"),
        (gb, |c| c.preliminary_level = None, Reason::FieldMissing, "preliminary_level"),
        (gb, |c| c.final_level = None, Reason::FieldMissing, "final_level"),
        (gb, |c| c.self_care_score = Some(33), Reason::DimensionScore, "self_care_score"),
        (gb, |c| c.self_care_score = Some(-1), Reason::DimensionScore, "self_care_score"),
        (gb, |c| c.mobility_score = Some(16), Reason::DimensionScore, "mobility_score"),
        (gb, |c| c.mobility_score = Some(i64::MIN), Reason::DimensionScore, "mobility_score"),
        (gb, |c| c.mental_state_score = Some(29), Reason::DimensionScore, "mental_state_score"),
        (gb, |c| c.perception_social_score = Some(16), Reason::DimensionScore, "perception_social_score"),
        (gb, |c| c.perception_social_score = Some(i64::MAX), Reason::DimensionScore, "perception_social_score"),
        (gb, |c| c.total_score = Some(51), Reason::TotalMismatch, "total_score"),
        (gb, |c| c.self_care_score = Some(21), Reason::TotalMismatch, "total_score"),
        (gb, |c| c.preliminary_level = Some(1), Reason::PreliminaryLevelMismatch, "preliminary_level"),
        (gb, |c| c.preliminary_level = Some(5), Reason::FieldOutOfRange, "preliminary_level"),
        (gb, |c| c.preliminary_level = Some(-1), Reason::FieldOutOfRange, "preliminary_level"),
        (gb, |c| c.final_level = Some(3), Reason::FinalLevelMismatch, "final_level"),
        (gb, |c| c.final_level = Some(1), Reason::FinalLevelMismatch, "final_level"),
        (gb, |c| c.final_level = Some(5), Reason::FieldOutOfRange, "final_level"),
        (gb, |c| c.change_reasons.extend([Coma]), Reason::FinalLevelMismatch, "final_level"),
        (gb, |c| c.change_reasons.extend([Dementia]), Reason::FinalLevelMismatch, "final_level"),
        (gb, |c| c.change_reasons.extend([GeriatricSyndrome]), Reason::ChangeReasonNotAllowed, "change_reasons"),
        (gb, |c| c.daily_living_rating = Some(0), Reason::FieldNotApplicable, "daily_living_rating"),
        (mz, |c| c.daily_living_rating = None, Reason::FieldMissing, "daily_living_rating"),
        (mz, |c| c.mental_state_rating = None, Reason::FieldMissing, "mental_state_rating"),
        (mz, |c| c.perception_communication_rating = None, Reason::FieldMissing, "perception_communication_rating"),
        (mz, |c| c.social_participation_rating = None, Reason::FieldMissing, "social_participation_rating"),
        (mz, |c| c.daily_living_rating = Some(4), Reason::DimensionScore, "daily_living_rating"),
        (mz, |c| c.social_participation_rating = Some(-1), Reason::DimensionScore, "social_participation_rating"),
        (mz, |c| c.final_level = None, Reason::FieldMissing, "final_level"),
        (mz, |c| c.final_level = Some(4), Reason::FieldOutOfRange, "final_level"),
        (mz, |c| c.total_score = Some(0), Reason::FieldNotApplicable, "total_score"),
        (mz, |c| c.preliminary_level = Some(4), Reason::FieldOutOfRange, "preliminary_level"),
        (mz_moderate, |c| c.final_level = Some(1), Reason::FinalLevelMismatch, "final_level"),
        (mz, |c| c.change_reasons.extend([GeriatricSyndrome]), Reason::ChangeReasonNotAllowed, "change_reasons"),
    ];
    for (at, (sound, spoil, reason, field)) in rows.iter().enumerate() {
        let mut claim = sound();
        Assessed::check(&claim).unwrap();
        spoil(&mut claim);
        let refused = Assessed::check(&claim).unwrap_err();
        assert_eq!((refused.reason, refused.field.as_deref()), (*reason, Some(*field)), "row {at}");
        assert!(!refused.message_en().contains('{'), "row {at}: {refused}");
        assert!(!refused.message_zh().contains('{'), "row {at}: {}", refused.message_zh());
    }
}

#[test]
fn an_old_final_level_is_bounded_by_its_preliminary_one() {
    let accepted = |preliminary| {
        let mut claim = mz();
        claim.preliminary_level = preliminary;
        let finals = -1..=5;
        finals
            .filter(|level| {
                claim.final_level = Some(*level);
                Assessed::check(&claim).is_ok()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(accepted(None), [0, 1, 2, 3]);
    assert_eq!(accepted(Some(0)), [0, 1, 2, 3]);
    assert_eq!(accepted(Some(2)), [2, 3]);
    assert_eq!(accepted(Some(3)), [3]);
}

#[test]
fn worst_level_by_standard() {
    let by_standard = |s: &Standard| (s.as_str(), i64::from(s.worst_level()));
    assert_eq!(
        Standard::ALL.iter().map(by_standard).collect::<Vec<_>>(),
        [("GB_T_42195_2022", 4), ("DB11_T_1754_2024", 4), ("MZ_T_039_2013", 3)]
    );
}

#[test]
fn json_is_the_claim_and_is_checked_again() {
    for claim in [scored(Standard::Db11_1754, [20, 8, 15, 7], &[GeriatricSyndrome]), mz(), mz_moderate()] {
        let assessed = Assessed::check(&claim).unwrap();
        let json = crate::value::canonical_json(&assessed);
        assert_eq!(serde_json::from_str::<Assessed>(&json).unwrap(), assessed);
        assert_eq!(Claim::from(assessed), claim);
    }
    let tampered = crate::value::canonical_json(&gb()).replace("\"total_score\":50", "\"total_score\":51");
    let refused = serde_json::from_str::<Assessed>(&tampered).unwrap_err();
    assert!(refused.to_string().starts_with("TOTAL_MISMATCH"), "{refused}");
}

fn any_scores() -> impl Strategy<Value = [i64; 4]> {
    [0..=32i64, 0..=15i64, 0..=28i64, 0..=15i64]
}

fn any_changes() -> impl Strategy<Value = Vec<LevelChangeReason>> {
    proptest::sample::subsequence(vec![Coma, Dementia, MentalDisorder, CareRiskEvents], 0..=4)
}

proptest! {
    #[test]
    fn a_consistent_claim_is_accepted_and_never_gets_better(scores in any_scores(), changes in any_changes()) {
        let assessed = Assessed::check(&scored(Standard::Gb42195, scores, &changes)).unwrap();
        let preliminary = assessed.preliminary_level().unwrap();
        prop_assert!(assessed.final_level() >= preliminary);
        prop_assert_eq!(changes.is_empty() || preliminary == Level::Total, assessed.final_level() == preliminary);
    }

    #[test]
    fn more_points_never_mean_a_worse_level(a in 0..=90i64, b in 0..=90i64) {
        prop_assert_eq!(Level::of_total(a.max(b)), Level::of_total(a).min(Level::of_total(b)));
    }

    #[test]
    fn exactly_one_final_level_is_accepted(scores in any_scores(), changes in any_changes()) {
        let mut claim = scored(Standard::Gb42195, scores, &changes);
        let accepted = (0..=4).filter(|level| {
            claim.final_level = Some(*level);
            Assessed::check(&claim).is_ok()
        });
        prop_assert_eq!(accepted.count(), 1);
    }
}
