//! A TLS configuration from PEM files or bytes, checked before anything uses it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, InconsistentKeys, RootCertStore, ServerConfig};
use zeroize::Zeroizing;

use super::TlsConfig;
use super::verify::AnyCertificate;

/// Text in the PEM format, or the file that it is in. Its content is never shown.
#[derive(Clone)]
pub struct Pem(Source);

#[derive(Clone)]
enum Source {
    File(PathBuf),
    Text(Zeroizing<Vec<u8>>),
}

impl Pem {
    /// The content of this file, which is read when the configuration is built.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Source::File(path.into()))
    }

    /// This text.
    pub fn text(text: impl Into<Vec<u8>>) -> Self {
        Self(Source::Text(Zeroizing::new(text.into())))
    }

    fn read(&self, what: &'static str) -> Result<Zeroizing<Vec<u8>>, TlsConfigError> {
        match &self.0 {
            Source::Text(text) => Ok(text.clone()),
            Source::File(path) => std::fs::read(path).map(Zeroizing::new).map_err(|error| TlsConfigError::Read {
                what,
                path: path.clone(),
                error,
            }),
        }
    }
}

impl From<&Path> for Pem {
    fn from(path: &Path) -> Self {
        Self::file(path)
    }
}

impl From<PathBuf> for Pem {
    fn from(path: PathBuf) -> Self {
        Self::file(path)
    }
}

impl fmt::Display for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::File(path) => write!(f, "{}", path.display()),
            Source::Text(_) => f.write_str("the given text"),
        }
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pem({self})")
    }
}

/// Why a TLS configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// A file cannot be read.
    #[error("{what}: cannot read {}: {error}", path.display())]
    Read {
        /// What should be in it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        error: io::Error,
    },
    /// The text is not PEM.
    #[error("{what}: {place} is damaged: {problem}")]
    Damaged {
        /// What should be in it.
        what: &'static str,
        /// The file.
        place: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The text has no section of the kind that is looked for.
    #[error("{what}: {place} has no section \"BEGIN {section}\"; expected PEM text")]
    Missing {
        /// What should be in it.
        what: &'static str,
        /// The file.
        place: String,
        /// What is looked for.
        section: &'static str,
    },
    /// A certificate or key cannot be used.
    #[error("{what}: {place} cannot be used: {error}")]
    Unusable {
        /// What should be in it.
        what: &'static str,
        /// The file.
        place: String,
        /// Why.
        #[source]
        error: rustls::Error,
    },
    /// The key belongs to another certificate.
    #[error("{what}: the key in {key} does not belong to the first certificate in {chain}")]
    OtherKey {
        /// Which of them.
        what: &'static str,
        /// Where the certificate is from.
        chain: String,
        /// Where the key is from.
        key: String,
    },
    /// The operating system names nobody to trust.
    #[error("the operating system has no certificates of authorities ({problems}); install them, or give your own")]
    NoSystemRoots {
        /// What was found instead.
        problems: String,
    },
    /// Anybody with a certificate of a public authority would be let in.
    #[error("client certificates are required, but no authority of your own is given that must have signed them")]
    RequiredOfEverybody,
    /// There is nothing to accept connections with that could ask for a certificate.
    #[error("client certificates are required, but this node has no certificate of its own to accept connections with")]
    RequiredByNobody,
    /// Not a name.
    #[error("{0:?} cannot be the name in a certificate; expected a host name or an IP address")]
    ServerName(String),
    /// The parts do not fit together.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

/// Makes a [`TlsConfig`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct TlsBuilder {
    certificate: Option<(Pem, Pem)>,
    client_certificate: Option<(Pem, Pem)>,
    roots: Vec<Pem>,
    requires_client_certificate: bool,
    server_name: Option<String>,
    skips_verification: bool,
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl TlsBuilder {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// The certificate that this node shows, followed by those between it and its authority, and its private key.
    /// Needed to accept connections; shown to nodes that ask for a client certificate, too.
    pub fn certificate(mut self, chain: impl Into<Pem>, key: impl Into<Pem>) -> Self {
        self.certificate = Some((chain.into(), key.into()));
        self
    }

    /// Another certificate to show when this node dials and is asked for one.
    pub fn client_certificate(mut self, chain: impl Into<Pem>, key: impl Into<Pem>) -> Self {
        self.client_certificate = Some((chain.into(), key.into()));
        self
    }

    /// Adds certificates of authorities to trust, in place of those of the operating system.
    pub fn roots(mut self, authorities: impl Into<Pem>) -> Self {
        self.roots.push(authorities.into());
        self
    }

    /// Accepts only peers that show a certificate of the same authorities.
    pub fn require_client_certificate(mut self) -> Self {
        self.requires_client_certificate = true;
        self
    }

    /// The name that certificates of peers must be for, in place of the host in the URL or the IP address of the peer.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Takes every certificate of those whom this node dials, whoever made it. Anybody on the way can then read and
    /// change everything. For experiments; the node warns of it whenever it starts.
    pub fn dangerously_skip_verification(mut self) -> Self {
        self.skips_verification = true;
        self
    }

    /// Reads and checks everything.
    ///
    /// # Errors
    ///
    /// Which part is wrong, where it is from, and how.
    pub fn build(self) -> Result<TlsConfig, TlsConfigError> {
        self.expected_name()?;
        if self.requires_client_certificate && self.roots.is_empty() {
            return Err(TlsConfigError::RequiredOfEverybody);
        }
        if self.requires_client_certificate && self.certificate.is_none() {
            return Err(TlsConfigError::RequiredByNobody);
        }
        let provider = Arc::new(ring::default_provider());
        let roots = Arc::new(self.trusted()?);
        let client = self.client(&provider, &roots)?;
        let server = self.server(&provider, roots)?;
        TlsConfig::new(client, server, &self)
    }

    pub(super) fn expected_name(&self) -> Result<Option<ServerName<'static>>, TlsConfigError> {
        let Some(name) = &self.server_name else { return Ok(None) };
        let checked = ServerName::try_from(name.clone());
        checked.map(Some).map_err(|_| TlsConfigError::ServerName(name.clone()))
    }

    pub(super) fn skips_verification(&self) -> bool {
        self.skips_verification
    }

    pub(super) fn requires_client_certificate(&self) -> bool {
        self.requires_client_certificate
    }

    fn client(
        &self,
        provider: &Arc<CryptoProvider>,
        roots: &Arc<RootCertStore>,
    ) -> Result<ClientConfig, TlsConfigError> {
        let config = ClientConfig::builder_with_provider(Arc::clone(provider))
            .with_safe_default_protocol_versions()
            .map_err(setup)?;
        let config = if self.skips_verification {
            let verifier = Arc::new(AnyCertificate(Arc::clone(provider)));
            config.dangerous().with_custom_certificate_verifier(verifier)
        } else {
            config.with_root_certificates(Arc::clone(roots))
        };
        let what = if self.client_certificate.is_some() { "client certificate" } else { "certificate" };
        let Some(pems) = self.client_certificate.as_ref().or(self.certificate.as_ref()) else {
            return Ok(config.with_no_client_auth());
        };
        let (chain, key) = identity(what, pems)?;
        config.with_client_auth_cert(chain, key).map_err(|error| unusable(what, pems, error))
    }

    fn server(
        &self,
        provider: &Arc<CryptoProvider>,
        roots: Arc<RootCertStore>,
    ) -> Result<Option<ServerConfig>, TlsConfigError> {
        let Some(pems) = &self.certificate else { return Ok(None) };
        let config = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_safe_default_protocol_versions()
            .map_err(setup)?;
        let config = if self.requires_client_certificate {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
            config.with_client_cert_verifier(verifier.build().map_err(setup)?)
        } else {
            config.with_no_client_auth()
        };
        let (chain, key) = identity("certificate", pems)?;
        config.with_single_cert(chain, key).map(Some).map_err(|error| unusable("certificate", pems, error))
    }

    fn trusted(&self) -> Result<RootCertStore, TlsConfigError> {
        const WHAT: &str = "authorities";
        let mut store = RootCertStore::empty();
        if self.roots.is_empty() && self.skips_verification {
            return Ok(store);
        }
        for pem in &self.roots {
            for certificate in certificates(WHAT, pem)? {
                let place = pem.to_string();
                store.add(certificate).map_err(|error| TlsConfigError::Unusable { what: WHAT, place, error })?;
            }
        }
        if self.roots.is_empty() {
            let found = rustls_native_certs::load_native_certs();
            store.add_parsable_certificates(found.certs);
            if store.is_empty() {
                let problems: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
                let problems = if problems.is_empty() { "none were found".to_owned() } else { problems.join(", ") };
                return Err(TlsConfigError::NoSystemRoots { problems });
            }
        }
        Ok(store)
    }
}

fn identity(what: &'static str, (chain, key): &(Pem, Pem)) -> Result<Identity, TlsConfigError> {
    let certificates = certificates(what, chain)?;
    let text = key.read(what)?;
    let damaged = |problem| TlsConfigError::Damaged { what, place: key.to_string(), problem };
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsConfigError::Missing { what, place: key.to_string(), section: "PRIVATE KEY" },
        error => damaged(problem_of(&error)),
    })?;
    Ok((certificates, key))
}

fn certificates(what: &'static str, pem: &Pem) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    let text = pem.read(what)?;
    let read: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    let place = pem.to_string();
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(TlsConfigError::Missing { what, place, section: "CERTIFICATE" })
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(TlsConfigError::Damaged { what, place, problem: problem_of(&error) }),
    }
}

/// In words that repeat nothing of the text, which may be a key.
fn problem_of(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end",
        pem::Error::IllegalSectionStart { .. } => "a line that should begin a section is malformed",
        pem::Error::Base64Decode(_) => "a section is not Base64",
        pem::Error::SectionTooLarge => "a section is too large",
        _ => "it is not PEM",
    }
}

fn unusable(what: &'static str, (chain, key): &(Pem, Pem), error: rustls::Error) -> TlsConfigError {
    match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            TlsConfigError::OtherKey { what, chain: chain.to_string(), key: key.to_string() }
        }
        error => TlsConfigError::Unusable { what, place: format!("{chain} with the key in {key}"), error },
    }
}

fn setup(error: impl fmt::Display) -> TlsConfigError {
    TlsConfigError::Setup(error.to_string())
}
