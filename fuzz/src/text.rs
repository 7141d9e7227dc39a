//! What people and files write: criteria, ids, addresses, scenarios. Any text is read or refused, and what was read is
//! written in a form that reads as the same.

use gossip_core::{Criteria, KeyId, NodeId};
use gossip_driver::Endpoint;
use gossip_sim::{Scenario, Select, Span};

/// Reads the text as each of them.
pub fn text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    same_again::<NodeId>(text);
    same_again::<KeyId>(text);
    same_again::<Criteria>(text);
    same_again::<Select>(text);
    same_again::<Span>(text);
    if let Ok(endpoint) = text.parse::<Endpoint>() {
        assert_eq!(endpoint.to_string().parse(), Ok(endpoint));
    }
    for prefer_ipv6 in [false, true] {
        let _readable = Endpoint::parse_bind(text, prefer_ipv6);
    }
    if let Ok(scenario) = Scenario::parse(text, "fuzz") {
        let again = Scenario::parse(&scenario.to_toml(), "fuzz");
        assert_eq!(again.ok(), Some(scenario), "a scenario that is written to a file");
    }
}

fn same_again<T>(text: &str)
where
    T: std::str::FromStr + ToString + PartialEq + std::fmt::Debug,
{
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string().parse().ok(), Some(value), "of {text:?}");
    }
}
