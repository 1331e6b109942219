//! A sandbox on disk: authorities, certificates, keys, configuration. The
//! participants themselves are then enrolled through the API, by two of the
//! gateway's administrators, as anywhere else.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use jjj_token::suite::{Algorithm, SigningKey};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};

use crate::identity::{ACTOR_FILE, CERTIFICATE_FILE, GATEWAY_CA_FILE, PUBLIC_JWK_FILE, SIGNING_KEY_FILE, TLS_KEY_FILE};

/// A participant of the sandbox and its administrators.
pub struct Member {
    pub participant: &'static str,
    pub title: &'static str,
    pub administrators: &'static [&'static str],
}

/// Who is in the sandbox. Each region has three administrators, because who runs, who
/// approves and who signs must be three different people.
pub const MEMBERS: &[Member] = &[
    Member { participant: "gateway", title: "京津冀养老互通网关", administrators: &["li", "wang", "zhao"] },
    Member { participant: "regions/110000", title: "北京市民政局", administrators: &["chen", "liu", "sun"] },
    Member { participant: "regions/120000", title: "天津市民政局", administrators: &["zhou", "wu", "xu"] },
    Member { participant: "regions/130000", title: "河北省民政厅", administrators: &["ma", "hu", "guo"] },
    Member { participant: "channels/unionpay", title: "银联", administrators: &["he"] },
    Member { participant: "channels/bank", title: "拨付银行", administrators: &["gao"] },
];

/// The gateway's name in its server certificate.
pub const SERVER_NAME: &str = "localhost";
pub const CONFIG_FILE: &str = "jjj.toml";

/// What a sandbox is made with.
pub struct Options {
    pub origin: String,
    /// `sqlite:jjj.db` (relative to the folder) or `postgres://…`.
    pub database_url: String,
    pub grpc: SocketAddr,
    pub public: SocketAddr,
    pub metrics: SocketAddr,
}

impl Default for Options {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            origin: "sandbox.gateway.jjj.example".into(),
            database_url: "sqlite:jjj.db".into(),
            grpc: loopback(7443),
            public: loopback(7444),
            metrics: loopback(7445),
        }
    }
}

/// Why a sandbox cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error("{0} is not empty; name a new folder")]
    NotEmpty(PathBuf),
    #[error("cannot write {path}")]
    Write { path: PathBuf, source: std::io::Error },
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("cannot make a key")]
    Key,
}

/// A sandbox's folder.
#[derive(Clone, Debug)]
pub struct Sandbox {
    dir: PathBuf,
}

impl Sandbox {
    /// Writes a new sandbox into an empty or missing folder.
    pub fn create(dir: &Path, options: &Options) -> Result<Self, SandboxError> {
        if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(SandboxError::NotEmpty(dir.to_owned()));
        }
        let sandbox = Self { dir: dir.to_owned() };
        let server_ca = Authority::new("gateway server CA")?;
        sandbox.write_server(&server_ca)?;
        for member in MEMBERS {
            sandbox.write_member(member, &server_ca)?;
        }
        sandbox.write(CONFIG_FILE, config_text(options).as_bytes(), Access::Public)?;
        Ok(sandbox)
    }

    /// An existing sandbox.
    pub fn open(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn config_path(&self) -> PathBuf {
        self.dir.join(CONFIG_FILE)
    }

    /// The identity folder of a participant or administrator: `identities/regions-110000-admins-chen`.
    pub fn identity_dir(&self, actor: &str) -> PathBuf {
        self.dir.join("identities").join(actor.replace('/', "-"))
    }

    /// The authority certificate of a participant, PEM.
    pub fn authority_path(&self, participant: &str) -> PathBuf {
        self.dir.join("authorities").join(format!("{}.pem", participant.replace('/', "-")))
    }

    fn write_server(&self, ca: &Authority) -> Result<(), SandboxError> {
        let (certificate, key) = ca.issue(SERVER_NAME, Some(SERVER_NAME))?;
        self.write("gateway/server.pem", certificate.as_bytes(), Access::Public)?;
        self.write("gateway/server-key.pem", key.as_bytes(), Access::Private)?;
        self.write("gateway/server-ca.pem", ca.pem.as_bytes(), Access::Public)?;
        let signing = SigningKey::generate_pkcs8_pem(Algorithm::EdDsa).map_err(|_| SandboxError::Key)?;
        self.write("gateway/signing-key.pem", signing.as_bytes(), Access::Private)?;
        let mut master = [0u8; 32];
        SystemRandom::new().fill(&mut master).map_err(|_| SandboxError::Key)?;
        self.write("gateway/master.key", hex::encode(master).as_bytes(), Access::Private)
    }

    fn write_member(&self, member: &Member, server_ca: &Authority) -> Result<(), SandboxError> {
        let authority = Authority::new(&format!("{} CA", member.participant))?;
        let path = self.authority_path(member.participant);
        self.write_at(&path, authority.pem.as_bytes(), Access::Public)?;
        // The gateway's own system signs with the gateway's key; only its people have identities.
        if member.participant != "gateway" {
            self.write_identity(member.participant, &authority, server_ca)?;
        }
        for administrator in member.administrators {
            let actor = format!("{}/admins/{administrator}", member.participant);
            self.write_identity(&actor, &authority, server_ca)?;
        }
        Ok(())
    }

    fn write_identity(&self, actor: &str, authority: &Authority, server_ca: &Authority) -> Result<(), SandboxError> {
        let dir = self.identity_dir(actor);
        let (certificate, tls_key) = authority.issue(actor, None)?;
        let signing = SigningKey::generate_pkcs8_pem(Algorithm::EdDsa).map_err(|_| SandboxError::Key)?;
        let public = SigningKey::from_pkcs8_pem(&signing).map_err(|_| SandboxError::Key)?;
        self.write_at(&dir.join(ACTOR_FILE), actor.as_bytes(), Access::Public)?;
        self.write_at(&dir.join(CERTIFICATE_FILE), certificate.as_bytes(), Access::Public)?;
        self.write_at(&dir.join(TLS_KEY_FILE), tls_key.as_bytes(), Access::Private)?;
        self.write_at(&dir.join(SIGNING_KEY_FILE), signing.as_bytes(), Access::Private)?;
        self.write_at(&dir.join(PUBLIC_JWK_FILE), public.public_jwk().to_json().as_bytes(), Access::Public)?;
        self.write_at(&dir.join(GATEWAY_CA_FILE), server_ca.pem.as_bytes(), Access::Public)
    }

    fn write(&self, file: &str, content: &[u8], access: Access) -> Result<(), SandboxError> {
        self.write_at(&self.dir.join(file), content, access)
    }

    fn write_at(&self, path: &Path, content: &[u8], access: Access) -> Result<(), SandboxError> {
        let attempt = || -> std::io::Result<()> {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            let mode = match access {
                Access::Public => 0o644,
                Access::Private => 0o600,
            };
            fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?.write_all(content)
        };
        attempt().map_err(|source| SandboxError::Write { path: path.to_owned(), source })
    }
}

#[derive(Clone, Copy)]
enum Access {
    Public,
    Private,
}

fn config_text(options: &Options) -> String {
    format!(
        r#"# A sandbox: `jjj serve --config {CONFIG_FILE}`. Paths are relative to this file.
origin = "{origin}"
sandbox = true

[database]
url = "{url}"

# gRPC over mutual TLS.
[grpc]
listen = "{grpc}"
certificate = "gateway/server.pem"
key = "gateway/server-key.pem"

# Key sets, checkpoints: public, read-only.
[public]
listen = "{public}"
certificate = "gateway/server.pem"
key = "gateway/server-key.pem"

[metrics]
listen = "{metrics}"

[keys]
signing = "gateway/signing-key.pem"
master = "gateway/master.key"
"#,
        origin = options.origin,
        url = options.database_url,
        grpc = options.grpc,
        public = options.public,
        metrics = options.metrics,
    )
}

/// A certificate authority of the sandbox.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Result<Self, SandboxError> {
        let key = KeyPair::generate()?;
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        Ok(Self { pem: certificate.pem(), issuer: Issuer::new(params, key) })
    }

    /// A certificate and its key: for a server with a DNS name, else for a client.
    fn issue(&self, name: &str, dns: Option<&str>) -> Result<(String, String), SandboxError> {
        let key = KeyPair::generate()?;
        let mut params = params(name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match dns {
            Some(_) => vec![ExtendedKeyUsagePurpose::ServerAuth],
            None => vec![ExtendedKeyUsagePurpose::ClientAuth],
        };
        if let Some(dns) = dns {
            params.subject_alt_names =
                vec![SanType::DnsName(dns.try_into()?), SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into())];
        }
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }
}

/// Valid from 2024, so that the published year end can be replayed, until 2034.
fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::OrganizationName, "JJJ gateway sandbox");
    distinguished.push(DnType::CommonName, name);
    params.distinguished_name = distinguished;
    params.not_before = date_time_ymd(2024, 1, 1);
    params.not_after = date_time_ymd(2034, 1, 1);
    params
}
