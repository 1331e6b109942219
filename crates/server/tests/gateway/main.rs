//! A gateway in this process, on either database, called over real mutual TLS.

mod agreement;
mod bank;
mod care;
mod crowd;
mod files;
mod forged;
mod formats;
mod harness;
mod institution;
mod kept;
mod ledger;
mod money;
mod person;
mod policy;
mod queries;
mod quotas;
mod rating;
mod recognition;
mod recon;
mod regional;
mod registry;
mod scene;
mod settlement;
mod talk;
mod workflow;
