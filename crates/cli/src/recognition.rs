//! `jjj recognition`: a recognition as an SD-JWT (RFC 9901, docs/tokens.md): fetched by a region for its
//! holder, shown by the holder as far as they choose, verified by anybody. Only fetching needs a gateway.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Subcommand;
use jjj_custody::Place;
use jjj_token::recognition::{RecognitionTokenError, StatusListReference, verify_recognition};
use jjj_token::sd_jwt::{Challenge, bind};
use jjj_token::sd_recognition::{
    SdRecognitionError, decode_unverified, decode_unverified_kid, present_sd_recognition, verify_sd_recognition,
};
use jjj_token::status_list::{self, StatusListError, TokenStatus, status_of, verify_status_list};
use jjj_token::{Jwk, VerifyingKey, recognition};
use jjj_wire::pb;
use serde_json::{Value, json};

use crate::connect::{Connect, system_now};
use crate::key_place::KeyPlace;
use crate::output::{self, Lang};
use crate::verify_receipt::moment;

const ISSUE: &str = "/jjj.gateway.v1.RecognitionService/GetSdRecognition";

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Fetch a recognition in force from the gateway, with all its disclosures: for its holder, and nobody else.
    Issue {
        #[command(flatten)]
        connect: Box<Connect>,
        /// `recognitions/…`; the issuing and the recognizing region may ask.
        name: String,
        /// The holder's public JWK, as `jjj keys new` writes it; absent: whoever has the file may show it.
        #[arg(long, value_name = "FILE")]
        holder: Option<PathBuf>,
        /// Where to write; absent: standard output.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Show level and validity, and of the rest what is named. Works offline; does not check the signature.
    Present {
        /// Made by `issue`.
        file: PathBuf,
        /// What else to show: `subject`, or a dimension such as `mobility`. May be repeated; a wrong name
        /// lists what there is.
        #[arg(long = "show", value_name = "CLAIM")]
        shown: Vec<String>,
        /// The holder's private key, PEM, mode 0600, or a `pkcs11:` URI: binds what is shown to the verifier.
        #[arg(long, value_name = "KEY", value_parser = KeyPlace, requires_all = ["aud", "nonce"])]
        key: Option<Place>,
        #[command(flatten)]
        challenge: Asked,
        /// Where to write; absent: standard output.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Check what is shown, or a recognition token, offline, and say what it states.
    Verify(Verify),
}

/// What the verifier asked the holder to sign.
#[derive(clap::Args)]
struct Asked {
    /// The verifier, as the holder knows them.
    #[arg(long, requires = "nonce")]
    aud: Option<String>,
    /// Fresh for each presentation.
    #[arg(long, requires = "aud")]
    nonce: Option<String>,
}

impl Asked {
    fn challenge(&self) -> Option<Challenge<'_>> {
        Some(Challenge { aud: self.aud.as_deref()?, nonce: self.nonce.as_deref()? })
    }
}

#[derive(clap::Args)]
struct Verify {
    /// What was shown.
    file: PathBuf,
    /// The gateway's JWK Set, `/.well-known/jwks.json` of its public listener.
    #[arg(long, value_name = "FILE")]
    jwks: PathBuf,
    /// The gateway's origin.
    #[arg(long, value_name = "NAME")]
    issuer: String,
    /// The status list that it refers to, from the public listener; absent: revocation is not checked.
    #[arg(long, value_name = "FILE")]
    status: Option<PathBuf>,
    #[command(flatten)]
    challenge: Asked,
    /// As of this moment, RFC 3339; absent: now.
    #[arg(long, value_name = "TIME")]
    at: Option<jiff::Timestamp>,
    /// Language of the answer.
    #[arg(long, value_enum, default_value_t = Lang::Zh)]
    lang: Lang,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.what {
        What::Issue { connect, name, holder, out } => {
            let holder_jwk = match holder {
                Some(file) => read(&file)?,
                None => String::new(),
            };
            let request = pb::GetSdRecognitionRequest { name, holder_jwk };
            let answer = connect.session()?.client.call(ISSUE, &request).await;
            let issued: pb::SdRecognition = answer.map_err(jjj_cli::session::CallError::from)?;
            write(out.as_deref(), &issued.sd_jwt)?;
        }
        What::Present { file, shown, key, challenge, out } => {
            let mut text = present(&read(&file)?, &shown)?;
            match (key, challenge.challenge()) {
                (Some(key), Some(asked)) => {
                    let key = jjj_custody::load(&key).context("--key")?;
                    text = bind(&text, &key, &asked, now_s())?;
                }
                (None, None) => {}
                // Otherwise the holder believes to have answered the verifier, who gets nothing bound.
                _ => bail!("--aud and --nonce are what --key signs: give all three, or none"),
            }
            write(out.as_deref(), &text)?;
        }
        What::Verify(args) => return verify(&args),
    }
    Ok(ExitCode::SUCCESS)
}

/// Only what is named, of what can be kept back.
fn present(text: &str, shown: &[String]) -> anyhow::Result<String> {
    let (_, pointers) = decode_unverified(text).map_err(told_reason)?;
    let there: BTreeSet<&str> = pointers.iter().map(|pointer| last(pointer)).collect();
    if let Some(unknown) = shown.iter().find(|name| !there.contains(name.as_str())) {
        bail!("--show {unknown}: there is {}", Vec::from_iter(there).join(", "));
    }
    let keep = |pointer: &str| shown.iter().any(|name| name == last(pointer));
    present_sd_recognition(text, keep).map_err(told_reason)
}

fn told_reason(error: SdRecognitionError) -> anyhow::Error {
    anyhow::anyhow!("{}: {error}", error.reason())
}

/// The name of the claim at a pointer. Those of our SD-JWTs are distinct.
fn last(pointer: &str) -> &str {
    pointer.rsplit('/').next().unwrap_or_default()
}

/// Why what is shown is not believed.
struct Refused {
    reason: &'static str,
    problem: String,
}

macro_rules! refused_by {
    ($($error:ty),*) => {$(
        impl From<$error> for Refused {
            fn from(error: $error) -> Self {
                Self { reason: error.reason(), problem: error.to_string() }
            }
        }
    )*};
}
refused_by!(SdRecognitionError, RecognitionTokenError, StatusListError);

fn verify(args: &Verify) -> anyhow::Result<ExitCode> {
    let keys = keys(&args.jwks)?;
    let status = args.status.as_deref().map(read).transpose()?;
    let shown = read(&args.file)?;
    let now_s = args.at.map_or_else(now_s, jiff::Timestamp::as_second);
    let verified = verified(&shown, &keys, args, now_s).and_then(|claims| {
        let status = match &status {
            Some(list) => Some(status_now(list, &keys, &claims, now_s)?),
            None => None,
        };
        Ok((claims, status))
    });
    let (stated, holds) = match &verified {
        Ok((claims, status)) => {
            let holds = matches!(status, None | Some(TokenStatus::Valid));
            let stated = json!({"claims": claims, "status": status.map(name), "bound": args.challenge.aud.is_some()});
            (stated, holds)
        }
        Err(refused) => (json!({"reason": refused.reason, "problem": refused.problem}), false),
    };
    match (&verified, args.json) {
        (_, true) => output::json(&stated),
        (Ok((claims, status)), false) => print!("{}", told(claims, *status, args)),
        (Err(refused), false) if args.lang == Lang::Zh => println!("不成立：{}（{}）", refused.reason, refused.problem),
        (Err(refused), false) => println!("NOT PROVEN: {} ({})", refused.reason, refused.problem),
    }
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The claims, of either form.
fn verified(shown: &str, keys: &[VerifyingKey], args: &Verify, now_s: i64) -> Result<Value, Refused> {
    let issuer = &args.issuer;
    let asked = args.challenge.challenge();
    if asked.is_none() && !shown.contains('~') {
        let key = found(keys, &recognition::decode_unverified_kid(shown)?)?;
        return Ok(json!(verify_recognition(shown, key, issuer, now_s)?));
    }
    let key = found(keys, &decode_unverified_kid(shown)?)?;
    Ok(json!(verify_sd_recognition(shown, key, issuer, now_s, asked.as_ref())?))
}

fn found<'a>(keys: &'a [VerifyingKey], kid: &str) -> Result<&'a VerifyingKey, Refused> {
    let unknown = || Refused { reason: "TOKEN_KEY_UNKNOWN", problem: format!("the JWK Set has no key {kid}") };
    keys.iter().find(|key| key.kid() == kid).ok_or_else(unknown)
}

fn status_now(list: &str, keys: &[VerifyingKey], claims: &Value, now_s: i64) -> Result<TokenStatus, Refused> {
    let place: StatusListReference = serde_json::from_value(claims["status"]["status_list"].clone())
        .map_err(|error| Refused { reason: "TOKEN_CLAIM_MALFORMED", problem: error.to_string() })?;
    let key = found(keys, &status_list::decode_unverified_kid(list)?)?;
    let (claims, list) = verify_status_list(list, key, &place.uri, now_s)?;
    Ok(status_of(&claims, &list, &place)?)
}

fn name(status: TokenStatus) -> &'static str {
    match status {
        TokenStatus::Valid => "VALID",
        TokenStatus::Suspended => "SUSPENDED",
        TokenStatus::Invalid | TokenStatus::Other(_) => "INVALID",
    }
}

/// In plain language: what is stated, and what is not.
fn told(claims: &Value, status: Option<TokenStatus>, args: &Verify) -> String {
    let rec = &claims["rec"];
    let text = |name: &str| rec[name].as_str().unwrap_or_default();
    let day = |name: &str| moment(claims[name].as_i64().unwrap_or_default().saturating_mul(1_000_000));
    let mut lines = Vec::new();
    let mut say = |zh: String, en: String| lines.push(if args.lang == Lang::Zh { zh } else { en });
    let (recognizer, issuer, kind, scheme) = (text("recognizer"), text("issuer"), text("kind"), text("scheme"));
    let (level, native, quality) = (text("recognized"), text("native"), text("quality"));
    let gateway = &args.issuer;
    say(
        format!(
            "网关 {gateway} 签名：{recognizer} 认可 {issuer} 的 {kind}（{scheme}），等级 {level}（原等级 {native}，{quality}）。"
        ),
        format!(
            "Signed by the gateway {gateway}: {recognizer} recognizes the {kind} ({scheme}) of {issuer} as level {level} (natively {native}, {quality})."
        ),
    );
    let (from, until) = (day("nbf"), day("exp"));
    say(format!("有效期自 {from} 至 {until}（不含）。"), format!("Valid from {from} until {until}, exclusive."));
    match rec["subject"].as_str() {
        Some(subject) => say(format!("对象：{subject}。"), format!("About {subject}.")),
        None => say("对象未出示。".to_owned(), "About whom is not shown.".to_owned()),
    }
    for (dimension, score) in rec["scores"].as_object().into_iter().flatten() {
        say(format!("{dimension}：{score}。"), format!("{dimension}: {score}."));
    }
    match status.map(name) {
        Some(status) => say(format!("状态：{status}。"), format!("Status: {status}.")),
        None => say(
            "未核对状态：请用 --status 给出状态列表。".to_owned(),
            "Whether it still holds was not checked: give the status list with --status.".to_owned(),
        ),
    }
    match &args.challenge.aud {
        Some(aud) => {
            say(format!("由持有人的密钥为 {aud} 签名出示。"), format!("Shown by the holder of its key, for {aud}."))
        }
        None => say("未核对出示人。".to_owned(), "Who shows it was not checked.".to_owned()),
    }
    lines.join("\n") + "\n"
}

/// A JWK Set's keys of our suite; others are none of the gateway's.
fn keys(path: &Path) -> anyhow::Result<Vec<VerifyingKey>> {
    let set: Value = serde_json::from_str(&read(path)?).with_context(|| path.display().to_string())?;
    let keys = set["keys"].as_array().with_context(|| format!("{} is no JWK Set", path.display()))?;
    let member = |jwk: &Value, name: &str| jwk[name].as_str().map(str::to_owned);
    let jwks = keys.iter().filter_map(|jwk| {
        Some(Jwk { kty: member(jwk, "kty")?, crv: member(jwk, "crv")?, x: member(jwk, "x")?, y: member(jwk, "y") })
    });
    Ok(jwks.filter_map(|jwk| VerifyingKey::from_jwk(&jwk).ok()).collect())
}

fn read(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(text.trim().to_owned())
}

/// What is shown may be personal: a new file is its owner's to read.
fn write(out: Option<&Path>, text: &str) -> anyhow::Result<()> {
    let Some(path) = out else {
        println!("{text}");
        return Ok(());
    };
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| writeln!(file, "{text}")).with_context(|| path.display().to_string())
}

fn now_s() -> i64 {
    system_now(0)().div_euclid(1_000_000)
}
