//! The signed client: mutual TLS, a request token per call, the exact bytes that
//! were signed on the wire (README "The request token").

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use jjj_token::SignError;
use jjj_token::merkle::items_root;
use jjj_token::request::{Confirmation, RequestClaims, sign_request};
use jjj_wire::methods::{Method, method};
use jjj_wire::pb;
use prost::Message;
use tokio::time::timeout;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status, Streaming};

use crate::identity::Identity;

/// The time of a client, in microseconds since 1970 UTC. The demo's runs ahead of the system's.
pub type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

/// A connection of one identity to one gateway.
#[derive(Clone)]
pub struct Client {
    identity: Arc<Identity>,
    channel: Channel,
    audience: String,
    now_us: Now,
}

/// How long a request token of ours lives, seconds; the gateway allows 300.
const TOKEN_LIFETIME_S: i64 = 120;

impl Client {
    /// Connects lazily: the first call does.
    ///
    /// `address` is `host:port`; `server_name` is the name in the gateway's certificate;
    /// `audience` its origin.
    pub fn new(
        identity: Identity,
        address: &str,
        server_name: &str,
        audience: &str,
        now_us: Now,
    ) -> Result<Self, tonic::transport::Error> {
        let tls = ClientTlsConfig::new()
            .domain_name(server_name)
            .ca_certificate(Certificate::from_pem(&identity.gateway_ca_pem))
            .identity(tonic::transport::Identity::from_pem(&identity.certificate_pem, &identity.tls_key_pem));
        let channel = Endpoint::from_shared(format!("https://{address}"))?
            .tls_config(tls)?
            .connect_timeout(Duration::from_secs(10))
            .connect_lazy();
        Ok(Self { identity: Arc::new(identity), channel, audience: audience.to_owned(), now_us })
    }

    /// Who this client signs as.
    pub fn actor(&self) -> &str {
        &self.identity.actor
    }

    /// For whom it signs: a person for their participant, a system for itself.
    pub fn participant(&self) -> &str {
        self.actor().split("/admins/").next().unwrap_or_default()
    }

    /// The origin of the gateway that this client signs for.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// The client's time.
    pub fn now_us(&self) -> i64 {
        (self.now_us)()
    }

    /// A fresh request id of the client's time: a UUIDv7 in its one spelling.
    pub fn request_id(&self) -> String {
        let us = self.now_us();
        let seconds = us.div_euclid(1_000_000).unsigned_abs();
        let nanos = (us.rem_euclid(1_000_000) * 1_000) as u32;
        uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos)).to_string()
    }

    /// A unary call by its full path, `/jjj.gateway.v1.RatingService/PublishRating`.
    pub async fn call<Q: Message, A: Message + Default>(&self, path: &'static str, request: &Q) -> Result<A, Status> {
        let answer = self.call_bytes(path, request.encode_to_vec().into()).await?;
        A::decode(answer).map_err(|e| Status::internal(format!("the answer does not decode: {e}")))
    }

    /// A unary call with the very bytes that were persisted.
    pub async fn call_bytes(&self, path: &'static str, message: Bytes) -> Result<Bytes, Status> {
        let token = self.token_aside(path, &message).await?;
        self.call_with_token(path, message, &token).await
    }

    /// A unary call under a given token: for replays and for tests of refusals.
    pub async fn call_with_token(&self, path: &'static str, message: Bytes, token: &str) -> Result<Bytes, Status> {
        let mut grpc = self.ready().await?;
        let request = with_token(message, token)?;
        Ok(grpc.unary(request, PathAndQuery::from_static(path), BytesCodec).await?.into_inner())
    }

    /// A batch call: up to 1,000 serialized single requests under one token.
    pub async fn batch(
        &self,
        path: &'static str,
        items: Vec<Bytes>,
    ) -> Result<Vec<Result<Bytes, tonic_types::Status>>, Status> {
        let request = pb::BatchMutateRequest { items };
        let response: pb::BatchMutateResponse = self.call(path, &request).await?;
        response.results.into_iter().map(batch_result).collect()
    }

    /// A server stream.
    pub async fn stream<Q: Message, A: Message + Default + 'static>(
        &self,
        path: &'static str,
        request: &Q,
    ) -> Result<Streaming<A>, Status> {
        let message = Bytes::from(request.encode_to_vec());
        let token = self.token_aside(path, &message).await?;
        let mut grpc = self.ready().await?;
        let codec = StreamCodec(std::marker::PhantomData);
        let answer =
            grpc.server_streaming(with_token(message, &token)?, PathAndQuery::from_static(path), codec).await?;
        Ok(answer.into_inner())
    }

    async fn ready(&self) -> Result<tonic::client::Grpc<Channel>, Status> {
        const MAX_MESSAGE_BYTES: usize = 64 << 20;
        let mut grpc = tonic::client::Grpc::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
        grpc.ready().await.map_err(|e| Status::unavailable(format!("not connected: {e}")))?;
        Ok(grpc)
    }

    /// The request token of a call: bound to its path, to our certificate and, when it mutates or
    /// reads personal data, to the RFC 6962 root over its items.
    pub fn token(&self, path: &str, message: &[u8]) -> Result<String, Status> {
        let root = match method(path) {
            Some(Method { mutating: true, batch: true, .. }) => {
                let batch = pb::BatchMutateRequest::decode(message)
                    .map_err(|e| Status::invalid_argument(format!("not a batch: {e}")))?;
                let items: Vec<&[u8]> = batch.items.iter().map(|item| &item[..]).collect();
                Some(items_root(&items).0)
            }
            Some(method) if method.binds_content() => Some(items_root(&[message]).0),
            _ => None,
        };
        let iat = self.now_us().div_euclid(1_000_000);
        let claims = RequestClaims {
            iss: self.identity.actor.clone(),
            aud: self.audience.clone(),
            iat,
            exp: iat + TOKEN_LIFETIME_S,
            jti: uuid::Uuid::now_v7().simple().to_string(),
            path: path.to_owned(),
            cnf: Confirmation { certificate_sha256: self.identity.certificate_sha256 },
            root,
        };
        sign_request(&self.identity.signing, &claims).map_err(|e| match e {
            SignError::Unreachable => Status::unavailable(e.to_string()),
            SignError::Failed => Status::internal(e.to_string()),
        })
    }

    /// As [`Self::token`], on a thread that may wait where the key is in a module.
    async fn token_aside(&self, path: &'static str, message: &Bytes) -> Result<String, Status> {
        if !self.identity.signing.may_block() {
            return self.token(path, message);
        }
        let (client, message) = (self.clone(), message.clone());
        let signed = tokio::task::spawn_blocking(move || client.token(path, &message));
        match timeout(jjj_custody::WITHIN, signed).await {
            Ok(signed) => signed.unwrap_or_else(|e| Err(Status::internal(e.to_string()))),
            Err(_) => Err(Status::unavailable(SignError::Unreachable.to_string())),
        }
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}

fn with_token(message: Bytes, token: &str) -> Result<Request<Bytes>, Status> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().map_err(|_| Status::internal("a token is ASCII"))?;
    request.metadata_mut().insert("authorization", value);
    Ok(request)
}

fn batch_result(result: pb::BatchMutateResult) -> Result<Result<Bytes, tonic_types::Status>, Status> {
    use pb::batch_mutate_result::Outcome;
    match result.outcome {
        Some(Outcome::Response(bytes)) => Ok(Ok(bytes)),
        Some(Outcome::Status(bytes)) => tonic_types::Status::decode(&bytes[..])
            .map(Err)
            .map_err(|e| Status::internal(format!("an item's status does not decode: {e}"))),
        None => Err(Status::internal("an item has no outcome")),
    }
}

/// Sends bytes as they are and hands bytes out: what is signed is what is sent.
struct BytesCodec;

impl Codec for BytesCodec {
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

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, item: Bytes, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        dst.put(item);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let len = src.remaining();
        Ok(Some(src.copy_to_bytes(len)))
    }
}

/// Sends bytes as they are and decodes answers.
struct StreamCodec<A>(std::marker::PhantomData<A>);

impl<A: Message + Default + 'static> Codec for StreamCodec<A> {
    type Encode = Bytes;
    type Decode = A;
    type Encoder = BytesCodec;
    type Decoder = Self;
    fn encoder(&mut self) -> BytesCodec {
        BytesCodec
    }
    fn decoder(&mut self) -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<A: Message + Default + 'static> Decoder for StreamCodec<A> {
    type Item = A;
    type Error = Status;
    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<A>, Status> {
        A::decode(src).map(Some).map_err(|e| Status::internal(format!("the answer does not decode: {e}")))
    }
}
