//! WebSocket and TLS of an agent, from the files that its settings name.

use gossip_tokio::{Config, TlsConfig, Token};

use crate::config_file::Settings;
use crate::exit::Failure;

/// The same configuration with what the settings say about WebSocket and TLS.
pub(super) fn configured(mut config: Config, settings: &Settings) -> Result<Config, Failure> {
    config.web_listen.clone_from(&settings.ws_listen);
    config.web_advertise.clone_from(&settings.ws_advertise);
    config.tcp_tls = settings.tcp_tls.unwrap_or_default();
    if let Some(path) = &settings.token_file {
        config.token = Some(Token::from_file(path).map_err(|error| Failure::Usage(format!("--token-file: {error}")))?);
    }
    config.tls = tls(&config, settings)?;
    Ok(config)
}

/// What connections over TLS are made with, if there may be any.
fn tls(config: &Config, settings: &Settings) -> Result<Option<TlsConfig>, Failure> {
    let mut tls = TlsConfig::builder();
    match (&settings.tls_cert, &settings.tls_key) {
        (Some(chain), Some(key)) => tls = tls.certificate(chain.as_path(), key.as_path()),
        (None, None) if config.tcp_tls && !config.dial_only && !config.web_only => {
            return Err(Failure::usage(
                "--tcp-tls, or tcp_tls in the configuration file: a node that others connect to must show a \
                 certificate: give --tls-cert and --tls-key, or --dial-only",
            ));
        }
        (None, None) => {}
        (Some(_), None) => {
            return Err(Failure::usage("--tls-cert needs the key of the certificate: give --tls-key too"));
        }
        (None, Some(_)) => return Err(Failure::usage("--tls-key is the key of a certificate: give --tls-cert too")),
    }
    if let Some(authorities) = &settings.tls_ca {
        tls = tls.roots(authorities.as_path());
    }
    if let Some(name) = &settings.tls_name {
        tls = tls.server_name(name);
    }
    if settings.mutual_tls.unwrap_or_default() {
        if !config.tcp_tls && !config.web_listen.as_deref().is_some_and(is_secure) {
            return Err(Failure::usage(
                "--mutual-tls, or mutual_tls in the configuration file: no connection is accepted over TLS here: give \
                 --tcp-tls, or --ws-listen with a wss:// URL",
            ));
        }
        if settings.tls_ca.is_none() {
            return Err(Failure::usage(
                "--mutual-tls, or mutual_tls in the configuration file: say whose certificates are accepted: give \
                 --tls-ca too",
            ));
        }
        tls = tls.require_client_certificate();
    }
    let mut urls = config.seeds.iter().chain(&config.web_listen).chain(&config.advertise);
    let is_named = settings.tls_cert.is_some() || settings.tls_ca.is_some() || settings.tls_name.is_some();
    if !is_named && !config.tcp_tls && !urls.any(|url| is_secure(url)) {
        return Ok(None);
    }
    tls.build().map(Some).map_err(|error| Failure::Usage(format!("TLS: {error}")))
}

fn is_secure(url: &str) -> bool {
    let url = url.trim_start().to_ascii_lowercase();
    url.starts_with("wss:") || url.starts_with("srv+wss:")
}
