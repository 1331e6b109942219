//! Payments that meet in the same accounts beside payments that do not.
//!
//! Shared: one institution, one clearing date, so one `clearing` account for all. Spread: as many
//! institutions as elders, confirmed on the three clearing dates that the gateway takes. `payable`
//! is booked by the next morning's run, not by these calls.

use crate::Options;
use crate::check::Books;
use crate::database::Kind;
use crate::load::{Dates, singly};
use crate::report::{Measurement, Report};
use crate::site::Site;

pub async fn measure(options: &Options, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    let mut to = Measurement::new(format!("Shared accounts beside spread ones, {}", kind.name()));
    let shared = Site::new(options, kind, 1).await?;
    let spread = Site::new(options, kind, options.elders).await?;
    for run in 0..=options.runs {
        let mut rates = Vec::new();
        for (site, dates) in [(&shared, Dates::One), (&spread, Dates::Spread)] {
            let gateway = site.serve()?;
            let clients = gateway.channels(options.connections)?;
            singly(&clients, &site.bills, 1_024, options.in_flight[0], Dates::One).await?;
            let books = Books::read(&gateway.systems()?).await?;
            let load = singly(&clients, &site.bills, options.payments, options.in_flight[0], dates).await?;
            site.check(&gateway, &books, &load.paid).await?;
            gateway.stop()?;
            rates.push(load.per_second() * 2.0);
        }
        // The first round warms up the disk and the databases.
        if run > 0 {
            to.add("shared, calls per second", rates[0]);
            to.add("spread, calls per second", rates[1]);
            to.add("ratio of shared to spread", rates[0] / rates[1]);
            eprintln!("{}, run {run} of {}", to.title, options.runs);
        }
    }
    report.push(to);
    Ok(())
}
