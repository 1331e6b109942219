//! One gateway with two regions, a channel and administrators; clients that sign.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, BufMut, Bytes};
use futures_util::StreamExt;
use jjj_domain::decision::Command;
use jjj_domain::id::{DivisionCode, Uscc};
use jjj_domain::institution::{InstitutionKind, RegisterInstitution};
use jjj_domain::names::{Actor, Participant, RequestId};
use jjj_domain::participant::{
    AddAdministrator, CreateParticipant, FoundGateway, KeyConfirmation, NewAuthority, NewKey, SuspendParticipant,
};
use jjj_domain::time::Timestamp;
use jjj_server::bootstrap::{found, fresh_id};
use jjj_server::config::{Config, Database, Keys, Limits, TlsListener};
use jjj_server::engine::{Job, Origin};
use jjj_server::gateway::StartError;
use jjj_server::keys::GatewayKeys;
use jjj_server::{Clock, Handle};
use jjj_store::Store;
use jjj_tests::postgres::TestDatabase;
use jjj_token::merkle::{items_root, leaf_hash};
use jjj_token::request::{Confirmation, RequestClaims, sign_request};
use jjj_token::thumbprint::certificate_sha256;
use jjj_token::{Algorithm, Hash, SigningKey};
use prost::Message;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tokio::sync::oneshot;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

pub const ORIGIN: &str = "gateway.test";
/// Registered in Hebei.
pub const INSTITUTION: &str = "91130100MA0000007L";

/// A certificate authority of the test.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
    der: Vec<u8>,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().to_vec());
        Self { issuer: Issuer::new(params, key), pem, der }
    }

    fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> (String, String, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        params.not_after = rcgen::date_time_ymd(2100, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem(), certificate.der().to_vec())
    }

    pub fn as_new(&self) -> NewAuthority {
        NewAuthority {
            fingerprint: hex::encode(certificate_sha256(&self.der)),
            certificate_pem: self.pem.clone(),
            not_before_us: Timestamp(0),
            not_after_us: Timestamp(i64::MAX / 2),
        }
    }
}

fn signing_key() -> SigningKey {
    SigningKey::from_pkcs8_pem(&SigningKey::generate_pkcs8_pem(Algorithm::EdDsa).unwrap()).unwrap()
}

pub fn new_key(key: &SigningKey) -> NewKey {
    NewKey { kid: key.kid().into(), jwk: key.public_jwk().to_json(), fingerprint: key.kid().into() }
}

/// The running gateway and everybody's secrets.
pub struct World {
    pub handle: Option<Handle>,
    pub clock: Clock,
    stop: Option<oneshot::Sender<()>>,
    server_authority: Authority,
    confirmation: KeyConfirmation,
    pub gateway_ca: Authority,
    pub hebei_ca: Authority,
    pub beijing_ca: Authority,
    pub unionpay_ca: Authority,
    pub hebei: Client,
    pub beijing: Client,
    pub unionpay: Client,
    pub hebei_admin: Client,
    pub gateway_admin: Client,
    pub database: TestDatabase,
    config: Config,
    _dir: tempfile::TempDir,
}

/// One identity: certificate, signing key, connection.
pub struct Client {
    pub actor: String,
    pub key: Arc<SigningKey>,
    pub certificate_sha256: Hash,
    pub channel: Channel,
}

impl World {
    pub async fn start(database: TestDatabase) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let server_authority = Authority::new();
        let (chain, key, _) = server_authority.issue("localhost", ExtendedKeyUsagePurpose::ServerAuth);
        std::fs::write(at("server.pem"), chain).unwrap();
        secret(&at("server.key"), &key);
        secret(&at("gateway.key"), &SigningKey::generate_pkcs8_pem(Algorithm::EdDsa).unwrap());
        secret(&at("master.key"), &"5a".repeat(32));
        let config = Config {
            origin: ORIGIN.into(),
            sandbox: true,
            clock_offset_s: 0,
            database: Database { url: database.url().to_owned() },
            grpc: TlsListener {
                listen: "127.0.0.1:0".parse().unwrap(),
                certificate: at("server.pem"),
                key: at("server.key"),
            },
            public: None,
            public_url: None,
            metrics: None,
            witnesses: Default::default(),
            keys: Keys {
                signing: at("gateway.key").into(),
                next: None,
                master: at("master.key"),
                sm2: false,
                sm2_signing: None,
                sm2_next: None,
                sm2_statements: false,
            },
            limits: Limits::default(),
        };

        let clock = Clock::default();
        let keys = GatewayKeys::load(&config.keys).unwrap();
        let store = Store::open(&config.database.url).await.unwrap();
        let (gateway_ca, admins) = (Authority::new(), [Arc::new(signing_key()), Arc::new(signing_key())]);
        let founding = FoundGateway {
            display_name: "网关".into(),
            authority: gateway_ca.as_new(),
            first_key: new_key(&keys.signing),
            administrators: vec![admin("gateway/admins/li", &admins[0]), admin("gateway/admins/chen", &admins[1])],
        };
        found(&store, &clock, &keys, ORIGIN, founding).await.unwrap();
        store.close().await;

        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let kept = config.clone();
        let handle = jjj_server::run(config, clock.clone(), shutdown).await.unwrap();

        let administrator = "gateway/admins/chen".parse().unwrap();
        let confirmation = KeyConfirmation { administrator, kid: admins[1].kid().into() };
        let people = Founders { handle: &handle, clock: &clock, confirmation: confirmation.clone() };
        let (hebei_ca, hebei_key) = people.enrol("regions/130000").await;
        let (beijing_ca, beijing_key) = people.enrol("regions/110000").await;
        let (unionpay_ca, unionpay_key) = people.enrol("channels/unionpay").await;
        let wang = Arc::new(signing_key());
        people.decide("regions/130000", admin("regions/130000/admins/wang", &wang)).await;
        people
            .decide(
                "regions/130000",
                RegisterInstitution {
                    uscc: INSTITUTION.parse::<Uscc>().unwrap(),
                    display_name: "燕郊养老院".into(),
                    kind: InstitutionKind::ALL[0],
                    division: "131082".parse::<DivisionCode>().unwrap(),
                    beds: 100,
                    residents: 60,
                },
            )
            .await;

        let connect = |actor: &str, ca: &Authority, key: &Arc<SigningKey>| {
            client(actor, ca, key.clone(), &server_authority, handle.grpc)
        };
        Self {
            hebei: connect("regions/130000", &hebei_ca, &hebei_key),
            beijing: connect("regions/110000", &beijing_ca, &beijing_key),
            unionpay: connect("channels/unionpay", &unionpay_ca, &unionpay_key),
            hebei_admin: connect("regions/130000/admins/wang", &hebei_ca, &wang),
            gateway_admin: connect("gateway/admins/li", &gateway_ca, &admins[0]),
            gateway_ca,
            hebei_ca,
            beijing_ca,
            unionpay_ca,
            confirmation,
            handle: Some(handle),
            clock,
            stop: Some(stop),
            server_authority,
            database,
            config: kept,
            _dir: dir,
        }
    }

    /// A moment that is past by SQLite's clock too, which counts milliseconds.
    pub fn just_now(&self) -> Timestamp {
        self.clock.now().plus_us(-1_000)
    }

    pub fn now_s(&self) -> i64 {
        self.clock.now().0 / 1_000_000
    }

    pub fn gateway(&self) -> Arc<jjj_server::Gateway> {
        self.handle.as_ref().unwrap().gateway.clone()
    }

    /// Another connection of an actor, under a certificate of a given authority.
    pub fn connect(&self, actor: &str, ca: &Authority, key: Arc<SigningKey>) -> Client {
        client(actor, ca, key, &self.server_authority, self.handle.as_ref().unwrap().grpc)
    }

    pub async fn suspend(&self, participant: &str) {
        let command = SuspendParticipant { participant: participant.parse().unwrap(), reason: "test".into() };
        self.decide("gateway/admins/li", command).await;
    }

    /// Sets a scene straight through the engine; the id of the request.
    pub async fn decide(&self, actor: &str, command: impl Command + 'static) -> RequestId {
        let clock = &self.clock;
        let people = Founders { handle: self.handle.as_ref().unwrap(), clock, confirmation: self.confirmation.clone() };
        people.decide(actor, command).await
    }

    /// Stops the gateway; the database stays until the world goes.
    pub async fn stop(&mut self) {
        drop(self.stop.take());
        self.handle.take().unwrap().join().await;
    }

    /// The database without a gateway.
    pub async fn store(&self) -> Store {
        Store::open(self.database.url()).await.unwrap()
    }

    /// One more gateway on the same database.
    pub async fn replica(&self) -> (Handle, oneshot::Sender<()>) {
        self.replica_with(self.config.limits).await
    }

    /// One with other limits.
    pub async fn replica_with(&self, limits: Limits) -> (Handle, oneshot::Sender<()>) {
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let config = Config { limits, ..self.config.clone() };
        (jjj_server::run(config, self.clock.clone(), shutdown).await.unwrap(), stop)
    }

    /// One more gateway that signs with this key (PKCS#8 in PEM), for as long as it is asked to run.
    pub async fn signing_with(&self, pem: &str, shutdown: oneshot::Receiver<()>) -> Result<Handle, StartError> {
        let signing = self._dir.path().join("another.key");
        secret(&signing, pem);
        let keys = Keys { signing: signing.into(), ..self.config.keys.clone() };
        let config = Config { keys, ..self.config.clone() };
        jjj_server::run(config, self.clock.clone(), async { drop(shutdown.await) }).await
    }

    /// One that takes SM2 keys, and signs heads with this one too.
    pub async fn with_sm2(&self, pem: &str, shutdown: oneshot::Receiver<()>) -> Result<Handle, StartError> {
        let second = self._dir.path().join("sm2.key");
        secret(&second, pem);
        let keys = Keys { sm2: true, sm2_signing: Some(second.into()), ..self.config.keys.clone() };
        let config = Config { keys, ..self.config.clone() };
        jjj_server::run(config, self.clock.clone(), async { drop(shutdown.await) }).await
    }

    /// One whose SM2 key signs what it states; `next` takes over from it.
    pub async fn stating_by_sm2(&self, pem: &str, next: &str) -> (Handle, oneshot::Sender<()>) {
        let place = |name: &str, pem: &str| {
            let path = self._dir.path().join(name);
            secret(&path, pem);
            Some(path.into())
        };
        let (sm2_signing, sm2_next) = (place("sm2.key", pem), place("sm2-next.key", next));
        let keys = Keys { sm2: true, sm2_signing, sm2_next, sm2_statements: true, ..self.config.keys.clone() };
        let config = Config { keys, ..self.config.clone() };
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async { drop(stopped.await) };
        (jjj_server::run(config, self.clock.clone(), shutdown).await.unwrap(), stop)
    }

    /// One more gateway, with a key (PKCS#8 in PEM) that takes over from the first.
    pub async fn with_next(&self, pem: &str) -> (Handle, oneshot::Sender<()>) {
        let next = self._dir.path().join("next.key");
        secret(&next, pem);
        let keys = Keys { next: Some(next.into()), ..self.config.keys.clone() };
        let config = Config { keys, ..self.config.clone() };
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async { drop(stopped.await) };
        (jjj_server::run(config, self.clock.clone(), shutdown).await.unwrap(), stop)
    }

    /// The same actor, calling another gateway.
    pub fn reconnect(&self, client: &Client, ca: &Authority, handle: &Handle) -> Client {
        self::client(&client.actor, ca, client.key.clone(), &self.server_authority, handle.grpc)
    }

    pub async fn leaves(&self) -> i64 {
        let spec = <jjj_store::log_tables::LeafRow as jjj_domain::row::Row>::spec();
        self.gateway().store.read().await.unwrap().count(spec, &jjj_store::ListQuery::default()).await.unwrap()
    }
}

fn secret(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn admin(name: &str, key: &SigningKey) -> AddAdministrator {
    AddAdministrator {
        name: name.parse().unwrap(),
        display_name: name.rsplit('/').next().unwrap().to_owned(),
        first_key: new_key(key),
    }
}

/// Sets the scene straight through the engine: enrolment over the wire is another test's matter.
struct Founders<'a> {
    handle: &'a Handle,
    clock: &'a Clock,
    confirmation: KeyConfirmation,
}

impl Founders<'_> {
    async fn decide(&self, actor: &str, command: impl Command + 'static) -> RequestId {
        let request_id = fresh_id(self.clock);
        let job = Job {
            actor: actor.parse::<Actor>().unwrap(),
            request_id,
            origin: Origin::Gateway { content: "scene".into() },
            command: Box::new(command),
            sealed_for: None,
            alone: false,
            completes_upload: None,
        };
        self.handle.gateway.engine.submit(job).await.unwrap();
        request_id
    }

    async fn enrol(&self, name: &str) -> (Authority, Arc<SigningKey>) {
        let (ca, key) = (Authority::new(), Arc::new(signing_key()));
        let participant: Participant = name.parse().unwrap();
        let command = CreateParticipant {
            kind: participant.kind(),
            name: participant,
            display_name: name.to_owned(),
            authority: ca.as_new(),
            first_key: new_key(&key),
            confirmations: vec![self.confirmation.clone()],
        };
        self.decide("gateway/admins/li", command).await;
        (ca, key)
    }
}

fn client(
    actor: &str,
    ca: &Authority,
    key: Arc<SigningKey>,
    server: &Authority,
    address: std::net::SocketAddr,
) -> Client {
    let (chain, tls_key, der) = ca.issue("client", ExtendedKeyUsagePurpose::ClientAuth);
    let tls = ClientTlsConfig::new()
        .domain_name("localhost")
        .ca_certificate(Certificate::from_pem(&server.pem))
        .identity(Identity::from_pem(chain, tls_key));
    let channel = Endpoint::from_shared(format!("https://{address}")).unwrap().tls_config(tls).unwrap().connect_lazy();
    Client { actor: actor.to_owned(), key, certificate_sha256: certificate_sha256(&der), channel }
}

/// No token's id is another's.
fn fresh_jti() -> String {
    static TOKENS: AtomicU64 = AtomicU64::new(0);
    format!("{:016}", TOKENS.fetch_add(1, Ordering::Relaxed))
}

impl Client {
    pub fn claims(&self, path: &str, root: Option<Hash>, now_s: i64) -> RequestClaims {
        RequestClaims {
            iss: self.actor.clone(),
            aud: ORIGIN.into(),
            iat: now_s,
            exp: now_s + 120,
            jti: fresh_jti(),
            path: path.into(),
            cnf: Confirmation { certificate_sha256: self.certificate_sha256 },
            root,
        }
    }

    /// Signs and calls; the answer's bytes.
    pub async fn call(&self, path: &'static str, message: &[u8], now_s: i64) -> Result<Bytes, Status> {
        let claims = self.claims(path, Some(leaf_hash(message)), now_s);
        self.send(path, message, &sign_request(&self.key, &claims).unwrap()).await
    }

    pub async fn call_batch(
        &self,
        path: &'static str,
        items: &[Vec<u8>],
        now_s: i64,
    ) -> Result<jjj_wire::pb::BatchMutateResponse, Status> {
        let slices: Vec<&[u8]> = items.iter().map(Vec::as_slice).collect();
        let claims = self.claims(path, Some(items_root(&slices).0), now_s);
        let items = items.iter().cloned().map(Into::into).collect();
        let message = jjj_wire::pb::BatchMutateRequest { items }.encode_to_vec();
        let answer = self.send(path, &message, &sign_request(&self.key, &claims).unwrap()).await?;
        Ok(jjj_wire::pb::BatchMutateResponse::decode(answer).unwrap())
    }

    /// Sends these bytes under this token.
    pub async fn send(&self, path: &'static str, message: &[u8], token: &str) -> Result<Bytes, Status> {
        let mut request = Request::new(Bytes::copy_from_slice(message));
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        self.send_request(path, request).await
    }

    /// Sends a message that does not end: its answer can only be a refusal.
    pub async fn begin(&self, path: &'static str, message: Bytes, token: Option<String>) -> Result<Bytes, Status> {
        let unending = futures_util::stream::once(async { message }).chain(futures_util::stream::pending());
        let mut request = Request::new(unending);
        if let Some(token) = token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        grpc.ready().await.map_err(|e| Status::unavailable(format!("{e:?}")))?;
        let path = http::uri::PathAndQuery::from_static(path);
        Ok(grpc.client_streaming(request, path, RawCodec).await?.into_inner())
    }

    pub async fn send_request(&self, path: &'static str, request: Request<Bytes>) -> Result<Bytes, Status> {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        grpc.ready().await.map_err(|e| Status::unavailable(format!("{e:?}")))?;
        let path = http::uri::PathAndQuery::from_static(path);
        Ok(grpc.unary(request, path, RawCodec).await?.into_inner())
    }
}

/// Calls and decodes the answer.
pub async fn ask<A: Message + Default>(
    world: &World,
    client: &Client,
    path: &'static str,
    request: &impl Message,
) -> Result<A, Status> {
    Ok(A::decode(client.call(path, &request.encode_to_vec(), world.now_s()).await?).unwrap())
}

/// The reason in a refusal's `ErrorInfo`.
pub fn reason(status: &Status) -> String {
    use tonic_types::StatusExt;
    status.get_details_error_info().map_or_else(|| format!("none: {status:?}"), |info| info.reason)
}

/// Messages as the bytes they are.
#[derive(Clone, Copy, Default)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self
    }
    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let len = from.remaining();
        Ok(Some(from.copy_to_bytes(len)))
    }
}
