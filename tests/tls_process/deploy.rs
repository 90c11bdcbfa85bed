//! The files of `deploy/` about TLS.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use rustix::process::getegid;

use crate::clients::{Client, Version};
use crate::files::{Folder, Issued};

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");

/// Runs the hook as certbot does, for a certificate and a key in the folder `live`.
fn run_hook(folder: &Folder, issued: &Issued, key: &str, admin: &str) -> Output {
    let live = folder.path("live");
    fs::create_dir_all(&live).unwrap();
    fs::write(live.join("fullchain.pem"), &issued.certificate).unwrap();
    fs::write(live.join("privkey.pem"), key).unwrap();
    let reload = format!("{} ctl reload --admin {admin}", env!("CARGO_BIN_EXE_evshard"));
    Command::new(Path::new(DEPLOY).join("certbot/evshard.sh"))
        .env("RENEWED_LINEAGE", live)
        .env("EVSHARD_PEM", folder.path("server.pem"))
        .env("EVSHARD_GROUP", getegid().to_string())
        .env("EVSHARD_RELOAD", reload)
        .output()
        .unwrap()
}

#[test]
fn certbots_hook_brings_a_renewed_certificate_and_fails_with_one_that_cannot_be_used() {
    let folder = Folder::new();
    let first = folder.authority.issue("localhost");
    folder.write("server.pem", [&*first.certificate, &*first.key].concat());
    let flags = ["--listen", "tls:127.0.0.1:0", "--tls-cert", "server.pem"];
    let (server, admin) = folder.serve_with_admin(&flags);
    let client = Client::new(&folder.authority, Version::Tls13);
    assert_eq!(client.exchange(server.address).unwrap(), first.der);

    let renewed = folder.authority.issue("localhost");
    let output = run_hook(&folder, &renewed, &renewed.key, &admin);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(client.exchange(server.address).unwrap(), renewed.der);
    let mode = fs::metadata(folder.path("server.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);

    let output = run_hook(&folder, &folder.authority.issue("localhost"), &first.key, &admin);
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{complaint}");
    assert!(complaint.contains("they do not belong together"), "{complaint}");
    assert_eq!(client.exchange(server.address).unwrap(), renewed.der);
    assert!(server.terminate().0.success());
}

/// The keys of TLS in the configuration file are comments, which an operator makes lines.
#[test]
fn the_keys_of_tls_in_the_file_for_deployment_are_valid() {
    let folder = Folder::new();
    let issued = folder.put();
    folder.write("both.pem", [issued.certificate, issued.key].concat());
    let text = fs::read_to_string(Path::new(DEPLOY).join("evshard.toml")).unwrap();
    let text = text.replace("\nlisten = ", "\n# ").replace("\n# tls-", "\ntls-");
    let text = text.replace("\n# listen = ", "\nlisten = ");
    let text = text.replace("/etc/evshard/tls/server.pem", "both.pem");
    folder.write("evshard.toml", text.replace("/etc/evshard/tls/clients.pem", "ca.pem"));
    assert!(text.contains("\ntls-cert = ") && text.contains(", \"tls:127.0.0.1:5556\"]"), "{text}");
    let output = folder.run(&["check-config", "evshard.toml"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_socket_unit_for_tls_has_the_name_that_the_server_knows_and_its_service() {
    let unit = fs::read_to_string(Path::new(DEPLOY).join("systemd/evshard-tls.socket")).unwrap();
    for line in ["FileDescriptorName=tls", "Service=evshard.service"] {
        assert!(unit.lines().any(|found| found == line), "{line}: {unit}");
    }
}
