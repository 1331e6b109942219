//! What all record kinds show alike.

use jjj_domain::guard;
use jjj_domain::record::RecordRow;
use jjj_domain::rejection::Rejection;
use jjj_domain::time::Date;

use crate::enums::enum_value;
use crate::pb;

/// A record's head, `in_force` as of a day.
pub(crate) fn envelope(row: &RecordRow, on: Date) -> pb::Envelope {
    pb::Envelope {
        issuer: row.issuer.to_string(),
        subject: row.subject.clone(),
        version: row.version,
        state: enum_value::<pb::RecordState>(row.state.as_str()),
        in_force: row.holds_on(on),
        valid_from: row.valid_from.to_string(),
        valid_until: row.valid_until.to_string(),
        decided_on: row.decided_on.to_string(),
        effective_on: row.effective_on.to_string(),
        recorded_time_us: row.recorded_at_us.0,
        document_number: row.document_number.clone(),
        decided_by: row.decided_by.clone(),
        reason: row.reason.clone(),
        supersedes: row.supersedes.clone().unwrap_or_default(),
    }
}

/// The version that a caller has seen, 0 for any.
pub(crate) fn expected_version(version: i64) -> Result<i64, Rejection> {
    guard::range("expected_version", version, 0, i64::MAX)?;
    Ok(version)
}

/// A stored level or grade: the policies that bound them know none beyond a digit.
pub(crate) fn level(stored: i64) -> i32 {
    i32::try_from(stored).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use jjj_domain::record::{ChangeRecord, DecideRecognition, PublishRecord};
    use jjj_domain::rejection::Reason::{self, EnumUnspecified, FieldMalformed, FieldMissing, FieldOutOfRange};
    use jjj_domain::rules::{assessment, disability, mapping, rating};

    use super::*;
    use crate::enums::EnumText;

    #[track_caller]
    fn same<E: EnumText>(domain: &[&str]) {
        assert_eq!(E::texts().collect::<Vec<_>>(), domain);
    }

    #[test]
    fn enum_values_are_the_domains_texts() {
        same::<pb::RecordState>(rating::RecordState::TEXTS);
        same::<pb::RatingScheme>(rating::Scheme::TEXTS);
        same::<pb::AssessmentStandard>(assessment::Standard::TEXTS);
        same::<pb::AssessmentReason>(assessment::AssessmentReason::TEXTS);
        same::<pb::LevelChangeReason>(assessment::LevelChangeReason::TEXTS);
        same::<pb::DisabilityCategory>(disability::DisabilityCategory::TEXTS);
        same::<pb::RecordKind>(jjj_domain::record::RecordKind::TEXTS);
        same::<pb::RecognitionState>(jjj_domain::record::RecognitionState::TEXTS);
        same::<pb::RecognitionVerdict>(jjj_domain::record::Verdict::TEXTS);
        same::<pb::MappingQuality>(mapping::MappingQuality::TEXTS);
    }

    #[track_caller]
    fn check<T: std::fmt::Debug>(result: Result<T, Rejection>, reason: Reason, field: &str) {
        let refused = result.unwrap_err();
        assert_eq!((refused.reason, refused.field.as_deref()), (reason, Some(field)));
    }

    #[test]
    fn publications_are_refused_by_field() {
        let rating = || pb::PublishRatingRequest {
            institution: "institutions/1".into(),
            scheme: 1,
            native_grade: 4,
            state: 3,
            decided_on: "2026-01-01".into(),
            valid_from: "2026-01-01".into(),
            valid_until: "2028-12-31".into(),
            ..Default::default()
        };
        assert_eq!(PublishRecord::try_from(&rating()).unwrap().scheme, "GB_T_37276");
        type Spoil = fn(&mut pb::PublishRatingRequest);
        let table: [(Spoil, Reason, &str); 9] = [
            (|r| r.institution.clear(), FieldMissing, "institution"),
            (|r| r.institution = "elders/1".into(), FieldMalformed, "institution"),
            (|r| r.scheme = 0, EnumUnspecified, "scheme"),
            (|r| r.scheme = 99, EnumUnspecified, "scheme"),
            (|r| r.state = 0, EnumUnspecified, "state"),
            (|r| r.decided_on.clear(), FieldMissing, "decided_on"),
            (|r| r.valid_from = "2026-02-30".into(), FieldMalformed, "valid_from"),
            (|r| r.valid_until = "soon".into(), FieldMalformed, "valid_until"),
            (|r| r.document_number = "\0".into(), FieldMalformed, "document_number"),
        ];
        for (spoil, reason, field) in table {
            let mut request = rating();
            spoil(&mut request);
            check(PublishRecord::try_from(&request), reason, field);
        }

        let certificate = |categories: &[i32], grade| pb::PublishDisabilityCertificateRequest {
            elder: "elders/1".into(),
            categories: categories.to_vec(),
            grade,
            state: 3,
            decided_on: "2026-01-01".into(),
            valid_from: "2026-01-01".into(),
            valid_until: "2028-12-31".into(),
            ..Default::default()
        };
        assert_eq!(PublishRecord::try_from(&certificate(&[4, 1], 2)).unwrap().native_level, 2);
        check(PublishRecord::try_from(&certificate(&[], 2)), FieldMissing, "categories");
        check(PublishRecord::try_from(&certificate(&[1, 0], 2)), EnumUnspecified, "categories[1]");
        check(PublishRecord::try_from(&certificate(&[1, 1], 2)), Reason::FieldRepeated, "categories");
    }

    #[test]
    fn changes_and_decisions_are_refused_by_field() {
        let change = || pb::ChangeRatingRequest {
            name: "ratings/1".into(),
            new_state: 9,
            effective_on: "2026-01-01".into(),
            ..Default::default()
        };
        assert_eq!(ChangeRecord::try_from(&change()).unwrap().new_level, None);
        type Spoil = fn(&mut pb::ChangeRatingRequest);
        let table: [(Spoil, Reason, &str); 6] = [
            (|r| r.name = "assessments/1".into(), FieldMalformed, "name"),
            (|r| r.expected_version = -1, FieldOutOfRange, "expected_version"),
            (|r| r.new_state = 0, EnumUnspecified, "new_state"),
            (|r| r.new_valid_until = "x".into(), FieldMalformed, "new_valid_until"),
            (|r| r.effective_on.clear(), FieldMissing, "effective_on"),
            (|r| r.reason = "\u{1b}".into(), FieldMalformed, "reason"),
        ];
        for (spoil, reason, field) in table {
            let mut request = change();
            spoil(&mut request);
            check(ChangeRecord::try_from(&request), reason, field);
        }
        let decide = |record: &str, verdict| {
            let request = pb::DecideRecognitionRequest { record: record.into(), verdict, ..Default::default() };
            DecideRecognition::try_from(&request)
        };
        assert!(decide("disabilityCertificates/1", 4).is_ok());
        check(decide("", 1), FieldMissing, "record");
        check(decide("recognitions/1", 1), FieldMalformed, "record");
        check(decide("ratings/1", 0), EnumUnspecified, "verdict");
        check(decide("ratings/1", 5), EnumUnspecified, "verdict");
    }
}
