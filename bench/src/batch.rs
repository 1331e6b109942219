//! Batch calls: one token and one root for many payments.

use crate::Options;
use crate::check::{Books, listed};
use crate::database::{Kind, bytes};
use crate::floor::{Dump, Rows};
use crate::load::{Dates, in_batches};
use crate::machine::Ticks;
use crate::report::{Measurement, Report};
use crate::site::{INSTITUTIONS, Site, Statements};

pub async fn measure(options: &Options, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    let title = format!(
        "Batch calls of {}, {}, {} in flight over {} connections",
        options.items,
        kind.name(),
        options.batches_in_flight,
        options.connections
    );
    let mut to = Measurement::new(title);
    let site = Site::new(options, kind, INSTITUTIONS).await?;
    let gateway = site.serve()?;
    let clients = gateway.channels(options.connections)?;
    let pay = async |payments| {
        in_batches(&clients, &site.bills, payments, options.items, options.batches_in_flight, Dates::One).await
    };
    let mut acknowledged = pay(options.items * 4).await?.paid.len();
    for run in 0..options.runs {
        let books = Books::read(&gateway.systems()?).await?;
        let size = bytes(&site.url).await?;
        drained(&site.url).await?;
        let before = Dump::of(&site.url).await?;
        let ticks = Ticks::now();
        let mut load = pay(options.payments).await?;
        ticks.add_since(load.paid.len(), &mut to);
        let waited_ms = drained(&site.url).await?;
        to.add("payments per second", load.per_second());
        // Had the clock run until the last leaf had its number.
        let numbered = load.paid.len() as f64 / (load.elapsed.as_secs_f64() + waited_ms / 1e3);
        to.add("payments per second, numbered", numbered);
        to.add("bytes per payment", (bytes(&site.url).await? - size) as f64 / load.paid.len() as f64);
        let rows = Rows::between(before, Dump::of(&site.url).await?);
        to.add("rows per payment", rows.count() as f64 / load.paid.len() as f64);
        let transactions = load.paid.len().div_ceil(options.items) * 2;
        let floor = crate::floor::measure(&site.place, kind, &rows, transactions).await?;
        let floor_per_second = load.paid.len() as f64 / floor.as_secs_f64();
        to.add("the same rows through sqlx, payments per second", floor_per_second);
        to.add("ratio to sqlx", load.per_second() / floor_per_second);
        to.add_latencies(&mut load.latencies_us);
        acknowledged += load.paid.len();
        site.check(&gateway, &books, &load.paid).await?;
        let rate = load.per_second();
        eprintln!("{}, run {} of {}: {rate:.0} payments per second", to.title, run + 1, options.runs);
    }
    listed(&gateway, acknowledged).await?;
    gateway.stop()?;
    if !options.quick {
        site.verify()?;
        let gateway = site.serve_with(Statements::LOG)?;
        let clients = gateway.channels(options.connections)?;
        let load =
            in_batches(&clients, &site.bills, 5_000, options.items, options.batches_in_flight, Dates::One).await?;
        gateway.stop()?;
        to.add("statements per payment", Statements::of(&site.log_path())?.all as f64 / load.paid.len() as f64);
    }
    report.push(to);
    Ok(())
}

/// Waits until every leaf has its number; for how long, milliseconds.
async fn drained(url: &str) -> anyhow::Result<f64> {
    let started = std::time::Instant::now();
    let mut direct = crate::database::Direct::open(url).await?;
    while direct.int("SELECT COUNT(*) FROM leaf_pending").await? > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let waited = started.elapsed().as_secs_f64() * 1e3;
    direct.close().await?;
    Ok(waited)
}
