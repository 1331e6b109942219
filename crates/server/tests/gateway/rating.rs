//! Publishing, replaying, changing and reading ratings.

use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;
use jjj_token::Hash;
use jjj_token::merkle::root;
use jjj_token::note::{NoteVerifier, open_checkpoint};
use jjj_token::receipt::Receipt;
use jjj_wire::pb;
use jjj_wire::pb::batch_mutate_result::Outcome;
use prost::Message;
use tonic::Code;

use crate::harness::{INSTITUTION, ORIGIN, World, reason};

pub const PUBLISH: &str = "/jjj.gateway.v1.RatingService/PublishRating";
const BATCH_PUBLISH: &str = "/jjj.gateway.v1.RatingService/BatchPublishRatings";
const CHANGE: &str = "/jjj.gateway.v1.RatingService/ChangeRating";
const GET: &str = "/jjj.gateway.v1.RatingService/GetRating";
const LIST: &str = "/jjj.gateway.v1.RatingService/ListRatings";
const VERSIONS: &str = "/jjj.gateway.v1.RatingService/ListRatingVersions";

pub fn request(world: &World) -> pb::PublishRatingRequest {
    let today = world.clock.now().date();
    pb::PublishRatingRequest {
        request_id: jjj_server::bootstrap::fresh_id(&world.clock).to_string(),
        institution: format!("institutions/{INSTITUTION}"),
        scheme: pb::RatingScheme::GbT37276.into(),
        native_grade: 4,
        state: pb::RecordState::Valid.into(),
        document_number: "冀民养评〔2026〕1号".into(),
        decided_by: "河北省养老机构等级评定委员会".into(),
        decided_on: today.to_string(),
        valid_from: today.to_string(),
        valid_until: today.plus_months(36).plus_days(-1).to_string(),
        reason: String::new(),
    }
}

fn to_receipt(receipt: pb::Receipt) -> Receipt {
    Receipt {
        origin: receipt.origin,
        record: receipt.record,
        version: receipt.version,
        leaf_hash: receipt.leaf_hash[..].try_into().unwrap(),
        log_deadline_us: receipt.log_deadline_time_us,
        kid: receipt.kid,
        batch_size: receipt.batch_size as u32,
        batch_index: receipt.batch_index as u32,
        path: receipt.path.iter().map(|hash| hash[..].try_into().unwrap()).collect(),
        signature: receipt.signature.to_vec(),
    }
}

both_databases!(
    a_rating_is_published_receipted_logged_and_answered_alike_when_replayed,
    one_id_for_other_content_is_refused,
    a_refused_request_may_be_sent_again_under_its_id,
    a_batch_answers_item_by_item,
    ratings_are_changed_listed_and_read_by_everybody,
);

async fn a_rating_is_published_receipted_logged_and_answered_alike_when_replayed(database: TestDatabase) {
    let mut world = World::start(database).await;
    let message = request(&world).encode_to_vec();
    let first = world.hebei.call(PUBLISH, &message, world.now_s()).await.unwrap();
    let leaves = world.leaves().await;

    let answer = pb::PublishRatingResponse::decode(first.clone()).unwrap();
    let rating = answer.rating.unwrap();
    let envelope = rating.envelope.unwrap();
    assert_eq!((envelope.issuer.as_str(), envelope.version, envelope.in_force), ("regions/130000", 1, true));
    let receipt = to_receipt(answer.receipt.unwrap());
    assert_eq!((receipt.origin.as_str(), receipt.record.as_str()), (ORIGIN, rating.name.as_str()));
    receipt.verify(world.gateway().keys.signing.verifying_key()).unwrap();

    let again = world.hebei.call(PUBLISH, &message, world.now_s()).await.unwrap();
    assert_eq!(first, again, "the first answer, byte for byte");
    assert_eq!(world.leaves().await, leaves);

    // The promise is kept: the leaf is in the tree that the last checkpoint signs.
    let key = world.gateway().keys.signing.verifying_key().clone();
    world.stop().await;
    let store = world.store().await;
    let mut session = store.read().await.unwrap();
    let checkpoint = session.latest_checkpoint().await.unwrap().unwrap();
    assert_eq!(checkpoint.tree_size, leaves);
    let log = NoteVerifier::new(ORIGIN, &key).unwrap();
    let (head, _) = open_checkpoint(&checkpoint.note, &log).unwrap();
    let hashes = session.leaf_hashes(0, leaves).await.unwrap();
    assert!(hashes.contains(&hex::encode(receipt.leaf_hash)));
    let hashes: Vec<Hash> = hashes.iter().map(|h| hex::decode(h).unwrap().try_into().unwrap()).collect();
    assert_eq!(root(&hashes), head.root);
}

async fn one_id_for_other_content_is_refused(database: TestDatabase) {
    let mut world = World::start(database).await;
    let mut wanted = request(&world);
    world.hebei.call(PUBLISH, &wanted.encode_to_vec(), world.now_s()).await.unwrap();
    wanted.native_grade = 5;
    let refused = world.hebei.call(PUBLISH, &wanted.encode_to_vec(), world.now_s()).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::AlreadyExists, "REQUEST_ID_REUSED"));
    world.stop().await;
}

async fn a_refused_request_may_be_sent_again_under_its_id(database: TestDatabase) {
    let mut world = World::start(database).await;
    let mut wanted = request(&world);
    wanted.native_grade = 9;
    let leaves = world.leaves().await;
    let refused = world.hebei.call(PUBLISH, &wanted.encode_to_vec(), world.now_s()).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "GRADE_UNKNOWN"));
    assert_eq!(world.leaves().await, leaves);
    wanted.native_grade = 4;
    world.hebei.call(PUBLISH, &wanted.encode_to_vec(), world.now_s()).await.unwrap();
    wanted.request_id = "0190163d-8694-739b-aea5-966c26f8ad91".into();
    let refused = world.hebei.call(PUBLISH, &wanted.encode_to_vec(), world.now_s()).await.unwrap_err();
    assert_eq!(reason(&refused), "REQUEST_ID_AGE");
    world.stop().await;
}

async fn a_batch_answers_item_by_item(database: TestDatabase) {
    let mut world = World::start(database).await;
    let good = request(&world);
    let mut bad = request(&world);
    bad.scheme = 0;
    let mut unknown = request(&world);
    unknown.institution = "institutions/91130100MA0000015F".into();
    let items = [good.clone(), bad, unknown, good.clone()].map(|q| q.encode_to_vec()).to_vec();
    let items = [items, vec![vec![0xff]]].concat();
    let answer = world.hebei.call_batch(BATCH_PUBLISH, &items, world.now_s()).await.unwrap();
    let outcomes: Vec<Result<Vec<u8>, String>> =
        answer.results.into_iter().map(|r| outcome(r.outcome.unwrap())).collect();
    assert_eq!(outcomes[1], Err("ENUM_UNSPECIFIED".into()));
    assert_eq!(outcomes[2], Err("RECORD_NOT_FOUND".into()));
    assert_eq!(outcomes[4], Err("FIELD_MALFORMED".into()));
    assert!(outcomes[0].is_ok());
    assert_eq!(outcomes[0], outcomes[3], "the same item twice is one mutation");
    // Sent singly, the accepted item is the same request: its first answer.
    let single = world.hebei.call(PUBLISH, &items[0], world.now_s()).await.unwrap();
    assert_eq!(outcomes[0].as_deref().unwrap(), single.as_ref());
    world.stop().await;
}

fn outcome(outcome: Outcome) -> Result<Vec<u8>, String> {
    match outcome {
        Outcome::Response(bytes) => Ok(bytes.to_vec()),
        Outcome::Status(bytes) => {
            use tonic_types::StatusExt;
            let status = tonic_types::pb::Status::decode(bytes.as_ref()).unwrap();
            let info = tonic::Status::with_details(status.code.into(), status.message, bytes.to_vec().into());
            Err(info.get_details_error_info().unwrap().reason)
        }
    }
}

async fn ratings_are_changed_listed_and_read_by_everybody(database: TestDatabase) {
    let mut world = World::start(database).await;
    let wanted = request(&world);
    let name = format!("ratings/{}", wanted.request_id);
    world.hebei.call(PUBLISH, &wanted.encode_to_vec(), world.now_s()).await.unwrap();
    let mut change = pb::ChangeRatingRequest {
        request_id: jjj_server::bootstrap::fresh_id(&world.clock).to_string(),
        name: name.clone(),
        new_state: pb::RecordState::Suspended.into(),
        reason: "复查不合格".into(),
        decided_by: "评定委员会".into(),
        document_number: "冀民养评〔2026〕2号".into(),
        effective_on: world.clock.now().date().to_string(),
        ..Default::default()
    };
    let refused = world.beijing.call(CHANGE, &change.encode_to_vec(), world.now_s()).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "NOT_YOUR_RECORD"));
    change.request_id = jjj_server::bootstrap::fresh_id(&world.clock).to_string();
    let answer = world.hebei_admin.call(CHANGE, &change.encode_to_vec(), world.now_s()).await.unwrap();
    let rating = pb::ChangeRatingResponse::decode(answer).unwrap().rating.unwrap();
    assert_eq!(rating.envelope.unwrap().version, 2);

    let get = pb::GetRatingRequest { name: name.clone() }.encode_to_vec();
    let read = world.unionpay.call(GET, &get, world.now_s()).await.unwrap();
    let read = pb::Rating::decode(read).unwrap().envelope.unwrap();
    assert_eq!((read.version, read.in_force), (2, false));

    let list = |filter: &str| pb::ListRatingsRequest { filter: filter.into(), ..Default::default() }.encode_to_vec();
    for (filter, count) in
        [("", 1), (r#"state = "SUSPENDED""#, 1), (r#"in_force = "true""#, 0), (r#"native_grade < "4""#, 0)]
    {
        let page = world.beijing.call(LIST, &list(filter), world.now_s()).await.unwrap();
        assert_eq!(pb::ListRatingsResponse::decode(page).unwrap().ratings.len(), count, "{filter}");
    }
    let refused = world.beijing.call(LIST, &list("salt = \"1\""), world.now_s()).await.unwrap_err();
    assert_eq!(reason(&refused), "FILTER_FIELD_UNKNOWN");

    let mut versions = pb::ListRatingVersionsRequest { name, page_size: 1, page_token: String::new() };
    let mut seen = Vec::new();
    loop {
        let page = world.beijing.call(VERSIONS, &versions.encode_to_vec(), world.now_s()).await.unwrap();
        let page = pb::ListRatingVersionsResponse::decode(page).unwrap();
        seen.extend(page.ratings.into_iter().map(|r| r.envelope.unwrap().version));
        if page.next_page_token.is_empty() {
            break;
        }
        versions.page_token = page.next_page_token;
    }
    assert_eq!(seen, [2, 1]);
    world.stop().await;
}
