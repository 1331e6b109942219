//! The attacks, each as its row says, and what was seen afterwards.

use bytes::Bytes;
use jjj_cli::identity::Identity;
use jjj_cli::session::{CallError, Session, find};
use jjj_domain::policy::{PolicyKind, PolicyRow};
use jjj_domain::row::Row as _;
use jjj_domain::time::Timestamp;
use jjj_server::Clock;
use jjj_server::bootstrap::own_job;
use jjj_server::engine::{Evidence, Job, Origin};
use jjj_tests::gateway::Gateway;
use jjj_tests::world::{self, BEIJING, Days, HEBEI, done};
use jjj_token::merkle::leaf_hash;
use jjj_token::note::sign_checkpoint;
use jjj_token::offline::ReceiptFile;
use jjj_token::request::{Confirmation, RequestClaims, sign_request};
use jjj_token::{Hash, SigningKey};
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use crate::scene::{Put, Scene, Seen, answered, enrolment, head_of, revocation};

const CHANGE: &str = "RatingService/ChangeRating";
const REGISTER: &str = "InstitutionService/RegisterInstitution";
const LI: &str = "gateway/admins/li";
const DAY_US: i64 = 86_400_000_000;

// The database only.

pub async fn a_table_altered(mut scene: Scene) -> Seen {
    scene.raw().await.run("UPDATE records SET native_level = 5").await;
    scene.observed().await
}

fn higher_grade(body: &str) -> String {
    body.replace(r#""native_level":"4""#, r#""native_level":"5""#)
}

pub async fn a_leaf_altered(mut scene: Scene) -> Seen {
    scene.rewrite(higher_grade, "native_level = 5", None).await;
    scene.observed().await
}

pub async fn a_leaf_deleted(mut scene: Scene) -> Seen {
    let mut raw = scene.raw().await;
    let record = scene.rating.clone();
    let id = format!("(SELECT leaf_id FROM leaves WHERE record = '{record}')");
    for sql in [
        format!("DELETE FROM evidence WHERE leaf_id = {id}"),
        format!("DELETE FROM leaf_order WHERE leaf_id = {id}"),
        format!("DELETE FROM leaves WHERE record = '{record}'"),
        format!("DELETE FROM records WHERE record = '{record}'"),
    ] {
        raw.run(&sql).await;
    }
    drop(raw);
    scene.observed().await
}

pub async fn an_older_copy_restored(mut scene: Scene) -> Seen {
    let early = scene.early.copy();
    scene.restore(&early);
    scene.observed().await
}

fn day_before(body: &str) -> String {
    let leaf: Json = serde_json::from_str(body).unwrap();
    let recorded = leaf["recorded_at_us"].as_str().unwrap();
    let earlier = recorded.parse::<i64>().unwrap() - DAY_US;
    body.replace(&format!(r#""{recorded}""#), &format!(r#""{earlier}""#))
}

const DAY_BEFORE: &str = "recorded_at_us = recorded_at_us - 86400000000";

pub async fn a_leaf_dated_back(mut scene: Scene) -> Seen {
    scene.rewrite(day_before, DAY_BEFORE, None).await;
    scene.observed().await
}

pub async fn a_key_inserted(mut scene: Scene) -> Seen {
    let (identity, rows) = enrolment(&scene.strangers());
    let mut raw = scene.raw().await;
    for (spec, row) in &rows {
        raw.insert(spec, row).await;
    }
    drop(raw);
    signed_with(&mut scene, identity).await
}

/// Another institution of "Hebei's", registered with an identity that is not Hebei's.
async fn signed_with(scene: &mut Scene, identity: Identity) -> Seen {
    let gateway = scene.site.serve();
    let session = scene.session_of(&gateway, identity);
    let answer = session.call(REGISTER, world::institution(7)).await;
    let file = answer.as_ref().ok().map(|answer| scene.collected(&gateway, name(answer)));
    drop(session);
    finished(scene, gateway, answer, file).await
}

fn name(answer: &Json) -> &str {
    answer["institution"]["name"].as_str().expect("a name")
}

/// The gateway stops; what it answered, and what is seen of it.
async fn finished(
    scene: &mut Scene,
    gateway: Gateway,
    answer: Result<Json, CallError>,
    file: Option<ReceiptFile>,
) -> Seen {
    assert!(gateway.stop().success());
    let mut seen = Seen { gateway: answered(answer), ..scene.observed().await };
    if let Some(file) = file {
        seen.file = scene.proven(&file);
    }
    seen
}

pub async fn a_head_of_its_own(mut scene: Scene) -> Seen {
    let head = head_of(scene.db.url()).await;
    let own = SigningKey::from_ed25519_seed(&[6; 32]).unwrap();
    let note = sign_checkpoint(&own, &head).unwrap().to_string();
    let size = head.size;
    scene.raw().await.run(&format!("UPDATE checkpoints SET note = '{note}' WHERE tree_size = {size}")).await;
    scene.observed().await
}

// The database and the gateway's keys.

pub async fn a_leaf_altered_and_signed_anew(scene: Scene) -> Seen {
    signed_anew(scene, higher_grade, "native_level = 5").await
}

pub async fn a_leaf_dated_back_and_signed_anew(scene: Scene) -> Seen {
    signed_anew(scene, day_before, DAY_BEFORE).await
}

async fn signed_anew(mut scene: Scene, change: fn(&str) -> String, columns: &str) -> Seen {
    scene.rewrite(change, columns, Some(&scene.site.gateway_key())).await;
    // The gateway finds a log without a head, and signs one.
    let gateway = scene.site.serve();
    let file = scene.collected(&gateway, &scene.rating);
    assert!(gateway.stop().success());
    Seen { file: scene.proven(&file), ..scene.observed().await }
}

pub async fn an_older_copy_gone_on_with(mut scene: Scene) -> Seen {
    let early = scene.early.copy();
    scene.restore(&early);
    let gateway = scene.site.serve();
    let hebei = gateway.session(HEBEI);
    let mut answer = hebei.call(REGISTER, world::institution(2)).await;
    for n in 3..12 {
        answer = hebei.call(REGISTER, world::institution(n)).await;
    }
    let file = scene.collected(&gateway, name(answer.as_ref().unwrap()));
    drop(hebei);
    finished(&mut scene, gateway, answer, Some(file)).await
}

pub async fn a_key_registered_by_the_gateway_alone(mut scene: Scene) -> Seen {
    let (identity, rows) = enrolment(&scene.strangers());
    let record = format!("{HEBEI}/keys/{}", identity.signing.kid());
    let put = Put { kind: "key.added", record, version: 1, rows: rows.into() };
    scene.forge(|clock| own_job(clock, "forged", Box::new(put))).await;
    signed_with(&mut scene, identity).await
}

pub async fn an_agreement_of_its_own(mut scene: Scene) -> Seen {
    let scope = "130000>110000/RATING";
    let line = json!({"native": 1, "recognized": 5, "quality": "NOMINAL"});
    let body = json!({"automatic": true, "schemes": {"GB_T_37276": [line]}, "source": "shipped default"});
    let row = PolicyRow {
        kind: PolicyKind::Agreement,
        scope: scope.to_owned(),
        effective_from: "2026-01-01".parse().unwrap(),
        version: 2,
        body: jjj_domain::value::canonical_json(&body),
        set_by: "gateway".parse().unwrap(),
        reason: "shipped default".to_owned(),
        agreement: None,
        recorded_at_us: Timestamp(1_767_225_600_000_000),
    };
    let record = format!("policies/agreement/{scope}");
    let put = Put { kind: "policy.set", record, version: 2, rows: vec![(PolicyRow::spec(), row.to_values())] };
    scene.forge(|clock| own_job(clock, "forged", Box::new(put))).await;
    scene.observed().await
}

// These and a second region's.

pub async fn a_key_registered_by_another_region(mut scene: Scene) -> Seen {
    let (identity, rows) = enrolment(&scene.strangers());
    let record = format!("{HEBEI}/keys/{}", identity.signing.kid());
    let gateway = scene.site.serve();
    let beijing = gateway.session(BEIJING);
    let request_id = beijing.client.request_id();
    let evidence = signed_by(&beijing, &request_id, &identity.signing);
    drop(beijing);
    assert!(gateway.stop().success());
    let put = Put { kind: "key.added", record, version: 1, rows: rows.into() };
    let job = |clock: &Clock| Job {
        actor: BEIJING.parse().unwrap(),
        request_id: request_id.parse().unwrap(),
        origin: Origin::Signed(evidence),
        ..own_job(clock, "forged", Box::new(put))
    };
    scene.forge(job).await;
    signed_with(&mut scene, identity).await
}

/// What Beijing signs when it asks for a key of its own; the gateway makes of it what it likes.
fn signed_by(beijing: &Session, request_id: &str, key: &SigningKey) -> Evidence {
    let method = find("ParticipantService/AddKey").unwrap();
    let request = json!({"request_id": request_id, "owner": BEIJING,
        "jwk": key.public_jwk().to_json(), "fingerprint": key.kid()});
    let item: Bytes = beijing.encode(method, request).unwrap();
    let item_hash = leaf_hash(&item);
    let now_us = beijing.client.now_us();
    let claims = claims(beijing, method.path, BEIJING, now_us, item_hash);
    let token = sign_request(&beijing.client.identity().signing, &claims).unwrap();
    Evidence {
        path: method.path,
        operation: method.path,
        item_hash,
        item,
        index: 0,
        count: 1,
        item_path: Vec::new(),
        kid: beijing.client.identity().signing.kid().into(),
        token_digest: hex::encode(Sha256::digest(&token)),
        token: token.into(),
        iat_s: claims.iat,
        exp_s: claims.exp,
    }
}

fn claims(over: &Session, path: &str, iss: &str, at_us: i64, root: Hash) -> RequestClaims {
    let iat = Timestamp(at_us).0.div_euclid(1_000_000);
    RequestClaims {
        iss: iss.to_owned(),
        aud: over.client.audience().to_owned(),
        iat,
        exp: iat + 120,
        jti: "0123456789abcdef".into(),
        path: path.to_owned(),
        cnf: Confirmation { certificate_sha256: over.client.identity().certificate_sha256 },
        root: Some(root),
    }
}

pub async fn two_logs_shown(mut scene: Scene) -> Seen {
    let fork = scene.db.copy();
    let shown = |gateway: &Gateway, n: usize| {
        let hebei = gateway.session(HEBEI);
        async move { hebei.call(REGISTER, world::institution(n)).await }
    };
    // What Hebei is shown, keeps, and its witness cosigns.
    let gateway = scene.site.serve();
    let answer = shown(&gateway, 2).await;
    scene.kept = scene.collected(&gateway, name(answer.as_ref().unwrap()));
    let hebeis = finished(&mut scene, gateway, answer, None).await;
    assert_eq!((hebeis.receipts.as_str(), hebeis.witness.as_str()), ("kept", "cosigns"));
    // What Beijing is shown.
    scene.restore(&fork);
    let gateway = scene.site.serve();
    let answer = shown(&gateway, 3).await;
    let file = scene.collected(&gateway, name(answer.as_ref().unwrap()));
    finished(&mut scene, gateway, answer, Some(file)).await
}

// A participant's stolen key.

fn downgrade(rating: &str, days: &Days) -> Json {
    let mut change = revocation(rating, days);
    change["new_state"] = json!("RECORD_STATE_DOWNGRADED");
    change["new_grade"] = json!(3);
    change
}

/// A call with the keys and the certificate of a participant, and the proof of what came of it.
async fn called(scene: &mut Scene, actor: &str, method: &str, request: impl FnOnce(&Scene, &Session) -> Json) -> Seen {
    let gateway = scene.site.serve();
    let thief = gateway.session(actor);
    let answer = thief.call(method, request(scene, &thief)).await;
    let file = answer.is_ok().then(|| scene.collected(&gateway, &scene.rating));
    drop(thief);
    finished(scene, gateway, answer, file).await
}

pub async fn a_record_of_its_own_altered(mut scene: Scene) -> Seen {
    called(&mut scene, HEBEI, CHANGE, |scene, thief| downgrade(&scene.rating, &Days::now(thief))).await
}

pub async fn a_record_of_another_altered(mut scene: Scene) -> Seen {
    called(&mut scene, BEIJING, CHANGE, |scene, thief| downgrade(&scene.rating, &Days::now(thief))).await
}

pub async fn a_record_revoked_from_its_first_day(mut scene: Scene) -> Seen {
    let from_its_first_day = |scene: &Scene, thief: &Session| {
        let days = Days::now(thief);
        let mut revoke = revocation(&scene.rating, &days);
        revoke["effective_on"] = world::rating(&scene.institution, &days)["valid_from"].clone();
        revoke
    };
    called(&mut scene, HEBEI, CHANGE, from_its_first_day).await
}

pub async fn a_token_dated_back(mut scene: Scene) -> Seen {
    let gateway = scene.site.serve();
    let thief = gateway.session(HEBEI);
    let answer = under(&thief, &thief, HEBEI, thief.client.now_us() - DAY_US).await;
    drop(thief);
    finished(&mut scene, gateway, answer, None).await
}

/// A registration under a token of `signer`'s key in the name `iss`, over the connection of `over`.
async fn under(signer: &Session, over: &Session, iss: &str, at_us: i64) -> Result<Json, CallError> {
    let method = find(REGISTER)?;
    let message: Bytes = over.encode(method, world::institution(7))?;
    let claims = claims(over, method.path, iss, at_us, leaf_hash(&message));
    let token = sign_request(&signer.client.identity().signing, &claims).unwrap();
    Ok(over.client.call_with_token(method.path, message, &token).await.map(|_| Json::Null)?)
}

pub async fn a_second_key_added(mut scene: Scene) -> Seen {
    let own = SigningKey::from_ed25519_seed(&[6; 32]).unwrap();
    let gateway = scene.site.serve();
    let thief = gateway.session(HEBEI);
    let add = json!({"owner": HEBEI, "jwk": own.public_jwk().to_json(), "fingerprint": own.kid()});
    let answer = thief.call("ParticipantService/AddKey", add).await;
    let file = scene.collected(&gateway, &format!("{HEBEI}/keys/{}", own.kid()));
    drop(thief);
    finished(&mut scene, gateway, answer, Some(file)).await
}

pub async fn one_id_for_two_contents(mut scene: Scene) -> Seen {
    let gateway = scene.site.serve();
    let thief = gateway.session(HEBEI);
    let id = thief.client.request_id();
    let under_it = |n: usize| {
        let mut request = world::institution(n);
        request["request_id"] = json!(id);
        request
    };
    done(&thief, REGISTER, under_it(2)).await;
    let answer = thief.call(REGISTER, under_it(3)).await;
    drop(thief);
    finished(&mut scene, gateway, answer, None).await
}

pub async fn the_key_without_the_certificate(mut scene: Scene) -> Seen {
    let gateway = scene.site.serve();
    let (key, accomplice) = (gateway.session(HEBEI), gateway.session(BEIJING));
    let answer = under(&key, &accomplice, HEBEI, key.client.now_us()).await;
    drop((key, accomplice));
    finished(&mut scene, gateway, answer, None).await
}

pub async fn the_key_after_its_withdrawal(mut scene: Scene) -> Seen {
    let gateway = scene.site.serve();
    let thief = gateway.session(HEBEI);
    let stolen_us = thief.client.now_us() - 1_000_000;
    let downgraded = downgrade(&scene.rating, &Days::now(&thief));
    done(&thief, CHANGE, downgraded).await;
    // Hebei's next key, and the end of the stolen one.
    let next = SigningKey::from_ed25519_seed(&[7; 32]).unwrap();
    let add = json!({"owner": HEBEI, "jwk": next.public_jwk().to_json(), "fingerprint": next.kid()});
    done(&thief, "ParticipantService/AddKey", add).await;
    let key = format!("{HEBEI}/keys/{}", thief.client.identity().signing.kid());
    let li = gateway.session(LI);
    let withdraw = json!({"key": key, "suspect_from_time_us": stolen_us.to_string(), "reason": "失窃"});
    done(&li, "ParticipantService/WithdrawKey", withdraw).await;
    // The list is read from the log: its leaves are numbered a moment after the calls were answered.
    let began = std::time::Instant::now();
    let records = loop {
        let asked = json!({"key": key, "from_time_us": stolen_us.to_string()});
        let signed = done(&li, "ParticipantService/ListSignatures", asked).await;
        let of = |s: &Json| s["record"].as_str().unwrap().to_owned();
        let records: Vec<_> = signed["signatures"].as_array().unwrap().iter().map(of).collect();
        if records.len() == 2 {
            break records;
        }
        assert!(began.elapsed().as_secs() < 10, "what it signed since is listed: {signed}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    assert_eq!(records[0], scene.rating);
    let answer = thief.call(REGISTER, world::institution(7)).await;
    let file = scene.collected_as(&gateway, BEIJING, &scene.rating);
    drop((thief, li));
    finished(&mut scene, gateway, answer, Some(file)).await
}
