//! `jjj receipt`: everything that proves a version of a record, in one file (`jjj_token::offline`).

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use jjj_cli::client::Client;
use jjj_server::receipt;
use jjj_token::Hash;
use jjj_token::offline::{Entry, Evidence, FORMAT, ReceiptFile};
use jjj_wire::pb;
use tonic::{Code, Status};

use crate::connect::Connect;

/// A leaf is sealed within ten seconds of its record.
const PATIENCE: Duration = Duration::from_secs(15);
const EVIDENCE: &str = "/jjj.gateway.v1.LedgerService/GetEvidence";
const PROOF: &str = "/jjj.gateway.v1.LedgerService/GetInclusionProof";

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    connect: Connect,
    /// The record: `ratings/…`, `payments/…`.
    record: String,
    /// Its version; 0: the current one.
    #[arg(id = "record_version", value_name = "VERSION", default_value_t = 0)]
    version: i64,
    /// Where to write; absent: standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let session = args.connect.session()?;
    let file = collect(&session.client, &args.record, args.version).await?;
    let text = serde_json::to_string_pretty(&file)?;
    match args.out {
        Some(path) => std::fs::write(&path, text + "\n").with_context(|| format!("writing {}", path.display()))?,
        None => println!("{text}"),
    }
    Ok(ExitCode::SUCCESS)
}

async fn collect(client: &Client, record: &str, version: i64) -> anyhow::Result<ReceiptFile> {
    let evidence = evidence(client, record, version).await?.ok_or_else(|| anyhow!("there is no {record}"))?;
    let proof = sealed(client, &evidence).await?;
    let head = proof.checkpoint.clone().context("the proof has no checkpoint")?;
    let mut next = signer(&evidence);
    let record = entry(evidence, &proof)?;
    let mut keys: Vec<Entry> = Vec::new();
    let mut known: Vec<String> = Vec::new();
    while let Some((holder, kid)) = next.take().filter(|(_, kid)| !known.contains(kid)) {
        let own = format!("{holder}/keys/{kid}");
        known.push(kid);
        let mut registered = false;
        // A first key came with its holder, any other by itself; both end by themselves.
        for (name, version) in [(&own, 1), (&holder, 1), (&own, 2)] {
            if registered && version == 1 {
                continue;
            }
            let Some(found) = self::evidence(client, name, version).await? else { continue };
            // What was recorded after the head does not bear on it.
            let Some(proof) = proof_under(client, &found, head.tree_size).await? else { continue };
            if version == 1 {
                registered = true;
                next = signer(&found);
            }
            // A key rests on who registered it, not on what the gateway promised them.
            let entry = Entry { receipt: None, ..entry(found, &proof)? };
            if !keys.iter().any(|key| key.index == entry.index) {
                keys.push(entry);
            }
        }
    }
    Ok(ReceiptFile { format: FORMAT.to_owned(), checkpoint: head.note, record, keys })
}

/// Holder and name of the key that signed; `None` of what the gateway did by itself.
fn signer(evidence: &pb::Evidence) -> Option<(String, String)> {
    (!evidence.kid.is_empty()).then(|| (evidence.author.clone(), evidence.kid.clone()))
}

async fn evidence(client: &Client, record: &str, version: i64) -> anyhow::Result<Option<pb::Evidence>> {
    let request = pb::GetEvidenceRequest { record: record.to_owned(), version };
    found(client.call(EVIDENCE, &request).await).with_context(|| format!("the evidence of {record}"))
}

async fn proof_under(
    client: &Client,
    evidence: &pb::Evidence,
    tree_size: i64,
) -> anyhow::Result<Option<pb::InclusionProof>> {
    let request = pb::GetInclusionProofRequest {
        record: evidence.record.clone(),
        version: evidence.version,
        leaf_hash: evidence.leaf_hash.clone(),
        tree_size,
    };
    found(client.call(PROOF, &request).await).with_context(|| format!("the proof of {}", evidence.record))
}

/// The proof under the newest head, waited for while the leaf is not sealed yet.
async fn sealed(client: &Client, evidence: &pb::Evidence) -> anyhow::Result<pb::InclusionProof> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(proof) = proof_under(client, evidence, 0).await? {
            return Ok(proof);
        }
        if Instant::now() >= deadline {
            bail!("{} is not under a checkpoint yet; try again later", evidence.record);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn found<T>(answer: Result<T, Status>) -> anyhow::Result<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(jjj_cli::session::CallError::from(status).into()),
    }
}

fn entry(found: pb::Evidence, proof: &pb::InclusionProof) -> anyhow::Result<Entry> {
    let is_signed = !found.token.is_empty();
    let evidence = Evidence { request: found.request, token: found.token, path: hashes(&found.path)? };
    Ok(Entry {
        leaf: String::from_utf8(found.leaf).context("the leaf is no text")?,
        index: proof.leaf_index,
        path: hashes(&proof.path)?,
        evidence: is_signed.then_some(evidence),
        receipt: found.receipt.map(|found| receipt::from_wire(found).context("the receipt is none")).transpose()?,
    })
}

fn hashes(found: &[Vec<u8>]) -> anyhow::Result<Vec<Hash>> {
    found
        .iter()
        .map(|bytes| Hash::try_from(&bytes[..]).map_err(|_| anyhow!("a hash has {} bytes", bytes.len())))
        .collect()
}
