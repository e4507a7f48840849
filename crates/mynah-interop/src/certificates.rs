//! Certificates for tests, made by `openssl`: an authority, the broker's for `localhost`, and those of clients.

use std::path::PathBuf;
use std::process::Command;

use crate::folder::Folder;
use crate::process::Process;

/// An authority (`ca.pem`, `ca.key`) in a folder of its own, with a certificate of the broker (`broker.pem`,
/// `broker.key`).
#[derive(Debug)]
pub struct Certificates {
    folder: Folder,
}

impl Certificates {
    /// Makes the authority and the broker's certificate.
    ///
    /// # Panics
    ///
    /// If `openssl` is not there or fails.
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        let certificates = Self { folder: Folder::new() };
        let request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let subject = ["-days", "30", "-subj", "/CN=Authority"];
        let (key, certificate) = (certificates.path("ca.key"), certificates.path("ca.pem"));
        openssl(|command| {
            command.args(request).args(subject).arg("-keyout").arg(key).arg("-out").arg(certificate);
        });
        certificates.issue("broker", 1);
        certificates
    }

    /// The folder with all the files.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Makes a certificate for `localhost`, with the common name `name`, in `NAME.pem`, and its key in `NAME.key`.
    ///
    /// # Panics
    ///
    /// If `openssl` fails.
    #[track_caller]
    pub fn issue(&self, name: &str, serial: u32) {
        let extensions = "subjectAltName=DNS:localhost\nbasicConstraints=critical,CA:FALSE\n";
        let extensions = self.folder.write("extensions", extensions);
        let request = self.path("request.pem");
        let (key, certificate) = (self.path(&format!("{name}.key")), self.path(&format!("{name}.pem")));
        let kind = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj"];
        openssl(|command| {
            command.args(kind).arg(format!("/CN={name}")).arg("-keyout").arg(key).arg("-out").arg(&request);
        });
        openssl(|command| {
            command.args(["x509", "-req", "-days", "30", "-set_serial", &serial.to_string(), "-in"]);
            command.arg(&request).arg("-CA").arg(self.path("ca.pem")).arg("-CAkey").arg(self.path("ca.key"));
            command.arg("-extfile").arg(&extensions).arg("-out").arg(&certificate);
        });
    }

    /// Revokes a certificate: the list is in `crl.pem`.
    ///
    /// # Panics
    ///
    /// If `openssl` fails.
    #[track_caller]
    pub fn revoke(&self, name: &str) {
        let database = self.folder.write("index.txt", "").display().to_string();
        let number = self.folder.write("crlnumber", "01\n").display().to_string();
        let configuration = format!(
            "[ca]\ndefault_ca = own\n[own]\ndatabase = {database}\ncrlnumber = {number}\ndefault_md = sha256\n\
             default_crl_days = 30\n"
        );
        let configuration = self.folder.write("ca.cnf", configuration);
        for action in [
            vec!["-revoke".into(), self.path(&format!("{name}.pem"))],
            vec!["-gencrl".into(), "-out".into(), self.path("crl.pem")],
        ] {
            openssl(|command| {
                command.args(["ca", "-config"]).arg(&configuration).arg("-cert").arg(self.path("ca.pem"));
                command.arg("-keyfile").arg(self.path("ca.key")).args(action);
            });
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path(name)
    }
}

impl Default for Certificates {
    fn default() -> Self {
        Self::new()
    }
}

#[track_caller]
fn openssl(arguments: impl FnOnce(&mut Command)) {
    let mut command = Command::new("openssl");
    arguments(&mut command);
    let _ = Process::start(&mut command).finish().success();
}
