//! What a cluster does over real sockets on the loopback interface, one file for each behaviour.

mod backlog;
mod conflict;
mod crowding;
mod events;
mod failing;
mod families;
mod forgetting;
mod grouping;
mod handlers;
mod harness;
mod hostile;
mod joining;
mod keying;
mod leaving;
mod metadata;
mod payloads;
mod refusing;
mod requests;
mod resolving;
mod restarting;
mod scattering;
mod sending;
mod stopping;
mod stranger;
