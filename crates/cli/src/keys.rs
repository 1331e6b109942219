//! `jjj keys`: the keys of participants, administrators and the gateway: made, listed, added, confirmed,
//! ended; and what a key has signed. The ceremonies are in docs/keys.md.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use jjj_custody::Place;
use jjj_token::confirmation::{ConfirmationClaims, sign_confirmation};
use jjj_token::note::NoteVerifier;
use jjj_token::suite::{Algorithm, SigningKey};
use jjj_token::{Jwk, VerifyingKey};
use serde_json::{Value, json};

use crate::connect::Connect;
use crate::key_place::KeyPlace;
use crate::output;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    connect: Connect,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make a signing key and its public half, `.jwk.json`; prints the fingerprint that is read out. In a file
    /// (PKCS#8 in PEM, mode 0600), or in a PKCS #11 module, which it never leaves. Needs no gateway.
    New {
        /// A file that does not exist, or a `pkcs11:` URI with the new key's `object`.
        #[arg(value_name = "KEY", value_parser = KeyPlace)]
        place: Place,
        /// EdDSA, ES256 or, in a file, SM2. The gateway takes keys of SM2 where `keys.sm2` is configured.
        #[arg(long, default_value = "EdDSA")]
        algorithm: String,
        /// Where to write the public half; default: beside the file.
        #[arg(long, value_name = "FILE")]
        public: Option<PathBuf>,
    },
    /// Where keys are kept: fingerprint, algorithm and place of a key, or of all that a gateway's configuration
    /// names. Each signs once, to show that it can. Needs no gateway.
    Kept {
        /// A file or a `pkcs11:` URI.
        #[arg(value_name = "KEY", required_unless_present = "config", value_parser = KeyPlace)]
        places: Vec<Place>,
        /// A gateway's `jjj.toml`.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Keys, also those no longer in force; filter, for example: `owner = "gateway"`.
    List {
        #[arg(long, default_value = "")]
        filter: String,
    },
    /// The gateway's keys, in force and retired, as C2SP verifier keys, to be pinned.
    Gateway,
    /// State, as an administrator of the gateway, that you confirmed a fingerprint out of band; prints
    /// the statement for `add --statement`.
    Confirm {
        /// Whose key it is to be: `regions/110000`, `gateway`, `…/admins/…`.
        owner: String,
        /// What was read out.
        fingerprint: String,
    },
    /// Add a public key to a participant or an administrator.
    Add {
        owner: String,
        /// The public JWK.
        file: PathBuf,
        /// The fingerprint that was read out.
        #[arg(long)]
        fingerprint: String,
        /// `ADMINISTRATOR=STATEMENT` of another administrator of the gateway, made with `confirm`. May be repeated.
        #[arg(long = "statement", value_name = "WHO=JWS")]
        statements: Vec<String>,
    },
    /// End a key in the ordinary way: what it signed stays good.
    Retire {
        /// `{owner}/keys/{kid}`.
        key: String,
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Withdraw a compromised key at once.
    Withdraw {
        /// `{owner}/keys/{kid}`.
        key: String,
        /// From when its signatures are suspect, RFC 3339.
        #[arg(long, value_name = "TIME")]
        suspect_from: jiff::Timestamp,
        #[arg(long)]
        reason: String,
    },
    /// What a key has signed since a moment, in the log's order.
    Signed {
        /// `{owner}/keys/{kid}`.
        key: String,
        /// RFC 3339; absent: everything.
        #[arg(long, value_name = "TIME")]
        since: Option<jiff::Timestamp>,
    },
}

const KEY: &[&str] = &["name", "state", "added_time_us", "ended_time_us", "suspect_from_time_us", "reason"];

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let show = |value: &Value, fields: &[&str]| output::show(args.json, value, fields);
    let show_all = |values: Vec<Value>, fields: &[&str]| output::show_all(args.json, values, fields);
    match &args.what {
        What::New { place, algorithm, public } => {
            println!("{}", new(place, algorithm, public.as_deref())?);
            return Ok(ExitCode::SUCCESS);
        }
        What::Kept { places, config } => {
            show_all(kept(places, config.as_deref())?, &["key", "kid", "algorithm", "kept", "place"]);
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    let session = args.connect.session()?;
    match args.what {
        What::New { .. } | What::Kept { .. } => {}
        What::List { filter } => show_all(session.list("ParticipantService/ListKeys", &filter, "keys").await?, KEY),
        What::Gateway => {
            // What a retired key signed is still to be checked.
            let filter = r#"owner = "gateway" AND state != "WITHDRAWN""#;
            for key in session.list("ParticipantService/ListKeys", filter, "keys").await? {
                let jwk = Jwk::from_json(key["jwk"].as_str().unwrap_or_default().as_bytes())?;
                // Ed25519 keys sign notes, and SM2 keys a second line.
                if let Ok(note) = NoteVerifier::new(session.client.audience(), &VerifyingKey::from_jwk(&jwk)?) {
                    println!("{}", note.vkey());
                }
            }
        }
        What::Confirm { owner, fingerprint } => {
            let claims = ConfirmationClaims {
                iss: session.client.actor().to_owned(),
                aud: session.client.audience().to_owned(),
                sub: owner,
                fingerprint,
                iat: session.client.now_us().div_euclid(1_000_000),
            };
            println!("{}={}", claims.iss, sign_confirmation(&session.client.identity().signing, &claims)?);
        }
        What::Add { owner, file, fingerprint, statements } => {
            let jwk = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
            let confirmations = statements.iter().map(|given| {
                let (who, statement) = given.split_once('=').context("--statement WHO=JWS")?;
                Ok(json!({"administrator": who, "fingerprint": fingerprint, "statement": statement}))
            });
            let confirmations = confirmations.collect::<anyhow::Result<Vec<_>>>()?;
            let request = json!({"owner": owner, "jwk": jwk.trim(), "fingerprint": fingerprint,
                                 "confirmations": confirmations});
            show(&session.call("ParticipantService/AddKey", request).await?["key"], KEY);
        }
        What::Retire { key, reason } => {
            let request = json!({"key": key, "reason": reason});
            show(&session.call("ParticipantService/RetireKey", request).await?["key"], KEY);
        }
        What::Withdraw { key, suspect_from, reason } => {
            let suspect_from = suspect_from.as_microsecond().to_string();
            let request = json!({"key": key, "suspect_from_time_us": suspect_from, "reason": reason});
            show(&session.call("ParticipantService/WithdrawKey", request).await?["key"], KEY);
        }
        What::Signed { key, since } => {
            let since = since.map_or(0, jiff::Timestamp::as_microsecond).to_string();
            let request = json!({"key": key, "from_time_us": since});
            let signatures = session.pages("ParticipantService/ListSignatures", request).all("signatures").await?;
            show_all(signatures, &["kind", "record", "version", "author", "method", "recorded_time_us"]);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What is kept where, each key tried once.
fn kept(places: &[Place], config: Option<&Path>) -> anyhow::Result<Vec<Value>> {
    let mut named: Vec<(&str, Place)> = places.iter().map(|place| ("", place.clone())).collect();
    if let Some(path) = config {
        let keys = jjj_server::Config::load(path)?.keys;
        named.push(("keys.signing", keys.signing));
        let others =
            [("keys.next", keys.next), ("keys.sm2_signing", keys.sm2_signing), ("keys.sm2_next", keys.sm2_next)];
        named.extend(others.into_iter().filter_map(|(name, place)| Some((name, place?))));
    }
    let shown = named.into_iter().map(|(name, place)| {
        let key = jjj_custody::load(&place)?;
        let kept = if key.may_block() { "MODULE" } else { "FILE" };
        Ok(json!({"key": name, "kid": key.kid(), "algorithm": spoken(key.algorithm()), "kept": kept,
                  "place": place.to_string(), "jwk": key.public_jwk().to_json()}))
    });
    shown.collect()
}

/// The names that `--algorithm` takes.
fn spoken(algorithm: Algorithm) -> &'static str {
    if algorithm == Algorithm::Sm2 { "SM2" } else { algorithm.jose_name() }
}

/// Makes both halves; the fingerprint.
fn new(place: &Place, algorithm: &str, public: Option<&Path>) -> anyhow::Result<String> {
    let known = Algorithm::ALL.into_iter().find(|known| spoken(*known) == algorithm);
    let known = known.context("--algorithm EdDSA, ES256 or SM2")?;
    let write = |path: &Path, mode: u32, text: &str| -> anyhow::Result<()> {
        use std::io::Write as _;
        let mut open = std::fs::OpenOptions::new();
        let mut to =
            open.write(true).create_new(true).mode(mode).open(path).with_context(|| path.display().to_string())?;
        Ok(to.write_all(text.as_bytes()).and_then(|()| to.sync_all())?)
    };
    let (key, beside) = match place {
        Place::File(file) => {
            let pem = SigningKey::generate_pkcs8_pem(known)?;
            write(file, 0o600, &pem)?;
            let mut beside = file.as_os_str().to_owned();
            beside.push(".jwk.json");
            (SigningKey::from_pkcs8_pem(&pem)?, PathBuf::from(beside))
        }
        Place::Module(uri) => {
            let public = public.context("--public FILE: where to write the public half of a key in a module")?;
            // Before the key is made: nobody needs one whose public half cannot be written.
            write(public, 0o644, "")?;
            let key = jjj_custody::generate(uri, known).inspect_err(|_| drop(std::fs::remove_file(public)))?;
            std::fs::write(public, key.public_jwk().to_json())?;
            return Ok(key.kid().to_owned());
        }
    };
    let public = public.map(Path::to_owned).unwrap_or(beside);
    write(&public, 0o644, &key.public_jwk().to_json())?;
    Ok(key.kid().to_owned())
}
