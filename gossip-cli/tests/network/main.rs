//! Agents on hosts of their own, and networks that lose, cut and bend what is between them.
//!
//! The networks are real: namespaces joined by a bridge, and packet filters. This takes Linux, root, `ip` and
//! `iptables`; without them each test says what is missing and is counted as ignored. The harness is one that can do so.

#[cfg(target_os = "linux")]
mod addresses;
#[cfg(target_os = "linux")]
mod faults;
#[cfg(target_os = "linux")]
mod laboratory;
#[cfg(target_os = "linux")]
mod partition;
#[cfg(target_os = "linux")]
#[path = "../process/mod.rs"]
mod process;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// The tests of these names in these files.
macro_rules! trials {
    ($obstacle:expr; $($file:ident :: $name:ident,)*) => {
        vec![$({
            let trial = Trial::test(stringify!($name), || {
                #[cfg(target_os = "linux")]
                $file::$name();
                Ok(())
            });
            match $obstacle {
                Some(reason) => trial.with_kind(format!("skipped: {reason}")).with_ignored_flag(true),
                None => trial,
            }
        },)*]
    };
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let obstacle = obstacle();
    let trials = trials![obstacle.as_ref();
        partition::a_cluster_cut_in_two_for_a_minute_grows_together_by_itself,
        faults::nobody_is_suspected_where_pairs_of_nodes_cannot_exchange_datagrams,
        faults::a_node_that_hears_nothing_from_one_other_suspects_nobody,
        faults::a_node_that_everybody_hears_and_that_hears_nobody_kills_nobody,
        faults::a_fifth_of_all_packets_lost_kills_nobody_and_what_is_sent_arrives,
        addresses::a_node_behind_a_proxy_for_streams_alone_is_a_member_like_others,
        addresses::a_node_answers_from_the_address_that_was_asked,
        addresses::nodes_at_addresses_of_both_families_meet,
        addresses::what_is_too_long_for_the_path_arrives_by_stream,
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// What is missing for networks of namespaces.
fn obstacle() -> Option<String> {
    #[cfg(target_os = "linux")]
    return laboratory::Laboratory::lay("trial", 1).err();
    #[cfg(not(target_os = "linux"))]
    Some("needs the network namespaces of Linux".to_owned())
}
