//! Participants: enrol, suspend, authorities, keys, administrators.
//!
//! A change here is in force with its answer: the engine reads the registry anew before it answers
//! a mutation that wrote one of these tables.

use std::sync::Arc;

use jjj_domain::key;
use jjj_domain::names::{Actor, Participant, ParticipantKind};
use jjj_domain::participant::{
    AddAdministrator, AddAuthority, AddKey, AdministratorRow, AuthorityRow, CreateParticipant, KeyConfirmation, KeyRow,
    NewAuthority, NewKey, ParticipantRow, ReinstateParticipant, RemoveAdministrator, RetireKey, SuspendParticipant,
    WithdrawAuthority, WithdrawKey,
};
use jjj_domain::rejection::{Reason, Rejection};
use jjj_domain::row::{Row, StoredFault};
use jjj_domain::snapshot::{Snapshot, Stop};
use jjj_domain::time::Timestamp;
use jjj_token::Algorithm;
use jjj_token::confirmation::{decode_unverified_kid, verify_confirmation};
use jjj_token::thumbprint::certificate_sha256;
use jjj_wire::parse::who;
use jjj_wire::participant::{ADMINISTRATOR, PARTICIPANT, administrator, key_name};
use jjj_wire::pb;
use jjj_wire::pb::participant_service_server::ParticipantService;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tonic::{Request, Response, Status};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::fields;
use super::filter::{Field, Filter};
use super::page::Paging;
use super::read::{Sees, get, page, refuse};
use super::signatures;
use super::support::{Asked, Mutation, Parsed, caller, command, mutate};
use crate::engine::LeafView;
use crate::gateway::Gateway;

pub struct ParticipantApi(pub Arc<Gateway>);

const MAX_PEM_LEN: usize = 16 * 1024;
const MAX_CONFIRMATIONS: usize = 10;

const PARTICIPANTS: &[Field] = &[("kind", Some("kind")), ("standing", Some("standing"))];
const AUTHORITIES: &[Field] = &[("participant", Some("participant")), ("state", Some("state"))];
const KEYS: &[Field] = &[("owner", Some("holder")), ("state", Some("state"))];
const ADMINISTRATORS: &[Field] = &[("participant", Some("participant")), ("standing", Some("standing"))];

#[tonic::async_trait]
impl ParticipantService for ParticipantApi {
    async fn create_participant(
        &self,
        request: Request<pb::CreateParticipantRequest>,
    ) -> Result<Response<pb::CreateParticipantResponse>, Status> {
        mutate(&self.0, request, parse_create, |leaf, receipt| {
            Ok(pb::CreateParticipantResponse { participant: Some(participant(leaf)?), receipt: Some(receipt) })
        })
        .await
    }

    async fn get_participant(
        &self,
        request: Request<pb::GetParticipantRequest>,
    ) -> Result<Response<pb::Participant>, Status> {
        let caller = caller(&request)?;
        let name: Participant = who("name", &request.get_ref().name, PARTICIPANT).map_err(refuse)?;
        let row: ParticipantRow = get(&self.0, &caller, key![name.clone()], name.as_str(), Sees::Everyone).await?;
        Ok(Response::new(pb::Participant::from(&row)))
    }

    async fn list_participants(
        &self,
        request: Request<pb::ListParticipantsRequest>,
    ) -> Result<Response<pb::ListParticipantsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let filter = Filter::parse(&q.filter, PARTICIPANTS).map_err(refuse)?;
        let predicates = filter.predicates(ParticipantRow::spec()).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        let (rows, next_page_token): (Vec<ParticipantRow>, _) =
            page(&self.0, &caller, predicates, &paging, Sees::Everyone, |_| true).await?;
        let participants = rows.iter().map(pb::Participant::from).collect();
        Ok(Response::new(pb::ListParticipantsResponse { participants, next_page_token }))
    }

    async fn suspend_participant(
        &self,
        request: Request<pb::SuspendParticipantRequest>,
    ) -> Result<Response<pb::SuspendParticipantResponse>, Status> {
        mutate(&self.0, request, command::<_, SuspendParticipant>, |leaf, receipt| {
            Ok(pb::SuspendParticipantResponse { participant: Some(participant(leaf)?), receipt: Some(receipt) })
        })
        .await
    }

    async fn reinstate_participant(
        &self,
        request: Request<pb::ReinstateParticipantRequest>,
    ) -> Result<Response<pb::ReinstateParticipantResponse>, Status> {
        mutate(&self.0, request, command::<_, ReinstateParticipant>, |leaf, receipt| {
            Ok(pb::ReinstateParticipantResponse { participant: Some(participant(leaf)?), receipt: Some(receipt) })
        })
        .await
    }

    async fn add_authority(
        &self,
        request: Request<pb::AddAuthorityRequest>,
    ) -> Result<Response<pb::AddAuthorityResponse>, Status> {
        mutate(&self.0, request, parse_authority, |leaf, receipt| {
            Ok(pb::AddAuthorityResponse { authority: Some(authority(leaf)?), receipt: Some(receipt) })
        })
        .await
    }

    async fn withdraw_authority(
        &self,
        request: Request<pb::WithdrawAuthorityRequest>,
    ) -> Result<Response<pb::WithdrawAuthorityResponse>, Status> {
        mutate(&self.0, request, command::<_, WithdrawAuthority>, |leaf, receipt| {
            Ok(pb::WithdrawAuthorityResponse { authority: Some(authority(leaf)?), receipt: Some(receipt) })
        })
        .await
    }

    async fn list_authorities(
        &self,
        request: Request<pb::ListAuthoritiesRequest>,
    ) -> Result<Response<pb::ListAuthoritiesResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let filter = Filter::parse(&q.filter, AUTHORITIES).map_err(refuse)?;
        let predicates = filter.predicates(AuthorityRow::spec()).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        let (rows, next_page_token): (Vec<AuthorityRow>, _) =
            page(&self.0, &caller, predicates, &paging, Sees::Everyone, |_| true).await?;
        let authorities = rows.iter().map(pb::Authority::from).collect();
        Ok(Response::new(pb::ListAuthoritiesResponse { authorities, next_page_token }))
    }

    async fn add_key(&self, request: Request<pb::AddKeyRequest>) -> Result<Response<pb::AddKeyResponse>, Status> {
        mutate(&self.0, request, parse_key, |leaf, receipt| {
            Ok(pb::AddKeyResponse { key: Some(key(leaf)?), receipt: Some(receipt) })
        })
        .await
    }

    async fn retire_key(
        &self,
        request: Request<pb::RetireKeyRequest>,
    ) -> Result<Response<pb::RetireKeyResponse>, Status> {
        let parse = |q: &pb::RetireKeyRequest, asked: &Asked<'_>| {
            check_holder(&q.key, asked)?;
            command::<_, RetireKey>(q, asked)
        };
        mutate(&self.0, request, parse, |leaf, receipt| {
            Ok(pb::RetireKeyResponse { key: Some(key(leaf)?), receipt: Some(receipt) })
        })
        .await
    }

    async fn withdraw_key(
        &self,
        request: Request<pb::WithdrawKeyRequest>,
    ) -> Result<Response<pb::WithdrawKeyResponse>, Status> {
        let parse = |q: &pb::WithdrawKeyRequest, asked: &Asked<'_>| {
            check_holder(&q.key, asked)?;
            command::<_, WithdrawKey>(q, asked)
        };
        mutate(&self.0, request, parse, |leaf, receipt| {
            Ok(pb::WithdrawKeyResponse { key: Some(key(leaf)?), receipt: Some(receipt) })
        })
        .await
    }

    async fn list_keys(&self, request: Request<pb::ListKeysRequest>) -> Result<Response<pb::ListKeysResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let filter = Filter::parse(&q.filter, KEYS).map_err(refuse)?;
        let predicates = filter.predicates(KeyRow::spec()).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        let (rows, next_page_token): (Vec<KeyRow>, _) =
            page(&self.0, &caller, predicates, &paging, Sees::Everyone, |_| true).await?;
        Ok(Response::new(pb::ListKeysResponse { keys: rows.iter().map(pb::Key::from).collect(), next_page_token }))
    }

    async fn list_signatures(
        &self,
        request: Request<pb::ListSignaturesRequest>,
    ) -> Result<Response<pb::ListSignaturesResponse>, Status> {
        let caller = caller(&request)?;
        signatures::page_of(&self.0, &caller, request.get_ref()).await.map(Response::new)
    }

    async fn add_administrator(
        &self,
        request: Request<pb::AddAdministratorRequest>,
    ) -> Result<Response<pb::AddAdministratorResponse>, Status> {
        mutate(&self.0, request, parse_administrator, |leaf, receipt| {
            let administrator = Some(administrator(&leaf.row()?, &leaf.rows()?));
            Ok(pb::AddAdministratorResponse { administrator, receipt: Some(receipt) })
        })
        .await
    }

    async fn remove_administrator(
        &self,
        request: Request<pb::RemoveAdministratorRequest>,
    ) -> Result<Response<pb::RemoveAdministratorResponse>, Status> {
        mutate(&self.0, request, command::<_, RemoveAdministrator>, |leaf, receipt| {
            let administrator = Some(administrator(&leaf.row()?, &leaf.rows()?));
            Ok(pb::RemoveAdministratorResponse { administrator, receipt: Some(receipt) })
        })
        .await
    }

    async fn list_administrators(
        &self,
        request: Request<pb::ListAdministratorsRequest>,
    ) -> Result<Response<pb::ListAdministratorsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let filter = Filter::parse(&q.filter, ADMINISTRATORS).map_err(refuse)?;
        let predicates = filter.predicates(AdministratorRow::spec()).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        let (rows, next_page_token): (Vec<AdministratorRow>, _) =
            page(&self.0, &caller, predicates, &paging, Sees::Everyone, |_| true).await?;
        let whole = |snapshot: &Snapshot| {
            // All are asked for before the first that is not loaded yet stops it.
            let administrators: Vec<_> = rows.iter().map(|row| with_keys(snapshot, row)).collect();
            administrators.into_iter().collect()
        };
        let administrators = self.0.engine.read(|snapshot, _| whole(snapshot)).await?;
        Ok(Response::new(pb::ListAdministratorsResponse { administrators, next_page_token }))
    }
}

fn parse_create(q: &pb::CreateParticipantRequest, asked: &Asked<'_>) -> Parsed {
    let name: Participant = who("name", &q.name, "regions/{6 digits} | channels/{id}")?;
    let first_key =
        new_key(asked, "first_key_jwk", &q.first_key_jwk, "first_key_fingerprint", &q.first_key_fingerprint)?;
    let holder = Actor::system(name.clone());
    Ok(Mutation::new(CreateParticipant {
        display_name: fields::text("display_name", &q.display_name, 100)?,
        kind: fields::enumerated::<pb::ParticipantKind, ParticipantKind>("kind", q.kind)?,
        authority: new_authority("authority_pem", &q.authority_pem)?,
        confirmations: confirmations(&q.confirmations, &holder, &first_key, asked)?,
        first_key,
        name,
    }))
}

fn parse_authority(q: &pb::AddAuthorityRequest, _: &Asked<'_>) -> Parsed {
    Ok(Mutation::new(AddAuthority {
        participant: who("participant", &q.participant, PARTICIPANT)?,
        authority: new_authority("certificate_pem", &q.certificate_pem)?,
    }))
}

fn parse_key(q: &pb::AddKeyRequest, asked: &Asked<'_>) -> Parsed {
    let owner: Actor = who("owner", &q.owner, "{participant} | {participant}/admins/{id}")?;
    let key = new_key(asked, "jwk", &q.jwk, "fingerprint", &q.fingerprint)?;
    let confirmations = confirmations(&q.confirmations, &owner, &key, asked)?;
    Ok(Mutation::new(AddKey { owner, key, confirmations }))
}

fn parse_administrator(q: &pb::AddAdministratorRequest, asked: &Asked<'_>) -> Parsed {
    Ok(Mutation::new(AddAdministrator {
        name: who("name", &q.name, ADMINISTRATOR)?,
        display_name: fields::text("display_name", &q.display_name, 100)?,
        first_key: new_key(
            asked,
            "first_key_jwk",
            &q.first_key_jwk,
            "first_key_fingerprint",
            &q.first_key_fingerprint,
        )?,
    }))
}

/// A key is named by its holder too; under another's name it is not there. Holders never change, so
/// that a repeated request is judged like the first.
fn check_holder(name: &str, asked: &Asked<'_>) -> Result<(), Rejection> {
    let (holder, kid) = key_name("key", name)?;
    match asked.gateway.registry.view().key(&kid) {
        Some(key) if key.holder != holder => Err(Reason::RecordNotFound.field("key").var("name", name)),
        _ => Ok(()),
    }
}

fn new_key(
    asked: &Asked<'_>,
    jwk_field: &str,
    jwk: &str,
    fingerprint_field: &str,
    fingerprint: &str,
) -> Result<NewKey, Rejection> {
    let key = fields::key(jwk_field, fields::required(jwk_field, jwk)?)?;
    if key.algorithm() == Algorithm::Sm2 && !asked.gateway.takes_sm2_keys {
        return Err(Reason::KeyAlgorithmNotAllowed.field(jwk_field).var("algorithm", "SM2"));
    }
    let fingerprint = fields::required_text(fingerprint_field, fingerprint, 43)?;
    Ok(NewKey { kid: key.kid().to_owned(), jwk: key.jwk().to_json(), fingerprint })
}

/// A CA certificate, stored as nothing but itself: what stands around it in the text is dropped.
fn new_authority(field: &str, pem: &str) -> Result<NewAuthority, Rejection> {
    let pem = fields::required(field, pem)?;
    if pem.len() > MAX_PEM_LEN {
        return Err(Reason::FieldTooLong.field(field).var("limit", MAX_PEM_LEN));
    }
    let malformed = || fields::malformed(field, "one CA certificate (X.509) in PEM");
    let mut found =
        CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>().map_err(|_| malformed())?;
    let (Some(der), true) = (found.pop(), found.is_empty()) else { return Err(malformed()) };
    let (rest, certificate) = X509Certificate::from_der(&der).map_err(|_| malformed())?;
    // What rustls cannot use as a trust anchor would let nobody in.
    let usable = rustls::RootCertStore::empty().add(der.clone()).is_ok();
    if !rest.is_empty() || !certificate.is_ca() || !usable {
        return Err(malformed());
    }
    let validity = certificate.validity();
    let at = |seconds: i64| Timestamp(seconds.saturating_mul(1_000_000));
    Ok(NewAuthority {
        fingerprint: hex::encode(certificate_sha256(&der)),
        certificate_pem: to_pem(&der),
        not_before_us: at(validity.not_before.timestamp()),
        not_after_us: at(validity.not_after.timestamp()),
    })
}

/// RFC 7468: lines of 64 characters.
fn to_pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("base64 is ASCII"));
    let body = lines.collect::<Vec<_>>().join("\n");
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}

/// The statements of those who confirmed a key, their signatures verified. Whether the signers still
/// are in force, the rule asks. The caller's own signature is the call's.
fn confirmations(
    given: &[pb::KeyConfirmation],
    holder: &Actor,
    key: &NewKey,
    asked: &Asked<'_>,
) -> Result<Vec<KeyConfirmation>, Rejection> {
    let mut confirmations = Vec::new();
    for (at, given) in fields::at_most("confirmations", given, MAX_CONFIRMATIONS)?.iter().enumerate() {
        let field = |of: &str| format!("confirmations[{at}].{of}");
        let administrator: Actor = who(&field("administrator"), &given.administrator, "gateway/admins/{id}")?;
        if fields::required(&field("fingerprint"), &given.fingerprint)? != key.kid {
            return Err(Reason::FingerprintMismatch.field(field("fingerprint")));
        }
        if given.statement.is_empty() && administrator == asked.caller.actor {
            continue;
        }
        let statement = fields::required(&field("statement"), &given.statement)?;
        let kid = confirmed(statement, &administrator, holder, key, asked.gateway);
        let invalid = || Reason::ConfirmationInvalid.field(field("statement")).var("name", &administrator);
        confirmations.push(KeyConfirmation { kid: kid.ok_or_else(invalid)?, administrator });
    }
    Ok(confirmations)
}

/// The key that signed a statement, where it is the administrator's and says what it must.
fn confirmed(
    statement: &str,
    administrator: &Actor,
    holder: &Actor,
    key: &NewKey,
    gateway: &Gateway,
) -> Option<String> {
    let kid = decode_unverified_kid(statement).ok()?;
    let view = gateway.registry.view();
    let registered = view.key(&kid).filter(|registered| registered.holder == *administrator)?;
    let claims = verify_confirmation(statement, &registered.key).ok()?;
    let as_expected = claims.iss == administrator.to_string()
        && claims.aud == gateway.origin
        && claims.sub == holder.to_string()
        && claims.fingerprint == key.kid;
    as_expected.then_some(kid)
}

fn with_keys(snapshot: &Snapshot, row: &AdministratorRow) -> Result<pb::Administrator, Stop> {
    let keys = snapshot.list::<KeyRow>(&["holder"], key![row.administrator.clone()])?;
    Ok(administrator(row, &keys.iter().map(|key| (**key).clone()).collect::<Vec<_>>()))
}

fn participant(leaf: &LeafView) -> Result<pb::Participant, StoredFault> {
    Ok(pb::Participant::from(&leaf.row::<ParticipantRow>()?))
}

fn authority(leaf: &LeafView) -> Result<pb::Authority, StoredFault> {
    Ok(pb::Authority::from(&leaf.row::<AuthorityRow>()?))
}

fn key(leaf: &LeafView) -> Result<pb::Key, StoredFault> {
    Ok(pb::Key::from(&leaf.row::<KeyRow>()?))
}
