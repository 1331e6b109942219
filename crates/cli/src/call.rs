//! `jjj call`: any method, in JSON.

use std::io::Read;
use std::process::ExitCode;

use anyhow::Context;

use crate::connect::Connect;
use crate::output;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    connect: Connect,
    /// `Service/Method`, for example `PaymentService/CheckPayment`.
    method: String,
    /// The request as JSON with the proto files' field names; `-` reads standard input.
    /// A mutation without `request_id` gets a fresh one.
    #[arg(default_value = "{}")]
    request: String,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let text = if args.request == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("reading standard input")?;
        text
    } else {
        args.request
    };
    let request = serde_json::from_str(&text).context("the request is not JSON")?;
    match args.connect.session()?.call(&args.method, request).await {
        Ok(answer) => {
            output::json(&answer);
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            output::json(&error.to_json());
            Ok(ExitCode::FAILURE)
        }
    }
}
