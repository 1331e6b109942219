//! The gateway is killed without a word, twenty times under load; what it had promised stands.

use std::time::Duration;

use jjj_tests::both_databases;
use jjj_tests::crowd::{Crowd, check};
use jjj_tests::gateway::Site;
use jjj_tests::postgres::TestDatabase;
use jjj_tests::world::{Systems, World};

both_databases!(killed_twenty_times);

const KILLS: usize = 20;

async fn killed_twenty_times(db: TestDatabase) {
    let site = Site::init(db.url());
    let mut gateway = site.serve();
    let world = World::build(&Systems::of(&gateway), 4, 100).await;
    let mut crowd = Crowd::new(0, 6, &world);
    let mut in_doubt = 0;
    for kill in 0..KILLS {
        let at_work = crowd.start(&gateway, &world);
        // Different moments of the gateway's work: some answers, and some part of the next batch.
        at_work.heard(10 + kill * 13 % 40).await;
        tokio::time::sleep(Duration::from_micros(kill as u64 * 1_700)).await;
        gateway.kill();
        crowd = at_work.stop().await;
        in_doubt += crowd.in_doubt();
        gateway = site.serve();
    }
    println!("{in_doubt} calls were in doubt when the gateway died");
    assert!(in_doubt > KILLS, "the kills hit no work");
    check(&site, gateway, &world, vec![crowd]).await;
}
