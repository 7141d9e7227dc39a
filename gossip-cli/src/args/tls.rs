//! What can be typed about TLS.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct TlsArgs {
    /// File (PEM) with the certificate that this node shows, and those between it and its authority.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// File (PEM) with the private key of that certificate.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// File (PEM) with the authorities to trust, in place of those of the system.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Name that certificates of peers must be for, in place of the host or the IP address that is dialled.
    #[arg(long, value_name = "NAME")]
    pub(crate) tls_name: Option<String>,
    /// TLS on TCP connections too, not only behind wss:// URLs; the same at all nodes. Datagrams stay as they are.
    #[arg(long)]
    pub(crate) tcp_tls: bool,
    /// Let in only peers with a certificate of the authorities in --tls-ca, wherever this node accepts TLS.
    #[arg(long)]
    pub(crate) mutual_tls: bool,
}
