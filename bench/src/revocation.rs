//! From a revocation to whoever is told: a region revokes ratings one after another, and another region, which
//! recognizes them, follows its stream of events.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use jjj_tests::world::{self, BEIJING, Days, HEBEI};
use jjj_wire::pb;
use serde_json::json;

use crate::Options;
use crate::database::{Kind, disk};
use crate::machine::{Ticks, add_fsync};
use crate::report::{Measurement, Report};
use crate::site::{Site, now_us};

const STREAM: &str = "/jjj.gateway.v1.EventService/StreamEvents";
/// Longer than any of it takes: then something is lost.
const WITHIN: Duration = Duration::from_secs(30);
/// Between one revocation and the next, and not in step with the gateway's own rhythms.
const PAUSE: Duration = Duration::from_millis(37);

/// When the call left, when it was recorded by the database's clock, and when its event arrived, all
/// microseconds since 1970 on this machine.
struct Told {
    sent_us: i64,
    recorded_us: i64,
    arrived_us: i64,
}

pub async fn measure(options: &Options, kind: Kind, count: usize, report: &mut Report) -> anyhow::Result<()> {
    let mut to = Measurement::new(format!("{count} revocations to a subscribed region, {}", kind.name()));
    let site = Site::empty(options, kind).await?;
    let gateway = site.serve()?;
    let hebei = gateway.systems()?.hebei;
    let days = Days::now(&hebei);
    for run in 0..options.runs {
        let register = (run * count..(run + 1) * count).map(world::institution).collect();
        let institutions =
            world::names(&hebei, "InstitutionService/RegisterInstitution", register, "institution").await;
        let rate = institutions.iter().map(|name| world::rating(name, &days)).collect();
        let ratings = world::names(&hebei, "RatingService/PublishRating", rate, "rating").await;
        add_fsync(&disk(), &mut to)?;
        let ticks = Ticks::now();
        let told = revoke(&gateway, &ratings, &days).await?;
        ticks.add_since(count, &mut to);
        let since = |from: fn(&Told) -> i64| -> Vec<u32> {
            told.iter().map(|one| u32::try_from((one.arrived_us - from(one)).max(0)).unwrap_or(u32::MAX)).collect()
        };
        for (from, names) in [
            (since(|one| one.recorded_us), ["recorded to told, p50 ms", "recorded to told, p99 ms"]),
            (since(|one| one.sent_us), ["sent to told, p50 ms", "sent to told, p99 ms"]),
        ] {
            to.add_percentiles(from, names);
        }
        eprintln!("{}, run {} of {}", to.title, run + 1, options.runs);
    }
    drop(hebei);
    gateway.stop()?;
    if !options.quick {
        site.verify()?;
    }
    report.push(to);
    Ok(())
}

/// Revokes one rating after another; each must be told, once, before the next.
async fn revoke(gateway: &crate::site::Gateway, ratings: &[String], days: &Days) -> anyhow::Result<Vec<Told>> {
    let (hebei, beijing) = (gateway.client(HEBEI)?, gateway.client(BEIJING)?);
    let hebei = jjj_cli::session::Session::new(hebei);
    // From the end of what there is.
    let request = pb::StreamEventsRequest { cursor: 0, follow: false };
    let mut past = beijing.stream::<_, pb::Event>(STREAM, &request).await?;
    let mut cursor = 0;
    while let Some(event) = past.message().await? {
        cursor = event.cursor;
    }
    let request = pb::StreamEventsRequest { cursor, follow: true };
    let mut events = beijing.stream::<_, pb::Event>(STREAM, &request).await?;
    let mut told = Vec::with_capacity(ratings.len());
    let mut versions: HashMap<String, i64> = HashMap::new();
    for rating in ratings {
        tokio::time::sleep(PAUSE).await;
        let revocation = json!({
            "name": rating, "new_state": "RECORD_STATE_REVOKED", "reason": "撤销", "decided_by": "主管部门",
            "document_number": "撤-1", "effective_on": days.today,
        });
        let sent_us = now_us();
        let calling = hebei.call("RatingService/ChangeRating", revocation);
        // Who waits for the event does not wait for the answer first.
        let (answer, arrived) = tokio::join!(calling, async {
            tokio::time::timeout(WITHIN, until(&mut events, rating, &mut versions)).await
        });
        answer?;
        let event = arrived.context("the region was not told in time")??;
        told.push(Told { sent_us, recorded_us: event.0, arrived_us: event.1 });
    }
    Ok(told)
}

/// Reads on to the revocation's own event: when it was recorded, and when it came.
async fn until(
    events: &mut tonic::Streaming<pb::Event>,
    rating: &str,
    versions: &mut HashMap<String, i64>,
) -> anyhow::Result<(i64, i64)> {
    while let Some(event) = events.message().await? {
        let arrived_us = now_us();
        let last = versions.insert(event.record.clone(), event.version);
        ensure!(last.is_none_or(|last| last < event.version), "{} was told twice", event.record);
        // The recognizing region is told of its recognition, which names the rating; its first version is the
        // publication's.
        if event.version > 1 && String::from_utf8_lossy(event.body.as_ref()).contains(rating) {
            return Ok((event.recorded_time_us, arrived_us));
        }
    }
    anyhow::bail!("the stream ended")
}
