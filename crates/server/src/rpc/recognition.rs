//! Recognitions: decide, read, prove.

use std::sync::Arc;
use std::time::Duration;

use jjj_custody::aside;
use jjj_domain::guard;
use jjj_domain::key;
use jjj_domain::names::{Collection, Name};
use jjj_domain::record::{DecideRecognition, RecognitionRow, RecordKind, RecordRow};
use jjj_domain::rejection::Reason;
use jjj_domain::row::{Row, StoredFault};
use jjj_domain::rules::assessment::Measured;
use jjj_token::recognition::{RecognitionClaims, Recognized, Status as StatusClaim, sign_recognition};
use jjj_token::sd_recognition::sign_sd_recognition;
use jjj_token::status_list::status_place;
use jjj_token::{Jwk, SigningKey};
use jjj_wire::pb;
use jjj_wire::pb::recognition_service_server::RecognitionService;
use jjj_wire::recognition::recognition;
use tonic::{Request, Response, Status};

use super::fields;
use super::filter::{Field, Filter};
use super::page::Paging;
use super::read::{Sees, failed, get, inconsistent, page, refuse, versions};
use super::support::{batch, caller, command, mutate};
use crate::engine::LeafView;
use crate::gateway::Gateway;
use crate::identity::Caller;
use crate::keys::random;
use crate::status::Refused;
use crate::status_list;

pub struct RecognitionApi(pub Arc<Gateway>);

const FILTER: &[Field] = &[
    ("record", Some("record")),
    ("kind", Some("kind")),
    ("subject", Some("subject")),
    ("issuer", Some("issuer")),
    ("recognizer", Some("recognizer")),
    ("state", Some("state")),
    ("in_force", None),
    ("scheme", Some("scheme")),
    ("recognized_min", Some("recognized_min")),
    ("recognized_max", Some("recognized_max")),
    ("valid_until", Some("valid_until")),
];

/// A leaf is numbered some 20 ms after its commit; a token asked for sooner waits so often.
const LOOKS_FOR_INDEX: u32 = 100;
const LOOK_EVERY: Duration = Duration::from_millis(20);

#[tonic::async_trait]
impl RecognitionService for RecognitionApi {
    async fn decide_recognition(
        &self,
        request: Request<pb::DecideRecognitionRequest>,
    ) -> Result<Response<pb::DecideRecognitionResponse>, Status> {
        mutate(&self.0, request, command::<_, DecideRecognition>, decided).await
    }

    async fn batch_decide_recognitions(
        &self,
        request: Request<pb::BatchMutateRequest>,
    ) -> Result<Response<pb::BatchMutateResponse>, Status> {
        batch(&self.0, request, command::<pb::DecideRecognitionRequest, DecideRecognition>, decided).await
    }

    async fn get_recognition(
        &self,
        request: Request<pb::GetRecognitionRequest>,
    ) -> Result<Response<pb::Recognition>, Status> {
        let row = self.find(&caller(&request)?, &request.get_ref().name).await?;
        Ok(Response::new(recognition(&row, self.0.clock.now().date())))
    }

    async fn list_recognitions(
        &self,
        request: Request<pb::ListRecognitionsRequest>,
    ) -> Result<Response<pb::ListRecognitionsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let mut filter = Filter::parse(&q.filter, FILTER).map_err(refuse)?;
        let in_force = filter.take("in_force");
        let predicates = filter.predicates(RecognitionRow::spec()).map_err(refuse)?;
        let paging = Paging::new(caller.method.path, &q.filter, q.page_size, &q.page_token).map_err(refuse)?;
        let today = self.0.clock.now().date();
        let keep = |row: &RecognitionRow| in_force.iter().all(|c| c.holds_for(&row.holds_on(today).to_string()));
        let (rows, next_page_token) = page(&self.0, &caller, predicates, &paging, Sees::Readers, keep).await?;
        let recognitions = rows.iter().map(|row| recognition(row, today)).collect();
        Ok(Response::new(pb::ListRecognitionsResponse { recognitions, next_page_token }))
    }

    async fn list_recognition_versions(
        &self,
        request: Request<pb::ListRecognitionVersionsRequest>,
    ) -> Result<Response<pb::ListRecognitionVersionsResponse>, Status> {
        let caller = caller(&request)?;
        let q = request.get_ref();
        let paging = Paging::new(caller.method.path, &q.name, q.page_size, &q.page_token).map_err(refuse)?;
        let newest = self.find(&caller, &q.name).await?;
        let (leaves, next_page_token) = versions(&self.0, &newest.recognition, newest.version, &paging).await?;
        let rows = leaves.iter().map(LeafView::row::<RecognitionRow>).collect::<Result<Vec<_>, _>>();
        let today = self.0.clock.now().date();
        let recognitions = rows.map_err(inconsistent)?.iter().map(|row| recognition(row, today)).collect();
        Ok(Response::new(pb::ListRecognitionVersionsResponse { recognitions, next_page_token }))
    }

    async fn get_recognition_token(
        &self,
        request: Request<pb::GetRecognitionTokenRequest>,
    ) -> Result<Response<pb::RecognitionToken>, Status> {
        let row = self.in_force(&caller(&request)?, &request.get_ref().name).await?;
        let leaf_index = self.place(&row).await?;
        self.token(&row, leaf_index).await.map(Response::new)
    }

    async fn get_sd_recognition(
        &self,
        request: Request<pb::GetSdRecognitionRequest>,
    ) -> Result<Response<pb::SdRecognition>, Status> {
        let holder = match &request.get_ref().holder_jwk[..] {
            "" => None,
            jwk => Some(fields::key("holder_jwk", jwk).map_err(refuse)?),
        };
        let row = self.in_force(&caller(&request)?, &request.get_ref().name).await?;
        let scores = self.scores(&row).await?;
        let leaf_index = self.place(&row).await?;
        let holder = holder.map(|key| key.jwk().clone());
        self.sd_jwt(&row, leaf_index, scores, holder).await.map(Response::new)
    }

    async fn get_status_list(
        &self,
        request: Request<pb::GetStatusListRequest>,
    ) -> Result<Response<pb::StatusList>, Status> {
        let number = request.get_ref().list;
        guard::range("list", number, 0, i64::MAX).map_err(refuse)?;
        let list = status_list::of(&self.0, number.unsigned_abs()).await?;
        let list = list.ok_or_else(|| refuse(guard::out_of_range("list", "the lists that leaves have places in")))?;
        Ok(Response::new(pb::StatusList {
            list: number,
            uri: list.uri.clone(),
            token: list.token.clone(),
            kid: list.kid.clone(),
            issued_time_us: list.issued_at_s * 1_000_000,
            expire_time_us: list.expires_at_s * 1_000_000,
        }))
    }
}

impl RecognitionApi {
    async fn find(&self, caller: &Caller, name: &str) -> Result<RecognitionRow, Status> {
        let name: Name = fields::name("name", name, &[Collection::Recognition]).map_err(refuse)?;
        get(&self.0, caller, key![name.to_string()], name.as_str(), Sees::Readers).await
    }

    async fn in_force(&self, caller: &Caller, name: &str) -> Result<RecognitionRow, Status> {
        let row = self.find(caller, name).await?;
        if row.holds_on(self.0.clock.now().date()) {
            return Ok(row);
        }
        let refusal = Reason::NotRecognized.field("name").var("name", &row.record);
        Err(refuse(refusal.var("region", &row.recognizer)))
    }

    /// The dimension scores of the version of the record that is recognized: of an assessment only.
    async fn scores(&self, row: &RecognitionRow) -> Result<Vec<(&'static str, i64)>, Status> {
        if row.kind != RecordKind::Assessment {
            return Ok(Vec::new());
        }
        let mut session = self.0.store.read().await.map_err(failed)?;
        let found = session.versions(&row.record, row.record_version, 1).await.map_err(failed)?;
        let leaf = found.into_iter().next().ok_or(Refused::Internal)?;
        let record: RecordRow = LeafView::stored(&leaf).and_then(|view| view.row()).map_err(inconsistent)?;
        Ok(match record.assessed().map_err(inconsistent)?.measured() {
            Measured::Scores(scores) => vec![
                ("self_care", scores.self_care()),
                ("mobility", scores.mobility()),
                ("mental_state", scores.mental_state()),
                ("perception_social", scores.perception_social()),
            ],
            Measured::Ratings(ratings) => vec![
                ("daily_living", ratings.daily_living()),
                ("mental_state", ratings.mental_state()),
                ("perception_communication", ratings.perception_communication()),
                ("social_participation", ratings.social_participation()),
            ],
        })
    }

    /// Where the log has the version since which a token states the same: unique, for ever, and
    /// nobody allots it.
    async fn place(&self, row: &RecognitionRow) -> Result<u64, Status> {
        let read = async || self.0.store.read().await.map_err(failed);
        let first = read().await?.versions(&row.recognition, row.stated_since, 1).await.map_err(failed)?;
        let leaf_id = first.into_iter().next().ok_or(Refused::Internal)?.leaf_id;
        for _ in 0..LOOKS_FOR_INDEX {
            if let Some(index) = read().await?.leaf_index(&leaf_id).await.map_err(failed)? {
                return Ok(index.unsigned_abs());
            }
            // No connection is held while others are waited for.
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(Refused::Unavailable.into())
    }

    /// What a token of now states.
    fn claims(&self, row: &RecognitionRow, leaf_index: u64, issued_time_us: i64) -> RecognitionClaims {
        let expires = row.valid_until.plus_days(1).starts_at();
        let recognized = match (row.recognized_min, row.recognized_max) {
            (min, max) if min == max => min.to_string(),
            (min, max) => format!("{min}..{max}"),
        };
        RecognitionClaims {
            iss: self.0.origin.clone(),
            sub: row.recognition.clone(),
            iat: issued_time_us.div_euclid(1_000_000),
            nbf: row.valid_from.starts_at().0.div_euclid(1_000_000),
            exp: expires.0.div_euclid(1_000_000),
            rec: Recognized {
                record: row.record.clone(),
                version: row.record_version,
                kind: row.kind.to_string(),
                issuer: row.issuer.to_string(),
                recognizer: row.recognizer.to_string(),
                subject: row.subject.clone(),
                scheme: row.scheme.clone(),
                native: row.native_level.to_string(),
                recognized,
                quality: row.quality.to_string(),
            },
            status: StatusClaim { status_list: status_place(&self.0.public_base, leaf_index) },
        }
    }

    async fn token(&self, row: &RecognitionRow, leaf_index: u64) -> Result<pb::RecognitionToken, Status> {
        let issued_time_us = self.0.clock.now().0;
        let claims = self.claims(row, leaf_index, issued_time_us);
        let key = self.0.signer.current().ok_or(Refused::NoSigningKey)?;
        let stated = claims.clone();
        let token = aside(&key, move |key| sign_recognition(key, &stated)).await.flatten();
        let token = token.map_err(|e| Refused::key("signing a recognition token", e))?;
        Ok(pb::RecognitionToken {
            name: row.recognition.clone(),
            version: row.version,
            token,
            kid: key.kid().to_owned(),
            issued_time_us,
            expire_time_us: claims.exp * 1_000_000,
            status_list_index: i64::try_from(claims.status.status_list.idx).map_err(|_| Refused::Internal)?,
            status_list_uri: claims.status.status_list.uri,
        })
    }

    async fn sd_jwt(
        &self,
        row: &RecognitionRow,
        leaf_index: u64,
        scores: Vec<(&'static str, i64)>,
        holder: Option<Jwk>,
    ) -> Result<pb::SdRecognition, Status> {
        let issued_time_us = self.0.clock.now().0;
        let claims = self.claims(row, leaf_index, issued_time_us);
        let key = self.0.signer.current().ok_or(Refused::NoSigningKey)?;
        let stated = claims.clone();
        let sign = move |key: &SigningKey| sign_sd_recognition(key, &stated, &scores, holder.as_ref(), random);
        let sd_jwt = aside(&key, sign).await.flatten();
        let sd_jwt = sd_jwt.map_err(|e| Refused::key("signing a recognition as an SD-JWT", e))?;
        Ok(pb::SdRecognition {
            name: row.recognition.clone(),
            version: row.version,
            sd_jwt,
            kid: key.kid().to_owned(),
            issued_time_us,
            expire_time_us: claims.exp * 1_000_000,
            status_list_index: i64::try_from(claims.status.status_list.idx).map_err(|_| Refused::Internal)?,
            status_list_uri: claims.status.status_list.uri,
        })
    }
}

fn decided(leaf: &LeafView, receipt: pb::Receipt) -> Result<pb::DecideRecognitionResponse, StoredFault> {
    let recognition = recognition(&leaf.row()?, leaf.recorded_at.date());
    Ok(pb::DecideRecognitionResponse { recognition: Some(recognition), receipt: Some(receipt) })
}
