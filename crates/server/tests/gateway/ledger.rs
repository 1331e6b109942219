//! The ledger and the log, read and proven over the wire; streams.

use std::time::{Duration, Instant};

use jjj_server::config::Limits;
use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;
use jjj_token::Hash;
use jjj_token::merkle::{leaf_hash, verify_consistency, verify_inclusion, verify_item};
use jjj_token::request::sign_request;
use jjj_wire::pb;
use jjj_wire::pb::channel_service_client::ChannelServiceClient;
use jjj_wire::pb::event_service_client::EventServiceClient;
use prost::Message;
use tonic::{Request, Status};

use crate::harness::{Client, World, ask, reason};
use crate::rating::{PUBLISH, request as rating};
use crate::scene::{Payments, decide, orders, past_date};

both_databases!(
    accounts_entries_and_trial_balance_are_the_regions_own,
    leaves_are_proven_to_be_in_the_log,
    evidence_goes_to_those_concerned,
    events_are_streamed_in_order_and_acknowledged,
    a_stream_ends_after_its_life_and_resumes_at_its_cursor,
);

macro_rules! service {
    ($method:literal) => {
        concat!("/jjj.gateway.v1.LedgerService/", $method)
    };
}

/// Waits until everything so far is numbered and sealed.
async fn sealed(world: &World) -> pb::Checkpoint {
    let request = pb::GetCheckpointRequest { min_size: world.leaves().await };
    ask(world, &world.unionpay, service!("GetCheckpoint"), &request).await.unwrap()
}

async fn accounts_entries_and_trial_balance_are_the_regions_own(database: TestDatabase) {
    let mut world = World::start(database).await;
    let date = past_date(&world);
    decide(&world, "gateway", Payments { date, orders: orders(&["ORDER0001", "ORDER0002"]) }).await;
    sealed(&world).await;

    let accounts = |filter: &str| pb::ListAccountsRequest { filter: filter.into(), ..Default::default() };
    type Accounts = pb::ListAccountsResponse;
    let path = service!("ListAccounts");
    let all: Accounts = ask(&world, &world.beijing, path, &accounts("")).await.unwrap();
    assert_eq!(all.accounts.len(), 6);
    let spendable = accounts(r#"kind = "entitlement" AND first_dimension = "e1""#);
    let spendable: Accounts = ask(&world, &world.gateway_admin, path, &spendable).await.unwrap();
    let account = &spendable.accounts[0];
    // One book and kind, page by page: its neighbours by name are none of them.
    let mut paged = Vec::new();
    let mut kinds: Vec<&str> = all.accounts.iter().map(|account| &account.kind[..]).collect();
    kinds.dedup();
    for kind in kinds {
        let filter = format!(r#"book = "110000/care_subsidy" AND kind = "{kind}""#);
        let mut page_token = String::new();
        loop {
            let request = pb::ListAccountsRequest { filter: filter.clone(), page_size: 1, page_token };
            let page: Accounts = ask(&world, &world.beijing, path, &request).await.unwrap();
            paged.extend(page.accounts);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
    }
    assert_eq!(paged, all.accounts);
    assert_eq!(account.name, "accounts/110000/care_subsidy:entitlement:e1:unionpay");
    assert_eq!((account.posted_fen, account.held_fen), (500, 0));
    assert!(ask::<Accounts>(&world, &world.hebei, path, &accounts("")).await.unwrap().accounts.is_empty());
    let refused = ask::<Accounts>(&world, &world.unionpay, path, &accounts("")).await.unwrap_err();
    assert_eq!(reason(&refused), "ROLE_NOT_ALLOWED");

    let entries =
        |filter: &str, page_token: String| pb::ListEntriesRequest { filter: filter.into(), page_size: 2, page_token };
    type Entries = pb::ListEntriesResponse;
    let path = service!("ListEntries");
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let page: Entries = ask(&world, &world.beijing, path, &entries("", token)).await.unwrap();
        seen.extend(page.entries);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.iter().zip(&seen[1..]).all(|(a, b)| a.ledger_number <= b.ledger_number && a.name != b.name));
    let filter = format!(r#"account = "{}" AND kind = "CONFIRMED""#, account.name);
    let page: Entries = ask(&world, &world.beijing, path, &entries(&filter, String::new())).await.unwrap();
    assert_eq!(page.entries.len(), 2);
    assert_eq!((page.entries[0].record.as_str(), page.entries[0].amount_fen), ("payments/ORDER0001", 10_000));
    let exact = format!(r#"ledger_number = "{}""#, page.entries[1].ledger_number);
    let one: Entries = ask(&world, &world.beijing, path, &entries(&exact, String::new())).await.unwrap();
    assert_eq!(one.entries, page.entries[1..]);
    assert!(ask::<Entries>(&world, &world.hebei, path, &entries("", String::new())).await.unwrap().entries.is_empty());
    for (filter, expected) in
        [(r#"salt = "1""#, "FILTER_FIELD_UNKNOWN"), (r#"ledger_number = "x""#, "FILTER_MALFORMED")]
    {
        let refused = ask::<Entries>(&world, &world.beijing, path, &entries(filter, String::new())).await.unwrap_err();
        assert_eq!(reason(&refused), expected);
    }

    let request =
        |book: &str, month: &str| pb::GetTrialBalanceRequest { book: book.into(), booking_month: month.into() };
    type Trial = pb::TrialBalance;
    let path = service!("GetTrialBalance");
    let trial: Trial = ask(&world, &world.beijing, path, &request("110000/care_subsidy", "")).await.unwrap();
    assert_eq!(trial.debit_fen, trial.credit_fen);
    assert!(trial.debit_fen > 0 && trial.ledger_number > 0);
    let clearing = trial.lines.iter().find(|l| l.kind == "clearing").unwrap();
    assert_eq!(clearing.balance_fen, 20_100);
    let none: Trial = ask(&world, &world.beijing, path, &request("110000/care_subsidy", "2001-01")).await.unwrap();
    assert!(none.lines.is_empty());
    for (client, book, month, expected) in [
        (&world.hebei, "110000/care_subsidy", "", "NOT_YOUR_RECORD"),
        (&world.beijing, "care_subsidy", "", "FIELD_MALFORMED"),
        (&world.beijing, "110000/care_subsidy", "2026", "FIELD_MALFORMED"),
        (&world.beijing, "", "", "FIELD_MISSING"),
    ] {
        let refused = ask::<Trial>(&world, client, path, &request(book, month)).await.unwrap_err();
        assert_eq!(reason(&refused), expected);
    }
    world.stop().await;
    world.verify().await;
}

fn hash(bytes: &[u8]) -> Hash {
    bytes.try_into().unwrap()
}

async fn leaves_are_proven_to_be_in_the_log(database: TestDatabase) {
    let mut world = World::start(database).await;
    let early = sealed(&world).await;
    // Across the kept levels of the tree.
    let many: Vec<String> = (0..700).map(|n| format!("ORDER{n:05}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    decide(&world, "gateway", Payments { date: past_date(&world), orders: orders(&many) }).await;
    let published = world.hebei.call(PUBLISH, &rating(&world).encode_to_vec(), world.now_s()).await.unwrap();
    let receipt = pb::PublishRatingResponse::decode(published).unwrap().receipt.unwrap();
    let late = sealed(&world).await;
    assert!(late.tree_size > early.tree_size + 700 && late.note.contains(&late.origin));

    type Proof = pb::InclusionProof;
    let path = service!("GetInclusionProof");
    let by_record =
        |record: &str, version| pb::GetInclusionProofRequest { record: record.into(), version, ..Default::default() };
    let by_hash = |leaf_hash: Vec<u8>| pb::GetInclusionProofRequest { leaf_hash, ..by_record(&receipt.record, 1) };
    let by_receipt = by_hash(receipt.leaf_hash.to_vec());
    for request in [by_receipt.clone(), by_record(&receipt.record, 1), by_record(&receipt.record, 0)] {
        let proof: Proof = ask(&world, &world.unionpay, path, &request).await.unwrap();
        let head = proof.checkpoint.unwrap();
        let steps: Vec<Hash> = proof.path.iter().map(|h| hash(h)).collect();
        let (index, size) = (proof.leaf_index as u64, head.tree_size as u64);
        verify_inclusion(&hash(&receipt.leaf_hash), index, size, &steps, &hash(&head.root_hash)).unwrap();
        assert_eq!(proof.leaf_hash, receipt.leaf_hash.to_vec());
    }
    let older = pb::GetInclusionProofRequest { tree_size: early.tree_size, ..by_receipt.clone() };
    for (client, request, expected) in [
        (&world.unionpay, older, "RECORD_NOT_FOUND"),
        (
            &world.unionpay,
            pb::GetInclusionProofRequest { tree_size: late.tree_size + 9, ..by_receipt.clone() },
            "FIELD_OUT_OF_RANGE",
        ),
        (&world.unionpay, by_record("", 0), "FIELD_MISSING"),
        (&world.unionpay, by_record("ratings/none", 0), "RECORD_NOT_FOUND"),
        (&world.unionpay, by_record(&receipt.record, 2), "RECORD_NOT_FOUND"),
        (&world.unionpay, by_hash(vec![1]), "FIELD_MALFORMED"),
        (&world.unionpay, by_hash(vec![1; 32]), "RECORD_NOT_FOUND"),
        (&world.unionpay, pb::GetInclusionProofRequest { version: 2, ..by_receipt.clone() }, "RECORD_NOT_FOUND"),
        (&world.unionpay, pb::GetInclusionProofRequest { version: 0, ..by_receipt.clone() }, "FIELD_OUT_OF_RANGE"),
        (&world.unionpay, pb::GetInclusionProofRequest { record: String::new(), ..by_receipt }, "FIELD_MISSING"),
    ] {
        let refused = ask::<Proof>(&world, client, path, &request).await.unwrap_err();
        assert_eq!(reason(&refused), expected, "{request:?}");
    }

    type Consistency = pb::ConsistencyProof;
    let path = service!("GetConsistencyProof");
    let request = pb::GetConsistencyProofRequest { from_size: early.tree_size, to_size: late.tree_size };
    let proof: Consistency = ask(&world, &world.beijing, path, &request).await.unwrap();
    let steps: Vec<Hash> = proof.path.iter().map(|h| hash(h)).collect();
    let (from, to) = (early.tree_size as u64, late.tree_size as u64);
    verify_consistency(from, &hash(&early.root_hash), to, &hash(&late.root_hash), &steps).unwrap();
    for (from_size, to_size) in [(0, 0), (late.tree_size + 1, late.tree_size), (1, late.tree_size + 1)] {
        let request = pb::GetConsistencyProofRequest { from_size, to_size };
        let refused = ask::<Consistency>(&world, &world.beijing, path, &request).await.unwrap_err();
        assert_eq!(reason(&refused), "FIELD_OUT_OF_RANGE");
    }
    let far = pb::GetCheckpointRequest { min_size: late.tree_size + 1_000 };
    let refused = ask::<pb::Checkpoint>(&world, &world.beijing, service!("GetCheckpoint"), &far).await.unwrap_err();
    assert_eq!(reason(&refused), "FIELD_OUT_OF_RANGE");
    world.stop().await;
}

async fn evidence_goes_to_those_concerned(database: TestDatabase) {
    let mut world = World::start(database).await;
    let message = rating(&world).encode_to_vec();
    let published = world.hebei.call(PUBLISH, &message, world.now_s()).await.unwrap();
    let receipt = pb::PublishRatingResponse::decode(published).unwrap().receipt.unwrap();
    let request = pb::GetEvidenceRequest { record: receipt.record.clone(), version: 1 };
    let path = service!("GetEvidence");
    for client in [&world.hebei, &world.hebei_admin, &world.gateway_admin] {
        let evidence: pb::Evidence = ask(&world, client, path, &request).await.unwrap();
        assert_eq!(evidence.request, message);
        assert_eq!((evidence.author.as_str(), evidence.method.as_str()), ("regions/130000", PUBLISH));
        assert_eq!(evidence.kid, world.hebei.key.kid());
        assert_eq!((evidence.batch_size, evidence.batch_index, evidence.path.len()), (1, 0, 0));
        assert_eq!(leaf_hash(&evidence.leaf).as_slice(), evidence.leaf_hash);
        assert_eq!(evidence.receipt.as_ref(), Some(&receipt));
        assert_eq!(evidence.token.split('.').count(), 3);
        let item = leaf_hash(&evidence.request);
        assert!(verify_item(&item, 0, 1, &[], &item).is_ok());
    }
    // Whoever recognizes the rating relies on what Hebei signed.
    let evidence: pb::Evidence = ask(&world, &world.beijing, path, &request).await.unwrap();
    assert_eq!(evidence.request, message);
    // A channel has no part in a rating.
    let refused = ask::<pb::Evidence>(&world, &world.unionpay, path, &request).await.unwrap_err();
    assert_eq!(reason(&refused), "NOT_YOUR_RECORD");
    for (record, version, expected) in [("", 0, "FIELD_MISSING"), ("ratings/none", 0, "RECORD_NOT_FOUND")] {
        let request = pb::GetEvidenceRequest { record: record.into(), version };
        let refused = ask::<pb::Evidence>(&world, &world.hebei, path, &request).await.unwrap_err();
        assert_eq!(reason(&refused), expected);
    }
    // What the gateway did by itself nobody signed.
    let institution = format!("institutions/{}", crate::harness::INSTITUTION);
    let request = pb::GetEvidenceRequest { record: institution, version: 0 };
    let own: pb::Evidence = ask(&world, &world.hebei, path, &request).await.unwrap();
    assert!(own.method.is_empty() && own.receipt.is_none() && !own.leaf.is_empty());
    world.stop().await;
}

pub fn signed<Q: Message>(world: &World, client: &Client, path: &str, message: Q) -> Request<Q> {
    let claims = client.claims(path, Some(leaf_hash(&message.encode_to_vec())), world.now_s());
    let token = sign_request(&client.key, &claims).unwrap();
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

pub async fn events(world: &World, client: &Client, cursor: i64) -> Result<Vec<pb::Event>, Status> {
    let path = "/jjj.gateway.v1.EventService/StreamEvents";
    let request = signed(world, client, path, pb::StreamEventsRequest { cursor, follow: false });
    let mut stream = EventServiceClient::new(client.channel.clone()).stream_events(request).await?.into_inner();
    let mut events = Vec::new();
    while let Some(event) = stream.message().await? {
        events.push(event);
    }
    Ok(events)
}

async fn events_are_streamed_in_order_and_acknowledged(database: TestDatabase) {
    let mut world = World::start(database).await;
    let paid = orders(&["ORDER0001", "ORDER0002", "ORDER0003"]);
    decide(&world, "gateway", Payments { date: past_date(&world), orders: paid }).await;
    let head = sealed(&world).await;
    let mut all = events(&world, &world.unionpay, 0).await.unwrap();
    let enrolled = all.remove(0);
    assert_eq!(enrolled.record, "channels/unionpay");
    assert!(enrolled.cursor < all[0].cursor);
    let records: Vec<&str> = all.iter().map(|e| e.record.as_str()).collect();
    assert_eq!(records, ["payments/ORDER0001", "payments/ORDER0002", "payments/ORDER0003"]);
    assert!(all.iter().all(|e| leaf_hash(&e.body).as_slice() == e.leaf_hash && e.cursor <= head.tree_size));
    assert_eq!(events(&world, &world.unionpay, all[0].cursor).await.unwrap(), all[1..]);
    assert_eq!(events(&world, &world.beijing, 0).await.unwrap().len(), 5, "its enrolment and the funding too");
    let refused = events(&world, &world.unionpay, -2).await.unwrap_err();
    assert_eq!(reason(&refused), "FIELD_OUT_OF_RANGE");
    let refused = events(&world, &world.hebei_admin, 0).await.unwrap_err();
    assert_eq!(reason(&refused), "ROLE_NOT_ALLOWED");

    let path = "/jjj.gateway.v1.EventService/AcknowledgeEvents";
    type Acknowledged = pb::AcknowledgeEventsResponse;
    // Forward only.
    for (cursor, stands) in [(all[1].cursor, all[1].cursor), (all[0].cursor, all[1].cursor)] {
        let request = pb::AcknowledgeEventsRequest { cursor };
        let answer: Acknowledged = ask(&world, &world.unionpay, path, &request).await.unwrap();
        assert_eq!(answer.cursor, stands);
    }
    assert_eq!(events(&world, &world.unionpay, -1).await.unwrap(), all[2..]);
    for cursor in [0, -1, world.leaves().await + 1_000] {
        let request = pb::AcknowledgeEventsRequest { cursor };
        let refused = ask::<Acknowledged>(&world, &world.unionpay, path, &request).await.unwrap_err();
        assert_eq!(reason(&refused), "FIELD_OUT_OF_RANGE");
    }

    // Nobody has instructed anything yet; the stream of instructions is another one.
    let path = "/jjj.gateway.v1.ChannelService/StreamInstructions";
    let request = signed(&world, &world.unionpay, path, pb::StreamInstructionsRequest { cursor: 0, follow: false });
    let mut client = ChannelServiceClient::new(world.unionpay.channel.clone());
    let mut stream = client.stream_instructions(request).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_none());

    // A stream that follows ends at once on suspension.
    let path = "/jjj.gateway.v1.EventService/StreamEvents";
    let cursor = all[2].cursor;
    let request = signed(&world, &world.unionpay, path, pb::StreamEventsRequest { cursor, follow: true });
    let client = EventServiceClient::new(world.unionpay.channel.clone()).stream_events(request).await;
    let mut stream = client.unwrap().into_inner();
    world.suspend("channels/unionpay").await;
    let ended = tokio::time::timeout(std::time::Duration::from_secs(5), stream.message()).await.unwrap();
    assert_eq!(reason(&ended.unwrap_err()), "PARTICIPANT_SUSPENDED");
    world.stop().await;
}

async fn a_stream_ends_after_its_life_and_resumes_at_its_cursor(database: TestDatabase) {
    let mut world = World::start(database).await;
    let pay = |order: &str| Payments { date: past_date(&world), orders: orders(&[order]) };
    decide(&world, "gateway", pay("ORDER0001")).await;
    let (handle, stop) = world.replica_with(Limits { stream_s: 2, ..Limits::default() }).await;
    let hebei = world.reconnect(&world.hebei, &world.hebei_ca, &handle);
    let follow = async |cursor: i64| {
        let path = "/jjj.gateway.v1.EventService/StreamEvents";
        let request = signed(&world, &hebei, path, pb::StreamEventsRequest { cursor, follow: true });
        let began = Instant::now();
        let client = EventServiceClient::new(hebei.channel.clone()).stream_events(request).await;
        let (mut stream, mut events) = (client.unwrap().into_inner(), Vec::new());
        // Its end is no error.
        while let Some(event) = stream.message().await.unwrap() {
            events.push(event);
        }
        let lived = began.elapsed();
        assert!(lived >= Duration::from_secs(2) && lived < Duration::from_secs(15), "{lived:?}");
        events
    };
    let first = follow(0).await;
    assert_eq!(first.last().unwrap().record, "payments/ORDER0001");
    decide(&world, "gateway", pay("ORDER0002")).await;
    let next: Vec<String> = follow(first.last().unwrap().cursor).await.into_iter().map(|e| e.record).collect();
    assert_eq!(next, ["payments/ORDER0002"]);
    drop(stop);
    handle.join().await;
    world.stop().await;
}
