//! Institutions: the directory, the signing scope, settlement accounts.

use jjj_domain::id::{DivisionCode, Uscc};
use jjj_domain::institution::{
    DecideSettlementAccount, InstitutionKind, InstitutionRow, InstitutionState, ProposeSettlementAccount,
    RegisterInstitution, SetSigningScope, SettlementAccountRow, SigningScopeRow, UpdateInstitution,
};
use jjj_domain::names::{Collection, Name};
use jjj_domain::record::{RecognitionRow, RecordRow};
use jjj_domain::rejection::Rejection;

use crate::enums::enum_value;
use crate::parse::{choice, date, name, or_empty, text, who};
use crate::pb;

impl TryFrom<&pb::RegisterInstitutionRequest> for RegisterInstitution {
    type Error = Rejection;
    fn try_from(request: &pb::RegisterInstitutionRequest) -> Result<Self, Rejection> {
        Ok(Self {
            uscc: Uscc::parse_field("uscc", &request.uscc)?,
            display_name: text("display_name", &request.display_name)?,
            kind: choice::<pb::InstitutionKind, InstitutionKind>("kind", request.kind)?,
            division: DivisionCode::parse_field("division_code", &request.division_code)?,
            beds: request.beds,
            residents: request.residents,
        })
    }
}

impl TryFrom<&pb::UpdateInstitutionRequest> for UpdateInstitution {
    type Error = Rejection;
    fn try_from(request: &pb::UpdateInstitutionRequest) -> Result<Self, Rejection> {
        Ok(Self {
            institution: institution_name(&request.institution)?,
            expected_version: request.expected_version,
            display_name: text("display_name", &request.display_name)?,
            division: DivisionCode::parse_field("division_code", &request.division_code)?,
            beds: request.beds,
            residents: request.residents,
            state: choice::<pb::InstitutionState, InstitutionState>("state", request.state)?,
            reason: text("reason", &request.reason)?,
        })
    }
}

impl TryFrom<&pb::SetSigningScopeRequest> for SetSigningScope {
    type Error = Rejection;
    fn try_from(request: &pb::SetSigningScopeRequest) -> Result<Self, Rejection> {
        Ok(Self {
            institution: institution_name(&request.institution)?,
            in_scope: request.in_scope,
            effective_on: date("effective_on", &request.effective_on)?,
            document_number: text("document_number", &request.document_number)?,
        })
    }
}

impl TryFrom<&pb::ProposeSettlementAccountRequest> for ProposeSettlementAccount {
    type Error = Rejection;
    fn try_from(request: &pb::ProposeSettlementAccountRequest) -> Result<Self, Rejection> {
        Ok(Self {
            institution: institution_name(&request.institution)?,
            channel: who("channel", &request.channel, "channels/{id}")?,
            merchant_id: text("merchant_id", &request.merchant_id)?,
            account_holder: text("account_holder", &request.account_holder)?,
            bank_code: text("bank_code", &request.bank_code)?,
            account_token: text("account_token", &request.account_token)?,
            account_last4: text("account_last4", &request.account_last4)?,
            effective_from: date("effective_from", &request.effective_from)?,
            reason: text("reason", &request.reason)?,
        })
    }
}

impl TryFrom<&pb::DecideSettlementAccountRequest> for DecideSettlementAccount {
    type Error = Rejection;
    fn try_from(request: &pb::DecideSettlementAccountRequest) -> Result<Self, Rejection> {
        let account = &request.settlement_account;
        Ok(Self {
            settlement_account: name("settlement_account", account, Collection::SettlementAccount)?,
            approve: request.approve,
            reason: text("reason", &request.reason)?,
        })
    }
}

fn institution_name(text: &str) -> Result<Name, Rejection> {
    name("institution", text, Collection::Institution)
}

/// An institution by itself: its ratings and its times in the signing scope are other rows.
impl From<&InstitutionRow> for pb::Institution {
    fn from(row: &InstitutionRow) -> Self {
        Self {
            name: row.institution.clone(),
            uscc: row.uscc.clone(),
            display_name: row.display_name.clone(),
            kind: enum_value::<pb::InstitutionKind>(row.kind.as_str()),
            region: row.region.to_string(),
            division_code: row.division.clone(),
            beds: row.beds,
            residents: row.residents,
            state: enum_value::<pb::InstitutionState>(row.state.as_str()),
            version: row.version,
            recorded_time_us: row.recorded_at_us.0,
            reason: row.reason.clone(),
            ratings: Vec::new(),
            signing_scope: Vec::new(),
        }
    }
}

/// A rating as the directory shows it.
pub fn institution_rating(row: &RecordRow, recognitions: Vec<pb::InstitutionRecognition>) -> pb::InstitutionRating {
    pb::InstitutionRating {
        rating: row.record.clone(),
        scheme: row.scheme.clone(),
        native_grade: row.native_level as i32,
        valid_until: row.valid_until.to_string(),
        recognitions,
    }
}

impl From<&RecognitionRow> for pb::InstitutionRecognition {
    fn from(row: &RecognitionRow) -> Self {
        Self {
            recognition: row.recognition.clone(),
            recognizer: row.recognizer.to_string(),
            recognized_grade: row.recognized_min as i32,
            valid_until: row.valid_until.to_string(),
        }
    }
}

impl From<&SigningScopeRow> for pb::SigningScopeMembership {
    fn from(row: &SigningScopeRow) -> Self {
        Self {
            entered_on: row.entered_on.to_string(),
            left_on: or_empty(&row.left_on),
            document_number: row.document_number.clone(),
            institution: row.institution.clone(),
        }
    }
}

impl From<&SettlementAccountRow> for pb::SettlementAccount {
    fn from(row: &SettlementAccountRow) -> Self {
        Self {
            name: row.account.clone(),
            institution: row.institution.clone(),
            region: row.region.to_string(),
            channel: row.channel.to_string(),
            merchant_id: row.merchant_id.clone(),
            account_holder: row.account_holder.clone(),
            bank_code: row.bank_code.clone(),
            account_token: row.account_token.clone(),
            account_last4: row.account_last4.clone(),
            effective_from: row.effective_from.to_string(),
            state: enum_value::<pb::SettlementAccountState>(row.state.as_str()),
            usable_from_time_us: row.usable_from_us.map_or(0, |at| at.0),
            proposed_by: row.proposed_by.to_string(),
            decided_by: or_empty(&row.decided_by),
            reason: row.reason.clone(),
            version: row.version,
            recorded_time_us: row.recorded_at_us.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use jjj_domain::rejection::Reason::{self, ChecksumWrong, EnumUnspecified, FieldMalformed, FieldMissing};

    use super::*;

    fn check<T: std::fmt::Debug>(result: Result<T, Rejection>, reason: Reason, field: &str) {
        let refused = result.unwrap_err();
        assert_eq!((refused.reason, refused.field.as_deref()), (reason, Some(field)));
    }

    #[test]
    fn registration() {
        let good = || pb::RegisterInstitutionRequest {
            request_id: String::new(),
            uscc: "91350100M000100Y43".into(),
            display_name: "某养老院".into(),
            kind: pb::InstitutionKind::CareInstitution.into(),
            division_code: "131082".into(),
            beds: 10,
            residents: 9,
        };
        let command = RegisterInstitution::try_from(&good()).unwrap();
        assert_eq!(
            (command.uscc.as_str(), command.kind, command.beds),
            ("91350100M000100Y43", InstitutionKind::CareInstitution, 10)
        );
        type Spoil = fn(&mut pb::RegisterInstitutionRequest);
        let table: [(Spoil, Reason, &str); 8] = [
            (|r| r.uscc.clear(), FieldMissing, "uscc"),
            (|r| r.uscc = "91350100M000100Y4".into(), FieldMalformed, "uscc"),
            (|r| r.uscc = "91350100M000100Y44".into(), ChecksumWrong, "uscc"),
            (|r| r.display_name = "\u{7f}".into(), FieldMalformed, "display_name"),
            (|r| r.kind = 0, EnumUnspecified, "kind"),
            (|r| r.kind = 3, EnumUnspecified, "kind"),
            (|r| r.division_code.clear(), FieldMissing, "division_code"),
            (|r| r.division_code = "13108".into(), FieldMalformed, "division_code"),
        ];
        for (spoil, reason, field) in table {
            let mut request = good();
            spoil(&mut request);
            check(RegisterInstitution::try_from(&request), reason, field);
        }
    }

    #[test]
    fn changes() {
        let institution = || "institutions/91350100M000100Y43".to_owned();
        let update = |state, division: &str| {
            let division_code = division.to_owned();
            let institution = institution();
            UpdateInstitution::try_from(&pb::UpdateInstitutionRequest {
                institution,
                state,
                division_code,
                ..Default::default()
            })
        };
        assert_eq!(update(3, "131082").unwrap().state, InstitutionState::Closed);
        check(update(0, "131082"), EnumUnspecified, "state");
        check(update(1, ""), FieldMissing, "division_code");
        check(UpdateInstitution::try_from(&pb::UpdateInstitutionRequest::default()), FieldMissing, "institution");

        let scope = |effective_on: &str| pb::SetSigningScopeRequest {
            institution: institution(),
            effective_on: effective_on.into(),
            ..Default::default()
        };
        assert!(!SetSigningScope::try_from(&scope("2025-01-01")).unwrap().in_scope);
        check(SetSigningScope::try_from(&scope("")), FieldMissing, "effective_on");
        check(SetSigningScope::try_from(&scope("2025-1-1")), FieldMalformed, "effective_on");
    }

    #[test]
    fn settlement_accounts() {
        let good = || pb::ProposeSettlementAccountRequest {
            institution: "institutions/91350100M000100Y43".into(),
            channel: "channels/unionpay".into(),
            effective_from: "2026-02-01".into(),
            ..Default::default()
        };
        assert_eq!(ProposeSettlementAccount::try_from(&good()).unwrap().channel.code(), "unionpay");
        type Spoil = fn(&mut pb::ProposeSettlementAccountRequest);
        let table: [(Spoil, Reason, &str); 8] = [
            (|r| r.institution.clear(), FieldMissing, "institution"),
            (|r| r.channel.clear(), FieldMissing, "channel"),
            (|r| r.channel = "channels/".into(), FieldMalformed, "channel"),
            (|r| r.merchant_id = "\0".into(), FieldMalformed, "merchant_id"),
            (|r| r.account_holder = "\0".into(), FieldMalformed, "account_holder"),
            (|r| r.account_token = "\0".into(), FieldMalformed, "account_token"),
            (|r| r.effective_from.clear(), FieldMissing, "effective_from"),
            (|r| r.reason = "\u{1b}".into(), FieldMalformed, "reason"),
        ];
        for (spoil, reason, field) in table {
            let mut request = good();
            spoil(&mut request);
            check(ProposeSettlementAccount::try_from(&request), reason, field);
        }
        let decide =
            pb::DecideSettlementAccountRequest { settlement_account: "accounts/1".into(), ..Default::default() };
        check(DecideSettlementAccount::try_from(&decide), FieldMalformed, "settlement_account");
    }
}
