//! Uploading settlement files: in pieces, twice, damaged, by the wrong hands.

use jjj_store::log_tables::UploadRow;
use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;
use jjj_wire::pb;
use prost::Message;
use tonic::Code;

use crate::harness::{World, reason};
use crate::scene::{BEGIN, CHUNK, COMPLETE, begin, complete, file, id, orders, past_date, send, upload};

both_databases!(
    a_file_is_taken_in_pieces_encrypted_and_read,
    a_corrected_file_supersedes_and_the_same_one_changes_nothing,
    a_damaged_file_is_kept_and_refused,
    uploads_are_refused,
    an_upload_that_nobody_completes_is_forgotten,
    a_sender_has_so_many_uploads_under_way,
);

const GET: &str = "/jjj.gateway.v1.ChannelService/GetSettlementFile";
const LIST: &str = "/jjj.gateway.v1.ChannelService/ListSettlementFiles";

async fn a_file_is_taken_in_pieces_encrypted_and_read(database: TestDatabase) {
    let mut world = World::start(database).await;
    let date = past_date(&world);
    let mut bytes = file(date, &orders(&["ORDER0001", "ORDER0002"]));
    bytes.extend_from_slice(b"PAYMENT,after the trailer\n");
    let wanted = begin(&world, date, &bytes);
    let first = world.unionpay.call(BEGIN, &wanted.encode_to_vec(), world.now_s()).await.unwrap();
    let name = pb::BeginUploadResponse::decode(first.clone()).unwrap().file.unwrap().name;
    assert_eq!(name, format!("files/{}", wanted.request_id));

    let chunk = |from: usize, to: usize| {
        let data = bytes[from..to].to_vec().into();
        pb::UploadChunkRequest { file: name.clone(), offset: from as i64, data }.encode_to_vec()
    };
    // In order; a piece that is there already is passed over, an overlapping one adds what is new.
    for (from, to, received) in [(0, 40, 40), (0, 40, 40), (10, 30, 40), (30, 60, 60), (60, bytes.len(), bytes.len())] {
        let answer = world.unionpay.call(CHUNK, &chunk(from, to), world.now_s()).await.unwrap();
        assert_eq!(pb::UploadChunkResponse::decode(answer).unwrap().received_bytes, received as i64, "{from}..{to}");
    }
    let get = pb::GetSettlementFileRequest { name: name.clone() }.encode_to_vec();
    let seen = pb::SettlementFile::decode(world.unionpay.call(GET, &get, world.now_s()).await.unwrap()).unwrap();
    assert_eq!((seen.state(), seen.received_bytes), (pb::FileState::Uploading, bytes.len() as i64));

    let request = pb::CompleteUploadRequest { request_id: id(&world), file: name.clone() }.encode_to_vec();
    let done = world.unionpay.call(COMPLETE, &request, world.now_s()).await.unwrap();
    let stored = pb::CompleteUploadResponse::decode(done.clone()).unwrap().file.unwrap();
    assert_eq!((stored.state(), stored.rows, stored.rejected_rows), (pb::FileState::Received, 3, 1));
    let rejected = &stored.rejections[0];
    assert_eq!((rejected.line, rejected.reason.as_str()), (5, "FIELD_COUNT"));
    assert_eq!(rejected.byte_offset as usize, bytes.len() - b"PAYMENT,after the trailer\n".len());
    assert_eq!(world.unionpay.call(COMPLETE, &request, world.now_s()).await.unwrap(), done, "the first answer");
    assert_eq!(world.unionpay.call(BEGIN, &wanted.encode_to_vec(), world.now_s()).await.unwrap(), first);

    // At rest there is no plain text.
    let mut session = world.gateway().store.read().await.unwrap();
    let chunks = session.file_chunks(&name, 0, 100).await.unwrap();
    assert_eq!(chunks.len(), 3);
    assert!(!chunks.iter().any(|c| c.ciphertext.windows(9).any(|w| w == b"ORDER0001")));
    assert!(session.upload(&name).await.unwrap().is_none());
    drop(session);

    let list = |filter: &str| pb::ListSettlementFilesRequest { filter: filter.into(), ..Default::default() };
    for (filter, count) in [("", 1), (r#"state = "RECEIVED""#, 1), (r#"state = "REFUSED""#, 0)] {
        let page = world.unionpay.call(LIST, &list(filter).encode_to_vec(), world.now_s()).await.unwrap();
        assert_eq!(pb::ListSettlementFilesResponse::decode(page).unwrap().settlement_files.len(), count, "{filter}");
    }
    let others = world.beijing.call(LIST, &list("").encode_to_vec(), world.now_s()).await.unwrap();
    assert!(pb::ListSettlementFilesResponse::decode(others).unwrap().settlement_files.is_empty());
    let refused = world.beijing.call(GET, &get, world.now_s()).await.unwrap_err();
    assert_eq!(reason(&refused), "RECORD_NOT_FOUND");
    world.stop().await;
    world.verify().await;
}

async fn a_corrected_file_supersedes_and_the_same_one_changes_nothing(database: TestDatabase) {
    let mut world = World::start(database).await;
    let date = past_date(&world);
    let bytes = file(date, &orders(&["ORDER0001"]));
    let first = upload(&world, date, &bytes).await;
    let again = upload(&world, date, &bytes).await;
    assert_eq!((again.state(), &again.superseded_by), (pb::FileState::Superseded, &first.name));
    let corrected = upload(&world, date, &file(date, &orders(&["ORDER0001", "ORDER0002"]))).await;
    assert_eq!(corrected.state(), pb::FileState::Received);
    let get = pb::GetSettlementFileRequest { name: first.name }.encode_to_vec();
    let old = pb::SettlementFile::decode(world.unionpay.call(GET, &get, world.now_s()).await.unwrap()).unwrap();
    assert_eq!((old.state(), old.superseded_by), (pb::FileState::Superseded, corrected.name));
    world.stop().await;
    world.verify().await;
}

async fn a_damaged_file_is_kept_and_refused(database: TestDatabase) {
    let mut world = World::start(database).await;
    let date = past_date(&world);
    let damaged = upload(&world, date, b"PK\x03\x04 a zip, not what was announced").await;
    assert_eq!(damaged.state(), pb::FileState::Refused);
    assert_eq!((damaged.refusal.as_str(), damaged.refusal_detail.starts_with("kind,")), ("HEADER", true));
    let empty = upload(&world, date, b"").await;
    assert_eq!((empty.state(), empty.rows), (pb::FileState::Received, 0));
    // More than one chunk.
    let many: Vec<(String, i64)> = (0..25_000).map(|n| (format!("ORDER{n:06}"), 10_000)).collect();
    let large = upload(&world, date.plus_days(-1), &file(date, &many)).await;
    assert!(large.size_bytes > 1 << 20);
    assert_eq!((large.state(), large.rows, large.rejected_rows), (pb::FileState::Received, 25_000, 0));
    world.stop().await;
    world.verify().await;
}

async fn uploads_are_refused(database: TestDatabase) {
    let mut world = World::start(database).await;
    let date = past_date(&world);
    let bytes = file(date, &orders(&["ORDER0001"]));
    let good = begin(&world, date, &bytes);
    type Spoil = fn(&mut pb::BeginUploadRequest);
    let table: [(Spoil, &str); 8] = [
        (|q| q.clearing_date = "2026-13-01".into(), "FIELD_MALFORMED"),
        (|q| q.format = 0, "ENUM_UNSPECIFIED"),
        (|q| q.format = pb::FileFormat::Camt053.into(), "FIELD_NOT_APPLICABLE"),
        (|q| q.content = 0, "ENUM_UNSPECIFIED"),
        (|q| q.content = pb::FileContent::RegionalBook.into(), "ROLE_NOT_ALLOWED"),
        (|q| q.channel = "channels/bank".into(), "NOT_YOUR_RECORD"),
        (|q| q.size_bytes = (4 << 30) + 1, "FIELD_OUT_OF_RANGE"),
        (|q| q.sha256 = "no digest".into(), "FIELD_MALFORMED"),
    ];
    let leaves = world.leaves().await;
    for (n, (spoil, expected)) in table.into_iter().enumerate() {
        let mut wanted = good.clone();
        spoil(&mut wanted);
        let refused = world.unionpay.call(BEGIN, &wanted.encode_to_vec(), world.now_s()).await.unwrap_err();
        assert_eq!(reason(&refused), expected, "{n}");
    }
    // A region states its own book only.
    let refused = world.beijing.call(BEGIN, &good.encode_to_vec(), world.now_s()).await.unwrap_err();
    assert_eq!(reason(&refused), "ROLE_NOT_ALLOWED");
    let refused = world.hebei_admin.call(BEGIN, &good.encode_to_vec(), world.now_s()).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "ROLE_NOT_ALLOWED"));
    assert_eq!(world.leaves().await, leaves);

    let name = send(&world, date, &bytes[..bytes.len() - 1]).await;
    let chunk = |file: &str, offset: i64, data: &[u8]| {
        pb::UploadChunkRequest { file: file.into(), offset, data: data.to_vec().into() }.encode_to_vec()
    };
    for (message, expected) in [
        (chunk("", 0, b"x"), "FIELD_MISSING"),
        (chunk("files/none", 0, b"x"), "RECORD_NOT_FOUND"),
        (chunk(&name, 0, b""), "FIELD_OUT_OF_RANGE"),
        (chunk(&name, -1, b"x"), "FIELD_OUT_OF_RANGE"),
        (chunk(&name, bytes.len() as i64, b"x"), "FIELD_OUT_OF_RANGE"),
        (chunk(&name, 0, &vec![0; (1 << 20) + 1]), "FIELD_OUT_OF_RANGE"),
    ] {
        let refused = world.unionpay.call(CHUNK, &message, world.now_s()).await.unwrap_err();
        assert_eq!(reason(&refused), expected);
    }
    let refused = world.beijing.call(CHUNK, &chunk(&name, 0, b"x"), world.now_s()).await.unwrap_err();
    assert_eq!(reason(&refused), "NOT_YOUR_RECORD");

    // Not whole yet, then whole; then no more.
    let partial = begin(&world, date, &bytes);
    world.unionpay.call(BEGIN, &partial.encode_to_vec(), world.now_s()).await.unwrap();
    let partial = format!("files/{}", partial.request_id);
    world.unionpay.call(CHUNK, &chunk(&partial, 0, &bytes[..50]), world.now_s()).await.unwrap();
    assert_eq!(reason(&complete(&world, &partial).await.unwrap_err()), "FILE_DIGEST_MISMATCH");
    world.unionpay.call(CHUNK, &chunk(&partial, 50, &bytes[50..]), world.now_s()).await.unwrap();
    complete(&world, &partial).await.unwrap();
    assert_eq!(reason(&complete(&world, &partial).await.unwrap_err()), "STATE_NOT_ALLOWED");
    let refused = world.unionpay.call(CHUNK, &chunk(&partial, 0, b"x"), world.now_s()).await.unwrap_err();
    assert_eq!(reason(&refused), "STATE_NOT_ALLOWED");
    assert_eq!(reason(&complete(&world, "files/none").await.unwrap_err()), "RECORD_NOT_FOUND");
    world.stop().await;
}

async fn an_upload_that_nobody_completes_is_forgotten(database: TestDatabase) {
    let mut world = World::start(database).await;
    let date = past_date(&world);
    let bytes = file(date, &orders(&["ORDER0001"]));
    let kept = upload(&world, date, &bytes).await;
    let left = send(&world, date.plus_days(-1), &bytes).await;
    let chunks =
        async |name: &str| world.gateway().store.read().await.unwrap().file_chunks(name, 0, 9).await.unwrap().len();
    let day_us = 86_400_000_000;
    world.clock.advance_us(7 * day_us + 1);
    assert_eq!(jjj_server::sweep::step(&world.gateway()).await.unwrap(), 0);
    assert_eq!(reason(&complete(&world, &left).await.unwrap_err()), "UPLOAD_LATE");
    let chunk = pb::UploadChunkRequest { file: left.clone(), offset: 0, data: bytes.clone().into() }.encode_to_vec();
    let refused = world.unionpay.call(CHUNK, &chunk, world.now_s()).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "UPLOAD_LATE"));
    assert_eq!(chunks(&left).await, 1);
    world.clock.advance_us(day_us);
    assert_eq!(jjj_server::sweep::step(&world.gateway()).await.unwrap(), 1);
    assert_eq!((chunks(&left).await, chunks(&kept.name).await), (0, 1));
    // It begins anew.
    let answer = world.unionpay.call(CHUNK, &chunk, world.now_s()).await.unwrap();
    assert_eq!(pb::UploadChunkResponse::decode(answer).unwrap().received_bytes, bytes.len() as i64);
    world.stop().await;
    world.verify().await;
}

async fn a_sender_has_so_many_uploads_under_way(database: TestDatabase) {
    const MOST: usize = 256;
    let mut world = World::start(database).await;
    let date = past_date(&world);
    let bytes = file(date, &orders(&["ORDER0001"]));
    let others: Vec<UploadRow> = (0..MOST)
        .map(|n| UploadRow {
            upload: format!("files/{n}"),
            participant: "channels/unionpay".parse().unwrap(),
            declared_bytes: 1,
            declared_digest: String::new(),
            wrapped_key: String::new(),
            received_bytes: 0,
            next_chunk: 0,
            begun_at_us: world.clock.now(),
        })
        .collect();
    let mut tx = world.gateway().store.begin_write().await.unwrap();
    tx.put(&others).await.unwrap();
    tx.commit().await.unwrap();

    let wanted = begin(&world, date, &bytes);
    world.unionpay.call(BEGIN, &wanted.encode_to_vec(), world.now_s()).await.unwrap();
    let name = format!("files/{}", wanted.request_id);
    let chunk = pb::UploadChunkRequest { file: name.clone(), offset: 0, data: bytes.into() }.encode_to_vec();
    let refused = world.unionpay.call(CHUNK, &chunk, world.now_s()).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "UPLOADS_UNDER_WAY"));
    let mut tx = world.gateway().store.begin_write().await.unwrap();
    tx.finish_upload(&others[0].upload).await.unwrap();
    tx.commit().await.unwrap();
    world.unionpay.call(CHUNK, &chunk, world.now_s()).await.unwrap();
    complete(&world, &name).await.unwrap();
    world.stop().await;
}
