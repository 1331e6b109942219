//! `jjj records` as a region runs it: what differs is found in a few calls and repaired, also while others
//! publish, and by whoever may not read a record nothing of it is seen.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use jjj_cli::session::Session;
use jjj_tests::both_databases;
use jjj_tests::campaign::sized;
use jjj_tests::gateway::{Gateway, Site, binary};
use jjj_tests::postgres::TestDatabase;
use jjj_tests::world::{BEIJING, Days, HEBEI, Systems, TIANJIN, UNIONPAY, World, elder, institution, names, rating};
use jjj_wire::pb;
use serde_json::{Value, json};

both_databases!(
    a_copy_is_compared_and_repaired,
    a_copy_becomes_equal_while_others_publish,
    what_one_may_not_read_is_not_told_of,
    calls_and_bytes_by_the_number_of_differences,
);

struct Copy<'a> {
    gateway: &'a Gateway,
    site: &'a Site,
    actor: &'a str,
    collection: &'a str,
    path: PathBuf,
}

impl Copy<'_> {
    fn command(&self, what: &str) -> Command {
        let mut command = Command::new(binary());
        command.args(["records", what, self.collection]).arg(&self.path);
        command.args(["--json", "--as", self.actor, "--gateway", &self.gateway.address]);
        command.env("JJJ_SANDBOX", self.site.dir());
        command
    }

    fn run(&self, what: &str) -> (bool, Value) {
        let output = self.command(what).output().expect("jjj runs");
        let said = String::from_utf8_lossy(&output.stderr);
        let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{what}: {said}"));
        (output.status.success(), json)
    }

    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.path).expect("the copy");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    fn write(&self, lines: &[Value]) {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(&self.path, text).expect("the copy");
    }
}

fn counts(found: &Value) -> [usize; 4] {
    ["missing", "stale", "altered", "extra"].map(|kind| found[kind].as_array().expect("names").len())
}

async fn a_copy_is_compared_and_repaired(db: TestDatabase) {
    let site = Site::init(db.url());
    let gateway = site.serve();
    let systems = Systems::of(&gateway);
    let world = World::build(&systems, 5, 6).await;
    let folder = tempfile::tempdir().expect("a folder");
    // Everything that Beijing may read, of every kind; whom it does not concern has none of it.
    let collections = [("ratings", 5), ("assessments", 6), ("recognitions", 5 + 6), ("contracts", 6), ("stays", 6)];
    for (collection, expected) in collections {
        let path = folder.path().join(collection);
        let copy = Copy { gateway: &gateway, site: &site, actor: BEIJING, collection, path };
        let (is_equal, found) = copy.run("compare");
        assert!(!is_equal && counts(&found)[1..] == [0, 0, 0], "{found}");
        let count = counts(&found)[0];
        // Recognitions: of ratings by Beijing, and of its assessments by those who asked.
        assert!(count == expected || collection == "recognitions" && count >= 5, "{collection}: {found}");
        let (is_equal, repaired) = copy.run("repair");
        assert!(is_equal && repaired["repaired"] == count && repaired["records"] == count, "{repaired}");
        let (is_equal, again) = copy.run("compare");
        assert!(is_equal && again["calls"] == 1, "{again}");
        assert_eq!(again["ledger_number_first"], again["ledger_number_last"], "one moment");
    }

    // One of each: a version behind, a changed letter, one too few, one too many.
    let path = folder.path().join("contracts");
    let copy = Copy { gateway: &gateway, site: &site, actor: BEIJING, collection: "contracts", path };
    let whole = copy.lines();
    let mut lines = whole.clone();
    lines[0]["version"] = "1".into();
    lines[1]["filing_number"] = "HB999999".into();
    let mut extra = lines[2].clone();
    extra["contract"] = "contracts/00000000-0000-7000-8000-000000000000".into();
    lines[2] = extra;
    copy.write(&lines);
    let name = |line: &Value| line["contract"].as_str().expect("a name").to_owned();
    let (is_equal, found) = copy.run("compare");
    assert!(!is_equal);
    assert_eq!(counts(&found), [1, 1, 1, 1], "{found}");
    let [missing, stale, altered, extra] = ["missing", "stale", "altered", "extra"].map(|kind| found[kind][0].clone());
    assert_eq!([missing, stale, altered, extra], [name(&whole[2]), name(&lines[0]), name(&lines[1]), name(&lines[2])]);
    // A repair that was stopped in a line goes on.
    let mut torn = fs::read(&copy.path).expect("the copy");
    torn.extend_from_slice(br#"{"contract":"#);
    fs::write(&copy.path, torn).expect("the copy");
    let (is_equal, repaired) = copy.run("repair");
    assert!(is_equal && repaired["repaired"] == 4, "{repaired}");
    let rows: BTreeSet<String> = copy.lines().iter().map(ToString::to_string).collect();
    assert_eq!(rows, whole.iter().map(ToString::to_string).collect());
    drop(world);
    gateway.stop();
    site.verify();
}

/// The moment of an answer is exact: rows that are committed but have no number yet are not in it.
async fn a_copy_becomes_equal_while_others_publish(db: TestDatabase) {
    let site = Site::init(db.url());
    let gateway = site.serve();
    let hebei = gateway.session(HEBEI);
    let days = Days::now(&hebei);
    let register = (0..40).map(institution).collect();
    let institutions = names(&hebei, "InstitutionService/RegisterInstitution", register, "institution").await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ratings");
    let copy = Copy { gateway: &gateway, site: &site, actor: TIANJIN, collection: "ratings", path };
    let publish = async {
        for institution in &institutions {
            names(&hebei, "RatingService/PublishRating", vec![rating(institution, &days)], "rating").await;
        }
    };
    let mut looks = 0;
    let look = async {
        let request = json!({"collection": "RECORD_COLLECTION_RATINGS", "ranges": [{}], "fan_out": 256});
        loop {
            let answer = hebei.call("RecordService/CompareRecords", request.clone()).await.expect("an answer");
            let at: i64 = answer["ledger_number"].as_str().expect("a number").parse().expect("a number");
            let told: BTreeSet<String> = answer["ranges"][0]["items"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|item| item["name"].as_str().expect("a name").to_owned())
                .collect();
            assert_eq!(told, rated_before(&hebei, at).await, "at {at}");
            looks += 1;
            if told.len() == institutions.len() {
                break;
            }
        }
    };
    tokio::join!(publish, look);
    assert!(looks > 1, "nothing was looked at meanwhile");
    let (is_equal, repaired) = copy.run("repair");
    assert!(is_equal && repaired["records"] == 40, "{repaired}");
}

/// The ratings that the first leaves of the log tell of, as their issuer's events have them.
async fn rated_before(session: &Session, ledger_number: i64) -> BTreeSet<String> {
    let request = pb::StreamEventsRequest { cursor: 0, follow: false };
    let path = "/jjj.gateway.v1.EventService/StreamEvents";
    let mut stream = session.client.stream::<_, pb::Event>(path, &request).await.expect("a stream");
    let mut rated = BTreeSet::new();
    while let Some(event) = stream.message().await.expect("an event") {
        // A cursor is the leaf's index and one.
        if event.cursor <= ledger_number && event.kind == "rating.published" {
            rated.insert(event.record);
        }
    }
    rated
}

async fn what_one_may_not_read_is_not_told_of(db: TestDatabase) {
    let site = Site::init(db.url());
    let gateway = site.serve();
    let systems = Systems::of(&gateway);
    let world = World::build(&systems, 1, 2).await;
    let tianjin = gateway.session(TIANJIN);
    for collection in ["ASSESSMENTS", "CONTRACTS", "STAYS"] {
        let collection = format!("RECORD_COLLECTION_{collection}");
        let request = json!({"collection": collection, "ranges": [{}]});
        let answer = tianjin.call("RecordService/CompareRecords", request).await.expect("an answer");
        assert_eq!(answer["ranges"], json!([{"range": {"after": "", "upto": ""}, "pieces": [], "items": []}]));
    }
    let request = json!({"collection": "RECORD_COLLECTION_CONTRACTS", "names": world.contracts});
    let fetched = tianjin.call("RecordService/FetchRecords", request.clone()).await.expect("an answer");
    assert_eq!(fetched["records"], json!([]));
    let fetched = systems.hebei.call("RecordService/FetchRecords", request.clone()).await.expect("an answer");
    assert_eq!(fetched["records"].as_array().map(Vec::len), Some(2));
    let refused = gateway.session(UNIONPAY).call("RecordService/FetchRecords", request).await.expect_err("no channel");
    assert_eq!(refused.reason, "ROLE_NOT_ALLOWED");
}

/// Prints calls and bytes; `./campaign` with 100,000 records.
async fn calls_and_bytes_by_the_number_of_differences(db: TestDatabase) {
    let records = sized(600, 100_000);
    let site = Site::init(db.url());
    let gateway = site.serve();
    let beijing = gateway.session(BEIJING);
    let days = Days::now(&beijing);
    let register = (0..records).map(elder).collect();
    let elders = names(&beijing, "ElderService/RegisterElder", register, "elder").await;
    let assess = elders.iter().map(|elder| jjj_tests::world::assessment(elder, &days)).collect();
    names(&beijing, "AssessmentService/PublishAssessment", assess, "assessment").await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("assessments");
    let copy = Copy { gateway: &gateway, site: &site, actor: BEIJING, collection: "assessments", path };
    let (is_equal, filled) = copy.run("repair");
    assert!(is_equal && filled["records"] == records, "{filled}");
    told(records, records, "repair of nothing at all", &filled);
    let whole = fs::read(&copy.path).expect("the copy");
    let lines = copy.lines();
    for differences in [0, 1, records / 1_000, records / 10] {
        let mut lines = lines.clone();
        for n in 0..differences {
            lines[n * records / differences.max(1)]["reason"] = "改".into();
        }
        copy.write(&lines);
        let (_, found) = copy.run("compare");
        assert_eq!(counts(&found), [0, 0, differences, 0]);
        told(records, differences, "compare", &found);
        let (is_equal, repaired) = copy.run("repair");
        assert!(is_equal && repaired["repaired"] == differences, "{repaired}");
        told(records, differences, "repair", &repaired);
        assert_same_rows(&whole, &copy.path);
    }
}

fn assert_same_rows(whole: &[u8], path: &Path) {
    let sorted = |bytes: &[u8]| {
        let mut lines: Vec<Value> = bytes
            .split(|b| *b == b'\n')
            .filter(|l| !l.is_empty())
            .map(|line| serde_json::from_slice(line).expect("JSON"))
            .collect();
        lines.sort_by_key(|line| line["record"].as_str().expect("a name").to_owned());
        lines
    };
    assert_eq!(sorted(whole), sorted(&fs::read(path).expect("the copy")));
}

fn told(records: usize, differences: usize, what: &str, found: &Value) {
    let [calls, sent, received] = ["calls", "sent_bytes", "received_bytes"].map(|field| &found[field]);
    eprintln!("{records} records, {differences} differ, {what}: {calls} calls, {sent} + {received} bytes");
}
