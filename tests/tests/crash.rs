//! The gateway is killed without a word, again and again, at random moments of a load that takes
//! payments through every state, with its clock set forward or back each time; what it had
//! promised stands.

use std::sync::Arc;
use std::time::Duration;

use jjj_domain::recon::file::HEADER;
use jjj_tests::both_databases;
use jjj_tests::campaign::{seed, sized};
use jjj_tests::crowd::{Crowd, check};
use jjj_tests::gateway::Site;
use jjj_tests::postgres::TestDatabase;
use jjj_tests::world::{self, Systems, World, done};
use serde_json::{Value, json};

both_databases!(killed_under_load, killed_while_breaks_are_approved);

async fn killed_under_load(db: TestDatabase) {
    let (kills, seed) = (sized(20, 200), seed());
    let mut draw = fastrand::Rng::with_seed(seed);
    let site = Site::init(db.url());
    let mut gateway = site.serve();
    let world = Arc::new(World::build(&Systems::of(&gateway), 4, 100).await);
    let mut crowd = Crowd::new(0, 6, &world, seed);
    let mut in_doubt = 0;
    for kill in 1..=kills {
        let at_work = crowd.start(&gateway, &world);
        at_work.heard(draw.usize(10..60)).await;
        if kill % 10 == 0 {
            // Most runs are cut short; some must not be.
            at_work.reconciled().await;
        }
        tokio::time::sleep(Duration::from_micros(draw.u64(..40_000))).await;
        gateway.kill();
        crowd = at_work.stop().await;
        in_doubt += crowd.in_doubt();
        // Within what request tokens allow clocks to differ.
        site.set_clock(draw.i64(-20..=20));
        gateway = site.serve();
    }
    println!("{kills} kills; {in_doubt} calls were in doubt when the gateway died");
    assert!(in_doubt > kills, "the kills hit no work");
    assert!(check(&site, gateway, &world, vec![crowd]).await > 0, "no payment of the reconciled day was compared");
}

/// Approvals on their way when the gateway dies are sent again as they were: each break is resolved
/// once, and what its resolution books is booked once.
async fn killed_while_breaks_are_approved(db: TestDatabase) {
    const AT_ONCE: usize = 12;
    let (kills, seed) = (sized(5, 60), seed());
    let mut draw = fastrand::Rng::with_seed(seed);
    let site = Site::init(db.url());
    let mut gateway = site.serve();
    let systems = Systems::of(&gateway);
    let world = World::build(&systems, 1, 1).await;
    let institution = world.institutions[0].replace("institutions/", "");
    let day = world.yesterday.replace('-', "");
    let row = |n: usize| format!("PAYMENT,M1,STRANGER{n:05},{day}100000,{},0,SUCCESS,{institution},\n", 1_000 + n);
    let count = kills * AT_ONCE;
    let total: usize = (0..count).map(|n| 1_000 + n).sum();
    let rows: String = (0..count).map(row).collect();
    let text = format!("{}\n{rows}TRAILER,{count},{total},0,,,,,\n", HEADER.join(","));
    world::deliver(&systems.unionpay, &world.yesterday, &text).await;
    let start = json!({"channel": world::UNIONPAY, "clearing_date": world.yesterday});
    done(&systems.chen, "ReconciliationService/StartRun", start).await;
    let breaks = systems.chen.list("ReconciliationService/ListBreaks", "", "breaks").await.expect("breaks");
    assert_eq!(breaks.len(), count);
    let propose = |found: &Value| json!({"reconciliation_break": found["name"], "resolution": "RESOLUTION_REPAY", "reason": "渠道将退回"});
    let requests = breaks.iter().map(propose).collect();
    let proposed = systems.chen.batch("ReconciliationService/ProposeResolution", requests).await.expect("proposals");
    let proposed: Vec<Value> = proposed.into_iter().map(|answer| answer.expect("a proposal")).collect();

    let mut in_doubt = 0;
    for (n, these) in proposed.chunks(AT_ONCE).enumerate() {
        let liu = gateway.session("regions/110000/admins/liu");
        let approve = |answer: &Value| {
            let found = &answer["reconciliation_break"];
            json!({"request_id": uuid::Uuid::now_v7().to_string(), "reconciliation_break": found["name"],
                   "expected_version": found["version"], "approve": true, "reason": "同意"})
        };
        let requests: Vec<Value> = these.iter().map(approve).collect();
        let calls = requests.iter().cloned().map(|request| {
            let liu = liu.clone();
            tokio::spawn(async move { liu.call("ReconciliationService/DecideResolution", request).await })
        });
        let calls: Vec<_> = calls.collect();
        tokio::time::sleep(Duration::from_micros(draw.u64(..30_000))).await;
        gateway.kill();
        for call in calls {
            in_doubt += usize::from(call.await.expect("a call").is_err());
        }
        site.set_clock(draw.i64(-20..=20));
        gateway = site.serve();
        let liu = gateway.session("regions/110000/admins/liu");
        for request in requests {
            let answer = done(&liu, "ReconciliationService/DecideResolution", request).await;
            assert_eq!(answer["reconciliation_break"]["state"], "BREAK_STATE_RESOLVED", "kill {n}");
        }
    }
    println!("{kills} kills; {in_doubt} approvals were in doubt when the gateway died");
    assert!(in_doubt > 0, "the kills hit no approval");
    let chen = gateway.session(world::CHEN);
    for found in chen.list("ReconciliationService/ListBreaks", "", "breaks").await.expect("breaks") {
        let versions = json!({"name": found["name"]});
        let versions = done(&chen, "ReconciliationService/ListBreakVersions", versions).await;
        let steps: Vec<&str> =
            versions["breaks"].as_array().expect("versions").iter().rev().filter_map(|v| v["step"].as_str()).collect();
        assert_eq!(steps, ["BREAK_STEP_OPENED", "BREAK_STEP_PROPOSED", "BREAK_STEP_APPROVED"]);
        assert_eq!(found["entries"].as_array().map(Vec::len), Some(2), "{found}");
    }
    assert!(gateway.stop().success());
    // Suspense is what open breaks say: nothing.
    site.verify();
}
