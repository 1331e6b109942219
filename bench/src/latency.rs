//! Response times at half load: calls leave at a steady pace, whatever becomes of those before.

use crate::Options;
use crate::check::Books;
use crate::database::{Kind, disk};
use crate::load::{Dates, paced, singly};
use crate::machine::{Ticks, add_fsync};
use crate::report::{Measurement, Report};
use crate::site::{INSTITUTIONS, Site};

pub async fn measure(options: &Options, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    let site = Site::new(options, kind, INSTITUTIONS).await?;
    let mut to = Measurement::new(format!("Single calls at half load, {}", kind.name()));
    let gateway = site.serve()?;
    let clients = gateway.channels(options.connections)?;
    singly(&clients, &site.bills, options.payments / 10 + 512, options.in_flight[0], Dates::One).await?;
    for run in 0..options.runs {
        let books = Books::read(&gateway.systems()?).await?;
        let most = singly(&clients, &site.bills, options.payments, options.in_flight[0], Dates::One).await?;
        site.check(&gateway, &books, &most.paid).await?;
        let books = Books::read(&gateway.systems()?).await?;
        add_fsync(&disk(), &mut to)?;
        let pace = most.per_second() / 2.0;
        let ticks = Ticks::now();
        let mut load = paced(&clients, &site.bills, options.payments, pace).await?;
        ticks.add_since(load.latencies_us.len(), &mut to);
        to.add("most, calls per second", most.per_second() * 2.0);
        to.add("paced, calls per second", load.per_second() * 2.0);
        to.add_latencies(&mut load.latencies_us);
        site.check(&gateway, &books, &load.paid).await?;
        eprintln!("{}, run {} of {}", to.title, run + 1, options.runs);
    }
    gateway.stop()?;
    report.push(to);
    Ok(())
}
