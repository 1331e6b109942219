//! Founding a sandbox's gateway and enrolling its members through the API, each
//! key confirmed by two of the gateway's administrators.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use jjj_domain::participant::{AddAdministrator, FoundGateway, NewAuthority, NewKey};
use jjj_domain::time::Timestamp;
use jjj_server::keys::GatewayKeys;
use jjj_server::{Clock, Config, bootstrap};
use jjj_store::Store;
use jjj_token::Jwk;
use jjj_token::confirmation::{ConfirmationClaims, sign_confirmation};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::json;

use crate::client::{Client, Now};
use crate::identity::{Identity, PUBLIC_JWK_FILE};
use crate::sandbox::{MEMBERS, Member, SERVER_NAME, Sandbox};
use crate::session::Session;

/// Sets up the sandbox's database: schema, the gateway, its administrators, default policies.
pub async fn found(sandbox: &Sandbox, clock: &Clock) -> anyhow::Result<()> {
    let config = Config::load(&sandbox.config_path())?;
    let keys = GatewayKeys::load(&config.keys)?;
    let store = Store::open(&config.database.url).await.context("opening the database")?;
    let gateway = &MEMBERS[0];
    let administrators = gateway.administrators.iter().map(|id| {
        let name = format!("{}/admins/{id}", gateway.participant);
        Ok(AddAdministrator {
            display_name: (*id).to_owned(),
            first_key: new_key(&public_jwk(sandbox, &name)?),
            name: name.parse().map_err(|_| anyhow!("{name} is no name"))?,
        })
    });
    let founding = FoundGateway {
        display_name: gateway.title.to_owned(),
        authority: authority(&sandbox.authority_path(gateway.participant))?,
        first_key: new_key(keys.signing.public_jwk()),
        administrators: administrators.collect::<anyhow::Result<_>>()?,
    };
    bootstrap::found(&store, clock, &keys, &config.origin, founding).await.context("founding the gateway")
}

/// Enrols every member but the gateway, over real connections to a gateway that runs meanwhile.
pub async fn enrol_members(sandbox: &Sandbox, clock: &Clock) -> anyhow::Result<()> {
    let mut config = Config::load(&sandbox.config_path())?;
    config.grpc.listen.set_port(0);
    config.public = None;
    config.metrics = None;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let handle = jjj_server::run(config.clone(), clock.clone(), async { drop(stopped.await) }).await?;
    let connect = |actor: &str| session(sandbox, actor, &handle.grpc.to_string(), &config.origin, now(clock));
    let result = enrol_all(sandbox, &config.origin, &connect).await;
    drop(stop);
    handle.join().await;
    result
}

/// A client's clock that follows the gateway's.
pub fn now(clock: &Clock) -> Now {
    let clock = clock.clone();
    Arc::new(move || clock.now().0)
}

/// A session of one of the sandbox's identities.
pub fn session(sandbox: &Sandbox, actor: &str, address: &str, origin: &str, now: Now) -> anyhow::Result<Session> {
    let identity = Identity::load(&sandbox.identity_dir(actor))?;
    Ok(Session::new(Client::new(identity, address, SERVER_NAME, origin, now)?))
}

async fn enrol_all(
    sandbox: &Sandbox,
    origin: &str,
    connect: &impl Fn(&str) -> anyhow::Result<Session>,
) -> anyhow::Result<()> {
    let first = connect("gateway/admins/li")?;
    let second = connect("gateway/admins/wang")?;
    for member in MEMBERS.iter().filter(|m| m.participant != "gateway") {
        enrol_participant(sandbox, origin, member, &first, &second).await?;
        enrol_administrators(sandbox, member, connect).await?;
    }
    Ok(())
}

async fn enrol_participant(
    sandbox: &Sandbox,
    origin: &str,
    member: &Member,
    first: &Session,
    second: &Session,
) -> anyhow::Result<()> {
    let jwk = public_jwk(sandbox, member.participant)?;
    let fingerprint = jwk.thumbprint();
    let statement = sign_confirmation(
        &second.client.identity().signing,
        &ConfirmationClaims {
            iss: second.client.actor().to_owned(),
            aud: origin.to_owned(),
            sub: member.participant.to_owned(),
            fingerprint: fingerprint.clone(),
            iat: second.client.now_us() / 1_000_000,
        },
    )?;
    let kind = if member.participant.starts_with("regions/") { "REGION" } else { "CHANNEL" };
    let request = json!({
        "name": member.participant,
        "display_name": member.title,
        "kind": format!("PARTICIPANT_KIND_{kind}"),
        "authority_pem": std::fs::read_to_string(sandbox.authority_path(member.participant))?,
        "first_key_jwk": jwk.to_json(),
        "first_key_fingerprint": fingerprint,
        "confirmations": [
            {"administrator": first.client.actor(), "fingerprint": fingerprint},
            {"administrator": second.client.actor(), "fingerprint": fingerprint, "statement": statement},
        ],
    });
    let answer = first.call("ParticipantService/CreateParticipant", request).await;
    answer.with_context(|| format!("enrolling {}", member.participant)).map(drop)
}

/// A member's own system adds its first administrator, who adds the others.
async fn enrol_administrators(
    sandbox: &Sandbox,
    member: &Member,
    connect: &impl Fn(&str) -> anyhow::Result<Session>,
) -> anyhow::Result<()> {
    let mut adding = connect(member.participant)?;
    for (i, id) in member.administrators.iter().enumerate() {
        let name = format!("{}/admins/{id}", member.participant);
        if i == 1 {
            adding = connect(&format!("{}/admins/{}", member.participant, member.administrators[0]))?;
        }
        let jwk = public_jwk(sandbox, &name)?;
        let request = json!({
            "name": name,
            "display_name": id,
            "first_key_jwk": jwk.to_json(),
            "first_key_fingerprint": jwk.thumbprint(),
        });
        let answer = adding.call("ParticipantService/AddAdministrator", request).await;
        answer.with_context(|| format!("enrolling {name}"))?;
    }
    Ok(())
}

fn public_jwk(sandbox: &Sandbox, actor: &str) -> anyhow::Result<Jwk> {
    let path = sandbox.identity_dir(actor).join(PUBLIC_JWK_FILE);
    let text = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    Jwk::from_json(&text).with_context(|| format!("{} holds no public key", path.display()))
}

fn new_key(jwk: &Jwk) -> NewKey {
    NewKey { kid: jwk.thumbprint(), jwk: jwk.to_json(), fingerprint: jwk.thumbprint() }
}

fn authority(path: &Path) -> anyhow::Result<NewAuthority> {
    let certificate_pem = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes())?;
    Ok(NewAuthority {
        fingerprint: hex::encode(jjj_token::thumbprint::certificate_sha256(&der)),
        certificate_pem,
        // The sandbox's certificates: 2024 to 2033, as `sandbox` makes them.
        not_before_us: Timestamp(1_704_067_200_000_000),
        not_after_us: Timestamp(2_019_686_400_000_000),
    })
}
