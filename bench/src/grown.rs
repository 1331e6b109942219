//! Throughput as history grows. The history is the gateway's own: payments made in batch calls,
//! with every row, leaf and signature of theirs.

use crate::Options;
use crate::check::Books;
use crate::database::{Kind, bytes};
use crate::load::{Dates, in_batches, singly};
use crate::report::{Measurement, Report};
use crate::site::{INSTITUTIONS, Site};

pub async fn measure(options: &Options, kind: Kind, to: usize, report: &mut Report) -> anyhow::Result<()> {
    let title = format!("Single calls and batch calls with {to} payments in the database, {}", kind.name());
    let mut measurement = Measurement::new(title);
    let site = Site::new(options, kind, INSTITUTIONS).await?;
    let clients_of = |gateway: &crate::site::Gateway| gateway.channels(options.connections);
    let gateway = site.serve()?;
    singly(&clients_of(&gateway)?, &site.bills, 2_048, options.in_flight[0], Dates::One).await?;
    let empty = rates(options, &site, &gateway).await?;
    for (single, batch) in &empty {
        measurement.add("empty, single calls per second", *single);
        measurement.add("empty, batch payments per second", *batch);
    }
    let size = bytes(&site.url).await?;
    let books = Books::read(&gateway.systems()?).await?;
    let mut filled = 0;
    while filled < to {
        let step = (to - filled).min(100_000);
        let load = in_batches(&clients_of(&gateway)?, &site.bills, step, 1_000, 4, Dates::One).await?;
        filled += load.paid.len();
        let gib = bytes(&site.url).await? as f64 / f64::from(1 << 30);
        eprintln!("{filled} of {to} payments, {:.0} per second, {gib:.2} GiB", load.per_second());
    }
    anyhow::ensure!(Books::read(&gateway.systems()?).await?.spent_since(&books) == filled as i64, "payments were lost");
    measurement.add("bytes per payment", (bytes(&site.url).await? - size) as f64 / to as f64);
    gateway.stop()?;
    // As after a night: a new process, nothing in its memory.
    let gateway = site.serve()?;
    singly(&clients_of(&gateway)?, &site.bills, 2_048, options.in_flight[0], Dates::One).await?;
    for (single, batch) in rates(options, &site, &gateway).await? {
        measurement.add("grown, single calls per second", single);
        measurement.add("grown, batch payments per second", batch);
    }
    for (name, grown, empty) in [
        ("ratio, single calls", "grown, single calls per second", "empty, single calls per second"),
        ("ratio, batch calls", "grown, batch payments per second", "empty, batch payments per second"),
    ] {
        let ratio = measurement.median(grown) / measurement.median(empty);
        measurement.add(name, ratio);
    }
    gateway.stop()?;
    report.push(measurement);
    Ok(())
}

/// Single calls per second, and payments per second in batch calls, of each run.
async fn rates(options: &Options, site: &Site, gateway: &crate::site::Gateway) -> anyhow::Result<Vec<(f64, f64)>> {
    let clients = gateway.channels(options.connections)?;
    let mut rates = Vec::new();
    for _ in 0..options.runs {
        let books = Books::read(&gateway.systems()?).await?;
        let mut single = singly(&clients, &site.bills, options.payments, options.in_flight[0], Dates::One).await?;
        let in_flight = options.batches_in_flight;
        let batch = in_batches(&clients, &site.bills, options.payments, options.items, in_flight, Dates::One).await?;
        rates.push((single.per_second() * 2.0, batch.per_second()));
        single.paid.extend(batch.paid);
        site.check(gateway, &books, &single.paid).await?;
    }
    Ok(rates)
}
