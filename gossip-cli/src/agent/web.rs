//! WebSocket and TLS of an agent, from the files that its settings name.

use gossip_tokio::{Config, TlsConfig, Token};

use crate::config_file::Settings;
use crate::exit::Failure;

/// The same configuration with what the settings say about WebSocket and TLS.
pub(super) fn configured(mut config: Config, settings: &Settings) -> Result<Config, Failure> {
    config.web_listen.clone_from(&settings.ws_listen);
    if let Some(path) = &settings.token_file {
        config.token = Some(Token::from_file(path).map_err(|error| Failure::Usage(format!("--token-file: {error}")))?);
    }
    let mut tls = TlsConfig::builder();
    match (&settings.tls_cert, &settings.tls_key) {
        (Some(chain), Some(key)) => tls = tls.certificate(chain.as_path(), key.as_path()),
        (None, None) => {}
        (Some(_), None) => {
            return Err(Failure::usage("--tls-cert needs the key of the certificate: give --tls-key too"));
        }
        (None, Some(_)) => return Err(Failure::usage("--tls-key is the key of a certificate: give --tls-cert too")),
    }
    if let Some(authorities) = &settings.tls_ca {
        tls = tls.roots(authorities.as_path());
    }
    let reaches_secure = || {
        let mut urls = config.seeds.iter().chain(&config.web_listen).chain(&config.advertise);
        urls.any(|url| url.trim_start().to_ascii_lowercase().starts_with("wss:"))
    };
    if settings.tls_cert.is_some() || settings.tls_ca.is_some() || reaches_secure() {
        config.tls = Some(tls.build().map_err(|error| Failure::Usage(format!("TLS: {error}")))?);
    }
    Ok(config)
}
