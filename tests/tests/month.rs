//! `jjj month` as its users run it: killed again and again, client and gateway, and exact in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jjj_domain::time::Date;
use jjj_tests::both_databases;
use jjj_tests::gateway::{Gateway, Site, binary};
use jjj_tests::postgres::TestDatabase;
use jjj_tests::world::{BEIJING, BOOK, Days, PROGRAMME, UNIONPAY, assessment, certificate, done, elder, int, names};
use jjj_wire::pb;
use prost::Message as _;
use serde_json::{Value, json};

both_databases!(
    a_month_is_exact_through_kills,
    a_job_outlives_its_gateway,
    who_died_before_the_month_is_not_asked_for,
    a_folder_is_one_job_of_one_process,
);

const ELDERS: usize = 240;
/// What the rate table gives the `i % 4`th elder: severely disabled; by eyesight; by hearing; nothing.
const RATES_FEN: [Option<i64>; 4] = [Some(60_000), Some(40_000), Some(20_000), None];
/// Elders who are granted, and the month's sum.
const GRANTED: usize = ELDERS / 4 * 3;
const SUM_FEN: i64 = ELDERS as i64 / 4 * 120_000;

/// A sandbox with elders of Beijing, each with a basis or none.
struct Scene {
    site: Site,
    gateway: Gateway,
    elders: Vec<String>,
    month: String,
    jobs: tempfile::TempDir,
}

impl Scene {
    async fn new(db: &TestDatabase, elders: usize) -> Self {
        let site = Site::init(db.url());
        let gateway = site.serve();
        let beijing = gateway.session(BEIJING);
        let days = Days::now(&beijing);
        let register = (0..elders).map(elder).collect();
        let elders = names(&beijing, "ElderService/RegisterElder", register, "elder").await;
        let of = |group: usize| elders.iter().enumerate().filter(move |(i, _)| i % 4 == group).map(|(_, elder)| elder);
        let assess = of(0).map(|elder| assessment(elder, &days)).collect();
        names(&beijing, "AssessmentService/PublishAssessment", assess, "assessment").await;
        let certify = [(1, "VISUAL"), (2, "HEARING")]
            .into_iter()
            .flat_map(|(group, category)| of(group).map(move |elder| (elder, category)))
            .map(|(elder, category)| certificate(elder, category, &days));
        let (publish, part) = ("DisabilityCertificateService/PublishDisabilityCertificate", "disability_certificate");
        names(&beijing, publish, certify.collect(), part).await;
        Self { site, gateway, elders, month: days.month, jobs: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.jobs.path().join(name)
    }

    /// A gateway that was killed is followed by another.
    fn restart(self) -> Self {
        let Self { site, gateway, elders, month, jobs } = self;
        gateway.kill();
        Self { gateway: site.serve(), site, elders, month, jobs }
    }

    /// Every gateway from now on listens where this one does.
    fn at_a_fixed_address(self) -> Self {
        let config = self.site.dir().join("jjj.toml");
        let text = fs::read_to_string(&config).expect("the configuration");
        let (any, here) =
            ("[grpc]\nlisten = \"127.0.0.1:0\"", format!("[grpc]\nlisten = \"{}\"", self.gateway.address));
        assert!(text.contains(any), "{text}");
        fs::write(&config, text.replace(any, &here)).expect("the configuration");
        self
    }

    fn command(&self, actor: &str, args: &[&str]) -> Command {
        // The kernel ends it when the test is gone.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(binary()).arg("month").args(args);
        command.args(["--json", "--as", actor, "--gateway", &self.gateway.address]);
        command.env("JJJ_SANDBOX", self.site.dir()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, actor: &str, args: &[&str]) -> Output {
        self.command(actor, args).output().expect("jjj runs")
    }

    /// A command that succeeds, and what it prints.
    fn done(&self, actor: &str, args: &[&str]) -> Value {
        let output = self.run(actor, args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// A command that fails, and what it says.
    fn fails(&self, actor: &str, args: &[&str]) -> String {
        let output = self.run(actor, args);
        assert!(!output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).expect("UTF-8")
    }

    /// Kills a job at many moments, its gateway now and then, tears its journal, and lets it end.
    /// Also how many kills found the job at work.
    fn through_kills(mut self, actor: &str, args: &[&str], job: &Path) -> (Self, Value, usize) {
        let mut at_work = 0;
        for kill in 0..24_u64 {
            let mut child = self.command(actor, args).args(["--patience-s", "0"]).spawn().expect("jjj runs");
            self.wait_for_progress(&mut child, job, kill);
            if kill % 6 == 5 {
                // The client meets a gateway that is gone, and gives up.
                self = self.restart();
            }
            let _ = child.kill();
            child.wait().expect("our child");
            let is_under_way = standing(job).is_some_and(|standing| standing["state"] == "under way");
            at_work += usize::from(is_under_way);
            if kill % 4 == 3 && is_under_way {
                let mut journal = File::options().append(true).open(job.join("answers.jsonl")).expect("a journal");
                journal.write_all(br#"{"call":0,"told":[{"about":"eld"#).expect("a torn line");
            }
        }
        let ended = self.done(actor, args);
        (self, ended, at_work)
    }

    /// Until the job has some answers more, and a moment longer.
    fn wait_for_progress(&self, child: &mut Child, job: &Path, kill: u64) {
        if kill.is_multiple_of(8) {
            // Some die before the first answer, while planning or sending.
            return std::thread::sleep(Duration::from_millis(kill * 11));
        }
        let len = || fs::metadata(job.join("answers.jsonl")).map_or(0, |file| file.len());
        let before = len();
        for _ in 0..1_000 {
            if len() > before || child.try_wait().expect("our child").is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(kill * 700));
    }

    async fn grants(&self) -> Vec<Value> {
        let filter = format!("region = \"{BEIJING}\" AND month = \"{}\"", self.month);
        let listed = self.gateway.session(BEIJING).list("EntitlementService/ListGrants", &filter, "grants").await;
        listed.expect("the grants")
    }

    async fn balance(&self, kind: &str) -> i64 {
        let filter = format!("book = \"{BOOK}\" AND kind = \"{kind}\"");
        let accounts = self.gateway.session(BEIJING).list("LedgerService/ListAccounts", &filter, "accounts").await;
        accounts.expect("the accounts").iter().map(|account| int(&account["posted_fen"])).sum()
    }
}

/// A job's status, by itself; `None` while it is no job yet.
fn standing(job: &Path) -> Option<Value> {
    let output =
        Command::new(binary()).args(["month", "status", "--json", "--job"]).arg(job).output().expect("jjj runs");
    output.status.success().then(|| serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// The rows of a CSV file without quotes, after its header.
fn rows(file: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(file).expect("a file");
    text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

/// What a job's journal says was accepted: what each record is about, its name and its amount.
fn accepted(job: &Path) -> Vec<(String, String, i64)> {
    let journal = fs::read_to_string(job.join("answers.jsonl")).expect("a journal");
    let answers = journal.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let told = answers.flat_map(|answer| answer["told"].as_array().expect("a list").clone());
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    told.filter(|told| told.get("record").is_some())
        .map(|told| (text(&told["about"]), text(&told["record"]), told["amount_fen"].as_i64().expect("fen")))
        .collect()
}

async fn a_month_is_exact_through_kills(db: TestDatabase) {
    let scene = Scene::new(&db, ELDERS).await;
    let month = scene.month.clone();
    let of = ["--programme", PROGRAMME, "--month", &month, "--channel", UNIONPAY];

    // Grants.
    let job = scene.path("grant");
    let job_text = job.display().to_string();
    let grant = [&["grant"], &of[..], &["--per-call", "5", "--in-flight", "3", "--job", &job_text]].concat();
    let (scene, ended, at_work) = scene.through_kills(BEIJING, &grant, &job);
    println!("grants: {at_work} kills at work");
    assert!(at_work >= 5, "{at_work} kills found the job at work");
    assert_eq!(ended["accepted"]["granted"]["count"], GRANTED);
    assert_eq!(int(&ended["accepted"]["granted"]["amount_fen"]), SUM_FEN);
    assert_eq!((&ended["already_granted"], &ended["refused"]), (&0.into(), &json!({"NO_RATE": ELDERS - GRANTED})));
    assert_eq!(standing(&job).expect("a job"), ended, "the folder tells the same");
    check_grants(&scene, &job).await;
    let none: BTreeSet<&str> = scene.elders.iter().skip(3).step_by(4).map(String::as_str).collect();
    let refused = rows(&job.join("refused.csv"));
    assert_eq!(refused.iter().map(|row| &row[0][..]).collect::<BTreeSet<_>>(), none);
    assert!(refused.iter().all(|row| row[1] == "NO_RATE" && row[2].contains("care_subsidy")), "{refused:?}");
    assert_eq!(scene.done(BEIJING, &grant), ended, "a job that is done stays as it is");

    // A new job for the same month, from a file.
    let list = scene.path("elders.txt");
    fs::write(&list, scene.elders.join("\n")).expect("a file");
    let (list, again) = (list.display().to_string(), scene.path("again").display().to_string());
    let again = scene.done(BEIJING, &[&["grant"], &of[..], &["--elders", &list, "--job", &again]].concat());
    assert_eq!((&again["already_granted"], &again["accepted"]), (&GRANTED.into(), &json!({})));
    assert_eq!(scene.grants().await.len(), GRANTED);

    // Funding.
    let dry_run = [&["fund"], &of[..], &["--dry-run"]].concat();
    let need = scene.done(BEIJING, &dry_run);
    assert_eq!((int(&need["uncredited_fen"]), int(&need["free_fen"]), int(&need["needed_fen"])), (SUM_FEN, 0, SUM_FEN));
    let job = scene.path("fund");
    let job_text = job.display().to_string();
    let fund = [&["fund"], &of[..], &["--reference", "ICBC-1", "--job", &job_text]].concat();
    let (scene, funded, _) = scene.through_kills(BEIJING, &fund, &job);
    assert_eq!(int(&funded["accepted"]["funded"]["amount_fen"]), SUM_FEN);
    assert_eq!(scene.balance("prefund").await, SUM_FEN);
    assert_eq!(int(&scene.done(BEIJING, &dry_run)["needed_fen"]), 0);
    let nothing = scene.path("nothing").display().to_string();
    let nothing = scene.done(BEIJING, &[&["fund"], &of[..], &["--reference", "ICBC-2", "--job", &nothing]].concat());
    assert_eq!((&nothing["requests"], &nothing["state"]), (&0.into(), &"done".into()));

    // Credits and their results.
    let scene = credits_and_results(scene).await;
    assert!(scene.gateway.stop().success());
    scene.site.verify();
}

/// Every elder who has a rate has one grant, of that rate, and the job's journal is the gateway's list.
async fn check_grants(scene: &Scene, job: &Path) {
    let listed = scene.grants().await;
    let of_elder = |grant: &Value| {
        let elder = grant["elder"].as_str().expect("a name").to_owned();
        (elder, grant["name"].as_str().expect("a name").to_owned(), int(&grant["amount_fen"]))
    };
    let listed: BTreeSet<_> = listed.iter().map(of_elder).collect();
    assert_eq!(listed, accepted(job).into_iter().collect());
    let by_elder: BTreeMap<&str, i64> = listed.iter().map(|(elder, _, fen)| (&elder[..], *fen)).collect();
    assert_eq!(by_elder.len(), listed.len(), "one grant for each elder");
    let rated = scene.elders.iter().enumerate().filter_map(|(i, elder)| Some((&elder[..], RATES_FEN[i % 4]?)));
    assert_eq!(by_elder, rated.collect());
    // Each grant bears the id of a request that was on disk before it was sent.
    let requests = fs::read_to_string(job.join("requests.jsonl")).expect("the requests");
    let requests = requests.lines().flat_map(|line| serde_json::from_str::<Vec<String>>(line).expect("JSON"));
    let ids: BTreeSet<String> = requests
        .map(|text| {
            pb::GrantEntitlementRequest::decode(&BASE64_STANDARD.decode(text).expect("base64")[..]).expect("a request")
        })
        .map(|request| format!("grants/{}", request.request_id))
        .collect();
    assert_eq!(ids.len(), scene.elders.len());
    assert!(listed.iter().all(|(_, grant, _)| ids.contains(grant)));
}

const FAILED: usize = 7;
const MISREAD: usize = 5;

/// The channel's side: of every grant a row, some failed, some with a wrong amount, and damaged rows among them.
async fn credits_and_results(scene: Scene) -> Scene {
    let file = scene.path("credits.csv");
    let (out, month) = (file.display().to_string(), scene.month.clone());
    let credits = ["credits", "--region", BEIJING, "--programme", PROGRAMME, "--month", &month, "--out", &out];
    let written = scene.done(UNIONPAY, &credits);
    assert_eq!((&written["rows"], int(&written["amount_fen"])), (&GRANTED.into(), SUM_FEN));
    let to_credit = rows(&file);
    assert_eq!(to_credit.len(), GRANTED);
    assert!(to_credit.iter().all(|row| row[2..4] == [PROGRAMME, &month[..]] && row[5] == BEIJING));

    let mut results = "grant,outcome,amount_fen,reason\n".to_owned();
    let (mut credited_fen, mut damaged) = (0, Vec::new());
    for (i, row) in to_credit.iter().enumerate() {
        let (grant, amount) = (&row[0], &row[4]);
        match i {
            _ if i < FAILED => results += &format!("{grant},FAILED,,\"户名不符, 退回\"\n"),
            _ if i < FAILED + MISREAD => results += &format!("{grant},CREDITED,1,\n"),
            _ => {
                credited_fen += amount.parse::<i64>().expect("fen");
                results += &format!("{grant},CREDITED,{amount},\n");
            }
        }
        if i % 60 == 30 {
            let (bad, field, problem) = [
                (format!("{grant},CREDITED,6OO,"), "amount_fen", "MALFORMED"),
                (format!("{grant},CREDITED"), "", "FIELD_COUNT"),
                (format!("\"{grant},CREDITED,1,"), "", "UNREADABLE"),
            ][i / 60]
                .clone();
            results += &format!("{bad}\n");
            damaged.push([results.lines().count().to_string(), field.to_owned(), problem.to_owned()]);
        }
    }
    let results_file = scene.path("results.csv");
    fs::write(&results_file, &results).expect("a file");
    let (results_text, job) = (results_file.display().to_string(), scene.path("report"));
    let job_text = job.display().to_string();
    let report = ["report", "--file", &results_text, "--per-call", "4", "--in-flight", "3", "--job", &job_text];
    let (scene, ended, at_work) = scene.through_kills(UNIONPAY, &report, &job);
    println!("results: {at_work} kills at work");
    let credited = GRANTED - FAILED - MISREAD;
    assert_eq!(ended["accepted"]["credited"]["count"], credited);
    assert_eq!(int(&ended["accepted"]["credited"]["amount_fen"]), credited_fen);
    assert_eq!(ended["accepted"]["failed"]["count"], FAILED);
    assert_eq!(ended["refused"], json!({"AMOUNT_MISMATCH": MISREAD}));
    assert_eq!(ended["damaged_rows"], damaged.len());
    let rows_read = credited + FAILED + MISREAD + damaged.len();
    assert_eq!(results.lines().count() - 1, rows_read, "control totals");
    assert_eq!(rows(&job.join("damaged.csv")), damaged);
    assert_eq!(scene.balance("entitlement").await, credited_fen);
    assert_eq!(scene.balance("granted").await, SUM_FEN - credited_fen);

    // What is still to be credited.
    assert_eq!(scene.done(UNIONPAY, &credits)["rows"], MISREAD);
    let with_failed = [&credits[..], &["--with-failed"]].concat();
    assert_eq!(scene.done(UNIONPAY, &with_failed)["rows"], MISREAD + FAILED);
    let need = ["fund", "--programme", PROGRAMME, "--month", &month, "--channel", UNIONPAY, "--dry-run"];
    let need = scene.done(BEIJING, &need);
    assert_eq!(int(&need["uncredited_fen"]), SUM_FEN - credited_fen);
    assert_eq!((int(&need["free_fen"]), int(&need["needed_fen"])), (SUM_FEN - credited_fen, 0));
    scene
}

/// The gateway is killed under a job and comes back where it was: the job waits, and ends by itself.
async fn a_job_outlives_its_gateway(db: TestDatabase) {
    let mut scene = Scene::new(&db, 120).await.at_a_fixed_address();
    let (job, month) = (scene.path("grant"), scene.month.clone());
    let job_text = job.display().to_string();
    let of = ["grant", "--programme", PROGRAMME, "--month", &month, "--channel", UNIONPAY];
    let grant = [&of[..], &["--per-call", "2", "--in-flight", "4", "--job", &job_text]].concat();
    let mut child = scene.command(BEIJING, &grant).spawn().expect("jjj runs");
    for kill in 1..=4 {
        scene.wait_for_progress(&mut child, &job, kill);
        scene = scene.restart();
    }
    let output = child.wait_with_output().expect("our child");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let ended: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&ended["accepted"]["granted"]["count"], &ended["refused"]["NO_RATE"]), (&90.into(), &30.into()));
    check_grants(&scene, &job).await;
    assert!(scene.gateway.stop().success());
    scene.site.verify();
}

/// Death stops grants from the next month; the month itself is still theirs.
async fn who_died_before_the_month_is_not_asked_for(db: TestDatabase) {
    let scene = Scene::new(&db, 8).await;
    let beijing = scene.gateway.session(BEIJING);
    let first_day: Date = format!("{}-01", scene.month).parse().expect("a day");
    for (elder, died_on) in [(0, first_day), (1, first_day.plus_days(-1))] {
        let death = json!({"elder": scene.elders[elder], "died_on": died_on.to_string()});
        done(&beijing, "ElderService/RecordDeath", death).await;
    }
    let job = scene.path("grant");
    let (job_text, month) = (job.display().to_string(), scene.month.clone());
    let grant = ["grant", "--programme", PROGRAMME, "--month", &month, "--channel", UNIONPAY, "--job", &job_text];
    let ended = scene.done(BEIJING, &grant);
    assert_eq!((&ended["requests"], &ended["refused"]), (&7.into(), &json!({"NO_RATE": 2})));
    let granted: BTreeSet<String> = accepted(&job).into_iter().map(|(elder, ..)| elder).collect();
    assert_eq!(granted, [0, 2, 4, 5, 6].map(|i| scene.elders[i].clone()).into());
    // Named all the same, they are refused by the rule.
    let list = scene.path("elders.txt");
    fs::write(&list, &scene.elders[1]).expect("a file");
    let (list, named) = (list.display().to_string(), scene.path("named").display().to_string());
    let ended = scene.done(BEIJING, &[&grant[..7], &["--elders", &list, "--job", &named]].concat());
    assert_eq!(ended["refused"], json!({"PERSON_DECEASED": 1}));
    assert!(scene.gateway.stop().success());
    scene.site.verify();
}

async fn a_folder_is_one_job_of_one_process(db: TestDatabase) {
    let scene = Scene::new(&db, 8).await;
    let (folder, month) = (scene.path("job"), scene.month.clone());
    let folder_text = folder.display().to_string();
    let of = ["grant", "--programme", PROGRAMME, "--channel", UNIONPAY, "--job", &folder_text, "--per-call", "2"];
    let grant = [&of[..], &["--month", &month]].concat();

    // Another process.
    fs::create_dir(&folder).expect("a folder");
    let lock = File::create(folder.join("lock")).expect("a file");
    lock.lock().expect("a lock");
    assert!(scene.fails(BEIJING, &grant).contains("another process is working at"));
    drop(lock);

    // A plan that was not finished: nothing was sent, and it is made anew.
    let ended = scene.done(BEIJING, &grant);
    assert_eq!(ended["accepted"]["granted"]["count"], 6);
    for unfinished in ["plan.json", "answers.jsonl", "refused.csv"] {
        fs::remove_file(folder.join(unfinished)).expect("a file");
    }
    assert_eq!(standing(&folder).expect("a job")["state"], "planning");
    fs::write(folder.join("requests.jsonl"), "[\"torn").expect("a file");
    let anew = scene.done(BEIJING, &grant);
    assert_eq!((&anew["already_granted"], &anew["requests"]), (&6.into(), &8.into()));

    // Another job, and no job.
    let other = scene.fails(BEIJING, &[&of[..], &["--month", "2020-01"]].concat());
    assert!(other.contains("is another job") && other.contains("2020-01"), "{other}");
    assert!(scene.fails("regions/130000", &grant).contains("is another job"));
    let no_job = scene.path("elsewhere");
    fs::create_dir(&no_job).expect("a folder");
    fs::write(no_job.join("notes.txt"), "mine").expect("a file");
    let there = ["grant", "--programme", PROGRAMME, "--channel", UNIONPAY, "--month", &month, "--job"];
    let there = [&there[..], &[no_job.to_str().expect("UTF-8")]].concat();
    assert!(scene.fails(BEIJING, &there).contains("is not empty and no job"));
    assert!(standing(&no_job).is_none());

    // A torn end is cut off; damage before the end is not passed over; neither are the answers of another job.
    let journal = folder.join("answers.jsonl");
    let whole = fs::read_to_string(&journal).expect("a journal");
    let lines: Vec<&str> = whole.lines().collect();
    assert_eq!(lines.len(), 4);
    fs::write(&journal, &whole[..whole.len() - 20]).expect("a torn journal");
    assert_eq!(scene.done(BEIJING, &grant), anew, "asked again, told again");
    for (damage, said) in [
        (format!("{}\n{{\"call\":\n{}\n", lines[0], lines[1]), "line 2 is damaged and not the last"),
        (format!("{}\n{}\n", lines[0], lines[0]), "is answered twice"),
        (format!("{}\n", lines[0].replace("\"call\":", "\"call\":9")), "line 1 answers no call of this job"),
    ] {
        fs::write(&journal, &damage).expect("a damaged journal");
        let said_now = scene.fails(BEIJING, &grant);
        assert!(said_now.contains(said), "{said_now}");
        assert_eq!(fs::read_to_string(&journal).expect("a journal"), damage, "nothing is lost of what there is");
    }

    // A file of elders with something else in it.
    let list = scene.path("elders.txt");
    fs::write(&list, format!("{}\nwho?\n", scene.elders[0])).expect("a file");
    let (list, bad) = (list.display().to_string(), scene.path("bad").display().to_string());
    let bad = scene.fails(BEIJING, &[&there[..7], &["--elders", &list, "--job", &bad]].concat());
    assert!(bad.contains("elders.txt, line 2"), "{bad}");
    assert_eq!(scene.grants().await.len(), 6);
    assert!(scene.gateway.stop().success());
    scene.site.verify();
}
