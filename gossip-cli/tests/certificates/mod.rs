//! Certificates for agents of this machine, in files as their options name them.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of this")]

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};

use crate::process::Folder;

/// Signs certificates, and keeps them in a folder of the test's own.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: Folder,
    /// The file with the certificate of this authority.
    pub ca: String,
}

/// The files of one certificate.
pub struct Identity {
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("there is randomness");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("it can be signed");
        let folder = Folder::new(&format!("authority-{name}"));
        let ca = folder.write("ca.pem", &issuer.pem());
        Self { issuer, folder, ca }
    }

    /// A certificate for a name or an address, valid until that year.
    pub fn signs(&self, subject: &str, until: i32) -> Identity {
        let key = KeyPair::generate().expect("there is randomness");
        let mut params = CertificateParams::new([subject.to_owned()]).expect("it is a name or an address");
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(until, 1, 1));
        let certificate = params.signed_by(&key, &self.issuer).expect("it can be signed");
        let file = |kind: &str, text: &str| self.folder.write(&format!("{subject}-{until}.{kind}"), text);
        Identity { cert: file("pem", &certificate.pem()), key: file("key", &key.serialize_pem()) }
    }
}

impl Identity {
    /// Options of an agent that shows this certificate, and trusts that authority.
    pub fn options<'a>(&'a self, trusted: &'a Authority) -> Vec<&'a str> {
        vec!["--tls-cert", &self.cert, "--tls-key", &self.key, "--tls-ca", &trusted.ca]
    }
}
