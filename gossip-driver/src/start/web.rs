//! The listener for WebSocket, and the URL that peers use.

use std::net::SocketAddr;

use gossip_core::{ConfigError, Plaintext};
use tracing::warn;

use super::{advertised_by_default, bind_error, resolved};
use crate::resolve::Lookup;
use crate::{Config, Endpoint, Listener, Runtime, StartError, WebAddress};

/// A listener for WebSocket.
pub(super) struct Listening<R: Runtime> {
    pub(super) listener: R::Listener,
    /// What was configured, with the port that it has.
    pub(super) url: WebAddress,
    bound: SocketAddr,
}

/// Listens at the URL in the configuration, if there is one.
pub(super) async fn listen<R: Runtime>(
    lookup: &Lookup<R>,
    config: &Config,
) -> Result<Option<Listening<R>>, StartError> {
    let Some(text) = &config.web_listen else { return Ok(None) };
    let url = WebAddress::parse_listen(text).map_err(StartError::WebListen)?;
    if url.is_secure() && !can_accept(config) {
        return Err(StartError::NoCertificate { url: url.to_string() });
    }
    let port = url.port();
    let endpoint: Endpoint = url.authority_with(port).parse().map_err(StartError::WebListen)?;
    let wanted = resolved(lookup, &endpoint, "web_listen").await?;
    let listener = lookup.runtime.bind_listener(wanted).map_err(|error| bind_error(wanted, "TCP", error))?;
    let bound = listener.local_address().map_err(|error| bind_error(wanted, "TCP", error))?;
    let url = url.with_port(bound.port()).map_err(StartError::WebListen)?;
    Ok(Some(Listening { listener, url, bound }))
}

/// The URL that peers use if no other is configured.
pub(super) fn advertised<R: Runtime>(web: Option<&Listening<R>>) -> Result<WebAddress, StartError> {
    let web = web.ok_or(StartError::NoWebListener)?;
    if !web.bound.ip().is_unspecified() {
        return Ok(web.url.clone());
    }
    web.url.at(advertised_by_default(web.bound)?).map_err(StartError::WebListen)
}

/// The URL that is shown besides the address of a node with sockets, if there is one.
pub(super) fn shown_besides<R: Runtime>(
    web: Option<&Listening<R>>,
    config: &Config,
) -> Result<Option<WebAddress>, StartError> {
    #[cfg(feature = "tls")]
    let needs_tls = config.tcp_tls;
    #[cfg(not(feature = "tls"))]
    let needs_tls = false;
    let Some(url) = &config.web_advertise else {
        // Where nobody could reach it, there is nothing to show.
        let url = web.and_then(|web| advertised(Some(web)).ok());
        return Ok(url.filter(|url| url.is_secure() || !needs_tls));
    };
    let url: WebAddress = url.parse().map_err(StartError::WebAdvertise)?;
    if needs_tls && !url.is_secure() {
        let reason = format!("is {url}, expected wss:// with tcp_tls: nobody leaves TLS for it");
        return Err(StartError::Config(ConfigError { field: "web_advertise", reason }));
    }
    Ok(Some(url))
}

/// Says so where the token is no secret.
pub(super) fn warn_of_token(config: &Config, bound: Option<SocketAddr>) {
    let is_sealed = config.protocol.keys.is_some() && config.protocol.plaintext == Plaintext::Refuse;
    if config.token.is_some() && bound.is_some() && !is_sealed {
        warn!(
            "the token is shown at every URL that a member is known under, and without keys whoever can send a datagram \
             can make up a member: seal packets with keys"
        );
    }
}

#[cfg(feature = "tls")]
fn can_accept(config: &Config) -> bool {
    config.tls.as_ref().is_some_and(crate::TlsConfig::can_accept)
}

#[cfg(not(feature = "tls"))]
fn can_accept(_config: &Config) -> bool {
    false
}
