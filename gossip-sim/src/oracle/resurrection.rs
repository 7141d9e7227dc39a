//! No member comes back from death or departure without a higher incarnation.

use gossip_core::MemberChange;

use crate::oracle::Oracle;
use crate::oracle::claims::Last;
use crate::world::Addr;

pub(crate) fn check(last: Last, change: &MemberChange<Addr>) -> Option<(Oracle, String)> {
    let member = &change.member;
    if last.state.is_live() || !member.state.is_live() || member.incarnation > last.incarnation {
        return None;
    }
    let (was, is) = (last.incarnation, member.incarnation);
    let message = format!("{} was {} at {was} and came back {} at {is}", member.id, last.state, member.state);
    Some((Oracle::Resurrection, message))
}
