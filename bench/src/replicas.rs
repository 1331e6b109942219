//! Two replicas of the gateway on one PostgreSQL beside one: the same connections, half of them to
//! each. What a replica adds on a machine whose processors one keeps busy is not more; it must not be less.

use anyhow::ensure;

use crate::Options;
use crate::check::{Books, listed};
use crate::database::Kind;
use crate::load::{Dates, singly};
use crate::report::{Measurement, Report};
use crate::site::{INSTITUTIONS, Site};

pub async fn measure(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let site = Site::new(options, Kind::Postgres, INSTITUTIONS).await?;
    let mut to = Measurement::new("Two replicas beside one, PostgreSQL".to_owned());
    let mut acknowledged = 0;
    for run in 0..=options.runs {
        let mut rates = Vec::new();
        for replicas in [1, 2] {
            let gateways = (0..replicas).map(|_| site.serve()).collect::<anyhow::Result<Vec<_>>>()?;
            let mut clients = Vec::new();
            for gateway in &gateways {
                clients.extend(gateway.channels(options.connections / replicas)?);
            }
            // Calls go to the connections in turn: those of the replicas alternate.
            let half = clients.len() / replicas;
            let clients: Vec<_> =
                (0..clients.len()).map(|n| clients[n % replicas * half + n / replicas].clone()).collect();
            let warm = singly(&clients, &site.bills, 1_024, options.in_flight[0], Dates::One).await?;
            let books = Books::read(&gateways[0].systems()?).await?;
            let load = singly(&clients, &site.bills, options.payments, options.in_flight[0], Dates::One).await?;
            site.check(&gateways[0], &books, &load.paid).await?;
            acknowledged += warm.paid.len() + load.paid.len();
            if run == options.runs && replicas == 2 {
                listed(&gateways[1], acknowledged).await?;
            }
            for gateway in gateways {
                gateway.stop()?;
            }
            rates.push(load.per_second() * 2.0);
        }
        // The first round warms up the disk and the database.
        if run > 0 {
            to.add("one replica, calls per second", rates[0]);
            to.add("two replicas, calls per second", rates[1]);
            to.add("ratio of two to one", rates[1] / rates[0]);
            eprintln!("{}, run {run} of {}", to.title, options.runs);
        }
    }
    ensure!(acknowledged > 0, "nothing was measured");
    if !options.quick {
        site.verify()?;
    }
    report.push(to);
    Ok(())
}
