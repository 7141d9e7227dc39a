//! What a cluster does over real sockets on the loopback interface, one file for each behaviour.

mod conflict;
mod events;
mod failing;
mod families;
mod forgetting;
mod harness;
mod hostile;
mod joining;
mod leaving;
mod metadata;
mod refusing;
mod resolving;
mod restarting;
mod stopping;
