//! `jjj init`: a sandbox that a client in any language can call at once.

use std::path::PathBuf;
use std::process::ExitCode;

use jjj_cli::enrol;
use jjj_cli::sandbox::{MEMBERS, Options, Sandbox};
use jjj_server::Clock;

#[derive(clap::Args)]
pub struct Args {
    /// A new or empty folder.
    dir: PathBuf,
    /// `sqlite:FILE` (relative to the folder) or `postgres://…`; an empty database.
    #[arg(long, value_name = "URL", default_value = "sqlite:jjj.db")]
    db: String,
    /// Port of the gRPC listener on loopback; the public and metrics listeners take the next two. 0: free ports.
    #[arg(long, default_value_t = 7443)]
    port: u16,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut options = Options { database_url: args.db, ..Options::default() };
    for (i, listener) in [&mut options.grpc, &mut options.public, &mut options.metrics].into_iter().enumerate() {
        listener.set_port(if args.port == 0 { 0 } else { args.port + i as u16 });
    }
    let sandbox = Sandbox::create(&args.dir, &options)?;
    if let Err(error) = populate(&sandbox).await {
        // Nothing was in the folder before; the next try finds nothing there either.
        let _ = std::fs::remove_dir_all(&args.dir);
        return Err(error);
    }
    let dir = args.dir.display();
    println!("Sandbox in {dir}");
    println!("  run it:      jjj serve --config {}", sandbox.config_path().display());
    println!("  identities:  {dir}/identities/ (certificate, TLS key, signing key of each)");
    for member in MEMBERS {
        let admins = member.administrators.iter().map(|a| format!("{}/admins/{a}", member.participant));
        println!("    {:<20} {}", member.participant, admins.collect::<Vec<_>>().join(" "));
    }
    println!("  try:         jjj policy list --sandbox {dir} --as regions/110000/admins/chen");
    Ok(ExitCode::SUCCESS)
}

/// The database: schema, the gateway, every member.
async fn populate(sandbox: &Sandbox) -> anyhow::Result<()> {
    let clock = Clock::with_offset_us(0);
    enrol::found(sandbox, &clock).await?;
    enrol::enrol_members(sandbox, &clock).await
}
