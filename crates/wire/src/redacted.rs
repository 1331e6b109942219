//! `Debug` for messages with personal data or a salt: the name, never the content.

use std::fmt;

use crate::pb;

macro_rules! redacted {
    ($($Message:ident)+) => {$(
        impl fmt::Debug for pb::$Message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($Message)).finish_non_exhaustive()
            }
        }
    )+};
}

redacted! {
    Identifier
    PersonalData
    RegisterElderRequest
    AddIdentifierRequest
    AmendElderRequest
    RegisterPartyRequest
    AmendPartyRequest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_personal_data() {
        let identifier = pb::Identifier { kind: 1, value: "110108188001010016".into() };
        let personal_data = pb::PersonalData { full_name: "某人".into(), ..Default::default() };
        let request = pb::FindElderRequest { identifier: Some(identifier.clone()), purpose: "test".into() };
        assert_eq!(
            format!("{request:?}"),
            "FindElderRequest { identifier: Some(Identifier { .. }), purpose: \"test\" }"
        );
        let request = pb::RegisterElderRequest {
            salt: vec![7; 32],
            identifiers: vec![identifier.clone()],
            personal_data: Some(personal_data.clone()),
            ..Default::default()
        };
        assert_eq!(format!("{request:?}"), "RegisterElderRequest { .. }");
        let record = pb::PersonalDataRecord {
            identifiers: vec![identifier],
            personal_data: Some(personal_data),
            ..Default::default()
        };
        assert!(!format!("{record:?}").contains("某人"));
    }
}
