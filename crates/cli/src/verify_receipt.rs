//! `jjj verify receipt`: whether a receipt file proves what it claims, offline, and what that is.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use jjj_token::note::{CosignatureVerifier, NoteVerifier};
use jjj_token::offline::{OfflineError, Pins, Proven, ReceiptFile, RestsOn};
use serde_json::json;

use crate::output::{self, Lang};

#[derive(clap::Args)]
pub struct Args {
    /// Made by `jjj receipt`.
    file: PathBuf,
    /// A key of the gateway that you trust, as C2SP verifier key `origin+id+base64`; `jjj keys gateway`
    /// prints it. May be repeated.
    #[arg(long = "gateway-key", value_name = "VKEY", required = true)]
    gateway_keys: Vec<String>,
    /// A witness that you trust, as C2SP verifier key; `jjj witness key` prints it. May be repeated.
    #[arg(long = "witness", value_name = "VKEY")]
    witnesses: Vec<String>,
    /// How many witnesses must have cosigned; absent: all of those given.
    #[arg(long, value_name = "N")]
    quorum: Option<usize>,
    /// Thumbprint of a key confirmed out of band that the author's key must rest on. May be repeated;
    /// absent: it may rest on the founding of the gateway, and the answer says so.
    #[arg(long = "first-key", value_name = "KID")]
    first_keys: Vec<String>,
    /// Language of the answer.
    #[arg(long, value_enum, default_value_t = Lang::Zh)]
    lang: Lang,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let witnesses = args.witnesses.iter().map(|vkey| CosignatureVerifier::from_vkey(vkey).context("--witness"));
    let witnesses = witnesses.collect::<anyhow::Result<Vec<_>>>()?;
    let gateway = args.gateway_keys.iter().map(|vkey| NoteVerifier::from_vkey(vkey).context("--gateway-key"));
    let quorum = args.quorum.unwrap_or(witnesses.len());
    let pins = Pins {
        gateway: gateway.collect::<anyhow::Result<_>>()?,
        witnesses,
        quorum,
        first_keys: args.first_keys.clone(),
    };
    match checked(&args.file, &pins)? {
        Ok(proven) if args.json => output::json(&json!({"proven": proven})),
        Ok(proven) => print!("{}", told(&proven, &pins, args.lang)),
        Err(error) => {
            if args.json {
                output::json(&json!({"reason": error.reason(), "problem": error.to_string()}));
            } else if args.lang == Lang::Zh {
                println!("不成立：本文件不证明任何事项。{}（{error}）", error.reason());
            } else {
                println!("NOT PROVEN: {} ({error})", error.reason());
            }
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn checked(path: &Path, pins: &Pins) -> anyhow::Result<Result<Proven, OfflineError>> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    Ok(ReceiptFile::from_json(&bytes).and_then(|file| file.verify(pins)))
}

/// In plain language: what is proven, and by whom; and what is not.
fn told(proven: &Proven, pins: &Pins, lang: Lang) -> String {
    let mut lines = Vec::new();
    let mut say = |zh: String, en: String| lines.push(if lang == Lang::Zh { zh } else { en });
    let Proven { origin, record, version, kind, author, index, tree_size, .. } = proven;
    let at = moment(proven.recorded_at_us);
    say(
        format!("成立：{record} 第 {version} 版（{kind}），{at} 记录。"),
        format!("PROVEN: {record}, version {version} ({kind}), recorded {at}."),
    );
    match &proven.method {
        Some(method) => say(
            format!("由 {author} 签名：其密钥签署了对网关 {origin} 的这次 {method} 请求。"),
            format!("Signed by {author}: their key signed this request of {method} to the gateway {origin}."),
        ),
        None => {
            let cause = proven.cause.as_deref().unwrap_or("-");
            say(
                format!("由网关 {origin} 自行作出，起因 {cause}；无其他人签名。"),
                format!("Made by the gateway {origin} itself, caused by {cause}; nobody else signed it."),
            );
        }
    }
    if proven.method.is_some() && !proven.request_shown {
        say(
            "请求含个人信息，文件中只有其摘要。".to_owned(),
            "The request is personal: the file has only its digest.".to_owned(),
        );
    }
    for (at, link) in proven.keys.iter().enumerate() {
        let (kid, holder) = (&link.kid, &link.holder);
        let next = proven.keys.get(at + 1).map(|next| next.holder.as_str()).unwrap_or_default();
        match link.rests_on {
            RestsOn::Pinned => say(
                format!("{holder} 的密钥 {kid} 为您自行确认。"),
                format!("The key {kid} of {holder} is one that you pinned."),
            ),
            RestsOn::Registration => say(
                format!("{holder} 的密钥 {kid} 由 {next} 签名登记，登记在同一日志中。"),
                format!("The key {kid} of {holder} was registered in the same log, signed by {next}."),
            ),
            RestsOn::Founding => say(
                format!("{holder} 的密钥 {kid} 随网关创建而登记，无人签名：请用 --first-key 确认。"),
                format!(
                    "The key {kid} of {holder} came with the gateway's founding, which nobody signed: pin it with --first-key."
                ),
            ),
        }
        if link.suspect {
            say(
                format!("注意：密钥 {kid} 已因泄露撤回，此签名在可疑时段内。"),
                format!("NOTE: the key {kid} was withdrawn, and this signature is of the time when it is suspect."),
            );
        }
    }
    say(
        format!("网关 {origin} 签署的日志共 {tree_size} 条，本记录为第 {index} 条（自 0 起）。"),
        format!("The gateway {origin} signed a log of {tree_size} leaves; this is leaf {index}, counted from 0."),
    );
    if let Some(promised) = proven.promised_by_us {
        let promised = moment(promised);
        say(
            format!("网关收据承诺 {promised} 前入日志，已兑现于此日志。"),
            format!("The gateway's receipt promised the leaf by {promised}; it is in this log."),
        );
    }
    for (name, time_s) in &proven.witnesses {
        let at = moment(i64::try_from(*time_s).unwrap_or(i64::MAX).saturating_mul(1_000_000));
        say(format!("见证方 {name} 于 {at} 联署该日志头。"), format!("The witness {name} cosigned that head at {at}."));
    }
    if pins.witnesses.is_empty() {
        say(
            "未要求见证方联署：仅凭网关自己的话，不排除它另有一份日志。".to_owned(),
            "No witness was asked for: the gateway alone could show another log to others.".to_owned(),
        );
    }
    say(
        "未证明：该记录其后是否变更；所作决定是否合乎规则。".to_owned(),
        "Not proven: whether the record was changed later, and whether the decision was right.".to_owned(),
    );
    lines.join("\n") + "\n"
}

/// In Beijing's time, to the second.
pub fn moment(us: i64) -> String {
    let at = jiff::Timestamp::from_microsecond(us).unwrap_or(jiff::Timestamp::MAX);
    let beijing = at.to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(8)));
    beijing.strftime("%Y-%m-%d %H:%M:%S +08:00").to_string()
}
