//! Addresses of nodes that are reached over WebSocket.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::address::parse_port;
use crate::{AddressError, AddressProblem};

/// A `ws://` or `wss://` URL that was checked: at most 255 bytes, a host, perhaps a port, and the path and query.
/// Cloning is cheap.
///
/// The scheme and the host are kept in lower case, so that two spellings of one place compare as equal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WebAddress(Arc<str>);

impl WebAddress {
    /// Longest URL, in bytes.
    pub const LONGEST: usize = 255;

    /// The URL of a listener, which may have port 0.
    #[cfg(feature = "websocket")]
    pub(crate) fn parse_listen(text: &str) -> Result<Self, AddressError> {
        checked(text.trim(), true).map_err(|problem| AddressError { given: text.to_owned(), problem })
    }

    /// The same path at another address.
    #[cfg(feature = "websocket")]
    pub(crate) fn at(&self, address: std::net::SocketAddr) -> Result<Self, AddressError> {
        self.with_authority(&address.to_string())
    }

    /// The same path and host at another port.
    #[cfg(feature = "websocket")]
    pub(crate) fn with_port(&self, port: u16) -> Result<Self, AddressError> {
        self.with_authority(&self.authority_with(port))
    }

    #[cfg(feature = "websocket")]
    fn with_authority(&self, authority: &str) -> Result<Self, AddressError> {
        let scheme = if self.is_secure() { "wss" } else { "ws" };
        format!("{scheme}://{authority}{}", self.target()).parse()
    }

    /// Whether a text has the scheme of a WebSocket, whatever is wrong with the rest of it.
    pub(crate) fn is_meant_by(text: &str) -> bool {
        split_url(text).is_some_and(|(scheme, ..)| ["ws", "wss"].iter().any(|web| scheme.eq_ignore_ascii_case(web)))
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the connection is over TLS: `wss`.
    pub fn is_secure(&self) -> bool {
        self.0.starts_with("wss:")
    }

    /// The host: a name, or an IP address without brackets.
    pub fn host(&self) -> &str {
        let (host, _) = self.authority();
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// The port: 80 or, over TLS, 443 if none is written.
    pub fn port(&self) -> u16 {
        let (_, port) = self.authority();
        let default = if self.is_secure() { 443 } else { 80 };
        port.and_then(|port| port.parse().ok()).unwrap_or(default)
    }

    /// The path and the query, as HTTP asks for them.
    #[cfg(feature = "websocket")]
    pub(crate) fn target(&self) -> String {
        match split_url(&self.0).map_or("", |(_, _, rest)| rest) {
            rest if rest.starts_with('/') => rest.to_owned(),
            rest => format!("/{rest}"),
        }
    }

    /// The host as it is written, and this port.
    #[cfg(feature = "websocket")]
    pub(crate) fn authority_with(&self, port: u16) -> String {
        format!("{}:{port}", self.authority().0)
    }

    /// The path alone.
    #[cfg(feature = "websocket")]
    pub(crate) fn path(&self) -> String {
        let mut target = self.target();
        target.truncate(target.find('?').unwrap_or(target.len()));
        target
    }

    /// Host and port as they are written, in one.
    pub(crate) fn authority_text(&self) -> &str {
        split_url(&self.0).map_or("", |(_, authority, _)| authority)
    }

    /// Host and port as they are written.
    fn authority(&self) -> (&str, Option<&str>) {
        split_authority(self.authority_text())
    }
}

impl fmt::Display for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for WebAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        checked(text, false).map_err(|problem| AddressError { given: text.to_owned(), problem })
    }
}

fn checked(text: &str, may_be_any_port: bool) -> Result<WebAddress, AddressProblem> {
    if text.len() > WebAddress::LONGEST {
        return Err(AddressProblem::UrlTooLong);
    }
    let (scheme, authority, rest) =
        split_url(text).filter(|_| WebAddress::is_meant_by(text)).ok_or(AddressProblem::Url)?;
    let is_allowed = |character: char| character.is_ascii_graphic() && !r#""<>\^`{|}#@"#.contains(character);
    if let Some(wrong) = text.chars().find(|&character| !is_allowed(character)) {
        return Err(AddressProblem::Character(wrong));
    }
    let (host, port) = split_authority(authority);
    if host.is_empty() {
        return Err(AddressProblem::NoHost);
    }
    if let Some(inside) = host.strip_prefix('[') {
        let inside = inside.strip_suffix(']').ok_or(AddressProblem::Brackets)?;
        inside.parse::<std::net::Ipv6Addr>().map_err(|_| AddressProblem::Brackets)?;
    } else if let Some(wrong) = host.chars().find(|&it| !(it.is_ascii_alphanumeric() || "-._".contains(it))) {
        return Err(if wrong == ':' { AddressProblem::Brackets } else { AddressProblem::Character(wrong) });
    }
    if let Some(port) = port
        && parse_port(port)? == 0
        && !may_be_any_port
    {
        return Err(AddressProblem::Port(port.to_owned()));
    }
    let mut url = format!("{scheme}://{authority}").to_ascii_lowercase();
    url.push_str(rest);
    Ok(WebAddress(url.into()))
}

/// The scheme, the host with its port, and what follows.
fn split_url(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    Some((scheme, &rest[..end], &rest[end..]))
}

fn split_authority(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, u16, bool) {
        let address: WebAddress = text.parse().unwrap();
        (address.host().to_owned(), address.port(), address.is_secure())
    }

    #[test]
    fn host_and_port_are_told_from_the_rest() {
        assert_eq!(parts("ws://node.example/gossip"), ("node.example".to_owned(), 80, false));
        assert_eq!(parts("wss://node.example"), ("node.example".to_owned(), 443, true));
        assert_eq!(parts("ws://10.0.0.1:8080/a:9"), ("10.0.0.1".to_owned(), 8080, false));
        assert_eq!(parts("wss://[fd00::1]:1/x"), ("fd00::1".to_owned(), 1, true));
        assert_eq!(parts("wss://[fd00::1]?x=1"), ("fd00::1".to_owned(), 443, true));
    }

    #[test]
    fn spellings_of_one_place_are_equal_but_the_path_is_kept() {
        let address: WebAddress = "WSS://Node.Example:1/Path".parse().unwrap();
        assert_eq!(address.as_str(), "wss://node.example:1/Path");
    }

    #[test]
    fn each_wrong_url_is_refused_for_its_reason() {
        let problem = |text: &str| text.parse::<WebAddress>().unwrap_err().problem;
        assert_eq!(problem("http://node.example/"), AddressProblem::Url);
        assert_eq!(problem("node.example"), AddressProblem::Url);
        assert_eq!(problem("ws:///path"), AddressProblem::NoHost);
        assert_eq!(problem("ws://:80/"), AddressProblem::NoHost);
        assert_eq!(problem("ws://a:99999/"), AddressProblem::Port("99999".to_owned()));
        assert_eq!(problem("ws://a:0/"), AddressProblem::Port("0".to_owned()));
        assert_eq!(problem("ws://a:/"), AddressProblem::Port(String::new()));
        assert_eq!(problem("ws://fd00::1/"), AddressProblem::Brackets);
        assert_eq!(problem("ws://[fd00::1/"), AddressProblem::Brackets);
        assert_eq!(problem("ws://[host]/"), AddressProblem::Brackets);
        assert_eq!(problem("ws://user@host/"), AddressProblem::Character('@'));
        assert_eq!(problem("ws://host/a b"), AddressProblem::Character(' '));
        assert_eq!(problem("ws://host/#part"), AddressProblem::Character('#'));
        assert_eq!(problem("ws://höst/"), AddressProblem::Character('ö'));
        assert_eq!(problem("ws://h%20/"), AddressProblem::Character('%'));
        assert_eq!(problem(&format!("ws://host/{}", "x".repeat(WebAddress::LONGEST))), AddressProblem::UrlTooLong);
    }
}
