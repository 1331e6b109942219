//! Participants, authorities, keys, administrators. What needs cryptography (reading a key or
//! a certificate, checking a confirmation) is the server's.

use jjj_domain::names::{Actor, Participant};
use jjj_domain::participant::{
    AdministratorRow, AuthorityRow, KeyRow, ParticipantRow, ReinstateParticipant, RemoveAdministrator, RetireKey,
    SuspendParticipant, WithdrawAuthority, WithdrawKey,
};
use jjj_domain::rejection::{Reason, Rejection};
use jjj_domain::time::Timestamp;

use crate::enums::enum_value;
use crate::parse::{text, who};
use crate::pb;

/// How the names of participants and actors look.
pub const PARTICIPANT: &str = "regions/{6 digits} | channels/{id} | gateway";
pub const ADMINISTRATOR: &str = "{participant}/admins/{id}";

impl TryFrom<&pb::SuspendParticipantRequest> for SuspendParticipant {
    type Error = Rejection;
    fn try_from(request: &pb::SuspendParticipantRequest) -> Result<Self, Rejection> {
        Ok(Self {
            participant: who("participant", &request.participant, PARTICIPANT)?,
            reason: text("reason", &request.reason)?,
        })
    }
}

impl TryFrom<&pb::ReinstateParticipantRequest> for ReinstateParticipant {
    type Error = Rejection;
    fn try_from(request: &pb::ReinstateParticipantRequest) -> Result<Self, Rejection> {
        Ok(Self {
            participant: who("participant", &request.participant, PARTICIPANT)?,
            reason: text("reason", &request.reason)?,
        })
    }
}

impl TryFrom<&pb::WithdrawAuthorityRequest> for WithdrawAuthority {
    type Error = Rejection;
    fn try_from(request: &pb::WithdrawAuthorityRequest) -> Result<Self, Rejection> {
        let malformed =
            || Reason::FieldMalformed.field("authority").var("expected", "{participant}/authorities/{sha256}");
        if request.authority.is_empty() {
            return Err(Reason::FieldMissing.field("authority"));
        }
        let (participant, fingerprint) = request.authority.split_once("/authorities/").ok_or_else(malformed)?;
        let participant = participant.parse::<Participant>().map_err(|_| malformed())?;
        let fingerprint = fingerprint.parse::<jjj_domain::id::Digest>().map_err(|_| malformed())?.to_string();
        Ok(Self { participant, fingerprint, reason: text("reason", &request.reason)? })
    }
}

impl TryFrom<&pb::RetireKeyRequest> for RetireKey {
    type Error = Rejection;
    fn try_from(request: &pb::RetireKeyRequest) -> Result<Self, Rejection> {
        Ok(Self { kid: key_name("key", &request.key)?.1, reason: text("reason", &request.reason)? })
    }
}

impl TryFrom<&pb::WithdrawKeyRequest> for WithdrawKey {
    type Error = Rejection;
    fn try_from(request: &pb::WithdrawKeyRequest) -> Result<Self, Rejection> {
        Ok(Self {
            kid: key_name("key", &request.key)?.1,
            suspect_from_us: match request.suspect_from_time_us {
                0 => return Err(Reason::FieldMissing.field("suspect_from_time_us")),
                us => Timestamp(us),
            },
            reason: text("reason", &request.reason)?,
        })
    }
}

impl TryFrom<&pb::RemoveAdministratorRequest> for RemoveAdministrator {
    type Error = Rejection;
    fn try_from(request: &pb::RemoveAdministratorRequest) -> Result<Self, Rejection> {
        let administrator: Actor = who("administrator", &request.administrator, ADMINISTRATOR)?;
        if !administrator.is_admin() {
            return Err(Reason::FieldMalformed.field("administrator").var("expected", ADMINISTRATOR));
        }
        Ok(Self { administrator, reason: text("reason", &request.reason)? })
    }
}

/// `{participant or administrator}/keys/{kid}`, in its two parts.
pub fn key_name(field: &str, text: &str) -> Result<(Actor, String), Rejection> {
    let malformed = || Reason::FieldMalformed.field(field).var("expected", "{participant or administrator}/keys/{kid}");
    if text.is_empty() {
        return Err(Reason::FieldMissing.field(field));
    }
    let (holder, kid) = text.split_once("/keys/").ok_or_else(malformed)?;
    let is_kid = kid.len() == 43 && kid.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if !is_kid {
        return Err(malformed());
    }
    Ok((holder.parse().map_err(|_| malformed())?, kid.to_owned()))
}

impl From<&ParticipantRow> for pb::Participant {
    fn from(row: &ParticipantRow) -> Self {
        Self {
            name: row.participant.to_string(),
            kind: enum_value::<pb::ParticipantKind>(row.kind.as_str()),
            display_name: row.display_name.clone(),
            standing: enum_value::<pb::Standing>(row.standing.as_str()),
            standing_reason: row.standing_reason.clone(),
            confirmed_by: row.confirmed_by.0.iter().map(Actor::to_string).collect(),
            version: row.version,
            recorded_time_us: row.recorded_at_us.0,
        }
    }
}

impl From<&AuthorityRow> for pb::Authority {
    fn from(row: &AuthorityRow) -> Self {
        Self {
            name: row.name(),
            certificate_pem: row.certificate_pem.clone(),
            state: enum_value::<pb::KeyState>(row.state.as_str()),
            not_before_time_us: row.not_before_us.0,
            not_after_time_us: row.not_after_us.0,
            ended_time_us: row.ended_at_us.map_or(0, |at| at.0),
            reason: row.reason.clone(),
            version: row.version,
            recorded_time_us: row.recorded_at_us.0,
        }
    }
}

impl From<&KeyRow> for pb::Key {
    fn from(row: &KeyRow) -> Self {
        Self {
            name: row.name(),
            kid: row.kid.clone(),
            jwk: row.jwk.clone(),
            state: enum_value::<pb::KeyState>(row.state.as_str()),
            added_time_us: row.added_at_us.0,
            ended_time_us: row.ended_at_us.map_or(0, |at| at.0),
            suspect_from_time_us: row.suspect_from_us.map_or(0, |at| at.0),
            reason: row.reason.clone(),
            version: row.version,
        }
    }
}

/// An administrator with keys, newest first.
pub fn administrator(row: &AdministratorRow, keys: &[KeyRow]) -> pb::Administrator {
    let mut keys: Vec<&KeyRow> = keys.iter().collect();
    keys.sort_by(|a, b| b.added_at_us.cmp(&a.added_at_us).then_with(|| a.kid.cmp(&b.kid)));
    pb::Administrator {
        name: row.administrator.to_string(),
        participant: row.participant.to_string(),
        display_name: row.display_name.clone(),
        standing: enum_value::<pb::Standing>(row.standing.as_str()),
        reason: row.reason.clone(),
        keys: keys.into_iter().map(pb::Key::from).collect(),
        version: row.version,
        recorded_time_us: row.recorded_at_us.0,
    }
}

#[cfg(test)]
mod tests {
    use jjj_domain::rejection::Reason::{FieldMalformed, FieldMissing};

    use super::*;

    fn check<T: std::fmt::Debug>(result: Result<T, Rejection>, reason: Reason, field: &str) {
        let refused = result.unwrap_err();
        assert_eq!((refused.reason, refused.field.as_deref()), (reason, Some(field)));
    }

    #[test]
    fn names_of_keys() {
        let kid = "k".repeat(43);
        let (holder, read) = key_name("key", &format!("regions/110000/admins/wang/keys/{kid}")).unwrap();
        assert_eq!((holder.to_string(), read), ("regions/110000/admins/wang".to_owned(), kid.clone()));
        check(key_name("key", ""), FieldMissing, "key");
        for bad in ["x".to_owned(), format!("keys/{kid}"), format!("nobody/keys/{kid}"), "gateway/keys/short".into()] {
            check(key_name("key", &bad), FieldMalformed, "key");
        }
    }

    #[test]
    fn refusals() {
        check(SuspendParticipant::try_from(&pb::SuspendParticipantRequest::default()), FieldMissing, "participant");
        let reinstate = pb::ReinstateParticipantRequest { participant: "regions/1".into(), ..Default::default() };
        check(ReinstateParticipant::try_from(&reinstate), FieldMalformed, "participant");
        let key = format!("gateway/keys/{}", "k".repeat(43));
        let withdraw = pb::WithdrawKeyRequest { key: key.clone(), ..Default::default() };
        check(WithdrawKey::try_from(&withdraw), FieldMissing, "suspect_from_time_us");
        let retire = pb::RetireKeyRequest { key, reason: "\0".into(), ..Default::default() };
        check(RetireKey::try_from(&retire), FieldMalformed, "reason");
        for (administrator, reason) in
            [("", FieldMissing), ("regions/110000", FieldMalformed), ("x/admins/y", FieldMalformed)]
        {
            let remove = pb::RemoveAdministratorRequest { administrator: administrator.into(), ..Default::default() };
            check(RemoveAdministrator::try_from(&remove), reason, "administrator");
        }
        for (authority, reason) in [
            (String::new(), FieldMissing),
            ("gateway".into(), FieldMalformed),
            ("gateway/authorities/ff".into(), FieldMalformed),
            (format!("region/authorities/{}", "f".repeat(64)), FieldMalformed),
        ] {
            let withdraw = pb::WithdrawAuthorityRequest { authority, ..Default::default() };
            check(WithdrawAuthority::try_from(&withdraw), reason, "authority");
        }
    }
}
