//! Elders and contract parties. Requests with personal data become values in clear, which the
//! server seals before they become commands.

use jjj_domain::id::{DivisionCode, MobileNumber, Sex};
use jjj_domain::names::{Collection, Name};
use jjj_domain::person::{
    ClearIdentifier, ErasePerson, IdentifierKind, MergePersons, PersonRow, PersonalData, RecordDeath,
};
use jjj_domain::rejection::{Reason, Rejection};

use crate::enums::enum_value;
use crate::parse::{choice, date, each, message, name, optional, or_empty, text};
use crate::pb;

/// A person to register.
#[derive(Clone, Debug)]
pub struct ClearPerson {
    pub identifiers: Vec<ClearIdentifier>,
    pub data: PersonalData,
}

/// An elder to register.
#[derive(Clone, Debug)]
pub struct ClearElder {
    pub household_division: DivisionCode,
    pub person: ClearPerson,
}

/// New data of an elder.
#[derive(Clone, Debug)]
pub struct ClearElderAmendment {
    pub elder: Name,
    pub expected_version: i64,
    pub household_division: DivisionCode,
    pub data: PersonalData,
}

/// One more identifier of an elder.
#[derive(Clone, Debug)]
pub struct ClearAddition {
    pub elder: Name,
    pub identifier: ClearIdentifier,
}

/// New data of a party.
#[derive(Clone, Debug)]
pub struct ClearPartyAmendment {
    pub party: Name,
    pub person: ClearPerson,
}

impl TryFrom<&pb::RegisterElderRequest> for ClearElder {
    type Error = Rejection;
    fn try_from(request: &pb::RegisterElderRequest) -> Result<Self, Rejection> {
        check_salt(&request.salt)?;
        Ok(Self {
            household_division: DivisionCode::parse_field("household_division", &request.household_division)?,
            person: person(&request.identifiers, &request.personal_data)?,
        })
    }
}

impl TryFrom<&pb::RegisterPartyRequest> for ClearPerson {
    type Error = Rejection;
    fn try_from(request: &pb::RegisterPartyRequest) -> Result<Self, Rejection> {
        check_salt(&request.salt)?;
        person(&request.identifiers, &request.personal_data)
    }
}

impl TryFrom<&pb::AddIdentifierRequest> for ClearAddition {
    type Error = Rejection;
    fn try_from(request: &pb::AddIdentifierRequest) -> Result<Self, Rejection> {
        check_salt(&request.salt)?;
        Ok(Self {
            elder: name("elder", &request.elder, Collection::Elder)?,
            identifier: identifier("identifier", message("identifier", &request.identifier)?)?,
        })
    }
}

impl TryFrom<&pb::AmendElderRequest> for ClearElderAmendment {
    type Error = Rejection;
    fn try_from(request: &pb::AmendElderRequest) -> Result<Self, Rejection> {
        check_salt(&request.salt)?;
        Ok(Self {
            elder: name("elder", &request.elder, Collection::Elder)?,
            expected_version: request.expected_version,
            household_division: DivisionCode::parse_field("household_division", &request.household_division)?,
            data: person(&[], &request.personal_data)?.data,
        })
    }
}

impl TryFrom<&pb::AmendPartyRequest> for ClearPartyAmendment {
    type Error = Rejection;
    fn try_from(request: &pb::AmendPartyRequest) -> Result<Self, Rejection> {
        check_salt(&request.salt)?;
        Ok(Self {
            party: name("party", &request.party, Collection::Party)?,
            person: person(&request.identifiers, &request.personal_data)?,
        })
    }
}

impl TryFrom<&pb::MergeEldersRequest> for MergePersons {
    type Error = Rejection;
    fn try_from(request: &pb::MergeEldersRequest) -> Result<Self, Rejection> {
        Ok(Self {
            elder: name("elder", &request.elder, Collection::Elder)?,
            into: name("into", &request.into, Collection::Elder)?,
            reason: text("reason", &request.reason)?,
        })
    }
}

impl TryFrom<&pb::RecordDeathRequest> for RecordDeath {
    type Error = Rejection;
    fn try_from(request: &pb::RecordDeathRequest) -> Result<Self, Rejection> {
        Ok(Self {
            elder: name("elder", &request.elder, Collection::Elder)?,
            died_on: date("died_on", &request.died_on)?,
            document_number: text("document_number", &request.document_number)?,
        })
    }
}

impl TryFrom<&pb::EraseElderRequest> for ErasePerson {
    type Error = Rejection;
    fn try_from(request: &pb::EraseElderRequest) -> Result<Self, Rejection> {
        let person = name("elder", &request.elder, Collection::Elder)?;
        Ok(Self { person, reason: text("reason", &request.reason)? })
    }
}

impl TryFrom<&pb::ErasePartyRequest> for ErasePerson {
    type Error = Rejection;
    fn try_from(request: &pb::ErasePartyRequest) -> Result<Self, Rejection> {
        let person = name("party", &request.party, Collection::Party)?;
        Ok(Self { person, reason: text("reason", &request.reason)? })
    }
}

/// The salt makes the digest of the request's bytes say nothing about them; it is not kept
/// apart from them.
fn check_salt(salt: &[u8]) -> Result<(), Rejection> {
    match salt.len() {
        0 => Err(Reason::FieldMissing.field("salt")),
        32 => Ok(()),
        _ => Err(Reason::FieldMalformed.field("salt").var("expected", "32 bytes")),
    }
}

/// An identifier in clear. A refusal never quotes it.
pub fn identifier(field: &str, identifier: &pb::Identifier) -> Result<ClearIdentifier, Rejection> {
    let kind = choice::<pb::IdentifierKind, IdentifierKind>(&format!("{field}.kind"), identifier.kind)?;
    ClearIdentifier::parse_field(&format!("{field}.value"), kind, &identifier.value)
}

fn person(identifiers: &[pb::Identifier], data: &Option<pb::PersonalData>) -> Result<ClearPerson, Rejection> {
    let identifiers = each("identifiers", identifiers, identifier)?;
    let data = message("personal_data", data)?;
    let data = PersonalData {
        full_name: text("personal_data.full_name", &data.full_name)?,
        birth_date: date("personal_data.birth_date", &data.birth_date)?,
        sex: choice::<pb::Sex, Sex>("personal_data.sex", data.sex)?,
        mobile: optional(&data.mobile, |t| MobileNumber::parse_field("personal_data.mobile", t))?,
        address: text("personal_data.address", &data.address)?,
    };
    data.check("personal_data", &identifiers)?;
    Ok(ClearPerson { identifiers, data })
}

/// Personal data as it is sealed and disclosed.
impl From<&PersonalData> for pb::PersonalData {
    fn from(data: &PersonalData) -> Self {
        Self {
            full_name: data.full_name.clone(),
            birth_date: data.birth_date.to_string(),
            sex: enum_value::<pb::Sex>(data.sex.as_str()),
            mobile: data.mobile.as_ref().map(|m| m.expose().to_owned()).unwrap_or_default(),
            address: data.address.clone(),
        }
    }
}

impl From<&PersonRow> for pb::Elder {
    fn from(row: &PersonRow) -> Self {
        Self {
            name: row.person.clone(),
            region: row.region.to_string(),
            household_region: row.household_region.to_string(),
            household_division: row.household_division.clone(),
            state: enum_value::<pb::PersonState>(row.state.as_str()),
            merged_into: or_empty(&row.merged_into),
            died_on: or_empty(&row.died_on),
            reason: row.reason.clone(),
            version: row.version,
            recorded_time_us: row.recorded_at_us.0,
        }
    }
}

impl From<&PersonRow> for pb::Party {
    fn from(row: &PersonRow) -> Self {
        Self {
            name: row.person.clone(),
            region: row.region.to_string(),
            state: enum_value::<pb::PersonState>(row.state.as_str()),
            reason: row.reason.clone(),
            version: row.version,
            recorded_time_us: row.recorded_at_us.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use jjj_domain::rejection::Reason::{ChecksumWrong, EnumUnspecified, FieldMalformed, FieldMissing, FieldTooLong};

    use super::*;

    fn good() -> pb::RegisterElderRequest {
        let identifier =
            |kind: pb::IdentifierKind, value: &str| pb::Identifier { kind: kind.into(), value: value.into() };
        pb::RegisterElderRequest {
            request_id: String::new(),
            salt: vec![7; 32],
            household_division: "110108".into(),
            identifiers: vec![
                identifier(pb::IdentifierKind::ResidentId, "11010519491231002x"),
                identifier(pb::IdentifierKind::SocialSecurityCard, "a12345678"),
            ],
            personal_data: Some(pb::PersonalData {
                full_name: "某人".into(),
                birth_date: "1949-12-31".into(),
                sex: pb::Sex::Female.into(),
                mobile: "13900000000".into(),
                address: String::new(),
            }),
        }
    }

    fn data(request: &mut pb::RegisterElderRequest) -> &mut pb::PersonalData {
        request.personal_data.as_mut().unwrap()
    }

    #[test]
    fn identifiers_are_taken_in_their_one_spelling() {
        let elder = ClearElder::try_from(&good()).unwrap();
        let spelled: Vec<_> = elder.person.identifiers.iter().map(|i| (i.kind(), i.expose())).collect();
        let expected =
            [(IdentifierKind::ResidentId, "11010519491231002X"), (IdentifierKind::SocialSecurityCard, "A12345678")];
        assert_eq!(spelled, expected);
        assert_eq!(Some(pb::PersonalData::from(&elder.person.data)), good().personal_data);
        assert!(!format!("{elder:?}").contains("1949"));
    }

    #[test]
    fn registration_refused() {
        type Spoil = fn(&mut pb::RegisterElderRequest);
        let table: [(Spoil, Reason, &str); 21] = [
            (|r| r.salt = Vec::new(), FieldMissing, "salt"),
            (|r| r.salt = vec![0; 31], FieldMalformed, "salt"),
            (|r| r.household_division.clear(), FieldMissing, "household_division"),
            (|r| r.household_division = "1101".into(), FieldMalformed, "household_division"),
            (|r| r.identifiers[0].kind = 0, EnumUnspecified, "identifiers[0].kind"),
            (|r| r.identifiers[1].kind = 9, EnumUnspecified, "identifiers[1].kind"),
            (|r| r.identifiers[0].value.clear(), FieldMissing, "identifiers[0].value"),
            (|r| r.identifiers[0].value = "110105491231002".into(), FieldMalformed, "identifiers[0].value"),
            (|r| r.identifiers[0].value = "110105194912310020".into(), ChecksumWrong, "identifiers[0].value"),
            (|r| r.identifiers[1].value = "1".into(), FieldMalformed, "identifiers[1].value"),
            (|r| r.personal_data = None, FieldMissing, "personal_data"),
            (|r| data(r).full_name.clear(), FieldMissing, "personal_data.full_name"),
            (|r| data(r).full_name = "a\0".into(), FieldMalformed, "personal_data.full_name"),
            (|r| data(r).full_name = "长".repeat(101), FieldTooLong, "personal_data.full_name"),
            (|r| data(r).birth_date.clear(), FieldMissing, "personal_data.birth_date"),
            (|r| data(r).birth_date = "1949-12-32".into(), FieldMalformed, "personal_data.birth_date"),
            (|r| data(r).birth_date = "1949-12-30".into(), FieldMalformed, "personal_data.birth_date"),
            (|r| data(r).sex = 0, EnumUnspecified, "personal_data.sex"),
            (|r| data(r).sex = pb::Sex::Male.into(), FieldMalformed, "personal_data.sex"),
            (|r| data(r).mobile = "139".into(), FieldMalformed, "personal_data.mobile"),
            (|r| data(r).address = "长".repeat(301), FieldTooLong, "personal_data.address"),
        ];
        for (spoil, reason, field) in table {
            let mut request = good();
            spoil(&mut request);
            let refused = ClearElder::try_from(&request).unwrap_err();
            assert_eq!((refused.reason, refused.field.as_deref()), (reason, Some(field)));
            assert!(!refused.to_string().contains("1949"), "{refused}");
        }
    }

    #[test]
    fn other_requests_refused() {
        let field = |refused: Rejection| (refused.reason, refused.field.unwrap());
        let said = |reason: Reason, name: &str| (reason, name.to_owned());
        let salt = good().salt;
        let add = pb::AddIdentifierRequest { salt: salt.clone(), elder: "elders/1".into(), ..Default::default() };
        assert_eq!(field(ClearAddition::try_from(&add).unwrap_err()), said(FieldMissing, "identifier"));
        let amend = pb::AmendPartyRequest { salt: salt.clone(), party: "elders/1".into(), ..Default::default() };
        assert_eq!(field(ClearPartyAmendment::try_from(&amend).unwrap_err()), said(FieldMalformed, "party"));
        let amend = pb::AmendElderRequest { salt: salt.clone(), elder: "elders/1".into(), ..Default::default() };
        assert_eq!(field(ClearElderAmendment::try_from(&amend).unwrap_err()), said(FieldMissing, "household_division"));
        let party = pb::RegisterPartyRequest { salt, ..Default::default() };
        assert_eq!(field(ClearPerson::try_from(&party).unwrap_err()), said(FieldMissing, "personal_data"));
        let merge = pb::MergeEldersRequest { elder: "elders/1".into(), ..Default::default() };
        assert_eq!(field(MergePersons::try_from(&merge).unwrap_err()), said(FieldMissing, "into"));
        let death = pb::RecordDeathRequest { elder: "elders/1".into(), died_on: "x".into(), ..Default::default() };
        assert_eq!(field(RecordDeath::try_from(&death).unwrap_err()), said(FieldMalformed, "died_on"));
        let erase = pb::EraseElderRequest { elder: "parties/1".into(), ..Default::default() };
        assert_eq!(field(ErasePerson::try_from(&erase).unwrap_err()), said(FieldMalformed, "elder"));
        let erase = pb::ErasePartyRequest { party: "parties/1".into(), reason: "\0".into(), ..Default::default() };
        assert_eq!(field(ErasePerson::try_from(&erase).unwrap_err()), said(FieldMalformed, "reason"));
    }
}
