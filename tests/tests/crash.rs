//! The gateway is killed without a word, again and again, at random moments of a load that takes
//! payments through every state, with its clock set forward or back each time; what it had
//! promised stands.

use std::sync::Arc;
use std::time::Duration;

use jjj_tests::both_databases;
use jjj_tests::campaign::{seed, sized};
use jjj_tests::crowd::{Crowd, check};
use jjj_tests::gateway::Site;
use jjj_tests::postgres::TestDatabase;
use jjj_tests::world::{Systems, World};

both_databases!(killed_under_load);

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
