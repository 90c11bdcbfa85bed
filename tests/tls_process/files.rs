//! A folder with certificates and a log, in which the program runs.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use rustls_pki_types::CertificateDer;

use crate::common::{ServerProcess, eventually};

/// An authority, in the forms in which files and clients have it.
pub(crate) struct Authority {
    /// Its own certificate.
    pub(crate) pem: String,
    pub(crate) der: CertificateDer<'static>,
    authority: test_certificates::Authority,
}

/// A certificate and its key.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) der: CertificateDer<'static>,
    pub(crate) key_der: Vec<u8>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let authority = test_certificates::Authority::new();
        let (pem, der) = (authority.certificate.pem(), authority.certificate.der().clone());
        Self { pem, der, authority }
    }

    pub(crate) fn issue(&self, name: &str) -> Issued {
        Issued::from(self.authority.issue(&[name]))
    }

    /// A certificate that was valid until the year 2020.
    pub(crate) fn issue_expired(&self, name: &str) -> Issued {
        let mut params = test_certificates::params(&[name]);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        Issued::from(self.authority.issue_with(&params))
    }
}

impl From<test_certificates::Issued> for Issued {
    fn from(issued: test_certificates::Issued) -> Self {
        let (certificate, key) = issued.pem();
        let (der, key_der) = (issued.certificate.der().clone(), issued.key.serialize_der());
        Self { certificate, key, der, key_der }
    }
}

/// A folder, and the authority of the certificates in it.
pub(crate) struct Folder {
    folder: tempfile::TempDir,
    pub(crate) authority: Authority,
}

/// What serves TLS with the certificate that [`Folder::put`] writes.
pub(crate) const TLS: [&str; 6] =
    ["--listen", "tls:127.0.0.1:0", "--tls-cert", "server.pem", "--tls-key", "server.key"];

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = Self { folder: test_needs::folder(), authority: Authority::new() };
        folder.write("ca.pem", &folder.authority.pem);
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file in one step, so that no reload reads a half of it.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path("new"), content).unwrap();
        fs::rename(self.path("new"), self.path(name)).unwrap();
    }

    /// Writes a new certificate for localhost, and its key.
    pub(crate) fn put(&self) -> Issued {
        let issued = self.authority.issue("localhost");
        self.write("server.pem", &issued.certificate);
        self.write("server.key", &issued.key);
        issued
    }

    /// A command that runs in the folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evshard"));
        command.args(arguments).current_dir(self.folder.path());
        command
    }

    /// Runs it to its end, which status 124 replaces if it does not come.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("timeout");
        command.args(["60", env!("CARGO_BIN_EXE_evshard")]).args(arguments);
        command.current_dir(self.folder.path()).output().unwrap()
    }

    /// Starts a server with these flags. Its log is the file `log`.
    pub(crate) fn serve(&self, flags: &[&str]) -> ServerProcess {
        let mut command = self.command(&["serve", "--log-file", "log", "--workers", "2"]);
        command.args(flags);
        ServerProcess::spawn(command)
    }

    /// The same with an admin, whose address comes second.
    pub(crate) fn serve_with_admin(&self, flags: &[&str]) -> (ServerProcess, String) {
        let mut server = self.serve(&[flags, &["--admin", "127.0.0.1:0"]].concat());
        let admin = address_of("admin on ", &mut server);
        (server, admin)
    }

    /// The lines of the log that contain this text.
    pub(crate) fn logged(&self, text: &str) -> Vec<String> {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }

    #[track_caller]
    pub(crate) fn expect_logged(&self, text: &str, count: usize) {
        eventually(&format!("{text:?} is logged"), || self.logged(text).len() >= count);
        assert_eq!(self.logged(text).len(), count, "{text}");
    }

    /// Reloads by the admin at this address, which must succeed. Returns the report.
    #[track_caller]
    pub(crate) fn reload(&self, admin: &str) -> String {
        let output = self.run(&["ctl", "reload", "--admin", admin]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Reloads by the admin at this address, which must be refused. Returns the reason.
    #[track_caller]
    pub(crate) fn refused_reload(&self, admin: &str) -> String {
        let output = self.run(&["ctl", "reload", "--admin", admin]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

/// The rest of the next line, which must begin so.
#[track_caller]
pub(crate) fn address_of(start: &str, server: &mut ServerProcess) -> String {
    let line = server.next_line();
    line.strip_prefix(start).unwrap_or_else(|| panic!("{line:?}")).to_owned()
}
