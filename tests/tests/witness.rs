//! Witnesses as processes: `jjj witness` cosigns the heads of a running gateway, remembers across a
//! kill, and a log that is behind what it remembers stays without its word.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jjj_tests::both_databases;
use jjj_tests::gateway::{Gateway, Site, binary, jjj};
use jjj_tests::postgres::TestDatabase;
use jjj_tests::raw::Raw;
use jjj_tests::world::{self, BEIJING, HEBEI, done};
use jjj_token::note::{Checkpoint, CosignatureVerifier, NoteVerifier, SignedNote};
use serde_json::{Value, json};

both_databases!(
    a_head_is_public_once_its_witness_has_cosigned_it,
    a_restored_log_goes_on_under_a_new_name,
    a_fork_does_not_start_under_the_old_name,
    nothing_is_accepted_before_the_log_was_compared,
);

/// A witness in a folder of the sandbox, on the port that it was first given.
struct Witness<'a> {
    site: &'a Site,
    child: Child,
    address: String,
}

const NAME: &str = "witness.test";

impl<'a> Witness<'a> {
    fn start(site: &'a Site, listen: &str) -> Self {
        let at = |file: &str| site.dir().join(file).display().to_string();
        let origin = std::fs::read_to_string(at("jjj.toml")).unwrap();
        let origin = origin.lines().find_map(|line| line.strip_prefix("origin = \"")?.strip_suffix('"')).unwrap();
        let log = NoteVerifier::new(origin, site.gateway_key().verifying_key()).unwrap().vkey();
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(binary())
            .args(["witness", "serve", "--name", NAME, "--key", &at("witness.pem"), "--log", &log])
            .args(["--state", &at("witness"), "--listen", listen])
            .args(["--certificate", &at("gateway/server.pem"), "--tls-key", &at("gateway/server-key.pem")])
            .stdout(Stdio::piped())
            .spawn()
            .expect("setpriv runs jjj");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("its first line");
        let line: Value = serde_json::from_str(&line).expect("the witness started");
        Self { site, child, address: line["witness"].as_str().expect("an address").to_owned() }
    }

    /// As a power failure would; and starts it again.
    fn killed(mut self, meanwhile: impl FnOnce()) -> Self {
        self.child.kill().expect("our child");
        self.child.wait().expect("our child");
        meanwhile();
        Self::start(self.site, &self.address)
    }
}

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The newest public head with its note.
async fn public(gateway: &Gateway) -> Option<(Checkpoint, SignedNote)> {
    let answer = gateway.session(BEIJING).call("LedgerService/GetCheckpoint", json!({})).await.ok()?;
    let note = SignedNote::parse(answer["note"].as_str().expect("a note")).expect("a note");
    Some((Checkpoint::parse(note.text()).expect("a head"), note))
}

/// Waits for a public head of more leaves than this.
async fn beyond(gateway: &Gateway, size: u64) -> (Checkpoint, SignedNote) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = public(gateway).await.filter(|(head, _)| head.size > size) {
            return found;
        }
        assert!(Instant::now() < deadline, "no head beyond {size} became public");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A witness whose cosignature makes a head public, and its verifier key.
fn witnessed(site: &Site) -> (Witness<'_>, CosignatureVerifier) {
    let at = |file: &str| site.dir().join(file).display().to_string();
    assert!(jjj(&["keys", "new", &at("witness.pem")]).status.success());
    let printed = jjj(&["witness", "key", "--name", NAME, "--key", &at("witness.pem")]);
    let vkey = String::from_utf8(printed.stdout).unwrap().trim().to_owned();
    let verifier = CosignatureVerifier::from_vkey(&vkey).expect("a verifier key");
    let witness = Witness::start(site, "127.0.0.1:0");
    let config = std::fs::read_to_string(at("jjj.toml")).unwrap();
    let peer = format!(
        "\n[witnesses]\nquorum = 1\n[[witnesses.peers]]\nvkey = \"{vkey}\"\nurl = \"https://{}\"\nauthority = \"gateway/server-ca.pem\"\n",
        witness.address
    );
    std::fs::write(at("jjj.toml"), config + &peer).unwrap();
    (witness, verifier)
}

async fn a_head_is_public_once_its_witness_has_cosigned_it(db: TestDatabase) {
    let site = Site::init(db.url());
    let (witness, verifier) = witnessed(&site);
    let gateway = site.serve();
    let (first, note) = beyond(&gateway, 0).await;
    note.cosigned_by(&verifier).expect("it is cosigned");

    // Killed in between, it remembers, and goes on from there.
    let witness = witness.killed(|| {});
    let register = "InstitutionService/RegisterInstitution";
    done(&gateway.session(HEBEI), register, world::institution(1)).await;
    let (second, note) = beyond(&gateway, first.size).await;
    note.cosigned_by(&verifier).expect("it is cosigned");

    // A witness that has seen more than this log has: as after a restore from an old backup.
    let heads = site.dir().join("witness/heads.json");
    let mut seen = 0;
    let witness = witness.killed(|| {
        let mut known: Value = serde_json::from_slice(&std::fs::read(&heads).unwrap()).unwrap();
        let size = &mut known.as_object_mut().unwrap().values_mut().next().unwrap()[0];
        seen = size.as_u64().unwrap();
        *size = json!(seen + 1_000);
        std::fs::write(&heads, known.to_string()).unwrap();
    });
    assert!(seen >= second.size);
    done(&gateway.session(HEBEI), register, world::institution(2)).await;
    let deadline = Instant::now() + Duration::from_secs(30);
    while !site.log().contains("was the database restored from a backup?") {
        assert!(Instant::now() < deadline, "{}", site.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (head, _) = public(&gateway).await.expect("the last public head");
    assert!(head.size <= seen, "what the witness does not cosign is not public");
    drop(witness);
    assert!(gateway.stop().success());
    site.verify();
}

/// A backup put in the place of the database: the gateway does not go on under the old name. It opens a new one, whose
/// first leaf names what it follows; what was proven stays proven, and what was lost is shown to whoever kept receipts.
async fn a_restored_log_goes_on_under_a_new_name(db: TestDatabase) {
    let site = Site::init(db.url());
    let at = |file: &str| site.dir().join(file).display().to_string();
    let (witness, verifier) = witnessed(&site);
    let register = "InstitutionService/RegisterInstitution";
    let gateway = site.serve();
    let old = gateway.origin.clone();
    let (first, _) = beyond(&gateway, 0).await;
    let answer = done(&gateway.session(HEBEI), register, world::institution(1)).await;
    let institution = answer["institution"]["name"].as_str().unwrap().to_owned();
    let (early, _) = beyond(&gateway, first.size).await;
    let collect = |gateway: &Gateway, file: &str| {
        let sandbox = site.dir().display().to_string();
        let whose = ["--sandbox", &sandbox, "--as", HEBEI, "--gateway", &gateway.address, "--out", &at(file)];
        let output = jjj(&[&["receipt", institution.as_str()], &whose[..]].concat());
        assert!(output.status.success(), "{}", said(&output));
    };
    collect(&gateway, "before.json");
    assert!(gateway.stop().success());
    let backup = db.copy();

    let gateway = site.serve();
    let hebei = gateway.session(HEBEI);
    let mut lost = Value::Null;
    for n in 2..7 {
        lost = done(&hebei, register, world::institution(n)).await;
    }
    let (known, _) = beyond(&gateway, early.size + 4).await;
    std::fs::create_dir(at("receipts")).unwrap();
    std::fs::write(at("receipts/lost.json"), lost.to_string()).unwrap();
    std::fs::copy(at("before.json"), at("receipts/before.json")).unwrap();
    drop(hebei);
    assert!(gateway.stop().success());

    // Restored: behind its witness, it does not start.
    let config = std::fs::read_to_string(at("jjj.toml")).unwrap().replace(db.url(), backup.url());
    std::fs::write(at("jjj.toml"), &config).unwrap();
    let toml = at("jjj.toml");
    let refused = jjj(&["serve", "--config", &toml]);
    let behind = format!("knows {} leaves of {old}, this database has {}", known.size, early.size);
    assert!(!refused.status.success() && said(&refused).contains(&behind), "{}", said(&refused));
    let open = ["origin", "open", "second.test", "--config", &toml, "--reason", "恢复"];
    let opened = jjj(&open);
    let told = format!("Witnesses have seen {} leaves of {old}", known.size);
    assert!(opened.status.success() && said(&opened).contains(&told), "{}", said(&opened));
    // Where its first head was not signed, for the key's module was away, the same command signs it.
    let mut raw = Raw::open(&backup).await;
    raw.run("DELETE FROM checkpoints WHERE tree_size = (SELECT MAX(tree_size) FROM checkpoints)").await;
    drop(raw);
    let again = jjj(&open);
    assert!(again.status.success() && said(&again) == said(&opened), "{}", said(&again));
    for (again, why) in
        [(&open[..], "goes on as second.test"), (&["serve", "--config", &toml], "it goes on as second.test")]
    {
        let refused = jjj(again);
        assert!(!refused.status.success() && said(&refused).contains(why), "{}", said(&refused));
    }

    // Under the new name, which the witness is told, all goes on.
    let witness = witness.killed(|| {
        std::fs::write(&toml, config.replace(&format!("origin = \"{old}\""), "origin = \"second.test\"")).unwrap();
    });
    let gateway = site.serve();
    assert_eq!(gateway.origin, "second.test");
    done(&gateway.session(HEBEI), register, world::institution(7)).await;
    let (head, note) = beyond(&gateway, early.size + 1).await;
    assert_eq!(head.origin, "second.test");
    note.cosigned_by(&verifier).expect("it is cosigned");
    collect(&gateway, "after.json");
    drop(witness);
    assert!(gateway.stop().success());

    // The old file with the old name; one made since with both.
    let pin = |name: &str| NoteVerifier::new(name, site.gateway_key().verifying_key()).unwrap().vkey();
    let (former, newer) = (pin(&old), pin("second.test"));
    let proven = |file: &str, pins: &[&str]| {
        let pins: Vec<_> = pins.iter().flat_map(|pin| ["--gateway-key", pin]).collect();
        jjj(&[&["verify", "receipt", at(file).as_str(), "--lang", "en"], &pins[..]].concat())
    };
    for (file, pins, holds) in [
        ("before.json", vec![former.as_str()], true),
        ("after.json", vec![former.as_str(), newer.as_str()], true),
        ("after.json", vec![newer.as_str()], false),
    ] {
        let output = proven(file, &pins);
        assert_eq!(output.status.success(), holds, "{file}: {}", said(&output));
    }
    let verify = ["verify", "--db", backup.url()];
    let clean = jjj(&verify);
    let plain = format!("second.test goes on from {old} after a restore: its first {} leaves", early.size);
    assert!(clean.status.success() && said(&clean).contains(&plain), "{}", said(&clean));
    // As of a time when every promise is due.
    let folder = at("receipts");
    let found = jjj(&[&verify[..], &["--receipts", &folder, "--at", "2100-01-01T00:00:00Z"]].concat());
    let found = said(&found);
    assert!(found.contains("lost.json") && found.contains("goes on as second.test"), "{found}");
    assert!(!found.contains("before.json") && found.contains("1 faults."), "{found}");
}

/// A restored gateway that went on while its witness was away: it has as many leaves as the witness knows, and others.
async fn a_fork_does_not_start_under_the_old_name(db: TestDatabase) {
    let site = Site::init(db.url());
    let (witness, _) = witnessed(&site);
    let gateway = site.serve();
    let (early, _) = beyond(&gateway, 0).await;
    assert!(gateway.stop().success());
    let backup = db.copy();
    let register = "InstitutionService/RegisterInstitution";
    let gateway = site.serve();
    done(&gateway.session(HEBEI), register, world::institution(1)).await;
    beyond(&gateway, early.size).await;
    assert!(gateway.stop().success());

    let toml = site.dir().join("jjj.toml").display().to_string();
    let config = std::fs::read_to_string(&toml).unwrap().replace(db.url(), backup.url());
    std::fs::write(&toml, config).unwrap();
    let mut gone_on = None;
    // Told to, it goes on without its witness.
    let witness = witness.killed(|| gone_on = Some(site.serve_with(&["--uncompared"], &[])));
    let gateway = gone_on.unwrap();
    for n in 2..5 {
        done(&gateway.session(HEBEI), register, world::institution(n)).await;
    }
    // Grown and sealed (this waits for a head of that size, cosigned or not); the witness is back and does not take it.
    let grown = json!({"min_size": (early.size + 3).to_string()});
    done(&gateway.session(BEIJING), "LedgerService/GetCheckpoint", grown).await;
    assert_eq!(public(&gateway).await.expect("the last before the backup").0.size, early.size);
    assert!(gateway.stop().success());
    let refused = jjj(&["serve", "--config", &toml]);
    assert!(
        !refused.status.success() && said(&refused).contains("knows another log of the name"),
        "{}",
        said(&refused)
    );
    drop(witness);
}

/// A gateway that was started and has not said yet that it listens.
struct Waiting {
    child: Child,
    log: std::path::PathBuf,
}

impl Waiting {
    /// Returns when it waits for its witnesses.
    fn start(site: &Site, log: &str) -> Self {
        let log = site.dir().join(log);
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(binary())
            .args(["serve", "--config", &site.dir().join("jjj.toml").display().to_string()])
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .expect("setpriv runs jjj");
        let waiting = Self { child, log };
        let deadline = Instant::now() + Duration::from_secs(30);
        while !waiting.said().contains("nothing is accepted before") {
            assert!(Instant::now() < deadline, "{}", waiting.said());
            std::thread::sleep(Duration::from_millis(50));
        }
        waiting
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    fn told_to_stop(&self) {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Its first line on standard output, empty when it ended without one.
    fn line(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.child.stdout.take().expect("a pipe")).read_line(&mut line).unwrap();
        line
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Size of the newest signed head, and how many leaves there are.
async fn heads_and_leaves(db: &TestDatabase) -> (i64, i64) {
    let store = jjj_store::Store::open(db.url()).await.unwrap();
    let mut session = store.read().await.unwrap();
    let head = session.latest_checkpoint().await.unwrap().map_or(0, |head| head.tree_size);
    let found = (head, session.tree_size().await.unwrap());
    drop(session);
    store.close().await;
    found
}

/// Started while its witness is away, a gateway neither answers nor signs; back, the witness decides: the newest
/// database goes on, an old one does not.
async fn nothing_is_accepted_before_the_log_was_compared(db: TestDatabase) {
    let site = Site::init(db.url());
    let (witness, _) = witnessed(&site);
    let gateway = site.serve();
    let (early, _) = beyond(&gateway, 0).await;
    assert!(gateway.stop().success());
    let backup = db.copy();
    let gateway = site.serve();
    done(&gateway.session(HEBEI), "InstitutionService/RegisterInstitution", world::institution(1)).await;
    let (known, _) = beyond(&gateway, early.size).await;
    assert!(gateway.stop().success());

    let mut waits = None;
    let witness = witness.killed(|| {
        let mut stopped = Waiting::start(&site, "stopped.log");
        stopped.told_to_stop();
        assert_eq!((stopped.line(), stopped.child.wait().unwrap().success()), (String::new(), false));
        assert!(stopped.said().contains("told to stop before it had started"), "{}", stopped.said());
        waits = Some(Waiting::start(&site, "newest.log"));
    });
    let mut newest = waits.take().unwrap();
    let listens: Value = serde_json::from_str(&newest.line()).expect("it listens, its witness being back");
    assert!(listens["grpc"].as_str().is_some_and(|address| !address.is_empty()), "{listens}");
    newest.told_to_stop();
    assert!(newest.child.wait().unwrap().success());
    drop(newest);

    let toml = site.dir().join("jjj.toml").display().to_string();
    let config = std::fs::read_to_string(&toml).unwrap().replace(db.url(), backup.url());
    std::fs::write(&toml, config).unwrap();
    let before = heads_and_leaves(&backup).await;
    let witness = witness.killed(|| waits = Some(Waiting::start(&site, "restored.log")));
    let mut restored = waits.take().unwrap();
    assert_eq!((restored.line(), restored.child.wait().unwrap().success()), (String::new(), false));
    let said = restored.said();
    assert!(said.contains("it was restored from a backup") && known.size > early.size, "{said}");
    assert_eq!(heads_and_leaves(&backup).await, before, "nothing was written");
    drop(witness);
}

fn said(output: &std::process::Output) -> String {
    String::from_utf8([&output.stdout[..], &output.stderr].concat()).expect("UTF-8")
}
