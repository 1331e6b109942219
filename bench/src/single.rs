//! Single calls: authorise, then confirm. Two signed calls, two durable steps.

use crate::Options;
use crate::check::{Books, listed};
use crate::database::{Kind, bytes};
use crate::echo::{EchoServer, Sizes};
use crate::load::{Dates, singly};
use crate::machine::Ticks;
use crate::report::{Measurement, Report};
use crate::site::{INSTITUTIONS, Site, Statements};

pub async fn measure(options: &Options, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    let site = Site::new(options, kind, INSTITUTIONS).await?;
    let mut measured: Vec<Measurement> = options
        .in_flight
        .iter()
        .map(|n| {
            let connections = options.connections;
            Measurement::new(format!("Single calls, {}, {n} in flight over {connections} connections", kind.name()))
        })
        .collect();
    let gateway = site.serve()?;
    let echo = EchoServer::start(site.sandbox_dir(), site.channel()?)?;
    let clients = gateway.channels(options.connections)?;
    // Connections are made, statements prepared.
    let warm = singly(&clients, &site.bills, options.payments / 10 + 512, options.in_flight[0], Dates::One).await?;
    let mut acknowledged = warm.paid.len();
    for run in 0..options.runs {
        for (in_flight, to) in options.in_flight.iter().zip(&mut measured) {
            let before = Books::read(&gateway.systems()?).await?;
            let size = bytes(&site.url).await?;
            let ticks = Ticks::now();
            let mut load = singly(&clients, &site.bills, options.payments, *in_flight, Dates::One).await?;
            let calls = load.latencies_us.len();
            ticks.add_since(calls, to);
            let ours_us = ticks.used_us() / calls as f64;
            let calls_per_second = calls as f64 / load.elapsed.as_secs_f64();
            to.add("calls per second", calls_per_second);
            let sizes = Sizes { request_bytes: load.request_bytes, answer_bytes: load.answer_bytes };
            // Enough of them that it takes seconds.
            let bare = calls.max(100_000);
            let ticks = Ticks::now();
            let mut echoed = echo.load(bare, *in_flight, options.connections, sizes).await?;
            let echo_us = ticks.used_us() / bare as f64;
            to.add("bare echo, calls per second", echoed.per_second());
            to.add("ratio to the echo", calls_per_second / echoed.per_second());
            to.add("all CPU µs each", ours_us);
            to.add("bare echo, all CPU µs each", echo_us);
            to.add("ratio to the echo, by processor time", echo_us / ours_us);
            to.add("bare echo, p99 ms", echoed.p99_ms());
            to.add("request bytes", sizes.request_bytes as f64);
            to.add("answer bytes", sizes.answer_bytes as f64);
            to.add_latencies(&mut load.latencies_us);
            to.add("bytes per payment", (bytes(&site.url).await? - size) as f64 / load.paid.len() as f64);
            acknowledged += load.paid.len();
            site.check(&gateway, &before, &load.paid).await?;
            eprintln!("{}, run {} of {}: {calls_per_second:.0} calls per second", to.title, run + 1, options.runs);
        }
    }
    listed(&gateway, acknowledged).await?;
    drop(echo);
    gateway.stop()?;
    if !options.quick {
        site.verify()?;
        statements(options, &site, &mut measured[0]).await?;
    }
    measured.into_iter().for_each(|m| report.push(m));
    Ok(())
}

/// Statements that the gateway sends for a payment under this load, all of its tasks together. In a
/// run of its own, because counting costs: each statement is logged, and the lines are counted.
async fn statements(options: &Options, site: &Site, to: &mut Measurement) -> anyhow::Result<()> {
    let gateway = site.serve_with(Statements::LOG)?;
    let clients = gateway.channels(options.connections)?;
    let payments = options.payments.min(5_000);
    let load = singly(&clients, &site.bills, payments, options.in_flight[0], Dates::One).await?;
    gateway.stop()?;
    let counted = Statements::of(&site.log_path())?;
    to.add("statements per payment", counted.all as f64 / load.paid.len() as f64);
    to.add("payments' calls per transaction", load.latencies_us.len() as f64 / counted.claims.max(1) as f64);
    Ok(())
}
