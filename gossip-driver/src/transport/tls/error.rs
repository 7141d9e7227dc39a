//! Why there is no TLS with a peer, and what to do about it.

use std::io::{self, ErrorKind};

use rustls::{AlertDescription, CertificateError, Error};

/// Why a connection over TLS could not be made, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The certificate that the peer shows is not accepted here.
    #[error("the peer's certificate is not accepted: {0}; {advice}", advice = advice(.0))]
    Certificate(CertificateError),
    /// The peer shows no certificate, and must.
    #[error("the peer shows no certificate, which this node requires; give the peer a certificate of its own")]
    NoPeerCertificate,
    /// The peer does not accept this node, or its certificate.
    #[error("the peer refused this node: it says {0:?}; {advice}", advice = alert_advice(*.0))]
    Refused(AlertDescription),
    /// No certificate can be for such a host.
    #[error("{0:?} is no name that a certificate can be for; set the server name to expect")]
    Name(String),
    /// This node has no certificate to show, so it cannot accept.
    #[error("this node has no certificate to show; configure one with its key to accept connections over TLS")]
    NoCertificate,
    /// The peer closed the connection before it said anything.
    #[error("the peer closed the connection before it said anything")]
    Silent,
    /// The peer closed the connection instead of answering.
    #[error(
        "the peer ended the connection in the handshake of TLS; maybe it does not use TLS: compare both configurations"
    )]
    Ended,
    /// The peer sends a request of plain HTTP.
    #[error("the peer speaks plain HTTP to a port that uses TLS; it was told to use https:// or wss://")]
    PlainHttp,
    /// The peer does not use TLS.
    #[error("the peer does not use TLS, this node does; compare both configurations, and ws:// with wss://")]
    Plain,
    /// What the peer sends is not TLS as this node knows it.
    #[error("TLS with the peer failed: {0}")]
    Protocol(Error),
    /// The connection below broke.
    #[error(transparent)]
    Io(io::Error),
}

impl TlsError {
    pub(super) fn of_dialled(error: io::Error) -> Self {
        match Self::of(error) {
            // What a node without TLS does with the first bytes of a handshake.
            Self::Io(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
                Self::Ended
            }
            Self::Protocol(Error::InvalidMessage(_)) => Self::Plain,
            other => other,
        }
    }

    pub(super) fn of_accepted(error: io::Error) -> Self {
        match Self::of(error) {
            Self::Io(error) if error.kind() == ErrorKind::UnexpectedEof => Self::Ended,
            other => other,
        }
    }

    /// What rustls says within an error of a stream.
    pub(super) fn of(error: io::Error) -> Self {
        let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
            return Self::Io(error);
        };
        match inner {
            Error::InvalidCertificate(problem) => Self::Certificate(problem.clone()),
            Error::NoCertificatesPresented => Self::NoPeerCertificate,
            Error::AlertReceived(alert) => Self::Refused(*alert),
            other => Self::Protocol(other.clone()),
        }
    }
}

fn advice(problem: &CertificateError) -> &'static str {
    match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "renew it and start the peer again, or correct the clock of this machine"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "correct the clock of this machine, or wait until it is valid"
        }
        // The latter where an authority of the same name is trusted.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "nobody whom this node trusts has signed it: add its authority to the roots of this node"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "dial the peer by a name in its certificate, or set the server name to expect"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is not made for this use: a node that dials needs one for clients, a node that listens one for servers"
        }
        _ => "replace it",
    }
}

fn alert_advice(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateRequired => "give this node a certificate that the peer trusts",
        AlertDescription::UnknownCA => {
            "the peer does not trust who signed this node's certificate: add that authority to the peer's roots"
        }
        AlertDescription::CertificateExpired => "renew this node's certificate, or correct the peer's clock",
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown => "the peer's log says what is wrong with this node's certificate",
        AlertDescription::UnrecognisedName => "the peer has no certificate for the name that this node asked for",
        _ => "the peer's log may say more",
    }
}
