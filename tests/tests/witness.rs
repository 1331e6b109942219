//! Witnesses as processes: `jjj witness` cosigns the heads of a running gateway, remembers across a
//! kill, and a log that is behind what it remembers stays without its word.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jjj_tests::both_databases;
use jjj_tests::gateway::{Gateway, Site, binary, jjj};
use jjj_tests::postgres::TestDatabase;
use jjj_tests::world::{self, BEIJING, HEBEI, done};
use jjj_token::note::{Checkpoint, CosignatureVerifier, NoteVerifier, SignedNote};
use serde_json::{Value, json};

both_databases!(a_head_is_public_once_its_witness_has_cosigned_it);

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

async fn a_head_is_public_once_its_witness_has_cosigned_it(db: TestDatabase) {
    let site = Site::init(db.url());
    let at = |file: &str| site.dir().join(file).display().to_string();
    assert!(jjj(&["keys", "new", &at("witness.pem")]).status.success());
    let printed = jjj(&["witness", "key", "--name", NAME, "--key", &at("witness.pem")]);
    let vkey = String::from_utf8(printed.stdout).unwrap().trim().to_owned();
    let verifier = CosignatureVerifier::from_vkey(&vkey).expect("a verifier key");
    let witness = Witness::start(&site, "127.0.0.1:0");
    let config = std::fs::read_to_string(at("jjj.toml")).unwrap();
    let peer = format!(
        "\n[witnesses]\nquorum = 1\n[[witnesses.peers]]\nvkey = \"{vkey}\"\nurl = \"https://{}\"\nauthority = \"gateway/server-ca.pem\"\n",
        witness.address
    );
    std::fs::write(at("jjj.toml"), config + &peer).unwrap();
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
