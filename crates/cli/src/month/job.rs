//! A job's folder, which makes the job exact: whatever was sent can be sent again, byte for byte.
//!
//! | File | Content | Written |
//! |---|---|---|
//! | `job.json` | what is to be done, by whom, at which gateway | at the start, at once |
//! | `requests.jsonl` | the requests of each call, one line per call: a JSON array of base64 | while planning |
//! | `damaged.csv` | rows of the input that were set aside: `line,field,problem` | while planning |
//! | `plan.json` | how many calls and requests there are, and what they rest on | once all requests are on disk |
//! | `answers.jsonl` | what came of each call, one line per answered call, in the order of the answers | as answers come |
//! | `refused.csv` | refused requests: `{elder or grant},reason,text` | when every call is answered |
//! | `lock` | held by the process at work | |
//!
//! A request is sent only when `plan.json` is there, so its bytes are durable before it leaves. Killed
//! earlier, the job is planned anew: nothing was sent. Killed later, calls without a line in
//! `answers.jsonl` are sent again; the gateway gives a request that it recorded its first answer. An answer
//! lost with the machine is asked for once more, so answers need no fsync until the end. A last line of
//! `answers.jsonl` that a crash tore is cut off; damage anywhere else stops the job.

use std::fs::{self, File, TryLockError};
use std::io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use jjj_domain::entitlement::Funding;
use jjj_report::neutral;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::tally::{Tally, Told};
use super::task::Task;

const JOB: &str = "job.json";
const REQUESTS: &str = "requests.jsonl";
const DAMAGED: &str = "damaged.csv";
const PLAN: &str = "plan.json";
const ANSWERS: &str = "answers.jsonl";
const REFUSED: &str = "refused.csv";
const LOCK: &str = "lock";

/// The layout above. Another one is refused.
const LAYOUT: u32 = 1;

/// What a job is. Fixed at its start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    layout: u32,
    /// Who signs.
    pub actor: String,
    /// The gateway's origin.
    pub gateway: String,
    pub task: Task,
}

impl Terms {
    pub fn new(actor: &str, gateway: &str, task: Task) -> Self {
        Self { layout: LAYOUT, actor: actor.to_owned(), gateway: gateway.to_owned(), task }
    }
}

/// What a job will send.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub calls: usize,
    pub requests: u64,
    /// Requests in each call; the last may have fewer.
    pub requests_per_call: u64,
    /// Rows of the input set aside.
    pub damaged_rows: u64,
    /// What a funding rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub funding: Option<Funding>,
}

impl Plan {
    fn requests_of(&self, call: usize) -> u64 {
        (self.requests - self.requests_per_call * call as u64).min(self.requests_per_call)
    }
}

/// What came of one call, in the order of its requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub call: usize,
    pub told: Vec<Told>,
}

/// A job that this process alone works at.
pub struct Job {
    dir: PathBuf,
    pub terms: Terms,
    answered: Vec<bool>,
    answers: Option<File>,
    _lock: File,
}

impl Job {
    /// Opens a job's folder, or makes it. Refuses the folder of another job, and one that another
    /// process works at.
    pub fn open(dir: &Path, terms: Terms) -> anyhow::Result<Self> {
        if let Err(error) = fs::create_dir(dir)
            && error.kind() != std::io::ErrorKind::AlreadyExists
        {
            return Err(error).with_context(|| format!("making {}", dir.display()));
        }
        sync_dir(dir.canonicalize()?.parent().unwrap_or(Path::new("/")))?;
        let lock = File::options().create(true).append(true).open(dir.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("another process is working at {}", dir.display()),
            Err(TryLockError::Error(error)) => return Err(error).context("locking the job"),
        }
        match read_json::<Terms>(&dir.join(JOB))? {
            Some(known) => ensure!(
                known == terms,
                "{} is another job: {}; this would be: {}",
                dir.display(),
                serde_json::to_string(&known)?,
                serde_json::to_string(&terms)?
            ),
            None => {
                // Killed here before, it leaves what it had begun to write.
                let own = [LOCK.to_owned(), new(JOB)];
                let others = fs::read_dir(dir)?
                    .filter_map(Result::ok)
                    .any(|entry| own.iter().all(|name| entry.file_name() != name.as_str()));
                ensure!(!others, "{} is not empty and no job; name a new folder", dir.display());
                write_whole(dir, JOB, &json_line(&terms)?)?;
            }
        }
        Ok(Self { dir: dir.to_owned(), terms, answered: Vec::new(), answers: None, _lock: lock })
    }

    /// The plan, once it is whole.
    pub fn plan(&self) -> anyhow::Result<Option<Plan>> {
        read_json(&self.dir.join(PLAN))
    }

    /// Begins to plan, from nothing.
    pub fn planner(&self, requests_per_call: u64) -> anyhow::Result<Planner<'_>> {
        let create = |name| File::create(self.dir.join(name)).map(BufWriter::new);
        let mut damaged = csv::Writer::from_writer(create(DAMAGED)?);
        damaged.write_record(["line", "field", "problem"])?;
        let plan = Plan { requests_per_call, ..Plan::default() };
        Ok(Planner { dir: &self.dir, requests: create(REQUESTS)?, damaged, call: Vec::new(), plan })
    }

    /// Reads the answers so far, cutting off a torn last line.
    pub fn resume(&mut self, plan: &Plan) -> anyhow::Result<Tally> {
        // The plan may have been renamed just before the machine went; nothing is sent before its name is durable.
        sync_dir(&self.dir)?;
        let path = self.dir.join(ANSWERS);
        let mut file = File::options().create(true).read(true).append(true).open(&path)?;
        let (mut tally, mut answered) = (Tally::default(), vec![false; plan.calls]);
        let whole_bytes = read_answers(&file, plan, |answer| {
            ensure!(!std::mem::replace(&mut answered[answer.call], true), "call {} is answered twice", answer.call);
            tally.add(&answer.told);
            Ok(())
        })
        .with_context(|| path.display().to_string())?;
        file.set_len(whole_bytes)?;
        file.seek(SeekFrom::End(0))?;
        (self.answered, self.answers) = (answered, Some(file));
        Ok(tally)
    }

    /// The calls that have no answer yet, in order, read as they are wanted.
    pub fn unanswered(&self) -> anyhow::Result<impl Iterator<Item = anyhow::Result<(usize, Vec<Bytes>)>> + use<>> {
        let path = self.dir.join(REQUESTS);
        let lines = BufReader::new(File::open(&path).with_context(|| path.display().to_string())?).lines();
        let answered = self.answered.clone();
        let wanted = lines.take(answered.len()).enumerate().filter(move |(call, _)| !answered[*call]);
        Ok(wanted.map(|(call, line)| {
            let texts: Vec<String> = serde_json::from_str(&line?)
                .with_context(|| format!("{REQUESTS}, line {}: damaged; nothing of it is sent", call + 1))?;
            let requests = texts.iter().map(|text| Ok(BASE64_STANDARD.decode(text)?.into()));
            Ok((call, requests.collect::<anyhow::Result<_>>()?))
        }))
    }

    /// Keeps the answer of a call.
    pub fn answered(&mut self, answer: &Answer) -> anyhow::Result<()> {
        let file = self.answers.as_mut().context("answers are kept after resuming")?;
        file.write_all(&json_line(answer)?).context("writing an answer")?;
        self.answered[answer.call] = true;
        Ok(())
    }

    /// Ends the job: lists what was refused.
    pub fn finish(&self, plan: &Plan) -> anyhow::Result<PathBuf> {
        let answers = self.answers.as_ref().context("answers are kept after resuming")?;
        answers.sync_all()?;
        let name = new(REFUSED);
        let mut refused = csv::Writer::from_writer(BufWriter::new(File::create(self.dir.join(&name))?));
        refused.write_record([self.terms.task.subject(), "reason", "text"])?;
        read_answers(&File::open(self.dir.join(ANSWERS))?, plan, |answer| {
            for told in &answer.told {
                if let Some((reason, text)) = told.listed_refusal() {
                    refused.write_record([told.about.as_str(), reason, text].map(|cell| neutral(cell).into_owned()))?;
                }
            }
            Ok(())
        })?;
        synced(refused)?;
        rename(&self.dir, &name, REFUSED)?;
        Ok(self.dir.join(REFUSED))
    }
}

/// A job as it stands, without working at it.
pub struct Standing {
    pub terms: Terms,
    /// `None`: still planning, nothing was sent.
    pub plan: Option<Plan>,
    pub tally: Tally,
    /// Whether every call is answered and the refusals are listed.
    pub is_done: bool,
    pub refused: PathBuf,
}

impl Standing {
    pub fn of(dir: &Path) -> anyhow::Result<Self> {
        let Some(terms) = read_json::<Terms>(&dir.join(JOB))? else { bail!("{} is no job", dir.display()) };
        let plan: Option<Plan> = read_json(&dir.join(PLAN))?;
        let mut tally = Tally::default();
        let path = dir.join(ANSWERS);
        if let (Some(plan), true) = (&plan, path.exists()) {
            read_answers(&File::open(&path)?, plan, |answer| {
                tally.add(&answer.told);
                Ok(())
            })
            .with_context(|| path.display().to_string())?;
        }
        let refused = dir.join(REFUSED);
        Ok(Self { terms, plan, tally, is_done: refused.exists(), refused })
    }
}

/// Writes a plan; [`Planner::finish`] makes it count.
pub struct Planner<'a> {
    dir: &'a Path,
    requests: BufWriter<File>,
    damaged: csv::Writer<BufWriter<File>>,
    call: Vec<String>,
    plan: Plan,
}

impl Planner<'_> {
    pub fn requests(&self) -> u64 {
        self.plan.requests
    }

    /// A request's serialized bytes, its request id drawn.
    pub fn push(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.call.push(BASE64_STANDARD.encode(request));
        self.plan.requests += 1;
        if self.call.len() as u64 == self.plan.requests_per_call { self.end_call() } else { Ok(()) }
    }

    /// A row of the input that is set aside; `field` is empty when it is about the whole row.
    pub fn damaged(&mut self, line: i64, field: &str, problem: &str) -> anyhow::Result<()> {
        self.plan.damaged_rows += 1;
        Ok(self.damaged.write_record([&line.to_string(), field, &neutral(problem)])?)
    }

    /// Makes every request durable, then says that the plan is whole.
    pub fn finish(mut self, funding: Option<Funding>) -> anyhow::Result<Plan> {
        self.end_call()?;
        self.requests.into_inner().map_err(|e| e.into_error())?.sync_all()?;
        synced(self.damaged)?;
        let plan = Plan { funding, ..self.plan };
        write_whole(self.dir, PLAN, &json_line(&plan)?)?;
        Ok(plan)
    }

    fn end_call(&mut self) -> anyhow::Result<()> {
        if self.call.is_empty() {
            return Ok(());
        }
        self.requests.write_all(&json_line(&self.call)?).context("writing requests")?;
        self.plan.calls += 1;
        self.call.clear();
        Ok(())
    }
}

/// Every whole answer in its order, and how many bytes they take. What follows them is a torn last line.
fn read_answers(file: &File, plan: &Plan, mut each: impl FnMut(Answer) -> anyhow::Result<()>) -> anyhow::Result<u64> {
    let mut reader = BufReader::new(file);
    let (mut line, mut whole_bytes) = (Vec::new(), 0);
    let mut torn = None;
    for number in 1.. {
        line.clear();
        let len = reader.read_until(b'\n', &mut line)?;
        if len == 0 {
            break;
        }
        if let Some(torn) = torn {
            bail!("line {torn} is damaged and not the last");
        }
        match serde_json::from_slice::<Answer>(&line) {
            Ok(answer) if line.ends_with(b"\n") => {
                let fits = answer.call < plan.calls && answer.told.len() as u64 == plan.requests_of(answer.call);
                ensure!(fits, "line {number} answers no call of this job");
                each(answer).with_context(|| format!("line {number}"))?;
                whole_bytes += len as u64;
            }
            _ => torn = Some(number),
        }
    }
    Ok(whole_bytes)
}

fn synced(table: csv::Writer<BufWriter<File>>) -> std::io::Result<()> {
    let rows = table.into_inner().map_err(|e| e.into_error())?;
    rows.into_inner().map_err(|e| e.into_error())?.sync_all()
}

fn json_line(value: &impl Serialize) -> anyhow::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

fn read_json<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).with_context(|| format!("reading {}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

/// Writes a file so that it is there whole, and durable, or not at all.
fn write_whole(dir: &Path, name: &str, content: &[u8]) -> anyhow::Result<()> {
    let new = new(name);
    let mut file = File::create(dir.join(&new)).with_context(|| format!("writing {}", dir.join(&new).display()))?;
    file.write_all(content)?;
    file.sync_all()?;
    rename(dir, &new, name)
}

fn rename(dir: &Path, from: &str, to: &str) -> anyhow::Result<()> {
    fs::rename(dir.join(from), dir.join(to))?;
    sync_dir(dir)
}

/// The names in a folder are durable when it is.
fn sync_dir(dir: &Path) -> anyhow::Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).with_context(|| format!("syncing {}", dir.display()))
}

/// A file on its way.
fn new(name: &str) -> String {
    format!("{name}.new")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::month::tally::{Became, Outcome};

    fn terms(month: &str) -> Terms {
        let (programme, channel) = ("care_subsidy".to_owned(), "channels/unionpay".to_owned());
        let task = Task::Grant { programme, month: month.to_owned(), channel, elders: None };
        Terms::new("regions/110000", "gateway.example", task)
    }

    fn told(about: &str, reason: Option<&str>) -> Told {
        let outcome = match reason {
            Some(reason) => Outcome::Refused { reason: reason.to_owned(), text: "why, and \"why\"\n缘由".to_owned() },
            None => {
                Outcome::Accepted { became: Became::Granted, record: format!("grants/{about}"), amount_fen: 60_000 }
            }
        };
        Told { about: about.to_owned(), outcome }
    }

    /// Five requests in three calls.
    fn planned(dir: &Path) -> (Job, Plan) {
        let job = Job::open(dir, terms("2026-12")).unwrap();
        let mut planner = job.planner(2).unwrap();
        (0..5_u8).for_each(|request| planner.push(&[request, 0xff]).unwrap());
        let plan = planner.finish(None).unwrap();
        (job, plan)
    }

    fn calls(job: &Job) -> Vec<(usize, Vec<Bytes>)> {
        job.unanswered().unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn what_is_unanswered_is_sent_again_byte_for_byte() {
        let dir = tempfile::tempdir().unwrap();
        let (mut job, plan) = planned(dir.path());
        assert_eq!((plan.calls, plan.requests), (3, 5));
        assert_eq!(job.plan().unwrap().as_ref(), Some(&plan));
        assert_eq!(job.resume(&plan).unwrap(), Tally::default());
        let bytes = |requests: &[u8]| requests.iter().map(|n| Bytes::from(vec![*n, 0xff])).collect::<Vec<_>>();
        assert_eq!(calls(&job), [(0, bytes(&[0, 1])), (1, bytes(&[2, 3])), (2, bytes(&[4]))]);
        let all = [told("a", None), told("b", Some("NO_RATE"))];
        job.answered(&Answer { call: 1, told: all.to_vec() }).unwrap();
        drop(job);

        let mut job = Job::open(dir.path(), terms("2026-12")).unwrap();
        let tally = job.resume(&plan).unwrap();
        assert_eq!((tally.answered(), tally.refused()), (2, 1));
        assert_eq!(calls(&job).iter().map(|(call, _)| *call).collect::<Vec<_>>(), [0, 2]);
        job.answered(&Answer { call: 2, told: vec![told("e", Some("ALREADY_GRANTED"))] }).unwrap();
        job.answered(&Answer { call: 0, told: vec![told("c", None), told("d", None)] }).unwrap();
        assert!(calls(&job).is_empty());
        let refused = fs::read_to_string(job.finish(&plan).unwrap()).unwrap();
        assert_eq!(refused, "elder,reason,text\nb,NO_RATE,\"why, and \"\"why\"\"\n缘由\"\n");
        let standing = Standing::of(dir.path()).unwrap();
        assert!(standing.is_done);
        assert_eq!(standing.tally.accepted[&Became::Granted], (3, 180_000));
        assert_eq!((standing.tally.already_granted, standing.tally.refused()), (1, 1));
    }

    #[test]
    fn a_torn_last_line_is_cut_off_wherever_it_was_torn() {
        let dir = tempfile::tempdir().unwrap();
        let (mut job, plan) = planned(dir.path());
        job.resume(&plan).unwrap();
        job.answered(&Answer { call: 2, told: vec![told("e", None)] }).unwrap();
        let journal = dir.path().join(ANSWERS);
        let whole = fs::read(&journal).unwrap();
        job.answered(&Answer { call: 0, told: vec![told("a", None), told("b", None)] }).unwrap();
        let longer = fs::read(&journal).unwrap();
        for len in whole.len()..longer.len() {
            fs::write(&journal, &longer[..len]).unwrap();
            assert_eq!(Standing::of(dir.path()).unwrap().tally.answered(), 1, "{len}");
            assert_eq!(job.resume(&plan).unwrap().answered(), 1, "{len}");
            assert_eq!(fs::read(&journal).unwrap(), whole, "{len}");
        }
        // Blocks that a file system had not filled.
        fs::write(&journal, [&whole[..], &[0; 64]].concat()).unwrap();
        assert_eq!(job.resume(&plan).unwrap().answered(), 1);
        job.answered(&Answer { call: 0, told: vec![told("a", None), told("b", None)] }).unwrap();
        assert_eq!(fs::read(&journal).unwrap(), longer);
    }

    #[test]
    fn damage_before_the_end_and_strange_answers_stop_the_job() {
        let dir = tempfile::tempdir().unwrap();
        let (mut job, plan) = planned(dir.path());
        let line = |call, n: usize| json_line(&Answer { call, told: vec![told("x", None); n] }).unwrap();
        for (damage, said) in [
            ([b"{\n".to_vec(), line(0, 2)].concat(), "line 1 is damaged and not the last"),
            ([line(0, 2), line(0, 2)].concat(), "call 0 is answered twice"),
            (line(3, 1), "line 1 answers no call"),
            (line(2, 2), "line 1 answers no call"),
        ] {
            fs::write(dir.path().join(ANSWERS), &damage).unwrap();
            let error = format!("{:#}", job.resume(&plan).unwrap_err());
            assert!(error.contains(said), "{error}");
            assert_eq!(fs::read(dir.path().join(ANSWERS)).unwrap(), damage);
        }
    }

    #[test]
    fn a_folder_is_of_one_job_and_one_process() {
        let dir = tempfile::tempdir().unwrap();
        let job = Job::open(dir.path(), terms("2026-12")).unwrap();
        let said = |result: anyhow::Result<Job>| format!("{:#}", result.err().unwrap());
        assert!(said(Job::open(dir.path(), terms("2026-12"))).contains("another process"));
        drop(job);
        assert!(said(Job::open(dir.path(), terms("2026-11"))).contains("another job"));
        assert!(Standing::of(dir.path()).unwrap().plan.is_none());
        // Killed before its terms were whole.
        let begun = tempfile::tempdir().unwrap();
        fs::write(begun.path().join("job.json.new"), "{\"lay").unwrap();
        drop(Job::open(begun.path(), terms("2026-12")).unwrap());
        assert_eq!(Standing::of(begun.path()).unwrap().terms, terms("2026-12"));
        let strange = tempfile::tempdir().unwrap();
        fs::write(strange.path().join("mine"), "").unwrap();
        assert!(said(Job::open(strange.path(), terms("2026-12"))).contains("no job"));
        assert!(Standing::of(strange.path()).is_err());
    }
}
