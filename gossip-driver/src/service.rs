//! SRV records: which of them can be used, and in which order (RFC 2782).

use std::io;

use tracing::{debug, warn};

/// Most targets of one service that are looked up.
const MOST: usize = 32;

/// One SRV record: where a service is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Lower ones come first.
    pub priority: u16,
    /// How often it comes before others of the same priority, in relation to theirs.
    pub weight: u16,
    /// Where it listens.
    pub port: u16,
    /// The name of the host. `.` says that the service is not offered.
    pub target: String,
}

/// The records that lead somewhere, in the order in which to use them; at least one.
pub(crate) fn usable(name: &str, services: Vec<Service>) -> io::Result<Vec<Service>> {
    let refused = |reason: &str| io::Error::new(io::ErrorKind::NotFound, reason.to_owned());
    if services.is_empty() {
        return Err(refused("it has no SRV record; add one, or write host:port instead of srv+name"));
    }
    let (closed, offered): (Vec<_>, Vec<_>) = services.into_iter().partition(|it| matches!(&*it.target, "." | ""));
    let (portless, mut offered): (Vec<_>, Vec<_>) = offered.into_iter().partition(|it| it.port == 0);
    for Service { target, .. } in &portless {
        warn!(service = %name, %target, "left out an SRV record with port 0, where nobody can listen; correct it");
    }
    if offered.is_empty() {
        return Err(match portless.first() {
            Some(Service { target, .. }) => refused(&format!(
                "its SRV record for {target} has port 0, where nobody can listen; write the node's port there"
            )),
            None => refused("its SRV record says that the service is not available (target \".\"); write another name"),
        });
    }
    if !closed.is_empty() {
        debug!(service = %name, "an SRV record says that the service is not available, and others where it is");
    }
    // The order is a matter of load alone, so any number does where the system has none.
    arrange(&mut offered, |most| getrandom::u64().unwrap_or(0) % (most + 1));
    if offered.len() > MOST {
        debug!(service = %name, records = offered.len(), "left out the SRV records beyond the first {MOST}");
        offered.truncate(MOST);
    }
    Ok(offered)
}

/// Lower priorities first; among equals each place goes to one that is left, by chance in proportion to the weights.
/// `up_to` draws a number from 0 up to its argument.
fn arrange(services: &mut [Service], mut up_to: impl FnMut(u64) -> u64) {
    // Those without weight stand first, so that only a draw of 0 leads to them.
    services.sort_by_key(|service| (service.priority, service.weight != 0));
    for group in services.chunk_by_mut(|one, other| one.priority == other.priority) {
        for place in 0..group.len() {
            let left = &mut group[place..];
            let drawn = up_to(left.iter().map(|service| u64::from(service.weight)).sum());
            let mut sum = 0;
            let reached = left.iter().position(|service| {
                sum += u64::from(service.weight);
                sum >= drawn
            });
            // The others keep their order.
            left[..=reached.unwrap_or(0)].rotate_right(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(priority: u16, weight: u16, target: &str) -> Service {
        Service { priority, weight, port: 7979, target: target.to_owned() }
    }

    fn targets(services: &[Service]) -> Vec<&str> {
        services.iter().map(|service| service.target.as_str()).collect()
    }

    #[test]
    fn each_draw_takes_one_of_the_lowest_priority_left() {
        let all = [service(2, 5, "late"), service(1, 10, "ten"), service(1, 0, "none"), service(1, 30, "thirty")];
        let mut limits = Vec::new();
        let mut arranged = |draws: [u64; 4]| {
            let (mut services, mut draws) = (all.to_vec(), draws.into_iter());
            arrange(&mut services, |most| {
                limits.push(most);
                draws.next().unwrap().min(most)
            });
            targets(&services).join(" ")
        };
        assert_eq!(arranged([0, 0, 0, 0]), "none ten thirty late");
        assert_eq!(arranged([10, 0, 30, 5]), "ten none thirty late");
        assert_eq!(arranged([11, 11, 0, 0]), "thirty ten none late");
        assert_eq!(limits, [40, 40, 30, 5, 40, 30, 30, 5, 40, 10, 0, 5]);
    }

    #[test]
    fn weights_decide_how_often_one_comes_first() {
        let all = [service(1, 1, "light"), service(1, 3, "heavy"), service(1, 0, "none")];
        let mut first = [0_u32; 3];
        for _ in 0..4_000 {
            let services = usable("x", all.to_vec()).unwrap();
            first[all.iter().position(|it| *it == services[0]).unwrap()] += 1;
        }
        // One draw in five is 0, one is 1 and three are more.
        assert!((600..1_000).contains(&first[0]) && (2_200..2_600).contains(&first[1]), "{first:?}");
        assert!((600..1_000).contains(&first[2]), "{first:?}");
    }

    #[test]
    fn what_leads_nowhere_is_left_out_and_an_error_if_nothing_else_is_there() {
        let portless = Service { port: 0, ..service(1, 1, "node") };
        let refused = |services: &[Service]| usable("x", services.to_vec()).unwrap_err().to_string();
        assert_eq!(refused(&[]), "it has no SRV record; add one, or write host:port instead of srv+name");
        assert!(refused(std::slice::from_ref(&portless)).contains("SRV record for node has port 0"));
        assert!(refused(&[service(0, 0, ".")]).contains("not available"));
        let good = service(3, 0, "good");
        assert_eq!(usable("x", vec![portless, service(0, 0, "."), good.clone()]).unwrap(), [good]);
    }

    #[test]
    fn there_is_a_limit_and_the_best_are_kept() {
        let all = (0..100).map(|at| service(100 - at, 0, &at.to_string())).collect();
        let used = usable("x", all).unwrap();
        assert_eq!((used.len(), used[0].target.as_str()), (MOST, "99"));
    }
}
