//! Names of seeds are resolved by the resolver in use, and again when they no longer lead anywhere.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use gossip_driver::{Counter, Event, JoinError, JoinFailureReason, Resolver, Resolving, Runtime};

use crate::harness::{converged, event, holds, quick, start, stop, within};

/// Names that can be moved while nodes run.
#[derive(Clone, Default)]
struct Registry(Arc<Mutex<Vec<SocketAddr>>>);

impl Registry {
    fn set(&self, addresses: impl IntoIterator<Item = SocketAddr>) {
        *self.0.lock().expect("nobody panics") = addresses.into_iter().collect();
    }
}

impl Resolver for Registry {
    fn resolve<'a>(&'a self, host: &'a str, _port: u16) -> Resolving<'a> {
        Box::pin(async move {
            match (host, self.0.lock().expect("nobody panics").clone()) {
                ("seed.test", found) if !found.is_empty() => Ok(found),
                _ => Err(io::Error::other("no such name")),
            }
        })
    }
}

pub(crate) async fn a_name_with_several_addresses_leads_to_each_of_them<R: Runtime>() {
    let registry = Registry::default();
    let (one, two) = (start::<R>(quick("several")).await, start::<R>(quick("several")).await);
    registry.set([one.bind_address().expect("it is bound"), two.bind_address().expect("it is bound")]);
    let node = start::<R>(quick("several").resolver(registry)).await;
    let report = within("the join", node.join(["seed.test"])).await.expect("both accept");
    assert_eq!(report.accepted.len(), 2);
    converged(&[one.clone(), two.clone(), node.clone()]).await;
    stop([one, two, node]).await;
}

pub(crate) async fn a_seed_is_found_when_its_name_appears_and_again_when_it_moves<R: Runtime>() {
    let registry = Registry::default();
    let node = start::<R>(quick("moving").resolver(registry.clone()).seed("seed.test:1")).await;
    holds("the name is looked up in vain", || node.stats().driver.count(Counter::ResolveFailures) > 0).await;

    // Nobody listens at the first address that the name gets.
    let gone = start::<R>(quick("moving")).await;
    let nowhere = gone.bind_address().expect("it is bound");
    stop([gone]).await;
    registry.set([nowhere]);
    let mut events = node.events();
    event(&mut events, "the seed is tried in vain", |event| match event {
        Event::JoinFailed { address, .. } if address == nowhere.into() => Some(()),
        _ => None,
    })
    .await;

    let seed = start::<R>(quick("moving")).await;
    registry.set([seed.bind_address().expect("it is bound")]);
    converged(&[seed.clone(), node.clone()]).await;
    stop([seed, node]).await;
}

/// A resolver with a bug.
struct Broken;

impl Resolver for Broken {
    fn resolve<'a>(&'a self, _host: &'a str, _port: u16) -> Resolving<'a> {
        Box::pin(async { panic!("this panic is part of the test") })
    }
}

pub(crate) async fn a_resolver_that_panics_is_an_error_of_the_name_it_was_asked_for<R: Runtime>() {
    let node = start::<R>(quick("broken").resolver(Broken).seed("seed.test")).await;
    let error = within("the join", node.join(["seed.test"])).await.expect_err("the name is not resolved");
    let JoinError::Nobody(report) = error else { panic!("the node runs: {error}") };
    let JoinFailureReason::Resolve(error) = &report.failed[0].reason else { panic!("it is the name: {report}") };
    assert!(error.reason.contains("panicked"), "{error}");
    let other = start::<R>(quick("broken")).await;
    within("the seeds", node.set_seeds([other.address().to_string()])).await.expect("the node runs");
    converged(&[node.clone(), other.clone()]).await;
    stop([node, other]).await;
}
