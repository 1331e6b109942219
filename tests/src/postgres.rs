//! Real databases for tests: SQLite in a temporary file, PostgreSQL from the
//! installed binaries.
//!
//! All test processes of a user share one PostgreSQL cluster: the first starts it, a
//! watchdog ends it some seconds after the last has gone, however that went. fsync is
//! on. `JJJ_TEST_POSTGRES_URL` names a running server to use instead; its user must
//! be allowed to create databases. A test that kills or stops its database starts a
//! [`PrivateCluster`]. As root, PostgreSQL runs under an unprivileged user.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Runs stories on both databases: `both_databases!(refunds, closing);` makes the tests
/// `refunds::sqlite`, `refunds::postgres` and so on out of `async fn refunds(db: TestDatabase)`.
#[macro_export]
macro_rules! both_databases {
    ($($story:ident),+ $(,)?) => {$(
        mod $story {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::$story($crate::postgres::TestDatabase::sqlite()).await
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                super::$story($crate::postgres::TestDatabase::postgres()).await
            }
        }
    )+};
}

/// An empty database of a test's own, gone with this value.
pub struct TestDatabase {
    url: String,
    kept: Kept,
}

enum Kept {
    Folder { folder: tempfile::TempDir },
    Database { server: &'static str, name: String },
}

impl TestDatabase {
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite:{}", folder.path().join("jjj.db").display());
        Self { url, kept: Kept::Folder { folder } }
    }

    pub fn postgres() -> Self {
        Self::create(server_url(), "")
    }

    fn create(server: &'static str, like: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        psql(server, &format!("CREATE DATABASE {name}{like}"));
        Self { url: with_database(server, &name), kept: Kept::Database { server, name } }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// A database with the same rows. Nobody may be connected to this one meanwhile.
    pub fn copy(&self) -> Self {
        match &self.kept {
            Kept::Folder { folder } => {
                let copy = Self::sqlite();
                let Kept::Folder { folder: to } = &copy.kept else { unreachable!("SQLite is in a folder") };
                for file in fs::read_dir(folder).expect("the folder").flatten() {
                    fs::copy(file.path(), to.path().join(file.file_name())).expect("a copied file");
                }
                copy
            }
            Kept::Database { server, name } => Self::create(server, &format!(" TEMPLATE {name}")),
        }
    }

    /// Changes a setting of every later connection to this PostgreSQL database: `SET …` or `RESET …`.
    pub fn alter(&self, change: &str) {
        let Kept::Database { server, name } = &self.kept else { panic!("SQLite has no such settings") };
        psql(server, &format!("ALTER DATABASE {name} {change}"));
    }

    pub fn is_postgres(&self) -> bool {
        matches!(self.kept, Kept::Database { .. })
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Kept::Database { server, name } = &self.kept {
            // A database left behind goes with its cluster.
            let _ = psql_command(server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).output();
        }
    }
}

/// The server all tests share: given, or started by the first who asks.
fn server_url() -> &'static str {
    static SERVER: OnceLock<(String, Option<File>)> = OnceLock::new();
    let (url, _in_use) = SERVER.get_or_init(|| match std::env::var("JJJ_TEST_POSTGRES_URL") {
        Ok(url) => (url, None),
        Err(_) => {
            let (url, in_use) = join_shared_cluster();
            (url, Some(in_use))
        }
    });
    url
}

/// Replaces the path of a `postgres://…/path?query`.
fn with_database(server: &str, name: &str) -> String {
    let (rest, query) = server.split_once('?').map_or((server, String::new()), |(r, q)| (r, format!("?{q}")));
    let host_from = rest.find("://").map_or(0, |at| at + 3);
    let host = rest[host_from..].find('/').map_or(rest, |at| &rest[..host_from + at]);
    format!("{host}/{name}{query}")
}

/// Started by the first process; ended by its watchdog when nobody holds `users.lock` for 15 s.
/// Whoever looks at or changes the cluster's life holds `start.lock`.
const WATCHDOG: &str = r#"
dir=$1; port=$2; bin=$3; shift 3
"$@" "$bin/postgres" -D "$dir/data" -k "$dir/data" -p "$port" \
    -c listen_addresses=127.0.0.1 -c max_connections=400 -c fsync=on -c synchronous_commit=on \
    >"$dir/postgres.log" 2>&1 </dev/null &
server=$!
idle=0
while sleep 3; do
    exec 9>"$dir/start.lock"
    flock 9
    case "$(cat /proc/$server/stat 2>/dev/null)" in
        ""|*") Z "*) rm -rf "$dir/ready"; exit ;;
    esac
    if flock -n -x "$dir/users.lock" true; then idle=$((idle + 1)); else idle=0; fi
    if [ "$idle" -ge 5 ]; then
        rm -f "$dir/ready"
        kill -INT "$server"
        wait "$server"
        rm -rf "$dir/data"
        exit
    fi
    exec 9>&-
done
"#;

fn join_shared_cluster() -> (String, File) {
    let dir = std::env::temp_dir().join(format!("jjj-postgres-{}", own_uid()));
    fs::create_dir_all(&dir).expect("a folder for the cluster");
    let open = |name: &str| File::options().create(true).append(true).open(dir.join(name)).expect("a lock file");
    let starting = open("start.lock");
    starting.lock().expect("the start lock");
    let in_use = open("users.lock");
    in_use.lock_shared().expect("the users lock");
    let ready = dir.join("ready");
    let running = fs::read_to_string(&ready)
        .ok()
        .filter(|url| psql_command(url, "SELECT 1").output().is_ok_and(|o| o.status.success()));
    let url = running.unwrap_or_else(|| {
        let data = dir.join("data");
        let _ = fs::remove_dir_all(&data);
        init(&data);
        let port = free_port();
        // Outlives this process on purpose.
        let watchdog = Command::new("setsid")
            .args(["sh", "-c", WATCHDOG, "watchdog"])
            .arg(&dir)
            .arg(port.to_string())
            .arg(bin_dir())
            .args(unprivileged(&[]))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("setsid and sh");
        std::thread::spawn(move || watchdog.wait_with_output());
        let url = url_of("postgres", &data.display().to_string(), port);
        await_ready(&url, &dir.join("postgres.log"), || true);
        fs::write(&ready, &url).expect("the cluster's folder takes files");
        url
    });
    (url, in_use)
}

/// A PostgreSQL of a test's own, to be killed and started at will. Dies with this value, and
/// with the thread that started it.
pub struct PrivateCluster {
    dir: tempfile::TempDir,
    port: u16,
    /// No other cluster of this machine has the port while this file is locked.
    _port_kept: File,
    server: Option<Child>,
}

impl PrivateCluster {
    pub fn start() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("jjj-postgres-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()
            .expect("a temporary folder");
        init(&dir.path().join("data"));
        let (port, _port_kept) = keep_port();
        let mut cluster = Self { dir, port, _port_kept, server: None };
        cluster.restart();
        cluster
    }

    /// Reaches a database over TCP; `postgres` always exists.
    pub fn url(&self, database: &str) -> String {
        url_of(database, "127.0.0.1", self.port)
    }

    /// Creates an empty database.
    pub fn create(&self, database: &str) -> String {
        psql(&self.url("postgres"), &format!("CREATE DATABASE {database}"));
        self.url(database)
    }

    /// Kills the server as a power failure would, without a word.
    pub fn kill(&mut self) {
        self.signal("-KILL");
        // Backends notice their postmaster's death and leave; a new one waits for that.
    }

    /// Stops the server without a checkpoint, as `pg_ctl stop -m immediate`: it recovers at its next start.
    pub fn stop_at_once(&mut self) {
        self.signal("-QUIT");
    }

    /// Stops the server, cutting all connections, as `pg_ctl stop -m fast`.
    pub fn stop(&mut self) {
        self.signal("-INT");
    }

    fn signal(&mut self, signal: &str) {
        if let Some(mut server) = self.server.take() {
            let _ = Command::new("kill").args([signal, &server.id().to_string()]).status();
            let _ = server.wait();
        }
    }

    /// Starts the server again on the same data and port.
    pub fn restart(&mut self) {
        assert!(self.server.is_none(), "the server is running");
        let log_path = self.dir.path().join("postgres.log");
        let url = self.url("postgres");
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(60) {
            let mut server = self.spawn(&log_path);
            let up = await_ready(&url, &log_path, || server.try_wait().expect("our child").is_none());
            self.server = Some(server);
            if up {
                return;
            }
            // A killed postmaster's backends may still hold its shared memory: once more.
            self.server = None;
            sleep(Duration::from_millis(200));
        }
        panic!("PostgreSQL did not start: {}", fs::read_to_string(log_path).unwrap_or_default());
    }

    fn spawn(&self, log: &Path) -> Child {
        let data = self.dir.path().join("data");
        let log = File::options().create(true).append(true).open(log).expect("a log file");
        let command = unprivileged(&["--pdeathsig", "QUIT"]);
        Command::new(&command[0])
            .args(&command[1..])
            .arg(bin_dir().join("postgres"))
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(&data)
            .args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("postgres starts")
    }
}

impl Drop for PrivateCluster {
    fn drop(&mut self) {
        self.signal("-QUIT");
    }
}

fn url_of(database: &str, host: &str, port: u16) -> String {
    match host.starts_with('/') {
        true => format!("postgres://jjj@localhost:{port}/{database}?host={host}"),
        false => format!("postgres://jjj@{host}:{port}/{database}"),
    }
}

/// Makes a cluster's data folder.
fn init(data: &Path) {
    fs::create_dir(data).expect("a data folder");
    if let Some((_, uid, gid)) = unprivileged_user() {
        chown(data, Some(uid), Some(gid)).expect("root may give a folder away");
    }
    let command = unprivileged(&[]);
    let output = Command::new(&command[0])
        .args(&command[1..])
        .arg(bin_dir().join("initdb"))
        .args(["--auth=trust", "--username=jjj", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "-D"])
        .arg(data)
        .current_dir("/")
        .output()
        .expect("initdb runs");
    assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
}

/// Whether the server answers before it ends; panics when it does neither within a minute.
fn await_ready(url: &str, log: &Path, mut running: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while !psql_command(url, "SELECT 1").output().is_ok_and(|o| o.status.success()) {
        if started.elapsed() > Duration::from_secs(60) {
            panic!("PostgreSQL did not start: {}", fs::read_to_string(log).unwrap_or_default());
        }
        if !running() {
            return false;
        }
        sleep(Duration::from_millis(50));
    }
    true
}

fn psql(url: &str, sql: &str) {
    let output = psql_command(url, sql).output().expect("psql runs");
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
}

fn psql_command(url: &str, sql: &str) -> Command {
    let mut command = Command::new(bin_dir().join("psql"));
    command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql, "-d", url]).current_dir("/");
    command
}

/// Where PostgreSQL's programs are: the newest of Debian's folders, else on the path.
fn bin_dir() -> &'static PathBuf {
    static BIN: OnceLock<PathBuf> = OnceLock::new();
    BIN.get_or_init(|| {
        let version = |bin: &PathBuf| bin.parent()?.file_name()?.to_str()?.parse::<u32>().ok();
        let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|e| e.path().join("bin"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let on_path = std::env::split_paths(&path).map(|dir| fs::canonicalize(dir.join("initdb")).unwrap_or_default());
        debian
            .filter(|bin| bin.join("initdb").exists())
            .max_by_key(version)
            .or_else(|| on_path.filter(|file| file.exists()).find_map(|file| Some(file.parent()?.to_owned())))
            .expect("PostgreSQL 15 or later is installed: initdb and postgres in PATH or /usr/lib/postgresql/*/bin")
    })
}

/// A prefix for commands that must not run as root; `setpriv` options first.
fn unprivileged(options: &[&str]) -> Vec<String> {
    let mut command = vec!["setpriv".to_owned()];
    command.extend(options.iter().map(ToString::to_string));
    if let Some((name, uid, gid)) = unprivileged_user() {
        let groups = if name == "nobody" { "--clear-groups" } else { "--init-groups" };
        command.extend([format!("--reuid={uid}"), format!("--regid={gid}"), groups.to_owned()]);
    }
    command.push("--".to_owned());
    command
}

/// The user to run PostgreSQL as, when we are root: name, uid, gid.
fn unprivileged_user() -> Option<(String, u32, u32)> {
    if own_uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("the list of users");
    let find = |wanted: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(wanted))?;
        let mut fields = line.split(':').skip(2);
        Some((wanted.to_owned(), fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(find("postgres").or_else(|| find("nobody")).expect("a user to run PostgreSQL as"))
}

fn own_uid() -> u32 {
    fs::metadata("/proc/self").expect("Linux").uid()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

/// A port for a server that goes and comes back. One that the system hands out (32768 and above) may be somebody else's
/// when it does: another test's gateway, or a connection.
fn keep_port() -> (u16, File) {
    let dir = std::env::temp_dir().join(format!("jjj-ports-{}", own_uid()));
    fs::create_dir_all(&dir).expect("a folder for the ports");
    let kept = std::iter::repeat_with(|| fastrand::u16(15_000..32_000)).take(1_000).find_map(|port| {
        let file = File::options().create(true).append(true).open(dir.join(port.to_string())).expect("a lock file");
        let is_free = file.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok();
        is_free.then_some((port, file))
    });
    kept.expect("a port nobody has")
}
