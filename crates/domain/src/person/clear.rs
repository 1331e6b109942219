//! Personal data in clear, as the edge reads it: well-formed, in its one spelling, and on
//! its way to being hashed and encrypted. Nothing here is stored, printed or serialized.

use std::fmt;

use super::IdentifierKind;
use crate::guard;
use crate::id::{MobileNumber, ResidentId, SeniorCardNumber, Sex, SocialSecurityCardNumber};
use crate::rejection::{Reason, Rejection};
use crate::time::Date;

/// An identifier of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClearIdentifier {
    ResidentId(ResidentId),
    SocialSecurityCard(SocialSecurityCardNumber),
    SeniorDisabilityCard(SeniorCardNumber),
}

impl ClearIdentifier {
    /// `FIELD_MISSING`, `FIELD_MALFORMED`, `CHECKSUM_WRONG`.
    pub fn parse_field(field: &str, kind: IdentifierKind, text: &str) -> Result<Self, Rejection> {
        Ok(match kind {
            IdentifierKind::ResidentId => Self::ResidentId(ResidentId::parse_field(field, text)?),
            IdentifierKind::SocialSecurityCard => {
                Self::SocialSecurityCard(SocialSecurityCardNumber::parse_field(field, text)?)
            }
            IdentifierKind::SeniorDisabilityCard => {
                Self::SeniorDisabilityCard(SeniorCardNumber::parse_field(field, text)?)
            }
        })
    }

    pub fn kind(&self) -> IdentifierKind {
        match self {
            Self::ResidentId(_) => IdentifierKind::ResidentId,
            Self::SocialSecurityCard(_) => IdentifierKind::SocialSecurityCard,
            Self::SeniorDisabilityCard(_) => IdentifierKind::SeniorDisabilityCard,
        }
    }

    /// The bare text. Only for sealing, keyed hashing and an audited answer.
    pub fn expose(&self) -> &str {
        match self {
            Self::ResidentId(id) => id.expose(),
            Self::SocialSecurityCard(id) => id.expose(),
            Self::SeniorDisabilityCard(id) => id.expose(),
        }
    }
}

/// What is known of a person beside the identifiers.
#[derive(Clone, PartialEq, Eq)]
pub struct PersonalData {
    pub full_name: String,
    pub birth_date: Date,
    pub sex: Sex,
    pub mobile: Option<MobileNumber>,
    /// May be empty.
    pub address: String,
}

impl fmt::Debug for PersonalData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonalData(…)")
    }
}

impl PersonalData {
    /// Lengths; birth date and sex as the resident ID says, where one is given with them.
    pub fn check(&self, field: &str, identifiers: &[ClearIdentifier]) -> Result<(), Rejection> {
        guard::text(&format!("{field}.full_name"), &self.full_name, 100)?;
        guard::optional_text(&format!("{field}.address"), &self.address, 300)?;
        for identifier in identifiers {
            if let ClearIdentifier::ResidentId(id) = identifier {
                let agrees = [("birth_date", id.birth_date() == self.birth_date), ("sex", id.sex() == self.sex)];
                if let Some((which, _)) = agrees.into_iter().find(|(_, agrees)| !agrees) {
                    let refused = Reason::FieldMalformed.field(format!("{field}.{which}"));
                    return Err(refused.var("expected", "what the resident ID says"));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data() -> PersonalData {
        PersonalData {
            full_name: "某人".into(),
            birth_date: "1880-01-01".parse().unwrap(),
            sex: Sex::Male,
            mobile: None,
            address: String::new(),
        }
    }

    #[test]
    fn what_the_resident_id_says_must_agree() {
        let id = ClearIdentifier::parse_field("f", IdentifierKind::ResidentId, "110108188001010016").unwrap();
        assert_eq!(data().check("personal_data", std::slice::from_ref(&id)), Ok(()));
        let wrong = [
            (
                PersonalData { birth_date: "1880-01-02".parse().unwrap(), ..data() },
                Reason::FieldMalformed,
                "birth_date",
            ),
            (PersonalData { sex: Sex::Female, ..data() }, Reason::FieldMalformed, "sex"),
            (PersonalData { full_name: " ".into(), ..data() }, Reason::FieldMissing, "full_name"),
            (PersonalData { full_name: "长".repeat(101), ..data() }, Reason::FieldTooLong, "full_name"),
            (PersonalData { address: "长".repeat(301), ..data() }, Reason::FieldTooLong, "address"),
        ];
        for (data, reason, field) in wrong {
            let refused = data.check("personal_data", std::slice::from_ref(&id)).unwrap_err();
            assert_eq!((refused.reason, refused.field.unwrap()), (reason, format!("personal_data.{field}")));
        }
    }

    #[test]
    fn nothing_prints_itself() {
        let id = ClearIdentifier::parse_field("f", IdentifierKind::SocialSecurityCard, "a12345678").unwrap();
        assert_eq!((id.kind(), id.expose()), (IdentifierKind::SocialSecurityCard, "A12345678"));
        let printed = format!("{id:?} {:?}", data());
        assert!(!printed.contains("A123") && !printed.contains("某人"), "{printed}");
    }
}
