//! The command line as its users meet it: what they type, what it prints, how it ends.

#[path = "cli_transcripts/morning.rs"]
mod morning;

use std::process::Command;

use insta::assert_snapshot;
use jjj_tests::clients::reconcile;
use jjj_tests::gateway::{Gateway, Site, binary};
use jjj_tests::postgres::TestDatabase;
use jjj_tests::world::{self, Days, Systems, World, done};
use serde_json::json;

const CHEN: &str = "regions/110000/admins/chen";
const BEIJING: &str = "regions/110000";

/// A terminal beside a running sandbox. What differs from run to run is written as a word.
struct Terminal {
    folder: tempfile::TempDir,
    words: Vec<(String, &'static str)>,
    variables: Vec<(&'static str, String)>,
    transcript: String,
}

impl Terminal {
    /// With nothing running.
    fn bare() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let words = vec![(folder.path().display().to_string(), "FOLDER")];
        Self { folder, words, variables: Vec::new(), transcript: String::new() }
    }

    fn beside(site: &Site, gateway: &Gateway) -> Self {
        let mut terminal = Self::bare();
        let days = Days::now(&gateway.session(BEIJING));
        terminal.words.extend([
            (site.dir().display().to_string(), "SANDBOX"),
            (gateway.address.clone(), "GATEWAY"),
            (days.today, "TODAY"),
            (days.month, "MONTH"),
        ]);
        terminal.variables =
            vec![("JJJ_SANDBOX", site.dir().display().to_string()), ("JJJ_GATEWAY", gateway.address.clone())];
        terminal
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).expect("a file");
        path.display().to_string()
    }

    /// Runs a command and writes down what happens; its standard output.
    fn jjj(&mut self, args: &[&str]) -> String {
        let mut command = Command::new(binary());
        command.args(args).envs(self.variables.iter().map(|(name, value)| (name, value))).env("RUST_BACKTRACE", "0");
        let output = command.output().expect("jjj runs");
        let (out, err) = (text(output.stdout), text(output.stderr));
        let typed: Vec<String> = args.iter().map(|arg| quoted(arg)).collect();
        let code = output.status.code().map_or("a signal".to_owned(), |code| code.to_string());
        let ending = if code == "0" { String::new() } else { format!("[ends with {code}]\n") };
        self.transcript += &self.redacted(&format!("$ jjj {}\n{out}{err}{ending}\n", typed.join(" ")));
        out
    }

    fn redacted(&self, text: &str) -> String {
        self.words.iter().fold(text.to_owned(), |text, (what, word)| text.replace(what, word))
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}

fn quoted(arg: &str) -> String {
    if arg.is_empty() || arg.contains([' ', '"', '>', '{']) { format!("'{arg}'") } else { arg.to_owned() }
}

#[test]
fn init_and_serve() {
    let mut terminal = Terminal::bare();
    let sandbox = terminal.folder.path().join("sandbox").display().to_string();
    terminal.jjj(&["init", &sandbox, "--port", "0"]);
    terminal.jjj(&["init", &sandbox]);
    terminal.jjj(&["verify", "--db", &format!("sqlite:{sandbox}/jjj.db")]);
    let wrong = terminal.folder.path().join("wrong").display().to_string();
    terminal.jjj(&["init", &wrong, "--db", "mysql://localhost/jjj"]);
    terminal.jjj(&["init", &wrong, "--port", "70000"]);
    assert!(!std::path::Path::new(&wrong).exists(), "what failed leaves no folder behind");
    terminal.jjj(&["serve", "--config", &format!("{wrong}.toml")]);
    let half = terminal.file("half.toml", "origin = \"gateway.example\"\n");
    terminal.jjj(&["serve", "--config", &half]);
    terminal.jjj(&["verify", "--db", &format!("sqlite:{wrong}.db")]);
    terminal.jjj(&["verify", "--db", "mysql://localhost/jjj"]);
    terminal.jjj(&["frobnicate"]);
    assert_snapshot!(steady(&terminal.transcript));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policy() {
    let db = TestDatabase::sqlite();
    let site = Site::init(db.url());
    let gateway = site.serve();
    let mut terminal = Terminal::beside(&site, &gateway);
    let gate = "110000/care_subsidy";
    terminal.jjj(&["policy", "list", "--as", CHEN, "--filter", r#"kind = "gate""#]);
    let body = terminal.jjj(&["policy", "show", "gate", gate, "--as", CHEN]);
    let lenient = terminal.file("lenient.json", &body.replacen("\"STAY\": \"ENFORCE\"", "\"STAY\": \"WARN\"", 1));
    let set = |file: &str, actor: &str, from: &str| {
        ["policy", "set", "gate", gate, file, "--from", from, "--reason", "试行", "--as", actor].map(ToOwned::to_owned)
    };
    let mut try_to = |args: [String; 11]| terminal.jjj(&args.each_ref().map(|arg| &arg[..]));
    let answer = try_to(set(&lenient, CHEN, "2099-01-01"));
    assert!(answer.contains("\"2099-01-01\""), "{answer}");
    // Who may not, what cannot be.
    try_to(set(&lenient, "regions/130000/admins/ma", "2099-01-01"));
    try_to(set(&lenient, BEIJING, "2099-01-01"));
    try_to(set(&lenient, CHEN, "tomorrow"));
    let empty = terminal.file("empty.json", "{\"conditions\": {}}");
    let mut try_to = |args: [String; 11]| terminal.jjj(&args.each_ref().map(|arg| &arg[..]));
    try_to(set(&empty, CHEN, "2099-01-01"));
    try_to(set("missing.json", CHEN, "2099-01-01"));
    terminal.jjj(&["policy", "list", "--as", CHEN, "--filter", r#"scope = "110000/care_subsidy""#]);
    terminal.jjj(&["policy", "list", "--as", CHEN, "--filter", "nonsense"]);
    terminal.jjj(&["policy", "show", "no_such_kind", gate, "--as", CHEN]);
    assert_snapshot!(steady(&terminal.transcript));
    assert!(gateway.stop().success());
    site.verify();
}

/// Hebei proposes, Beijing looks, refuses what was changed, accepts, and ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agreement() {
    let db = TestDatabase::sqlite();
    let site = Site::init(db.url());
    let gateway = site.serve();
    let mut terminal = Terminal::beside(&site, &gateway);
    let hebei = "regions/130000/admins/ma";
    let body = r#"{"automatic": false, "schemes": {"GB_T_37276": [{"native": 5, "recognized": 5, "quality": "EXACT"}]}, "source": "京冀协议"}"#;
    let terms = terminal.file("terms.json", body);
    let of = ["--issuer", "130000", "--recognizer", "110000", "--kind", "rating", "--from", "2099-01-01", "--reason"];
    let propose = |file: &str, reason: &str, actor: &str| {
        let own = [reason, file, "--as", actor, "--json"];
        ["agreement", "propose"].into_iter().chain(of).chain(own).map(ToOwned::to_owned).collect::<Vec<String>>()
    };
    let mut typed = |args: Vec<String>| terminal.jjj(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let name = |answer: &str| -> String {
        let answer: serde_json::Value = serde_json::from_str(answer).expect("JSON");
        answer["name"].as_str().expect("a name").to_owned()
    };
    let (first, second) =
        (name(&typed(propose(&terms, "联席会议", hebei))), name(&typed(propose(&terms, "再议", hebei))));
    // Answers to mutations differ each time; what follows does not.
    terminal.transcript.clear();
    terminal.words.extend([(first.clone(), "agreements/FIRST"), (second.clone(), "agreements/SECOND")]);
    terminal.jjj(&["agreement", "list", "--as", BEIJING, "--filter", r#"state = "PROPOSED""#]);
    terminal.jjj(&["agreement", "show", &second, "--as", BEIJING]);
    terminal.jjj(&["agreement", "accept", &second, "--reason", "同意", "--terms", "00", "--as", BEIJING]);
    terminal.jjj(&["agreement", "accept", &second, "--reason", "同意", "--as", hebei]);
    terminal.jjj(&["agreement", "accept", &first, "--reason", "同意", "--as", BEIJING]);
    terminal.jjj(&["agreement", "accept", &second, "--reason", "同意", "--as", BEIJING]);
    terminal.jjj(&["agreement", "decline", &second, "--reason", "不同意", "--as", BEIJING]);
    terminal.jjj(&["agreement", "withdraw", &second, "--reason", "撤回", "--as", hebei]);
    terminal.jjj(&["agreement", "show", &second, "--as", "regions/120000"]);
    let wrong = terminal.file("wrong.json", &body.replace("automatic", "automatik"));
    let wrong = propose(&wrong, "联席会议", hebei);
    terminal.jjj(&wrong.iter().map(String::as_str).collect::<Vec<_>>());
    let end: Vec<&str> =
        ["agreement", "end"].into_iter().chain(of).chain(["终止", "--as", BEIJING, "--json"]).collect();
    let ended = terminal.jjj(&end);
    assert!(ended.contains("AGREEMENT_STATE_ENDED") || ended.contains("\"ENDED\""), "{ended}");
    terminal.transcript.truncate(terminal.transcript.rfind("$ jjj agreement end").expect("the last command"));
    assert_snapshot!(steady(&terminal.transcript));
    assert!(gateway.stop().success());
    site.verify();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_and_ledger() {
    let db = TestDatabase::sqlite();
    let site = Site::init(db.url());
    let gateway = site.serve();
    let mut terminal = Terminal::beside(&site, &gateway);
    let year = Days::now(&gateway.session(BEIJING)).month[..4].to_owned();
    terminal.words.push((year.clone(), "YEAR"));
    let budget = format!(
        r#"{{"programme": "care_subsidy", "funder_division": "110108", "budget_year": {year}, "amount_fen": "1000000", "reference": "D1"}}"#
    );
    let answer = terminal.jjj(&["call", "EntitlementService/AllotBudget", &budget, "--as", BEIJING]);
    assert!(answer.contains("\"amount_fen\": \"1000000\"") && answer.contains("\"signature\""), "{answer}");
    let funding =
        r#"{"programme": "care_subsidy", "channel": "channels/unionpay", "amount_fen": "600000", "reference": "F1"}"#;
    terminal.jjj(&["call", "EntitlementService/FundChannel", funding, "--as", BEIJING]);
    // Answers to mutations differ each time; what follows does not.
    terminal.transcript.clear();
    for what in ["accounts", "entries"] {
        terminal.jjj(&["ledger", what, "--as", BEIJING]);
    }
    terminal.jjj(&["ledger", "accounts", "--as", BEIJING, "--filter", r#"kind = "prefund""#, "--json"]);
    terminal.jjj(&["ledger", "trial-balance", "110000/care_subsidy", "--as", BEIJING]);
    terminal.jjj(&["ledger", "trial-balance", "110000/care_subsidy", "--as", "regions/130000"]);
    terminal.jjj(&["ledger", "trial-balance", "nonsense", "--as", BEIJING]);
    terminal.jjj(&["ledger", "entries", "--as", "channels/unionpay"]);
    terminal.jjj(&["ledger", "evidence", "policies/gate/110000/none", "1", "--as", BEIJING]);
    // Requests that are no such request.
    terminal.jjj(&["call", "PaymentService/CheckPayment", r#"{"bill": "bills/x"}"#, "--as", "channels/unionpay"]);
    terminal.jjj(&["call", "PaymentService/CheckPayment", r#"{"bil": "bills/x"}"#, "--as", "channels/unionpay"]);
    terminal.jjj(&["call", "PaymentService/CheckPayment", "{", "--as", "channels/unionpay"]);
    terminal.jjj(&["call", "PaymentService/PayNow", "{}", "--as", "channels/unionpay"]);
    terminal.jjj(&["call", "EntitlementService/FundChannel", funding, "--as", "channels/unionpay"]);
    // Nobody, somebody unknown, nowhere.
    terminal.jjj(&["ledger", "accounts"]);
    terminal.jjj(&["ledger", "accounts", "--as", "channels/nobody"]);
    terminal.jjj(&["ledger", "accounts", "--as", BEIJING, "--gateway", "127.0.0.1:1"]);
    assert_snapshot!(steady(&terminal.transcript));

    let checkpoint = terminal.jjj(&["ledger", "checkpoint", "--as", BEIJING]);
    assert!(checkpoint.starts_with(&format!("{}\n", gateway.origin)), "{checkpoint}");
    let proof = terminal.jjj(&["ledger", "proof", "regions/110000", "1", "--as", BEIJING]);
    assert!(proof.contains("\"leaf_index\"") && proof.contains("\"path\""), "{proof}");
    let evidence = terminal.jjj(&["ledger", "evidence", "regions/110000", "1", "--as", "gateway/admins/li"]);
    assert!(evidence.contains("ParticipantService/CreateParticipant"), "{evidence}");
    assert!(gateway.stop().success());
    site.verify();
}

/// A day of one payment: run, signed by a region that does not agree and by one that does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reconciliation() {
    let db = TestDatabase::sqlite();
    let site = Site::init(db.url());
    let gateway = site.serve();
    let systems = Systems::of(&gateway);
    let world = World::build(&systems, 1, 1).await;
    let ask = world::authorise(&world.bills[0], 10_000, "TRANSCRIPT1", systems.unionpay.client.now_us());
    let payment = &done(&systems.unionpay, "PaymentService/AuthorizePayment", ask).await["payment"]["name"];
    let confirm = json!({"payment": payment, "amount_fen": "10000", "clearing_date": world.yesterday});
    done(&systems.unionpay, "PaymentService/ConfirmPayment", confirm).await;

    let (date, compact) = (&world.yesterday, world.yesterday.replace('-', ""));
    let mut terminal = Terminal::beside(&site, &gateway);
    terminal.words.splice(0..0, [(date.clone(), "DATE"), (compact.clone(), "DATE")]);
    terminal.jjj(&["recon", "run", "channels/unionpay", date, "--as", CHEN]);
    reconcile(&systems, &world).await.expect("a run");
    let run = &format!("runs/unionpay-{compact}-1");
    let (sun, ma) = ("regions/110000/admins/sun", "regions/130000/admins/ma");
    terminal.jjj(&["recon", "runs", "--as", CHEN]);
    // Who ran it does not sign it.
    terminal.jjj(&["recon", "sign", run, "--as", CHEN]);
    let disputed = terminal.jjj(&["recon", "sign", run, "--dispute", "少一笔退款", "--as", sun]);
    assert!(disputed.contains("DISPUTED"), "{}", terminal.transcript);
    let agreed = terminal.jjj(&["recon", "sign", run, "--as", ma]);
    assert!(agreed.contains("AGREED"), "{}", terminal.transcript);
    terminal.jjj(&["recon", "sign", run, "--view", "110000", "--as", ma]);
    assert_snapshot!(steady(&terminal.transcript));
    // The dispute says why.
    let view = json!({"name": format!("{run}/views/110000")});
    let view = done(&gateway.session(sun), "ReconciliationService/GetView", view).await.to_string();
    assert!(view.contains("VIEW_STATE_DISPUTED") && view.contains("少一笔退款"), "{view}");
    reports(&mut terminal, run, &date[..7]);
    assert!(gateway.stop().success());
    site.verify();
}

/// Every report in every format, under the name that it gives itself; the same on standard output.
fn reports(terminal: &mut Terminal, run: &str, month: &str) {
    let folder = terminal.folder.path().join("reports");
    std::fs::create_dir(&folder).expect("a folder");
    let out = folder.display().to_string();
    let kinds: [&[&str]; 5] = [
        &["run", run],
        &["ageing", "--channel", "channels/unionpay"],
        &["breaks", "--from", "2020-01-01"],
        &["trial-balance", "110000/care_subsidy", "--month", month],
        &["month", month],
    ];
    for kind in kinds {
        for (format, begins) in
            [("text", ""), ("json", "{"), ("csv", "\u{feff}"), ("xlsx", "PK"), ("html", "<!DOCTYPE html>")]
        {
            let args = [&["report"], kind, &["--format", format, "--as", CHEN, "--out", &out]].concat();
            terminal.transcript.clear();
            terminal.jjj(&args);
            let said = terminal.transcript.trim_end().rsplit('\n').next().unwrap_or_default().to_owned();
            let name = said.rsplit('/').next().unwrap_or_default();
            let mut files = std::fs::read_dir(&folder).expect("the folder").flatten();
            let found = files.find(|file| terminal.redacted(&file.file_name().to_string_lossy()) == name);
            let content = std::fs::read(found.unwrap_or_else(|| panic!("no {name}")).path()).expect("the report");
            assert!(content.starts_with(begins.as_bytes()) && content.len() > 20, "{name}");
        }
    }
    let english = terminal.jjj(&["report", "run", run, "--lang", "en", "--as", CHEN]);
    assert!(english.starts_with("Daily reconciliation") && english.contains("Result: With breaks"), "{english}");
    let chinese = terminal.jjj(&["report", "run", run, "--as", CHEN]);
    assert!(chinese.starts_with("对账日报") && chinese.contains("结果: 有差错"), "{chinese}");
    terminal.transcript.clear();
    terminal.jjj(&["report", "trial-balance", "110000/care_subsidy", "--as", "regions/130000/admins/ma"]);
    assert!(terminal.transcript.contains("NOT_YOUR_RECORD"), "{}", terminal.transcript);
}

/// Without what differs from run to run or grows with the defaults: moments, and what `verify` counts.
fn steady(transcript: &str) -> String {
    let line = |line: &str| match line.split_once("_time_us\": \"") {
        Some((name, rest)) => {
            format!("{name}_time_us\": \"TIME{}", rest.trim_start_matches(|c: char| c.is_ascii_digit()))
        }
        None if ["log: ", "evidence: ", "tables: "].iter().any(|counts| line.starts_with(counts)) => {
            let words = line.split(' ').map(|word| if word.parse::<u64>().is_ok() { "N" } else { word });
            words.collect::<Vec<_>>().join(" ")
        }
        None => line.to_owned(),
    };
    transcript.lines().map(line).collect::<Vec<_>>().join("\n")
}
