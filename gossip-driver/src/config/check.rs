//! What makes a setting invalid.

use std::time::Duration;

use gossip_core::{ConfigError, within};

use crate::{Config, codec};

impl Config {
    /// Checks every setting and how they fit together. Addresses are checked when the node starts.
    ///
    /// # Errors
    ///
    /// The first setting that is out of its range, by name.
    pub fn validate(&self) -> Result<(), ConfigError> {
        const GIB: usize = 1 << 30;
        const MOST: usize = usize::MAX / 2;
        let ms = Duration::from_millis;
        let longest = ms(600_000);
        let protocol = &self.protocol;
        protocol.validate()?;
        self.validate_names()?;
        if self.dial_only && (self.acceptor.is_some() || self.advertise.is_some()) {
            let reason =
                "expected neither an acceptor nor an advertise address with it: nobody connects to such a node";
            return Err(ConfigError { field: "dial_only", reason: reason.to_owned() });
        }
        within("dial_timeout", &self.dial_timeout, ms(10)..=protocol.join_timeout)?;
        within("write_timeout", &self.write_timeout, ms(10)..=longest)?;
        within("first_frame_timeout", &self.first_frame_timeout, ms(10)..=longest)?;
        within("idle_timeout", &self.idle_timeout, self.first_frame_timeout + ms(1)..=ms(86_400_000))?;
        within("max_connections", &self.max_connections, 4..=1_000_000)?;
        within("max_unproven", &self.max_unproven, 1..=self.max_connections)?;
        #[cfg(feature = "websocket")]
        within("web_ping_interval", &self.web_ping_interval, ms(1_000)..=ms(3_600_000))?;
        #[cfg(feature = "tls")]
        if self.tcp_tls && self.tls.is_none() {
            let reason = "expected a TLS configuration in tls, which it needs".to_owned();
            return Err(ConfigError { field: "tcp_tls", reason });
        }
        let message = protocol.max_message.saturating_add(crate::framing::PREFIX);
        within("total_queue_bytes", &self.total_queue_bytes, message..=MOST)?;
        within("link_queue_bytes", &self.link_queue_bytes, message..=self.total_queue_bytes)?;
        within("receive_queue_bytes", &self.receive_queue_bytes, message..=MOST)?;
        within("command_queue", &self.command_queue, 1..=1_000_000)?;
        within("event_queue", &self.event_queue, 1..=1_000_000)?;
        let hour = Duration::from_hours(1);
        within("on_gossip_interval", &self.on_gossip_interval, ms(10)..=hour)?;
        within("on_gossip_max_interval", &self.on_gossip_max_interval, self.on_gossip_interval..=24 * hour)?;
        within("message_queue", &self.message_queue, 1..=1_000_000)?;
        within("max_handlers", &self.max_handlers, 1..=1_000_000)?;
        codec::validate(&*self.codec)?;
        within("receive_budget", &self.receive_budget, 1..=10_000)?;
        within("socket_receive_buffer", &self.socket_receive_buffer, 0..=GIB)?;
        within("socket_send_buffer", &self.socket_send_buffer, 0..=GIB)
    }

    fn validate_names(&self) -> Result<(), ConfigError> {
        let wrong = |reason: String| Err(ConfigError { field: "dns_servers", reason });
        match self.dns_servers.iter().find(|server| server.port() == 0 || server.ip().is_unspecified()) {
            Some(server) => return wrong(format!("is {server}, expected the address and the port of a DNS server")),
            None if cfg!(not(feature = "dns")) && !self.dns_servers.is_empty() => {
                return wrong("is set, expected none in a program that is built without the feature `dns`".to_owned());
            }
            None if self.dns_servers.len() > 8 => {
                return wrong(format!("has {} servers, expected at most 8", self.dns_servers.len()));
            }
            None => {}
        }
        let hour = Duration::from_hours(1);
        within("min_name_ttl", &self.min_name_ttl, Duration::from_millis(100)..=hour)?;
        within("max_name_ttl", &self.max_name_ttl, self.min_name_ttl..=24 * hour)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid() {
        for config in [Config::lan("x"), Config::wan("x"), Config::local("x")] {
            assert_eq!(config.validate(), Ok(()));
        }
    }

    #[test]
    fn an_error_names_the_field_and_the_range() {
        type Spoil = fn(&mut Config);
        let cases: [(&str, Spoil); 24] = [
            ("dns_servers", |c| c.dns_servers = vec!["10.0.0.1:0".parse().unwrap()]),
            ("min_name_ttl", |c| c.min_name_ttl = Duration::ZERO),
            ("max_name_ttl", |c| c.max_name_ttl = c.min_name_ttl / 2),
            ("dial_only", |c| (c.dial_only, c.advertise) = (true, Some("10.0.0.1".to_owned()))),
            ("probe_interval", |c| c.protocol.probe_interval = Duration::ZERO),
            ("dial_timeout", |c| c.dial_timeout = c.protocol.join_timeout * 2),
            ("write_timeout", |c| c.write_timeout = Duration::ZERO),
            ("first_frame_timeout", |c| c.first_frame_timeout = Duration::ZERO),
            ("idle_timeout", |c| c.idle_timeout = c.first_frame_timeout),
            ("max_connections", |c| c.max_connections = 1),
            ("max_unproven", |c| c.max_unproven = c.max_connections + 1),
            ("link_queue_bytes", |c| c.link_queue_bytes = c.protocol.max_message),
            ("link_queue_bytes", |c| c.link_queue_bytes = c.total_queue_bytes + 1),
            ("total_queue_bytes", |c| c.total_queue_bytes = 0),
            ("receive_queue_bytes", |c| c.receive_queue_bytes = 0),
            ("command_queue", |c| c.command_queue = 0),
            ("event_queue", |c| c.event_queue = 0),
            ("on_gossip_interval", |c| c.on_gossip_interval = Duration::ZERO),
            ("on_gossip_max_interval", |c| c.on_gossip_max_interval = c.on_gossip_interval / 2),
            ("message_queue", |c| c.message_queue = 0),
            ("max_handlers", |c| c.max_handlers = 0),
            ("receive_budget", |c| c.receive_budget = 0),
            ("socket_receive_buffer", |c| c.socket_receive_buffer = usize::MAX),
            ("socket_send_buffer", |c| c.socket_send_buffer = usize::MAX),
        ];
        for (field, spoil) in cases {
            let mut config = Config::lan("x");
            spoil(&mut config);
            let error = config.validate().unwrap_err();
            assert_eq!(error.field, field);
            assert!(error.reason.contains("expected"), "{error}");
        }
    }
}
