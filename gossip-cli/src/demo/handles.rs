//! File handles: a process with many nodes needs more of them than the usual limit allows.

use super::transport::Transport;

/// Sockets and connections of one node at its busiest, with room to spare.
const PER_NODE: u64 = 20;
/// Handles of the process itself, with room to spare.
const BESIDES: u64 = 100;

/// Asks the system to allow as many handles as the nodes need, as far as it lets an ordinary user. Should that not be
/// enough, the start of a node will say so.
#[cfg(unix)]
pub(crate) fn ask_for(nodes: usize, transport: Transport) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let (count, more) = (nodes as u64, transport.handles(nodes) as u64);
    let wanted = BESIDES + (PER_NODE + more) * count;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < wanted) {
        let raised = maximum.map_or(wanted, |maximum| maximum.min(wanted));
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum });
    }
}

/// There is no such limit here.
#[cfg(not(unix))]
pub(crate) fn ask_for(_nodes: usize, _transport: Transport) {}
